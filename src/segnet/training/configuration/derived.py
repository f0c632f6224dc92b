"""What ``modern`` fits to the data: batches and epochs to the number of images, the loss to a rare class.

``TrainConfig.undecided`` names the settings that nobody gave; what somebody gave stays. The numbers were
chosen on drawn cells of other seeds than those on which ``benchmarks/small_data.py`` measures them, and on
validation images of photographs by ``benchmarks/batches.py``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from segnet.base.distributed.rank import this_process
from segnet.base.readable import counted
from segnet.base.settings import option
from segnet.data.check.balance import Counts
from segnet.data.store.batches import split_into_batches
from segnet.training.configuration.config import TrainConfig, fitted_settings, recipe_settings

FEW_STEPS, ENOUGH_STEPS = 12, 18
"""Least steps of an epoch: with batches of at most half the recipe's own, and with larger ones."""
LEAST_BATCH = 4
"""Of fewer images batch norm's statistics are noise."""
LEAST_STEPS = 900
"""Steps in a run, for any number of images. With twice as many the cells came out no better."""
RARE = 1 / 8
"""Share of the pixels below which a class is rare, as the cells' 5 % and a pet's border of 8 % are."""


Derived = Iterator[tuple[str, Any, str]]
"""Settings that the data decides: name, value and reason."""


def derive(config: TrainConfig, images: int, classes: Sequence[str], pixels: Counts) -> TrainConfig:
    """Decide what a configuration has left open, now that its data is known.

    Args:
        config: the run.
        images: how many there are in an epoch, or patches of them.
        classes: their names by class id.
        pixels: the training masks' pixels of each value ``(256,)``, as ``count_values`` gives them.

    Returns:
        The configuration with nothing left open. Its ``derived`` says what was changed, and why.
    """
    by_number = _for_the_number_of_images(config, images)
    by_rarity = _for_a_rare_class(config, classes, pixels)
    found = [each for each in (*by_number, *by_rarity) if each[0] in config.undecided]
    values = {name: value for name, value, _ in found}
    reasons = {name: reason for name, _, reason in found}
    return replace(config, undecided=(), derived={**config.derived, **reasons}, **values)


def derived_lines(config: TrainConfig) -> list[str]:
    """Return a line for each setting that was derived: as it is typed, with its reason."""
    return [f"{_typed(name, getattr(config, name))} ({reason})" for name, reason in config.derived.items()]


def plan_line(config: TrainConfig, images: int) -> str:
    """Return batches, epochs and steps of a run, whoever has decided them."""
    steps = config.epochs * _steps(images, config.batch_size)
    return f"batches of {config.batch_size}, {counted(config.epochs, 'epoch')}: {counted(steps, 'step')}"


def too_few_steps(config: TrainConfig, images: int, done: int) -> str:
    """Say that a run has fewer steps than its recipe would take, or than little data needs; "" where not.

    Args:
        config: the run.
        images: how many there are in an epoch.
        done: epochs of the run; at its end those that were done.
    """
    steps, planned = _steps(images, config.batch_size), _own_epochs(config, images)
    has = f"{counted(done, 'epoch')} {'is' if done == 1 else 'are'} {counted(done * steps, 'step')}"
    if "epochs" not in fitted_settings(config.recipe) and planned * steps < LEAST_STEPS:
        return f"{has}; --recipe modern takes {LEAST_STEPS} or more, however few the images"
    if done >= planned:
        return ""
    left_out = "--epochs" if config.epochs < planned else "--early-stop"
    return (
        f"{has}; the recipe takes {counted(planned, 'epoch')} ({counted(planned * steps, 'step')}): "
        f"leave {left_out} out"
    )


def _for_the_number_of_images(config: TrainConfig, images: int) -> Derived:
    """Yield batches that leave an epoch steps enough, and epochs that leave the run enough."""
    is_open = "batch_size" in config.undecided
    batch_size = _batch_size(config, images) if is_open else config.batch_size
    if batch_size < config.batch_size:
        would = counted(_steps(images, config.batch_size), "step")
        things = "images" if config.patch is None else "patches"
        reason = f"of {images} {things}; {config.batch_size} would make {would} an epoch"
        yield "batch_size", batch_size, reason
    config = replace(config, batch_size=batch_size)
    steps, epochs = _steps(images, batch_size), _own_epochs(config, images)
    if epochs > config.epochs:
        would = counted(config.epochs * steps, "step")
        yield "epochs", epochs, f"of {counted(steps, 'step')} each; {config.epochs} would make {would}"


def _batch_size(config: TrainConfig, images: int) -> int:
    """Return an even batch size, from ``LEAST_BATCH`` to the recipe's own, that grows with the images.

    Up to half of the recipe's own it grows as fast as the images, and beyond that more slowly, so that one
    image more or less changes little.
    """
    most = config.batch_size
    grown = max(min(images // FEW_STEPS, most // 2), min(images // ENOUGH_STEPS, most))
    least = max(LEAST_BATCH, 2 * config.accumulate * this_process().total)  # each part two images at least
    return min(max(grown // 2 * 2, least), most)


def _own_epochs(config: TrainConfig, images: int) -> int:
    """Return the epochs that the recipe takes with a run's batches, whatever somebody has set."""
    epochs: int = recipe_settings(config.recipe, config.model)["epochs"]
    if "epochs" not in fitted_settings(config.recipe):
        return epochs
    return max(epochs, math.ceil(LEAST_STEPS / _steps(images, config.batch_size)))


def _for_a_rare_class(config: TrainConfig, classes: Sequence[str], pixels: Counts) -> Derived:
    """Yield a loss in which a class counts as a class, however few its pixels are."""
    if config.class_weights is not None:
        return
    shares = pixels[: len(classes)] / max(pixels[: len(classes)].sum(), 1)
    share, name = min((share, name) for share, name in zip(shares, classes, strict=True) if share)
    if share < RARE:
        reason = f"{name} covers {100 * share:.2g} % of the training pixels"
        yield "loss", "cross-entropy+dice", reason


def _steps(images: int, batch_size: int) -> int:
    return len(split_into_batches(range(images), batch_size))


def _typed(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return option(name if value else f"no_{name}")
    return f"{option(name)} {value}"
