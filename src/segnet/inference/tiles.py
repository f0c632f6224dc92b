"""An image of any size through a model that takes patches: overlapping tiles, blended, a band at a time.

A tile counts most in its middle and not at all near a border that another tile looks across: its weight is a
Gaussian, cut off at three standard deviations, which is an eighth of the tile from its edge. What a pixel
gets therefore comes from tiles that see at least that far around it, and where a model's receptive field
reaches no further, it is what the whole image in one piece would give. (Gaussian weights are
nnU-Net's, Isensee et al. 2021, doi 10.1038/s41592-020-01008-z; there they reach to the edge.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from segnet.data.store.fit_to_size import window
from segnet.inference.uncertainty import SoftmaxSamples

Images = npt.NDArray[np.uint8]
Maps = npt.NDArray[np.float32]

STEP = 5 / 8
"""Tiles begin at this share of a tile after each other."""

GRID_PX = 32
"""They begin at multiples of this, or of as much as fits, so that a network's pooling windows lie in each as
in the whole image."""

_MARGIN = 1 / 8
_STANDARD_DEVIATIONS = 3
_BATCH_PIXELS = 1 << 19


class Rows(Protocol):
    """Pixels ``(H, W, C)`` of which rows are asked for: an array, or what reads them from a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(H, W, C)``."""

    def __getitem__(self, rows: slice, /) -> Images:
        """Return rows ``(n, W, C)``."""


@dataclass(frozen=True)
class Tiles:
    """What a model says of one image, computed tile by tile whenever it is asked for."""

    pixels: Rows
    """``(H, W, C)``"""

    size: tuple[int, int]
    """``(h, w)`` of a tile."""

    predict: Callable[[Images], Maps]
    """Gives maps ``(n, C, h, w)`` for tiles ``(n, h, w, C)``."""

    @property
    def extent(self) -> tuple[int, int]:
        """``(H, W)`` of the maps."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def bands(self) -> Iterator[Maps]:
        """Yield the maps from top to bottom, ``(C, rows, W)`` at a time; memory is that of two bands."""
        (height, width), (high, wide) = self.extent, self.size
        tops, lefts = _starts(height, high), _starts(width, wide)
        weight = np.zeros((high, lefts[-1] + wide), np.float32)
        total: Maps = np.zeros((0, *weight.shape), np.float32)
        for row, top in enumerate(tops):
            down = _weights(high, first=row == 0, last=row == len(tops) - 1)
            for left, maps in self._row(top, lefts):
                if not len(total):
                    total = np.zeros((len(maps), *weight.shape), np.float32)
                share = down[:, None] * _weights(wide, first=left == 0, last=left == lefts[-1])
                total[:, :, left : left + wide] += maps * share
                weight[:, left : left + wide] += share
            done = (tops[row + 1] if row + 1 < len(tops) else height) - top
            yield np.divide(total[:, :done, :width], weight[:done, :width], dtype=np.float32)
            for sums in (total, weight):
                kept = sums.shape[-2] - done
                sums[..., :kept, :] = sums[..., done:, :]
                sums[..., kept:, :] = 0

    def whole(self) -> Maps:
        """Return the maps in one piece."""
        return np.concatenate([*self.bands()], axis=1)

    def _row(self, top: int, lefts: list[int]) -> Iterator[tuple[int, Maps]]:
        """Yield the first column of each tile of a row, and what the model says of it, ``(C, h, w)``."""
        most = max(1, _BATCH_PIXELS // math.prod(self.size))
        band = self.pixels[top : top + self.size[0]]
        for begin in range(0, len(lefts), most):
            columns = lefts[begin : begin + most]
            tiles = np.stack([window(band, 0, left, self.size) for left in columns])
            yield from zip(columns, self.predict(tiles), strict=True)


def sample_patches(
    sampled: Callable[[Images], SoftmaxSamples], pixels: Images, size: tuple[int, int], samples: int
) -> SoftmaxSamples:
    """Return what passes with dropout say of an image, tile by tile; ``sampled`` takes one tile."""

    def predict(tiles: Images) -> Maps:
        found = [sampled(tile) for tile in tiles]
        return np.stack([np.concatenate([each.mean, each.variance[None]]) for each in found])

    maps = Tiles(pixels, size, predict).whole()
    return SoftmaxSamples(samples, maps[:-1], maps[-1])


def _starts(length: int, tile: int) -> list[int]:
    """Return where tiles begin; the last may reach beyond the end, as far as the grid asks for."""
    if length <= tile:
        return [0]
    grid = math.gcd(tile, GRID_PX)
    while grid > tile / 2:  # a small tile, which must overlap all the same
        grid //= 2
    last = -(-(length - tile) // grid) * grid
    step = int(tile * STEP) // grid * grid
    return [*range(0, last, step), last]


def _weights(length: int, *, first: bool, last: bool) -> Maps:
    """Return a tile's weight along one side, without a fall-off where the image ends."""
    middle = (length - 1) / 2
    distance = (np.arange(length) - middle) / (length / 2 - length * _MARGIN)
    weights = np.exp(-0.5 * (distance * _STANDARD_DEVIATIONS) ** 2).astype(np.float32)
    outside = np.abs(distance) > 1
    weights[outside] = 0
    least = weights[~outside].min()
    if first:
        weights[: length // 2][outside[: length // 2]] = least
    if last:
        weights[length // 2 :][outside[length // 2 :]] = least
    return np.asarray(weights)
