"""Small tensors between the processes of one machine, through memory that they share.

What batch norm says twice a layer is a few kilobytes, for which gloo wakes a thread on either side: half a
millisecond, where a layer of a compact network computes for two. Here each process writes to its place in a
mapped file, raises its turn, and looks at the others' turns until they are as high.

Only for Linux on x86, which shows stores in the order in which they were made; elsewhere gloo does it.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

_LINE = 64  # bytes between turns, so that processors don't take each other's
_HALVES = 2  # one is written while a slower process still reads the other
_EAGER = 1000  # looks at a turn, a tenth of a millisecond, before the core is offered to others
_AWAKE_S, _NAP_S = 0.02, 0.001  # for a wait as long as a validation it isn't kept busy
_ALIVE_S = 0.1  # between looks at whether a process that is awaited still lives


class Board:
    """What each process of a machine has written last; used when all have opened it.

    Args:
        file: what ``create`` made.
        rank: which process this one is.
        total: of how many.
        room: bytes of the largest tensor.
        longest_wait: seconds after which a process that doesn't come counts as lost.

    Raises:
        OSError: the file isn't there: it is another machine's.
    """

    def __init__(self, file: Path, rank: int, total: int, room: int, longest_wait: float) -> None:
        self._rank, self._total, self._longest_wait = rank, total, longest_wait
        self._file = file.open("r+b", buffering=0)
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, rank)  # until the process ends, whatever ends it
        memory = mmap.mmap(self._file.fileno(), _size(total, room))
        self._turns = memoryview(memory)[: total * _LINE].cast("q")[:: _LINE // 8]
        places = torch.frombuffer(memory, dtype=torch.uint8, offset=total * _LINE)
        self._places = places.view(_HALVES, total, room)
        self._turn = 0

    @staticmethod
    def create(total: int, room: int) -> Path:
        """Make a file for so many processes, to be deleted when all have opened it.

        Raises:
            OSError: there is no room for it.
        """
        handle, name = tempfile.mkstemp(prefix="segnet-")
        try:
            os.posix_fallocate(handle, 0, _size(total, room))  # where none is left, a later write would kill
        except OSError:
            Path(name).unlink()
            raise
        finally:
            os.close(handle)
        return Path(name)

    def gathered(self, tensor: Tensor) -> Tensor:
        """Return ``(processes, *shape)``: the tensors of all, of one shape and type, in the order of ranks.

        Raises:
            torch.distributed.DistError: a process has died, or hasn't come for too long.
        """
        self._turn += 1
        places = self._places[self._turn % _HALVES, :, : tensor.nbytes]
        places[self._rank].copy_(tensor.detach().reshape(-1).view(torch.uint8))
        self._turns[self._rank] = self._turn
        for other in range(self._total):
            self._wait_for(other)
        found = torch.empty((self._total, *tensor.shape), dtype=tensor.dtype)
        found.reshape(-1).view(torch.uint8).copy_(places.reshape(-1))  # their memory is written again
        return found

    def _wait_for(self, other: int) -> None:
        turns, turn = self._turns, self._turn
        for _ in range(_EAGER):
            if turns[other] >= turn:
                return
        began = looked = time.monotonic()
        while turns[other] < turn:
            now = time.monotonic()
            if now - began < _AWAKE_S:
                os.sched_yield()
            else:
                time.sleep(_NAP_S)
            if now - looked > _ALIVE_S:
                looked = now
                gone = self._has_ended(other) and turns[other] < turn  # it may have written, and ended then
                if gone or now - began > self._longest_wait:
                    raise torch.distributed.DistError(f"process {other} doesn't answer")

    def _has_ended(self, other: int) -> bool:
        with suppress(OSError):  # it is locked
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, other)
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, other)
            return True
        return False


def _size(total: int, room: int) -> int:
    return total * (_LINE + _HALVES * room)
