"""What decoding an image and its mask shows: each pair read once, and little kept of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from segnet.core.ahead import in_order
from segnet.core.colours import pack
from segnet.data.faults import Fault
from segnet.data.headers import Look, look_at
from segnet.data.images import decode, open_rgb
from segnet.data.mask_code import Stored
from segnet.data.pairing import Pair

THUMBNAIL_PX = 16

T = TypeVar("T")

_AHEAD = 64  # pairs under way
_AHEAD_PIXELS = 1 << 25  # of them; a larger one goes alone
_MOST_VALUES = 300  # of a mask that are kept: what has more was smoothed


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What is kept of a pair."""

    pair: Pair
    look: Look
    faults: tuple[Fault, ...]
    """All of this pair alone, those of ``look`` among them."""
    thumbnail: bytes
    """The image in grey, 16x16; empty where it can't be read or shows a single colour."""
    stored: Stored | None
    """What the mask stores; None where it can't be read."""
    edges: dict[int, int]
    """Of each stored value, how many sides of its pixels are at another value."""


def survey(pairs: Sequence[Pair], *, by_colour: bool) -> Iterator[Surveyed]:
    """Yield what is in each pair, in order, while threads read the next; few are held at a time.

    Args:
        pairs: what to read.
        by_colour: read palette masks by their colours.
    """

    def one(pair: Pair) -> Surveyed:
        return _survey(pair, by_colour)

    return in_order(one, pairs, most=_AHEAD, weigh=_pixels, budget=_AHEAD_PIXELS)


def _survey(pair: Pair, by_colour: bool) -> Surveyed:
    look = look_at(pair)
    faults = [*look.faults]
    thumbnail, stored, edges = b"", None, {}
    if look.image is not None and look.image.frames == 1:
        image = _tried(lambda: open_rgb(pair.image), faults)
        if image is not None and _is_blank(image):
            faults.append(Fault("blank", pair.image, "shows a single colour"))
        elif image is not None:
            small = image.convert("L").resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX)
            thumbnail = small.tobytes()
    if look.mask is not None and look.mask.frames == 1:
        mask = _tried(lambda: decode(pair.mask), faults)
        stored = None if mask is None else _tried(lambda: Stored.of(mask, by_colour=by_colour), faults)
        if mask is not None and stored is not None and len(stored.counts) <= _MOST_VALUES:
            edges = _edges(mask, stored)
        elif stored is not None:
            frequent = sorted(stored.counts.items(), key=lambda item: -item[1])[:_MOST_VALUES]
            stored = Stored(stored.in_colour, dict(frequent), {})
    return Surveyed(pair, look, tuple(faults), thumbnail, stored, edges)


def _tried(read: Callable[[], T], faults: list[Fault]) -> T | None:
    try:
        return read()
    except Fault as fault:
        faults.append(fault)
    return None


def _is_blank(image: Image.Image) -> bool:
    return all(low == high for low, high in cast("tuple[tuple[int, int], ...]", image.getextrema()))


def _edges(mask: Image.Image, stored: Stored) -> dict[int, int]:
    """Count, for each stored value, the sides of its pixels that lie at another value."""
    known = np.array(sorted(stored.counts))
    pixels: npt.NDArray[Any] = pack(np.asarray(mask.convert("RGB"))) if stored.in_colour else np.asarray(mask)
    ids = np.searchsorted(known, pixels)
    counts = np.zeros(len(known), np.int64)
    for one, other in ((ids[1:], ids[:-1]), (ids[:, 1:], ids[:, :-1])):
        differ = one != other
        counts += np.bincount(one[differ], minlength=len(known))
        counts += np.bincount(other[differ], minlength=len(known))
    return dict(zip(known.tolist(), counts.tolist(), strict=True))


def _pixels(pair: Pair) -> int:
    with suppress(Exception), Image.open(pair.image) as image:  # what is wrong is said where it is read
        return image.width * image.height
    return 0
