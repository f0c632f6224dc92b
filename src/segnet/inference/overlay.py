"""A mask laid over its photo, for the eye."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from segnet.base.class_roles import BACKGROUND
from segnet.base.classes import ClassTable
from segnet.base.errors import SegnetError

Mask = npt.NDArray[np.uint8]

_STRIP_PIXELS = 1 << 19  # painted at a time: some 20 MiB, whatever the size of the photo
_LINES_ACROSS = 220  # an outline is this part of the photo's shorter side
_LEAST_TINT = 0.5  # of what has no outline to be seen by
_INSIDE, _OUTLINE, _THIN = range(3)


def overlay(
    image: Image.Image,
    mask: Mask,
    classes: ClassTable,
    *,
    alpha: float = 0.5,
    background: str | None = BACKGROUND,
) -> Image.Image:
    """Lay the mask's colours over a photo, each region outlined in its colour.

    Where a region meets the bare photo, a white line runs along it: of two tones, one always stands out. What
    is too thin for an outline on either side, such as a vessel of a few pixels, has none: it is tinted alone.

    Args:
        image: the photo, mode RGB.
        mask: ``(H, W)`` class ids of the photo's size; ids without a class are left as they are.
        classes: names and colours.
        alpha: 0 shows only outlines, 1 hides the photo.
        background: the class that is left uncoloured, if the table has it.

    Raises:
        SegnetError: a mask of another size than the photo.
    """
    if mask.shape != (image.height, image.width):
        raise SegnetError(
            f"the mask is {mask.shape[1]}x{mask.shape[0]} and the image {image.width}x{image.height} pixels; "
            "an overlay needs both in the same size"
        )
    coloured = np.arange(256) < len(classes)
    if background in classes.names:
        coloured[classes.names.index(background)] = False
    colours = classes.palette()[coloured].astype(np.float32)
    # By [where, class id]: how much of the photo stays, and what is added to it.
    keep, add = np.ones((3, 256), np.float32), np.zeros((3, 256, 3), np.float32)
    keep[_INSIDE, coloured], add[_INSIDE, coloured] = 1 - alpha, colours * alpha
    keep[_OUTLINE, coloured], add[_OUTLINE, coloured] = 0, colours
    keep[_OUTLINE, ~coloured], add[_OUTLINE, ~coloured] = 0.15, 0.85 * 255
    tint = max(alpha, _LEAST_TINT)
    keep[_THIN, coloured], add[_THIN, coloured] = 1 - tint, colours * tint

    line_px = max(1, round(min(image.size) / _LINES_ACROSS))
    rows = max(1, _STRIP_PIXELS // image.width)
    result = Image.new("RGB", image.size)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        ids = mask[top:bottom]
        above = min(3 * line_px, top)  # from as far away a pixel decides what is an outline
        around = mask[top - above : bottom + 3 * line_px]
        style = _where(around, coloured, line_px)[above:][: bottom - top], ids
        strip = np.array(image.crop((0, top, image.width, bottom)).convert("RGB"), np.float32)
        strip *= keep[style][..., None]
        strip += add[style]
        result.paste(Image.fromarray(strip.round().clip(0, 255).astype(np.uint8)), (0, top))
    return result


def _where(mask: Mask, coloured: npt.NDArray[np.bool_], line_px: int) -> npt.NDArray[np.uint8]:
    """Return whether each pixel lies inside, on an outline, or in a part too thin for one, ``(H, W)``."""
    outline = _near_border(mask, line_px)
    if not outline.any():
        return np.full(mask.shape, _INSIDE, np.uint8)
    has_colour = coloured[mask]
    thick = _near(has_colour & ~outline, 2 * line_px)  # an outline is so wide, the white line with it
    where = np.where(outline, np.uint8(_OUTLINE), np.uint8(_INSIDE))
    where[outline & ~thick] = _THIN
    return where


def _near_border(mask: Mask, distance_px: int) -> npt.NDArray[np.bool_]:
    """True where another class id lies within ``distance_px`` steps up, down, left or right."""
    near: npt.NDArray[np.bool_] = np.logical_or.reduce([neighbour != mask for neighbour in _neighbours(mask)])
    for _ in range(distance_px - 1):
        near = np.logical_or.reduce([near, *_neighbours(near)])
    return near


def _near(pixels: npt.NDArray[np.bool_], distance_px: int) -> npt.NDArray[np.bool_]:
    """True where a true pixel lies at most so many rows and columns away."""
    for axis in (0, 1):
        before = [(0, 0), (0, 0)]
        before[axis] = (distance_px + 1, distance_px)
        counted = np.pad(pixels, before).cumsum(axis, dtype=np.int32)
        length = pixels.shape[axis]
        last = counted.take(range(2 * distance_px + 1, 2 * distance_px + 1 + length), axis)
        pixels = last > counted.take(range(length), axis)
    return pixels


def _neighbours(pixels: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Return what is above, below, left and right of each pixel ``(H, W)``: at the edge, itself."""
    padded = np.pad(pixels, 1, mode="edge")
    return [padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]
