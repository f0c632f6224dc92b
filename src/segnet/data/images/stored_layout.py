"""What a file says of its picture before a pixel is decoded: size, rotation, pages, channels and bits."""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import Any, Literal

from segnet.base.readable import counted
from segnet.data.faults import Fault

PICTURE_CHANNELS = (1, 3)
"""What every picture can be turned into: grey and RGB."""


@dataclass(frozen=True)
class Layout:
    """What a file stores of a picture.

    Pillow opens some files with fewer channels or bits than they have, so this is what their headers say, and
    not the mode that it makes of them.
    """

    channels: int
    bits: int
    """Of a channel; at least 8."""
    is_picture: bool
    """Whether it is grey or colour, perhaps with transparency, and not channels of some other meaning."""
    planes: int = 1
    """Pages of a TIFF that are channels of one picture, as OME and ImageJ write them."""
    loses: Literal["", "bits", "channels"] = ""
    """What Pillow would open less of, where it opens it: it keeps the high bytes, or the first channels."""

    def fits(self, channels: int) -> bool:
        """Say whether a network of so many channels can be given this: as it is, or as grey or RGB."""
        return (self.is_picture and channels in PICTURE_CHANNELS) or self.channels == channels

    def fault(self, channels: int, file: Any) -> Fault | None:
        """Return what is wrong where a file hasn't the channels that a network takes, else None."""
        if self.fits(channels):
            return None
        wanted = "RGB or grey is" if channels == 3 else f"{channels} {'is' if channels == 1 else 'are'}"
        has = f"has {counted(self.channels, 'channel')} where {wanted} taken"
        return Fault("channels", file, has, f"segnet train --channels {self.channels} takes such images")


@dataclass(frozen=True)
class Header:
    """What a picture's first bytes say."""

    format: str
    """Pillow's name of it."""
    mode: str
    stored: tuple[int, int]
    """Width and height as stored, before any rotation."""
    orientation: int
    """That of EXIF: 1 is upright."""
    frames: int
    """Pages or frames; the previews behind a phone's JPEG don't count, nor do pages that are channels."""
    layout: Layout
    """Channels and bits."""
    nodata: str = ""
    """The value of pixels without data, as a TIFF of GDAL's says it; empty where it says none."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright picture."""
        return self.stored[::-1] if self.orientation >= 5 else self.stored

    def to_bytes(self) -> bytes:
        """Return it as it is remembered."""
        return json.dumps(astuple(self)).encode()

    @staticmethod
    @lru_cache(maxsize=1 << 14)
    def from_bytes(remembered: bytes) -> Header:
        """Return what ``to_bytes`` gave; most files say what others say."""
        format_, mode, (width, height), orientation, frames, layout, nodata = json.loads(remembered)
        return Header(format_, mode, (width, height), orientation, frames, Layout(*layout), nodata)
