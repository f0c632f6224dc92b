"""What is black and white in images of more than 8 bits: percentiles of the values in the training images."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from segnet.base.errors import SegnetError
from segnet.data.dataset import HasValues, Progress, Sample, uncounted
from segnet.data.faults import Fault, raise_errors
from segnet.data.images.intensity import Intensity
from segnet.data.images.pixel_values import Values

PERCENTILES = (0.1, 99.9)
"""Below and above lie dead and hot pixels, glare and dust; what they would stretch the range by is lost."""

MOST_IMAGES = 256
_MOST_VALUES = 1 << 24  # of images that aren't counted value by value: 128 MiB of float64
_AHEAD = 16

Counts = npt.NDArray[np.int64]


def measured(
    samples: Sequence[Sample], channels: int, progress: Progress = uncounted
) -> tuple[Intensity, list[str]]:
    """Return how a network is given the images to train on, and what is odd about their values, a line each.

    Ranges are measured where all of them hold more than 8 bits a channel, on up to 256 evenly spread ones:
    exactly where values are of 16 bits, and else on pixels drawn by a fixed seed. NaN, infinity and what is
    marked as without data are left out.

    Args:
        samples: the images to train on.
        channels: of each.
        progress: called with the number of images that are read; the context it returns gives a function that
            is called after each one.

    Raises:
        SegnetError: an image that can't be read, or not one finite value.
    """
    deep = [sample for sample in samples if isinstance(sample, HasValues) and sample.is_deep]
    if not deep or len(deep) < len(samples):
        return Intensity(channels), []
    numbers = np.linspace(0, len(deep) - 1, min(MOST_IMAGES, len(deep))).round().astype(int)
    some = [deep[number] for number in numbers]
    values = _Collected(channels, most=_MOST_VALUES // (len(some) * channels))

    def read(sample: HasValues) -> Values | Fault:
        try:
            return sample.read_values(channels)
        except Fault as fault:
            return fault

    faults = []
    with ThreadPoolExecutor() as pool, progress(len(some)) as advance:
        for first in range(0, len(some), _AHEAD):  # a few at a time: they may be large
            for found in pool.map(read, some[first : first + _AHEAD]):
                advance()
                if isinstance(found, Fault):
                    faults.append(found)
                else:
                    values.add(found)
    raise_errors(faults, "the images")
    ranges, warnings = [], []
    for channel in range(channels):
        low, high = values.range_of(channel)
        if low == high:
            said = f"channel {channel + 1} of" if channels > 1 else "all of"
            warnings.append(f"{said} the training images holds the value {low:g} alone")
            high = low + 1
        ranges.append((low, high))
    return Intensity(channels, tuple(ranges)), warnings


class _Collected:
    """Values of many images, channel by channel: counted where they are of 16 bits, else some of them."""

    def __init__(self, channels: int, most: int) -> None:
        self._most = most  # of a channel of an image
        self._counts: Counts = np.zeros((channels, 65536), np.int64)
        self._some: list[list[npt.NDArray[np.float64]]] = [[] for _ in range(channels)]
        self._random = np.random.default_rng(0)

    def add(self, values: Values) -> None:
        """Take in an image ``(H, W, C)``."""
        flat = values.reshape(-1, values.shape[-1])
        if values.dtype in (np.uint8, np.uint16):
            for channel in range(flat.shape[1]):
                self._counts[channel] += np.bincount(np.ma.compressed(flat[:, channel]), minlength=65536)
            return
        if len(flat) > self._most:
            flat = flat[self._random.integers(0, len(flat), self._most)]
        for channel in range(flat.shape[1]):
            column = np.ma.compressed(flat[:, channel]).astype(np.float64)
            self._some[channel].append(column[np.isfinite(column)])

    def range_of(self, channel: int) -> tuple[float, float]:
        """Return the percentiles of a channel, or its lowest and highest value where those are one.

        They are one where hardly any pixel shows anything, as in an image of a few stars.
        """
        drawn = np.concatenate([np.empty(0), *self._some[channel]])
        held = np.flatnonzero(self._counts[channel])
        places = np.concatenate([held.astype(np.float64), np.sort(drawn)])
        counts = np.concatenate([self._counts[channel][held], np.ones(len(drawn), np.int64)])
        if not len(places):
            raise SegnetError(
                f"channel {channel + 1} of the training images holds no number but NaN, infinity and "
                "NoData; see what wrote them"
            )
        order = np.argsort(places, kind="stable")
        places, ends = places[order], counts[order].cumsum()
        low, high = (_percentile(places, ends, each) for each in PERCENTILES)
        return (low, high) if low < high else (float(places[0]), float(places[-1]))


def _percentile(places: npt.NDArray[np.float64], ends: Counts, percentile: float) -> float:
    """Return numpy's percentile of values that are at ``places``, in order, ``ends`` of them up to each."""
    rank = percentile / 100 * (int(ends[-1]) - 1)
    below, above = (
        places[np.searchsorted(ends, whole, side="right")] for whole in (int(rank), -int(-rank // 1))
    )
    return float(below + (above - below) * (rank - int(rank)))
