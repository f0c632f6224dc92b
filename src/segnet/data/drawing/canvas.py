"""A canvas with shapes, noise and colours for the `synthetic` dataset: the same pixels on any machine.

IEEE 754 rounds ``+ - * /`` and the square root exactly, so only these decide a pixel: no sine, no power, no
sum over an axis (its order depends on the processor), no filter of a library. Of `random`, only what Python
promises to keep is used: ``random()``, and ``randbytes()``, the bits of the same generator.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.floating[Any]]  # float32; NumPy's stubs say float64 where a Python float takes part
"""One float32 a pixel, ``(H, W)``; as ``(3, H, W)`` a picture in the range 0 to 255."""
Inside = npt.NDArray[np.bool_]
Window = tuple[slice, slice]
Point = tuple[float, float]
RGB = tuple[float, float, float]
T = TypeVar("T")


class Canvas:
    """A picture ``(3, H, W)`` in float32, 0 to 255, that shapes are painted on with smooth edges."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.pixels: Field = np.zeros((3, height, width), np.float32)
        self.x: Field = np.arange(width, dtype=np.float32)[None, :]
        self.y: Field = np.arange(height, dtype=np.float32)[:, None]

    def paint(
        self,
        shape: DrawnShape,
        colour: RGB | Field,
        *,
        opacity: float = 1.0,
        softness: float = 1.0,
        depth: float = 0.0,
        rim: float = 0.0,
        ruffle: Field | None = None,
    ) -> tuple[Window, Inside]:
        """Paint one shape; return the window it lies in and which of its pixels are inside.

        Args:
            shape: The outline.
            colour: One colour or a texture as large as the canvas.
            opacity: 0 (nothing) to 1 (covers).
            softness: Width of the edge in pixels, 1 for a crisp one.
            depth: How much darker the lower edge is than the upper one, 0 for flat, 1 at most.
            rim: How much darker the outermost pixels are, 0 to 1.
            ruffle: Pixels to move the outline inwards by, ``(H, W)``: what makes fur of an edge.
        """
        left, top, right, bottom = shape.bounds
        margin = softness + 2
        window = (
            slice(max(0, int(top - margin)), max(0, min(self.height, int(bottom + margin) + 1))),
            slice(max(0, int(left - margin)), max(0, min(self.width, int(right + margin) + 1))),
        )
        rows, columns = window
        y, x = self.y[rows], self.x[:, columns]
        distance = shape.distance(x, y)
        if ruffle is not None:
            distance = distance + ruffle[window]
        source = _plane(colour) if isinstance(colour, tuple) else colour[:, rows, columns]
        if depth:
            thickness = max(1.0, min(right - left, bottom - top) / 2)
            near_edge = clamped(1.0 + distance / thickness)
            fall = clamped((y - top) / max(bottom - top, 1.0))
            shade = 1.0 + depth * (0.25 - (0.35 + 0.65 * fall) * near_edge * near_edge)
            source = source * shade
        if rim:
            source = source * (1.0 - rim * clamped(1.0 + distance / 2.0))
        cover = clamped(0.5 - distance / softness) * opacity
        below = self.pixels[:, rows, columns]
        below += (source - below) * cover
        return window, distance <= 0.0

    def noise(self, rng: random.Random, cell: float) -> Field:
        """Return smooth noise in -1 to 1 ``(H, W)`` whose blobs are about ``cell`` pixels wide."""
        rows, columns = int(self.height / cell) + 2, int(self.width / cell) + 2
        grid = _signed_bytes(rng, rows, columns)
        u, v = self.x[0] / cell, self.y[:, 0] / cell
        left, top = u.astype(np.int64), v.astype(np.int64)
        u, v = u - left.astype(np.float32), v - top.astype(np.float32)
        u, v = u * u * (3.0 - 2.0 * u), (v * v * (3.0 - 2.0 * v))[:, None]
        wide = grid[:, left] + (grid[:, left + 1] - grid[:, left]) * u
        return wide[top] + (wide[top + 1] - wide[top]) * v

    def grain(self, rng: random.Random) -> Field:
        """Return noise in -1 to 1 ``(H, W)`` that is independent from pixel to pixel."""
        return _signed_bytes(rng, self.height, self.width)

    def strands(self, rng: random.Random, length: int) -> Field:
        """Return noise in about -1 to 1 ``(H, W)`` drawn out downwards, with a slant: hair."""
        noise = self.grain(rng)
        slant = pick(rng, (-1, 0, 1))
        hair = noise
        for step in range(1, length):
            hair = hair + np.roll(noise, (step, slant * (step // 2)), (0, 1))
        return hair * (1.6 / length)

    def waves(self, period: float, direction: Point, warp: Field | None = None) -> Field:
        """Return a triangle wave in 0 to 1 ``(H, W)`` along a direction, bent by ``warp`` (in pixels)."""
        phase = self.x * direction[0] + self.y * direction[1]
        phase = (phase if warp is None else phase + warp) / period
        return np.abs(phase - np.floor(phase) - 0.5) * 2.0


@dataclass(frozen=True)
class DrawnShape:
    """An outline in pixels.

    ``distance`` takes columns ``(1, W)`` and rows ``(H, 1)`` and gives ``(H, W)``: negative inside, in
    pixels. ``bounds`` is left, top, right, bottom.
    """

    bounds: tuple[float, float, float, float]
    distance: Callable[[Field, Field], Field]


def ellipse(centre: Point, radii: Point, axis: Point = (1.0, 0.0)) -> DrawnShape:
    """Return an ellipse whose first radius lies along the unit vector ``axis``."""
    (cx, cy), (a, b), (ux, uy) = centre, radii, axis

    def distance(x: Field, y: Field) -> Field:
        along = ((x - cx) * ux + (y - cy) * uy) / a
        across = ((y - cy) * ux - (x - cx) * uy) / b
        level = np.sqrt(along * along + across * across)
        along, across = along / a, across / b
        slope = np.sqrt(along * along + across * across)
        return level * (level - 1.0) / np.maximum(slope, 1e-4)

    width = math.sqrt(a * ux * a * ux + b * uy * b * uy)
    height = math.sqrt(a * uy * a * uy + b * ux * b * ux)
    return DrawnShape((cx - width, cy - height, cx + width, cy + height), distance)


def cone(start: Point, end: Point, start_radius: float, end_radius: float) -> DrawnShape:
    """Return a limb: two discs and what lies between them."""
    (ax, ay), (bx, by) = start, end
    dx, dy = bx - ax, by - ay
    length_squared = max(dx * dx + dy * dy, 1e-6)

    def distance(x: Field, y: Field) -> Field:
        along = clamped(((x - ax) * dx + (y - ay) * dy) / length_squared)
        off_x, off_y = x - ax - along * dx, y - ay - along * dy
        to_axis: Field = np.sqrt(off_x * off_x + off_y * off_y)
        return to_axis - (start_radius + along * (end_radius - start_radius))

    return DrawnShape(
        (
            min(ax - start_radius, bx - end_radius),
            min(ay - start_radius, by - end_radius),
            max(ax + start_radius, bx + end_radius),
            max(ay + start_radius, by + end_radius),
        ),
        distance,
    )


def box(left: float, top: float, right: float, bottom: float, corner: float = 0.0) -> DrawnShape:
    """Return an upright rectangle whose corners are rounded with the radius ``corner``."""
    cx, cy, half_width, half_height = (
        (left + right) / 2,
        (top + bottom) / 2,
        (right - left) / 2,
        (bottom - top) / 2,
    )
    corner = min(corner, half_width, half_height)

    def distance(x: Field, y: Field) -> Field:
        off_x = np.abs(x - cx) - (half_width - corner)
        off_y = np.abs(y - cy) - (half_height - corner)
        out_x, out_y = np.maximum(off_x, 0.0), np.maximum(off_y, 0.0)
        outside: Field = np.sqrt(out_x * out_x + out_y * out_y)
        inside: Field = np.minimum(np.maximum(off_x, off_y), 0.0)
        return outside + inside - corner

    return DrawnShape((left, top, right, bottom), distance)


@dataclass(frozen=True)
class Frame:
    """A place to draw in: shapes in units of ``size`` around ``origin``, turned and perhaps mirrored."""

    origin: Point
    size: float
    turn: Point = (1.0, 0.0)
    mirror: int = 1

    def at(self, x: float, y: float) -> Point:
        """Return the pixel of a point; y points down."""
        (cosine, sine), x = self.turn, x * self.mirror
        return (
            self.origin[0] + self.size * (x * cosine - y * sine),
            self.origin[1] + self.size * (x * sine + y * cosine),
        )

    def inner(self, x: float, y: float, size: float, tilt: float) -> Frame:
        """Return a smaller frame at a point, tilted by a further half tangent."""
        (a, b), (c, d) = self.turn, turned(tilt)
        return Frame(self.at(x, y), self.size * size, (a * c - b * d, a * d + b * c), self.mirror)

    def ellipse(self, x: float, y: float, radius_x: float, radius_y: float, tilt: float = 0.0) -> DrawnShape:
        """Return an ellipse around a point."""
        (a, b), (c, d) = self.turn, turned(tilt * self.mirror)
        return ellipse(
            self.at(x, y), (radius_x * self.size, radius_y * self.size), (a * c - b * d, a * d + b * c)
        )

    def cone(self, start: Point, end: Point, start_radius: float, end_radius: float) -> DrawnShape:
        """Return a limb from one point to another."""
        return cone(self.at(*start), self.at(*end), start_radius * self.size, end_radius * self.size)


def turned(half_tangent: float) -> Point:
    """Return cosine and sine of an angle from the tangent of its half, without trigonometry."""
    square = half_tangent * half_tangent
    return (1 - square) / (1 + square), 2 * half_tangent / (1 + square)


def tint(base: RGB, second: RGB, share: Field) -> Field:
    """Return a texture ``(3, H, W)`` that mixes two colours by ``share`` in 0 to 1, ``(H, W)``."""
    return _plane(base) + (_plane(second) - _plane(base)) * share


def sharpen(share: Field, threshold: float, steepness: float) -> Field:
    """Turn a smooth field into patches: 0 well below the threshold, 1 well above it."""
    return clamped((share - threshold) * steepness + 0.5)


def clamped(field: Field) -> Field:
    """Clip to the range 0 to 1."""
    return np.minimum(np.maximum(field, 0.0), 1.0)


def blend(first: RGB, second: RGB, share: float) -> RGB:
    """Mix two colours: ``share`` 0 is the first, 1 the second."""
    red, green, blue = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return red, green, blue


def contrast(first: RGB, second: RGB) -> float:
    """Return the largest difference of a channel."""
    return max(abs(a - b) for a, b in zip(first, second, strict=True))


def between(rng: random.Random, low: float, high: float) -> float:
    """Draw a number from ``[low, high)``."""
    return low + (high - low) * rng.random()


def pick(rng: random.Random, choices: Sequence[T]) -> T:
    """Draw one of the choices."""
    return choices[int(rng.random() * len(choices))]


def _plane(colour: RGB) -> Field:
    return np.asarray(colour, np.float32)[:, None, None]


def _signed_bytes(rng: random.Random, rows: int, columns: int) -> Field:
    values = np.frombuffer(rng.randbytes(rows * columns), np.uint8).reshape(rows, columns)
    return (values.astype(np.float32) - 127.5) / 127.5
