"""The gradients of one step, whatever the processes and parts its batch is spread over."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from segnet.base.classes import IGNORE_INDEX
from segnet.base.distributed.collectives import gathered
from segnet.base.distributed.rank import this_process
from segnet.core.sync_batch_norm import standing_in
from segnet.data.store.batch_shares import Share
from segnet.models.inspection.costs import is_statistic
from segnet.training.epoch import seed_of
from segnet.training.losses.step_loss import Moment, StepLoss


def take_gradients(
    network: nn.Module, step_loss: StepLoss, images: Tensor, masks: Tensor, moment: Moment, share: Share
) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Leave the whole batch's gradients in the network, and return its loss and what was measured besides.

    Args:
        network: what is trained, ``shared`` where there are other processes.
        step_loss: what is made small.
        images: this process's share, float32 ``(N, C, H, W)`` in [0, 1], augmented.
        masks: uint8 ``(N, H, W)``, 255 = ignore.
        moment: which step it is.
        share: which images of the batch they are.
    """
    config, here = step_loss.config, this_process()
    if here.total > 1:  # dropout draws on each process for other images
        torch.manual_seed(seed_of(config.seed, moment.epoch, f"{moment.step} on {here.rank}"))
    measured: Mapping[str, Tensor] = {}
    for part in share.parts:
        if part.stands_in:
            masks[part.first : part.end] = IGNORE_INDEX
    whole = masks if len(share.parts) > 1 else None
    losses = []
    for part in share.parts:
        rows = slice(part.first, part.end)
        apart = standing_in() if part.stands_in else nullcontext()
        with _sums_later(network, part is not share.parts[-1]), apart:
            loss, measured = step_loss(network, images[rows], masks[rows], moment, whole)
            # the gradients' mean over the processes is then their sum
            (loss * here.total if here.total > 1 else loss).backward()
        losses.append(loss.detach())
    if not config.sync_batch_norm:
        average_statistics(network, share)
    return torch.stack(losses).sum() if whole is not None else losses[0], measured


def _sums_later(network: nn.Module, later: bool) -> AbstractContextManager[object]:
    """Return a context in which gradients stay each process's own, where there is more to add to them."""
    return network.no_sync() if later and isinstance(network, DistributedDataParallel) else nullcontext()


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
