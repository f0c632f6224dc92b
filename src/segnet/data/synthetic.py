"""The `synthetic` dataset: cats and dogs in cluttered rooms, drawn by the package itself, with exact masks.

For whoever wants to see a network learn without downloading anything. A sample is nothing but a seed and an
index; its pixels are the same on any machine (`drawing/canvas.py` says how). Coats and rooms share their
colours and some furniture is furry, so that a network has to learn shapes; the ring of the ``border`` class
straddles the outline, as in the trimaps of Oxford-IIIT Pet.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from PIL import Image

from segnet.base.errors import SegnetError
from segnet.data.dataset import Dataset, Mask
from segnet.data.drawing.canvas import Canvas, Field, Inside, between
from segnet.data.drawing.coat import draw_coat
from segnet.data.drawing.pet import paint_pet
from segnet.data.drawing.room import paint_room
from segnet.data.pets import PET_CLASSES
from segnet.runs.identity import image_id

VERSION = 1
"""Raised with every change that changes a pixel, so that no cache serves the old ones."""

PET, BACKGROUND, BORDER = range(3)

SMALLEST_PX, LARGEST_PX = 120, 152
RING_PX = 2
"""How far the border reaches to either side of the outline: 4 pixels in all, as many at a size of 128."""


@dataclass(frozen=True)
class SyntheticSample:
    """One picture of a cat or a dog, given by the dataset's seed and the sample's index."""

    seed: int
    index: int

    @property
    def name(self) -> str:
        """``synthetic-SEED-INDEX``."""
        return f"synthetic-{self.seed}-{self.index:05d}"

    def image_ids(self) -> tuple[bytes, ...]:
        """Return the id of what decides the drawing."""
        return (image_id(self.fingerprint()),)

    def fingerprint(self) -> bytes:
        """Return the version of the drawing, the seed and the index."""
        return f"synthetic v{VERSION} seed {self.seed} index {self.index}".encode()

    def read(self) -> tuple[Image.Image, Mask]:
        """Draw the image, 120 to 152 pixels a side, and its mask ``(H, W)`` of the ids in `PET_CLASSES`."""
        rng = random.Random(f"segnet synthetic {self.seed} {self.index}")
        canvas = Canvas(
            int(between(rng, SMALLEST_PX, LARGEST_PX + 1)), int(between(rng, SMALLEST_PX, LARGEST_PX + 1))
        )
        coat = draw_coat(rng)
        paint_room(canvas, rng, coat)
        silhouette = paint_pet(canvas, rng, coat)
        return Image.fromarray(_photograph(canvas, rng)), trimap(silhouette)


def load_synthetic(*, seed: int = 0, train: int = 600, val: int = 120) -> Dataset:
    """Return ``train`` and ``val`` samples of the drawn pets; another seed gives other pictures.

    Even indices are trained on and odd ones held out: the splits never meet, whatever their sizes.

    Raises:
        SegnetError: a split without a sample.
    """
    for split, count in (("train", train), ("val", val)):
        if count < 1:
            raise SegnetError(f"the synthetic dataset needs at least 1 {split} sample, got {count}")
    return Dataset(
        name="synthetic",
        classes=PET_CLASSES,
        train=[SyntheticSample(seed, 2 * number) for number in range(train)],
        val=[SyntheticSample(seed, 2 * number + 1) for number in range(val)],
    )


def trimap(silhouette: Inside) -> Mask:
    """Turn what is inside the outline into class ids: the pet, the background, and a ring between them."""
    # Between two legs or below an ear, a gap of a few pixels would be a dot of border inside the pet.
    silhouette = ~_grown(~_grown(silhouette, 2), 2)
    mask = np.full(silhouette.shape, BORDER, np.uint8)
    mask[~_grown(silhouette, RING_PX)] = BACKGROUND
    mask[~_grown(~silhouette, RING_PX)] = PET
    return mask


def _grown(inside: Inside, radius: int) -> Inside:
    """Grow a region by an octagon of ``radius`` pixels, near enough a disc: crosses and squares by turns."""
    for step in range(radius):
        wide = inside.copy()
        wide[:, 1:] |= inside[:, :-1]
        wide[:, :-1] |= inside[:, 1:]
        # Up and down, a square grows what has already grown sideways, a cross only what was there before.
        source = wide.copy() if step % 2 else inside
        wide[1:] |= source[:-1]
        wide[:-1] |= source[1:]
        inside = wide
    return inside


def _photograph(canvas: Canvas, rng: random.Random) -> Mask:
    """Light the scene from one side and take its picture: uint8 ``(H, W, 3)`` with a sensor's noise."""
    pixels = canvas.pixels
    if rng.random() < 0.15:
        pixels = _slightly_blurred(pixels)
    across, down = between(rng, -0.22, 0.22), between(rng, -0.16, 0.16)
    light = (
        between(rng, 0.92, 1.08)
        + across * (canvas.x / canvas.width - 0.5)
        + down * (canvas.y / canvas.height - 0.5)
    )
    warmth = between(rng, -0.06, 0.06)
    gains = np.asarray((1 + warmth, 1.0, 1 - warmth), np.float32)[:, None, None]
    pixels = pixels * light * gains + canvas.grain(rng) * between(rng, 2.0, 7.0)
    return np.ascontiguousarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8).transpose(1, 2, 0))


def _slightly_blurred(pixels: Field) -> Field:
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1)), mode="edge")
    padded = (padded[:, :-2] + padded[:, 2:]) * 0.25 + padded[:, 1:-1] * 0.5
    return (padded[:, :, :-2] + padded[:, :, 2:]) * 0.25 + padded[:, :, 1:-1] * 0.5
