"""A run begins: from nothing, where it was stopped, or after an epoch of another; then it trains.

A run that goes on must have its files, its settings and its data, image by image, as they were.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from torch import nn

from segnet.base.distributed.collectives import first_of_machine, from_writer, joined
from segnet.base.distributed.rank import is_writer, started_as, this_process
from segnet.base.errors import SegnetError, refuse
from segnet.base.files import expand_home, replacing, write_text
from segnet.base.progress import say
from segnet.base.settings import path_names
from segnet.core.sync_batch_norm import synchronised
from segnet.models.names import is_own, name_of, short_name
from segnet.runs.identity import Manifest
from segnet.runs.records import read_mapping, read_run
from segnet.runs.run_folder import RunFolder, new_run_folder, require_free
from segnet.training.configuration.config import TrainConfig
from segnet.training.configuration.config_file import read_config
from segnet.training.epoch import epoch_length
from segnet.training.interrupt import interrupts_wait, only_noted
from segnet.training.loop import Run, fit
from segnet.training.outputs.artifacts import begin
from segnet.training.outputs.console import say_rate
from segnet.training.setup import Setup, build
from segnet.training.state import (
    Checkpoint,
    State,
    model_epoch,
    place_of,
    read_epoch,
    read_newest,
    save_checkpoint,
)


def train(config: TrainConfig, *, model: nn.Module | None = None, console: Console | None = None) -> Run:
    """Train a model and leave a run folder.

    Ctrl-C ends the run cleanly: the best epoch and the last step are kept and ``finished`` is False.

    Args:
        config: the settings.
        model: a module of your own, trained in place of ``config.model``: float32 images ``(N, 3, H, W)`` in
            [0, 1] to logits ``(N, classes, H, W)``. Its weights are where training starts, so seed before you
            build it. It is trained in place, on ``config.device``, and afterwards holds the last epoch's
            weights, not averaged, in evaluation mode; ``load(run.folder, model=...)`` opens the best epoch's.
        console: where progress is printed; by default on the terminal, by the process that writes.

    Raises:
        SegnetError: data, model or settings that can't be trained with. Nothing is left behind then, unless
            an epoch was done, or a step saved, before a run diverged.
    """
    if model is not None:
        config = replace(config, model=name_of(model))
    with joined():
        if (begun := _begun_before(config.out)) is not None:
            return resume(begun.path, model=model, console=console)
        return _begin(Origin(config), model, console or Console(quiet=not is_writer()))


def resume(
    path: str | Path,
    *,
    epochs: int | None = None,
    data: str | Path | None = None,
    model: nn.Module | None = None,
    on_nan: Literal["stop", "skip"] | None = None,
    accumulate: int | None = None,
    from_epoch: int | str | None = None,
    out: str | Path | None = None,
    console: Console | None = None,
) -> Run:
    """Go on with a run that was stopped or killed; ends with the same bits as one that never was.

    With ``from_epoch`` another run begins where this one was then, in a folder of its own; this one's stays
    as it is. It may still be running.

    Args:
        path: the run folder.
        epochs: train to this epoch in place of the planned one; what depends on the planned end, such as a
            cosine's way down, then does so from here on.
        data: where the data is now, if it has moved: a folder, or for oxford-pets its root.
        model: where the run trains a module of your own, that module, built as it was; see ``train``.
        on_nan: what a loss that isn't finite does from here on, in place of what the run says.
        accumulate: in how many parts a batch is computed from here on: where it now has fewer processes, and
            so less memory. Batch norm sees other parts of the batches then.
        from_epoch: the epoch, counted from 1, that the other run begins after: one whose state is kept, or
            "best", of which without a state the weights are taken and the optimizer starts anew.
        out: the other run's folder; without it a new one below runs/.
        console: where progress is printed.

    Raises:
        SegnetError: no run folder there, damaged files in it (of its two states both), settings or data that
            have changed since it began, or a module where there should be none, none where there should be
            one, or one that the weights don't fit; with ``from_epoch`` an epoch that isn't kept.
    """
    folder, started = RunFolder(expand_home(path)), started_as()
    refuse(
        # an unset variable of a shell; as a path it would be this folder
        (not str(path).strip(), "the run's name is empty; name its folder"),
        (  # the others don't read it
            started.rank == 0 and not (folder.has_state and folder.config.is_file()),
            f"{folder.path} is no run that can go on: it needs config.yaml and last/state.pt",
        ),
        (
            from_epoch is not None and started.total > 1,
            "--from takes one process; begin the branch with one, and resume it with many",
        ),
        (
            from_epoch is None and out is not None,
            "--out is for a branch, which --from begins; a run goes on in its own folder",
        ),
    )
    given = {"epochs": epochs, "on_nan": on_nan, "accumulate": accumulate}
    changes = {name: value for name, value in given.items() if value is not None}

    if from_epoch is not None:
        origin = _origin_in(folder, read_epoch(folder, from_epoch), "", changes, data)
        _require_given(folder, origin.config.model, model)
        config = replace(origin.config, out=None if out is None else expand_home(out))
        return _begin(replace(origin, config=config), model, console or Console())
    with joined(), folder.locked() if is_writer() else nullcontext():
        origin = from_writer(lambda: _origin_in(folder, *read_newest(folder), changes, data))
        _require_given(folder, origin.config.model, model)
        return _go_on(origin, folder, epochs, model, console or Console(quiet=not is_writer()))


@dataclass(frozen=True)
class Origin:
    """Where a run begins: from nothing, or with the state of a run, its own or another's."""

    config: TrainConfig
    folder: RunFolder | None = None
    """The run that has that state."""
    checkpoint: Checkpoint | None = None
    manifest: Manifest | None = None
    """Its data, image by image."""
    damage: str = ""
    """What is wrong with a newer state."""
    state: State = field(default_factory=State)

    def build(self, console: Console, model: nn.Module | None) -> Setup:
        """Return what the loop works with, as it was at the origin.

        Raises:
            SegnetError: something can't be trained with, or isn't as it was.
        """
        setup = first_of_machine(lambda: build(self.config, console, model, begun=self.manifest))
        if self.checkpoint is not None and self.folder is not None:
            self.checkpoint.restore(setup.parts())
            planned, images = self.checkpoint.settings["epochs"], epoch_length(setup.config, setup.train)
            say_rate(console, setup.config, planned, self.state, images)
            if is_writer():
                setup.notice = read_mapping(self.folder.environment).get("notice", setup.notice)
        return setup


def _begin(origin: Origin, model: nn.Module | None, console: Console) -> Run:
    """Train a new run, and leave nothing behind where that fails at once."""
    config, state = origin.config, origin.state
    if state.is_over(config):
        more = "give --epochs N" if state.epoch >= config.epochs else "nothing better had come before it"
        raise SegnetError(
            f"epoch {state.epoch} is where the run ends, so there is nothing to train after it; {more}"
        )
    if origin.folder is not None and origin.checkpoint is not None:
        require_free(config.out)
        how = "the whole state" if origin.checkpoint.is_whole else "the weights; the optimizer starts anew"
        say(console, f"branches from epoch {state.epoch} of {origin.folder.path}: {how}")
    setup = origin.build(console, model)
    folder = from_writer(lambda: new_run_folder(config.out, setup.stem))
    with folder.locked() if is_writer() else nullcontext():
        try:
            if is_writer():
                begin(setup, folder)
                if (job := _job()) is not None:
                    write_text(folder.job, job)
                if origin.folder is not None and origin.checkpoint is not None:
                    _take_along(origin.folder, origin.checkpoint, folder)
                save_checkpoint(folder, setup.settings, state, setup.parts())  # now it can be resumed
            return _fit(setup, folder, state)
        except Exception:
            has_trained = folder.has_state and (state.epoch > 0 or state.saved != (0, 0))
            if is_writer() and not has_trained:
                shutil.rmtree(folder.path, ignore_errors=True)
            raise


def _go_on(
    origin: Origin, folder: RunFolder, epochs: int | None, model: nn.Module | None, console: Console
) -> Run:
    """Train a run to its end, in its own folder."""
    config, state, checkpoint = origin.config, origin.state, origin.checkpoint
    assert checkpoint is not None
    if origin.damage:
        say(console, f"warning: {origin.damage}")
    elif not state.is_over(config):
        say(console, f"it goes on {place_of(state.at)}")
    if epochs is not None and epochs < state.epoch:
        raise SegnetError(
            f"--epochs {epochs}: {folder.path} has done {state.epoch} epochs already; give more"
        )
    if state.is_over(config):
        more = "to go on, give --epochs N" if state.epoch >= config.epochs else "nothing better had come"
        say(console, f"{folder.path} had finished with epoch {state.epoch}; {more}")
        outcome = from_writer(lambda: read_run(folder.path).outcome)
        is_complete = from_writer(folder.report.is_file) and outcome is not None and outcome.finished
        if outcome is not None and is_complete and model is None:
            return Run(folder.path, config, True, outcome.best_epoch, outcome.val, outcome.test)

    setup = origin.build(console, model)
    if is_writer():
        if not state.is_over(config):
            folder.scores.unlink(missing_ok=True)  # until it ends again, nothing says that it has
        if origin.damage:  # the next save must not put the damaged state in this one's place
            checkpoint.path.replace(folder.state)
        if setup.settings != checkpoint.settings:
            with interrupts_wait():
                save_checkpoint(folder, setup.settings, state, setup.parts())
                folder.write_config(setup.settings)
                folder.write_manifest(setup.manifest)
    return _fit(setup, folder, state)


def _fit(setup: Setup, folder: RunFolder, state: State) -> Run:
    """Train; with many processes batch norm is that of the whole batch, if it is to be, and a stop of all.

    Raises:
        SegnetError: batch norm that can't be synchronised.
    """
    if this_process().total == 1:
        return fit(setup, folder, state)
    with only_noted(), synchronised(setup.model) if setup.config.sync_batch_norm else nullcontext():
        return fit(setup, folder, state)


# --- what a run's folder says of it ---


def _origin_in(
    folder: RunFolder,
    checkpoint: Checkpoint,
    damage: str,
    changes: Mapping[str, Any],
    data: str | Path | None,
) -> Origin:
    """Return how the run of a folder goes on from a state of it, with these settings and its data there.

    Raises:
        SegnetError: config.yaml says something else than the run was trained with, or nobody knows its data.
    """
    config, settings = read_config(folder.config), checkpoint.settings
    now = config.to_dict()
    changed = [
        f"{name} was {settings[name]}, is {now[name]}"
        for name in now
        if name in settings and now[name] != settings[name] and not _may_change(config, name, settings[name])
        if not (name == "epochs" and name in changes)
    ]
    manifest = folder.read_manifest()
    refuse(
        (
            changed,
            f"{folder.config} was changed since the run began ({'; '.join(changed)}): undo that, or start a "
            f"new run with segnet train --config {folder.config}; for another end there is --epochs N",
        ),
        (
            manifest is None,
            f"{folder.data} is missing: nobody knows what the run was trained on; train anew",
        ),
    )
    derived = {name: reason for name, reason in config.derived.items() if name not in changes}
    config = replace(config, derived=derived, **changes)
    if data is not None:
        place = "data_root" if config.source == "oxford-pets" else "data"
        moved: dict[str, Any] = {"archive": (), place: data}
        config = replace(config, **moved)
    return Origin(config, folder, checkpoint, manifest, damage, checkpoint.state)


def _may_change(config: TrainConfig, name: str, before: object) -> bool:
    """Say whether a setting may be another than when a run began: it doesn't say what is computed.

    That is where things are, what computes, what is saved and what a fault does. The data, and what else lies
    at a path, is told by its content; but whether there is a teacher at all changes what is computed.
    """
    free = {entry.name for entry in fields(TrainConfig) if entry.metadata.get("may_change")}
    if name == "teacher":
        return None not in (config.teacher, before)
    return name in free | path_names(config)


def _require_given(folder: RunFolder, name: str, model: nn.Module | None) -> None:
    """Raise SegnetError where a run's model must be given and isn't, or the other way round."""
    refuse(
        (
            model is None and is_own(name),
            f"{folder.path} trains a module of your own ({name}); go on through Python: "
            f"segnet.resume(path, model={short_name(name)}(...))",
        ),
        (
            model is not None and not is_own(name),
            f"{folder.path} trains {name}, which segnet builds itself; leave model= out",
        ),
    )


def _take_along(folder: RunFolder, checkpoint: Checkpoint, new: RunFolder) -> None:
    """Note in a branch what it has left, and copy the lines and pictures of its epochs and the best's model.

    Raises:
        SegnetError: the model is another by now; the run may be at work, and its files change.
    """
    state, model_file = checkpoint.state, checkpoint.model_file
    how = "the whole state" if checkpoint.is_whole else "the weights; the optimizer starts anew"
    left = {"run": str(folder.path.resolve()), "epoch": state.epoch, "takes": how}
    new.write_json(new.environment, read_mapping(new.environment) | {"branched_from": left})
    new.write_epochs([record.to_dict() for record in state.records])
    assert model_file is not None
    assert state.best is not None  # read_epoch has looked
    epochs = [record.epoch for record in state.records]
    files = [
        (model_file, new.model),
        (folder.preview_images, new.preview_images),
        *((folder.preview(epoch), new.preview(epoch)) for epoch in epochs),
        *((folder.predictions(epoch), new.predictions(epoch)) for epoch in epochs),
    ]
    for source, target in files:
        if source.is_file():  # a picture may have been deleted
            with replacing(target) as temporary:
                shutil.copyfile(source, temporary)
    if model_epoch(new.model) != state.best.epoch:
        raise SegnetError(
            f"{folder.path} has moved on, and {model_file} with it, before it was copied; try again"
        )


# --- by what torchrun, which starts its processes anew after one has died, finds its run again ---


def _begun_before(out: Path | None) -> RunFolder | None:
    """Return the run that this very job has begun, and not finished, before its processes were started anew.

    The command is then the same, and so is the job, which a run folder keeps in ``last/job``.

    Args:
        out: its folder, None for one below runs/.
    """
    job = _job()

    def newest() -> RunFolder | None:
        places = [out] if out is not None else [path for path in Path("runs").glob("*") if path.is_dir()]
        runs = [RunFolder(path) for path in places]
        own = [run for run in runs if run.job.is_file() and run.job.read_text(encoding="utf-8") == job]
        going_on = [run for run in own if run.has_state and not run.report.is_file()]
        return max(going_on, key=lambda run: run.job.stat().st_mtime, default=None)

    return None if job is None else from_writer(newest)


def _job() -> str | None:
    """Return what tells this job from others: torchrun's id of it, and on one machine its process itself.

    None where nothing does, or torchrun has not started it.
    """
    name = os.environ.get("TORCHELASTIC_RUN_ID")
    if name is None:
        return None
    if os.environ.get("GROUP_WORLD_SIZE", "1") == "1":
        name += f" {platform.node()} {os.getppid()}"
    elif name == "none":  # torchrun's default, the same for all
        return None
    return f"{name} {hashlib.sha256(repr(sys.argv[1:]).encode()).hexdigest()}"
