"""Images of one scene: copies, crops and next frames, which a split must not put on both sides.

Each image is remembered by some 130 corners at three scales. A corner is described by 128 comparisons of grey
values around it (BRIEF: Calonder et al., ECCV 2010), which brightness, contrast and JPEG hardly change. Two
images are compared where several of their corners have nearly the same description. They show one scene where

1. at least eight of these corners agree on one scale and shift, as crops and frames do, and
2. small versions of the two, laid on each other by that scale and shift, correlate in 60 % of their places.

The mean of all images is taken away first, since a round frame that all of them have says nothing. Mirrored
and rotated copies aren't found.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from segnet.data.check.pairing import Pairs
from segnet.data.faults import Fault
from segnet.data.images.file_records import file_digest

_SIDES = {"train": 0, "val": 1, "test": 2}
_SIDES_PX = (256, 181, 128)  # the longer side at each scale
_MOST_CORNERS = (64, 40, 24)  # at each scale
_LEAST_CORNER = 60.0  # smaller eigenvalue of the summed gradients: below it is noise
_MARGIN_PX = 9
_LEAST_PX = 2 * _MARGIN_PX + 6  # of a side
_SMALL_PX = 96
_BYTES = 16  # of a description
_COMPARED = np.random.default_rng(0).integers(0, 64, (8 * _BYTES, 2))  # which of 8x8 grey values

_MOST_BITS = 12  # that differ in two descriptions of one corner
_NEIGHBOURS = 8  # with how many of equal 16 bits a description is compared
_LEAST_ALIKE = 5  # descriptions, before their places are looked at
_LEAST_PLACED = 8  # corners that agree on one scale and shift
_MOST_MATCHES = 60
_MOST_GUESSES = 300
_NEAR_PX = 6  # of 256
_SCALES = (0.4, 2.5)
_FEWEST_FOR_MEAN = 8  # images
_CELLS = 6  # places along each side in which the small versions are compared
_LEAST_CONTRAST = 4.0  # standard deviation of the greys of a place: flat ones all look alike
_LEAST_CORRELATION = 0.6  # in a place
_LEAST_WHOLE = 0.8  # correlation of all that both show
_LEAST_SHARE = 0.6  # of the places with contrast

MOST_IMAGES = 20_000
"""That are compared: a view takes some 12 kB."""

_BITS = np.array([bin(value).count("1") for value in range(256)], np.uint8)

Floats = npt.NDArray[np.float32]


class View(NamedTuple):
    """What is kept of an image to find its scene elsewhere."""

    described: npt.NDArray[np.uint8]
    """Its corners ``(K, 16)``: 128 bits each."""
    places: Floats
    """Where they are ``(K, 2)``: x and y in pixels, of an image whose longer side has 256."""
    size: tuple[int, int]
    """Width and height in these pixels."""
    small: npt.NDArray[np.uint8]
    """The image in grey, 96x96."""


def view_of(image: Image.Image) -> View:
    """Return what is kept of an image of any mode that converts to grey."""
    unit = _SIDES_PX[0] / max(image.size)
    grey = _scaled(image.convert("L"), unit)
    described, places = [np.zeros((0, _BYTES), np.uint8)], [np.zeros((0, 2), np.float32)]
    for side, most in zip(_SIDES_PX, _MOST_CORNERS, strict=True):
        scale = side / _SIDES_PX[0]
        pixels = np.asarray(_scaled(grey, scale).filter(ImageFilter.GaussianBlur(1.2)), np.float32)
        y, x = _corners(pixels, most)
        described.append(_describe(pixels, y, x))
        places.append((np.stack([x, y], 1) / scale).astype(np.float32))
    small = np.asarray(grey.resize((_SMALL_PX, _SMALL_PX), Image.Resampling.BOX))
    return View(np.concatenate(described), np.concatenate(places), grey.size, small)


def _scaled(image: Image.Image, scale: float) -> Image.Image:
    width, height = (max(_LEAST_PX, round(length * scale)) for length in image.size)
    resample = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    return image.resize((width, height), resample)


def _corners(pixels: Floats, most: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return rows and columns of the strongest corners (Shi and Tomasi, CVPR 1994), one in 6x6 pixels."""
    across, down = pixels[1:-1, 2:] - pixels[1:-1, :-2], pixels[2:, 1:-1] - pixels[:-2, 1:-1]
    xx, yy, xy = _sums_of_seven(np.stack([across * across, down * down, across * down]))
    strength = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy**2)  # of pixels from 4 on
    first = _MARGIN_PX - 4
    rows, columns = ((length - 2 * first) // 6 for length in strength.shape)
    inner = strength[first : first + 6 * rows, first : first + 6 * columns]
    cells = inner.reshape(rows, 6, columns, 6).swapaxes(1, 2).reshape(rows * columns, 36)
    place = cells.argmax(1)
    cell = np.arange(len(cells))
    y, x = cell // columns * 6 + place // 6 + first, cell % columns * 6 + place % 6 + first
    value = cells[cell, place]
    around = np.arange(-1, 2)
    highest = strength[y[:, None, None] + around[:, None], x[:, None, None] + around].max((1, 2))
    good = np.flatnonzero((value == highest) & (value > _LEAST_CORNER))
    good = good[np.argsort(-value[good], kind="stable")[:most]]
    return y[good] + 4, x[good] + 4


def _sums_of_seven(values: Floats) -> Floats:
    """Return the sums over 7x7 values, where there are as many, of arrays ``(N, H, W)``."""
    for _ in range(2):
        values = values.swapaxes(1, 2)
        two = values[:, :-1] + values[:, 1:]
        four = two[:, :-2] + two[:, 2:]
        values = four[:, :-3] + two[:, 4:-1] + values[:, 6:]
    return values


def _describe(pixels: Floats, y: npt.NDArray[np.int64], x: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    steps = np.arange(-7, 8, 2)
    greys = pixels[y[:, None, None] + steps[:, None], x[:, None, None] + steps].reshape(-1, 64)
    return np.packbits(greys[:, _COMPARED[:, 0]] > greys[:, _COMPARED[:, 1]], axis=1)


def same_scenes(views: Sequence[View | None], sides: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield pairs of numbers of images that show one scene on two sides of a split.

    Args:
        views: the images; those without a view are like no other.
        sides: of each image, 0 for training and another number for each other split. -1 stands for images of
            which any may come to any side.

    Yields:
        An image, and one that shows its scene on another side. Each image comes second at most once, and
        those of side 0 only come first.
    """
    numbers = [number for number, view in enumerate(views) if view is not None]
    kept = [view for number in numbers if (view := views[number]) is not None]
    if len(kept) < 2:
        return
    small = np.stack([view.small for view in kept]).astype(np.float32)
    if len(kept) >= _FEWEST_FOR_MEAN:
        small -= small.mean(0)
    side = np.array([sides[number] for number in numbers])
    told: set[int] = set()
    for one, other, matches in _candidates(kept, side):
        first, second = (other, one) if side[other] == 0 else (one, other)
        if second in told:
            continue
        places = kept[one].places[matches[:, 0]], kept[other].places[matches[:, 1]]
        found = _placed(*places)
        if found is not None and _looks_alike(kept, small, one, other, *found):
            told.add(second)
            yield numbers[first], numbers[second]


def _candidates(
    views: Sequence[View], side: npt.NDArray[np.int64]
) -> Iterator[tuple[int, int, npt.NDArray[np.int64]]]:
    """Yield two images with the numbers ``(M, 2)`` of their corners that have nearly equal descriptions."""
    described = np.concatenate([view.described for view in views])
    counts = [len(view.described) for view in views]
    owner = np.repeat(np.arange(len(views)), counts)
    first_of = np.cumsum([0, *counts])
    found = []
    for key in described.view(">u2").T:  # 16 of the bits: what is equal in them is compared
        order = np.argsort(key, kind="stable")
        for distance in range(1, _NEIGHBOURS + 1):
            one, other = order[:-distance], order[distance:]
            a, b = owner[one], owner[other]
            near = (key[one] == key[other]) & (a != b) & ((side[a] != side[b]) | (side[a] < 0))
            one, other = one[near], other[near]
            near = _BITS[described[one] ^ described[other]].sum(1) <= _MOST_BITS
            found.append(np.stack([np.minimum(one, other)[near], np.maximum(one, other)[near]], 1))
    matches = np.unique(np.concatenate(found), axis=0)  # the first of each is of the earlier image
    pairs = owner[matches[:, 0]] * len(views) + owner[matches[:, 1]]
    differ = _BITS[described[matches[:, 0]] ^ described[matches[:, 1]]].sum(1)
    order = np.lexsort((differ, pairs))  # of two images the surest first
    keys, starts, sizes = np.unique(pairs[order], return_index=True, return_counts=True)
    for pair, start, size in zip(keys.tolist(), starts.tolist(), sizes.tolist(), strict=True):
        if size >= _LEAST_ALIKE:
            one, other = divmod(pair, len(views))
            chosen = matches[order[start : start + size]]
            yield one, other, chosen - [first_of[one], first_of[other]]


def _placed(a: Floats, b: Floats) -> tuple[float, Floats] | None:
    """Return scale and shift, ``b = scale * a + shift``, on which enough matched corners agree.

    Each two of the matches give a guess, and the one that most others agree with is taken.
    """
    a, b = a[:_MOST_MATCHES], b[:_MOST_MATCHES]
    i, j = np.triu_indices(len(a), 1)
    from_a, from_b = a[j] - a[i], b[j] - b[i]
    length_a, length_b = (np.maximum(np.hypot(*each.T), 1e-6) for each in (from_a, from_b))
    scale = length_b / length_a
    upright = (from_a * from_b).sum(1) > 0.995 * length_a * length_b  # crops aren't rotated
    low, high = _SCALES
    good = np.flatnonzero(upright & (np.minimum(length_a, length_b) > 20) & (low < scale) & (scale < high))[
        :_MOST_GUESSES
    ]
    if not good.size:
        return None
    i, scale = i[good], scale[good]
    shift = b[i] - scale[:, None] * a[i]
    away = np.abs(scale[:, None, None] * a + shift[:, None] - b).max(2)
    agree = away[(away < _NEAR_PX).sum(1).argmax()] < _NEAR_PX
    a, b = a[agree], b[agree]
    if min(len({*map(tuple, np.round(each / 10).tolist())}) for each in (a, b)) < _LEAST_PLACED:
        return None
    about_a, about_b = a - a.mean(0), b - b.mean(0)  # by least squares, since a guess is off by some pixels
    fitted = float((about_a * about_b).sum() / (about_a**2).sum())
    return fitted, b.mean(0) - fitted * a.mean(0)


def _looks_alike(
    views: Sequence[View], small: Floats, one: int, other: int, scale: float, shift: Floats
) -> bool:
    """Whether two small images correlate in what both show, as a whole and in most of its places."""
    size, size_of_other = np.array(views[one].size), np.array(views[other].size)
    low = np.maximum(0, -shift / scale)
    high = np.minimum(size, (size_of_other - shift) / scale)
    if (high - low < 10).any():
        return False
    steps = (np.arange(8 * _CELLS) + 0.5) / (8 * _CELLS)
    x, y = (low[axis] + steps * (high[axis] - low[axis]) for axis in (0, 1))
    a = _cells(small[one], x / size[0], y / size[1])
    b = _cells(
        small[other], (scale * x + shift[0]) / size_of_other[0], (scale * y + shift[1]) / size_of_other[1]
    )
    if np.corrcoef(a.ravel(), b.ravel())[0, 1] < _LEAST_WHOLE:
        return False
    a, b = (each - each.mean(1, keepdims=True) for each in (a, b))
    spread = a.std(1), b.std(1)
    clear = np.maximum(*spread) > _LEAST_CONTRAST
    if clear.sum() < _CELLS:
        return False
    correlation = (a * b).mean(1) / np.maximum(spread[0] * spread[1], 1e-3)
    return bool((correlation[clear] > _LEAST_CORRELATION).mean() >= _LEAST_SHARE)


def _cells(small: Floats, x: Floats, y: Floats) -> Floats:
    """Return the greys at columns x and rows y, parts of the sides, ``(36, 64)``."""
    x, y = (np.clip(each * _SMALL_PX - 0.5, 0, _SMALL_PX - 1.001) for each in (x, y))
    column, row = x.astype(int), y.astype(int)
    right, below = x - column, (y - row)[:, None]
    upper, lower = (
        small[which][:, column] * (1 - right) + small[which][:, column + 1] * right
        for which in (row, row + 1)
    )
    greys = (upper * (1 - below) + lower * below).reshape(_CELLS, 8, _CELLS, 8)
    return greys.transpose(0, 2, 1, 3).reshape(_CELLS**2, 64)


# What names say

_SCENES = (  # from the finest: a folder, what stands before the last counter, or before its digits alone
    r"^(.+)[_-][0-9]+",
    r"^(.*[^0-9])[0-9]+$",
    r"^(.+)/",
)
_SHARE_EXPLAINED = 0.8
_FEWEST_GROUPS = 8
_MOST_IN_GROUP = 8


def group_by_names(names: Sequence[str], pairs: Sequence[tuple[int, int]]) -> str:
    """Return a regular expression for ``--group-by`` that keeps these pairs of images together, or nothing.

    Args:
        names: of all images.
        pairs: numbers of images that show one scene.
    """
    for pattern in _SCENES if pairs else ():
        found = [re.search(pattern, name) for name in names]
        groups = [each and each[1] for each in found]
        counts = Counter(groups)
        fits = all(found) and len(counts) >= 3 and 2 * max(counts.values()) <= len(names)
        together = sum(groups[one] == groups[other] for one, other in pairs)
        if fits and together >= _SHARE_EXPLAINED * len(pairs):
            return pattern
    return ""


def counted_scenes(names: Sequence[str], sides: Sequence[int]) -> dict[int, int]:
    """Return images whose names differ from one's on another side in their last counter alone.

    Only where names look like crops or frames: many groups of a few names, whose counters begin at 0 or 1 and
    leave no gap, such as ``wall_scaled_0`` and ``wall_scaled_1``.

    Returns:
        By the number of an image outside training, that of one on another side.
    """
    groups = defaultdict(list)
    for number, name in enumerate(names):
        if found := re.search(r"^(.+)[_-]([0-9]{1,2})(?![0-9])(?!.*[_-][0-9])", name):
            groups[found[1]].append((int(found[2]), number))
    several = [members for members in groups.values() if len(members) > 1]
    gapless = [members for members in several if _has_no_gap([counter for counter, _ in members])]
    few = len(several) < _FEWEST_GROUPS or len(gapless) < _SHARE_EXPLAINED * len(several)
    if few or sum(map(len, several)) > _MOST_IN_GROUP * len(several):
        return {}
    told = {}
    for members in gapless:
        numbers = sorted((number for _, number in members), key=lambda number: sides[number] != 0)
        for number in numbers[1:]:
            others = (each for each in numbers if sides[each] != sides[number] or sides[each] < 0)
            other = next(others, number)
            if sides[number] != 0 and other != number:
                told[number] = other
    return told


def _has_no_gap(counters: Sequence[int]) -> bool:
    distinct = {*counters}
    return min(distinct) <= 1 and len(distinct) == max(distinct) - min(distinct) + 1 == len(counters)


# What is told of a folder


def leaks(found: Pairs, views: Sequence[View | None], root: Path) -> list[Fault]:
    """Return a fault for each image whose scene is on another side of a split, by its pixels or its name.

    Args:
        found: the pairs of image and mask.
        views: of each pair's image.
        root: their folder.
    """
    held_out, pairs = "val" not in found.splits, found.pairs
    sides = [_SIDES[pair.split] if pair.split != "train" or not held_out else -1 for pair in pairs]
    shown = [*same_scenes(views, sides)]
    names = [pair.name for pair in pairs]
    told = {second for _, second in shown}
    counted = counted_scenes(names, sides)
    by_name = [(other, number) for number, other in counted.items() if number not in told]
    pattern = group_by_names(names, shown + by_name)
    first = "" if held_out else "put all pairs into one images/ and one masks/, and "
    remedy = f"{first}hold whole scenes out: segnet train --group-by '{pattern}'" if pattern else ""
    faults = []
    if len(pairs) > MOST_IMAGES:
        said = (
            f"holds {len(pairs):,} images, of which an even choice of {MOST_IMAGES:,} at most were compared"
        )
        faults.append(Fault("alike", root, said, remedy))
    for kind, said, ones in (
        ("alike", "shows the scene of", shown),
        ("one-name", "differs by a counter alone from", by_name),
    ):
        for one, other in ones:
            a, b = pairs[one], pairs[other]
            where = "and either may be held out" if a.split == b.split else f"of the split {a.split}"
            if file_digest(a.image) != file_digest(b.image):  # copies are a fault of their own
                faults.append(Fault(kind, b.image, f"{said} {a.image}, {where}", remedy))
    return faults
