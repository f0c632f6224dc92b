"""Values of an image in the channels that are asked for, in 8 bits, upright, or as a picture for people."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from segnet.data.faults import Fault
from segnet.data.images.stored_layout import PICTURE_CHANNELS

Pixels = npt.NDArray[np.uint8]
Values = npt.NDArray[Any]
"""``(H, W, C)`` as a file stores them: uint8, uint16, int32, float32 .. What has no data is masked."""

NEEDS_ALL_VALUES = frozenset({"I", "F"})
"""Modes in which ``as_rgb`` looks at all pixels before it turns one."""

_HIGH_BYTE_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
SINGLE_CHANNEL_MODES = ("L", "P", "1", "I", *_HIGH_BYTE_MODES)
"""Modes that hold one value a pixel, of whole numbers."""

_LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow turns RGB to grey


def values_of(image: Image.Image, channels: int) -> Values:
    """Return the values ``(H, W, channels)`` of a picture that Pillow has decoded; its layout fits."""
    if image.mode in NEEDS_ALL_VALUES or image.mode.startswith("I;"):
        values = np.asarray(image)[..., None]
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        return np.asarray(np.repeat(values, channels, axis=-1))
    if channels in PICTURE_CHANNELS:
        rgb = as_rgb(image)
        return np.asarray(rgb) if channels == 3 else np.asarray(rgb.convert("L"))[..., None]
    return np.asarray(image.convert("LA" if channels == 2 else "RGBA"))


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


def as_rgb(image: Image.Image, name: str = "the image") -> Image.Image:
    """Return a picture in mode RGB; ``name`` is what an error calls it.

    Transparent pixels are laid over white. Grey of 16 and 32 bits is brought to 8 by ``eight_bits``.

    Raises:
        SegnetError: a colour mode that can't be turned into RGB, or floats without a number among them.
    """
    if image.mode in (*_HIGH_BYTE_MODES, *NEEDS_ALL_VALUES):
        values = np.asarray(image)
        require_numbers(values, name)
        return Image.fromarray(eight_bits(values)).convert("RGB")
    try:
        if image.has_transparency_data:
            layer = image.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
        return image if image.mode == "RGB" else image.convert("RGB")
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
