"""Images of any number of channels and bits, read as the values that are stored, or as a network takes them.

``open_as`` is the one door for what trains and what predicts: a photo passes it as ever, as a picture of
Pillow's in RGB. Everything else comes as an array.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import ExifTags, Image

from segnet.core.errors import SegnetError
from segnet.data.blobs import Blob
from segnet.data.images import (
    NEEDS_ALL_VALUES,
    Source,
    as_rgb,
    open_rgb,
    open_upright,
    require_file,
    source_name,
    why_unread,
)
from segnet.data.intensity import Intensity, Pixels, Values
from segnet.data.layout import PICTURE_CHANNELS, Layout, layout_of, layout_of_mode, require_channels
from segnet.data.tiff import is_tiff, look_into, read_tiff, turned

_LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow turns RGB to grey


def open_as(source: Source, intensity: Intensity, *, page: int = 1) -> Image.Image | Pixels:
    """Open an image as a network of these channels and ranges takes it, upright, at its own size.

    Args:
        source: a file, an open binary stream (left open), or a picture that is already decoded.
        intensity: channels and ranges.
        page: which page or frame of a file that has several, from 1.

    Returns:
        A picture in mode RGB for plain photos, else uint8 ``(H, W, C)``.

    Raises:
        SegnetError: as ``open_rgb``, another number of channels, a TIFF that needs a package which isn't
            there, or as ``Intensity.pixels``.
    """
    source = _rewindable(source)
    if intensity.is_plain and not needs_values(source):
        return open_rgb(source, page=page)
    return intensity.pixels(read_values(source, intensity.channels, page=page), source_name(source))


def needs_values(source: object) -> bool:
    """Say whether Pillow alone would read less of a file than an 8-bit RGB picture shows, as of some TIFFs.

    Raises:
        SegnetError: as ``look``.
    """
    if isinstance(source, Path):
        require_file(source)
    if not (isinstance(source, Path | Blob) or hasattr(source, "read")) or not is_tiff(source):
        return False
    layout = look(cast("Source", source))
    return layout.loses == "channels" or not layout.is_picture


def look(source: Source) -> Layout:
    """Return what a file stores.

    Raises:
        SegnetError: not an image, or damaged.
    """
    if isinstance(source, Image.Image):
        return layout_of_mode(source)
    name = source_name(source)
    try:
        if isinstance(source, Path):
            require_file(source)
        with _opened(source) as image:
            return layout_of(image)
    except Exception as error:
        if not isinstance(error, SegnetError) and is_tiff(source):
            return look_into(source, name)[0]
        raise why_unread(error, name) from error


def read_values(source: Source, channels: int, *, page: int = 1) -> Values:
    """Return the values of an image as they are stored, upright, in so many channels.

    Grey and colour become each other where 1 or 3 channels are asked for: grey is repeated, colour is summed
    as 0.299 R + 0.587 G + 0.114 B. Transparency is then laid over white where there are 8 bits, and left out
    where there are more.

    Args:
        source: as ``open_as`` takes it.
        channels: how many.
        page: which page or frame, from 1.

    Returns:
        ``(H, W, channels)`` of the file's own type.

    Raises:
        SegnetError: as ``open_as``.
    """
    name = source_name(source)
    layout = look(source)
    require_channels(layout, channels, name)
    if layout.loses and not isinstance(source, Image.Image) and is_tiff(source):
        values = read_tiff(source, name, layout, page)
    elif layout.loses:
        values = _read_deep_png(source, name)
    else:
        return values_of(open_upright(source, page=page), channels)
    return _in_channels(values, channels)


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


def _in_channels(values: Values, channels: int) -> Values:
    if values.shape[-1] == channels:
        return values
    colours = values[..., :3] if values.shape[-1] >= 3 else values[..., :1]
    if colours.shape[-1] == channels:
        return colours
    if channels == 3:
        return np.repeat(colours, 3, axis=-1)
    grey: Values = colours.astype(np.float64) @ np.array(_LUMA)
    return (grey if values.dtype.kind == "f" else np.rint(grey)).astype(values.dtype)[..., None]


def _read_deep_png(source: Any, name: str) -> Values:
    """Return all 16 bits of a PNG in RGB or RGBA, of which Pillow keeps the high bytes.

    Read as if its bytes stood in the other order, what it keeps are the low ones.
    """
    content = source.read() if isinstance(source, Blob) else None
    try:
        halves = []
        for order in (";16B", ";16L"):
            with _opened(source if content is None else io.BytesIO(content)) as image:
                opened: Any = image  # of a file, which has tiles
                tile = opened.tile[0]
                opened.tile = [tile._replace(args=str(tile.args).replace(";16B", order))]
                orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
                halves.append(np.asarray(image).astype(np.uint16))
    except Exception as error:
        raise why_unread(error, name) from error
    return turned((halves[0] << 8) | halves[1], orientation if orientation in range(2, 9) else 1)


def _rewindable(source: Source) -> Source:
    """Return what can be read again and again at no cost, since a file is looked at before it is read."""
    if isinstance(source, Path | Image.Image) or (hasattr(source, "seekable") and source.seekable()):
        return source
    copy = io.BytesIO(source.read())
    copy.name = source_name(source)
    return copy


def _opened(source: Any) -> Image.Image:
    if isinstance(source, Blob):
        return Image.open(io.BytesIO(source.read()))
    return Image.open(source)  # of a stream from its begin on
