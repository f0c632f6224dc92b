"""Where training starts from: the weights of a model of ours, also of one with other classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from segnet.core.errors import SegnetError
from segnet.inference.bundle import read_description, read_weights
from segnet.inference.description import Description
from segnet.inference.opening import find_model
from segnet.models import create_model
from segnet.runs.identity import Manifest
from segnet.training.config import TrainConfig


def require_start(config: TrainConfig) -> None:
    """Check that the model to start from is there and is of the same kind, but for its classes.

    Raises:
        SegnetError: it isn't, or it was exported.
    """
    description = _described(config)
    if description.model != config.model:
        raise SegnetError(
            f"--start-from {config.start_from} is a {description.model}, not a {config.model}; "
            f"give --model {description.model}"
        )
    if (there := _shapes(config, 2, description.options)) != _shapes(config, 2, config.model_options):
        raise SegnetError(
            f"--start-from {config.start_from} has other layers ({len(there)} tensors): give "
            f"--model-options as it has them, {dict(description.options)}"
        )


def start_from(config: TrainConfig, model: nn.Module, classes: tuple[str, ...]) -> Description:
    """Load the weights into a model that was just built, and return what their file says of itself.

    The layers whose size depends on the number of classes start anew, unless the classes are the same ones in
    the same order. So do those whose size depends on the number of channels, unless that is the same.

    Args:
        config: the run, which ``require_start`` found nothing wrong with.
        model: as ``create_model`` has made it.
        classes: names of the new model's classes.
    """
    path = find_model(str(config.start_from), exported=False)
    weights, description = read_weights(path)
    if description.classes.names != classes:
        two, three = (_shapes(config, count, config.model_options) for count in (2, 3))
        weights = {name: value for name, value in weights.items() if two[name] == three[name]}
    if description.intensity.channels != (config.channels or 3):
        one, two = (_shapes(config, 2, config.model_options, channels) for channels in (1, 2))
        weights = {name: value for name, value in weights.items() if one[name] == two[name]}
    model.load_state_dict(weights, strict=False)
    return description


def _described(config: TrainConfig) -> Description:
    path = find_model(str(config.start_from), exported=False)
    if path.suffix != ".safetensors":
        raise SegnetError(f"--start-from {path} is exported and can't be trained; give its .safetensors file")
    return read_description(path)


def seen_before(name: str, description: Description, manifest: Manifest) -> list[str]:
    """Return a line for each split that will be scored and of which a model was trained on images.

    Args:
        name: what the model is called.
        description: what its file says of itself; one of an older version doesn't know its images.
        manifest: the run's data.
    """
    if description.data is None:
        return []
    seen = {split: description.data.trained_on(manifest.splits[split]) for split in ("val", "test")}
    return [
        f"{name} was trained on {count} of the {split} images; scores on them flatter"
        for split, count in seen.items()
        if count
    ]


def _shapes(
    config: TrainConfig, classes: int, options: Mapping[str, Any], channels: int = 3
) -> dict[str, torch.Size]:
    with torch.device("meta"):
        sketch = create_model(config.model, classes, channels, **options)
    return {name: value.shape for name, value in sketch.state_dict().items()}
