"""One split's images and masks as training and scoring take them: whole, or as patches cut from them.

A batch is made of *items*, which the split chooses and reads: numbers of images where all have one size, else
patches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from segnet.base.classes import IGNORE_INDEX
from segnet.data.images.pixel_values import Pixels
from segnet.data.store.batches import evenly_spread, shuffled_order, split_into_batches
from segnet.data.store.fit_to_size import window

Counts = npt.NDArray[np.int64]
Size = tuple[int, int]
Point = npt.NDArray[np.float64] | npt.NDArray[np.int64]

PLACES = 1024
"""So many places of a class are kept of each image, evenly spread over its pixels of that class."""

AROUND_RARE = 0.5
"""Share of the patches that are cut around a pixel of a class other than the most frequent."""


@dataclass(frozen=True)
class Split:
    """Images of one size, ``(N, H, W, C)``, and their masks ``(N, H, W)``: uint8, read-only.

    Its items are the images' numbers.
    """

    images: Sequence[Pixels] | Pixels
    masks: Sequence[Pixels] | Pixels
    names: tuple[str, ...]
    stored_counts: Counts | None = None
    """``counts`` as they were stored; None where they have to be counted."""
    own_sizes: npt.NDArray[np.int32] | None = None
    """Height and width ``(N, 2)`` of each picture's own part, where the rest of the size was added below or
    right of it; None where every picture fills the size."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def size(self) -> Size:
        """``(H, W)`` that a network for these images gets."""
        height, width = self.masks[0].shape
        return height, width

    @cached_property
    def counts(self) -> Counts:
        """How often each value is in each mask, ``(N, 256)``."""
        if self.stored_counts is not None:
            return self.stored_counts
        return np.stack([np.bincount(mask.ravel(), minlength=256) for mask in self.masks])

    def take(self, items: Sequence[Any]) -> tuple[Pixels, Pixels]:
        """Return the images ``(n, H, W, C)`` and the masks ``(n, H, W)`` of some items, as a batch."""
        rows = np.asarray(items)
        return np.asarray(self.images)[rows], np.asarray(self.masks)[rows]

    def names_of(self, items: Sequence[Any]) -> list[str]:
        """Return the names of the images that items are of, each once."""
        return list(dict.fromkeys(self.names[number] for number in items))

    def count_items(self, size: Size) -> int:
        """Return how many items, or patches of ``(h, w)``, it takes to see each image once."""
        return len(self)

    def choose_items(self, count: int, size: Size, seed: int) -> list[Any]:
        """Return what an epoch is made of, in random order; everything depends on the seed alone.

        Args:
            count: how many items, such as ``count_items``.
            size: ``(h, w)`` of a patch, where they are cut.
            seed: what decides.
        """
        return shuffled_order(count, seed)

    def spread_items(self, most: int) -> list[Any]:
        """Return up to ``most`` items, evenly spread over the images, at the size that the network gets."""
        return evenly_spread(len(self), most)

    def whole_batches(self, numbers: Sequence[int], most: int) -> list[Sequence[Any]]:
        """Return the items that are images as they are, by number, in batches of one size: up to ``most``."""
        return split_into_batches(numbers, most)

    def examples(self, most: int) -> Split:
        """Return up to ``most`` images, evenly spread, or a patch of each, in memory."""
        rows = evenly_spread(len(self), most)
        return Split(*self.take(rows), tuple(self.names[row] for row in rows))


class Patch(NamedTuple):
    """A part of an image: its number, the patch's first row and column, and its height and width."""

    image: int
    top: int
    left: int
    size: Size


@dataclass(frozen=True, kw_only=True)
class PatchSplit(Split):
    """Images at their own sizes, ``(H, W, C)`` and ``(H, W)`` each, from which patches are cut: the items."""

    places: npt.NDArray[np.int64]
    """Pixels by row * W + column, up to ``PLACES`` of each class, image after image and class after class."""
    patch: Size
    """``(h, w)`` of the patches that the network is meant for."""

    @property
    def size(self) -> Size:
        """``(H, W)`` that a network for these images gets."""
        return self.patch

    def take(self, items: Sequence[Patch]) -> tuple[Pixels, Pixels]:
        """Cut patches of one size; beyond an image's edge its pixels are mirrored, and ignored."""
        size = items[0].size
        images = np.empty((len(items), *size, self.images[0].shape[-1]), np.uint8)
        masks = np.empty((len(items), *size), np.uint8)
        for row, (image, top, left, _) in enumerate(items):
            images[row] = window(self.images[image], top, left, size)
            masks[row] = window(self.masks[image], top, left, size, beyond=IGNORE_INDEX)
        return images, masks

    def names_of(self, items: Sequence[Patch]) -> list[str]:
        """Return the names of the images that patches are of, each once."""
        return super().names_of([patch.image for patch in items])

    def count_items(self, size: Size) -> int:
        """Return how many patches of ``(h, w)`` it takes to cover each image once."""
        return int(self._patches_to_cover(size).sum())

    def choose_items(self, count: int, size: Size, seed: int) -> list[Patch]:
        """Choose patches to train on, in random order; everything depends on the seed alone.

        Half of them lie anywhere, in each image as many as its area asks for. The other half hold a pixel of
        a class other than the most frequent, somewhere in the patch: first the class is drawn, each with the
        same chance, then an image that has it, then a pixel of it. So an object of a thousandth of the area
        is met about as often as one of a tenth.
        """
        random = np.random.default_rng(seed)
        rare = self._rare_classes()
        around = round(count * AROUND_RARE) if rare else 0
        weights = self._patches_to_cover(size).astype(float)
        patches = [
            self._patch_in(image, random.random(2), None, size)
            for image in random.choice(len(self), count - around, p=weights / weights.sum()).tolist()
        ]
        holders = {class_id: np.flatnonzero(self.counts[:, class_id]) for class_id in rare}
        for class_id in random.choice(rare, around).tolist() if around else []:
            image = int(random.choice(holders[class_id]))
            pixel = random.choice(self.places_of(image, class_id))
            patches.append(self._patch_in(image, random.random(2), pixel, size))
        return [patches[index] for index in random.permutation(count)]

    def spread_items(self, most: int) -> list[Patch]:
        """Return up to ``most`` patches at the size that the network gets."""
        return self.choose_items(min(most, self.count_items(self.patch)), self.patch, seed=0)

    def whole_batches(self, numbers: Sequence[int], most: int) -> list[Sequence[Patch]]:
        """Return each of the images, by number, as one patch that is all of it."""
        return [[Patch(number, 0, 0, self.masks[number].shape)] for number in numbers]

    def examples(self, most: int) -> Split:
        """Return a patch of each of up to ``most`` images, in its middle or at a rarer class."""
        numbers, rare, patches = evenly_spread(len(self), most), self._rare_classes(), []
        for image in numbers:
            shown = [class_id for class_id in rare if self.counts[image, class_id]]
            places = self.places_of(image, shown[0]) if shown else np.array([self.masks[image].shape]) // 2
            patches.append(self._patch_in(image, np.full(2, 0.5), places[len(places) // 2], self.patch))
        return Split(*self.take(patches), tuple(self.names[image] for image in numbers))

    def places_of(self, image: int, class_id: int) -> npt.NDArray[np.int64]:
        """Return up to ``PLACES`` pixels ``(n, 2)``, row and column, of a class in an image."""
        first, end = self._spans[image * IGNORE_INDEX + class_id :][:2]
        return np.stack(np.divmod(self.places[first:end], self.masks[image].shape[1]), axis=1)

    @cached_property
    def _spans(self) -> npt.NDArray[np.int64]:
        """Where the places of each image and class begin: those of ignored pixels aren't kept."""
        return np.concatenate([[0], np.minimum(self.counts, PLACES)[:, :IGNORE_INDEX].cumsum()])

    def _patches_to_cover(self, size: Size) -> npt.NDArray[np.int64]:
        shapes = np.array([mask.shape for mask in self.masks])
        return np.asarray(np.prod(-(-shapes // size), axis=1))

    def _rare_classes(self) -> list[int]:
        """Return all classes that occur but the most frequent, the rarest first."""
        totals = self.counts.sum(0)
        totals[IGNORE_INDEX] = 0
        order = [int(class_id) for class_id in np.argsort(totals, kind="stable") if totals[class_id]]
        return order[:-1]

    def _patch_in(self, image: int, where: Point, around: Point | None, size: Size) -> Patch:
        """Return a patch inside the image, where it fits.

        Args:
            image: its number.
            where: two shares, 0 to 1: where in the patch the pixel is, or in the image the patch.
            around: a pixel to have in the patch.
            size: ``(h, w)`` of the patch.
        """
        corner = []
        for axis, length in enumerate(self.masks[image].shape):
            room = max(0, length - size[axis])
            if around is None:
                first = math.floor(where[axis] * (room + 1))
            else:
                first = math.ceil(around[axis] - where[axis] * size[axis])
            corner.append(min(max(0, first), room))
        return Patch(image, corner[0], corner[1], size)
