"""Which data to score a model on: what the user names, and else the model's own, found by its run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segnet.base.errors import SegnetError
from segnet.base.files import expand_home
from segnet.base.settings import absolute_paths
from segnet.data.dataset import Dataset
from segnet.data.options import DATASET_NAMES, DataOptions, source_of
from segnet.data.pets import is_official_layout
from segnet.data.sources import load_dataset, needs_download
from segnet.inference.segmenter import Segmenter
from segnet.runs.run_folder import RunFolder

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
