"""An image of any size through a model that takes patches: overlapping tiles, blended, a band at a time.

A tile counts most in its middle and not at all near a border that another tile looks across: its weight is a
Gaussian, cut off at three standard deviations, which is an eighth of the tile from its edge. What a pixel
gets therefore comes from tiles that see at least that far around it, and where a model's receptive field
reaches no further, it is what the whole image in one piece would give. (Gaussian weights are
nnU-Net's, Isensee et al. 2021, doi 10.1038/s41592-020-01008-z; there they reach to the edge.)

A picture too large to hold twice is decoded once, then kept in a file and read by rows: Pillow takes four
bytes for a pixel of RGB, so 20,000 x 20,000 pixels are 1.6 GB while they are decoded. They are let go before
the mask is made.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from segnet.base.errors import SegnetError
from segnet.base.files import cache_folder
from segnet.data.images.pixel_values import NEEDS_ALL_VALUES
from segnet.data.images.reading import as_rgb
from segnet.data.store.fit_to_size import RESIZE, Fit, window

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

LARGE_PX = 1 << 26
"""Pictures of more pixels than this, 67 million, are kept on disk where they are cut into patches."""

_STRIP_PIXELS = 1 << 22


@dataclass(frozen=True)
class Tiles:
    """What a model says of one image, computed tile by tile whenever it is asked for."""

    pixels: Images | SpooledRows
    """``(H, W, C)``, of which rows are asked for."""

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


@dataclass(frozen=True)
class LargePicture:
    """A picture that isn't kept in memory."""

    size: tuple[int, int]
    """Width and height, as of a PIL image."""

    decode: Callable[[], Image.Image]
    """Gives it in mode RGB, upright, at four bytes a pixel."""

    @property
    def width(self) -> int:
        """Images in a row."""
        return self.size[0]

    @property
    def height(self) -> int:
        """Images in a column."""
        return self.size[1]


class SpooledRows:
    """Images ``(H, W, 3)`` in a temporary file that nobody else sees; slices of rows are read from it."""

    def __init__(self, file: BinaryIO, size: tuple[int, int]) -> None:
        self._file = file
        self.shape = (*size, 3)

    def __getitem__(self, rows: slice) -> Images:
        """Return rows ``(n, W, 3)``; the slice has no step."""
        first, end, _ = rows.indices(self.shape[0])
        width = self.shape[1] * self.shape[2]
        self._file.seek(first * width)
        data = self._file.read(max(0, end - first) * width)
        return np.frombuffer(data, np.uint8).reshape(-1, *self.shape[1:])


def spool(picture: Image.Image, fit: Fit) -> SpooledRows:
    """Write an upright picture to a temporary file, a strip at a time, at the scale that patches are cut at.

    Raises:
        SegnetError: the disk is full.
    """
    if picture.mode in NEEDS_ALL_VALUES:
        picture = as_rgb(picture)
    height, width = fit.inner_size((picture.height, picture.width))
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it is gone with the rows that hold it
        rows = max(1, _STRIP_PIXELS // width)
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            file.write(np.asarray(_strip(picture, fit, (height, width), top, bottom)).tobytes())
    except OSError as error:
        raise SegnetError(
            f"an image of {picture.width}x{picture.height} pixels doesn't fit into {folder} "
            f"({error.strerror}); make room, or set SEGNET_CACHE to another folder"
        ) from error
    return SpooledRows(file, (height, width))


def _strip(picture: Image.Image, fit: Fit, size: tuple[int, int], top: int, bottom: int) -> Image.Image:
    """Return rows of a picture that is resized to ``size``, (height, width)."""
    if size == (picture.height, picture.width):
        return as_rgb(picture.crop((0, top, picture.width, bottom)))
    scale = picture.height / size[0]
    reach = math.ceil(scale) + 1  # rows around its own that a resized row looks at
    first, last = max(0, int(top * scale) - reach), min(picture.height, int(bottom * scale) + reach)
    part = as_rgb(picture.crop((0, first, picture.width, last)))
    box = (0, top * scale - first, picture.width, min(bottom * scale - first, part.height))
    return part.resize((size[1], bottom - top), RESIZE[fit.resize], box)
