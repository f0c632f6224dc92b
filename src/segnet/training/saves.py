"""When a run's state is saved: after an epoch, inside one where that is due, and when it is stopped."""

from __future__ import annotations

import time
from collections.abc import Callable

from segnet.base.distributed.collectives import agreed
from segnet.base.distributed.rank import is_writer
from segnet.runs.run_folder import RunFolder
from segnet.runs.steps import write_steps
from segnet.training.check import require_finite
from segnet.training.checkpoint import Position, State, save_checkpoint
from segnet.training.configuration.option_types import parse_save_every
from segnet.training.interrupt import interrupts_wait
from segnet.training.kept import keep_state
from segnet.training.loss_watch import LossWatch
from segnet.training.setup import Setup


class Saves:
    """Saves a run's state, but none that has diverged: there is always a good one to go on from."""

    def __init__(self, setup: Setup, folder: RunFolder, state: State, watch: LossWatch) -> None:
        self._setup, self._folder, self._state, self._watch = setup, folder, state, watch
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
        state, setup = self._state, self._setup
        if position := state.position:  # after an epoch this has been looked at
            self._watch.settle()
            require_finite(float(position.loss_sum), setup.eval_model, state.epoch + 1)
        if is_writer():
            if state.first_steps:
                write_steps(self._folder, state.first_steps)
            save_checkpoint(self._folder, setup.settings, state, setup.parts())
            keep_state(self._folder, state, setup.config.keep_epochs)
        state.saved = state.at
        self._last = time.monotonic()

    def save_where_stopped(self) -> None:
        """Save the position of a run that Ctrl-C has stopped, unless a step was torn, or it is saved."""
        if self._state.position is not None and self._state.at != self._state.saved:
            with interrupts_wait():
                self.save()
