"""What an image file stores: how many channels of how many bits, and whether they are a picture for people.

Pillow opens some files with fewer channels or bits than they have, so this looks at what it read of their
headers, not at the mode that it made of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image

from segnet.data.faults import Fault

PICTURE_CHANNELS = (1, 3)
"""What every picture can be turned into: grey and RGB."""

_OF_MODE = {"1": 1, "L": 1, "I": 1, "F": 1, "LA": 2, "La": 2, "RGBA": 4, "RGBa": 4}  # others are colour: 3
_BITS_OF_MODE = {"I": 32, "F": 32}
_SAMPLES, _BITS, _PHOTOMETRIC, _EXTRA, _SAID = 277, 258, 262, 338, 270  # tags of TIFF
# By TIFF's photometric interpretation: the samples of grey, RGB, palette, inks, YCbCr, and the Labs.
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3, 9: 3}


@dataclass(frozen=True)
class Layout:
    """What a file stores of a picture."""

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


def layout_of(image: Image.Image, pages: int = 1) -> Layout:
    """Return the layout of a file of so many pages that Pillow has opened and not yet decoded."""
    if image.format == "PNG" and is_deep_png(image):
        return Layout(_OF_MODE.get(image.mode, 3), 16, True, loses="bits")
    found, tags = layout_of_mode(image), getattr(image, "tag_v2", None)
    if image.format != "TIFF" or tags is None:
        return found
    return _layout_of_tiff(tags, found, pages)


def layout_of_mode(image: Image.Image) -> Layout:
    """Return the layout of a picture that Pillow has decoded."""
    channels = _OF_MODE.get(image.mode, 1 if image.mode.startswith("I;") else 3)
    if image.mode in ("P", "PA") and image.has_transparency_data:
        channels = 4
    bits = 16 if image.mode.startswith("I;") else _BITS_OF_MODE.get(image.mode, 8)
    return Layout(channels, bits, True)


def is_deep_png(image: Image.Image) -> bool:
    """Say whether this is a PNG of 16 bits and several channels, not yet loaded: Pillow would keep 8 bits."""
    tile = getattr(image, "tile", None)
    return (
        tile is not None
        and len(tile) > 0
        and str(tile[0].args).endswith(";16B")
        and image.mode in ("RGB", "RGBA")
    )


def _layout_of_tiff(tags: Any, found: Layout, pages: int) -> Layout:
    samples = int(tags.get(_SAMPLES, 1))
    photometric = tags.get(_PHOTOMETRIC, 1)
    extra = tuple(tags.get(_EXTRA) or ())
    more = samples - _COLOURS.get(photometric, samples)
    # of grey, a second sample is transparency where the file says so, and else another channel
    is_picture = more <= 0 or (more == 1 and (photometric == 2 or extra in ((1,), (2,))))
    bits = max(found.bits, *tags.get(_BITS, (8,)))
    planes = planes_said(str(tags.get(_SAID, "")), pages) if samples == 1 else 1
    if planes > 1:
        return Layout(planes, bits, planes == 3, planes, "channels")
    if samples == 1 or photometric in (3, 5):
        return Layout(found.channels, bits, is_picture)
    return Layout(
        samples, bits, is_picture, loses="channels" if not is_picture else "bits" if bits > 8 else ""
    )


def planes_said(text: str, pages: int) -> int:
    """Return how many channels the pages of a TIFF are by its description, 1 where it doesn't say so."""
    if text.startswith("ImageJ="):
        found = dict(re.findall(r"^(channels|slices|frames)=(\d+)", text, re.MULTILINE))
        channels, others = int(found.get("channels", 1)), [found.get("slices", "1"), found.get("frames", "1")]
    else:
        sizes = dict(re.findall(r'\b(Size[CZT])="(\d+)"', text)) if "<OME" in text else {}
        channels, others = int(sizes.get("SizeC", 1)), [sizes.get("SizeZ", "1"), sizes.get("SizeT", "1")]
    return channels if channels == pages and others == ["1", "1"] else 1


def require_channels(layout: Layout, channels: int, name: str) -> None:
    """Raise Fault where a file has another number of channels than a network takes."""
    fault = channels_fault(layout, channels, name)
    if fault is not None:
        raise fault


def channels_fault(layout: Layout, channels: int, name: Any) -> Fault | None:
    """Return what is wrong where a file has another number of channels than a network takes, else None."""
    if layout.fits(channels):
        return None
    wanted = "RGB or grey is" if channels == 3 else f"{channels} {'is' if channels == 1 else 'are'}"
    has = f"has {layout.channels} channel{'' if layout.channels == 1 else 's'} where {wanted} taken"
    return Fault("channels", name, has, f"segnet train --channels {layout.channels} takes such images")
