"""The connected regions of a mask: how many there are, how large, and where. Needs SciPy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segnet.base.class_roles import background_of
from segnet.base.classes import ClassTable
from segnet.base.errors import SegnetError
from segnet.base.extras import require_package

_TOUCHING = np.ones((3, 3), np.int8)  # corners connect, as in OpenCV and scikit-image


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
