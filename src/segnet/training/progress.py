"""What a person sees while a run goes on: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_REFRESH_S = 0.25


@contextmanager
def counting(console: Console, what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show how many of ``total`` things are done; the function it gives counts one more."""
    if not console.is_terminal:
        started = time.monotonic()
        yield lambda: None
        console.print(f"{what}: {total} in {time.monotonic() - started:.1f} s", highlight=False)
        return
    with _bar(console) as bar:
        task = bar.add_task(what, total=total, status="")
        yield lambda: bar.advance(task)


@contextmanager
def epoch_progress(console: Console, title: str, steps: int) -> Iterator[Callable[[Callable[[], str]], None]]:
    """Show one epoch; the function it gives counts a step and shows what ``status()`` says now and then.

    ``status`` is only called when it is shown, since reading a loss waits for the device.
    """
    if not console.is_terminal:
        yield lambda status: None
        return
    with _bar(console) as bar:
        task = bar.add_task(title, total=steps, status="")
        shown = 0.0

        def step(status: Callable[[], str]) -> None:
            nonlocal shown
            if time.monotonic() - shown > _REFRESH_S:
                shown = time.monotonic()
                bar.update(task, status=status())
            bar.advance(task)

        yield step


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[status]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def readable_time(seconds: float) -> str:
    """Return "45 s", "3 min 20 s" or "1 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
