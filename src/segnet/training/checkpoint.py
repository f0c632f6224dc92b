"""The state of a run, after an epoch or inside one, from which it goes on.

``last/state.pt`` holds all of it, ``last/before.pt`` what it was at the save before. Order, augmentation and
dropout are functions of (seed, epoch, step), so no random-number state has to be saved for a resumed run to
give the same bits. A file is a zip archive, as ``torch.save`` writes it, whose comment is the SHA-256 of all
before it: a truncated or damaged one is noticed, where torch alone reads damaged numbers without a word.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segnet.base.errors import SegnetError
from segnet.base.files import replacing
from segnet.inference.bundle import require_fit
from segnet.runs.records import EpochRecord, best_of
from segnet.runs.run_folder import RunFolder
from segnet.runs.steps import StepRecord
from segnet.training.configuration.config import TrainConfig

_FORMAT = 3
_WITHOUT_CHECKSUM = 2  # nor a position; 1 kept neither the settings nor the identity of the data
_SEAL = b"sha256 "
_SEALED = len(_SEAL) + hashlib.sha256().digest_size


@dataclass
class Position:
    """How far the running epoch has come: what its other steps and its record need of those that are done."""

    step: int = 0
    """Steps done, dropped ones too."""
    loss_sum: Tensor = field(default_factory=lambda: torch.zeros(()))
    """Scalar, float32: each step's loss times its images."""
    seen: int = 0
    """Images in ``loss_sum``."""
    skipped: int = 0
    """Steps dropped since their loss wasn't finite."""
    lr: float = 0.0
    """Of the last step."""
    seconds: float = 0.0
    waited: float = 0.0
    """Of these, seconds spent waiting for data."""
    measured: dict[str, Tensor] = field(default_factory=dict)
    """What ``StepLoss`` measures besides, summed up as the loss is."""

    def add(self, measured: Mapping[str, Tensor], images: int) -> None:
        """Add what was measured on so many images."""
        for name, value in measured.items():
            self.measured[name] = self.measured.get(name, 0) + value.detach() * images

    def means(self) -> dict[str, float]:
        """Return the mean over the images of what was measured."""
        return {name: float(total) / self.seen for name, total in self.measured.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; a float holds a float32 sum exactly."""
        measured = {name: float(total) for name, total in self.measured.items()}
        return vars(self) | {"loss_sum": float(self.loss_sum), "measured": measured}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Position:
        """Return what ``to_dict`` gave."""
        sums = {"loss_sum": plain["loss_sum"], **plain.get("measured", {})}
        tensors = {name: torch.tensor(total, dtype=torch.float32) for name, total in sums.items()}
        return cls(**(dict(plain) | {"loss_sum": tensors.pop("loss_sum"), "measured": tensors}))


@dataclass
class State:
    """How far a run has come; with the parts' tensors everything that its other steps depend on."""

    records: list[EpochRecord] = field(default_factory=list)
    """One for each epoch that is done."""
    position: Position | None = None
    """Where in the next epoch the parts stand; None at its beginning, and while a step changes them."""
    first_steps: list[StepRecord] | None = field(default_factory=list)
    """The losses of the run's first steps; None where an older version began it and kept none."""
    saved: tuple[int, int] = (0, 0)
    """Epochs and steps of the next that are in the newest checkpoint."""

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.records)

    @property
    def at(self) -> tuple[int, int]:
        """Epochs done, and steps of the next."""
        return self.epoch, self.position.step if self.position else 0

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
            SegnetError: parts of another model, or another teacher.
        """
        try:
            for name, part in parts.items():
                if isinstance(part, nn.Module):  # torch would say it in many lines
                    require_fit(part.state_dict(), self.parts[name], "it is another model's state")
                part.load_state_dict(self.parts[name])
        except SegnetError:  # a part that says by itself what is wrong
            raise
        except Exception as error:  # torch raises about anything for what doesn't fit
            raise _damaged(self.path, error) from error


def save_checkpoint(
    folder: RunFolder, settings: Mapping[str, Any], state: State, parts: Mapping[str, Any]
) -> None:
    """Write the state with the ``state_dict`` of each part, whole or not at all; keep the one before it.

    Raises:
        SegnetError: the folder can't be written to, or the disk is full; both old states are as they were.
    """
    content = {
        "format": _FORMAT,
        "settings": dict(settings),
        "epochs": [record.to_dict() for record in state.records],
        "position": state.position.to_dict() if state.position else None,
        "first_steps": None if state.first_steps is None else [vars(step) for step in state.first_steps],
        "parts": {name: part.state_dict() for name, part in parts.items()},
    }
    with replacing(folder.state) as temporary:
        try:
            torch.save(content, temporary)
        except RuntimeError as error:  # what torch makes of a full disk
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        _seal(temporary)
        if folder.state.exists():  # a kill between this and the next renaming leaves the one before
            folder.state.replace(folder.state_before)
    state.saved = state.at


def _seal(path: Path) -> None:
    """Make the checksum of a zip archive its comment, and see that all of it is on the disk."""
    with path.open("r+b") as file:
        file.seek(-2, os.SEEK_END)  # the archive ends with the length of its comment
        file.write(_SEALED.to_bytes(2, "little"))
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").digest()
        file.seek(0, os.SEEK_END)
        file.write(_SEAL + digest)
        file.flush()
        os.fsync(file.fileno())  # a name that outlives a power cut must not outlive its content


def _is_sealed(path: Path) -> bool:
    """Say whether a file ends with the checksum of the rest; False where it has none.

    Raises:
        ValueError: its checksum is another.
    """
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        left = max(0, path.stat().st_size - _SEALED)
        while left and (part := file.read(min(left, 1 << 20))):
            hashed.update(part)
            left -= len(part)
        seal = file.read()
    if not seal.startswith(_SEAL):
        return False
    if seal != _SEAL + hashed.digest():
        raise ValueError("its checksum is wrong, so it is damaged")
    return True


def read_newest(folder: RunFolder) -> tuple[Checkpoint, str]:
    """Read the newest state that is whole, and say in a line what is wrong with a newer one, else nothing.

    Raises:
        SegnetError: there is none, or one of an older version, which doesn't say what it was trained on.
    """
    try:
        return read_checkpoint(folder.state), ""
    except _DamagedError as error:
        if not folder.state_before.is_file():
            raise
        newer = error
    try:
        found = read_checkpoint(folder.state_before)
    except _DamagedError as older:
        raise SegnetError(
            f"both states of this run are damaged, so it can't go on: {newer}; {older}; train it anew with "
            f"segnet train --config {folder.config}"
        ) from older
    return found, f"{newer}; the run goes on {place_of(found.state.at)}, from {folder.state_before.name}"


def place_of(at: tuple[int, int]) -> str:
    """Return ``State.at`` in words that follow "goes on"."""
    epoch, step = at
    if step:
        return f"after step {step} of epoch {epoch + 1}"
    return f"after epoch {epoch}" if epoch else "from its beginning"


def read_checkpoint(path: Path) -> Checkpoint:
    """Read one file; unpickles nothing but tensors and plain values.

    Raises:
        SegnetError: a damaged file, or one of an older version, which doesn't say what it was trained on.
    """
    try:
        sealed = _is_sealed(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        kind = content.get("format")
        if kind == _FORMAT and not sealed:
            raise ValueError("its checksum is missing, so it is damaged")
        if kind in (_FORMAT, _WITHOUT_CHECKSUM):
            state = State([EpochRecord.from_dict(plain) for plain in content["epochs"]])
            if position := content.get("position"):
                state.position = Position.from_dict(position)
            steps = content.get("first_steps", [] if state.at == (0, 0) else None)
            state.first_steps = None if steps is None else [StepRecord(**step) for step in steps]
            state.saved = state.at
            return Checkpoint(path, content["settings"], state, content["parts"])
    except Exception as error:  # torch raises about anything for a damaged file
        raise _damaged(path, error) from error
    raise SegnetError(
        f"{path} was written by an older segnet, which didn't note its data and settings, so it can't go on "
        "to the same bits; its model still predicts, and segnet train --config trains it anew"
    )


class _DamagedError(SegnetError):
    """A file that can't be read as a state."""


def _damaged(path: Path, error: Exception) -> _DamagedError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if isinstance(error, FileNotFoundError):
        reason = "it is missing"
    if "weights_only" in reason:  # torch's advice would run whatever code the file holds
        reason = "it is damaged, or holds more than tensors and plain values"
    return _DamagedError(f"{path} can't be read as the state of this run: {reason}")
