"""Set-up: what a run works with, built once nothing is found wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from segnet.base.device import keep_freed_memory, move
from segnet.base.errors import SegnetError, require_all
from segnet.base.progress import counting
from segnet.base.settings import absolute_paths, path_names
from segnet.data.augment import COLOURS, GEOMETRY, GREYS, Augmentation, StrongColour
from segnet.data.check.balance import Counts, balance_faults, count_values, no_images
from segnet.data.dataset import Dataset, Sample
from segnet.data.faults import Fault, lines, raise_errors
from segnet.data.identify import manifest_of
from segnet.data.images.file_records import one_look
from segnet.data.images.intensity import RGB, Intensity
from segnet.data.images.percentiles import measured
from segnet.data.options import DATASET_NAMES
from segnet.data.pets import official_id
from segnet.data.sources import load_dataset
from segnet.data.store.fit_to_size import Fit
from segnet.data.store.open_split import open_pixels
from segnet.data.store.split import Split
from segnet.data.without_masks import WithoutMasks, find_without_masks, require_depth
from segnet.inference.description import Description
from segnet.models import create_model
from segnet.models.names import is_own, short_name
from segnet.runs.identity import DataIdentity, Manifest
from segnet.runs.scores import ScoredOn
from segnet.training.check import check, require_batch, require_logits, require_weights
from segnet.training.configuration.config import TrainConfig
from segnet.training.configuration.derived import derive
from segnet.training.epoch import epoch_length
from segnet.training.losses.class_weights import median_frequency_weights
from segnet.training.optimizer import ModelEMA, build_average, build_optimizer
from segnet.training.start import (
    Started,
    encoder_notes,
    encoder_notice,
    require_unfrozen_epochs,
    seen_before,
    start_weights,
    with_encoder_weights,
)
from segnet.training.teacher import Teacher, open_teacher
from segnet.training.unlabeled import Unlabeled, on_threshold


@dataclass(kw_only=True)
class Learner:
    """What learns, from what and how: all that a step works with."""

    config: TrainConfig
    train: Split
    device: torch.device
    model: nn.Module
    ema: ModelEMA | None = None
    optimizer: torch.optim.Optimizer
    augment: Augmentation
    class_weights: Tensor | None
    teacher: Teacher | None = None
    unlabeled: Unlabeled | None = None
    console: Console

    @property
    def eval_model(self) -> nn.Module:
        """The model that is validated and kept: the average where there is one."""
        return self.model if self.ema is None else self.ema.module

    def parts(self) -> dict[str, Any]:
        """What a checkpoint holds besides ``State``."""
        parts = {"model": self.model, "optimizer": self.optimizer, "ema": self.ema, "teacher": self.teacher}
        return {name: part for name, part in parts.items() if part is not None}


@dataclass(kw_only=True)
class Setup(Learner):
    """What the loop works with."""

    dataset: Dataset
    manifest: Manifest
    val: Split
    notice: str = ""
    """Licence and attribution of all that the weights have learnt from."""
    warnings: tuple[str, ...] = ()
    """What is odd about the data, a line each."""
    notes: tuple[str, ...] = ()
    """What has not come along as it was from the weights to start from, a line each."""

    @property
    def stem(self) -> str:
        """What a run folder is called that nobody has named, but for its number."""
        return f"{self.dataset.name}-{short_name(self.config.model)}-{self.config.recipe}"

    def scored_on(self, split: str) -> ScoredOn:
        """Say which images the scores of a split are taken on."""
        records = self.manifest.splits[split]
        return ScoredOn(self.manifest.name, split, len(records), self.identity.trained_on(records))

    @property
    def settings(self) -> dict[str, Any]:
        """The configuration as plain values, with paths that hold from any working directory."""
        return _with_absolute_paths(self.config).to_dict()

    @cached_property
    def identity(self) -> DataIdentity:
        """What the model file says of the data; no path, which would tell strangers of this machine."""
        return DataIdentity.of(
            self.manifest, path_names(self.config) - ({"data"} if self.config.place is None else set())
        )


@one_look()
def build(
    config: TrainConfig,
    console: Console,
    model: nn.Module | None = None,
    *,
    begun: Manifest | None = None,
) -> Setup:
    """Check a run, build its model, or take the user's own, and open its data.

    Where the options tell the classes, the model comes first: what is wrong with it, or with its encoder's
    weights, is found before a download.

    Args:
        config: the run.
        console: where progress is shown.
        model: the user's own in place of ``config.model``.
        begun: the data that a run began with, which goes on: a saved state will replace the weights.

    Raises:
        SegnetError: as ``check``, data or weights that can't be trained with, or data that isn't, image by
            image, what the run began with; says what differs.
    """
    device, classes = check(config, model, new=begun is None)
    keep_freed_memory()
    dataset = None
    if classes is None:
        dataset = load_dataset(config)
        classes = dataset.classes
        require_weights(config, classes.names)
    teacher = None if config.teacher is None else open_teacher(config, classes.names, device)
    torch.manual_seed(config.seed)
    channels = config.channels or 3
    if model is None:
        model = create_model(config.model, len(classes), channels, **config.model_options)
    started = None
    if begun is None:  # a run that goes on has its weights in its state
        config = with_encoder_weights(config, model)
        started = start_weights(config, model, classes.names)
    dataset = dataset or load_dataset(config)
    if is_own(config.model):
        require_logits(model, config, classes.names, len(dataset.splits["train"]), device)
    manifest, alone = _list_images(config, dataset, channels, started, begun)
    dataset = _measured(dataset, channels, console)
    train, val = _open_both(dataset, config, console)
    pixels = count_values(train)
    balance = _require_balance(dataset, pixels, val)
    config = derive(config, epoch_length(config, train), classes.names, pixels)
    require_unfrozen_epochs(config)
    weights = _class_weights(config, len(classes), train)
    model = move(model, device)
    require_batch(config, epoch_length(config, train), getattr(model, "minimum_size", 1))
    learnt_from = {str(config.start_from): started.description} if started else {}
    learnt_from |= {teacher.name: teacher.description} if teacher else {}
    ema = build_average(model, config)
    labeller = teacher or (ema.module if ema else None)
    unlabeled = _open_unlabeled(alone, labeller, dataset, config, console, epoch_length(config, train))
    return Setup(
        config=config,
        dataset=dataset,
        manifest=manifest,
        train=train,
        val=val,
        device=device,
        model=model,
        ema=ema,
        optimizer=build_optimizer(model, config),
        augment=Augmentation(**_settings(config, GEOMETRY + (COLOURS if channels == 3 else GREYS))),
        class_weights=None if weights is None else torch.tensor(weights, device=device),
        teacher=teacher,
        unlabeled=unlabeled,
        console=console,
        notice=_notice(dataset.notice, encoder_notice(config, model), *learnt_from.values()),
        warnings=(
            *dataset.warnings,
            *(alone.warnings if alone else ()),
            *lines(balance),
            *(line for name, other in learnt_from.items() for line in seen_before(name, other, manifest)),
            *(teacher.on_other_values(dataset.intensity) if teacher else ()),
            *on_threshold(config, len(classes)),
        ),
        notes=(*encoder_notes(config, model), *(started.notes if started else ())),
    )


def _require_balance(dataset: Dataset, pixels: Counts, val: Split) -> list[Fault]:
    """Return what is odd about the classes' pixels; raise SegnetError for what nothing can be learnt from."""
    counts = count_values(val)
    found = balance_faults(
        dataset.name, dataset.classes.names, pixels, counts, len(val), held_out=dataset.held_out
    )
    raise_errors(found, dataset.name)
    return found


def _list_images(
    config: TrainConfig,
    dataset: Dataset,
    channels: int,
    started: Started | None,
    begun: Manifest | None,
) -> tuple[Manifest, WithoutMasks | None]:
    """Return the data image by image, as a run keeps it, and the images without masks.

    Raises:
        SegnetError: it isn't what the run began with.
    """
    manifest, alone = manifest_of(dataset, _with_absolute_paths(config).data_dict()), None
    if config.unlabeled is not None:
        held_out = (*manifest.splits["val"], *manifest.splits["test"])
        id_of_name = official_id if config.source == "oxford-pets" else None
        alone = find_without_masks(config.unlabeled, channels, held_out, id_of_name)
        manifest = replace(manifest, unlabeled=alone.records)
    if started is not None and started.description.data is not None:
        own = (*manifest.splits["train"], *manifest.unlabeled)
        before = started.description.data.trained.difference(*(each.ids for each in own))
        manifest = replace(manifest, before=before)
    if begun is not None:
        if changes := begun.changes(manifest):
            raise SegnetError(
                f"the data has changed since the run began: {changes}; bring it back as it was, or start a "
                "new run with segnet train --config and its config.yaml"
            )
        manifest = replace(manifest, name=begun.name, before=begun.before)
    return manifest, alone


def _measured(dataset: Dataset, channels: int, console: Console) -> Dataset:
    """Return a dataset that says what is black and white in its images to train on."""
    intensity, odd = measured(
        dataset.splits["train"],
        channels,
        partial(counting, console, "measuring the values of training images"),
    )
    return replace(dataset, intensity=intensity, warnings=(*dataset.warnings, *odd))


def _with_absolute_paths(config: TrainConfig) -> TrainConfig:
    return replace(config, **absolute_paths(config, names=DATASET_NAMES))


_BETWEEN_NOTICES = "; "


def _notice(data: str, encoder: str, *others: Description) -> str:
    """Return the licences of all that was learnt from, also by other models, each once."""
    notices = (data, encoder, *(other.notice for other in others))
    parts = (part for notice in notices for part in notice.split(_BETWEEN_NOTICES) if part)
    return _BETWEEN_NOTICES.join(dict.fromkeys(parts))


def fit_of(config: TrainConfig, intensity: Intensity = RGB) -> Fit:
    """Return how a run brings images, read like this, to what its network takes."""
    patch_scale = None if config.patch is None else float(config.patch_scale)
    return Fit(config.size, config.resize, patch_scale, config.keep_aspect, intensity)


def _open_both(dataset: Dataset, config: TrainConfig, console: Console) -> tuple[Split, Split]:
    """Open what is trained and what is validated on; what is wrong with either is one error."""
    samples, detail = dataset.splits["train"], _detail(config)
    val, train = require_all(
        lambda: open_split(dataset.val, dataset, config, console, "validation images"),
        lambda: open_split(samples, dataset, config, console, "training images", detail=detail),
    )
    return train, val


def _open_unlabeled(
    alone: WithoutMasks | None,
    labeller: nn.Module | Teacher | None,
    dataset: Dataset,
    config: TrainConfig,
    console: Console,
    per_epoch: int,
) -> Unlabeled | None:
    """Open images without masks, where there are any, as those to train on are opened."""
    if alone is None or labeller is None:
        return None
    require_depth(alone.samples, dataset.intensity)
    what = "images without masks"
    split = open_split(alone.samples, dataset, config, console, what, detail=_detail(config))
    left_out = f"; {alone.left_out:,} more are validated or tested on, so they are left out"
    return Unlabeled(
        split=split,
        labeller=labeller,
        weak=Augmentation(**_settings(config, GEOMETRY)),
        strong=StrongColour(dataset.intensity.channels),
        config=config,
        per_epoch=per_epoch,
        line=f"{len(split):,} {what} from {config.unlabeled}{left_out if alone.left_out else ''}",
    )


def _settings(config: TrainConfig, names: Sequence[str]) -> dict[str, Any]:
    """Return the settings that are passed on by their names."""
    return {name: getattr(config, name) for name in names}


def _detail(config: TrainConfig) -> float:
    """Return at which multiple of the run's size training images are kept."""
    return config.crop_detail if config.crop_scale < 1 and config.patch is None else 1.0


def open_split(
    samples: Sequence[Sample],
    dataset: Dataset,
    config: TrainConfig,
    console: Console,
    what: str,
    *,
    detail: float = 1.0,
) -> Split:
    """Open samples at the run's size times ``detail``, reading those that aren't cached yet.

    Raises:
        SegnetError: no samples, or an image or mask that is bad.
    """
    if not samples:
        raise no_images(dataset.name, what)
    size = round(config.size[0] * detail), round(config.size[1] * detail)
    return open_pixels(
        samples,
        dataset.classes,
        replace(fit_of(config, dataset.intensity), size=size),
        data=f"{dataset.name}, {what}",
        progress=partial(counting, console, f"reading {what}"),
    )


def _class_weights(config: TrainConfig, classes: int, train: Split) -> tuple[float, ...] | None:
    """Return the weight of each class in the loss; those by frequency are counted on the training masks."""
    if isinstance(config.class_weights, str):
        return median_frequency_weights(counts[:classes] for counts in train.counts)
    return config.class_weights
