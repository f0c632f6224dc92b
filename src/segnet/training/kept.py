"""The states of epochs that are kept beside the last two, for ``segnet resume --from`` to branch from.

A state is kept as another name of the file that was just saved, which costs disk space but no time. With it
goes the model of the best epoch up to then: a later best one replaces ``model.safetensors``.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from segnet.base.errors import SegnetError
from segnet.base.files import replacing
from segnet.inference.bundle import read_description
from segnet.runs.run_folder import RunFolder
from segnet.training.checkpoint import State


def keep_state(folder: RunFolder, state: State, count: int) -> None:
    """Keep the state that was just saved after an epoch, those of ``count`` epochs in all, and the best's.

    Raises:
        SegnetError: the folder can't be written to, or the disk is full.
    """
    if not count or state.best is None or state.position is not None:
        return
    if model_epoch(folder.model) != state.best.epoch:  # a kill came between a better model and its state
        return
    _link(folder.model, folder.kept_model(state.epoch))
    _link(folder.state, folder.kept_state(state.epoch))
    wanted = {state.best.epoch, *range(state.epoch - count + 1, state.epoch + 1)}
    stay = {file.name for epoch in wanted for file in (folder.kept_state(epoch), folder.kept_model(epoch))}
    for file in folder.kept_files():
        if file.name not in stay:
            file.unlink(missing_ok=True)


def model_epoch(path: Path) -> int | None:
    """Return the epoch whose weights a run's model file holds; None where there is no such file."""
    try:
        epoch = (read_description(path).scores or {}).get("epoch")
    except SegnetError:
        return None
    return epoch if isinstance(epoch, int) else None


def _link(file: Path, name: Path) -> None:
    with replacing(name) as temporary:
        temporary.unlink()
        try:
            os.link(file, temporary)
        except OSError:  # a file system without such names
            shutil.copyfile(file, temporary)
