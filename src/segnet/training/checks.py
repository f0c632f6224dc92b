"""Mistakes that only a run can make, found before they cost an epoch or spoil what is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from segnet.core.errors import SegnetError
from segnet.data.batches import split_into_batches
from segnet.models import require_image_size
from segnet.models.describe import learned_names
from segnet.training.config import TrainConfig
from segnet.training.schedule import train_size, train_sizes


def require_size(config: TrainConfig, model: nn.Module) -> None:
    """Raise SegnetError where the model can't take the images of some epoch."""
    for size in train_sizes(config):
        try:
            require_image_size(config.model, model, size)
        except SegnetError as error:
            small_first = ", or set --no-progressive" if size != config.size else ""
            raise SegnetError(f"{error}{small_first}") from error


def require_encoder(config: TrainConfig, model: nn.Module) -> None:
    """Raise SegnetError where encoder weights are given to a model that takes none."""
    if config.encoder_weights is not None and not hasattr(model, "load_encoder"):
        raise SegnetError(f"{config.model} takes no --encoder-weights; segnet-vgg16 does")


def require_batch(config: TrainConfig, count: int, least: int) -> None:
    """Raise SegnetError where batch norm would get a single value for each channel of the smallest map."""
    smallest = min(len(batch) for batch in split_into_batches(range(count), config.batch_size))
    if smallest == 1 and max(train_size(config, 0)) < 2 * least:
        raise SegnetError(
            f"one image of {max(train_size(config, 0))} px in a batch leaves batch norm a single value; "
            "raise --batch-size or --size"
        )


def require_weights(config: TrainConfig, classes: Sequence[str]) -> None:
    """Raise SegnetError where class weights were given for another number of classes."""
    weights = config.class_weights
    if isinstance(weights, tuple) and len(weights) != len(classes):
        raise SegnetError(
            f"--class-weights needs {len(classes)} numbers, one each for {', '.join(classes)}; "
            f"got {len(weights)}"
        )


def require_compiler(device: torch.device) -> None:
    """Raise SegnetError where torch.compile can't work; that shows only when something compiled is run."""
    try:
        torch.compile(nn.Hardswish())(torch.ones(2, device=device))
    except Exception as error:  # whatever stands between torch and a compiler
        raise SegnetError(
            "--compile needs a working C++ compiler (and Triton on a GPU), such as g++; install one or leave "
            "--compile out"
        ) from error


def require_finite(train_loss: float, model: nn.Module, epoch: int) -> None:
    """Raise SegnetError where a run has diverged, before its weights are kept.

    Batch norm can keep the loss finite while weights and statistics overflow, so these are looked at too.
    """
    state = model.state_dict()
    tensors = [state[name] for name in learned_names(model) & state.keys()]
    if math.isfinite(train_loss) and all(bool(tensor.isfinite().all()) for tensor in tensors):
        return
    what = "weights" if math.isfinite(train_loss) else f"loss ({train_loss})"
    raise SegnetError(
        f"the {what} went beyond all bounds in epoch {epoch}; lower --lr, or set --clip-norm 1 or "
        "--precision float32"
    )
