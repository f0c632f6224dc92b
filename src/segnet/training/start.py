"""Where weights start from: those of an encoder, or of a model of ours, also of one with other classes.

What a network learns of a class lies in its last layers: in each of their tensors every class has rows of its
own, as many as it has logits for (four where 2x2 pixels come out of each), one class after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from segnet.base.errors import SegnetError, refuse
from segnet.base.readable import counted
from segnet.inference.description import Description
from segnet.inference.model_file import read_description, read_weights
from segnet.inference.opening import find_model
from segnet.models import create_model
from segnet.models.encoders.weights_file import PublishedWeights
from segnet.models.names import is_own
from segnet.runs.identity import Manifest
from segnet.training.configuration.config import TrainConfig

IMAGENET, NONE = "imagenet", "none"
"""What ``encoder_weights`` may be besides a file, where a model's encoder has published weights."""


def require_encoder(config: TrainConfig, model: nn.Module, *, new: bool) -> None:
    """Raise SegnetError where a model can't start from what is given, or has no encoder to freeze."""
    weights, start = config.encoder_weights, config.start_from
    published = _published(model)
    refuse(
        (
            start is not None and is_own(config.model),
            "--start-from is for segnet's models; load the weights of your own before training",
        ),
        (
            start is not None and weights is not None,
            "--start-from brings the encoder's weights; leave --encoder-weights out",
        ),
        (
            config.freeze_encoder and not hasattr(model, "encoder"),
            f"{config.model} has no part called encoder to freeze; leave --freeze-encoder out",
        ),
        (
            config.encoder_lr != 1 and not hasattr(model, "encoder"),
            f"{config.model} has no part called encoder; leave --encoder-lr out",
        ),
        (
            weights is not None and not hasattr(model, "load_encoder"),
            f"{config.model} takes no --encoder-weights; segnet, segnet-vgg16, fcn, unet and "
            "segnet-efficient do",
        ),
        (
            weights in (IMAGENET, NONE) and published is None and hasattr(model, "load_encoder"),
            f"--encoder-weights {weights} is for segnet-efficient; {config.model} takes a file of VGG's, or "
            "starts from nothing without",
        ),
        (
            weights == IMAGENET and new and published is not None and published.find() is None,
            f"--encoder-weights imagenet: they aren't here; {published and published.missing}",
        ),
        (
            weights is not None and published is None and config.channels not in (None, 3),
            f"--encoder-weights are of RGB images; leave them or --channels {config.channels} out",
        ),
        (
            weights not in (None, IMAGENET, NONE) and new and not Path(str(weights)).is_file(),
            f"there is no file of encoder weights {weights}; check the path",
        ),
    )
    require_unfrozen_epochs(config)


def require_unfrozen_epochs(config: TrainConfig) -> None:
    """Raise SegnetError where the encoder would never learn; while the epochs are undecided nobody knows."""
    if "epochs" not in config.undecided and 0 < config.freeze_encoder >= config.epochs:
        raise SegnetError(
            f"--freeze-encoder {config.freeze_encoder} leaves the encoder no epoch of {config.epochs}"
        )


def freeze_encoder(
    model: nn.Module, optimizer: torch.optim.Optimizer, config: TrainConfig, epoch: int
) -> None:
    """Keep the encoder's weights, and the statistics of its batch norm, as they are; or let them learn.

    What the owner of a module has frozen isn't the optimizer's, and stays so.
    """
    if not config.freeze_encoder:
        return
    encoder, frozen = model.get_submodule("encoder"), epoch < config.freeze_encoder
    encoder.train(not frozen)
    learnt = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    for parameter in encoder.parameters():
        parameter.requires_grad_(not frozen and id(parameter) in learnt)


def require_start(config: TrainConfig) -> None:
    """Check that the model to start from is there and is of the same kind, but for its classes.

    Raises:
        SegnetError: it isn't, or it was exported.
    """
    description = read_description(weights_file("--start-from", str(config.start_from), "be trained"))
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


class Started(NamedTuple):
    """What a model has got from another."""

    description: Description
    """What the file of the other says of itself."""
    notes: tuple[str, ...]
    """What has not come along as it was, a line each."""


def with_encoder_weights(config: TrainConfig, model: nn.Module) -> TrainConfig:
    """Decide what nobody has: an encoder takes its published weights where they are installed."""
    published = _published(model)
    if published is None or config.encoder_weights is not None or config.start_from is not None:
        return config
    weights, reason = IMAGENET, f"{config.model}'s own; none = from nothing"
    if published.find() is None:
        weights, reason = NONE, published.missing
    return replace(config, encoder_weights=weights, derived={**config.derived, "encoder_weights": reason})


def start_weights(config: TrainConfig, model: nn.Module, classes: tuple[str, ...]) -> Started | None:
    """Load the weights that a model which was just built starts from; None where it starts from nothing."""
    published, weights = _published(model), config.encoder_weights
    if weights == IMAGENET and published is not None:
        weights = str(published.find())
    if weights not in (None, NONE):
        model.load_encoder(Path(str(weights)))  # type: ignore[operator]
    return None if config.start_from is None else start_from(config, model, classes)


def encoder_notes(config: TrainConfig, model: nn.Module) -> tuple[str, ...]:
    """Say what an encoder's weights of RGB images have become for other channels."""
    published, channels = _published(model), config.channels or 3
    if published is None or config.encoder_weights in (None, NONE) or channels == 3:
        return ()
    how = "their sum" if channels == 1 else f"those of red, green and blue in turn, times 3/{channels}"
    return (f"encoder weights are of RGB images; {counted(channels, 'channel')} started from {how}",)


def encoder_notice(config: TrainConfig, model: nn.Module) -> str:
    """Return licence and source of the published weights that an encoder started from."""
    published = _published(model)
    return published.notice if published is not None and config.encoder_weights == IMAGENET else ""


def _published(model: nn.Module) -> PublishedWeights | None:
    published = getattr(model, "published", None)
    return published if isinstance(published, PublishedWeights) else None


def start_from(config: TrainConfig, model: nn.Module, classes: tuple[str, ...]) -> Started:
    """Load another model's weights into one that was just built.

    Classes are matched by name: the last layers' rows of a class come along wherever it stands now, those of
    a new class start anew. Where the number of channels differs, so do the layers whose size depends on it.

    Args:
        config: the run, which ``require_start`` found nothing wrong with.
        model: as ``create_model`` has made it.
        classes: names of the new model's classes.
    """
    path = find_model(str(config.start_from), exported=False)
    weights, description = read_weights(path)
    others, notes = description.classes.names, []
    if others != classes:
        fresh, rows = model.state_dict(), _rows_of_a_class(config)
        places = [(others.index(name), now) for now, name in enumerate(classes) if name in others]
        for name, per_class in rows.items():
            weights[name] = _matched(weights[name], fresh[name], places, per_class)
        notes += _on_classes(str(config.start_from), others, classes, _layers(rows))
    if description.intensity.channels != (config.channels or 3):
        one, two = (_shapes(config, 2, config.model_options, channels) for channels in (1, 2))
        anew = [name for name in weights if one[name] != two[name]]
        weights = {name: value for name, value in weights.items() if name not in anew}
        notes.append(
            f"{config.start_from} takes {description.intensity.channels} channels, this model "
            f"{config.channels or 3}: {_layers(anew)} starts anew"
        )
    model.load_state_dict(weights, strict=False)
    return Started(description, tuple(notes))


def _rows_of_a_class(config: TrainConfig) -> dict[str, tuple[int, ...]]:
    """Return, of each tensor with rows of classes, how many a class has in each dimension, 0 in others."""
    two, three = (_shapes(config, count, config.model_options) for count in (2, 3))
    return {
        name: tuple(more - less for less, more in zip(two[name], three[name], strict=True))
        for name in two
        if two[name] != three[name]
    }


def _matched(
    other: Tensor, fresh: Tensor, places: Sequence[tuple[int, int]], per_class: tuple[int, ...]
) -> Tensor:
    """Return a new model's tensor with the rows of those classes that another model has too.

    Args:
        other: the other model's tensor.
        fresh: the new one's, as it was drawn.
        places: the number of each class that both have, in the other model and in the new one.
        per_class: rows of a class in each dimension.
    """

    def rows(which: int, size: int, count: int) -> Tensor:
        if not count:
            return torch.arange(size)
        return torch.tensor(
            [place[which] * count + row for place in places for row in range(count)], dtype=torch.int64
        )

    def at(which: int) -> tuple[Tensor, ...]:
        found = [rows(which, size, count) for size, count in zip(fresh.shape, per_class, strict=True)]
        return torch.meshgrid(*found, indexing="ij")

    matched = fresh.clone()
    matched[at(1)] = other[at(0)].to(fresh)
    return matched


def _on_classes(name: str, others: Sequence[str], classes: Sequence[str], layer: str) -> list[str]:
    """Return what became of each class, and of the layer that holds them."""
    both = [each for each in classes if each in others]
    new, gone = [each for each in classes if each not in both], [each for each in others if each not in both]
    if not both:
        return [f"{name} has none of these classes ({', '.join(others)}): {layer} starts anew"]
    notes = [f"classes matched with those of {name} by name: {', '.join(both)}"]
    if new:
        notes.append(f"classes that {name} lacks start anew in {layer}: {', '.join(new)}")
    if gone:
        notes.append(f"classes of {name} that the data lacks are left out: {', '.join(gone)}")
    return notes


def _layers(tensors: Iterable[str]) -> str:
    """Return the layers that tensors are of, each once."""
    return ", ".join(dict.fromkeys(name.rpartition(".")[0] for name in tensors))


def weights_file(option: str, name: str, does: str) -> Path:
    """Return the model file that an option names.

    Args:
        option: as it is typed.
        name: what stands there: a run folder, a file or a bundled name.
        does: what an exported model can't do, in words.

    Raises:
        SegnetError: there is none, or it was exported.
    """
    path = find_model(name, exported=False)
    refuse(
        (
            path.suffix != ".safetensors",
            f"{option} {path} is exported and can't {does}; give its .safetensors file",
        )
    )
    return path


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
