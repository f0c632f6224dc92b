"""TIFFs that Pillow can't represent, by tifffile: many channels, 16 bits of several, planes, odd floats."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from segnet.core.errors import SegnetError
from segnet.core.extras import is_installed
from segnet.data.blobs import Blob
from segnet.data.faults import Fault
from segnet.data.intensity import Values
from segnet.data.layout import Layout, planes_said

if TYPE_CHECKING:
    import tifffile

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ORIENTATION = 274

# What they log of a damaged file or of many channels isn't for a terminal: the error tells. A program that
# has set up logging still sees it.
for _name in ("tifffile", "PIL.TiffImagePlugin"):
    logging.getLogger(_name).addHandler(logging.NullHandler())


def is_tiff(source: Any) -> bool:
    """Say whether a file, a blob or a stream (left at its begin) begins as a TIFF does."""
    if isinstance(source, Blob):
        return source.read()[:4] in _MAGIC
    if isinstance(source, Path):
        try:
            with source.open("rb") as file:
                return file.read(4) in _MAGIC
        except OSError:
            return False
    try:
        source.seek(0)
    except (
        AttributeError,
        OSError,
    ):  # a stream that can't go back, as of a network: what opens it reads it all
        return False
    begin = source.read(4)
    source.seek(0)
    return begin in _MAGIC


def look_into(source: Any, name: str) -> tuple[Layout, tuple[int, int], int, int]:
    """Return layout, stored (width, height), orientation and number of pages of a TIFF.

    Raises:
        SegnetError: tifffile isn't installed, or the file is damaged.
    """
    with _opened(source, name) as tiff:
        page, pages = _page(tiff, 1), len(tiff.pages)
        bits = max(8, int(np.dtype(page.dtype).itemsize) * 8)
        planes = planes_said(page.description, pages) if page.samplesperpixel == 1 else 1
        if planes > 1:
            pages, layout = 1, Layout(planes, bits, planes == 3, planes, "channels")
        else:
            colours = 3 if page.photometric == 2 else 1
            more = page.samplesperpixel - colours
            alpha = more == 1 and (colours == 3 or tuple(page.extrasamples) in ((1,), (2,)))
            layout = Layout(page.samplesperpixel, bits, more == 0 or alpha, loses="channels")
        size = page.imagewidth, page.imagelength
        return layout, size, _orientation(page), pages


def read_tiff(source: Any, name: str, layout: Layout, page: int = 1) -> Values:
    """Return the values of a page, or of all planes of a picture, ``(H, W, C)``, upright.

    Raises:
        SegnetError: tifffile isn't installed, no such page, or a damaged file.
    """
    with _opened(source, name) as tiff:
        if not 1 <= page <= len(tiff.pages):
            raise SegnetError(f"{name} has no page {page}, it has {len(tiff.pages)}; count from 1")
        first = _page(tiff, page)
        if layout.planes > 1:
            planes = [_one(_page(tiff, number + 1), name) for number in range(layout.planes)]
            values = np.concatenate(planes, axis=-1)
        else:
            values = _one(first, name)
        if values.dtype == np.bool_:
            values = values.astype(np.uint8) * np.uint8(255)
        if values.dtype.kind not in "uif":
            raise Fault("mode", name, f"holds values of the type {values.dtype}, which aren't read")
        return turned(values.astype(values.dtype.newbyteorder("="), copy=False), _orientation(first))


def turned(values: Values, orientation: int) -> Values:
    """Turn ``(H, W, C)`` as EXIF's orientation asks for, 1 to 8, so that it is upright."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    down = orientation in (3, 4, 7, 8)
    right = orientation in (2, 3, 6, 7)
    return np.ascontiguousarray(values[:: -1 if down else 1, :: -1 if right else 1])


def _one(page: Any, name: str) -> Values:
    axes, values = page.axes, page.asarray()
    if sorted(axes.replace("S", "")) != ["X", "Y"]:
        raise Fault("mode", name, f"is no flat picture but has the axes {axes}")
    if "S" not in axes:
        return np.asarray(values[..., None])
    return np.asarray(np.moveaxis(values, axes.index("S"), -1))


def _page(tiff: tifffile.TiffFile, number: int) -> Any:
    return tiff.pages[number - 1]


def _orientation(page: Any) -> int:
    tag = page.tags.get(_ORIENTATION)
    return int(tag.value) if tag is not None and tag.value in range(2, 9) else 1


@contextmanager
def _opened(source: Any, name: str) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF; whatever goes wrong inside names it."""
    if not is_installed("tifffile"):
        raise Fault("mode", name, "needs tifffile to be read", "pip install 'segnet[tiff]'")
    import tifffile

    file: Any = io.BytesIO(source.read()) if isinstance(source, Blob) else source
    if not isinstance(file, Path):
        file.seek(0)
    try:
        with tifffile.TiffFile(file) as tiff:
            _require_pixels(tiff, name)
            yield tiff
    except SegnetError:
        raise
    except Exception as error:  # its parsers and codecs have nothing but Exception in common
        said = " ".join(str(error).split())
        if "imagecodecs" in said:
            raise Fault(
                "mode", name, f"can't be decoded ({said})", "pip install imagecodecs, or save it uncompressed"
            ) from error
        raise Fault("damaged", name, f"is damaged ({said})") from error


def _require_pixels(tiff: tifffile.TiffFile, name: str) -> None:
    """Raise Fault for more pixels than Pillow would open: a small file can be made to fill memory."""
    page: Any = tiff.pages[0]
    pixels, limit = page.imagewidth * page.imagelength, Image.MAX_IMAGE_PIXELS
    if limit is not None and pixels > 2 * limit:
        raise Fault("too-large", name, f"has too many pixels to open safely ({pixels})")
