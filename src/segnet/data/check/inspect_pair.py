"""What decoding an image and its mask shows: each pair read once, and little kept of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image

from segnet.base.errors import SegnetError
from segnet.base.outline_tolerance import count_sides
from segnet.base.threads import in_order
from segnet.data.check.pairing import Pair
from segnet.data.check.scenes import MOST_IMAGES, View, view_of
from segnet.data.faults import Fault
from segnet.data.images.headers import Look, look_at, read_header
from segnet.data.images.intensity import Intensity, read_values
from segnet.data.images.nodata import Missing, missing_pixels
from segnet.data.images.pixel_values import Values, require_numbers, visible
from segnet.data.images.reading import Picture, as_rgb, decode
from segnet.data.masks.stored_values import Numbers, Stored, stored_numbers

_AHEAD = 64  # pairs under way
_AHEAD_PIXELS = 1 << 25  # of them; a larger one goes alone
_MOST_VALUES = 300  # of a mask that are kept: what has more was smoothed


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What is kept of a pair."""

    pair: Pair[Path]
    look: Look
    faults: tuple[Fault, ...]
    """All of this pair alone, those of ``look`` among them."""
    readable: bool
    """Whether the image can be read, and shows more than a single colour."""
    view: View | None
    """What finds its scene in other images; None where it isn't readable, or isn't among those compared."""
    stored: Stored | None
    """What the mask stores; None where it can't be read."""
    edges: dict[int, int]
    """Of each stored value, how many sides of its pixels are at another value."""
    missing_px: int = 0
    """Pixels of the image without data."""


def survey(pairs: Sequence[Pair[Path]], *, by_colour: bool, channels: int = 3) -> Iterator[Surveyed]:
    """Yield what is in each pair, in order, while threads read the next; few are held at a time.

    Args:
        pairs: what to read.
        by_colour: read palette masks by their colours.
        channels: that the images are to have.
    """
    compared = frozenset(pairs[:: -(-len(pairs) // MOST_IMAGES) or 1])

    def one(pair: Pair[Path]) -> Surveyed:
        return _survey(pair, by_colour, channels, pair in compared)

    return in_order(one, pairs, most=_AHEAD, weigh=_pixels, budget=_AHEAD_PIXELS)


def _survey(pair: Pair[Path], by_colour: bool, channels: int, compared: bool) -> Surveyed:
    look = look_at(pair, channels)
    faults = [*look.faults]
    readable, view, stored, edges, missing_px = False, None, None, {}, 0
    if look.image is not None and look.image.frames == 1 and look.image.layout.fits(channels):
        with _collected(faults):
            image, missing = _picture(look, channels)
            missing_px = 0 if missing is None else int(missing.sum())
            if all(low == high for low, high in cast("tuple[tuple[int, int], ...]", image.getextrema())):
                raise Fault("blank", pair.image, "shows a single colour")
            readable, view = True, view_of(image) if compared else None
    if look.mask is not None and look.mask.frames == 1:
        with _collected(faults):
            mask = decode(pair.mask)
            stored = Stored.of(mask, by_colour=by_colour, file=pair.mask)
            if len(stored.counts) <= _MOST_VALUES:
                edges = edges_of(stored_numbers(mask, by_colour=by_colour)[1], sorted(stored.counts))
            stored = stored.most_frequent(_MOST_VALUES)
    return Surveyed(pair, look, tuple(faults), readable, view, stored, edges, missing_px)


@contextmanager
def _collected(faults: list[Fault]) -> Iterator[None]:
    """Add the fault that ends the context to others, and go on behind it."""
    try:
        yield
    except Fault as fault:
        faults.append(fault)


def _picture(look: Look, channels: int) -> tuple[Image.Image, Missing | None]:
    """Return an image in RGB, and its pixels ``(H, W)`` without data.

    One of more than 8 bits is shown from its own lowest to its highest value.
    """
    file, name = look.pair.image, str(look.pair.image)
    if channels == 3 and not look.is_deep:
        with Picture(file) as picture:
            image, missing = picture.with_black()
        return as_rgb(image, name), missing
    values = read_values(file, channels)
    pixels = Intensity(channels, _spread(values, name)).pixels(values, name)
    return Image.fromarray(np.ascontiguousarray(visible(pixels))), missing_pixels(values)


def _spread(values: Values, name: str) -> tuple[tuple[float, float], ...] | None:
    """Return the lowest and the highest value of an image as the range of each channel, of 8 bits None."""
    known = np.ma.compressed(values)
    if values.dtype == np.uint8 or not known.size:
        return None
    require_numbers(known, name)
    finite = known[np.isfinite(known)]
    low, high = float(finite.min()), float(finite.max())
    channels: int = values.shape[-1]
    return ((low, high if high > low else low + 1),) * channels


def edges_of(numbers: Numbers, known: Sequence[int]) -> dict[int, int]:
    """Count, for each value of a mask ``(H, W)``, the sides of its pixels that lie at another value.

    Args:
        numbers: the mask.
        known: the values that it may hold, sorted.
    """
    counts = count_sides(np.searchsorted(known, numbers), len(known))
    return dict(zip(known, counts.tolist(), strict=True))


def _pixels(pair: Pair[Path]) -> int:
    with suppress(SegnetError):  # what is wrong is said where it is read
        return math.prod(read_header(pair.image).stored)
    return 0
