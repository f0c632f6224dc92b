"""What a run works with, made ready before its first step: data, model, optimizer, augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from segnet.core.device import keep_freed_memory, move, pick_device
from segnet.core.errors import SegnetError
from segnet.data.augment import Augmentation
from segnet.data.cache import CachedSplit, open_cached
from segnet.data.dataset import Dataset, Sample
from segnet.data.sources import known_classes, load_dataset
from segnet.models import create_model
from segnet.objectives.losses import count_classes, median_frequency_weights
from segnet.training.checks import (
    require_batch,
    require_compiler,
    require_encoder,
    require_size,
    require_weights,
)
from segnet.training.config import TrainConfig
from segnet.training.optimizer import averaged, build_optimizer
from segnet.training.own_model import require_known, require_logits
from segnet.training.progress import counting


@dataclass
class Setup:
    """What the loop works with."""

    config: TrainConfig
    dataset: Dataset
    train: CachedSplit
    val: CachedSplit
    device: torch.device
    model: nn.Module
    average: AveragedModel | None
    optimizer: torch.optim.Optimizer
    augment: Augmentation
    class_weights: Tensor | None
    console: Console

    @property
    def judged(self) -> nn.Module:
        """The model that is validated and kept: the average where there is one."""
        return self.model if self.average is None else self.average.module

    def parts(self) -> dict[str, Any]:
        """What a checkpoint holds besides ``State``."""
        parts = {"model": self.model, "optimizer": self.optimizer}
        return parts if self.average is None else parts | {"average": self.average}


def set_up(
    config: TrainConfig, console: Console, model: nn.Module | None = None, *, from_scratch: bool = True
) -> Setup:
    """Open the data and build the model, or take the user's own.

    Args:
        config: the run.
        console: where progress is shown.
        model: the user's own in place of ``config.model``.
        from_scratch: False where a saved state will replace the weights.

    Raises:
        SegnetError: data, model or settings that can't be trained with.
    """
    keep_freed_memory()
    device = pick_device(config.device)
    if model is None:  # what is wrong with the model is found before any data is read
        require_known(config)
        with torch.device("meta"):
            sketch = create_model(config.model, **config.model_options)
        require_encoder(config, sketch)
        require_size(config, sketch)
        if config.encoder_weights is not None and from_scratch:
            sketch.load_encoder(config.encoder_weights)  # type: ignore[operator]
    known = known_classes(config)
    if known is not None:
        require_weights(config, known.names)
    dataset = load_dataset(config, holdout=config.holdout, seed=config.seed)
    require_weights(config, dataset.classes.names)
    torch.manual_seed(config.seed)
    samples = [*dataset.train, *dataset.extra]
    if model is None:
        model = create_model(config.model, len(dataset.classes), **config.model_options)
    else:
        require_encoder(config, model)
        require_logits(model, config, dataset.classes.names, len(samples), device)
        require_size(config, model)
    if config.encoder_weights is not None and from_scratch:
        model.load_encoder(config.encoder_weights)  # type: ignore[operator]
    val = open_split(dataset.val, dataset, config, console, "validation images")
    detail = config.crop_detail if config.crop_scale < 1 else 1.0
    train = open_split(samples, dataset, config, console, "training images", detail=detail)
    weights = _class_weights(config, len(dataset.classes), train)
    model = move(model, device)
    require_batch(config, len(train), getattr(model, "minimum_size", 1))
    if config.compile:
        require_compiler(device)
    return Setup(
        config=config,
        dataset=dataset,
        train=train,
        val=val,
        device=device,
        model=model,
        average=averaged(model, config.ema_decay) if config.ema_decay else None,
        optimizer=build_optimizer(model, config),
        augment=Augmentation(
            flip=config.flip,
            crop_scale=config.crop_scale,
            brightness=config.brightness,
            contrast=config.contrast,
            saturation=config.saturation,
            hue=config.hue,
        ),
        class_weights=None if weights is None else torch.tensor(weights, device=device),
        console=console,
    )


def open_split(
    samples: Sequence[Sample],
    dataset: Dataset,
    config: TrainConfig,
    console: Console,
    what: str,
    *,
    detail: float = 1.0,
) -> CachedSplit:
    """Open samples at the run's size times ``detail``, reading those that aren't cached yet.

    Raises:
        SegnetError: no samples, or an image or mask that is bad.
    """
    if not samples:
        raise SegnetError(f"{dataset.name} has no {what}")
    return open_cached(
        samples,
        dataset.classes,
        size=(round(config.size[0] * detail), round(config.size[1] * detail)),
        resize=config.resize,
        progress=partial(counting, console, f"reading {what}"),
    )


def _class_weights(config: TrainConfig, classes: int, train: CachedSplit) -> tuple[float, ...] | None:
    """Return the weight of each class in the loss; those by frequency are counted on the training masks."""
    if isinstance(config.class_weights, str):
        return median_frequency_weights(count_classes(train.masks, classes))
    return config.class_weights
