"""Round and turned outlines as points."""

from __future__ import annotations

import math
from collections.abc import Sequence

Points = Sequence[tuple[float, float]]

_CORNERS_OF_AN_ELLIPSE = 256


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
