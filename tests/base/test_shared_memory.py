"""Processes of one machine pass each other tensors through memory; torch.stack of them all is the truth."""

import os
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from segnet.base.distributed.collectives import _KEEPS_ORDER

if _KEEPS_ORDER:
    from segnet.base.distributed.shared_memory import Board

if __name__ != "__main__":
    from . import apart

pytestmark = pytest.mark.skipif(
    not (_KEEPS_ORDER and dist.is_available()), reason="only for Linux on x86, and with torch.distributed"
)

ROOM = 4096
PATIENCE_S = 300
TURNS = 400
TYPES = (torch.float64, torch.float32, torch.bfloat16, torch.int32, torch.bool)


def tensor_of(rank, turn):
    """A tensor of another shape and type each turn, at times with no value, or all that there is room for."""
    numbers = torch.arange(ROOM // 8 if turn % 50 == 7 else turn % 23) * 31 + 7 * rank + turn
    numbers = numbers.to(TYPES[turn % len(TYPES)])
    return numbers.reshape(2, -1).T if turn % 4 == 2 and len(numbers) % 2 == 0 and len(numbers) else numbers


def gather_many(board, rank, total):
    for turn in range(TURNS):
        if (turn + rank) % 97 == 0:
            time.sleep(0.03)  # long enough for the others to nap
        expected = torch.stack([tensor_of(other, turn) for other in range(total)])
        found = board.gathered(tensor_of(rank, turn))
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected), (rank, turn)


def hang_once(board, rank, total):
    board.gathered(torch.zeros(3))
    if rank == 1:
        time.sleep(PATIENCE_S)
    began = time.monotonic()
    with pytest.raises(dist.DistError, match="process 1 doesn't answer"):
        board.gathered(torch.zeros(3))
    Path(board._file.name).with_name("waited").write_text(f"{time.monotonic() - began:.2f}")


def leave_after_the_last(board, rank, total):
    """What has written and ended has answered all the same."""
    if rank == 0:
        time.sleep(0.5)
    assert board.gathered(torch.tensor([rank])).flatten().tolist() == [0, 1]


@contextmanager
def started(folder, what, total, longest_wait=PATIENCE_S):
    file = str(shutil.move(Board.create(total, ROOM), folder / "board"))
    each = [(what, file, total, float(longest_wait), rank) for rank in range(total)]
    with apart.started(__file__, *each) as processes:
        yield processes


@pytest.mark.parametrize("total", [2, 3])
def test_each_has_the_tensors_of_all_in_the_order_of_ranks(total, tmp_path):
    with started(tmp_path, "gather_many", total) as processes:
        assert apart.ends(processes, PATIENCE_S) == [0] * total


def test_one_that_is_killed_is_noticed(tmp_path):
    with started(tmp_path, "hang_once", 2) as (waits, dies):
        while not (tmp_path / "board.0").exists() or not (tmp_path / "board.1").exists():
            time.sleep(0.1)
        time.sleep(1)  # the first turn is over, the second awaited
        dies.kill()
        assert apart.ends([waits], PATIENCE_S) == [0]


def test_one_that_hangs_is_lost_after_the_longest_wait(tmp_path):
    with started(tmp_path, "hang_once", 2, longest_wait=1) as (waits, hangs):
        assert apart.ends([waits], PATIENCE_S) == [0]
        assert float((tmp_path / "waited").read_text()) >= 1
        assert hangs.is_alive()


def test_one_that_has_answered_and_ended_is_not_lost(tmp_path):
    with started(tmp_path, "leave_after_the_last", 2) as processes:
        assert apart.ends(processes, PATIENCE_S) == [0, 0]


def test_without_room_no_file_stays(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        Board.create(2, ROOM)
    assert list(tmp_path.iterdir()) == []


if __name__ == "__main__":
    what, file, total, longest_wait, rank = ARGUMENTS  # noqa: F821 - as apart.py calls them
    torch.set_num_threads(1)
    board = Board(Path(file), rank, total, ROOM, longest_wait)
    opened = [Path(f"{file}.{each}") for each in range(total)]
    opened[rank].touch()
    while not all(each.exists() for each in opened):  # who hasn't opened it yet would count as ended
        time.sleep(0.01)
    globals()[what](board, rank, total)
