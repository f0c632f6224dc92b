"""Pictures too large to hold twice: decoded once, then kept in a file and read by rows.

Pillow takes four bytes for a pixel of RGB, so 20,000 x 20,000 pixels are 1.6 GB while they are decoded. They
are let go before the mask is made.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from segnet.base.errors import SegnetError
from segnet.base.files import cache_folder
from segnet.data.images.reading import NEEDS_ALL_VALUES, RESIZE, as_rgb
from segnet.data.store.fit_to_size import Fit

Pixels = npt.NDArray[np.uint8]

LARGE_PX = 1 << 26
"""Pictures of more pixels than this, 67 million, are kept on disk where they are cut into patches."""

_STRIP_PIXELS = 1 << 22


@dataclass(frozen=True)
class LargePicture:
    """A picture that isn't kept in memory."""

    size: tuple[int, int]
    """Width and height, as of a PIL image."""

    decode: Callable[[], Image.Image]
    """Gives it in mode RGB, upright, at four bytes a pixel."""

    @property
    def width(self) -> int:
        """Pixels in a row."""
        return self.size[0]

    @property
    def height(self) -> int:
        """Pixels in a column."""
        return self.size[1]


class SpooledRows:
    """Pixels ``(H, W, 3)`` in a temporary file that nobody else sees; slices of rows are read from it."""

    def __init__(self, file: BinaryIO, size: tuple[int, int]) -> None:
        self._file = file
        self.shape = (*size, 3)

    def __getitem__(self, rows: slice) -> Pixels:
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
