"""What the class ids of a mask mean: names, colours and the id that is not scored."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segnet.core.errors import SegnetError

Colour = tuple[int, int, int]

IGNORE_INDEX = 255
"""Pixels with this id are neither trained on nor scored."""

# Okabe and Ito's palette: told apart by colour-blind readers, in print and on screen.
_PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),
    (0, 114, 178),
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (86, 180, 233),
    (213, 94, 0),
)


def distinct_colours(count: int) -> tuple[Colour, ...]:
    """Return ``count`` colours that differ: the palette first, then golden-ratio steps of hue."""
    colours = list(_PALETTE[:count])
    while len(colours) < count:
        red, green, blue = colorsys.hsv_to_rgb(len(colours) * 0.618034 % 1.0, 0.65, 0.95)
        colours.append((round(red * 255), round(green * 255), round(blue * 255)))
    return tuple(colours)


@dataclass(frozen=True)
class ClassTable:
    """Names and RGB colours (0 to 255) of the class ids ``0 .. len(names) - 1``.

    Raises:
        SegnetError: no class, more than 255, a name twice, or a colour count that differs.
    """

    names: tuple[str, ...]
    colours: tuple[Colour, ...]
    ignore_index: int = IGNORE_INDEX

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) <= 255:
            raise SegnetError(f"a class table holds 1 to 255 classes, this one has {len(self.names)}")
        if len(set(self.names)) != len(self.names):
            raise SegnetError(f"class names must differ: {', '.join(self.names)}")
        if len(self.colours) != len(self.names):
            raise SegnetError(f"{len(self.names)} classes need as many colours, got {len(self.colours)}")

    @classmethod
    def named(cls, names: Sequence[str]) -> ClassTable:
        """Build a table from names alone, with colours of our own choice."""
        return cls(tuple(names), distinct_colours(len(names)))

    def __len__(self) -> int:
        return len(self.names)

    def palette(self) -> npt.NDArray[np.uint8]:
        """Return a ``(256, 3)`` uint8 colour for every mask value; ids without a class are white."""
        palette = np.full((256, 3), 255, np.uint8)
        palette[: len(self.colours)] = self.colours
        return palette

    def paint(self, mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Turn a mask ``(H, W)`` of ids into a picture ``(H, W, 3)``."""
        return self.palette()[mask]
