"""Images without masks: what another model says of a weak view, the network must say of a strong one.

Without a teacher that is FixMatch (Sohn et al., arXiv 2001.07685) pixel by pixel, labelled where it is sure
by the average of the weights as in Mean Teacher (Tarvainen and Valpola, arXiv 1703.01780). Of a teacher all
probabilities are learnt, as from images with masks: it doesn't drift with the student, and its doubts say
more than its classes (Chen et al., arXiv 2006.10029, section 2).

A weak view is cropped and flipped as images with masks are; the strong one is that very view in other
colours, so that a pixel is the same place in both. It passes the network in one batch with the images that
have masks, so that batch norm has one set of statistics.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from segnet.base.classes import IGNORE_INDEX
from segnet.base.device import autocast
from segnet.base.errors import refuse
from segnet.data.augment import Augmentation, StrongColour
from segnet.data.store.batches import shuffled_order
from segnet.data.store.split import Split
from segnet.training.configuration.config import TrainConfig
from segnet.training.epoch import seed_of
from segnet.training.losses.loss_sum import parse_loss
from segnet.training.losses.losses import negative_log_likelihood
from segnet.training.optimizer import has_average
from segnet.training.teacher import Teacher, distillation


class SureClasses(NamedTuple):
    """The classes of which a model is sure."""

    targets: Tensor
    """uint8 ``(N, H, W)``: classes, and 255 where the averaged model isn't sure."""
    pixels: Tensor
    """How many pixels there are, sure or not; the filling of ``keep_aspect`` doesn't count."""

    def loss(self, logits: Tensor) -> Tensor:
        """Return cross-entropy at the targets, a scalar: its sum over all pixels, as FixMatch has it.

        So the fewer pixels are sure, the less they weigh.
        """
        return negative_log_likelihood(logits, self.targets).sum() / self.pixels.clamp(min=1)

    def measured(self) -> dict[str, Tensor]:
        """Return ``confident_share``: the share of the pixels that are targets."""
        return {"confident_share": (self.targets != IGNORE_INDEX).sum() / self.pixels.clamp(min=1)}


class Taught(NamedTuple):
    """A teacher's logits."""

    logits: Tensor
    """``(N, C, H, W)``."""
    filled: Tensor
    """``(N, H, W)``: 255 where an image was filled up."""
    temperature: float

    def loss(self, logits: Tensor) -> Tensor:
        """Return ``distillation``, a scalar."""
        return distillation(logits, self.logits, self.filled, self.temperature)

    def measured(self) -> dict[str, Tensor]:
        """Return nothing: all pixels count."""
        return {}


Answers = SureClasses | Taught


@dataclass(frozen=True)
class Unlabeled:
    """Images without masks, and who labels them."""

    split: Split
    """The images; its masks are 0, and 255 where ``keep_aspect`` has filled them up."""
    labeller: nn.Module | Teacher
    """The averaged model, or the teacher where there is one."""
    weak: Augmentation
    strong: StrongColour
    config: TrainConfig
    per_epoch: int
    """Images that an epoch takes: as many as have masks."""
    line: str
    """What a run says of them at its start."""

    def views(
        self, epoch: int, first: int, count: int, size: tuple[int, int], device: torch.device
    ) -> tuple[Tensor, Answers]:
        """Return the strong views of one step, a function of (seed, epoch, step), and what is to be answered.

        Seeds torch's global generator, as ``Augmentation`` does.

        Args:
            epoch: epochs done.
            first: images that the epoch has taken before.
            count: images to take.
            size: ``(H, W)`` of the views.
            device: where they are computed.

        Returns:
            The views, float32 ``(N, C, H, W)`` in [0, 1], and what the labeller says of the weak ones.
        """
        taken = self.split.take(self._numbers(epoch * self.per_epoch + first, count))
        photos, filled = (torch.from_numpy(array).to(device) for array in taken)
        seed = seed_of(self.config.seed, epoch, f"unlabeled {first}")
        weak, filled = self.weak(photos.permute(0, 3, 1, 2), filled, size, seed)
        with torch.no_grad(), autocast(device, self.config.precision):
            answers = self._answers(weak, filled)
        return self.strong(weak), answers

    def _answers(self, weak: Tensor, filled: Tensor) -> Answers:
        if isinstance(self.labeller, Teacher):
            return Taught(self.labeller.logits(weak), filled, self.labeller.temperature)
        confidence, classes = self.labeller.eval()(weak).float().softmax(1).max(1)
        there = filled != IGNORE_INDEX
        sure = there & (confidence >= self.config.unlabeled_threshold)
        return SureClasses(classes.masked_fill(~sure, IGNORE_INDEX).to(torch.uint8), there.sum())

    def _numbers(self, first: int, count: int) -> list[int]:
        """Return which images come, counted from the run's beginning: each once before any comes again."""
        total = len(self.split)
        rounds = range(first // total, (first + count - 1) // total + 1)
        orders = {each: _order(total, seed_of(self.config.seed, each, "unlabeled order")) for each in rounds}
        return [orders[place // total][place % total] for place in range(first, first + count)]


# a step spans two rounds at the most, but where images are fewer than it takes
_order = lru_cache(maxsize=2)(shuffled_order)


def require_unlabeled(config: TrainConfig) -> None:
    """Raise SegnetError where a run can't learn from images without masks as it is set."""
    if config.unlabeled is None:
        return
    threshold_given = config.unlabeled_threshold != TrainConfig.unlabeled_threshold
    refuse(
        (
            not config.unlabeled.is_dir(),
            f"--unlabeled {config.unlabeled} is no folder; check the path",
        ),
        (
            config.patch is not None,
            "--unlabeled takes whole images and no --patch; leave one of them out",
        ),
        (
            config.teacher is None and not has_average(config),
            "--unlabeled lets the averaged model label images, and there is none: give --ema-decay, such as "
            "0.99, or --recipe modern, or a --teacher that labels them",
        ),
        (
            config.teacher is not None and threshold_given,
            "--unlabeled-threshold is for classes that the averaged model finds; all that a --teacher says "
            "is learnt, so leave one of the two out",
        ),
    )


def on_threshold(config: TrainConfig, classes: int) -> list[str]:
    """Return a line where label smoothing holds the probabilities below the threshold."""
    highest = 0.9 + 0.1 / classes
    smooth = any(term.name == "label-smoothing" for term in parse_loss(config.loss))
    used = config.unlabeled is not None and config.teacher is None
    if not used or not smooth or config.unlabeled_threshold <= highest:
        return []
    return [
        f"label-smoothing aims at a probability of {highest:.3f} and no more, so hardly a pixel reaches "
        f"--unlabeled-threshold {config.unlabeled_threshold:g}; lower it, or take another --loss"
    ]
