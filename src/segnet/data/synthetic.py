"""The `synthetic` dataset: cats and dogs in cluttered rooms, drawn by the package itself, with exact masks.

For whoever wants to see a network learn without downloading anything. A sample is nothing but a seed and an
index; its pixels are the same on any machine (`drawing.py` says how). Coats and rooms share their colours and
some furniture is furry, so that a network has to learn shapes; the ring of the ``border`` class straddles the
outline, as in the trimaps of Oxford-IIIT Pet.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from segnet.core.classes import ClassTable
from segnet.core.errors import SegnetError
from segnet.data import pets
from segnet.data.dataset import Dataset, Mask
from segnet.data.drawing import (
    BLACK,
    BROWN,
    GOLD,
    RGB,
    Canvas,
    Coat,
    Field,
    Frame,
    Inside,
    Point,
    Shape,
    between,
    blend,
    box,
    clamped,
    cone,
    contrast,
    draw_coat,
    ellipse,
    furs,
    grown,
    pick,
    sharpen,
    tint,
    turned,
)

VERSION = 1
"""Raised with every change that changes a pixel, so that no cache serves the old ones."""

PET_CLASSES = ClassTable(("pet", "background", "border"), (pets.PET, pets.BACKGROUND, pets.BORDER))
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
        _paint_room(canvas, rng, coat)
        silhouette = _paint_pet(canvas, rng, coat)
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
    silhouette = ~grown(~grown(silhouette, 2), 2)
    mask = np.full(silhouette.shape, BORDER, np.uint8)
    mask[~grown(silhouette, RING_PX)] = BACKGROUND
    mask[~grown(~silhouette, RING_PX)] = PET
    return mask


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


# --- the pet --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pet:
    """One animal being painted: every furry part is added to its silhouette."""

    canvas: Canvas
    rng: random.Random
    coat: Coat
    furs: dict[str, Field]
    ruffle: Field
    silhouette: Inside
    is_cat: bool

    def fur(self, shape: Shape, colour: str, depth: float = 0.45, rim: float = 0.5) -> None:
        """Paint a part of the body."""
        window, inside = self.canvas.paint(shape, self.furs[colour], depth=depth, rim=rim, ruffle=self.ruffle)
        self.silhouette[window] |= inside

    def marking(self, shape: Shape, colour: str, softness: float = 4.0, opacity: float = 1.0) -> None:
        """Paint a patch of fur that melts into the part it lies on."""
        self.canvas.paint(shape, self.furs[colour], softness=softness, opacity=opacity)

    def detail(self, shape: Shape, colour: RGB, opacity: float = 1.0) -> None:
        """Paint an eye, a nose or a whisker."""
        self.canvas.paint(shape, colour, opacity=opacity)


def _paint_pet(canvas: Canvas, rng: random.Random, coat: Coat) -> Inside:
    """Paint one cat or dog; return which pixels it covers."""
    side = min(canvas.width, canvas.height)
    pet = Pet(
        canvas=canvas,
        rng=rng,
        coat=coat,
        furs=furs(canvas, rng, coat),
        ruffle=canvas.noise(rng, 3.0) * between(rng, 0.1, 0.5),
        silhouette=np.zeros((canvas.height, canvas.width), np.bool_),
        is_cat=rng.random() < 0.5,
    )
    pose, (smallest, largest), middle = pick(rng, POSES)
    size = side * between(rng, smallest, largest)
    frame = Frame(
        (
            canvas.width / 2 + side * between(rng, -0.16, 0.16),
            canvas.height / 2 + side * (middle + between(rng, -0.06, 0.06)),
        ),
        size,
        turned(between(rng, -0.09, 0.09)),
        pick(rng, (-1, 1)),
    )
    canvas.paint(frame.ellipse(0.05, 0.92, 1.0, 0.16), (20, 16, 14), opacity=0.45, softness=size * 0.16)
    pose(pet, frame)
    return pet.silhouette


def _tail(pet: Pet, frame: Frame, start: Point, bend: Point, end: Point, radius: float) -> None:
    """Paint a tail along a quadratic Bezier curve."""
    steps = 6
    points = [
        (
            (1 - t) * (1 - t) * start[0] + 2 * t * (1 - t) * bend[0] + t * t * end[0],
            (1 - t) * (1 - t) * start[1] + 2 * t * (1 - t) * bend[1] + t * t * end[1],
        )
        for t in (step / steps for step in range(steps + 1))
    ]
    for step in range(steps):
        last = step == steps - 1
        slim = radius * (1 - 0.07 * step)
        pet.fur(
            frame.cone(points[step], points[step + 1], slim, slim * (0.8 if last else 0.93)),
            pet.coat.points if step >= steps - 2 else "base",
            depth=0.0,
            rim=0.2,
        )


def _leg(pet: Pet, frame: Frame, hip: Point, foot: Point, radius: float, far: bool = False) -> None:
    """Paint a leg and its paw."""
    depth = 0.8 if far else 0.35
    pet.fur(frame.cone(hip, foot, radius * 1.25, radius), "base", depth=depth)
    pet.fur(
        frame.ellipse(foot[0] - 0.25 * radius, foot[1] + 0.25 * radius, radius * 1.35, radius * 0.95),
        pet.coat.points,
        depth=depth,
    )


def _sitting(pet: Pet, frame: Frame) -> None:
    rng = pet.rng
    _tail(pet, frame, (0.3, 0.78), (0.95, 1.0), (between(rng, 0.6, 0.95), between(rng, -0.1, 0.5)), 0.11)
    for side in (-1, 1):
        pet.fur(frame.ellipse(side * 0.34, 0.64, 0.27, 0.3), "base")
        pet.fur(frame.ellipse(side * 0.4, 0.88, 0.2, 0.09), pet.coat.points)
    pet.fur(frame.cone((0.0, 0.0), (0.0, 0.6), 0.3, 0.38), "base")
    if pet.coat.bib:
        pet.marking(frame.ellipse(0.0, 0.25, 0.19, 0.34), "pale")
    for side in (-1, 1):
        _leg(pet, frame, (side * 0.15, 0.3), (side * 0.15, 0.84), 0.12)
    _head(
        pet, frame.inner(between(rng, -0.06, 0.06), -0.42, between(rng, 0.4, 0.46), between(rng, -0.12, 0.12))
    )


def _standing(pet: Pet, frame: Frame) -> None:
    rng = pet.rng
    tip = (between(rng, 0.85, 1.1), between(rng, -0.85, -0.2))
    _tail(pet, frame, (0.62, 0.0), (1.05, 0.05), tip, 0.1)
    stride = between(rng, -0.1, 0.1)
    _leg(pet, frame, (-0.3, 0.3), (-0.3 - stride, 0.82), 0.11, far=True)
    _leg(pet, frame, (0.48, 0.3), (0.5 - stride, 0.82), 0.115, far=True)
    pet.fur(frame.cone((-0.32, 0.08), (0.5, 0.1), 0.32, between(rng, 0.27, 0.32)), "base")
    _leg(pet, frame, (-0.44, 0.25), (-0.46 + stride, 0.86), 0.12)
    pet.fur(frame.ellipse(0.55, 0.2, 0.22, 0.3), "base", depth=0.3, rim=0.15)
    _leg(pet, frame, (0.6, 0.35), (0.64 + stride, 0.86), 0.125)
    pet.fur(frame.cone((-0.45, 0.0), (-0.62, -0.3), 0.27, 0.24), "base", depth=0.2, rim=0.1)
    if pet.coat.bib:
        pet.marking(frame.ellipse(-0.55, 0.1, 0.14, 0.2), "pale")
    _head(pet, frame.inner(-0.66, -0.42, between(rng, 0.36, 0.42), between(rng, -0.15, 0.12)))


def _lying(pet: Pet, frame: Frame) -> None:
    rng = pet.rng
    _tail(pet, frame, (0.8, 0.62), (1.2, 0.85), (between(rng, 0.5, 0.9), 0.84), 0.1)
    pet.fur(frame.ellipse(0.22, 0.4, 0.78, between(rng, 0.42, 0.5)), "base")
    pet.fur(frame.ellipse(0.62, 0.52, 0.34, 0.34), "base", depth=0.35, rim=0.25)
    pet.fur(frame.ellipse(0.45, 0.82, 0.24, 0.09), pet.coat.points)
    if pet.coat.bib:
        pet.marking(frame.ellipse(-0.38, 0.45, 0.24, 0.28), "pale")
    for hip in (-0.16, -0.5):
        _leg(pet, frame, (hip, 0.66), (hip - 0.36, 0.8), 0.11)
    _head(pet, frame.inner(-0.4, -0.02, between(rng, 0.42, 0.5), between(rng, -0.14, 0.14)))


def _portrait(pet: Pet, frame: Frame) -> None:
    rng = pet.rng
    pet.fur(frame.ellipse(0.0, 1.15, between(rng, 0.78, 0.95), 0.72), "base")
    pet.fur(frame.cone((0.0, 0.2), (0.0, 0.9), 0.42, 0.6), "base", rim=0.15)
    if pet.coat.bib:
        pet.marking(frame.ellipse(0.0, 1.0, 0.34, 0.5), "pale")
    if rng.random() < 0.5:
        collar = pick(rng, ((196, 48, 52), (44, 110, 190), (40, 150, 96), (236, 190, 60)))
        pet.detail(frame.cone((-0.42, 0.5), (0.42, 0.5), 0.07, 0.07), collar)
        pet.detail(frame.ellipse(0.0, 0.62, 0.08, 0.08), (240, 214, 120))
    _head(pet, frame.inner(0.0, -0.08, between(rng, 0.58, 0.66), between(rng, -0.16, 0.16)))


POSES: tuple[tuple[Callable[[Pet, Frame], None], tuple[float, float], float], ...] = (
    (_sitting, (0.4, 0.58), 0.06),
    (_standing, (0.38, 0.54), 0.08),
    (_lying, (0.36, 0.54), 0.0),
    (_portrait, (0.38, 0.54), 0.06),
    (_portrait, (0.38, 0.54), 0.06),
)
"""How to paint the pose; its size and how far below the middle it sits, in shares of the shorter side."""


def _head(pet: Pet, head: Frame) -> None:
    gaze = between(pet.rng, -0.12, 0.12)
    if pet.is_cat:
        _cat_head(pet, head, gaze)
    else:
        _dog_head(pet, head, gaze)


def _cat_head(pet: Pet, head: Frame, gaze: float) -> None:
    rng, points = pet.rng, pet.coat.points
    spread = between(rng, 0.6, 0.78)
    for side in (-1, 1):
        pet.fur(head.cone((side * 0.55, -0.42), (side * spread, -1.18), 0.4, 0.05), points)
        pet.detail(head.cone((side * 0.57, -0.55), (side * spread, -1.0), 0.22, 0.03), (226, 150, 148), 0.8)
    pet.fur(head.ellipse(0.0, 0.0, 1.0, 0.84), "base")
    for side in (-1, 1):
        pet.fur(head.ellipse(side * 0.5, 0.3, 0.5, 0.42), "base", depth=0.0, rim=0.0)
    if pet.coat.pattern == "tabby":
        for x in (-0.25, 0.0, 0.25):
            pet.marking(head.cone((x, -0.75), (x * 0.7, -0.4), 0.06, 0.05), "mark", 2.0, 0.8)
    muzzle = "mark" if points == "mark" else "pale"
    for side in (-1, 1):
        pet.marking(head.ellipse(gaze + side * 0.2, 0.42, 0.3, 0.24), muzzle, 2.5)
    iris = pick(rng, ((150, 190, 70), (226, 178, 52), (96, 170, 210), (196, 120, 44)))
    wide = between(rng, 0.07, 0.14)
    for side in (-1, 1):
        x = gaze + side * 0.42
        pet.detail(head.ellipse(x, -0.06, 0.27, 0.25, side * 0.1), (36, 30, 30))
        pet.detail(head.ellipse(x, -0.06, 0.22, 0.2, side * 0.1), iris)
        pet.detail(head.ellipse(x + gaze * 0.3, -0.06, wide, 0.2), (16, 14, 16))
        pet.detail(head.ellipse(x + 0.07, -0.14, 0.06, 0.06), (255, 255, 255))
        for slope in (-0.06, 0.06, 0.18):
            pet.detail(
                head.cone((gaze + side * 0.3, 0.42), (gaze + side * 1.05, 0.38 + slope), 0.025, 0.01),
                (245, 242, 238),
                0.7,
            )
    pet.detail(head.cone((gaze - 0.07, 0.25), (gaze + 0.07, 0.25), 0.06, 0.06), (200, 104, 108))
    pet.detail(head.cone((gaze, 0.25), (gaze, 0.42), 0.05, 0.025), (120, 66, 66))
    for side in (-1, 1):
        _smile(pet, head, (gaze, 0.42), side * 0.24)


def _dog_head(pet: Pet, head: Frame, gaze: float) -> None:
    rng, points = pet.rng, pet.coat.points
    pet.fur(head.ellipse(0.0, -0.06, between(rng, 0.8, 0.92), 0.88), "base")
    pet.fur(head.ellipse(gaze, 0.42, 0.56, 0.46), "base", depth=0.0, rim=0.0)
    if rng.random() < 0.4:
        pet.marking(head.ellipse(gaze + 0.36, -0.2, 0.32, 0.36), "mark", 2.5)
    if rng.random() < 0.4:
        pet.marking(head.cone((gaze * 0.5, -0.75), (gaze, 0.1), 0.12, 0.16), "pale", 2.5)
    ear = "mark" if points == "base" else points
    length, swing = between(rng, 0.3, 0.7), between(rng, 0.92, 1.12)
    for side in (-1, 1):
        pet.fur(head.cone((side * 0.7, -0.58), (side * swing, length), 0.2, 0.3), ear, depth=0.6)
    if rng.random() < 0.5:
        pet.detail(head.ellipse(gaze, 0.78, 0.16, 0.18), (214, 96, 108))
    muzzle = "mark" if points == "mark" else "pale"
    for side in (-1, 1):
        pet.marking(head.ellipse(gaze + side * 0.2, 0.48, 0.32, 0.3), muzzle, 2.5)
    dark = (34, 28, 30)
    pet.detail(head.cone((gaze, 0.3), (gaze, 0.62), 0.03, 0.03), dark)
    for side in (-1, 1):
        _smile(pet, head, (gaze, 0.62), side * 0.36)
    pet.detail(head.ellipse(gaze, 0.24, 0.22, 0.16), (26, 22, 24))
    pet.detail(head.ellipse(gaze - 0.06, 0.19, 0.07, 0.04), (150, 146, 150))
    for side in (-1, 1):
        x = gaze + side * 0.36
        pet.detail(head.ellipse(x, -0.16, 0.19, 0.18), (240, 234, 226), 0.6)
        pet.detail(head.ellipse(x, -0.16, 0.16, 0.16), pick(rng, ((70, 42, 26), (52, 34, 26))))
        pet.detail(head.ellipse(x, -0.16, 0.09, 0.09), (14, 12, 14))
        pet.detail(head.ellipse(x + 0.05, -0.22, 0.05, 0.05), (255, 255, 255))


def _smile(pet: Pet, head: Frame, middle: Point, reach: float) -> None:
    """Paint half a mouth: down from the middle and up again to the side."""
    x, y = middle
    low, corner = (x + reach * 0.5, y + abs(reach) * 0.3), (x + reach, y + abs(reach) * 0.05)
    pet.detail(head.cone(middle, low, 0.03, 0.035), (64, 40, 40))
    pet.detail(head.cone(low, corner, 0.035, 0.02), (64, 40, 40))


# --- the room -------------------------------------------------------------------------------------------

Colours = Sequence[RGB]

ROOM_COLOURS: tuple[RGB, ...] = (
    (210, 196, 176), (176, 190, 178), (150, 172, 192), (226, 214, 204), (190, 150, 140), (120, 140, 120),
    (96, 110, 138), (150, 126, 104), (186, 146, 100), (112, 82, 62), (72, 74, 84), (220, 190, 120),
    (140, 60, 56), (64, 100, 104), (204, 204, 208), (88, 64, 80),
)  # fmt: skip
TOY_COLOURS: tuple[RGB, ...] = (
    (204, 62, 56), (58, 116, 186), (64, 150, 104), (236, 186, 62), (146, 92, 160), (226, 126, 70),
)  # fmt: skip


def _paint_room(canvas: Canvas, rng: random.Random, coat: Coat) -> None:
    """Paint wall, floor and furniture, in no colour that would hide the outline of a pet with this coat."""
    width, height = canvas.width, canvas.height
    colours = [colour for colour in ROOM_COLOURS if contrast(colour, coat.base) > 64]
    floor_y = height * between(rng, 0.55, 0.76)
    canvas.pixels[:] = pick(rng, WALLS)(canvas, rng, colours)
    for _ in range(int(between(rng, 2, 5))):
        pick(rng, ON_THE_WALL)(canvas, rng, colours, between(rng, 0, width), height * between(rng, 0.1, 0.35))
    canvas.paint(box(-9, floor_y - 4, width + 9, floor_y + 9), (226, 222, 214))
    canvas.paint(box(-9, floor_y, width + 9, height + 9), pick(rng, FLOORS)(canvas, rng, colours))
    for _ in range(int(between(rng, 2, 5))):
        x, y = width * between(rng, -0.05, 1.05), between(rng, floor_y + 2, height * 0.98)
        pick(rng, ON_THE_FLOOR)(canvas, rng, colours, x, y)


def _plain_wall(canvas: Canvas, rng: random.Random, colours: Colours) -> Field:
    colour = pick(rng, colours)
    return tint(
        colour, blend(colour, (30, 30, 40), 0.35), canvas.noise(rng, between(rng, 20, 60)) * 0.5 + 0.4
    )


def _striped_wall(canvas: Canvas, rng: random.Random, colours: Colours) -> Field:
    colour = pick(rng, colours)
    stripes = sharpen(
        canvas.waves(between(rng, 9, 26), pick(rng, ((1.0, 0.0), (1.0, 0.0), (0.8, 0.6)))), 0.5, 8
    )
    return tint(colour, blend(colour, pick(rng, colours), 0.45), stripes)


def _dotted_wall(canvas: Canvas, rng: random.Random, colours: Colours) -> Field:
    colour = pick(rng, colours)
    period = between(rng, 10, 20)
    dots = canvas.waves(period, (1.0, 0.0)) * canvas.waves(period, (0.0, 1.0))
    return tint(colour, blend(colour, pick(rng, colours), 0.6), sharpen(dots, 0.5, 9))


def _rough_wall(canvas: Canvas, rng: random.Random, colours: Colours) -> Field:
    colour = pick(rng, colours)
    rough = (
        canvas.noise(rng, between(rng, 4, 9)) * 0.25
        + canvas.strands(rng, 4) * 0.12
        + canvas.noise(rng, 30) * 0.3
    )
    return tint(colour, blend(colour, (20, 20, 30), 0.5), rough + 0.35)


def _planks(canvas: Canvas, rng: random.Random, colours: Colours) -> Field:
    colour = pick(rng, colours)
    seams = sharpen(canvas.waves(between(rng, 10, 18), (0.0, 1.0)), 0.9, 9)
    veins = canvas.waves(7.0, (0.05, 1.0), canvas.noise(rng, 18) * 6) * 0.3
    return tint(colour, blend(colour, (30, 20, 14), 0.6), clamped(seams + veins))


def _tiles(canvas: Canvas, rng: random.Random, colours: Colours) -> Field:
    colour = pick(rng, colours)
    period = between(rng, 22, 36)
    across = sharpen(canvas.waves(period, (1.0, 0.0)), 0.5, 20)
    down = sharpen(canvas.waves(period * 0.7, (0.0, 1.0)), 0.5, 20)
    return tint(colour, blend(colour, pick(rng, colours), 0.5), across + down - 2 * across * down)


def _carpet(canvas: Canvas, rng: random.Random, colours: Colours) -> Field:
    colour = pick(rng, colours)
    return tint(colour, (0, 0, 0), canvas.strands(rng, 3) * 0.12 + canvas.noise(rng, 16) * 0.1 + 0.1)


WALLS = (_plain_wall, _striped_wall, _dotted_wall, _rough_wall)
FLOORS = (_planks, _tiles, _carpet)


def _window(canvas: Canvas, rng: random.Random, colours: Colours, x: float, y: float) -> None:
    half, tall = canvas.width * between(rng, 0.12, 0.22), canvas.height * between(rng, 0.18, 0.28)
    canvas.paint(box(x - half - 4, y - tall - 4, x + half + 4, y + tall + 4), (238, 234, 226), rim=0.3)
    sky = tint((150, 196, 232), (232, 240, 246), clamped(canvas.y / (y + tall) + canvas.x * 0.0))
    canvas.paint(box(x - half, y - tall, x + half, y + tall), sky)
    canvas.paint(ellipse((x - half * 0.4, y + tall), (half * 0.9, tall * 0.5)), (112, 150, 88), opacity=0.8)
    canvas.paint(box(x - 1.5, y - tall, x + 1.5, y + tall), (238, 234, 226))
    canvas.paint(box(x - half, y - 1.5, x + half, y + 1.5), (238, 234, 226))


def _picture(canvas: Canvas, rng: random.Random, colours: Colours, x: float, y: float) -> None:
    half, tall = canvas.width * between(rng, 0.08, 0.16), canvas.height * between(rng, 0.08, 0.16)
    canvas.paint(
        box(x - half - 3, y - tall - 3, x + half + 3, y + tall + 3), pick(rng, (BROWN, BLACK, GOLD)), rim=0.4
    )
    canvas.paint(box(x - half, y - tall, x + half, y + tall), pick(rng, colours))
    canvas.paint(ellipse((x, y + tall * 0.3), (half * 0.6, tall * 0.5)), pick(rng, TOY_COLOURS))


def _shelf(canvas: Canvas, rng: random.Random, colours: Colours, x: float, y: float) -> None:
    left, right = x - canvas.width * 0.2, x + canvas.width * 0.2
    for shelf_y in (y, y + 30):
        book = left
        while book < right - 8:
            thick, tall = between(rng, 4, 9), between(rng, 15, 24)
            colour = pick(rng, TOY_COLOURS + ROOM_COLOURS)
            canvas.paint(box(book, shelf_y - tall, book + thick, shelf_y), colour, rim=0.35)
            book += thick
        canvas.paint(box(left - 3, shelf_y, right + 3, shelf_y + 4), (104, 74, 52), rim=0.3)


def _lamp(canvas: Canvas, rng: random.Random, colours: Colours, x: float, y: float) -> None:
    size = canvas.height * 0.14
    canvas.paint(box(x - 1.5, y, x + 1.5, canvas.height * 0.9), (60, 54, 50))
    canvas.paint(
        ellipse((x, y + size * 0.6), (size * 2, size * 2)), (255, 240, 200), opacity=0.35, softness=size * 2
    )
    canvas.paint(
        cone((x, y - size * 0.3), (x, y + size * 0.4), size * 0.4, size * 0.75),
        pick(rng, colours),
        depth=0.3,
    )


ON_THE_WALL = (_window, _picture, _shelf, _lamp)


def _sofa(canvas: Canvas, rng: random.Random, colours: Colours, x: float, y: float) -> None:
    half, tall = canvas.width * between(rng, 0.28, 0.4), canvas.height * between(rng, 0.25, 0.36)
    colour = pick(rng, colours)
    canvas.paint(box(x - half, y - tall, x + half, y - 4, 9), colour, depth=0.4, rim=0.3)
    canvas.paint(
        box(x - half, y - tall * 0.5, x + half, y - 4, 6),
        blend(colour, (255, 255, 255), 0.12),
        depth=0.4,
        rim=0.3,
    )
    for side in (-1, 1):
        arm = x + side * half
        canvas.paint(box(arm - 8, y - tall * 0.7, arm + 8, y, 7), colour, depth=0.4, rim=0.3)


def _cupboard(canvas: Canvas, rng: random.Random, colours: Colours, x: float, y: float) -> None:
    half, tall = canvas.width * between(rng, 0.1, 0.18), canvas.height * between(rng, 0.3, 0.55)
    colour = pick(rng, colours)
    canvas.paint(box(x - half, y - tall, x + half, y), colour, rim=0.4, depth=0.2)
    for door_x in (x - half / 2, x + half / 2):
        canvas.paint(
            box(door_x - half * 0.4, y - tall * 0.92, door_x + half * 0.4, y - 5),
            blend(colour, (0, 0, 0), 0.12),
            rim=0.3,
        )
        canvas.paint(ellipse((door_x, y - tall / 2), (1.8, 1.8)), (230, 214, 160))


def _plant(canvas: Canvas, rng: random.Random, colours: Colours, x: float, y: float) -> None:
    size = canvas.height * between(rng, 0.1, 0.15)
    for _ in range(9):
        dx, dy = between(rng, -1.3, 1.3), between(rng, -2.6, -1.2)
        green = blend((52, 104, 58), (122, 158, 74), rng.random())
        canvas.paint(cone((x, y - size), (x + dx * size, y + dy * size), 2.0, size * 0.2), green, rim=0.3)
    canvas.paint(
        cone((x, y - size * 0.9), (x, y - size * 0.4), size * 0.6, size * 0.45),
        pick(rng, TOY_COLOURS),
        depth=0.4,
    )


def _furry(canvas: Canvas, rng: random.Random) -> Field:
    """Return the fur of no animal: a texture from the colours and patterns of coats."""
    return furs(canvas, rng, draw_coat(rng))["base"]


def _cushion(canvas: Canvas, rng: random.Random, colours: Colours, x: float, y: float) -> None:
    size = canvas.width * between(rng, 0.1, 0.18)
    canvas.paint(
        box(x - size, y - size * 1.3, x + size, y, size * 0.45), _furry(canvas, rng), depth=0.5, rim=0.3
    )


def _rug(canvas: Canvas, rng: random.Random, colours: Colours, x: float, y: float) -> None:
    radii = canvas.width * between(rng, 0.3, 0.5), canvas.height * between(rng, 0.08, 0.13)
    canvas.paint(ellipse((x, y), radii), _furry(canvas, rng), rim=0.3)


def _ball(canvas: Canvas, rng: random.Random, colours: Colours, x: float, y: float) -> None:
    radius, colour = canvas.width * between(rng, 0.05, 0.09), pick(rng, TOY_COLOURS)
    canvas.paint(ellipse((x, y - radius), (radius, radius)), colour, depth=0.7)
    canvas.paint(
        cone((x - radius, y - radius), (x + radius, y - radius), 1.5, 1.5), (244, 240, 230), opacity=0.8
    )
    canvas.paint(ellipse((x - radius * 0.3, y - radius * 1.4), (2.0, 2.0)), (255, 255, 255), opacity=0.8)


ON_THE_FLOOR = (_sofa, _cupboard, _plant, _cushion, _rug, _ball)
