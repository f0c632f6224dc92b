"""The pets: paints one cat or dog in one of four poses and says which pixels it covers."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from segnet.data.drawing.canvas import (
    RGB,
    Canvas,
    DrawnShape,
    Field,
    Frame,
    Inside,
    Point,
    between,
    pick,
    turned,
)
from segnet.data.drawing.coat import Coat, furs


def paint_pet(canvas: Canvas, rng: random.Random, coat: Coat) -> Inside:
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

    def fur(self, shape: DrawnShape, colour: str, depth: float = 0.45, rim: float = 0.5) -> None:
        """Paint a part of the body."""
        window, inside = self.canvas.paint(shape, self.furs[colour], depth=depth, rim=rim, ruffle=self.ruffle)
        self.silhouette[window] |= inside

    def marking(self, shape: DrawnShape, colour: str, softness: float = 4.0, opacity: float = 1.0) -> None:
        """Paint a patch of fur that melts into the part it lies on."""
        self.canvas.paint(shape, self.furs[colour], softness=softness, opacity=opacity)

    def detail(self, shape: DrawnShape, colour: RGB, opacity: float = 1.0) -> None:
        """Paint an eye, a nose or a whisker."""
        self.canvas.paint(shape, colour, opacity=opacity)


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
