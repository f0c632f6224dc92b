"""What an epoch is made of: every image once, or patches that are chosen anew, by its seed alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from segnet.data.images.pixel_values import Pixels
from segnet.data.store.batches import evenly_spread, shuffled_order, split_into_batches
from segnet.data.store.full_size import FullSizeSplit, Patch
from segnet.data.store.open_split import Split
from segnet.data.store.patches import choose_patches, patches_to_cover
from segnet.training.configuration.config import TrainConfig
from segnet.training.schedule import train_size

Take = Callable[[Sequence[Any]], tuple[Pixels, Pixels]]
"""Reads images ``(n, H, W, 3)`` and masks ``(n, H, W)``; see ``load_batches``."""


def epoch_length(config: TrainConfig, train: Split) -> int:
    """Return how many images or patches an epoch trains on."""
    if not isinstance(train, FullSizeSplit):
        return len(train)
    return config.patches or sum(patches_to_cover(train, config.size))


def epoch_batches(config: TrainConfig, train: Split, epoch: int) -> tuple[Take, list[Sequence[Any]]]:
    """Return what reads a batch of an epoch, and the batches."""
    count, seed = epoch_length(config, train), seed_of(config.seed, epoch, "order")
    if not isinstance(train, FullSizeSplit):
        return train.take, split_into_batches(shuffled_order(count, seed), config.batch_size)
    size = cut_size(config, epoch)
    patches = choose_patches(train, count, size, seed)
    return partial(train.cut, size=size), split_into_batches(patches, config.batch_size)


def cut_size(config: TrainConfig, epoch: int) -> tuple[int, int]:
    """Return ``(h, w)`` of the patches that are cut for an epoch.

    They are larger than what the network gets where crops are taken from them, so that a crop, once it is
    resized, shows things as often larger than they are as smaller.
    """
    height, width = train_size(config, epoch)
    wider = config.crop_scale**-0.25  # a crop keeps crop_scale to 1 of the area: its middle is at 1
    return round(height * wider), round(width * wider)


def some_of(train: Split, most: int) -> tuple[Take, list[Any]]:
    """Return what reads images, and up to ``most`` of them, evenly spread, or so many patches."""
    if not isinstance(train, FullSizeSplit):
        return train.take, evenly_spread(len(train), most)
    count = min(most, sum(patches_to_cover(train, train.patch)))
    return partial(train.cut, size=train.patch), choose_patches(train, count, train.patch, seed=0)


def names_in(train: Split, batch: Sequence[Any]) -> list[str]:
    """Return the names of the images that a batch of ``epoch_batches`` is made of, each once."""
    numbers = (item.image if isinstance(item, Patch) else item for item in batch)
    return list(dict.fromkeys(train.names[number] for number in numbers))


def seed_of(seed: int, epoch: int, what: int | str) -> int:
    """Return the seed of one random choice in a run."""
    return random.Random(f"{seed}/{epoch}/{what}").getrandbits(31)
