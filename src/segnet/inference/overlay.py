"""A mask laid over its photo, for the eye."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from segnet.core.classes import ClassTable
from segnet.core.errors import SegnetError

Pixels = npt.NDArray[np.uint8]


def overlay(
    image: Image.Image,
    mask: Pixels,
    classes: ClassTable,
    *,
    alpha: float = 0.5,
    background: str | None = "background",
) -> Image.Image:
    """Lay the mask's colours over a photo, each region outlined in its colour.

    Where a region meets the bare photo, a white line runs along it: of two tones, one always stands out.

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
    photo = np.asarray(image.convert("RGB"), np.float32)
    coloured = mask < len(classes)
    if background in classes.names:
        coloured &= mask != classes.names.index(background)
    colours = classes.paint(mask).astype(np.float32)
    result = np.where(coloured[..., None], photo * (1 - alpha) + colours * alpha, photo)

    line_px = max(1, round(min(image.size) / 220))
    outline = _near_border(mask, line_px)
    result[outline & coloured] = colours[outline & coloured]
    white = outline & ~coloured
    result[white] = 0.15 * result[white] + 0.85 * 255
    return Image.fromarray(result.round().clip(0, 255).astype(np.uint8))


def _near_border(mask: Pixels, distance_px: int) -> npt.NDArray[np.bool_]:
    """True where another class id lies within ``distance_px`` steps up, down, left or right."""
    near = np.zeros(mask.shape, np.bool_)
    across = mask[:, 1:] != mask[:, :-1]
    near[:, 1:] |= across
    near[:, :-1] |= across
    down = mask[1:] != mask[:-1]
    near[1:] |= down
    near[:-1] |= down
    for _ in range(distance_px - 1):
        grown = near.copy()
        grown[1:] |= near[:-1]
        grown[:-1] |= near[1:]
        grown[:, 1:] |= near[:, :-1]
        grown[:, :-1] |= near[:, 1:]
        near = grown
    return near
