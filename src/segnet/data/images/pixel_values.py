"""Images of any number of channels and bits, read as the values that are stored, or as a network takes them.

``open_as`` is the one door for what trains and what predicts: a photo passes it as ever, as a picture of
Pillow's in RGB. Everything else comes as an array.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image, ImageFile

from segnet.data.images.embedded_files import Blob, File
from segnet.data.images.headers import header_of
from segnet.data.images.intensity import Intensity, Pixels, Values
from segnet.data.images.nodata import (
    Missing,
    missing_in_picture,
    missing_pixels,
    missing_values,
    with_missing,
)
from segnet.data.images.picture_file import naming, require_file, with_picture
from segnet.data.images.reading import NEEDS_ALL_VALUES, Source, as_rgb, open_upright, source_name
from segnet.data.images.stored_layout import PICTURE_CHANNELS, Layout, layout_of_mode, require_channels
from segnet.data.images.tiff import read_tiff, turned
from segnet.data.images.tiff_pages import is_tiff, pages_of_tiff

_LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow turns RGB to grey


def open_as(source: Source, intensity: Intensity, *, page: int = 1) -> Image.Image | Pixels:
    """Open an image as ``open_with_missing`` does; pixels without data are black.

    Raises:
        SegnetError: as ``open_with_missing``.
    """
    return open_with_missing(source, intensity, page=page)[0]


def open_with_missing(
    source: Source, intensity: Intensity, *, page: int = 1
) -> tuple[Image.Image | Pixels, Missing | None]:
    """Open an image as a network of these channels and ranges takes it, upright, at its own size.

    Args:
        source: a file, an open binary stream (left open), or a picture that is already decoded.
        intensity: channels and ranges.
        page: which page or frame of a file that has several, from 1.

    Returns:
        A picture in mode RGB for plain photos, else uint8 ``(H, W, C)``. And which pixels ``(H, W)`` have no
        data (`nodata.py`), None where all have.

    Raises:
        SegnetError: as ``open_rgb``, another number of channels, a TIFF that needs a package which isn't
            there, or as ``Intensity.pixels``.
    """
    source = _rewindable(source)
    name = source_name(source)
    if intensity.is_plain and not needs_values(source):
        image, missing = open_picture(source, page=page)
        return as_rgb(image, name), missing
    values = read_values(source, intensity.channels, page=page)
    with naming(name):
        return intensity.pixels(values, name), missing_pixels(values)


def open_picture(source: Source, *, page: int = 1) -> tuple[Image.Image, Missing | None]:
    """Open a picture of 8 bits upright; pixels without data, which come with it ``(H, W)``, are black.

    Raises:
        SegnetError: as ``open_upright``.
    """
    image = open_upright(source, page=page)
    missing = missing_in_picture(image)
    if missing is not None:
        image = as_rgb(image, source_name(source))
        image.paste((0, 0, 0), mask=Image.fromarray(missing))
    return image, missing


def needs_values(source: object) -> bool:
    """Say whether Pillow alone would read less of a file than an 8-bit RGB picture shows, as of some TIFFs.

    Raises:
        SegnetError: as ``look``.
    """
    if isinstance(source, Path):
        require_file(source)
    if not (isinstance(source, Path | Blob) or hasattr(source, "read")) or not is_tiff(source):
        return False
    header = header_of(cast("File", source), source_name(cast("Source", source)))
    layout = header.layout
    return layout.loses == "channels" or not layout.is_picture or (header.nodata != "" and layout.bits > 8)


def look(source: Source) -> Layout:
    """Return what a file stores.

    Raises:
        SegnetError: not an image, or damaged.
    """
    if isinstance(source, Image.Image):
        return layout_of_mode(source)
    return header_of(source, source_name(source)).layout


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
        ``(H, W, channels)`` of the file's own type; those without data are masked (`nodata.py`).

    Raises:
        SegnetError: as ``open_as``.
    """
    name = source_name(source)
    layout = look(source)
    require_channels(layout, channels, name)
    pages = [] if isinstance(source, Image.Image) else pages_of_tiff(source)
    with naming(name):
        if layout.loses == "bits" and not pages:
            return _in_channels(_read_deep_png(source, name), channels)
        if layout.loses:
            stored = read_tiff(source, name, layout, page)
            values = _in_channels(stored, channels)
        else:
            image = open_upright(source, page=page)
            values = values_of(image, channels)
            stored = np.atleast_3d(np.asarray(image)) if pages else values
        if not pages:
            return values
        nodata = pages[0 if layout.planes > 1 else page - 1].nodata
        missing = missing_values(stored, nodata)
        return with_missing(values, None if missing is None else _missing_in(missing, layout, channels))


def _missing_in(missing: Missing, layout: Layout, channels: int) -> Missing:
    """Return which values are missing in so many channels, of which values are missing as stored."""
    is_alpha = layout.is_picture and missing.shape[-1] in (2, 4)
    if is_alpha:  # transparency has no value of its own for it
        colours = missing[..., :-1].all(axis=-1, keepdims=True)
        missing = np.concatenate([missing[..., :-1], colours], axis=-1)
    if missing.shape[-1] == channels:
        return missing
    return np.repeat(missing.all(axis=-1, keepdims=True), channels, axis=-1)


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
    halves = []
    for order in (";16B", ";16L"):

        def read(image: ImageFile.ImageFile, order: str = order) -> Values:
            tile = image.tile[0]
            image.tile = [tile._replace(args=str(tile.args).replace(";16B", order))]
            return np.asarray(image).astype(np.uint16)

        halves.append(with_picture(source, name, read))
    return turned((halves[0] << 8) | halves[1], header_of(source, name).orientation)


def _rewindable(source: Source) -> Source:
    """Return what can be read again and again at no cost, since a file is looked at before it is read."""
    if isinstance(source, Path | Image.Image) or (hasattr(source, "seekable") and source.seekable()):
        return source
    copy = io.BytesIO(source.read())
    copy.name = source_name(source)
    return copy
