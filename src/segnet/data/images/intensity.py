"""How the values of an image become the 8 bits that a network is given: by ranges that hold for all images.

A run measures the ranges on its training images (`percentiles.py`) and the model file keeps them, so that the
same value means the same in training, in evaluation and in prediction, whatever else an image shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from segnet.data.faults import Fault
from segnet.data.images.nodata import Missing, missing_in_channels, missing_pixels, missing_values
from segnet.data.images.pixel_values import (
    NEEDS_ALL_VALUES,
    Pixels,
    Values,
    eight_bits,
    in_channels,
    require_numbers,
    turned,
)
from segnet.data.images.png import low_bytes
from segnet.data.images.reading import Picture, Source, as_rgb, naming, require_pixels
from segnet.data.images.stored_layout import PICTURE_CHANNELS
from segnet.data.options import MOST_CHANNELS


@dataclass(frozen=True)
class Intensity:
    """How many channels a network is given, and what is black and white in each of them.

    Raises:
        ValueError: no such number of channels, or ranges that aren't a low and a higher number for each.
    """

    channels: int = 3
    ranges: tuple[tuple[float, float], ...] | None = None
    """``(low, high)`` of each channel: low and below become 0, high and above 255, and between them it is
    linear. None takes 8 bits as they are stored."""

    def __post_init__(self) -> None:
        if not isinstance(self.channels, int) or not 1 <= self.channels <= MOST_CHANNELS:
            raise ValueError(f"channels {self.channels!r}")
        if self.ranges is None:
            return
        numbers = [number for pair in self.ranges for number in pair]
        if len(self.ranges) != self.channels or len(numbers) != 2 * self.channels:
            raise ValueError(f"{len(self.ranges)} ranges for {self.channels} channels")
        if not all(math.isfinite(number) for number in numbers) or any(
            low >= high for low, high in self.ranges
        ):
            raise ValueError(f"ranges {self.ranges}")

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Intensity:
        """Return what JSON holds of one.

        Raises:
            ValueError, KeyError, TypeError: it holds something else.
        """
        ranges = plain["ranges"]
        return cls(
            plain["channels"],
            None if ranges is None else tuple((float(low), float(high)) for low, high in ranges),
        )

    @property
    def is_plain(self) -> bool:
        """Whether images are RGB of 8 bits, as photos are."""
        return self == RGB

    @property
    def key(self) -> str:
        """What a cache of such pixels is called; nothing for plain ones, as ever."""
        return "" if self.is_plain else f" {self.channels} channels {self.ranges}"

    def open(self, source: Source | Picture, *, page: int = 1) -> tuple[Image.Image | Pixels, Missing | None]:
        """Open an image as a network of these channels and ranges takes it, upright, at its own size.

        Args:
            source: as ``Picture`` takes it, or one that is open.
            page: which page or frame of a file that has several, from 1.

        Returns:
            A picture in mode RGB for plain photos, else uint8 ``(H, W, C)``. And which pixels ``(H, W)`` have
            no data (`nodata.py`), None where all have: they are black.

        Raises:
            SegnetError: as ``read_values`` and ``pixels``, or a colour mode that can't be turned into RGB.
        """
        if not isinstance(source, Picture):
            with Picture(source) as picture:
                return self.open(picture, page=page)
        if self.is_plain and not source.needs_values:
            image, missing = source.with_black(page)
            return as_rgb(image, source.name), missing
        values = read_values(source, self.channels, page=page)
        with naming(source.name):
            return self.pixels(values, source.name), missing_pixels(values)

    def pixels(self, values: Values, name: str) -> Pixels:
        """Bring the values of an image to 8 bits.

        Without ranges 8 bits stay as they are, 16 keep their high byte, and what has more is stretched by the
        rule of ``as_rgb``. With ranges NaN becomes black. Masked values, those without data, are 0, which is
        the low end of the range.

        Args:
            values: ``(H, W, C)`` with as many channels as this has; a masked array where some have no data.
            name: what an error calls the image.

        Returns:
            ``(H, W, C)`` uint8.

        Raises:
            Fault: an image without a finite value and without NoData, or of 8 bits, where the ranges are of
                deeper ones.
        """
        stored, missing = np.ma.getdata(values), np.ma.getmask(values)
        if not np.all(missing):
            require_numbers(stored, name)
        if self.ranges is None:
            scaled = eight_bits(values)
        elif values.dtype == np.uint8:
            raise Fault("too-few-bits", name, "has 8 bits a channel, but the images trained on have more")
        else:
            scaled = np.empty(values.shape, np.uint8)
            for channel, (low, high) in enumerate(self.ranges):  # one by one: they are floats on the way
                scaled[..., channel] = _scaled(stored[..., channel], low, high)
        return scaled if missing is np.ma.nomask else np.where(missing, np.uint8(0), scaled)


RGB = Intensity()
"""Photos of 8 bits, as they are stored."""


def read_values(source: Source | Picture, channels: int, *, page: int = 1) -> Values:
    """Return the values of an image as they are stored, upright, in so many channels.

    Grey and colour become each other where 1 or 3 channels are asked for: grey is repeated, colour is summed
    as 0.299 R + 0.587 G + 0.114 B. Transparency is then laid over white where there are 8 bits, and left out
    where there are more.

    Args:
        source: as ``Picture`` takes it, or one that is open.
        channels: how many.
        page: which page or frame, from 1.

    Returns:
        ``(H, W, channels)`` of the file's own type; those without data are masked (`nodata.py`).

    Raises:
        SegnetError: as ``Picture``, or another number of channels.
    """
    if not isinstance(source, Picture):
        with Picture(source) as picture:
            return read_values(picture, channels, page=page)
    layout = source.layout
    fault = layout.fault(channels, source.name)
    if fault is not None:
        raise fault
    with naming(source.name):
        if layout.loses:
            stored = _deep_values(source, page)
            values = in_channels(stored, channels)
        else:
            image = source.upright(page)
            stored, values = np.atleast_3d(np.asarray(image)), _values_of(image, channels)
        if not source.pages:
            return values
        missing = missing_values(stored, source.pages[0 if layout.planes > 1 else page - 1].nodata)
        if missing is None:
            return values
        return np.ma.MaskedArray(values, missing_in_channels(missing, layout, channels))


def _deep_values(picture: Picture, page: int) -> Values:
    """Return the values ``(H, W, C)``, upright, of a page of which Pillow would read less."""
    if not picture.pages:
        high, low = picture.with_pillow(np.asarray), picture.with_pillow(low_bytes)
        return turned((high.astype(np.uint16) << 8) | low, picture.header.orientation)
    planes = picture.layout.planes
    numbers = range(1, planes + 1) if planes > 1 else [page]
    with picture.open_tiff() as tiff:
        pages = [tiff.page(number) for number in numbers]
        size_bytes = sum(each.size_bytes for each in pages)
        require_pixels(max(each.pixels for each in pages), picture.name, size_bytes)
        return tiff.values(numbers)


def _values_of(image: Image.Image, channels: int) -> Values:
    """Return the values ``(H, W, channels)`` of a picture that Pillow has decoded; its layout fits."""
    if image.mode in NEEDS_ALL_VALUES or image.mode.startswith("I;"):
        values = np.asarray(image)[..., None]
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        return np.asarray(np.repeat(values, channels, axis=-1))
    if channels in PICTURE_CHANNELS:
        rgb = as_rgb(image)
        return np.asarray(rgb) if channels == 3 else np.asarray(rgb.convert("L"))[..., None]
    return np.asarray(image.convert("LA" if channels == 2 else "RGBA"))


def _scaled(values: Values, low: float, high: float) -> Pixels:
    if values.dtype == np.uint16:  # a table is some ten times as fast as arithmetic on each pixel
        return np.asarray(_scaled(np.arange(65536, dtype=np.float64), low, high)[values])
    numbers = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low)
    return np.rint((numbers.clip(low, high) - low) * (255 / (high - low))).astype(np.uint8)
