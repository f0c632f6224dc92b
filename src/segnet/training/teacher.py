"""Distillation: a model learns what another answers, beside the masks (Hinton et al., arXiv 1503.02531).

The teacher is frozen and sees the very batch that its student sees. Where it is unsure, its probabilities say
between what: more than a mask does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segnet.base.classes import IGNORE_INDEX
from segnet.base.device import move
from segnet.base.distributed.collectives import batch_sums
from segnet.base.errors import SegnetError, refuse
from segnet.base.files import expand_home
from segnet.data.images.intensity import Intensity
from segnet.inference.description import Description
from segnet.inference.model_file import build_model, read_description, read_model
from segnet.models.inspection.costs import count_parameters
from segnet.models.names import is_own
from segnet.training.configuration.config import TrainConfig
from segnet.training.start import weights_file


@dataclass(frozen=True)
class Teacher:
    """A frozen model in evaluation mode, and how much it has to say."""

    name: str
    """As it was given."""
    model: nn.Module
    description: Description
    weight: float
    """Its share of the loss, 0 to 1."""
    temperature: float

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Return its logits for the student's batch, float32 ``(N, C, H, W)`` in [0, 1]."""
        return self.model(images)

    def mixed(
        self, loss: Tensor, student: Tensor, taught: Tensor, mask: Tensor, whole: Tensor | None = None
    ) -> Tensor:
        """Return (1 - w) · the loss against the masks + w · ``distillation``."""
        softened = distillation(student, taught, mask, self.temperature, whole)
        return (1 - self.weight) * loss + self.weight * softened

    @property
    def line(self) -> str:
        """Return what a run says of it at its start."""
        return (
            f"teacher: {self.name}, a {self.description.model} of {count_parameters(self.model):,} "
            f"parameters, {self.weight:g} of the loss at temperature {self.temperature:g}"
        )

    def on_other_values(self, intensity: Intensity) -> list[str]:
        """Return a line where it has learnt from images of other ranges than those of this run."""
        if self.description.intensity == intensity:
            return []
        return [
            f"{self.name} was trained with other values as black and white than these images are brought to; "
            "it will see them darker or lighter"
        ]

    @cached_property
    def digest(self) -> str:
        """Which weights it has."""
        found = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return found.hexdigest()

    def state_dict(self) -> dict[str, str]:
        """Return what a checkpoint keeps of it: which weights it has, not the weights."""
        return {"digest": self.digest}

    def load_state_dict(self, state: Mapping[str, str]) -> None:
        """Check that it is still the teacher that the run began with.

        Raises:
            SegnetError: it has other weights.
        """
        if state["digest"] != self.digest:
            raise SegnetError(
                f"--teacher {self.name} has other weights than when the run began; bring the first ones back "
                "and name them as teacher in config.yaml, or start a new run"
            )


def distillation(
    student: Tensor, teacher: Tensor, mask: Tensor, temperature: float, whole: Tensor | None = None
) -> Tensor:
    """Return T² · the mean over pixels of KL(softmax(teacher / T) ‖ softmax(student / T)), a scalar.

    T² keeps the gradients as large as those of the masks' loss, whatever the temperature (section 2 of the
    paper). Ignored pixels take no part, though the teacher has an answer there too: nothing is to be learnt
    from them, or they are the mirrored filling of ``keep_aspect``, and no mask has ever taught the teacher
    what is there. Class weights have no place here: they make up for what masks show rarely, and the
    teacher's probabilities hold that already.

    Args:
        student: logits ``(N, C, H, W)``.
        teacher: logits of the same shape.
        mask: ``(N, H, W)``, of which only 255 = ignore is looked at.
        temperature: T, above 0.
        whole: the mask of the whole batch, where these are a part of it; the parts then sum up to it.
    """
    ours, theirs = ((logits.float() / temperature).log_softmax(1) for logits in (student, teacher))
    divergence = F.kl_div(ours, theirs, reduction="none", log_target=True).sum(1)
    counted = mask != IGNORE_INDEX
    pixels = (counted if whole is None else whole != IGNORE_INDEX).sum()
    total, pixels = batch_sums((divergence * counted).sum(), pixels)
    return temperature**2 * total / pixels.clamp(min=1)


def sketch_teacher(config: TrainConfig) -> nn.Module:
    """Check what the teacher's file says of itself, and return the model without weights.

    Raises:
        SegnetError: it isn't there, was exported, can't be built or takes images of other channels.
    """
    path, name = _find(config), config.teacher
    description = read_description(path)
    needed, takes = config.channels or 3, description.intensity.channels
    refuse(
        (
            is_own(description.model),
            f"--teacher {name} holds a model of your own ({description.model}), which segnet can't build; "
            "give a run of one of the models that segnet models lists",
        ),
        (
            takes != needed,
            f"--teacher {name} takes images of {takes} channels, and the run has {needed}; give a model that "
            f"was trained with --channels {needed}",
        ),
    )
    with torch.device("meta"):
        return build_model(description)


def open_teacher(config: TrainConfig, classes: tuple[str, ...], device: torch.device) -> Teacher:
    """Open the teacher of a run with which ``sketch_teacher`` found nothing wrong.

    Raises:
        SegnetError: other classes, or the same in another order; or as ``read_model``.
    """
    name = str(config.teacher)
    model, description = read_model(_find(config))
    its_classes = description.classes.names
    if its_classes != classes:
        raise SegnetError(
            f"--teacher {name} knows {', '.join(its_classes)}, and the data has {', '.join(classes)}; give a "
            "model that was trained with these classes in this order"
        )
    frozen = move(model.requires_grad_(False), device)
    return Teacher(name, frozen, description, config.teacher_weight, config.teacher_temperature)


def _find(config: TrainConfig) -> Path:
    name = str(config.teacher)
    if config.out is not None and expand_home(name).resolve() == config.out.resolve():
        raise SegnetError(f"--teacher {name} is this very run; give one that has ended")
    return weights_file("--teacher", name, "teach")
