"""What the processes of one run tell each other, inside ``joined``.

Outside it, and in a process that was started alone, every function here does nothing and costs nothing.
"""

from __future__ import annotations

import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from segnet.base.distributed.rank import Meeting, Process, is_writer, meeting, set_meeting, started_as
from segnet.base.errors import EndedElsewhereError, ProcessLostError, SegnetError, first_line

Made = TypeVar("Made")

LONGEST_WAIT = timedelta(minutes=10)
"""For what all do at once. A process that has died is noticed in seconds; this is for one that hangs."""
_SMALL = 2**16
"""Bytes up to which all gather and add up themselves: gloo's own sums took longer, twice a layer."""
_KEEPS_ORDER = sys.platform == "linux" and platform.machine() == "x86_64"
_POLL_S = 0.1
_FAILED = -1_000_000
_turns = count(1)


@contextmanager
def joined() -> Iterator[None]:
    """Talk to the other processes inside, where this one was not started alone.

    Raises:
        SegnetError: this torch can't, or the others don't come.
        ProcessLostError: another process has died.
    """
    started = started_as()
    if started.total == 1 or meeting() is not None:
        yield
        return
    met = _meet(started)
    set_meeting(met)
    try:
        set_meeting(_with_board(met))
        yield
        leave()  # not after an error: the others might not answer
    except RuntimeError as error:
        # what torch.distributed makes of a process that doesn't answer
        words = ("gloo", "NCCL", "nccl", "Connection", "connection", "Broken pipe", "socket")
        is_known = isinstance(error, torch.distributed.DistError)
        if not is_known and not any(word in str(error) for word in words):
            raise
        raise ProcessLostError(
            "another process of this run has died, or doesn't answer; segnet resume goes on from the last "
            "save, as torchrun --max-restarts does by itself"
        ) from error


def leave() -> None:
    """Stop talking, all processes at once; each is then alone."""
    if meeting() is not None:
        agreed(False)  # the process that keeps the store may not end while others still read from it
        torch.distributed.destroy_process_group()
        set_meeting(None)


def _meet(started: Process) -> Meeting:
    dist = torch.distributed
    if not dist.is_available():
        raise SegnetError("this torch was built without torch.distributed; train with one process")
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    try:
        store, rank, size = next(rendezvous("env://"))
        # torchrun may keep the store when it starts processes anew, with the addresses of those before
        store = dist.PrefixStore(f"start {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=LONGEST_WAIT)
    except (RuntimeError, ValueError) as error:
        raise SegnetError(
            f"the {started.total} processes of this run don't find each other at "
            f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']} ({first_line(error)})"
        ) from error
    return Meeting(started, dist.PrefixStore("segnet", store))  # type: ignore[attr-defined]


def _with_board(met: Meeting) -> Meeting:
    """Return the meeting with memory that all processes share, where they are on one machine and can."""
    here = met.process
    if here.local_total < here.total or not _KEEPS_ORDER:
        return met
    from segnet.base.distributed.shared_memory import Board

    def create() -> Path | None:
        with suppress(OSError):
            return Board.create(here.total, _SMALL)
        return None

    file, board = from_writer(create), None
    if file is not None:
        with suppress(OSError):
            board = Board(file, here.rank, here.total, _SMALL, LONGEST_WAIT.total_seconds())
    (one_has_none,) = agreed(board is None)
    if file is not None and is_writer():
        file.unlink(missing_ok=True)
    return met if one_has_none else met._replace(board=board)


def total(tensor: Tensor) -> Tensor:
    """Return the sum of all processes' tensors, on each of them, in place of this one's."""
    if meeting() is None:
        return tensor
    if tensor.device.type == "cpu" and tensor.nbytes <= _SMALL:
        return tensor.copy_(gathered(tensor).sum(0))
    torch.distributed.all_reduce(tensor)
    return tensor


def gathered(tensor: Tensor) -> Tensor:
    """Return ``(processes, *shape)``: the tensors of all processes, of one shape, in the order of ranks."""
    met = meeting()
    if met is None:
        return tensor[None]
    if met.board is not None and tensor.device.type == "cpu" and tensor.nbytes <= _SMALL:
        return met.board.gathered(tensor)
    each = [torch.empty_like(tensor) for _ in range(met.process.total)]
    torch.distributed.all_gather(each, tensor)
    return torch.stack(each)


def batch_sums(*sums: Tensor) -> tuple[Tensor, ...]:
    """Return sums of a batch, scalars or vectors of a process's share of it, as those of the whole batch.

    Every process then computes the same loss from them, so the gradient passes to its own part unchanged:
    what it finds is its part of the batch's gradient, and the parts' sum is the whole (``shared``).
    """
    if meeting() is None:
        return sums
    flat = _Sum.apply(torch.cat([each.double().flatten() for each in sums]))
    pieces = flat.split([each.numel() for each in sums])
    return tuple(
        piece.view(each.shape).to(each.dtype if each.is_floating_point() else torch.float32)
        for piece, each in zip(pieces, sums, strict=True)
    )


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return total(tensor.clone())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


def agreed(*flags: bool) -> tuple[bool, ...]:
    """Return each flag as it is where any process has it set, so that all do the same next."""
    if meeting() is None:
        return flags
    return tuple(bool(each) for each in total(torch.tensor(flags, dtype=torch.int32)).tolist())


def from_writer(make: Callable[[], Made]) -> Made:
    """Return what the writer makes, on every process; what it makes must pickle.

    Raises:
        SegnetError: the writer's, on every process.
        EndedElsewhereError: on the others, where the writer raises anything else; it names that.
    """
    if meeting() is None:
        return make()
    answer: list[Any] = [None]
    raised: Exception | None = None
    if is_writer():
        try:
            answer = [make()]
        except Exception as error:
            raised, answer = error, [error if isinstance(error, SegnetError) else _ended_elsewhere(error)]
    torch.distributed.broadcast_object_list(answer, src=0)
    if raised is not None or isinstance(answer[0], SegnetError):
        raise raised or answer[0]
    return answer[0]


def first_of_machine(make: Callable[[], Made]) -> Made:
    """Make the same on every process, on each machine by one first: the others find what it has left on disk.

    Nobody goes on before all have it, and they wait as long as it takes.

    Raises:
        BaseException: whatever ``make`` raises, on the process where it does.
        EndedElsewhereError: on the others; it names what was raised.
    """
    met = meeting()
    if met is None:
        return make()
    turn = next(_turns)
    first, ready = f"{turn} first of {os.environ.get('GROUP_RANK', '0')}", f"{turn} ready"
    why = f"{turn} why"
    try:
        if met.process.local_rank:
            _wait_for(met, first, 1, why)
        made = make()
    except BaseException as error:  # also a stop: the others would wait for ever
        if not isinstance(error, EndedElsewhereError):  # which another process has raised
            met.store.set(why, str(_ended_elsewhere(error)))
        for word in (first, ready):
            met.store.add(word, _FAILED)
        raise
    met.store.add(first, 1)
    met.store.add(ready, 1)
    _wait_for(met, ready, met.process.total, why)
    return made


def _wait_for(met: Meeting, word: str, times: int, why: str) -> None:
    # asked again and again: a wait inside the store would not let a signal through
    while (found := met.store.add(word, 0)) < times:
        if found < 0:
            raise EndedElsewhereError(met.store.get(why).decode())
        time.sleep(_POLL_S)


def _ended_elsewhere(error: BaseException) -> EndedElsewhereError:
    said = str(error) if isinstance(error, SegnetError) else f"{type(error).__name__}: {error}"
    return EndedElsewhereError(f"another process of this run has ended with {said}")


def shared(model: nn.Module) -> nn.Module:
    """Return a model whose gradients become the sum over all processes in its backward pass."""
    if meeting() is None:
        return model
    # a kernel of one channel has the strides of more than one memory order; copying it costs nothing
    warnings.filterwarnings("ignore", r"\s*Grad strides do not match bucket view strides")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # what replaces broadcast_buffers does something else
        return DistributedDataParallel(model, broadcast_buffers=False, gradient_as_bucket_view=True)
