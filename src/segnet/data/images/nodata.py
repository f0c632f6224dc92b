"""Pixels without data in TIFFs of geographic programs: GDAL's tag 42113, and NaN among floats.

Values of such pixels are masked (`numpy.ma`): they don't count in ranges, become the low end of the range in
the image, and are ignored in the mask.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from segnet.base.classes import IGNORE_INDEX
from segnet.data.images.pixel_values import Values
from segnet.data.images.stored_layout import Layout

_STRIP_PIXELS = 1 << 22

Missing = npt.NDArray[np.bool_]


def parse_nodata(text: str) -> float | None:
    """Return the number that GDAL's tag says, NaN too; None where it says none."""
    try:
        return float(text)
    except ValueError:
        return None


def missing_values(values: Values, nodata: str) -> Missing | None:
    """Say which values are without data.

    Args:
        values: ``(H, W, C)`` as a file stores them.
        nodata: what the file's tag says, empty where it has none. A number that the type of the values can't
            hold is at no pixel.

    Returns:
        ``(H, W, C)``; None where all have data, and where floats are all NaN though no tag says that this
        means anything.
    """
    number = parse_nodata(nodata)
    if values.dtype.kind == "f":
        found: Missing = np.isnan(values)
        if number is not None and not math.isnan(number):
            low, high = _near(number, values.dtype)
            if low <= high:
                found |= (values >= low) & (values <= high)
        elif number is None and found.all():
            return None
    elif values.dtype.kind in "ui" and number is not None and float(number).is_integer():
        limits = np.iinfo(values.dtype)
        if not limits.min <= number <= limits.max:
            return None
        found = values == values.dtype.type(int(number))
    else:
        return None
    return found if found.any() else None


def _near(number: float, dtype: np.dtype[Any]) -> tuple[float, float]:
    """Return between which floats a number lies that was written with fewer digits than floats have.

    A number that the type can't hold gives a lower bound above the upper one.
    """
    if math.isinf(number):
        return number, number
    limits = np.finfo(dtype)
    reach = abs(number) * (4 * float(limits.eps))
    return max(number - reach, float(limits.min)), min(number + reach, float(limits.max))


def missing_in_picture(image: Image.Image, nodata: str) -> Missing | None:
    """Return the pixels ``(H, W)`` without data of a decoded picture of 8 bits; None where all have data.

    Looked for a strip at a time: orthophotos are large.
    """
    if parse_nodata(nodata) is None:
        return None
    found = np.zeros((image.height, image.width), np.bool_)
    rows = max(1, _STRIP_PIXELS // max(1, image.width))
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        values = np.atleast_3d(np.asarray(strip))
        colours = values[..., :-1] if image.mode in ("LA", "RGBA") else values
        missing = missing_values(colours, nodata)
        if missing is not None:
            found[top : top + rows] = missing.all(axis=-1)
    return found if found.any() else None


def missing_in_channels(missing: Missing, layout: Layout, channels: int) -> Missing:
    """Return which values are missing in so many channels, of which values are missing as stored."""
    is_alpha = layout.is_picture and missing.shape[-1] in (2, 4)
    if is_alpha:  # transparency has no value of its own for it
        colours = missing[..., :-1].all(axis=-1, keepdims=True)
        missing = np.concatenate([missing[..., :-1], colours], axis=-1)
    if missing.shape[-1] == channels:
        return missing
    return np.repeat(missing.all(axis=-1, keepdims=True), channels, axis=-1)


def missing_pixels(values: Values) -> Missing | None:
    """Return the pixels ``(H, W)`` of which no channel has data; None where there is none."""
    if np.ma.getmask(values) is np.ma.nomask:
        return None
    found: Missing = np.asarray(np.ma.getmaskarray(values).all(axis=-1))
    return found if found.any() else None


def ignored_where(mask: npt.NDArray[np.uint8], missing: Missing | None) -> npt.NDArray[np.uint8]:
    """Return a mask ``(H, W)`` of class ids that ignores the pixels without data."""
    if missing is None or missing.shape != mask.shape:
        return mask
    return np.where(missing, np.uint8(IGNORE_INDEX), mask)
