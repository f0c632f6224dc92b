"""TIFFs: which of a file's directories are pages, and what Pillow can't represent of them, read by tifffile.

A cloud-optimised GeoTIFF has a directory for each overview and each transparency mask. Those are no pages.
Pillow and tifffile list them all, so this reads the chain of directories itself
(TIFF 6.0, section 2, and BigTIFF). tifffile reads many channels, 16 bits of several, planes and odd floats.
"""

from __future__ import annotations

import logging
import math
import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

import numpy as np
from PIL import Image

from segnet.base.errors import SegnetError
from segnet.base.extras import is_installed
from segnet.data.faults import Fault
from segnet.data.images.pixel_values import Values, turned
from segnet.data.images.stored_layout import Layout

if TYPE_CHECKING:
    import tifffile

# What they log of a damaged file or of many channels isn't for a terminal: the error tells. A program that
# has set up logging still sees it.
for _name in ("tifffile", "PIL.TiffImagePlugin"):
    logging.getLogger(_name).addHandler(logging.NullHandler())

GEO_TAGS = {33550: "d", 33922: "d", 34264: "d", 34735: "H", 34736: "d", 34737: "s"}
"""Tags that place a picture on the earth (GeoTIFF 1.1), and the type of their values."""

NODATA_TAG = 42113
"""GDAL's tag of the value that pixels without data have, as text."""

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""What a TIFF begins with."""

_KIND, _OLD_KIND, _WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC = 254, 255, 256, 257, 258, 262
_SAID, _ORIENTATION, _SAMPLES, _TILE_WIDTH, _TILE_HEIGHT, _EXTRA = 270, 274, 277, 322, 323, 338
_WANTED = frozenset(
    (_KIND, _OLD_KIND, _WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES, _TILE_WIDTH, _TILE_HEIGHT, NODATA_TAG)
) | frozenset(GEO_TAGS)
_TYPES = {1: "B", 2: "s", 3: "H", 4: "L", 12: "d", 13: "L", 16: "Q"}  # of TIFF, as struct has them
# By photometric interpretation: the samples of grey, RGB, palette, inks, YCbCr, and the Labs.
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3, 9: 3}
_LONGEST_VALUE = 1 << 20  # bytes of a tag; longer ones are of damaged files
_MOST_ENTRIES = 1 << 22  # of all directories: a damaged chain can be made to take for ever

GeoTags = tuple[tuple[int, tuple[float, ...] | tuple[int, ...] | str], ...]


class TiffPage(NamedTuple):
    """A page, as far as its tags are read here."""

    number: int
    """Of its directory in the file, from 0."""
    size: tuple[int, int]
    """Width and height as stored."""
    pixels: int
    """That are held while it is decoded: those of a tile, where one tile is larger than the page."""
    size_bytes: int
    """Bytes that these pixels take with all their samples."""
    nodata: str
    """GDAL's tag 42113: the value of pixels without data, as text; empty where there is none."""
    geo: GeoTags
    """The tags that place it on the earth."""


def pages_of_tiff(stream: BinaryIO) -> list[TiffPage]:
    """Return the pages of a TIFF; none where it is none, and of a damaged file those before the damage.

    The stream is left where it was.
    """
    pages: list[TiffPage] = []
    others: list[TiffPage] = []
    place = stream.tell()
    with suppress(struct.error, OverflowError, ValueError, OSError):  # where the chain is damaged, it ends
        for number, tags in enumerate(_directories(stream)):
            page = _page(number, tags)
            (others if _is_beside(tags) else pages).append(page)
    stream.seek(place)
    return pages or others[:1]


def _is_beside(tags: dict[int, Any]) -> bool:
    """Say whether a directory belongs to another one: a smaller version of it, or what is transparent."""
    kind = _number(tags, _KIND, 0)
    return bool(kind & 0b101) or _number(tags, _OLD_KIND, 0) == 2 or _number(tags, _PHOTOMETRIC, 1) == 4


def _page(number: int, tags: dict[int, Any]) -> TiffPage:
    width, height = _number(tags, _WIDTH, 0), _number(tags, _HEIGHT, 0)
    tile = _number(tags, _TILE_WIDTH, 0) * _number(tags, _TILE_HEIGHT, 0)
    pixels = max(width * height, tile)
    bits = max((each for each in tags.get(_BITS, ()) if isinstance(each, int)), default=1)
    nodata = tags.get(NODATA_TAG, "")
    return TiffPage(
        number,
        (width, height),
        pixels,
        pixels * _number(tags, _SAMPLES, 1) * -(-bits // 8),
        nodata.strip() if isinstance(nodata, str) else "",
        tuple((tag, tags[tag]) for tag in GEO_TAGS if tags.get(tag)),
    )


def _number(tags: dict[int, Any], tag: int, otherwise: int) -> int:
    value = tags.get(tag)
    return value[0] if isinstance(value, tuple) and value and isinstance(value[0], int) else otherwise


def _directories(stream: BinaryIO) -> Iterator[dict[int, Any]]:
    """Yield the wanted tags of each directory of the chain, by number: numbers as tuples, texts as str."""
    stream.seek(0)
    head = stream.read(16)
    if head[:4] not in TIFF_MAGIC:
        return
    order = "<" if head[:2] == b"II" else ">"
    big = b"+" in head[:4]
    # How many entries, one entry (tag, type, count, value or its place), and the place of the next directory.
    count_of, entry_of, next_of = (
        struct.Struct(order + form) for form in (("Q", "HHQ8s", "Q") if big else ("H", "HHL4s", "L"))
    )
    place = next_of.unpack_from(head, 8 if big else 4)[0]
    seen: set[int] = set()
    left = _MOST_ENTRIES
    while place and place not in seen:
        seen.add(place)
        stream.seek(place)
        count = count_of.unpack(stream.read(count_of.size))[0]
        left -= count + 1
        if left < 0:
            return
        entries = stream.read(count * entry_of.size)
        following = stream.read(next_of.size)
        tags = {}
        for tag, kind, values, field in entry_of.iter_unpack(entries):
            if tag in _WANTED and kind in _TYPES:
                tags[tag] = _value(stream, order, _TYPES[kind], values, field)
        yield tags
        place = next_of.unpack(following)[0]


def _value(stream: BinaryIO, order: str, form: str, count: int, field: bytes) -> tuple[float, ...] | str:
    size = struct.calcsize(order + form) * count
    if size > _LONGEST_VALUE:
        return ()
    if size > len(field):
        stream.seek(struct.unpack(order + ("Q" if len(field) == 8 else "L"), field)[0])
        field = stream.read(size)
    if len(field) < size:  # the file ends before
        return ()
    if form == "s":
        return field[:size].partition(b"\0")[0].decode("latin-1")
    return struct.unpack(f"{order}{count}{form}", field[:size])


def layout_of_tags(tags: Any, found: Layout, pages: int) -> Layout:
    """Return the layout of a TIFF of so many pages by its tags, which Pillow takes for that ``found``."""
    samples, photometric = int(tags.get(_SAMPLES, 1)), tags.get(_PHOTOMETRIC, 1)
    more = samples - _COLOURS.get(photometric, samples)
    # of grey, a second sample is transparency where the file says so, and else another channel
    extra = tuple(tags.get(_EXTRA) or ())
    is_picture = more <= 0 or (more == 1 and (photometric == 2 or extra in ((1,), (2,))))
    bits = max(found.bits, *tags.get(_BITS, (8,)))
    planes = _planes_said(str(tags.get(_SAID, "")), pages) if samples == 1 else 1
    if planes > 1:
        return Layout(planes, bits, planes == 3, planes, "channels")
    if samples == 1 or photometric in (3, 5):
        return Layout(found.channels, bits, is_picture)
    return Layout(
        samples, bits, is_picture, loses="channels" if not is_picture else "bits" if bits > 8 else ""
    )


def keep_as_stored(image: Any, size: tuple[int, int]) -> None:
    """Keep Pillow from turning a TIFF of this size itself while it decodes, and from its own limit."""
    with suppress(Exception):  # of damaged data; Pillow doesn't read them a second time
        image.getexif().pop(_ORIENTATION, None)
    image._size = size
    if Image.MAX_IMAGE_PIXELS is not None and math.prod(size) > Image.MAX_IMAGE_PIXELS:
        image.im = Image.new(image.mode, size).im


def _planes_said(text: str, pages: int) -> int:
    """Return how many channels the pages of a TIFF are by its description, 1 where it doesn't say so."""
    if text.startswith("ImageJ="):
        found = dict(re.findall(r"^(channels|slices|frames)=(\d+)", text, re.MULTILINE))
        names = ("channels", "slices", "frames")
    else:
        found = dict(re.findall(r'\b(Size[CZT])="(\d+)"', text)) if "<OME" in text else {}
        names = ("SizeC", "SizeZ", "SizeT")
    channels, slices, frames = (int(found.get(name, 1)) for name in names)
    return channels if channels == pages and slices == frames == 1 else 1


@dataclass(frozen=True)
class Tiff:
    """A TIFF as tifffile opens it."""

    name: str
    """What errors call it."""
    listed: Sequence[TiffPage]
    file: tifffile.TiffFile

    def page(self, number: int) -> TiffPage:
        """Return a page, from 1, and what is held while it is decoded.

        Raises:
            SegnetError: no such page, or one without a size.
        """
        if not self.listed:
            raise Fault("damaged", self.name, "is damaged (it lists no page)")
        if not 1 <= number <= len(self.listed):
            raise no_page(self.name, number, len(self.listed))
        listed, page = self.listed[number - 1], self._opened(number)
        width, height = page.imagewidth, page.imagelength
        if not isinstance(width, int) or not isinstance(height, int):
            # times the other side, it would be gigabytes
            raise Fault("damaged", self.name, "is damaged (a side of it is no number)")
        return listed._replace(
            size=(width, height),
            pixels=max(listed.pixels, width * height),
            size_bytes=max(listed.size_bytes, page.nbytes),
        )

    def layout(self) -> Layout:
        """Return what its first page stores, or all its pages where they are channels of one picture."""
        page = self._opened(1)
        bits = max(8, int(np.dtype(page.dtype).itemsize) * 8)
        planes = _planes_said(page.description, len(self.listed)) if page.samplesperpixel == 1 else 1
        if planes > 1:
            return Layout(planes, bits, planes == 3, planes, "channels")
        colours = 3 if page.photometric == 2 else 1
        more = page.samplesperpixel - colours
        alpha = more == 1 and (colours == 3 or tuple(page.extrasamples) in ((1,), (2,)))
        return Layout(page.samplesperpixel, bits, more == 0 or alpha, loses="channels")

    def orientation(self, number: int = 1) -> int:
        """Return how a page is to be turned, 1 to 8."""
        tag = self._opened(number).tags.get(_ORIENTATION)
        return int(tag.value) if tag is not None and tag.value in range(2, 9) else 1

    def values(self, numbers: Sequence[int]) -> Values:
        """Return the values of a page, or of all planes of a picture, ``(H, W, C)``, upright.

        Raises:
            Fault: values that no network takes, or a damaged file.
        """
        values: Values = np.concatenate([self._values(number) for number in numbers], axis=-1)
        if values.dtype == np.bool_:
            values = values.astype(np.uint8) * np.uint8(255)
        if values.dtype.kind not in "uif":
            raise Fault("mode", self.name, f"holds values of the type {values.dtype}, which aren't read")
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        return turned(values, self.orientation(numbers[0]))

    def _values(self, number: int) -> Values:
        page = self._opened(number)
        axes, values = page.axes, page.asarray()
        if sorted(axes.replace("S", "")) != ["X", "Y"]:
            raise Fault("mode", self.name, f"is no flat picture but has the axes {axes}")
        return np.asarray(values[..., None] if "S" not in axes else np.moveaxis(values, axes.index("S"), -1))

    def _opened(self, number: int) -> Any:
        return cast("Any", self.file.pages[self.listed[number - 1].number])


def no_page(name: str, number: int, count: int) -> SegnetError:
    """Return the error for a page that a file hasn't."""
    return SegnetError(f"{name} has no page {number}, it has {count}; count from 1")


@contextmanager
def open_tiff(stream: BinaryIO, name: str) -> Iterator[Tiff]:
    """Open a TIFF; whatever goes wrong inside names it.

    Raises:
        SegnetError: tifffile isn't installed, or the file is damaged.
    """
    if not is_installed("tifffile"):
        raise Fault("mode", name, "needs tifffile to be read", "pip install 'segnet[tiff]'")
    import tifffile

    stream.seek(0)
    try:
        listed = pages_of_tiff(stream)
        stream.seek(0)
        with tifffile.TiffFile(stream) as file:
            yield Tiff(name, listed, file)
    except SegnetError:
        raise
    except Exception as error:  # its parsers and codecs have nothing but Exception in common
        said = " ".join(str(error).split())
        if "imagecodecs" in said:
            raise Fault(
                "mode", name, f"can't be decoded ({said})", "pip install imagecodecs, or save it uncompressed"
            ) from error
        raise Fault("damaged", name, f"is damaged ({said})") from error
