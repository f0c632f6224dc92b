"""Which data a model is scored on, and which images of it: none that it was trained on, unless told to.

The data is what the user names, and else the model's own, found by its run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segnet.base.errors import SegnetError, did_you_mean, refuse
from segnet.base.files import expand_home
from segnet.base.settings import absolute_paths
from segnet.data.dataset import Dataset, Sample
from segnet.data.identify import records_of
from segnet.data.options import DATASET_NAMES, DataOptions, source_of
from segnet.data.pets import is_official_layout
from segnet.data.sources import load_dataset, needs_download
from segnet.inference.segmenter import Segmenter
from segnet.runs.identity import SPLITS, ImageRecord, NotWholeError
from segnet.runs.run_folder import RunFolder
from segnet.runs.scores import ScoredOn

_PLACES = ("data", "data_root", "archive")
_MEANING = ("border", "seed", "image_column", "mask_column", "dataset_yaml")  # wherever the data is


def open_data(
    model: str | Path, segmenter: Segmenter, given: Mapping[str, Any], *, download: bool = True
) -> Dataset:
    """Open the data that is named, and else the model's own.

    Args:
        model: what ``segnet.load`` opened as ``segmenter``.
        segmenter: the model.
        given: fields of ``DataOptions`` that the user has named. What the run held out, and how, is not asked
            for again: the model's own images are told by their content.
        download: fetch a dataset that isn't here; otherwise that is an error.

    Raises:
        SegnetError: a model that doesn't say what its data was, data that is no longer there, a border policy
            other than the model's, or as ``load_dataset``.
    """
    own = _own_options(model, segmenter)
    pets = "oxford-pets" if "data_root" in given or "archive" in given else None
    data = given.get("data") or pets or own.get("data")
    if data is None:
        raise SegnetError(f"{model} doesn't say where its data is; name it with --data")
    options: dict[str, Any] = {"data": data}
    channels = segmenter.description.intensity.channels
    if channels != 3 and source_of(data) in ("folder", "hf"):  # whichever they are, the model takes no others
        options["channels"] = channels
    # a run keeps the place of its data as an absolute path
    data = absolute_paths(DataOptions(data=data), DATASET_NAMES).get("data", data)
    if data == own.get("data"):
        elsewhere = any(place in given for place in _PLACES)
        kept = _MEANING if elsewhere else (*_MEANING, *_PLACES, "extra_list")
        options |= {name: own[name] for name in kept if name in own}
        border = options.get("border", DataOptions.border)
        if data == "oxford-pets" and given.get("border", border) != border:
            raise SegnetError(f"{model} was trained with --border {border}; evaluate it with the same")
    folder = expand_home(data)
    if source_of(data) == "folder" and is_official_layout(folder):
        named = given.get("data", data)
        raise SegnetError(
            f"{named} is Oxford-IIIT Pet in its official layout; "
            f"take it as --data oxford-pets --data-root {named}"
        )
    try:
        opened = DataOptions(**(options | dict(given)))
        if not download and needs_download(opened):
            raise SegnetError(f"{data} was never downloaded here")
        return load_dataset(opened)
    except SegnetError as error:
        if given:
            raise
        place = "--data-root" if data in DATASET_NAMES else "--data"
        raise SegnetError(
            f"the data of {model} isn't there: {error}; if it has moved, give {place}"
        ) from None


def _own_options(model: str | Path, segmenter: Segmenter) -> Mapping[str, Any]:
    """Return what the model's data was opened with: from its run, or, without paths, from the model file."""
    path = expand_home(model)
    folder = RunFolder(path if path.is_dir() else path.parent)
    if path.is_dir() or (path == folder.model and path.is_file()):
        manifest = folder.read_manifest()
        if manifest is not None:
            return manifest.options
    description = segmenter.description
    if description.data is not None:
        return description.data.options
    trained = description.training  # files of older versions know the dataset's name
    if trained.get("data") in DATASET_NAMES:
        return {"data": trained["data"]} | ({"border": trained["border"]} if trained.get("border") else {})
    return {}


def choose_samples(
    segmenter: Segmenter, dataset: Dataset, split: str | None = None, *, allow_trained_on: bool = False
) -> tuple[list[Sample], list[ImageRecord], ScoredOn]:
    """Return the images to score a model on, how each is known again, and what they are together.

    They are told by their content, wherever they lie.

    Of data that the model was trained with, ``train``, ``val`` and ``test`` are the model's own splits, and
    the default is the one it is reported on. Of other data they are the dataset's, and the default is all
    images of a folder or a Hugging Face dataset, or a named dataset's test split, or its validation split
    where there is none. Data with a part of the model's own split and nothing that it was trained on, such as
    a test folder alone, counts as other data.

    Args:
        segmenter: what ``segnet.load`` opened.
        dataset: any.
        split: train, val, test; ``all``; or ``unseen``, all that the model was not trained on.
        allow_trained_on: score images that the model was trained on too.

    Raises:
        SegnetError: a split that is unknown, empty or no longer what it was, or images that the model was
            trained on; says how many.
    """
    known = (*SPLITS, "all", "unseen")
    if split is not None and split not in known:
        raise SegnetError(f"there is no split {split!r}{did_you_mean(split, known)}")
    identity = segmenter.description.data
    placed = [(place, sample) for place, each in dataset.splits.items() for sample in each]
    places, samples = [place for place, _ in placed], [sample for _, sample in placed]
    records = records_of(samples)
    own = identity if identity is not None and identity.knows(records) else None
    name, note = split, dataset.matched
    if own and name is None and not own.trained_on(records):
        try:
            own.own(own.held_out, records, places)
        except NotWholeError as error:
            own, note = None, "; ".join(filter(None, (note, error.what)))
    if name is None:
        default = "test" if dataset.test else "val"
        is_users = dataset.options is not None and dataset.options.source in ("folder", "hf")
        name = own.held_out if own else "all" if is_users else default
    if name == "all":
        chosen = list(range(len(samples)))
    elif name == "unseen":
        chosen = [i for i, record in enumerate(records) if not (identity and identity.trained_on([record]))]
    elif own and (own.splits[name].count or name not in places):
        chosen = own.own(name, records, places)
    else:
        there = ", ".join(f"{name} ({len(each)})" for name, each in dataset.splits.items() if each)
        refuse(
            (
                not dataset.splits[name],
                f"{dataset.name} has no {name} split; there is {there or 'no image at all'}",
            )
        )
        chosen = [i for i, place in enumerate(places) if place == name]
    trained_on = None if identity is None else identity.trained_on(records[i] for i in chosen)
    refuse(
        (not chosen, f"{dataset.name} holds no image to score the model on: the split {name!r} is empty"),
        (
            identity is None and not allow_trained_on and _may_be_trained_on(segmenter, dataset, name),
            "the model's file, of an older segnet, doesn't say which images it was trained on, and these may "
            "be among them; train it anew, or give --allow-trained-on to score them all the same",
        ),
        (
            trained_on and not allow_trained_on,
            f"the model was trained on {trained_on} of these {len(chosen)} images, {name} of {dataset.name}: "
            "scores on them say nothing; take --split unseen, other data, or --allow-trained-on to see them",
        ),
    )
    scored_on = ScoredOn(dataset.name, name, len(chosen), trained_on, note)
    return [samples[i] for i in chosen], [records[i] for i in chosen], scored_on


def _may_be_trained_on(segmenter: Segmenter, dataset: Dataset, split: str) -> bool:
    """Say whether a model of an older version may know these images: all but those that none trains on."""
    options = dataset.options
    if not segmenter.description.training:  # put together by a program, not trained by a run
        return False
    if options is None or options.source in ("folder", "hf"):
        return True
    held_out = ("test",) if options.holdout or options.fold or options.val_list else ("val", "test")
    return split not in (("val",) if options.source == "synthetic" else held_out)
