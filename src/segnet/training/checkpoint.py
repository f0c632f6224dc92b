"""The state of a run after an epoch, from which it goes on.

``last/state.pt`` holds all of it. Order, augmentation and dropout are functions of (seed, epoch, step), so no
random-number state has to be saved for a resumed run to give the same bits.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from segnet.core.errors import SegnetError
from segnet.core.files import replacing
from segnet.inference.bundle import require_fit
from segnet.runs.records import EpochRecord, best_of
from segnet.training.config import TrainConfig

_FORMAT = 2  # 1 kept neither the settings nor the identity of the data


@dataclass
class State:
    """How far a run has come; with the parts' tensors everything that the next epoch depends on."""

    records: list[EpochRecord] = field(default_factory=list)
    """One for each epoch that is done."""

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.records)

    @property
    def best(self) -> EpochRecord | None:
        """The epoch whose model is kept."""
        return best_of(self.records)

    def is_over(self, config: TrainConfig) -> bool:
        """Say whether the planned epochs are done, or too many have brought nothing better."""
        waited = self.epoch - (self.best.epoch if self.best else 0)
        return self.epoch >= config.epochs or 0 < config.early_stop <= waited


@dataclass(frozen=True)
class Checkpoint:
    """What the file holds."""

    path: Path
    settings: Mapping[str, Any]
    """The configuration as plain values."""
    state: State
    parts: Mapping[str, Any]
    """The ``state_dict`` of each part."""

    def restore(self, parts: Mapping[str, Any]) -> None:
        """Fill every part.

        Raises:
            SegnetError: parts of another model.
        """
        try:
            for name, part in parts.items():
                if isinstance(part, nn.Module):  # torch would say it in many lines
                    require_fit(part.state_dict(), self.parts[name], "it is another model's state")
                part.load_state_dict(self.parts[name])
        except Exception as error:  # torch raises about anything for what doesn't fit
            raise _damaged(self.path, error) from error


def save_checkpoint(path: Path, settings: Mapping[str, Any], state: State, parts: Mapping[str, Any]) -> None:
    """Write the state with the ``state_dict`` of each part, whole or not at all.

    Raises:
        SegnetError: the folder can't be written to, or the disk is full.
    """
    content = {
        "format": _FORMAT,
        "settings": dict(settings),
        "epochs": [record.to_dict() for record in state.records],
        "parts": {name: part.state_dict() for name, part in parts.items()},
    }
    with replacing(path) as temporary:
        try:
            torch.save(content, temporary)
        except RuntimeError as error:  # what torch makes of a full disk
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error


def read_checkpoint(path: Path) -> Checkpoint:
    """Read the file; unpickles nothing but tensors and plain values.

    Raises:
        SegnetError: a damaged file, or one of an older version, which doesn't say what it was trained on.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content.get("format") == _FORMAT:
            records = [EpochRecord.from_dict(plain) for plain in content["epochs"]]
            return Checkpoint(path, content["settings"], State(records), content["parts"])
    except Exception as error:  # torch raises about anything for a damaged file
        raise _damaged(path, error) from error
    raise SegnetError(
        f"{path} was written by an older segnet, which didn't note its data and settings, so it can't go on "
        "to the same bits; its model still predicts, and segnet train --config trains it anew"
    )


def _damaged(path: Path, error: Exception) -> SegnetError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if "weights_only" in reason:  # torch's advice would run whatever code the file holds
        reason = "it is damaged, or holds more than tensors and plain values"
    return SegnetError(f"{path} can't be read as the state of this run: {reason}")
