"""Fields of files of labels: names, sizes, outlines and bitmaps, each read as its type.

What is wrong is said without where it stands. ``Labels`` (`shapes.py`) says where, and so goes on with the
rest of the file.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from segnet.data.faults import Fault
from segnet.data.images.embedded_files import File
from segnet.data.images.headers import read_header
from segnet.data.images.reading import decode

_LARGEST_SIDE = 1 << 20
_LONGEST = 120  # characters of a file that a message repeats
_FARTHEST = 10  # image sides that a point may lie outside: what is farther is no point of this image
_CORNERS_OF_AN_ELLIPSE = 256
_RGBA = 4  # channels

Points = Sequence[tuple[float, float]]
Polygon = tuple[float, ...]
"""x, y, x, y .. in pixels, the first pixel from 0 to 1; empty where there is no area."""


class Malformed(ValueError):  # noqa: N818 - as Fault
    """What is wrong with an entry: how a ``Fault`` (`faults.py`) goes on behind the name of its place."""

    def __init__(self, said: str, remedy: str = "", kind: str = "bad-label") -> None:
        self.remedy, self.kind = remedy, kind
        super().__init__(said)


MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError)
"""``Malformed``, and what Python raises where a field is missing or of another type."""


def require(fits: object, said: str, remedy: str = "", kind: str = "bad-label") -> None:
    """Check something of an entry.

    Raises:
        Malformed: it doesn't hold.
    """
    if not fits:
        raise Malformed(said, remedy, kind)


def field_of(entry: Any, key: str) -> Any:
    """Return what an entry has under a key, None where it has nothing there or has no keys."""
    return entry.get(key) if isinstance(entry, dict) else None


def list_of(entry: Any, key: str) -> list[Any]:
    """Return the list that an entry has under a key, an empty one where there is none."""
    stored = field_of(entry, key)
    return stored if isinstance(stored, list) else []


def shortened(stored: Any) -> str:
    """Return what a file holds as a text that fits into a message."""
    text = str(stored)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}.."


def kind_of(stored: Any) -> str:
    """Return what a file calls a shape's kind, if that is a word."""
    return stored if isinstance(stored, str) and stored and len(stored) <= 40 else "unknown"


def class_name(stored: Any) -> str:
    """Return what a file holds as the name of a class; nothing where it is none."""
    is_name = isinstance(stored, str | int) and not isinstance(stored, bool)
    return str(stored).strip() if is_name else ""


def size_of(width: Any, height: Any, image: File) -> tuple[int, int]:
    """Return a width and a height as numbers of pixels; those of the image where neither is said.

    Raises:
        Malformed: they are no sizes.
        SegnetError: the image can't be read.
    """
    if not width and not height:
        return read_header(image).size
    try:
        size = int(width), int(height)
    except (TypeError, ValueError, OverflowError):
        size = 0, 0
    require(all(0 < side <= _LARGEST_SIDE for side in size), "doesn't say how large its image is")
    return size


# Outlines


def polygon(points: Any, size: tuple[int, int], scale: tuple[float, float] = (1.0, 1.0)) -> Polygon:
    """Return points as a polygon; one without an area is empty.

    Args:
        points: what a file holds: numbers x, y, x, y .., or pairs of them.
        size: width and height of the image.
        scale: what to multiply x and y by.

    Raises:
        Malformed: not numbers, or far outside the image.
    """
    try:
        numbers = np.asarray(points, np.float64)
    except (TypeError, ValueError, OverflowError):
        numbers = np.array([math.nan])
    in_pairs = numbers.size % 2 == 0 if numbers.ndim == 1 else numbers.shape[1:] == (2,)
    require(in_pairs and np.isfinite(numbers).all(), "has a polygon that is no list of points x, y")
    pairs = numbers.reshape(-1, 2) * scale
    inside = (np.abs(pairs) <= _FARTHEST * np.maximum(size, 1)).all()
    require(inside, f"has points far outside its image of {size[0]}×{size[1]} pixels")
    return tuple(pairs.ravel().tolist()) if len(pairs) >= 3 else ()


def corners(left: float, top: float, right: float, bottom: float) -> Points:
    """Return the corners of a rectangle, clockwise from the left upper one."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def rectangle(left: float, top: float, right: float, bottom: float, size: tuple[int, int]) -> Polygon:
    """Return the polygon of a rectangle as far as it lies in its image; an empty one without an area."""
    if not all(map(math.isfinite, (left, top, right, bottom))):
        return ()
    left, right = (min(max(x, 0.0), size[0]) for x in (left, right))
    top, bottom = (min(max(y, 0.0), size[1]) for y in (top, bottom))
    return () if left == right or top == bottom else polygon(corners(left, top, right, bottom), size)


def ellipse(centre: tuple[float, float], radii: tuple[float, float]) -> Points:
    """Return the outline of an ellipse, without points where it has no area."""
    if not radii[0] or not radii[1]:
        return []
    turns = [math.tau * step / _CORNERS_OF_AN_ELLIPSE for step in range(_CORNERS_OF_AN_ELLIPSE)]
    return [(centre[0] + radii[0] * math.cos(turn), centre[1] + radii[1] * math.sin(turn)) for turn in turns]


def turned(points: Points, centre: tuple[float, float], degrees: float) -> Points:
    """Return points turned about a centre, clockwise as one sees it."""
    if not degrees:
        return points
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = centre
    return [(x + cos * (px - x) - sin * (py - y), y + sin * (px - x) + cos * (py - y)) for px, py in points]


# Bitmaps


def from_base64(text: Any) -> bytes:
    """Return the bytes that a text stands for.

    Raises:
        Malformed: no such text.
    """
    try:
        content = base64.b64decode(text)
    except (TypeError, ValueError):
        content = b""
    require(content, "has a picture inside that is no base64")
    return content


def decode_picture(content: bytes, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the pixels ``(H, W)`` that a picture shows: where it is opaque, else where it isn't black.

    Args:
        content: the picture's file.
        size: width and height that it must have.

    Raises:
        Malformed: damaged, or of another size.
    """
    try:
        picture = decode(io.BytesIO(content))
    except Fault as fault:
        raise Malformed(f"has a mask that {fault.detail}", fault.remedy, fault.kind) from fault
    found = picture.size
    said = f"has a mask of {found[0]}×{found[1]} pixels where {size[0]}×{size[1]} are needed"
    require(found == size, said)
    values = np.asarray(picture if picture.mode != "LA" else picture.convert("RGBA"))
    if values.ndim == 3 and values.shape[2] == _RGBA and not (values[..., 3] == 255).all():
        values = values[..., 3]
    elif values.ndim == 3:
        values = values[..., :3].max(-1)
    return values > 0


def decode_runs(runs: Sequence[int], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the pixels of this shape by run lengths along the rows, outside and inside in turn."""
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(shape)
