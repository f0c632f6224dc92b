"""What an epoch is made of: every image once, or patches that are chosen anew, by its seed alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from segnet.data.store.batches import split_into_batches
from segnet.data.store.split import Split
from segnet.training.configuration.config import TrainConfig
from segnet.training.schedule import train_size


def epoch_length(config: TrainConfig, train: Split) -> int:
    """Return how many images or patches an epoch trains on."""
    return config.patches or train.count_items(config.size)


def epoch_batches(config: TrainConfig, train: Split, epoch: int) -> list[Sequence[Any]]:
    """Return the batches of an epoch, as ``train.take`` reads them."""
    seed = seed_of(config.seed, epoch, "order")
    items = train.choose_items(epoch_length(config, train), cut_size(config, epoch), seed)
    return split_into_batches(items, config.batch_size)


def cut_size(config: TrainConfig, epoch: int) -> tuple[int, int]:
    """Return ``(h, w)`` of the patches that are cut for an epoch.

    They are larger than what the network gets where crops are taken from them, so that a crop, once it is
    resized, shows things as often larger than they are as smaller.
    """
    height, width = train_size(config, epoch)
    wider = config.crop_scale**-0.25  # a crop keeps crop_scale to 1 of the area: its middle is at 1
    return round(height * wider), round(width * wider)


def seed_of(seed: int, epoch: int, what: int | str) -> int:
    """Return the seed of one random choice in a run."""
    return random.Random(f"{seed}/{epoch}/{what}").getrandbits(31)
