"""Images without masks: where the averaged model is sure of a weak view, a strong one must agree.

FixMatch (Sohn et al., arXiv 2001.07685) pixel by pixel, labelled by the average of the weights as in Mean
Teacher (Tarvainen and Valpola, arXiv 1703.01780). A weak view is cropped and flipped as images with masks
are; the strong one is that very view in other colours, so that a pixel is the same place in both. It passes
the network in one batch with the images that have masks, so that batch norm has one set of statistics.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from segnet.core.classes import IGNORE_INDEX
from segnet.core.device import autocast
from segnet.core.errors import SegnetError
from segnet.data.augment import Augmentation, StrongColour
from segnet.data.batches import shuffled_order
from segnet.data.cache import CachedSplit
from segnet.objectives.loss_sum import parse_loss
from segnet.objectives.losses import negative_log_likelihood
from segnet.training.config import TrainConfig
from segnet.training.epoch import seed_of


class Views(NamedTuple):
    """Strong views of images without masks, and what is to be answered to them."""

    images: Tensor
    """float32 ``(N, C, H, W)`` in [0, 1]."""
    targets: Tensor
    """uint8 ``(N, H, W)``: classes, and 255 where the averaged model isn't sure."""
    pixels: Tensor
    """How many pixels there are, sure or not; the filling of ``keep_aspect`` doesn't count."""

    def loss(self, logits: Tensor) -> Tensor:
        """Return cross-entropy at the targets, a scalar: its sum over all pixels, as FixMatch has it.

        So the fewer pixels are sure, the less they weigh.
        """
        return negative_log_likelihood(logits, self.targets).sum() / self.pixels.clamp(min=1)

    @property
    def confident_share(self) -> Tensor:
        """Share of the pixels that are targets."""
        return (self.targets != IGNORE_INDEX).sum() / self.pixels.clamp(min=1)


@dataclass(frozen=True)
class Unlabeled:
    """Images without masks, and who labels them."""

    split: CachedSplit
    """The images; its masks are 0, and 255 where ``keep_aspect`` has filled them up."""
    labeller: nn.Module
    """The averaged model."""
    weak: Augmentation
    strong: StrongColour
    threshold: float
    precision: str
    seed: int
    per_epoch: int
    """Images that an epoch takes: as many as have masks."""
    line: str
    """What a run says of them at its start."""

    def views(self, epoch: int, first: int, count: int, size: tuple[int, int], device: torch.device) -> Views:
        """Return the views of one step, a function of (seed, epoch, step).

        Seeds torch's global generator, as ``Augmentation`` does.

        Args:
            epoch: epochs done.
            first: images that the epoch has taken before.
            count: images to take.
            size: ``(H, W)`` of the views.
            device: where they are computed.
        """
        taken = self.split.take(self._numbers(epoch * self.per_epoch + first, count))
        photos, filled = (torch.from_numpy(array).to(device) for array in taken)
        seed = seed_of(self.seed, epoch, f"unlabeled {first}")
        weak, filled = self.weak(photos.permute(0, 3, 1, 2), filled, size, seed)
        with torch.no_grad(), autocast(device, self.precision):
            confidence, classes = self.labeller.eval()(weak).float().softmax(1).max(1)
        there = filled != IGNORE_INDEX
        sure = there & (confidence >= self.threshold)
        targets = classes.masked_fill(~sure, IGNORE_INDEX).to(torch.uint8)
        return Views(self.strong(weak), targets, there.sum())

    def _numbers(self, first: int, count: int) -> list[int]:
        """Return which images come, counted from the run's beginning: each once before any comes again."""
        total = len(self.split)
        rounds = range(first // total, (first + count - 1) // total + 1)
        orders = {each: _order(total, seed_of(self.seed, each, "unlabeled order")) for each in rounds}
        return [orders[place // total][place % total] for place in range(first, first + count)]


@lru_cache(maxsize=2)  # a step spans two rounds at the most, but where images are fewer than it takes
def _order(count: int, seed: int) -> list[int]:
    return shuffled_order(count, seed)


def require_unlabeled(config: TrainConfig) -> None:
    """Raise SegnetError where a run can't learn from images without masks as it is set."""
    if config.unlabeled is None:
        return
    if not config.unlabeled.is_dir():
        raise SegnetError(f"--unlabeled {config.unlabeled} is no folder; check the path")
    if config.patch is not None:
        raise SegnetError("--unlabeled takes whole images and no --patch; leave one of them out")
    if not config.ema_decay:
        raise SegnetError(
            "--unlabeled lets the averaged model label images, and there is none: give --ema-decay, such as "
            "0.99, or --recipe modern"
        )


def on_threshold(config: TrainConfig, classes: int) -> list[str]:
    """Return a line where label smoothing holds the probabilities below the threshold."""
    highest = 0.9 + 0.1 / classes
    smooth = any(term.name == "label-smoothing" for term in parse_loss(config.loss))
    if config.unlabeled is None or not smooth or config.unlabeled_threshold <= highest:
        return []
    return [
        f"label-smoothing aims at a probability of {highest:.3f} and no more, so hardly a pixel reaches "
        f"--unlabeled-threshold {config.unlabeled_threshold:g}; lower it, or take another --loss"
    ]
