"""From an image's shapes to its mask: which are drawn, which are ignored, which cover nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from segnet.base.classes import IGNORE_INDEX
from segnet.base.extras import require_package
from segnet.data.dataset import Mask
from segnet.data.faults import Fault
from segnet.data.labels.shapes import Shape, why

NO_PIXEL = "covers no pixel of its image"


@dataclass
class Drawn:
    """A mask, and what became of each shape."""

    mask: Mask
    """``(H, W)``."""
    outcomes: list[tuple[str, str]] = field(default_factory=list)
    """Of each shape its kind and why it was left out, nothing where it was drawn."""
    faults: list[Fault] = field(default_factory=list)
    """Bitmaps that can't be decoded."""
    painted: bool = False
    """Whether a shape was drawn or ignored at all."""
    shared_px: int = 0
    """Pixels that objects have in common which should stand alone."""
    spoilt: str = ""
    """Why the image can't be used, where a shape is left out of which nothing tells where it lies."""


def draw(shapes: Iterable[Shape], size: tuple[int, int], ids: Mapping[str, int], around: int) -> Drawn:
    """Lay shapes over each other; pixels of one that is left out are ignored, never background.

    Polygons are filled as pycocotools does it, pixel by pixel.

    Args:
        shapes: the first lies lowest.
        size: width and height.
        ids: the class id of each label.
        around: what no shape covers.

    Raises:
        SegnetError: pycocotools isn't installed.
    """
    width, height = size
    drawn = Drawn(np.full((height, width), around, np.uint8))
    alone = 0
    for shape in shapes:
        left_out = shape.left_out
        value = IGNORE_INDEX if left_out else ids[shape.label]
        pixels = 0
        try:
            pixels = _paint(drawn.mask, shape, value)
        except Fault as fault:
            drawn.faults.append(fault)
            left_out = why(fault)
            pixels = _paint_polygons(drawn.mask, shape.polygons, IGNORE_INDEX)
            if not pixels:
                drawn.spoilt = left_out
        if shape.spoils:
            drawn.spoilt = left_out
        drawn.painted |= pixels > 0
        alone += pixels * shape.alone
        drawn.outcomes.append((shape.kind, left_out or ("" if pixels else NO_PIXEL)))
    drawn.shared_px = max(0, alone - int(np.count_nonzero(drawn.mask != around)))
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
    covered: npt.NDArray[np.bool_] = coco.decode(runs).astype(np.bool_)
    return covered
