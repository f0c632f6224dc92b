"""The state of a run, after an epoch or inside one: saved, kept, and read back to go on or to branch from.

``last/state.pt`` holds all of it, ``last/before.pt`` what it was at the save before. Order, augmentation and
dropout are functions of (seed, epoch, step), so no random-number state has to be saved for a resumed run to
give the same bits. Each file is sealed with its checksum.

With ``--keep-epochs`` earlier states stay too: as other names of the files that were just saved, which costs
disk space but no time. With each goes the model of the best epoch up to then, since a later best one replaces
``model.safetensors``.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segnet.base.distributed.collectives import agreed
from segnet.base.distributed.rank import is_writer
from segnet.base.errors import SegnetError, first_line
from segnet.base.files import replacing
from segnet.inference.model_file import read_description, read_weights, require_fit
from segnet.runs.records import EpochRecord, best_of
from segnet.runs.run_folder import RunFolder
from segnet.runs.steps import StepRecord, write_steps
from segnet.training.configuration.config import TrainConfig
from segnet.training.configuration.option_types import parse_save_every
from segnet.training.interrupt import interrupts_wait
from segnet.training.seal import is_sealed, seal
from segnet.training.setup import Setup

_FORMAT = 3
_WITHOUT_CHECKSUM = 2  # nor a position; 1 kept neither the settings nor the identity of the data


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
    """What a step measures besides its loss, summed up as the loss is."""

    def add(self, loss: Tensor, measured: Mapping[str, Tensor], images: int) -> None:
        """Add a step's loss and what was measured besides, on so many images."""
        self.loss_sum += loss.detach() * images
        for name, value in measured.items():
            self.measured[name] = self.measured.get(name, 0) + value.detach() * images
        self.seen += images

    def means(self) -> dict[str, float]:
        """Return the mean over the images of what was measured besides the loss."""
        return {name: float(total) / self.seen for name, total in self.measured.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; a float holds a float32 sum exactly."""
        measured = {name: float(total) for name, total in self.measured.items()}
        return vars(self) | {"loss_sum": float(self.loss_sum), "measured": measured}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Position:
        """Return what ``to_dict`` gave."""
        measured = {name: torch.tensor(total) for name, total in plain.get("measured", {}).items()}
        return cls(**(dict(plain) | {"loss_sum": torch.tensor(plain["loss_sum"]), "measured": measured}))


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
    """What a file holds."""

    path: Path
    settings: Mapping[str, Any]
    """The configuration as plain values."""
    state: State
    parts: Mapping[str, Any]
    """The ``state_dict`` of each part."""
    is_whole: bool = True
    """False where only weights are left of an epoch: the optimizer then starts anew."""
    model_file: Path | None = None
    """The model of the best epoch up to there, of one to branch from."""

    def restore(self, parts: Mapping[str, Any]) -> None:
        """Fill every part that it holds.

        Raises:
            SegnetError: parts of another model, or another teacher.
        """
        try:
            for name, part in parts.items():
                if name not in self.parts and not self.is_whole:
                    continue
                if isinstance(part, nn.Module):  # torch would say it in many lines
                    require_fit(part.state_dict(), self.parts[name], "it is another model's state")
                part.load_state_dict(self.parts[name])
        except SegnetError:  # a part that says by itself what is wrong
            raise
        except Exception as error:  # torch raises about anything for what doesn't fit
            raise _damaged(self.path, error) from error


class Saves:
    """Saves a run's state after each epoch, inside one where that is due, and when it is stopped.

    Args:
        setup: the run.
        folder: where it is.
        state: how far it has come.
        require_sound: raises SegnetError where the run has diverged; there is always a good state to go on
            from.
    """

    def __init__(
        self, setup: Setup, folder: RunFolder, state: State, require_sound: Callable[[], None]
    ) -> None:
        self._setup, self._folder, self._state, self._require_sound = setup, folder, state, require_sound
        self._every = parse_save_every(setup.config.save_every)
        self._last = time.monotonic()

    def after_step(self, position: Position, stopped: Callable[[], bool]) -> None:
        """Save where that is due, and stop where Ctrl-C came: only here, between steps, all parts agree.

        Raises:
            KeyboardInterrupt: ``stopped()``; the position is then in the state.
            SegnetError: the run has diverged, or the state can't be written.
        """
        due, stop = agreed(self._every.is_due(position.step, time.monotonic() - self._last), stopped())
        if due or stop:
            self._state.position = position
            if due:
                self.save()
            if stop:
                raise KeyboardInterrupt
            self._state.position = None

    def save(self) -> None:
        """Save the state as it is.

        Raises:
            SegnetError: as ``after_step``.
        """
        state = self._state
        if state.position is not None:  # after an epoch this has been looked at
            self._require_sound()
        if is_writer():
            if state.first_steps:
                write_steps(self._folder, state.first_steps)
            save_checkpoint(self._folder, self._setup.settings, state, self._setup.parts())
            keep_state(self._folder, state, self._setup.config.keep_epochs)
        state.saved = state.at
        self._last = time.monotonic()

    def save_where_stopped(self) -> None:
        """Save the position of a run that Ctrl-C has stopped, unless a step was torn, or it is saved."""
        if self._state.position is not None and self._state.at != self._state.saved:
            with interrupts_wait():
                self.save()


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
        seal(temporary)
        if folder.state.exists():  # a kill between this and the next renaming leaves the one before
            folder.state.replace(folder.state_before)


def keep_state(folder: RunFolder, state: State, count: int) -> None:
    """Keep the state that was just saved after an epoch, those of ``count`` epochs in all, and the best's.

    Raises:
        SegnetError: the folder can't be written to, or the disk is full.
    """
    is_due = count > 0 and state.position is None
    # a kill may have come between a better model and its state
    if not is_due or state.best is None or model_epoch(folder.model) != state.best.epoch:
        return
    kept = folder.kept_model(state.epoch), folder.kept_state(state.epoch)
    for file, name in zip((folder.model, folder.state), kept, strict=True):
        with replacing(name) as temporary:
            temporary.unlink()
            try:
                os.link(file, temporary)
            except OSError:  # a file system without such names
                shutil.copyfile(file, temporary)
    wanted = {state.best.epoch, *range(state.epoch - count + 1, state.epoch + 1)}
    stay = {file for epoch in wanted for file in (folder.kept_state(epoch), folder.kept_model(epoch))}
    for file in folder.kept_files():
        if file not in stay:
            file.unlink(missing_ok=True)


def model_epoch(path: Path) -> int | None:
    """Return the epoch whose weights a run's model file holds; None where there is no such file."""
    try:
        epoch = (read_description(path).scores or {}).get("epoch")
    except SegnetError:
        return None
    return epoch if isinstance(epoch, int) else None


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


def read_epoch(folder: RunFolder, wanted: str | int) -> Checkpoint:
    """Read what a run keeps of an epoch: its state, or of the best one at least the weights.

    Args:
        folder: the run; nothing in it is written to.
        wanted: the epoch, counted from 1, or "best".

    Raises:
        SegnetError: an epoch that isn't kept; says which are.
    """
    if wanted != "best" and not isinstance(wanted, int):
        raise SegnetError(f"--from takes best or the number of an epoch, not {wanted!r}")
    whole = _whole_states(folder)
    if wanted in whole:  # even where the last two states are damaged
        return read_checkpoint(*whole[wanted])
    newest = read_newest(folder)[0]
    best = newest.state.best
    if best is None:
        raise SegnetError(f"{folder.path} has no whole epoch yet to go back to; wait for its first")
    epoch = best.epoch if wanted == "best" else wanted
    if epoch in whole:
        return read_checkpoint(*whole[epoch])
    has_best = model_epoch(folder.model) == best.epoch
    if epoch == best.epoch and has_best:
        steps = newest.state.first_steps
        state = State(
            [record for record in newest.state.records if record.epoch <= epoch],
            first_steps=None if steps is None else [step for step in steps if step.epoch <= epoch],
            saved=(epoch, 0),
        )
        weights = read_weights(folder.model)[0]
        parts = {"model": weights, "ema": {"module": weights, "updates": 0}}
        return Checkpoint(folder.model, newest.settings, state, parts, False, folder.model)
    kept = ", ".join(map(str, sorted(whole))) or "none"
    raise SegnetError(
        f"epoch {epoch} of {folder.path} isn't kept; whole states: {kept}"
        + (f"; best: epoch {best.epoch}" if has_best else f"; {folder.model} is not that of its best epoch")
        + "; with --keep-epochs a run keeps more"
    )


def _whole_states(folder: RunFolder) -> dict[int | str, tuple[Path, Path]]:
    """Return, by epoch, the files of states after it, each with the model of its best epoch."""
    found: dict[int | str, tuple[Path, Path]] = {
        epoch: (folder.kept_state(epoch), folder.kept_model(epoch)) for epoch in folder.kept_epochs()
    }
    now = model_epoch(folder.model)
    for path in (folder.state, folder.state_before):
        with suppress(SegnetError):  # damaged, or not there
            state = read_checkpoint(path).state
            if state.position is None and state.best is not None and state.best.epoch == now:
                found.setdefault(state.epoch, (path, folder.model))
    return found


def read_checkpoint(path: Path, model_file: Path | None = None) -> Checkpoint:
    """Read one file; unpickles nothing but tensors and plain values.

    Raises:
        SegnetError: a damaged file, or one of an older version, which doesn't say what it was trained on.
    """
    try:
        sealed = is_sealed(path)
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
            return Checkpoint(path, content["settings"], state, content["parts"], model_file=model_file)
    except Exception as error:  # torch raises about anything for a damaged file
        raise _damaged(path, error) from error
    raise SegnetError(
        f"{path} was written by an older segnet, which didn't note its data and settings, so it can't go on "
        "to the same bits; its model still predicts, and segnet train --config trains it anew"
    )


class _DamagedError(SegnetError):
    """A file that can't be read as a state."""


def _damaged(path: Path, error: Exception) -> _DamagedError:
    reason = "it is missing" if isinstance(error, FileNotFoundError) else first_line(error)
    if "weights_only" in reason:  # torch's advice would run whatever code the file holds
        reason = "it is damaged, or holds more than tensors and plain values"
    return _DamagedError(f"{path} can't be read as the state of this run: {reason}")
