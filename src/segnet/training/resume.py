"""What must be as it was when a run goes on: its files, its settings and its data, image by image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from torch import nn

from segnet.core.errors import SegnetError
from segnet.models.names import is_own, short_name
from segnet.runs.folder import RunFolder
from segnet.runs.identity import Manifest
from segnet.training.config import TrainConfig
from segnet.training.config_file import read_config

# Where things are and what computes, not what is computed; the data itself is told by its content.
_PLACES = ("data", "device")


def require_run(folder: RunFolder) -> None:
    """Raise SegnetError where there is no run that can go on."""
    if not folder.state.is_file() or not folder.config.is_file():
        raise SegnetError(f"{folder.path} is no run that can go on: it needs config.yaml and last/state.pt")


def config_of(
    folder: RunFolder, settings: Mapping[str, Any], *, epochs: int | None, data: str | Path | None
) -> TrainConfig:
    """Return the configuration that a run goes on with.

    Args:
        folder: the run.
        settings: its settings after its last epoch, as its checkpoint has them.
        epochs: where it is to end, in place of the planned end.
        data: where its data is now, if that has moved.

    Raises:
        SegnetError: config.yaml says something else than the run was trained with; names it.
    """
    config = read_config(folder.config)
    now = config.to_dict()
    places = {*_PLACES, *(entry.name for entry in fields(config) if "path" in entry.metadata)}
    places |= set() if epochs is None else {"epochs"}
    changed = [
        f"{name} was {settings[name]}, is {now[name]}"
        for name in now
        if name in settings and name not in places and now[name] != settings[name]
    ]
    if changed:
        raise SegnetError(
            f"{folder.config} was changed since the run began ({'; '.join(changed)}): undo that, or start a "
            f"new run with segnet train --config {folder.config}; for another end there is --epochs N"
        )
    if epochs is not None:
        config = replace(config, epochs=epochs)
    if data is not None:
        place = "data_root" if config.source == "oxford-pets" else "data"
        moved: dict[str, Any] = {"archive": (), place: data}
        config = replace(config, **moved)
    return config


def require_given(path: str | Path, name: str, model: nn.Module | None) -> None:
    """Raise SegnetError where a run's model must be given and isn't, or the other way round."""
    if model is None and is_own(name):
        raise SegnetError(
            f"{path} trains a module of your own ({name}); go on through Python: "
            f"segnet.resume(path, model={short_name(name)}(...))"
        )
    if model is not None and not is_own(name):
        raise SegnetError(f"{path} trains {name}, which segnet builds itself; leave model= out")


def require_same_data(folder: RunFolder, now: Manifest) -> Manifest:
    """Return the data as it is now, under the name that it had when the run began.

    Raises:
        SegnetError: it isn't, image by image, what the run began with; says what differs.
    """
    before = folder.read_manifest()
    if before is None:
        raise SegnetError(f"{folder.data} is missing: nobody knows what the run was trained on; train anew")
    changes = before.changes(now)
    if changes:
        raise SegnetError(
            f"the data of {folder.path} has changed since it began: {changes}; bring it back as it was, or "
            f"start a new run with segnet train --config {folder.config}"
        )
    return replace(now, name=before.name)
