"""Batch norm's statistics, as they should be: taken anew before a validation, and the same on all processes.

The running averages lag behind weights that change fast: after a few dozen steps a deep network of good
weights can score below the majority class. Taken in one go from training images as they are, as the SegNet
paper does before it tests, they fit.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import update_bn

from segnet.base.device import seeded
from segnet.base.distributed.collectives import gathered
from segnet.base.distributed.rank import this_process
from segnet.data.store.batch_shares import Share
from segnet.data.store.batches import load_batches, split_into_batches
from segnet.data.store.split import Split
from segnet.models.inspection.costs import is_statistic

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


@torch.no_grad()
def average_statistics(model: nn.Module, share: Share) -> None:
    """Give each process the mean of all batch norms' running statistics, by the images that each has seen.

    For batch norm that isn't synchronised. The mean moves as each of them would, so it may be taken at any
    time; taken after every step it is what an average of the weights, a save and a validation need.
    """
    if this_process().total == 1:
        return
    floats = [buffer for name, buffer in model.named_buffers() if is_statistic(name)]
    if not floats:
        return
    seen = sum(part.end - part.first for part in share.parts if not part.stands_in)
    flat = torch.cat([floats[0].new_full((1,), seen), *(buffer.flatten() for buffer in floats)])
    weights, each = gathered(flat).split((1, flat.numel() - 1), dim=1)
    mean = (weights / weights.sum() * each).sum(0)
    for buffer, piece in zip(floats, mean.split([buffer.numel() for buffer in floats]), strict=True):
        buffer.copy_(piece.view(buffer.shape))
