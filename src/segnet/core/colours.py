"""Colours as ``(red, green, blue)`` of 0 to 255: some that every reader tells apart, one for each class."""

from __future__ import annotations

import colorsys

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


def distinct_colours(count: int) -> tuple[Colour, ...]:
    """Return ``count`` colours that differ: the palette first, then golden-ratio steps of hue."""
    palette = (ORANGE, BLUE, BLUISH_GREEN, REDDISH_PURPLE, YELLOW, SKY_BLUE, VERMILION)
    colours = list(palette[:count])
    while len(colours) < count:
        red, green, blue = colorsys.hsv_to_rgb(len(colours) * 0.618034 % 1.0, 0.65, 0.95)
        colours.append((round(red * 255), round(green * 255), round(blue * 255)))
    return tuple(colours)


def pack(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Turn RGB ``(..., 3)`` into numbers 0xRRGGBB ``(...)``, so that a colour is compared in one pass."""
    numbers: npt.NDArray[np.uint32] = np.matmul(pixels, np.array((1 << 16, 1 << 8, 1), np.uint32))
    return numbers


def unpack(number: int) -> Colour:
    """Turn 0xRRGGBB into a colour."""
    return number >> 16, number >> 8 & 255, number & 255


def hex_code(colour: Colour) -> str:
    """Return ``#rrggbb``, as matplotlib and Pillow take it."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
