"""Going back: a new run that begins with the state, or at least the weights, of an epoch of another."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from torch import nn

from segnet.base.errors import SegnetError
from segnet.base.files import replacing
from segnet.inference.bundle import read_model
from segnet.models.names import is_own
from segnet.runs.identity import Manifest
from segnet.runs.records import read_mapping
from segnet.runs.run_folder import RunFolder, new_run_folder
from segnet.training.check import check
from segnet.training.checkpoint import Checkpoint, State, read_checkpoint, read_newest, save_checkpoint
from segnet.training.configuration.config import TrainConfig
from segnet.training.epoch import epoch_length
from segnet.training.kept import model_epoch
from segnet.training.loop import Run, fit
from segnet.training.outputs.artifacts import begin
from segnet.training.outputs.console import say_rate
from segnet.training.setup import Setup, build

BEST: Literal["best"] = "best"


@dataclass(frozen=True)
class Start:
    """Where a branch begins."""

    settings: Mapping[str, Any]
    """Those of the run that it leaves."""
    state: State
    model_file: Path
    """The model of the best epoch up to there."""
    checkpoint: Checkpoint | None
    """None where only that model's weights are left: the optimizer then starts anew."""

    def restore(self, setup: Setup) -> None:
        """Fill every part, or where the state is lost the network alone, and its average.

        Raises:
            SegnetError: weights of another model.
        """
        if self.checkpoint is not None:
            self.checkpoint.restore(setup.parts())
            return
        own = setup.model if is_own(setup.config.model) else None
        weights = read_model(self.model_file, own)[0].state_dict()
        setup.model.load_state_dict(weights)
        if setup.ema is not None:
            setup.ema.module.load_state_dict(weights)


def find_start(folder: RunFolder, wanted: str | int) -> Start:
    """Return what a run keeps of an epoch, or of the best.

    Args:
        folder: the run; nothing in it is written to.
        wanted: the epoch, counted from 1, or "best".

    Raises:
        SegnetError: an epoch that isn't kept; says which are.
    """
    if wanted != BEST and not isinstance(wanted, int):
        raise SegnetError(f"--from takes best or the number of an epoch, not {wanted!r}")
    whole = _whole_states(folder)
    if wanted in whole:  # even where the last two states are damaged
        return _start_of(*whole[wanted])
    newest = read_newest(folder)[0]
    best = newest.state.best
    if best is None:
        raise SegnetError(f"{folder.path} has no whole epoch yet to go back to; wait for its first")
    epoch = best.epoch if wanted == BEST else wanted
    if epoch in whole:
        return _start_of(*whole[epoch])
    has_best = model_epoch(folder.model) == best.epoch
    if epoch == best.epoch and has_best:
        steps = newest.state.first_steps
        state = State(
            [record for record in newest.state.records if record.epoch <= epoch],
            first_steps=None if steps is None else [step for step in steps if step.epoch <= epoch],
        )
        return Start(newest.settings, state, folder.model, None)
    kept = ", ".join(map(str, sorted(whole))) or "none"
    raise SegnetError(
        f"epoch {epoch} of {folder.path} isn't kept; whole states: {kept}"
        + (f"; best: epoch {best.epoch}" if has_best else f"; {folder.model} is not that of its best epoch")
        + "; with --keep-epochs a run keeps more"
    )


def branch(
    folder: RunFolder,
    start: Start,
    config: TrainConfig,
    begun: Manifest,
    *,
    model: nn.Module | None,
    console: Console,
) -> Run:
    """Train a new run from there.

    Args:
        folder: the run that it leaves.
        start: what ``find_start`` found in it.
        config: the new run.
        begun: its data, image by image, which must be as it was.
        model: the user's own module, where the run trains one.
        console: where progress is printed.

    Raises:
        SegnetError: as ``train``, or the run that it leaves is at work and has replaced what it begins with.
            Nothing is left behind then unless training had begun.
    """
    state = start.state
    if state.is_over(config):
        more = "give --epochs N" if state.epoch >= config.epochs else "nothing better had come before it"
        raise SegnetError(
            f"epoch {state.epoch} is where the run ends, so there is nothing to train after it; {more}"
        )
    check(config, model)
    setup = build(config, console, model, begun=begun)
    start.restore(setup)
    setup.notice = read_mapping(folder.environment).get("notice", setup.notice)
    new = new_run_folder(config.out, setup.stem)
    how = "the whole state" if start.checkpoint else "the weights; the optimizer starts anew"
    console.print(
        f"branches from epoch {state.epoch} of {folder.path}: {how}", highlight=False, soft_wrap=True
    )
    say_rate(console, config, start.settings["epochs"], state, epoch_length(config, setup.train))
    with new.locked():
        try:
            begin(setup, new)
            left = {"run": str(folder.path.resolve()), "epoch": state.epoch, "takes": how}
            new.write_json(new.environment, read_mapping(new.environment) | {"branched_from": left})
            _take_along(folder, start, new)
            save_checkpoint(new, setup.settings, state, setup.parts())  # from here on it can be resumed
        except Exception:
            shutil.rmtree(new.path, ignore_errors=True)
            raise
        return fit(setup, new, state)


def _start_of(path: Path, model_file: Path) -> Start:
    checkpoint = read_checkpoint(path)
    return Start(checkpoint.settings, checkpoint.state, model_file, checkpoint)


def _take_along(folder: RunFolder, start: Start, new: RunFolder) -> None:
    """Copy what the new run shows of the epochs before it: their lines, their pictures and the best's model.

    Raises:
        SegnetError: the model is another by now; the run may be at work, and its files change.
    """
    records = start.state.records
    new.write_epochs([record.to_dict() for record in records])
    files = [(start.model_file, new.model), (folder.preview_images, new.preview_images)]
    for epoch in (record.epoch for record in records):
        files.append((folder.preview(epoch), new.preview(epoch)))
        files.append((folder.predictions(epoch), new.predictions(epoch)))
    for source, target in files:
        if source.is_file():  # a picture may have been deleted
            with replacing(target) as temporary:
                shutil.copyfile(source, temporary)
    assert start.state.best is not None  # find_start has looked
    if model_epoch(new.model) != start.state.best.epoch:
        raise SegnetError(
            f"{folder.path} has moved on, and {start.model_file} with it, before it was copied; try again"
        )


def _whole_states(folder: RunFolder) -> dict[int, tuple[Path, Path]]:
    """Return, by epoch, the files of states after it, each with the model of its best epoch."""
    found = {epoch: (folder.kept_state(epoch), folder.kept_model(epoch)) for epoch in folder.kept_epochs()}
    now = model_epoch(folder.model)
    for path in (folder.state, folder.state_before):
        with suppress(SegnetError):  # damaged, or not there
            state = read_checkpoint(path).state
            if state.position is None and state.best is not None and state.best.epoch == now:
                found.setdefault(state.epoch, (path, folder.model))
    return found
