"""Values of an image in the channels that are asked for, in 8 bits, upright, or as a picture for people."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from segnet.data.faults import Fault

Pixels = npt.NDArray[np.uint8]
Values = npt.NDArray[Any]
"""``(H, W, C)`` as a file stores them: uint8, uint16, int32, float32 .. What has no data is masked."""

NEEDS_ALL_VALUES = frozenset({"I", "F"})
"""Modes in which ``as_rgb`` looks at all pixels before it turns one."""

HIGH_BYTE_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
"""Modes of 16 bits, of which ``as_rgb`` keeps the high ones."""

SINGLE_CHANNEL_MODES = ("L", "P", "1", "I", *HIGH_BYTE_MODES)
"""Modes that hold one value a pixel, of whole numbers."""

# What each orientation of EXIF (2.3, tag 274) asks for, so that the picture is upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow turns RGB to grey


def in_channels(values: Values, channels: int) -> Values:
    """Return values ``(H, W, C)`` in so many channels.

    Grey is repeated, colour is summed, and transparency is left out.
    """
    if values.shape[-1] == channels:
        return values
    colours = values[..., :3] if values.shape[-1] >= 3 else values[..., :1]
    if colours.shape[-1] == channels:
        return colours
    if channels == 3:
        return np.repeat(colours, 3, axis=-1)
    grey: Values = colours.astype(np.float64) @ np.array(_LUMA)
    return (grey if values.dtype.kind == "f" else np.rint(grey)).astype(values.dtype)[..., None]


def converted_to_rgb(image: Image.Image, name: str) -> Image.Image:
    """Bring a picture to mode RGB.

    Transparent pixels are laid over white. Grey of 16 and 32 bits is brought to 8 by ``eight_bits``.

    Raises:
        SegnetError: a colour mode that can't be turned into RGB, or floats without a number among them.
    """
    if image.mode in (*HIGH_BYTE_MODES, *NEEDS_ALL_VALUES):
        values = np.asarray(image)
        require_numbers(values, name)
        return Image.fromarray(eight_bits(values)).convert("RGB")
    try:
        if not image.has_transparency_data:
            return image.convert("RGB")
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    except Exception as error:  # of a damaged palette or transparency, Pillow raises many things
        said = f"has the colour mode {image.mode}, which can't be turned into RGB"
        raise Fault("mode", name, said) from error


def eight_bits(values: Values) -> Pixels:
    """Bring values of any type to 0 .. 255 without ranges that others have measured.

    16 bits keep their high byte. What has more has no agreed range, so it is taken as the narrowest of [0, 1]
    (floats only), [0, 255] and [0, 65535] that holds all its values, and otherwise stretched from its own
    minimum to its maximum; what isn't finite becomes black. Masked values don't count.
    """
    stored = np.ma.getdata(values)
    if stored.dtype == np.uint8:
        return stored
    if stored.dtype.kind == "u" and stored.dtype.itemsize == 2:
        return (stored >> 8).astype(np.uint8)
    finite = np.isfinite(stored) & ~np.ma.getmask(values)
    numbers = np.where(finite, stored, 0).astype(np.float64)
    low, high = numbers.min(where=finite, initial=np.inf), numbers.max(where=finite, initial=-np.inf)
    for top, factor in ((1, 255), (255, 1), (65535, 1 / 256)):
        if low >= 0 and high <= top and (top > 1 or values.dtype.kind == "f"):
            return (numbers * factor).astype(np.uint8)
    return np.where(finite, (numbers - low) / max(high - low, 1e-30) * 255, 0).astype(np.uint8)


def require_numbers(values: Values, name: str) -> None:
    """Raise Fault where values are of floats of which none is finite, as a failed computation leaves them."""
    if values.dtype.kind == "f" and not np.isfinite(values).any():
        raise Fault("no-values", name, "holds no number but NaN and infinity")


def visible(pixels: Pixels) -> Pixels:
    """Return pixels ``(.., C)`` as a picture ``(.., 3)``: the first three channels, or the first in grey."""
    return pixels[..., :3] if pixels.shape[-1] >= 3 else np.repeat(pixels[..., :1], 3, axis=-1)


def turned(values: Values, orientation: int) -> Values:
    """Turn ``(H, W, ...)`` as EXIF's orientation asks for, 1 to 8, so that it is upright."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    down = orientation in (3, 4, 7, 8)
    right = orientation in (2, 3, 6, 7)
    return np.ascontiguousarray(values[:: -1 if down else 1, :: -1 if right else 1])
