"""Which images of a batch a process takes, and which of these it computes with at once.

A batch is the same whatever computes it. It is cut into parts, one after another, and each part between the
processes: so one process that takes as many parts computes with the same parts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")


class BatchPart(NamedTuple):
    """Images of a share that go through the network at once: its rows from ``first`` to before ``end``."""

    first: int
    end: int
    stands_in: bool = False
    """They count for nothing: the part has fewer images than there are processes, and none is left."""


class Share(NamedTuple):
    """What one process takes of one batch."""

    rows: tuple[int, ...]
    """Places in the batch."""
    batch: int
    """Images in the batch."""
    parts: tuple[BatchPart, ...]

    def of(self, batch: Sequence[Item]) -> list[Item]:
        """Return the items of a batch that are in the share."""
        return [batch[row] for row in self.rows]


def share_of(images: int, batch_size: int, accumulate: int, rank: int = 0, total: int = 1) -> Share:
    """Return the share of a process, as even as it can be.

    Args:
        images: in this batch; the last of an epoch may have fewer than ``batch_size``, or one more.
        batch_size: of the others.
        accumulate: parts in a whole batch. One that has fewer images has so many fewer parts.
        rank: which process.
        total: how many there are.
    """
    rows: list[int] = []
    parts: list[BatchPart] = []
    wanted = min(accumulate, images, math.ceil(images * accumulate / batch_size))
    for part in _evenly(range(images), wanted):
        own = _evenly(part, total)[rank]
        # two images, since batch norm that isn't synchronised can't do with one
        taken = list(own) or [part[0], part[0]]
        parts.append(BatchPart(len(rows), len(rows) + len(taken), stands_in=not own))
        rows += taken
    return Share(tuple(rows), images, tuple(parts))


def smallest_share(images: int, batch_size: int, accumulate: int, total: int) -> int:
    """Return the fewest images that a process computes with at once, those standing in left out."""
    shares = (share_of(images, batch_size, accumulate, rank, total) for rank in range(total))
    return min(part.end - part.first for share in shares for part in share.parts if not part.stands_in)


def _evenly(rows: range, pieces: int) -> list[range]:
    ends = [rows.start + len(rows) * piece // pieces for piece in range(pieces + 1)]
    return [range(first, end) for first, end in pairwise(ends)]
