"""TIFFs that Pillow can't represent, by tifffile: many channels, 16 bits of several, planes, odd floats."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from segnet.base.errors import SegnetError
from segnet.base.extras import is_installed
from segnet.data.faults import Fault
from segnet.data.images.embedded_files import Blob
from segnet.data.images.intensity import Values
from segnet.data.images.picture_file import require_pixels
from segnet.data.images.stored_layout import Layout, planes_said
from segnet.data.images.tiff_pages import TiffPage, pages_of_tiff

if TYPE_CHECKING:
    import tifffile

_ORIENTATION = 274

# What they log of a damaged file or of many channels isn't for a terminal: the error tells. A program that
# has set up logging still sees it.
for _name in ("tifffile", "PIL.TiffImagePlugin"):
    logging.getLogger(_name).addHandler(logging.NullHandler())


def look_into(source: Any, name: str) -> tuple[Layout, tuple[int, int], int, int]:
    """Return layout, stored (width, height), orientation and number of pages of a TIFF.

    Raises:
        SegnetError: tifffile isn't installed, or the file is damaged.
    """
    with _opened(source, name) as (tiff, listed):
        page, pages = _page(tiff, listed, 1, name), len(listed)
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
    with _opened(source, name) as (tiff, listed):
        first = _page(tiff, listed, page, name)
        if layout.planes > 1:
            needed = sum(each.size_bytes for each in listed[: layout.planes])
            require_pixels(listed[0].pixels, name, needed)
            planes = [_one(_page(tiff, listed, number + 1, name), name) for number in range(layout.planes)]
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


def _page(tiff: tifffile.TiffFile, listed: Sequence[TiffPage], number: int, name: str) -> Any:
    """Return a page, from 1, that isn't too large to decode."""
    if not listed:
        raise Fault("damaged", name, "is damaged (it lists no page)")
    if not 1 <= number <= len(listed):
        raise SegnetError(f"{name} has no page {number}, it has {len(listed)}; count from 1")
    page, tags = cast("Any", tiff.pages[listed[number - 1].number]), listed[number - 1]
    if not isinstance(page.imagewidth, int) or not isinstance(page.imagelength, int):
        raise Fault("damaged", name, "is damaged (a side of it is no number)")  # times the other, gigabytes
    require_pixels(
        max(tags.pixels, page.imagewidth * page.imagelength), name, max(tags.size_bytes, page.nbytes)
    )
    return page


def _orientation(page: Any) -> int:
    tag = page.tags.get(_ORIENTATION)
    return int(tag.value) if tag is not None and tag.value in range(2, 9) else 1


@contextmanager
def _opened(source: Any, name: str) -> Iterator[tuple[tifffile.TiffFile, list[TiffPage]]]:
    """Open a TIFF and list its pages; whatever goes wrong inside names it."""
    if not is_installed("tifffile"):
        raise Fault("mode", name, "needs tifffile to be read", "pip install 'segnet[tiff]'")
    import tifffile

    file: Any = io.BytesIO(source.read()) if isinstance(source, Blob) else source
    if not isinstance(file, Path):
        file.seek(0)
    try:
        listed = pages_of_tiff(file)
        with tifffile.TiffFile(file) as tiff:
            yield tiff, listed
    except SegnetError:
        raise
    except Exception as error:  # its parsers and codecs have nothing but Exception in common
        said = " ".join(str(error).split())
        if "imagecodecs" in said:
            raise Fault(
                "mode", name, f"can't be decoded ({said})", "pip install imagecodecs, or save it uncompressed"
            ) from error
        raise Fault("damaged", name, f"is damaged ({said})") from error
