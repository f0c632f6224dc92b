"""Outlines of classes: how far one may be off, and how thick the regions are that it encloses."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

TOLERANCE = 0.0075
"""How far an outline may be off in boundary F1, as a share of the image's diagonal: the SegNet paper's."""


def count_sides(ids: npt.NDArray[Any], count: int) -> npt.NDArray[np.int64]:
    """Count, for each id, the sides of its pixels that lie at another id: the length of its outline.

    The image's own edge counts for none.

    Args:
        ids: ``(H, W)``, whole numbers below ``count``.
        count: how many ids there are.

    Returns:
        ``(count,)``.
    """
    sides = np.zeros(count, np.int64)
    for one, other in ((ids[1:], ids[:-1]), (ids[:, 1:], ids[:, :-1])):
        differ = one != other
        sides += np.bincount(one[differ], minlength=count)
        sides += np.bincount(other[differ], minlength=count)
    return sides


def mean_thickness_px(pixels: int, sides: int) -> float | None:
    """Return the mean width of regions, area / half the outline; None where they have no outline."""
    return 2 * pixels / sides if sides else None
