"""How many of some things are done: a bar on a terminal, one line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def say(console: Console, *lines: str) -> None:
    """Print lines as they are."""
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


@contextmanager
def counting(
    console: Console, what: str, total: int, *, redirect_stdout: bool = True
) -> Iterator[Callable[[], None]]:
    """Show how many of ``total`` things are done; the function it gives counts one more.

    Args:
        console: where it is shown.
        what: the things.
        total: how many there are.
        redirect_stdout: whether what is printed meanwhile passes above the bar.
    """
    if not console.is_terminal:
        started = time.monotonic()
        yield lambda: None
        console.print(f"{what}: {total} in {time.monotonic() - started:.1f} s", highlight=False)
        return
    with progress_bar(console, redirect_stdout=redirect_stdout) as bar:
        task = bar.add_task(what, total=total, status="")
        yield lambda: bar.advance(task)


def progress_bar(console: Console, *, redirect_stdout: bool = True) -> Progress:
    """Return a bar that vanishes when it is done, and is seen on a terminal alone; tasks have a ``status``.

    Args:
        console: where it is shown.
        redirect_stdout: whether what is printed meanwhile passes above it.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[status]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=console.quiet or not console.is_terminal,
        redirect_stdout=redirect_stdout,
    )
