"""A run from its beginning: check, build, train, and leave nothing behind where that fails at once."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from dataclasses import replace

from rich.console import Console
from torch import nn

from segnet.base.distributed.collectives import first_of_machine, from_writer, joined
from segnet.base.distributed.rank import is_writer
from segnet.models.names import name_of
from segnet.runs.run_folder import new_run_folder
from segnet.training.check import check
from segnet.training.checkpoint import State, save_checkpoint
from segnet.training.configuration.config import TrainConfig
from segnet.training.in_step import console_of_one
from segnet.training.loop import Run, fit
from segnet.training.outputs.artifacts import begin
from segnet.training.restart import begun_before
from segnet.training.resume import resume
from segnet.training.setup import Setup, build


def train(config: TrainConfig, *, model: nn.Module | None = None, console: Console | None = None) -> Run:
    """Train a model and leave a run folder.

    Ctrl-C ends the run cleanly: the best epoch and the last step are kept and ``finished`` is False.

    Args:
        config: the settings.
        model: a module of your own, trained in place of ``config.model``: float32 images ``(N, 3, H, W)`` in
            [0, 1] to logits ``(N, classes, H, W)``. Its weights are where training starts, so seed before you
            build it. It is trained in place, on ``config.device``, and afterwards holds the last epoch's
            weights, not averaged, in evaluation mode; ``load(run.folder, model=...)`` opens the best epoch's.
        console: where progress is printed.

    Raises:
        SegnetError: data, model or settings that can't be trained with. Nothing is left behind then, unless
            an epoch was done, or a step saved, before a run diverged.
    """
    if model is not None:
        config = replace(config, model=name_of(model))
    with joined():
        if (begun := begun_before(config.out)) is not None:
            return resume(begun.path, model=model, console=console)
        return _begin(config, model, console)


def _begin(config: TrainConfig, model: nn.Module | None, console: Console | None) -> Run:
    def checked_and_built() -> Setup:
        check(config, model)
        return build(config, console or console_of_one(), model)

    setup = first_of_machine(checked_and_built)
    folder, state = from_writer(lambda: new_run_folder(config.out, setup.stem)), State()
    with folder.locked() if is_writer() else nullcontext():
        try:
            if is_writer():
                begin(setup, folder)
                save_checkpoint(folder, setup.settings, state, setup.parts())  # now it can be resumed
            return fit(setup, folder, state)
        except Exception:
            if is_writer() and state.epoch == 0 and state.saved == (0, 0):
                shutil.rmtree(folder.path, ignore_errors=True)
            raise
