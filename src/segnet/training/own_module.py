"""A module of the user's own in training: what it must be and give, checked before it costs anything."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from segnet.base.device import autocast, move
from segnet.base.errors import SegnetError
from segnet.base.randomness import seeded
from segnet.data.store.batches import split_into_batches
from segnet.models.names import is_own, name_of, short_name
from segnet.training.configuration.config import TrainConfig
from segnet.training.schedule import train_sizes


def require_known(config: TrainConfig) -> None:
    """Raise SegnetError where the model is named like a class: only its owner can build it."""
    if is_own(config.model):
        raise SegnetError(
            f"segnet has no model {config.model}; a module of your own is trained through Python: "
            f"segnet.train(config, model={short_name(config.model)}(...))"
        )


def require_own(config: TrainConfig, model: nn.Module) -> None:
    """Check what a module of the user's own is before any data is read.

    Raises:
        SegnetError: no module, options that nobody would use, or weights that can't be kept.
    """
    name = name_of(model)
    if config.model_options:
        raise SegnetError(
            f"model_options are for segnet's models; build {short_name(name)}(...) with what it takes"
        )
    if any(is_lazy(parameter) for parameter in model.parameters()):
        raise SegnetError(
            f"{name} has lazy parameters; run an image through it once, so that they get a shape"
        )
    kept = model.state_dict()
    foreign = next((key for key, value in kept.items() if not isinstance(value, Tensor)), None)
    if foreign is not None:
        raise SegnetError(f"the state_dict of {name} must hold tensors alone, but {foreign} is none")


def require_logits(
    model: nn.Module, config: TrainConfig, classes: Sequence[str], count: int, device: torch.device
) -> None:
    """Run a copy of the user's own module on noise and check what it gives, before it costs an epoch.

    It runs in training mode at every size of the run, and in evaluation mode at the full size, since some
    modules give something else there. The module itself and the random state stay as they are.

    Args:
        model: ``(N, C, H, W)`` float32 in [0, 1] to logits ``(N, len(classes), H, W)``.
        config: the run.
        classes: their names.
        count: training images.
        device: where the run computes.

    Raises:
        SegnetError: it fails, gives anything else, or has nothing to train.
    """
    name = name_of(model)
    batches = split_into_batches(range(count), config.batch_size)
    images = min((len(batch) for batch in batches), default=2)
    runs = [*(("training", size) for size in train_sizes(config)), ("evaluation", config.size)]
    with seeded(config.seed, device):
        try:
            trial = move(copy.deepcopy(model), device)
        except Exception as error:  # whatever the module does
            raise SegnetError(
                f"{name} can't be copied and moved to {device}: {_first_line(error)}"
            ) from error
        for mode, size in runs:
            trial.train(mode == "training")
            shape = (min(images, 2), config.channels or 3, *size)
            noise = torch.rand(shape, device=device).contiguous(memory_format=torch.channels_last)
            try:
                with torch.set_grad_enabled(trial.training), autocast(device, config.precision):
                    output = trial(noise)
            except Exception as error:  # whatever the module does
                raise SegnetError(
                    f"{name} fails on images {shape} in {mode} mode: {_first_line(error)}"
                ) from error
            _require_logits(name, output, shape, classes)
            if trial.training and not output.requires_grad:
                raise SegnetError(
                    f"{name} has nothing to train: its logits depend on no parameter with a gradient"
                )


def _require_logits(name: str, output: object, images: Sequence[int], classes: Sequence[str]) -> None:
    needed = (images[0], len(classes), *images[2:])
    if isinstance(output, Tensor):
        found = f"{tuple(output.shape)}" + (
            "" if output.is_floating_point() else f" of {str(output.dtype).removeprefix('torch.')}"
        )
        fits = tuple(output.shape) == needed and output.is_floating_point()
    else:
        kind = type(output).__name__
        inside = ", ".join(map(str, output)) if isinstance(output, Mapping) else ""
        size = f" of {len(output)}" if isinstance(output, tuple | list) else ""
        found, fits = f"a {kind}{size}{' with ' * bool(inside)}{inside}", False
    if not fits:
        raise SegnetError(
            f"{name} gives {found} for images {tuple(images)}; it must give one tensor of logits {needed}, "
            f"(N, classes, H, W) with a channel each for {', '.join(classes)}"
        )


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {text[0]}"
