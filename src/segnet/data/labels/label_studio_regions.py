"""Label Studio's regions: polygons, rectangles, ellipses, brushes and bitmasks, in percent of the image.

https://labelstud.io/guide/export#Image-results and https://labelstud.io/tags
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from segnet.data.faults import Fault
from segnet.data.labels.bitmaps import decode_picture, from_base64
from segnet.data.labels.corners import ellipse, turned
from segnet.data.labels.shapes import Polygon, Shape, class_name, polygon, shortened

SHAPES = frozenset(
    each + end
    for each in ("polygon", "rectangle", "ellipse", "brush", "bitmask", "vector")
    for end in ("", "labels")
)
"""Types of results that have an area. A name with ``labels`` holds the class too; without, another result of
the same id names it."""

NO_SHAPES = (
    "choices", "datetime", "keypoint", "keypointlabels", "labels", "number", "pairwise", "ranker", "rating",
    "relation", "taxonomy", "textarea",
)  # fmt: skip
"""Types that have none, though they may repeat the place of a region that they belong to."""

GEOMETRY = ("x", "points", "rle", "imageDataURL", "vertices", "sequence")
"""Entries of a value that say where something is."""


def read_region(
    entry: Any, kind: str, of_region: Mapping[str, Any], size: tuple[int, int], where: str
) -> tuple[list[Polygon], Callable[[], Shape]]:
    """Return the outline of a result as far as it can be read, and what reads the whole of it.

    Args:
        entry: the result.
        kind: its type.
        of_region: labels by the id of their region, from results of their own.
        size: width and height of the image.
        where: where it stands, for messages.
    """
    try:
        outline = _outline(entry["value"], kind, size, where)
    except (Fault, KeyError, TypeError, ValueError, OverflowError, AttributeError):
        outline = ()
    return [outline], partial(_shape, entry, kind, of_region, size, where)


def _shape(entry: Any, kind: str, of_region: Mapping[str, Any], size: tuple[int, int], where: str) -> Shape:
    value = entry["value"]
    if kind not in SHAPES:
        raise Fault("bad-label", where, f"is of the type {kind}, which can't be drawn")
    if float(entry.get("image_rotation") or 0) % 360:
        said = f"was drawn on an image turned by {shortened(entry['image_rotation'])} degrees"
        raise Fault("turned-label", where, said)
    for key, side in (("original_width", size[0]), ("original_height", size[1])):
        if entry.get(key) is not None and int(entry[key]) != side:
            raise Fault("bad-label", where, "is for an image of another size than the shapes before it")
    label = _label(entry, kind, of_region, where)
    if kind.startswith("brush") and "rle" in value:
        if value.get("format", "rle") != "rle":
            raise Fault("bad-label", where, f"has a brush of the format {shortened(value['format'])}")
        return Shape(label, bitmap=partial(decode_brush, value["rle"], size, where), kind=kind)
    if kind.startswith(("brush", "bitmask")):
        address = value["maskDataURL" if "maskDataURL" in value else "imageDataURL"]
        content = from_base64(address.partition(",")[2], where)
        return Shape(label, bitmap=partial(decode_picture, content, size, where), kind=kind)
    outline = _outline(value, kind, size, where)
    if not outline:
        raise Fault("flat-label", where, "has no area")
    return Shape(label, (outline,), kind=kind)


def _label(entry: Any, kind: str, of_region: Mapping[str, Any], where: str) -> str:
    names = entry["value"].get(kind) or entry["value"].get("labels") or of_region.get(str(entry.get("id")))
    if not isinstance(names, list) or not names:
        raise Fault("bad-label", where, "has no label")
    if len(names) > 1:
        said = f"has {len(names)} labels ({shortened(', '.join(map(str, names)))})"
        raise Fault("bad-label", where, said, "a pixel has one class: leave one of them")
    name = class_name(names[0])
    if not name:
        raise Fault("bad-label", where, "has no label")
    return name


def _outline(value: Mapping[str, Any], kind: str, size: tuple[int, int], where: str) -> Polygon:
    """Return the polygon of a region, an empty one of a brush."""
    percent = (size[0] / 100, size[1] / 100)
    if kind.startswith("polygon"):
        return polygon(value["points"], size, where, percent)
    if kind.startswith("vector"):
        return _vector(value, size, where, percent)
    if not kind.startswith(("rectangle", "ellipse")):
        return ()
    x, y = float(value["x"]) * percent[0], float(value["y"]) * percent[1]
    angle = float(value.get("rotation") or 0)
    if kind.startswith("rectangle"):
        width, height = float(value["width"]) * percent[0], float(value["height"]) * percent[1]
        corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
        return polygon(turned(corners, (x, y), angle), size, where)
    radii = float(value["radiusX"]) * percent[0], float(value["radiusY"]) * percent[1]
    return polygon(turned(ellipse((x, y), radii), (x, y), angle), size, where)


def _vector(
    value: Mapping[str, Any], size: tuple[int, int], where: str, percent: tuple[float, float]
) -> Polygon:
    if not value.get("closed"):
        raise Fault("flat-label", where, "is an open line, which has no area")
    vertices = value["vertices"]
    if any(vertex.get("isBezier") for vertex in vertices):
        raise Fault("bad-label", where, "has Bézier curves, which can't be drawn", "draw it as a polygon")
    return polygon([(vertex["x"], vertex["y"]) for vertex in vertices], size, where, percent)


def decode_brush(stored: Any, size: tuple[int, int], where: str) -> npt.NDArray[np.bool_]:
    """Return the pixels ``(H, W)`` that a brush has painted.

    The numbers are bytes of a stream of bits: 32 of how many values follow, 5 of the width of a value, four
    times 4 of the widths of run lengths; then runs, each led by a bit, whether one value is repeated, two
    that choose a width, and a length less one. The values are RGBA, row by row; what is painted is opaque.

    Raises:
        Fault: the stream is no brush of this image.
    """
    try:
        bits = np.unpackbits(np.array(stored, np.uint8)).tolist()
    except (TypeError, ValueError, OverflowError):
        raise Fault("bad-label", where, "has a brush that is no list of bytes") from None
    place = 0

    def take(count: int) -> int:
        nonlocal place
        if place + count > len(bits):
            raise Fault("bad-label", where, "has a brush that ends too early")
        value = 0
        for bit in bits[place : place + count]:
            value = value << 1 | bit
        place += count
        return value

    total, width = take(32), take(5) + 1
    if total != size[0] * size[1] * 4 or width > 8:
        raise Fault("bad-label", where, f"has a brush for another image than {size[0]}×{size[1]} pixels")
    widths = [take(4) + 1 for _ in range(4)]

    def runs() -> Iterator[npt.NDArray[np.uint8]]:
        done = 0
        while done < total:
            repeated = take(1)
            length = take(widths[take(2)]) + 1
            done += length
            if repeated:
                yield np.full(min(length, total), take(width), np.uint8)
            else:
                yield np.array([take(width) for _ in range(length)], np.uint8)

    values = np.concatenate([*runs(), np.zeros(0, np.uint8)])[:total]
    painted: npt.NDArray[np.bool_] = values.reshape(size[1], size[0], 4)[..., 3] > 0
    return painted
