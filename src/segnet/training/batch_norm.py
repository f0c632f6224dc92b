"""Batch norm's statistics taken anew before a model is validated, as the SegNet paper does before it tests.

The running averages lag behind weights that change fast: after a few dozen steps a deep network of good
weights can score below the majority class. Taken in one go from training images as they are, they fit.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import update_bn

from segnet.base.randomness import seeded
from segnet.data.store.batches import load_batches, split_into_batches
from segnet.data.store.split import Split

MOST_IMAGES = 512  # a mean over their millions of pixels moves no more with others
_BATCH = 32


def recompute_statistics(model: nn.Module, train: Split, size: tuple[int, int], device: torch.device) -> None:
    """Replace the running statistics of every batch norm by the mean over batches of training images.

    Args:
        model: in either mode; it stays in it. Dropout drops, as in training, by a seed of its own.
        train: up to 512 of its images or patches are taken, evenly spread, without augmentation.
        size: ``(H, W)`` that they are brought to where the split keeps them larger.
        device: where the model is.
    """
    batches = split_into_batches(train.spread_items(MOST_IMAGES), _BATCH)

    def images() -> Iterator[Tensor]:
        for batch, _ in load_batches(train.take, batches, device):
            scaled = batch.float().div_(255)
            yield scaled if batch.shape[-2:] == size else F.interpolate(scaled, size, mode="area")

    with seeded(0, device):
        update_bn(images(), model)
