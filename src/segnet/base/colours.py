"""Colours as ``(red, green, blue)`` of 0 to 255: some that every reader tells apart, one for each class."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Colour = tuple[int, int, int]

# Okabe and Ito's palette: told apart by colour-blind readers, in print and on screen.
# https://jfly.uni-koeln.de/color/
BLACK: Colour = (28, 30, 33)  # softer than theirs, as it is also what text is written in
ORANGE: Colour = (230, 159, 0)
SKY_BLUE: Colour = (86, 180, 233)
BLUISH_GREEN: Colour = (0, 158, 115)
YELLOW: Colour = (240, 228, 66)
BLUE: Colour = (0, 114, 178)
VERMILION: Colour = (213, 94, 0)
REDDISH_PURPLE: Colour = (204, 121, 167)


NIGHT_BLUE: Colour = (37, 52, 79)
"""What lies around: dark and dull, so that the classes that are looked for stand out."""

WHITE: Colour = (255, 255, 255)
"""What ignored pixels are painted in."""


def distinct_colours(count: int) -> tuple[Colour, ...]:
    """Return ``count`` colours that differ, up to 255, the first of them the same for any count.

    After the palette each is the one furthest, in OKLab, from all before it and from white, of a grid without
    its darkest and palest colours: so the eye tells the ninth class from the others as well as can be.
    """
    return _every_colour()[:count]


_MOST = 255  # classes of a table
_GRID = range(0, 256, 15)
_LIGHTNESS = (0.35, 0.93)


@cache
def _every_colour() -> tuple[Colour, ...]:
    palette = (ORANGE, BLUE, BLUISH_GREEN, REDDISH_PURPLE, YELLOW, SKY_BLUE, VERMILION)
    grid = np.array([(red, green, blue) for red in _GRID for green in _GRID for blue in _GRID], np.uint8)
    lightness = oklab(grid)[:, 0]
    grid = grid[(lightness > _LIGHTNESS[0]) & (lightness < _LIGHTNESS[1])]
    places = oklab(grid)
    taken = oklab(np.array((*palette, WHITE), np.uint8))
    distance = np.linalg.norm(places[:, None] - taken, axis=2).min(1)
    chosen = list(palette)
    while len(chosen) < _MOST:
        best = int(distance.argmax())
        red, green, blue = grid[best].tolist()
        chosen.append((red, green, blue))
        distance = np.minimum(distance, np.linalg.norm(places - places[best], axis=1))
    return tuple(chosen)


def oklab(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Turn sRGB ``(..., 3)`` into OKLab, in which distances are about as large as they look.

    Lightness from 0 to 1, then green to red and blue to yellow (Ottosson, "A perceptual color space for image
    processing", 2020).
    """
    share = pixels / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return np.asarray(np.cbrt(linear @ _TO_CONES) @ _TO_LAB)


_TO_CONES = np.array(
    [
        [0.4122214708, 0.2119034982, 0.0883024619],
        [0.5363325363, 0.6806995451, 0.2817188376],
        [0.0514459929, 0.1073969566, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 1.9779984951, 0.0259040371],
        [0.7936177850, -2.4285922050, 0.7827717662],
        [-0.0040720468, 0.4505937099, -0.8086757660],
    ]
)


def pack(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Turn RGB ``(..., 3)`` into numbers 0xRRGGBB ``(...)``, so that a colour is compared in one pass."""
    return np.matmul(pixels, np.array((1 << 16, 1 << 8, 1), np.uint32))


def unpack(number: int) -> Colour:
    """Turn 0xRRGGBB into a colour."""
    return number >> 16, number >> 8 & 255, number & 255


def hex_code(colour: Colour) -> str:
    """Return ``#rrggbb``, as matplotlib and Pillow take it."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
