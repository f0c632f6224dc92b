"""Which process of a run this one is: torchrun, or whoever else starts them, says it in the environment.

RANK of WORLD_SIZE, LOCAL_RANK on its machine, and where they meet. Imports nothing heavy.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Any, NamedTuple

_FOR_THE_FIRST_S = 20.0


class Process(NamedTuple):
    """Which process this is."""

    rank: int = 0
    total: int = 1
    local_rank: int = 0
    """On its machine."""
    local_total: int = 1


class Meeting(NamedTuple):
    """Where processes have met."""

    process: Process
    store: Any
    """A ``torch.distributed.Store``: words that each leaves for the others, without waiting for them."""
    board: Any = None
    """A ``Board`` where all are on one machine and it can have one."""


_meeting: Meeting | None = None


def started_as() -> Process:
    """Return which process the environment says that this one is."""
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    if not all(os.environ.get(name) for name in names):
        return Process()
    rank, total = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local_rank = int(os.environ.get("LOCAL_RANK", rank))
    return Process(rank, total, local_rank, int(os.environ.get("LOCAL_WORLD_SIZE", total)))


def meeting() -> Meeting | None:
    """Return where this process has met the others, None while it is alone."""
    return _meeting


def set_meeting(found: Meeting | None) -> None:
    """Note that they have met, or have left."""
    global _meeting
    _meeting = found


def this_process() -> Process:
    """Return which process of those that have met this one is."""
    return Process() if _meeting is None else _meeting.process


def is_writer() -> bool:
    """Say whether this process is the one that writes files and prints."""
    return this_process().rank == 0


def may_speak() -> bool:
    """Say whether this process is the one to print what ends the run: the first that asks.

    Before they have met it is the first of each machine. The others give it time: torchrun ends all of them
    as soon as one has ended, which would cut the first off before it has found the same.
    """
    if _meeting is None:
        if started_as().local_rank == 0:
            return True
        with suppress(KeyboardInterrupt):  # it has spoken, and torchrun stops us
            time.sleep(_FOR_THE_FIRST_S)
        return False
    try:
        return bool(_meeting.store.add("spoken", 1) == 1)
    except RuntimeError:  # whoever keeps the store is gone
        return True
