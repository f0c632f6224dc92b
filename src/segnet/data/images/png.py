"""PNGs beyond what Pillow reads: much text, rotation behind the pixels, and 16 bits of several channels."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageFile

from segnet.data.images.pixel_values import Values

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SMALL_TEXT = 1 << 16  # bytes of a text chunk that is kept of a PNG with too much text


def without_text(png: BinaryIO) -> BinaryIO:
    """Return a PNG without colour profile and texts, of which Pillow opens no more than a megabyte.

    Small chunks in which an orientation may stand are kept.
    """
    kept = [_SIGNATURE]
    for head, kind, length in _chunks(png):
        content = png.read(length + 4)
        is_text = kind in (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
        if not is_text or (length < _SMALL_TEXT and _may_say_orientation(kind, content)):
            kept += [head, content]
    return io.BytesIO(b"".join(kept))


def may_be_turned(png: BinaryIO) -> bool:
    """Say whether a PNG has an orientation, in EXIF or XMP, before its pixels or behind them.

    Pillow would decode every pixel to look behind them; here they are leapt over.
    """
    place = png.tell()
    found = any(
        _may_say_orientation(kind, png.read(length if kind == b"iTXt" else min(length, 32)))
        for _, kind, length in _chunks(png)
    )
    png.seek(place)
    return found


def _chunks(png: BinaryIO) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield the head of each chunk, its kind and the length of its content, which comes next."""
    place = len(_SIGNATURE)
    while True:
        png.seek(place)
        head = png.read(8)
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head)
        yield head, kind, length
        place += length + 12


def _may_say_orientation(kind: bytes, content: bytes) -> bool:
    """Say whether an orientation may stand in a chunk of a PNG; its content, or the begin of it, is given."""
    if kind == b"eXIf":
        return True
    if kind == b"iTXt":
        return b"Orientation" in content
    return kind in (b"tEXt", b"zTXt") and content.startswith(b"Raw profile type exif\0")


def is_deep(image: Image.Image) -> bool:
    """Say whether a PNG that isn't loaded has 16 bits and several channels: Pillow would keep 8 of them."""
    tile: list[Any] = getattr(image, "tile", [])
    return bool(tile) and str(tile[0].args).endswith(";16B") and image.mode in ("RGB", "RGBA")


def low_bytes(image: ImageFile.ImageFile) -> Values:
    """Return the lower halves ``(H, W, C)`` of the 16 bits of a PNG that isn't loaded.

    Read as if its bytes stood in the other order, what Pillow keeps are these.
    """
    tile = image.tile[0]
    image.tile = [tile._replace(args=str(tile.args).replace(";16B", ";16L"))]
    return np.asarray(image)
