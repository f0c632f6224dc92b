"""Draw roads from above with posts of 8 pixels beside them, and their masks: large images, small objects.

``python benchmarks/drawn_road.py road`` writes 20 images of 1,024 pixels to ``road/images``, their masks to
``road/masks`` and the classes' names to ``road/dataset.yaml``: ground, road and post. Posts cover less than a
thousandth of the pixels. Stones of their size and white dashes on the road are none. The same seed draws the
same pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from drawing import Bytes, draw, noise, write_pairs
from PIL import Image, ImageDraw

CLASSES = ("ground", "road", "post")
POST_PX = 8

_GRASS, _EARTH = np.array([104.0, 122.0, 72.0]), np.array([142.0, 120.0, 88.0])
_ASPHALT, _PAINT = (106, 106, 110), (216, 214, 206)
_POST, _CAP, _SHADOW = (214, 96, 44), (246, 232, 220), (52, 56, 44)
_STONE = (150, 146, 140)


def draw_road(seed: int, number: int, side: int = 1024) -> tuple[Bytes, Bytes]:
    """Return one image, uint8 RGB ``(side, side, 3)``, and its mask, uint8 ``(side, side)``."""
    random = np.random.default_rng((seed, number))
    share = (0.5 + noise(random, side, 6) + 0.5 * noise(random, side, 24)).clip(0, 1)[..., None]
    ground = _GRASS + share * (_EARTH - _GRASS) + 50 * noise(random, side, side // 6)[..., None]
    image = Image.fromarray(ground.clip(0, 255).astype(np.uint8))
    mask = Image.new("L", image.size, 0)
    paint, ids = ImageDraw.Draw(image), ImageDraw.Draw(mask)

    down = np.arange(-40, side + 41, 4)
    bend, width = random.uniform(60, 200), random.uniform(70, 120)
    middle = side * random.uniform(0.3, 0.7) + bend * np.sin(down / side * random.uniform(2, 5) + number)
    line = [(float(x), float(y)) for x, y in zip(middle, down, strict=True)]
    edges = [(x - width / 2, y) for x, y in line] + [(x + width / 2, y) for x, y in reversed(line)]
    paint.polygon(edges, _ASPHALT)
    ids.polygon(edges, 1)
    for start in range(0, len(line) - 8, 20):
        paint.line(line[start : start + 8], _PAINT, 5)

    for _ in range(random.integers(40, 80)):  # stones: as large as a post, of another colour
        _disc(paint, random.uniform(0, side, 2), random.uniform(2.5, 5), _STONE)
    for index in range(random.integers(4, 10), len(line), random.integers(14, 24)):
        for beside in (-1, 1):
            x, y = line[index]
            x += beside * (width / 2 + random.uniform(10, 22))
            _disc(paint, (x + 4, y + 4), POST_PX / 2, _SHADOW)
            _disc(paint, (x, y), POST_PX / 2, _POST)
            _disc(ids, (x, y), POST_PX / 2, 2)
            _disc(paint, (x, y), POST_PX / 4, _CAP)
    light = 1 + 0.2 * noise(random, side, 2)[..., None]
    pixels = np.asarray(image) * light + random.normal(0, 9, (side, side, 3))
    return pixels.clip(0, 255).astype(np.uint8), np.array(mask)


def _disc(draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, fill: object) -> None:
    x, y = centre
    draw.ellipse((x - radius, y - radius, x + radius - 1, y + radius - 1), fill)


def write_roads(folder: Path, images: int, seed: int, side: int = 1024) -> Path:
    """Write ``images`` pairs and the classes' names below the folder and return it."""
    write_pairs(folder, (draw_road(seed, number, side) for number in range(images)))
    (folder / "dataset.yaml").write_text(f"classes: [{', '.join(CLASSES)}]\n")
    return folder


if __name__ == "__main__":
    draw(__doc__, "roads", 20, write_roads)
