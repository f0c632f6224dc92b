"""From an image's shapes to its mask: which are drawn, which are ignored, which cover nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from segnet.base.classes import IGNORE_INDEX
from segnet.base.extras import require_package
from segnet.data.dataset import Mask
from segnet.data.faults import Fault
from segnet.data.labels.fields import Malformed
from segnet.data.labels.shapes import Shape, fault_of, why

NO_PIXEL = "covers no pixel of its image"


@dataclass
class Drawn:
    """What became of one image: its mask, and each of its shapes."""

    mask: Mask | None = None
    """``(H, W)``; None where the image is left out, or its mask file is copied."""
    outcomes: list[tuple[str, str]] = field(default_factory=list)
    """Of each shape its kind and why it was left out, nothing where it was drawn."""
    faults: list[Fault] = field(default_factory=list)
    left_out: str = ""
    """Why the image can't be used."""


def draw(
    shapes: Sequence[Shape], size: tuple[int, int], ids: Mapping[str, int], around: int, where: str
) -> Drawn:
    """Lay shapes over each other; pixels of one that is left out are ignored, never background.

    An image is left out where nothing tells where a shape lies that is left out, or no shape could be drawn.
    Polygons are filled as pycocotools does it, pixel by pixel.

    Args:
        shapes: the first lies lowest.
        size: width and height.
        ids: the class id of each label.
        around: what no shape covers.
        where: where the image's labels stand, for messages.

    Raises:
        SegnetError: pycocotools isn't installed.
    """
    width, height = size
    mask = np.full((height, width), around, np.uint8)
    drawn = Drawn(mask, left_out="no shape of it could be drawn" if shapes else "")
    alone = 0
    spoilt = ""
    for shape in shapes:
        left_out = shape.left_out
        try:
            pixels = _paint(mask, shape, IGNORE_INDEX if left_out else ids[shape.label])
        except (Fault, Malformed) as error:
            fault = fault_of(error, shape.where, shape.kind)
            drawn.faults.append(fault)
            left_out = why(fault)
            pixels = _paint_polygons(mask, shape.polygons, IGNORE_INDEX)
            spoilt = spoilt if pixels else left_out
        spoilt = left_out if shape.spoils else spoilt
        drawn.left_out = "" if pixels else drawn.left_out
        alone += pixels * shape.alone
        drawn.outcomes.append((shape.kind, left_out or ("" if pixels else NO_PIXEL)))
    drawn.left_out = spoilt or drawn.left_out
    shared_px = alone - int(np.count_nonzero(mask != around))
    if shared_px > 0:
        drawn.faults.append(Fault("overlap", where, f"has {shared_px:,} pixels of several objects"))
    return drawn


def _paint(mask: Mask, shape: Shape, value: int) -> int:
    """Give a shape's pixels a value; return how many they are."""
    if shape.bitmap is None or shape.left_out:
        return _paint_polygons(mask, shape.polygons, value)
    left, top = shape.left_top
    bitmap = shape.bitmap()
    part = mask[top : top + bitmap.shape[0], left : left + bitmap.shape[1]]
    inside = bitmap[: part.shape[0], : part.shape[1]]
    part[inside] = value
    return int(np.count_nonzero(inside))


def _paint_polygons(mask: Mask, polygons: Sequence[Sequence[float]], value: int) -> int:
    if not polygons:
        return 0
    covered = fill(polygons, mask.shape[::-1])
    mask[covered] = value
    return int(np.count_nonzero(covered))


def fill(polygons: Sequence[Sequence[float]], size: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Return the pixels ``(H, W)`` that any of the polygons covers, as pycocotools fills them."""
    require_package("drawing polygons", "pycocotools")
    from pycocotools import mask as coco

    runs = coco.merge(coco.frPyObjects([[*polygon] for polygon in polygons], size[1], size[0]))
    return coco.decode(runs).astype(np.bool_)
