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
import numpy.typing as npt

from segnet.data.faults import Fault
from segnet.data.options import MOST_CHANNELS

Pixels = npt.NDArray[np.uint8]
Values = npt.NDArray[Any]
"""``(H, W, C)`` as a file stores them: uint8, uint16, int32, float32 .. What has no data is masked."""


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
    if pixels.shape[-1] == 3:
        return pixels
    if pixels.shape[-1] > 3:
        return pixels[..., :3]
    return np.repeat(pixels[..., :1], 3, axis=-1)


def _scaled(values: Values, low: float, high: float) -> Pixels:
    if values.dtype == np.uint16:  # a table is some ten times as fast as arithmetic on each pixel
        return np.asarray(_scaled(np.arange(65536, dtype=np.float64), low, high)[values])
    numbers = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low)
    return np.rint((numbers.clip(low, high) - low) * (255 / (high - low))).astype(np.uint8)
