"""The pages of a TIFF: which of its directories are pictures of their own, and what their tags say.

A cloud-optimised GeoTIFF has a directory for each overview and each transparency mask. Those are no pages.
Pillow and tifffile list them all, so this reads the chain of directories itself
(TIFF 6.0, section 2, and BigTIFF).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from segnet.data.images.embedded_files import Blob

GEO_TAGS = {33550: "d", 33922: "d", 34264: "d", 34735: "H", 34736: "d", 34737: "s"}
"""Tags that place a picture on the earth (GeoTIFF 1.1), and the type of their values."""

NODATA_TAG = 42113
"""GDAL's tag of the value that pixels without data have, as text."""

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_KIND, _OLD_KIND, _WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC = 254, 255, 256, 257, 258, 262
_SAMPLES, _TILE_WIDTH, _TILE_HEIGHT = 277, 322, 323
_WANTED = frozenset(
    (_KIND, _OLD_KIND, _WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES, _TILE_WIDTH, _TILE_HEIGHT, NODATA_TAG)
) | frozenset(GEO_TAGS)
_TYPES = {1: "B", 2: "s", 3: "H", 4: "L", 12: "d", 13: "L", 16: "Q"}  # of TIFF, as struct has them
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
    except (AttributeError, OSError):
        return False  # a stream that can't go back, as of a network: what opens it reads it all
    begin = source.read(4)
    source.seek(0)
    return begin in _MAGIC


def pages_of_tiff(source: Any) -> list[TiffPage]:
    """Return the pages of a file, a blob or a stream (left where it was); none where it is no TIFF.

    Of a damaged file, those before the damage.
    """
    if not isinstance(source, Path | Blob) and not hasattr(source, "seek"):
        return []
    with suppress(OSError):
        if isinstance(source, Path):
            with source.open("rb") as file:
                return _pages(file)
        if isinstance(source, Blob):
            return _pages(io.BytesIO(source.read()))
        place = source.tell()
        try:
            return _pages(source)
        finally:
            source.seek(place)
    return []


def _pages(stream: BinaryIO) -> list[TiffPage]:
    pages: list[TiffPage] = []
    others: list[TiffPage] = []
    with suppress(struct.error, OverflowError, ValueError, OSError):  # where the chain is damaged, it ends
        for number, tags in enumerate(_directories(stream)):
            page = _page(number, tags)
            (others if _is_beside(tags) else pages).append(page)
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
    if head[:4] not in _MAGIC:
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
