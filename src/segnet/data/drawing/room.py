"""The rooms: paints the wall, the floor and the furniture that a pet is drawn in front of."""

from __future__ import annotations

import random
from collections.abc import Sequence

from segnet.data.drawing.canvas import (
    RGB,
    Canvas,
    Field,
    between,
    blend,
    box,
    clamped,
    cone,
    contrast,
    ellipse,
    pick,
    sharpen,
    tint,
)
from segnet.data.drawing.coat import BLACK, BROWN, GOLD, Coat, draw_coat, furs

Colours = Sequence[RGB]

ROOM_COLOURS: tuple[RGB, ...] = (
    (210, 196, 176), (176, 190, 178), (150, 172, 192), (226, 214, 204), (190, 150, 140), (120, 140, 120),
    (96, 110, 138), (150, 126, 104), (186, 146, 100), (112, 82, 62), (72, 74, 84), (220, 190, 120),
    (140, 60, 56), (64, 100, 104), (204, 204, 208), (88, 64, 80),
)  # fmt: skip
TOY_COLOURS: tuple[RGB, ...] = (
    (204, 62, 56), (58, 116, 186), (64, 150, 104), (236, 186, 62), (146, 92, 160), (226, 126, 70),
)  # fmt: skip


def paint_room(canvas: Canvas, rng: random.Random, coat: Coat) -> None:
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


WALLS = (_plain_wall, _striped_wall, _dotted_wall, _rough_wall)


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


def _furry(canvas: Canvas, rng: random.Random) -> Field:
    """Return the fur of no animal: a texture from the colours and patterns of coats."""
    return furs(canvas, rng, draw_coat(rng))["base"]
