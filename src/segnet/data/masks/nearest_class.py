"""Pixels of a mask that hold no class's own value: after lossy compression, or on anti-aliased edges.

Distances are in grey levels, of colours in the channel that differs most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from segnet.base.classes import IGNORE_INDEX
from segnet.data.dataset import Mask
from segnet.data.masks.stored_values import Numbers, channels_of

DISTANCE = 24
"""A lossy file's value is that of a class up to so many grey levels away."""

NEEDED_GAP = 32
"""Values of two classes that a lossy file tells apart differ by so much at least."""

_AREA = 0.1  # of a value's pixels: a class fills areas, an edge has none
_SMALLEST_AREA_PX = 4
_FLAT = 8  # grey levels, between neighbours inside an area that lossy compression has changed
_MANY = 16  # values that are no class, none of which fills an area: edges alone have so many
_FEW = 3
_EXPLAINED = 0.9  # of these pixels
_AROUND_PX = 4
_LOOKED_AT = 20_000  # pixels
_MOST_PAIRS = 12  # classes in one mask, between all of which edges are looked for

Channels = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


class Known:
    """The values or colours of classes, and how far around each a value still counts as it."""

    def __init__(self, ids: dict[int, int], *, in_colour: bool) -> None:
        self.in_colour = in_colour
        self.numbers = np.array([*ids], np.int64)
        self.ids = np.array([*ids.values()], np.uint8)
        self.places = channels_of([*ids], in_colour=in_colour)
        gaps = _distances(self.places, self.places)
        # what is ignored takes no room from a class: 255 mostly occurs in no mask
        gaps[np.equal.outer(self.ids, self.ids) | (self.ids == IGNORE_INDEX)[None]] = np.inf
        self._gaps = gaps.min(1, initial=np.inf)
        self.reach = np.minimum(DISTANCE, np.floor(self._gaps / 4))

    @property
    def smallest_gap(self) -> float:
        """How near two classes come."""
        return float(self._gaps[self.ids != IGNORE_INDEX].min(initial=np.inf))

    def within_reach(self, numbers: npt.ArrayLike, slack: int = 1) -> npt.NDArray[np.intp]:
        """Return which known value each of some values ``(N,)`` counts as; -1 where none is near enough."""
        distance = _distances(
            channels_of(np.asarray(numbers).tolist(), in_colour=self.in_colour), self.places
        )
        distance[distance > self.reach * slack] = np.inf
        nearest = distance.argmin(1)
        return np.where(np.isfinite(distance.min(1)), nearest, -1)

    def nearest(self, numbers: npt.ArrayLike) -> npt.NDArray[np.intp]:
        """Return which known value is nearest to each; ignored ones are only where they are near enough."""
        within = self.within_reach(numbers)
        places = channels_of(np.asarray(numbers).tolist(), in_colour=self.in_colour)
        distance = ((places[:, None] - self.places[None]) ** 2).sum(2)
        distance[:, self.ids == IGNORE_INDEX] = np.inf
        return np.where(within >= 0, within, distance.argmin(1))


def _distances(a: Channels, b: Channels) -> npt.NDArray[np.float32]:
    return np.abs(a[:, None] - b[None]).max(2)


def solid(numbers: Numbers) -> Flags:
    """Return which pixels ``(H, W)`` have the value of all their neighbours above, below, left and right."""
    same = np.ones(numbers.shape, bool)
    down, right = numbers[1:] == numbers[:-1], numbers[:, 1:] == numbers[:, :-1]
    same[1:] &= down
    same[:-1] &= down
    same[:, 1:] &= right
    same[:, :-1] &= right
    return same


def flat(numbers: Numbers, *, in_colour: bool) -> Flags:
    """Return which pixels ``(H, W)`` differ little from their neighbours to the right and below."""
    places = channels_of(numbers.ravel().tolist(), in_colour=in_colour).reshape(*numbers.shape, -1)
    small = np.zeros(numbers.shape, bool)
    steps = [np.abs(np.diff(places, axis=axis)).max(-1) <= _FLAT for axis in (0, 1)]
    small[:-1, :-1] = steps[0][:, :-1] & steps[1][:-1]
    return small


def areas(numbers: Numbers) -> dict[int, int]:
    """Return the values that fill areas in a mask ``(H, W)``, with the pixels inside of these areas."""
    values, back, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    inside = np.bincount(back.ravel(), weights=solid(numbers).ravel(), minlength=len(values))
    fill = inside >= np.maximum(_SMALLEST_AREA_PX, counts * _AREA)
    return {int(values[i]): int(inside[i]) for i in np.flatnonzero(fill)}


class Unknown(NamedTuple):
    """What the values of a mask are that are no class."""

    areas: list[int]
    """Those that fill areas, so that they may be classes; the largest first."""
    is_soft: bool
    """Whether all are edges between classes, or lossy compression's."""


def look_at_unknown(
    numbers: Numbers, known: Known, unknown: Sequence[int], *, is_lossy: bool = False
) -> Unknown:
    """Tell soft edges from forgotten classes in a mask ``(H, W)`` that holds ``unknown`` values.

    A forgotten class fills areas. Soft edges fill none and have several values; they lie between two classes,
    and so do their values. Lossy compression leaves values around those of classes. It may move a whole area
    by a level or two; then nothing has the class's own value. In a lossy file single values may be further
    away.
    """
    values, counts = np.unique(numbers, return_counts=True)
    other = np.isin(values, unknown)
    filled = areas(numbers)
    near = known.within_reach(values)
    fills = np.isin(values, [*filled])
    noisy = (other & ~fills & (near >= 0)).sum() > _FEW
    # where one value alone fills areas near a class's, its own among them, that is what became of the class
    alone = np.bincount(near[fills & (near >= 0)], minlength=len(known.numbers)) == 1
    stands_in = (near >= 0) & alone[near] & noisy
    found = values[other & fills & ~stands_in].tolist()
    if found:
        return Unknown(sorted(found, key=lambda value: -filled[value]), is_soft=False)
    count = int(other.sum())
    if count > _MANY:
        return Unknown([], is_soft=True)
    if count < _FEW and not is_lossy:
        return Unknown([], is_soft=False)
    slack = 2 if is_lossy else 1
    near = known.within_reach(values, slack)
    far = values[other & (near < 0)]
    explained = counts[other & (near >= 0)].sum() + _between(numbers, far, known, slack * DISTANCE)
    return Unknown([], is_soft=bool(explained >= counts[other].sum() * _EXPLAINED))


def _between(numbers: Numbers, unknown: Numbers, known: Known, distance: int) -> float:
    """Return how many pixels of unknown values lie between two classes, in the mask and by their values."""
    rows, columns = np.nonzero(np.isin(numbers, unknown))
    total = len(rows)
    if not total:
        return 0
    some = np.linspace(0, total - 1, min(total, _LOOKED_AT)).round().astype(np.int64)
    rows, columns = rows[some], columns[some]
    values, back = np.unique(numbers, return_inverse=True)
    kinds = known.within_reach(values)[back].reshape(numbers.shape)
    there = [int(k) for k in np.unique(kinds) if k >= 0][:_MOST_PAIRS]
    around = _present(kinds, there, rows, columns, _AROUND_PX)
    pixels = channels_of(numbers[rows, columns].tolist(), in_colour=known.in_colour)
    between = np.zeros(len(rows), bool)
    for i, one in enumerate(there):
        for j, other in enumerate(there[:i]):
            on_line = _to_segment(pixels, known.places[one], known.places[other]) <= distance
            between |= around[:, i] & around[:, j] & on_line
    return float(between.mean() * total)


def _to_segment(points: Channels, a: Channels, b: Channels) -> npt.NDArray[np.float32]:
    """Return how far points ``(N, C)`` are from the line between two others."""
    along = b - a
    share = ((points - a) @ along / max(float(along @ along), 1e-9)).clip(0, 1)
    return np.abs(points - (a + share[:, None] * along)).max(1)


def _present(
    kinds: npt.NDArray[np.integer], there: list[int], rows: Numbers, columns: Numbers, reach: int
) -> Flags:
    """Return which kinds ``(N, len(there))`` occur up to ``reach`` pixels around some pixels."""
    padded = np.pad(kinds, reach, constant_values=-1)
    found = np.zeros((len(rows), len(there)), bool)
    for down in range(2 * reach + 1):
        for right in range(2 * reach + 1):
            found |= padded[rows + down, columns + right][:, None] == np.array(there)
    return found


def nearest_classes(numbers: Numbers, known: Known) -> Mask:
    """Return the class ids ``(H, W)`` of a mask: each pixel is the class whose value is nearest.

    With three classes and more, an edge between two passes the values of others. So a pixel becomes a class
    of which there is an area nearby, where two such classes meet.
    """
    values, back = np.unique(numbers, return_inverse=True)
    back = back.reshape(numbers.shape)
    kinds = known.nearest(values)[back]
    cores = np.where(_cores(kinds) & (known.within_reach(values) >= 0)[back], kinds, -1)
    there = [int(k) for k in np.unique(cores) if k >= 0]
    if len(there) > 1 and len(np.unique(kinds)) > 2:
        rows, columns = np.nonzero(cores < 0)
        around = _present(cores, there, rows, columns, _AROUND_PX)
        own = (kinds[rows, columns][:, None] == np.array(there)) & around
        moved = (around.sum(1) >= 2) & ~own.any(1)
        rows, columns, around = rows[moved], columns[moved], around[moved]
        pixels = channels_of(numbers[rows, columns].tolist(), in_colour=known.in_colour)
        distance = ((pixels[:, None] - known.places[there][None]) ** 2).sum(2)
        distance[~around] = np.inf
        kinds[rows, columns] = np.array(there)[distance.argmin(1)]
    return known.ids[kinds]


def _cores(kinds: npt.NDArray[np.intp]) -> Flags:
    """Return which pixels lie in a square of 3x3 pixels of one kind."""
    height, width = kinds.shape
    core = np.zeros(kinds.shape, bool)
    if height < 3 or width < 3:
        return core
    middle = np.ones((height - 2, width - 2), bool)
    places = [
        (slice(down, down + height - 2), slice(right, right + width - 2))
        for down in range(3)
        for right in range(3)
    ]
    for place in places:
        middle &= kinds[place] == kinds[1:-1, 1:-1]
    for place in places:
        core[place] |= middle
    return core
