"""Going on with a run: its files, its settings and its data, image by image, must be as they were."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rich.console import Console
from torch import nn

from segnet.base.distributed.collectives import first_of_machine, from_writer, joined
from segnet.base.distributed.rank import is_writer, started_as
from segnet.base.errors import SegnetError
from segnet.base.files import expand_home
from segnet.base.settings import path_names
from segnet.models.names import is_own, short_name
from segnet.runs.identity import Manifest
from segnet.runs.records import read_mapping, read_run
from segnet.runs.run_folder import RunFolder
from segnet.training.branch import branch, find_start
from segnet.training.check import check
from segnet.training.checkpoint import Checkpoint, place_of, read_newest, save_checkpoint
from segnet.training.configuration.config import TrainConfig
from segnet.training.configuration.config_file import read_config
from segnet.training.epoch import epoch_length
from segnet.training.in_step import console_of_one
from segnet.training.interrupt import interrupts_wait
from segnet.training.loop import Run, fit
from segnet.training.outputs.console import say_rate
from segnet.training.setup import Setup, build

# Where things are, what computes, what is saved and what a fault does: not what is computed. The data
# itself is told by its content.
_PLACES = {"data", "device", "track", "save_every", "keep_epochs", "on_nan"}
# Paths too, but whether there is one at all changes what is computed; what is there is told by its content.
_PARTS = {"teacher"}


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
    if not str(path).strip():  # an unset variable of a shell; as a path it would be this folder
        raise SegnetError("the run's name is empty; name its folder")
    folder = RunFolder(expand_home(path))
    if started_as().rank == 0:  # which alone reads it
        _require_run(folder)
    if from_epoch is not None:
        if started_as().total > 1:
            raise SegnetError("--from takes one process; begin the branch with one, and resume it with many")
        start = find_start(folder, from_epoch)
        config = _config_of(
            folder, start.settings, epochs=epochs, data=data, on_nan=on_nan, accumulate=accumulate
        )
        _require_given(path, config.model, model)
        config = replace(config, out=None if out is None else expand_home(out))
        return branch(folder, start, config, _manifest_of(folder), model=model, console=console or Console())
    if out is not None:
        raise SegnetError("--out is for a branch, which --from begins; a run goes on in its own folder")

    def begun() -> _Begun:
        checkpoint, damage = read_newest(folder)
        config = _config_of(
            folder, checkpoint.settings, epochs=epochs, data=data, on_nan=on_nan, accumulate=accumulate
        )
        return _Begun(checkpoint, damage, config, _manifest_of(folder))

    with joined(), folder.locked() if is_writer() else nullcontext():
        return _go_on(path, folder, from_writer(begun), epochs, model, console or console_of_one())


class _Begun(NamedTuple):
    """What a run's folder says of it."""

    checkpoint: Checkpoint
    damage: str
    config: TrainConfig
    manifest: Manifest


def _go_on(
    path: str | Path,
    folder: RunFolder,
    begun: _Begun,
    epochs: int | None,
    model: nn.Module | None,
    console: Console,
) -> Run:
    checkpoint, damage, config, manifest = begun
    state = checkpoint.state
    _require_given(path, config.model, model)
    if damage:
        console.print(f"warning: {damage}", highlight=False, soft_wrap=True)
    elif not state.is_over(config):
        console.print(f"it goes on {place_of(state.at)}", highlight=False, soft_wrap=True)
    if epochs is not None and epochs < state.epoch:
        raise SegnetError(f"--epochs {epochs}: {path} has done {state.epoch} epochs already; give more")
    if state.is_over(config):
        more = "to go on, give --epochs N" if state.epoch >= config.epochs else "nothing better had come"
        had = f"{path} had finished with epoch {state.epoch}; {more}"
        console.print(had, highlight=False, soft_wrap=True)
        outcome = from_writer(lambda: read_run(path).outcome)
        is_complete = from_writer(folder.report.is_file) and outcome is not None and outcome.finished
        if outcome is not None and is_complete and model is None:
            return Run(folder.path, config, True, outcome.best_epoch, outcome.val, outcome.test)

    def checked_and_built() -> Setup:
        check(config, model, new=False)
        return build(config, console, model, begun=manifest)

    setup = first_of_machine(checked_and_built)
    checkpoint.restore(setup.parts())
    say_rate(console, config, checkpoint.settings["epochs"], state, epoch_length(config, setup.train))
    if is_writer():
        setup.notice = read_mapping(folder.environment).get("notice", setup.notice)
        if not state.is_over(config):
            folder.scores.unlink(missing_ok=True)  # until it ends again, nothing says that it has
        if damage:  # the next save must not put the damaged state in this one's place
            checkpoint.path.replace(folder.state)
        if setup.settings != checkpoint.settings:
            with interrupts_wait():
                save_checkpoint(folder, setup.settings, state, setup.parts())
                folder.write_config(setup.settings)
                folder.write_manifest(setup.manifest)
    return fit(setup, folder, state)


def _require_run(folder: RunFolder) -> None:
    """Raise SegnetError where there is no run that can go on."""
    if not folder.has_state or not folder.config.is_file():
        raise SegnetError(f"{folder.path} is no run that can go on: it needs config.yaml and last/state.pt")


def _config_of(
    folder: RunFolder,
    settings: Mapping[str, Any],
    *,
    epochs: int | None,
    data: str | Path | None,
    on_nan: Literal["stop", "skip"] | None,
    accumulate: int | None,
) -> TrainConfig:
    """Return the configuration that a run goes on with.

    Args:
        folder: the run.
        settings: its settings after its last epoch, as its checkpoint has them.
        epochs: where it is to end, in place of the planned end.
        data: where its data is now, if that has moved.
        on_nan: what replaces its own.
        accumulate: what replaces its own.

    Raises:
        SegnetError: config.yaml says something else than the run was trained with; names it.
    """
    config = read_config(folder.config)
    now = config.to_dict()
    places = _PLACES | path_names(config) | (set() if epochs is None else {"epochs"})
    changed = [
        f"{name} was {settings[name]}, is {now[name]}"
        for name in now
        if name in settings
        and now[name] != settings[name]
        and (name not in places or (name in _PARTS and None in (now[name], settings[name])))
    ]
    if changed:
        raise SegnetError(
            f"{folder.config} was changed since the run began ({'; '.join(changed)}): undo that, or start a "
            f"new run with segnet train --config {folder.config}; for another end there is --epochs N"
        )
    if epochs is not None:
        derived = {name: reason for name, reason in config.derived.items() if name != "epochs"}
        config = replace(config, epochs=epochs, derived=derived)
    if on_nan is not None:
        config = replace(config, on_nan=on_nan)
    if accumulate is not None:
        config = replace(config, accumulate=accumulate)
    if data is not None:
        place = "data_root" if config.source == "oxford-pets" else "data"
        moved: dict[str, Any] = {"archive": (), place: data}
        config = replace(config, **moved)
    return config


def _require_given(path: str | Path, name: str, model: nn.Module | None) -> None:
    """Raise SegnetError where a run's model must be given and isn't, or the other way round."""
    if model is None and is_own(name):
        raise SegnetError(
            f"{path} trains a module of your own ({name}); go on through Python: "
            f"segnet.resume(path, model={short_name(name)}(...))"
        )
    if model is not None and not is_own(name):
        raise SegnetError(f"{path} trains {name}, which segnet builds itself; leave model= out")


def _manifest_of(folder: RunFolder) -> Manifest:
    """Return the data that a run began with, image by image.

    Raises:
        SegnetError: nobody knows it any more.
    """
    manifest = folder.read_manifest()
    if manifest is None:
        raise SegnetError(f"{folder.data} is missing: nobody knows what the run was trained on; train anew")
    return manifest
