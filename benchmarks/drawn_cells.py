"""Draw images of cells as a microscope shows them, with their masks: a small folder to train on.

``python benchmarks/drawn_cells.py cells`` writes 54 images to ``cells/images`` and their masks, 0 and 1, to
``cells/masks``. Cells cover about 5 % of the pixels: textured, uneven ellipses, some of them touching, some
barely darker than the tissue that they lie in. The light falls off to one side, and there are blurred dark
spots that are no cells. The same seed draws the same pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from drawing import Bytes, Floats, draw, noise, write_pairs

FOREGROUND = (0.015, 0.07)
"""The least and the largest share of an image's pixels that its cells are drawn to cover."""

_TISSUE, _CELL = np.array([214.0, 170.0, 196.0]), np.array([112.0, 78.0, 146.0])
_SPOT = np.array([150.0, 112.0, 150.0])


def draw_cells(seed: int, number: int, side: int = 128) -> tuple[Bytes, Bytes]:
    """Return one image, uint8 RGB ``(side, side, 3)``, and its mask, uint8 ``(side, side)``: 1 is a cell."""
    random = np.random.default_rng((seed, number))
    image = _TISSUE + 60 * (noise(random, side, 4) + 0.7 * noise(random, side, 16))[..., None]
    for _ in range(random.integers(2, 6)):  # out of focus, or dirt: no cells
        inside = _blob(random, side, random.uniform(0, side, 2), random.uniform(4, 9), softness=4.0)
        image = _lay(image, _SPOT + random.normal(0, 12, 3), inside * random.uniform(0.3, 0.9))
    mask = np.zeros((side, side), bool)
    wanted = random.uniform(*FOREGROUND) * side * side
    while mask.sum() < wanted:
        centre = random.uniform(0, side, 2)
        for _ in range(random.integers(1, 4)):  # a cell, and neighbours that touch it
            radius = random.uniform(4, 7.5)
            inside = _blob(random, side, centre, radius, softness=0.8)
            grain = 34 * noise(random, side, 40)[..., None]
            colour = _CELL + random.normal(0, 14, 3) + grain
            image = _lay(image, colour, inside * random.uniform(0.35, 1.0))
            mask |= inside > 0.5
            turn = random.uniform(0, 2 * np.pi)
            centre = centre + 1.8 * radius * np.array([np.sin(turn), np.cos(turn)])
    image *= (1 + 0.35 * _slope(random, side))[..., None]
    image += random.normal(0, 7, image.shape)
    return image.clip(0, 255).astype(np.uint8), mask.astype(np.uint8)


def _slope(random: np.random.Generator, side: int) -> Floats:
    """Return the light ``(side, side)``, from -1 to 1 along a random direction."""
    turn = random.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    return (np.sin(turn) * rows + np.cos(turn) * columns) / np.sqrt(2)


def _blob(random: np.random.Generator, side: int, centre: Floats, radius: float, softness: float) -> Floats:
    """Return how far inside an uneven ellipse each pixel lies ``(side, side)``: 1 in it, 0 outside."""
    rows, columns = np.mgrid[:side, :side] + 0.5 - centre[:, None, None]
    turn, ratio = random.uniform(0, np.pi), random.uniform(1.0, 1.7)
    along = (np.cos(turn) * columns + np.sin(turn) * rows) / np.sqrt(ratio)
    across = (np.cos(turn) * rows - np.sin(turn) * columns) * np.sqrt(ratio)
    angle = np.arctan2(across, along)
    outline = 1 + sum(random.normal(0, 0.06) * np.cos(k * angle + random.uniform(0, 6.3)) for k in (2, 3, 4))
    return 1 / (1 + np.exp(((along**2 + across**2) ** 0.5 - radius * outline) / softness * 2))


def _lay(image: Floats, colour: Floats, opacity: Floats) -> Floats:
    return image + opacity[..., None] * (colour - image)


def write_cells(folder: Path, images: int, seed: int, side: int = 128) -> Path:
    """Write ``images`` pairs below the folder and return it."""
    return write_pairs(folder, (draw_cells(seed, number, side) for number in range(images)))


if __name__ == "__main__":
    draw(__doc__, "cells", 54, write_cells)
