"""Which patches an epoch is made of: half of them anywhere, half around the classes that are rarer."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from segnet.base.classes import IGNORE_INDEX
from segnet.data.store.batches import evenly_spread
from segnet.data.store.cache import CachedSplit
from segnet.data.store.full_size import FullSizeSplit, Patch

Point = npt.NDArray[np.float64] | npt.NDArray[np.int64]

AROUND_RARE = 0.5
"""Share of the patches that are cut around a pixel of a class other than the most frequent."""


def patches_to_cover(split: FullSizeSplit, size: tuple[int, int]) -> list[int]:
    """Return how many patches of ``(h, w)`` it takes to cover each image once."""
    shapes = np.array([mask.shape for mask in split.masks])
    return [math.prod(row) for row in -(-shapes // size)]


def choose_patches(split: FullSizeSplit, count: int, size: tuple[int, int], seed: int) -> list[Patch]:
    """Choose patches to train on, in random order; everything depends on the seed alone.

    Half of them lie anywhere, in each image as many as its area asks for. The other half hold a pixel of a
    class other than the most frequent, somewhere in the patch: first the class is drawn, each with the same
    chance, then an image that has it, then a pixel of it. So an object of a thousandth of the area is met
    about as often as one of a tenth.

    Args:
        split: where to cut.
        count: how many.
        size: ``(h, w)`` of a patch.
        seed: what decides.
    """
    random = np.random.default_rng(seed)
    sought = _sought(split)
    around = round(count * AROUND_RARE) if sought else 0
    weights = np.array(patches_to_cover(split, size), float)
    patches = []
    for image in random.choice(len(split), count - around, p=weights / weights.sum()).tolist():
        patches.append(_fitting(split, image, random.random(2), None, size))
    holders = {class_id: np.flatnonzero(split.counts[:, class_id]) for class_id in sought}
    for class_id in random.choice(sought, around).tolist() if around else []:
        image = int(random.choice(holders[class_id]))
        around_pixel = random.choice(split.places_of(image, class_id))
        patches.append(_fitting(split, image, random.random(2), around_pixel, size))
    return [patches[index] for index in random.permutation(count)]


def example_patches(split: FullSizeSplit, most: int) -> CachedSplit:
    """Cut a patch from each of up to ``most`` images, evenly spread, in its middle or at a rarer class."""
    size = split.patch
    numbers = evenly_spread(len(split), most)
    sought, patches = _sought(split), []
    for image in numbers:
        shown = [class_id for class_id in sought if split.counts[image, class_id]]
        places = split.places_of(image, shown[0]) if shown else np.array([split.masks[image].shape]) // 2
        patches.append(_fitting(split, image, np.full(2, 0.5), places[len(places) // 2], size))
    images, masks = split.cut(patches, size)
    return CachedSplit(images, masks, tuple(split.names[image] for image in numbers))


def _sought(split: FullSizeSplit) -> list[int]:
    """Return the classes to look for: all that occur but the most frequent, the rarest first."""
    totals = split.counts.sum(0)
    totals[IGNORE_INDEX] = 0
    order = [int(class_id) for class_id in np.argsort(totals, kind="stable") if totals[class_id]]
    return order[:-1]


def _fitting(
    split: FullSizeSplit, image: int, where: Point, around: Point | None, size: tuple[int, int]
) -> Patch:
    """Return a patch inside the image, where it fits.

    Args:
        split: the images.
        image: its number.
        where: two shares, 0 to 1: where in the patch the pixel is, or in the image the patch.
        around: a pixel to have in the patch.
        size: ``(h, w)`` of the patch.
    """
    corner = []
    for axis, length in enumerate(split.masks[image].shape):
        room = max(0, length - size[axis])
        if around is None:
            place = math.floor(where[axis] * (room + 1))
        else:
            place = math.ceil(around[axis] - where[axis] * size[axis])
        corner.append(min(max(0, place), room))
    return Patch(image, *corner)
