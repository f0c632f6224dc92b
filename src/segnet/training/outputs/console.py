"""What a person sees while a run goes on: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from rich.console import Console
from torch import Tensor

from segnet.base.device import peak_memory_mib
from segnet.base.progress import progress_bar
from segnet.base.readable import readable_time
from segnet.data.store.batches import split_into_batches
from segnet.training.checkpoint import State
from segnet.training.configuration.config import TrainConfig
from segnet.training.schedule import rises_again, train_size

_WAITS_LONG = 0.1  # share of an epoch, from which the data is what to look at
_REFRESH_S = 0.25
_LINE_S = 60.0  # between the lines of an epoch in a log


@contextmanager
def epoch_progress(
    console: Console, title: str, steps: int, done: int = 0
) -> Iterator[Callable[[Callable[[], str]], None]]:
    """Show one epoch; the function it gives counts a step and shows what ``status()`` says now and then.

    On a terminal that is a bar; elsewhere a line a minute, so that the log of a long epoch shows that it goes
    on. ``status`` is only called when it is shown, since reading a loss waits for the device.
    """
    if console.quiet:
        yield lambda status: None
        return
    if not console.is_terminal:
        said = time.monotonic()

        def say(status: Callable[[], str]) -> None:
            nonlocal said, done
            done += 1
            if time.monotonic() - said > _LINE_S:
                said = time.monotonic()
                line = f"{title} · step {done}/{steps} · {status()}"
                console.print(line, highlight=False, soft_wrap=True)

        yield say
        return
    with progress_bar(console) as bar:
        task = bar.add_task(title, total=steps, completed=done, status="")
        shown = 0.0

        def step(status: Callable[[], str]) -> None:
            nonlocal shown
            if time.monotonic() - shown > _REFRESH_S:
                shown = time.monotonic()
                bar.update(task, status=status())
            bar.advance(task)

        yield step


def step_status(total: Tensor, seen: int, started: float, waited: float, device: torch.device) -> str:
    """Return what stands beside the bar: ``total`` loss over ``seen`` images, speed, waiting and memory."""
    seconds = time.perf_counter() - started
    return (
        f"loss {float(total) / max(seen, 1):.3f} · {seen / seconds:.0f} img/s · waiting for data "
        f"{waited / seconds:.0%} · {peak_memory_mib(device):.0f} MiB"
    )


def say_rate(console: Console, config: TrainConfig, planned: int, state: State, images: int) -> None:
    """Print that a run that goes on to a later end has a higher learning rate again, where it has.

    Args:
        console: where it is printed.
        config: the run as it goes on.
        planned: epochs that it was to have before.
        state: how far it has come.
        images: how many there are in an epoch.
    """
    last = state.position.lr if state.position else state.records[-1].lr if state.records else None
    progress = state.at[1] / len(split_into_batches(range(images), config.batch_size))
    if line := rises_again(config, planned, state.epoch, progress, last):
        console.print(line, highlight=False, soft_wrap=True)


def say_epoch(console: Console, state: State, config: TrainConfig) -> None:
    """Print the line of the epoch that is done; a star marks the best so far."""
    record = state.records[-1]
    left = readable_time(_seconds_left(state, config))
    star = " *" if state.best is record else ""
    # what else an epoch has measured is in metrics.jsonl; a line that wraps is read by nobody
    waits = f" · data {record.data_wait_share:.0%}" if (record.data_wait_share or 0) > _WAITS_LONG else ""
    dropped = f" · steps dropped {record.skipped}" if record.skipped else ""
    console.print(
        f"epoch {state.epoch}/{config.epochs} · loss {record.train_loss:.3f} · {record.val.line()} · "
        f"{record.images_per_second:.0f} img/s{waits}{dropped} · {left} left{star}",
        highlight=False,
        soft_wrap=True,
    )


def _seconds_left(state: State, config: TrainConfig) -> float:
    """Estimate from the last epoch; in small-first training later epochs have more pixels."""
    record = state.records[-1]
    per_pixel = (record.seconds or 0.0) / math.prod(record.size or config.size)
    coming = range(state.epoch, config.epochs)
    pixels = sum(math.prod(train_size(config, epoch)) for epoch in coming)
    return float(per_pixel * pixels + (record.validation_seconds or 0.0) * len(coming))
