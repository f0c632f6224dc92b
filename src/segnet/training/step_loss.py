"""The loss of one step: the recipe's against the masks, and what else a run learns from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from segnet.core.device import autocast
from segnet.objectives.losses import Loss, make_loss
from segnet.training.config import TrainConfig
from segnet.training.teacher import Teacher


@dataclass(frozen=True)
class StepLoss:
    """What a step makes small."""

    config: TrainConfig
    device: torch.device
    class_weights: Tensor | None
    teacher: Teacher | None = None

    def __call__(self, network: nn.Module, images: Tensor, masks: Tensor) -> Tensor:
        """Run the network and return the loss, a scalar.

        Args:
            network: what is trained.
            images: float32 ``(N, C, H, W)`` in [0, 1].
            masks: uint8 ``(N, H, W)``, 255 = ignore.
        """
        with autocast(self.device, self.config.precision):
            logits = network(images)
            taught = None if self.teacher is None else self.teacher.logits(images)
        loss = self._loss(logits, masks, self.class_weights)
        if self.teacher is not None and taught is not None:
            loss = self.teacher.mixed(loss, logits, taught, masks)
        return loss

    @cached_property
    def _loss(self) -> Loss:
        return make_loss(self.config.loss)
