"""What changes with time in a run, as plain functions of it: nothing has to be saved to resume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from segnet.training.configuration.config import TrainConfig

# (share of the epochs, share of the size) of progressive training
_PROGRESSIVE = ((0.40, 0.5), (0.25, 0.75), (0.35, 1.0))


class Step(NamedTuple):
    """Which step of which epoch."""

    epoch: int
    """Epochs done before it."""
    number: int
    """Steps of its epoch before it."""
    total: int
    """Steps of its epoch."""
    batch: Sequence[Any] = ()
    """What it is made of; see ``epoch_batches``."""

    @property
    def progress(self) -> float:
        """Share of its epoch that is done before it."""
        return self.number / self.total


def learning_rate(config: TrainConfig, epoch: int, progress: float) -> float:
    """Return the learning rate at one moment of the run.

    Args:
        config: lr, schedule with its steps, epochs and warmup_epochs.
        epoch: epochs done.
        progress: share of the running epoch that is done, 0 to 1.
    """
    time, warm = epoch + progress, warm_up(config, epoch, progress)
    if config.schedule == "step":
        return config.lr * warm * config.step_gamma ** (epoch // config.step_epochs)
    if config.schedule == "cosine":
        span = max(config.epochs - config.warmup_epochs, 1e-9)
        share = min(max(time - config.warmup_epochs, 0.0) / span, 1.0)
        return config.lr * warm * 0.5 * (1 + math.cos(math.pi * share))
    return config.lr * warm


def rises_again(config: TrainConfig, planned: int, epoch: int, progress: float, last: float | None) -> str:
    """Say that a later end than was planned raises the learning rate again; "" where it doesn't.

    Args:
        config: the run as it goes on.
        planned: epochs that it was to have before.
        epoch: epochs done.
        progress: share of the next epoch that is done, 0 to 1.
        last: the rate of the last step; None where nobody has noted it.
    """
    then = learning_rate(replace(config, epochs=planned), epoch, progress)
    now = learning_rate(config, epoch, progress)
    if now <= then:
        return ""
    return (
        f"the learning rate rises from {then if last is None else last:.2g} to {now:.2g}: its schedule "
        f"({config.schedule}) now ends with epoch {config.epochs}, not {planned}"
    )


def warm_up(config: TrainConfig, epoch: int, progress: float) -> float:
    """Return how far the warm-up has come, from almost 0 to 1; the moment is as in ``learning_rate``."""
    return min(1.0, (epoch + progress + 1e-3) / config.warmup_epochs) if config.warmup_epochs else 1.0


def train_sizes(config: TrainConfig) -> list[tuple[int, int]]:
    """Return every ``(H, W)`` that batches of the run have, in the order in which they come."""
    return list(dict.fromkeys(train_size(config, epoch) for epoch in range(config.epochs)))


def train_size(config: TrainConfig, epoch: int) -> tuple[int, int]:
    """Return ``(H, W)`` of the batches in an epoch: multiples of 16 while small, never small in the last."""
    if not config.progressive or epoch >= config.epochs - 1:
        return config.size
    end = 0.0
    for share, scale in _PROGRESSIVE:
        end += share
        if epoch < round(end * config.epochs) and scale < 1:
            height, width = (max(16, round(side * scale / 16) * 16) for side in config.size)
            return (height, width)
    return config.size
