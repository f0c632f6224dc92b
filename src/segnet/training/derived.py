"""What ``modern`` fits to the data: steps where images are few, and the loss where a class is rare.

``TrainConfig.undecided`` names the settings that nobody gave; what somebody gave stays. With plenty of
images, none of whose classes is rare, nothing changes. The numbers were chosen on drawn cells of other seeds
than those on which ``benchmarks/small_data.py`` measures them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from segnet.core.place import place
from segnet.core.settings import option
from segnet.data.balance import Counts
from segnet.data.batches import split_into_batches
from segnet.training.config import TrainConfig
from segnet.training.recipes import recipe_settings

FEW_STEPS = 12
"""An epoch of fewer full batches is short."""
LEAST_BATCH = 4
"""Of fewer images batch norm's statistics are noise."""
LEAST_STEPS = 900
"""Steps in a run whose epochs are short. With twice as many the cells came out no better."""
MOST_EPOCHS = 600
"""The end of that where an epoch is a single step."""
RARE = 1 / 8
"""Share of the pixels below which a class is rare, as the cells' 5 % and a pet's border of 8 % are."""


class Derived(NamedTuple):
    """A setting that the data decides."""

    name: str
    value: Any
    reason: str


def derive(
    config: TrainConfig, images: int, things: str, classes: Sequence[str], pixels: Counts
) -> TrainConfig:
    """Decide what a configuration has left open, now that its data is known.

    Args:
        config: the run.
        images: how many there are in an epoch.
        things: what these are: images, or patches.
        classes: their names by class id.
        pixels: the training masks' pixels of each value ``(256,)``, as ``count_values`` gives them.

    Returns:
        The configuration with nothing left open. Its ``derived`` says what was changed, and why.
    """
    found = [
        each
        for each in (*_for_few_images(config, images, things), *_for_a_rare_class(config, classes, pixels))
        if each.name in config.undecided
    ]
    values = {each.name: each.value for each in found}
    reasons = {each.name: each.reason for each in found}
    return replace(config, undecided=(), derived={**config.derived, **reasons}, **values)


def derived_lines(config: TrainConfig) -> list[str]:
    """Return a line for each setting that was derived: as it is typed, with its reason."""
    return [f"{_typed(name, getattr(config, name))} ({reason})" for name, reason in config.derived.items()]


def _for_few_images(config: TrainConfig, images: int, things: str) -> Iterator[Derived]:
    """Yield what makes steps enough where the recipe's own batches would make an epoch short."""
    planned = recipe_settings(config.recipe, config.model)
    if images // planned["batch_size"] >= FEW_STEPS:
        return
    batch_size = config.batch_size
    if "batch_size" in config.undecided:
        least = max(LEAST_BATCH, 2 * config.accumulate * place().total)  # each part two images at least
        while batch_size // 2 >= least and images // batch_size < FEW_STEPS:
            batch_size //= 2
        would = _counted(_steps(images, config.batch_size))
        reason = f"of {images} {things}; {config.batch_size} would make {would} an epoch"
        yield Derived("batch_size", batch_size, reason)
    steps = _steps(images, batch_size)
    epochs = min(math.ceil(LEAST_STEPS / steps), MOST_EPOCHS)
    if epochs > config.epochs:
        would = _counted(config.epochs * steps)
        yield Derived("epochs", epochs, f"of {_counted(steps)} each; {config.epochs} would make {would}")


def _for_a_rare_class(config: TrainConfig, classes: Sequence[str], pixels: Counts) -> Iterator[Derived]:
    """Yield a loss in which a class counts as a class, however few its pixels are."""
    if config.class_weights is not None:
        return
    shares = pixels[: len(classes)] / max(pixels[: len(classes)].sum(), 1)
    share, name = min((share, name) for share, name in zip(shares, classes, strict=True) if share)
    if share < RARE:
        reason = f"{name} covers {100 * share:.2g} % of the training pixels"
        yield Derived("loss", "cross-entropy+dice", reason)


def _steps(images: int, batch_size: int) -> int:
    return len(split_into_batches(range(images), batch_size))


def _counted(steps: int) -> str:
    return f"{steps} step" if steps == 1 else f"{steps} steps"


def _typed(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return option(name if value else f"no_{name}")
    return f"{option(name)} {value}"
