"""The loss of one step: the recipe's against the masks, and what else a run learns from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from segnet.base.device import autocast
from segnet.training.configuration.config import TrainConfig
from segnet.training.losses.losses import Loss, make_loss
from segnet.training.schedule import train_size, warm_up
from segnet.training.teacher import Teacher
from segnet.training.unlabeled import Unlabeled, Views


class Moment(NamedTuple):
    """Where in a run a step is."""

    epoch: int
    """Epochs done."""
    step: int
    """Steps of this epoch done."""
    steps: int
    """Steps of this epoch."""


@dataclass(frozen=True)
class StepLoss:
    """What a step makes small."""

    config: TrainConfig
    device: torch.device
    class_weights: Tensor | None
    teacher: Teacher | None = None
    unlabeled: Unlabeled | None = None

    def __call__(
        self,
        network: nn.Module,
        images: Tensor,
        masks: Tensor,
        moment: Moment,
        whole: Tensor | None = None,
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Run the network and return the loss, a scalar, and what was measured besides.

        Args:
            network: what is trained.
            images: float32 ``(N, C, H, W)`` in [0, 1], augmented.
            masks: uint8 ``(N, H, W)``, 255 = ignore.
            moment: which step it is; what is random is a function of it and the seed.
            whole: the masks of the whole step, where these are a part of it; the parts' losses then sum up.
        """
        views = None if self.unlabeled is None else self._views(self.unlabeled, len(images), moment)
        with autocast(self.device, self.config.precision):
            logits = network(images if views is None else torch.cat((images, views.images)))
            taught = None if self.teacher is None else self.teacher.logits(images)

        with_masks = logits if views is None else logits[: len(images)]
        loss = self._loss(with_masks, masks, self.class_weights, whole)
        if self.teacher is not None and taught is not None:
            loss = self.teacher.mixed(loss, with_masks, taught, masks, whole)
        if views is None:
            return loss, {}

        without = views.answers.loss(logits[len(images) :])
        warm = warm_up(self.config, moment.epoch, moment.step / moment.steps)
        measured = {"unlabeled_loss": without} | views.answers.measured()
        return loss + warm * self.config.unlabeled_weight * without, measured

    def _views(self, unlabeled: Unlabeled, count: int, moment: Moment) -> Views:
        """Return as many images without masks as a step has with masks."""
        first, size = moment.step * self.config.batch_size, train_size(self.config, moment.epoch)
        return unlabeled.views(moment.epoch, first, count, size, self.device)

    @cached_property
    def _loss(self) -> Loss:
        return make_loss(self.config.loss)
