"""What a person sees of a run: what it begins with, a bar or plain lines while it goes on, what it lacks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from rich.console import Console

from segnet.base.class_roles import foreground_of
from segnet.base.device import peak_memory_mib
from segnet.base.distributed.rank import this_process
from segnet.base.progress import progress_bar, say
from segnet.base.readable import readable_time
from segnet.data.augment import ON_COLOURS
from segnet.data.store.batch_shares import share_of
from segnet.data.store.batches import split_into_batches
from segnet.models.inspection.costs import count_parameters
from segnet.runs.records import Outcome
from segnet.runs.remarks import shortcomings
from segnet.runs.run_folder import RunFolder
from segnet.training.configuration.config import TrainConfig
from segnet.training.configuration.derived import derived_lines, plan_line, too_few_steps
from segnet.training.epoch import epoch_length
from segnet.training.schedule import rises_again, train_size
from segnet.training.setup import Setup
from segnet.training.state import Position, State

_WAITS_LONG = 0.1  # share of an epoch, from which the data is what to look at
_REFRESH_S = 0.25
_LINE_S = 60.0  # between the lines of an epoch in a log


def start_lines(setup: Setup, folder: RunFolder) -> Iterator[str]:
    """Yield what is trained on what, and what isn't as it should be."""
    config, dataset, images = setup.config, setup.dataset, epoch_length(setup.config, setup.train)
    yield (
        f"{config.model} ({count_parameters(setup.model):,} parameters) on {dataset.name}: "
        f"{len(setup.train):,} training and {len(setup.val):,} validation images, {setup.device}, "
        f"in {folder.path}"
    )
    if config.patch is not None:
        height, width = config.size
        scale = "" if config.patch_scale == 1 else f" of images at {config.patch_scale:g} of their size"
        yield f"{images:,} patches of {height}x{width} px{scale} in an epoch"
    if (foreground := foreground_of(dataset.classes.names)) is not None:
        yield f"foreground: {foreground}, whose scores come first"
    yield from setup.notes
    yield from (source.line for source in (setup.teacher, setup.unlabeled) if source is not None)
    yield from derived_lines(config)
    yield plan_line(config, images)
    yield from _on_too_few_steps(setup, config.epochs)
    yield from _on_spread(config)
    if setup.class_weights is not None:
        weights = zip(dataset.classes.names, setup.class_weights.tolist(), strict=True)
        yield f"class weights: {', '.join(f'{name} {weight:.3g}' for name, weight in weights)}"
    yield from _on_channels(setup)
    yield from (f"warning: {warning}" for warning in setup.warnings)
    of_this_run = replace(setup.identity, before=frozenset())  # of the others a warning has told
    for split in ("val", "test"):
        if repeated := of_this_run.trained_on(setup.manifest.splits[split]):
            yield f"warning: {repeated} of the {split} images are trained on too; their scores flatter"


def say_end(setup: Setup, epochs: int, outcome: Outcome) -> None:
    """Print where a run that is over was short, and where its scores hide that it has learnt little.

    Args:
        setup: the run.
        epochs: how many were done.
        outcome: how it ended.
    """
    few, poor = _on_too_few_steps(setup, epochs), shortcomings(outcome.test or outcome.val)
    say(setup.console, *(f"warning: {line}" for line in (*few, *poor)))


def _on_too_few_steps(setup: Setup, epochs: int) -> Iterator[str]:
    if line := too_few_steps(setup.config, epoch_length(setup.config, setup.train), epochs):
        yield line


def _on_spread(config: TrainConfig) -> Iterator[str]:
    """Yield how a batch is spread over processes and parts."""
    processes, size = this_process().total, config.batch_size
    if processes > 1:
        shares = {len(share_of(size, size, 1, rank, processes).rows) for rank in range(processes)}
        each = " or ".join(map(str, sorted(shares)))
        over = "all of them" if config.sync_batch_norm else "each process's own"
        yield f"{processes} processes take {each} of {size} images a step; batch norm over {over}"
    if config.accumulate > 1:
        yield f"a step's {size} images in {config.accumulate} parts, which batch norm sees one by one"


def _on_channels(setup: Setup) -> Iterator[str]:
    """Yield what there is to say of images that aren't RGB of 8 bits."""
    intensity = setup.dataset.intensity
    if intensity.ranges is not None:
        ranges = ", ".join(f"{low:g} to {high:g}" for low, high in dict.fromkeys(intensity.ranges))
        yield f"values of {ranges} are black to white, by percentiles of the training images"
    if intensity.channels != 3 and any(getattr(setup.config, name) for name in ON_COLOURS):
        yield f"{intensity.channels}-channel images have no colours for --saturation, --hue and --grayscale"


@contextmanager
def epoch_progress(
    console: Console, title: str, steps: int, done: int = 0
) -> Iterator[Callable[[Callable[[], str]], None]]:
    """Show one epoch; the function it gives counts a step and shows what ``status()`` says now and then.

    On a terminal that is a bar; elsewhere a line a minute, so that the log of a long epoch shows that it goes
    on. ``status`` is only called when it is shown, since reading a loss waits for the device.
    """
    every, shown = (_REFRESH_S, 0.0) if console.is_terminal else (_LINE_S, time.monotonic())
    with progress_bar(console) as bar:
        task = bar.add_task(title, total=steps, completed=done, status="")

        def advance(status: Callable[[], str]) -> None:
            nonlocal shown, done
            done += 1
            bar.advance(task)
            if not console.quiet and time.monotonic() - shown > every:
                shown, text = time.monotonic(), status()
                bar.update(task, status=text)
                if not console.is_terminal:
                    say(console, f"{title} · step {done}/{steps} · {text}")

        yield advance


def step_status(now: Position, device: torch.device) -> str:
    """Return what stands beside the bar: loss, speed, waiting and memory of the epoch so far."""
    return (
        f"loss {float(now.loss_sum) / max(now.seen, 1):.3f} · {now.seen / now.seconds:.0f} img/s · waiting "
        f"for data {now.waited / now.seconds:.0%} · {peak_memory_mib(device):.0f} MiB"
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
        say(console, line)


def say_epoch(console: Console, state: State, config: TrainConfig) -> None:
    """Print the line of the epoch that is done; a star marks the best so far."""
    record = state.records[-1]
    left = readable_time(_seconds_left(state, config))
    star = " *" if state.best is record else ""
    # what else an epoch has measured is in metrics.jsonl; a line that wraps is read by nobody
    waits = f" · data {record.data_wait_share:.0%}" if (record.data_wait_share or 0) > _WAITS_LONG else ""
    dropped = f" · steps dropped {record.skipped}" if record.skipped else ""
    say(
        console,
        f"epoch {state.epoch}/{config.epochs} · loss {record.train_loss:.3f} · {record.val.line()} · "
        f"{record.images_per_second:.0f} img/s{waits}{dropped} · {left} left{star}",
    )


def _seconds_left(state: State, config: TrainConfig) -> float:
    """Estimate from the last epoch; in small-first training later epochs have more pixels."""
    record = state.records[-1]
    per_pixel = (record.seconds or 0.0) / math.prod(record.size or config.size)
    coming = range(state.epoch, config.epochs)
    pixels = sum(math.prod(train_size(config, epoch)) for epoch in coming)
    return float(per_pixel * pixels + (record.validation_seconds or 0.0) * len(coming))
