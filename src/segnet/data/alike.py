"""Images that look alike though their bytes differ: saved anew, scaled, or the next frame of a film.

Two thumbnails of 16x16 greys count as alike where they differ by little on average. So that not all are
compared with all, only those are that agree in a quarter of their average hash: 64 bits, one for each of 8x8
places, of whether it is brighter than most. Two hashes that differ in three bits or fewer always agree in a
quarter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from segnet.data.survey import THUMBNAIL_PX

_MOST_GREYS = 4.0  # mean difference, after the mean of each is taken away
_LEAST_CONTRAST = 6.0  # standard deviation in greys: flat pictures all look alike
_MOST_BITS = 3
_COMPARED = 32  # with how many of the same quarter each is compared, the next by name

_SETS = np.array([bin(value).count("1") for value in range(256)], np.uint8)


def alike(thumbnails: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Yield pairs of numbers, the smaller first, of images that look alike; each pair once.

    Args:
        thumbnails: 16x16 greys each; an empty one is like no other.
    """
    numbers = [i for i, each in enumerate(thumbnails) if each]
    if len(numbers) < 2:
        return
    shape = (len(numbers), THUMBNAIL_PX, THUMBNAIL_PX)
    greys = np.frombuffer(b"".join(thumbnails[i] for i in numbers), np.uint8).reshape(shape)
    hashes = _hashes(greys)
    seen: set[tuple[int, int]] = set()
    for quarter in range(4):
        groups: dict[bytes, list[int]] = defaultdict(list)
        for row, part in enumerate(hashes[:, 2 * quarter : 2 * quarter + 2]):
            groups[part.tobytes()].append(row)
        for group in groups.values():
            for place, row in enumerate(group[:-1]):
                others = np.array(group[place + 1 : place + 1 + _COMPARED])
                for other in others[_are_alike(greys, hashes, row, others)].tolist():
                    if (row, other) not in seen:
                        seen.add((row, other))
                        yield numbers[row], numbers[other]


def _hashes(greys: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the average hash of each thumbnail, 8 bytes."""
    places = greys.reshape(len(greys), 8, 2, 8, 2).sum((2, 4), dtype=np.uint16).reshape(len(greys), 64)
    return np.packbits(places > np.median(places, axis=1, keepdims=True), axis=1)


def _are_alike(
    greys: npt.NDArray[np.uint8], hashes: npt.NDArray[np.uint8], row: int, others: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    near: npt.NDArray[np.bool_] = _SETS[hashes[others] ^ hashes[row]].sum(1) <= _MOST_BITS
    if near.any():
        one = _centred(greys[row][None])
        several = _centred(greys[others[near]])
        contrast = np.minimum(several.std((1, 2)), one.std())
        near[near] = (np.abs(several - one).mean((1, 2)) <= _MOST_GREYS) & (contrast >= _LEAST_CONTRAST)
    return near


def _centred(greys: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    wide = greys.astype(np.float32)
    centred: npt.NDArray[np.float32] = wide - wide.mean((1, 2), keepdims=True)
    return centred
