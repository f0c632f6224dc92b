"""The connected regions of a mask: how many there are, how large, where, and their outlines as polygons.

Regions need SciPy, outlines Shapely.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segnet.base.class_roles import background_of
from segnet.base.classes import ClassTable
from segnet.base.errors import SegnetError
from segnet.base.extras import require_package

_TOUCHING = np.ones((3, 3), np.int8)  # corners connect, as in OpenCV and scikit-image
_CHANGE = 0.01  # of its area that a region's outline may lose or win
_HALVINGS = 4
_CHANGE_OF_CLASS = 0.006  # of its area that a class may lose or win, where outlines lie over each other

Ring = list[tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Region:
    """Pixels of one class that touch each other, by a side or a corner."""

    class_name: str
    class_id: int
    area_px: int
    box: tuple[int, int, int, int]
    """Left, top, right and bottom in pixels; right and bottom are the first outside."""
    centroid: tuple[float, float]
    """Mean x and y of its pixels' centres, which lie at whole numbers and a half."""
    shape: npt.NDArray[np.bool_]
    """Which pixels of the box belong to it, ``(bottom - top, right - left)``."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it, without the pixels."""
        centroid = [round(value, 2) for value in self.centroid]
        return {"class": self.class_name, "area": self.area_px, "box": list(self.box), "centroid": centroid}


def find_regions(mask: npt.NDArray[np.uint8], classes: ClassTable, *, least_px: int = 1) -> Iterator[Region]:
    """Yield the regions of each class but the background, class by class, from top to bottom.

    Args:
        mask: ``(H, W)`` class ids; ids without a class have no regions.
        classes: their names.
        least_px: smaller regions are left out.

    Raises:
        SegnetError: SciPy isn't installed, or ``least_px`` is below 1.
    """
    require_package("finding regions", "scipy")
    from scipy import ndimage

    if least_px < 1:
        raise SegnetError(f"a region has at least one pixel; give 1 or more, not {least_px}")
    background = background_of(classes.names)
    for class_id, name in enumerate(classes.names):
        if name == background:
            continue
        labels, count = ndimage.label(mask == class_id, _TOUCHING)
        if not count:
            continue
        for number, place in enumerate(ndimage.find_objects(labels), 1):
            shape = labels[place] == number
            area = int(shape.sum())
            if area < least_px:
                continue
            top, left = place[0].start, place[1].start
            rows, columns = shape.sum(1), shape.sum(0)
            centre = (
                left + 0.5 + float(columns @ np.arange(len(columns))) / area,
                top + 0.5 + float(rows @ np.arange(len(rows))) / area,
            )
            box = (left, top, place[1].stop, place[0].stop)
            yield Region(name, class_id, area, box, centre, shape)


@dataclass(frozen=True)
class Polygon:
    """An outline and the holes in it: x and y in pixels, the first point not repeated at the end.

    Pixels are squares of side 1, the first one from 0 to 1: an outline that isn't simplified runs along their
    sides and has exactly the region's area.
    """

    outline: Ring
    holes: tuple[Ring, ...]


def outline(region: Region, *, tolerance_px: float = 0.0) -> list[Polygon]:
    """Return a region's polygons: one, or several where parts touch at corners alone.

    Args:
        region: what to outline.
        tolerance_px: how far a simplified outline may be from the exact one (Douglas and Peucker); 0 keeps
            every corner of every pixel. It is halved where that would change the area by more than 1 %, and a
            region that is too small even for that stays exact.

    Raises:
        SegnetError: Shapely isn't installed.
    """
    require_package("outlining regions", "shapely")
    import shapely

    left, top = region.box[:2]
    runs = _runs(region.shape)
    boxes = shapely.box(runs[:, 1] + left, runs[:, 0] + top, runs[:, 2] + left, runs[:, 0] + top + 1)
    # the sides that pixel rows share dissolve, and points along a straight side go
    shape = exact = shapely.simplify(shapely.union_all(boxes), 0)
    for halved in range(_HALVINGS):
        simple = shapely.simplify(exact, tolerance_px / 2**halved)
        if abs(simple.area - exact.area) <= _CHANGE * exact.area:
            shape = simple
            break
    return [
        Polygon(_points(each.exterior.coords), tuple(_points(ring.coords) for ring in each.interiors))
        for each in shapely.get_parts(shape)
    ]


def outline_all(
    regions: Sequence[Region], size: tuple[int, int], *, tolerance_px: float, larger_below: bool
) -> list[list[Polygon]]:
    """Return the polygons of all regions of an image, as ``outline``.

    Simplified outlines of neighbours overlap. Where that would change the area of a class by too much, all
    outlines of the image get a smaller tolerance, and at last none.

    Args:
        regions: what to outline.
        size: width and height of the image.
        tolerance_px: as for ``outline``.
        larger_below: whether larger outlines are drawn below smaller ones; else earlier below later ones.
    """
    for halved in range(_HALVINGS + 1 if tolerance_px else 0):
        outlines = [outline(region, tolerance_px=tolerance_px / 2**halved) for region in regions]
        if _areas_hold(regions, outlines, size, larger_below=larger_below):
            return outlines
    return [outline(region) for region in regions]


def _areas_hold(
    regions: Sequence[Region],
    outlines: Sequence[Sequence[Polygon]],
    size: tuple[int, int],
    *,
    larger_below: bool,
) -> bool:
    """Tell whether outlines that lie over each other keep the area of each class and of what none covers."""
    import shapely

    owners = np.array([place for place, parts in enumerate(outlines) for _ in parts], np.int64)
    parts = np.array([shapely.Polygon(each.outline, each.holes) for parts in outlines for each in parts])
    if not len(parts):
        return True
    areas = np.bincount(owners, shapely.area(parts), len(regions))
    heights = np.argsort(np.argsort(-areas, kind="stable")) if larger_below else np.arange(len(regions))
    lower, upper = shapely.STRtree(parts).query(parts, predicate="intersects")
    lies_below = heights[owners[lower]] < heights[owners[upper]]
    lower, upper = lower[lies_below], upper[lies_below]
    hidden = shapely.area(shapely.intersection(parts[lower], parts[upper]))
    visible = areas - np.bincount(owners[lower], hidden, len(regions))
    of_class = np.array([region.class_id for region in regions])
    exact = np.bincount(of_class, [region.area_px for region in regions])
    after = np.bincount(of_class, visible)
    exact, after = (np.append(each, size[0] * size[1] - each.sum()) for each in (exact, after))
    return bool((np.abs(after - exact) <= _CHANGE_OF_CLASS * exact + 1e-6).all())


def _runs(shape: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return the runs of true pixels ``(N, 3)``: row, first column, first column behind it."""
    padded = np.zeros((shape.shape[0], shape.shape[1] + 2), np.int8)
    padded[:, 1:-1] = shape
    steps = np.diff(padded, axis=1)
    rows, starts = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[1]
    return np.stack([rows, starts, ends], 1)


def _points(coordinates: Sequence[Sequence[float]]) -> Ring:
    return [(float(x), float(y)) for x, y in [*coordinates][:-1]]
