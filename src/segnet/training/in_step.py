"""What lets the processes of a run train in step, and only one of them speak."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console

from segnet.base.distributed.rank import is_writer, this_process
from segnet.core.sync_batch_norm import synchronised
from segnet.training.interrupt import only_noted
from segnet.training.setup import Setup


def console_of_one() -> Console:
    """Return where progress is printed: nowhere, but by the process that writes."""
    return Console(quiet=not is_writer())


@contextmanager
def in_step(setup: Setup) -> Iterator[None]:
    """Inside, the model's batch norm is that of the whole batch, if it is to be, and a stop is one of all.

    Raises:
        SegnetError: batch norm that can't be synchronised.
    """
    if this_process().total == 1:
        yield
        return
    with only_noted(), synchronised(setup.model) if setup.config.sync_batch_norm else nullcontext():
        yield
