"""Draw metal parts on a bench, labelled as an annotation tool exports them: COCO JSON, holes and overlaps.

``python benchmarks/drawn_parts.py parts`` writes 40 images of 320x240 pixels to ``parts/images`` and
``parts/labels.json``: washers with a hole each, nuts with six corners and a hole, and screws, some lying over
others. What has a hole or is partly covered is given as run lengths, as COCO does, the rest as polygons.
``parts/more`` has 12
images without labels. The same seed draws the same pixels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from drawing import Bytes, draw, noise
from PIL import Image, ImageDraw, ImageFilter

CLASSES = ("washer", "nut", "screw")
SIZE = (320, 240)


def draw_parts(seed: int, number: int) -> tuple[Bytes, list[dict[str, Any]]]:
    """Return an image, uint8 RGB ``(240, 320, 3)``, and its COCO annotations without their numbers."""
    random = np.random.default_rng((seed, number))
    wood = np.array([176.0, 142.0, 104.0]) + 70 * noise(random, 320, 5)[:240, :, None]
    wood += 40 * noise(random, 320, 60)[:240, :1, None]  # the grain runs along the bench
    image = Image.fromarray(wood.clip(0, 255).astype(np.uint8))
    laid: list[tuple[int, Points, bool, npt.NDArray[np.bool_]]] = []
    for _ in range(random.integers(4, 9)):
        kind = int(random.integers(3))
        outline, hole = _shape(random, kind)
        part = Image.new("L", SIZE, 0)
        draw = ImageDraw.Draw(part)
        draw.polygon(outline, 255)
        if hole:
            draw.polygon(hole, 0)
        shine = 150 + random.uniform(-30, 30) + 90 * noise(random, 320, 9)[:240]
        metal = Image.fromarray(shine.clip(0, 255).astype(np.uint8)).convert("RGB")
        image.paste((40, 32, 26), (3, 3), part.filter(ImageFilter.GaussianBlur(2)).point(lambda x: x * 0.6))
        image.paste(metal, (0, 0), part)
        laid.append((kind, outline, bool(hole), np.asarray(part) > 0))
    annotations, covered = [], np.zeros((SIZE[1], SIZE[0]), bool)
    for kind, outline, has_hole, inside in reversed(laid):  # from the top of the heap down
        seen = inside & ~covered
        covered |= inside
        if not seen.any():
            continue
        polygon = [round(each, 2) for point in outline for each in point]
        annotations.append(
            {
                "category_id": kind + 1,
                "segmentation": _run_lengths(seen) if has_hole or (seen != inside).any() else [polygon],
                "area": int(seen.sum()),
                "iscrowd": 0,
            }
        )
    pixels = np.asarray(image) + random.normal(0, 6, (240, 320, 3))
    return pixels.clip(0, 255).astype(np.uint8), annotations


Points = list[tuple[float, float]]


def _shape(random: np.random.Generator, kind: int) -> tuple[Points, Points]:
    """Return the outline of a part and that of its hole; a screw has none."""
    centre, turn = random.uniform((10, 10), (310, 230)), random.uniform(0, 2 * np.pi)
    radius = random.uniform(14, 26)
    if kind < 2:
        corners = 40 if kind == 0 else 6
        return _ring(centre, radius, corners, turn), _ring(centre, radius * 0.48, 30, turn)
    long, thin, head = random.uniform(36, 60), 5.0, 11.0
    shape = np.array(
        [(0, -head), (9, -head), (9, -thin), (long, -thin), (long + 6, 0), (long, thin), (9, thin), (9, head),
         (0, head)]
    )  # fmt: skip
    turned = shape @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + centre
    return [(float(x), float(y)) for x, y in turned], []


def _ring(centre: npt.NDArray[np.float64], radius: float, corners: int, turn: float) -> Points:
    angles = turn + np.arange(corners) * 2 * np.pi / corners
    return [(float(centre[0] + radius * np.cos(a)), float(centre[1] + radius * np.sin(a))) for a in angles]


def _run_lengths(inside: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return a mask as COCO's uncompressed run lengths: down the columns, what lies outside first."""
    runs = [(value, len([*group])) for value, group in groupby(inside.T.ravel().tolist())]
    counts = [0] * bool(runs[0][0]) + [length for _, length in runs]
    return {"size": list(inside.shape), "counts": counts}


def numbered(seed: int, images: int) -> Iterator[tuple[str, Bytes, list[dict[str, Any]]]]:
    """Yield the name, the pixels and the annotations of each image."""
    for number in range(images):
        yield (f"{number:03}.jpg", *draw_parts(seed, number))


def write_parts(folder: Path, images: int, seed: int, more: int = 12) -> Path:
    """Write labelled images, and some without labels, and return the folder."""
    for place in ("images", "more"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    coco: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": [], "categories": []}
    coco["categories"] = [{"id": number, "name": name} for number, name in enumerate(CLASSES, 1)]
    for image_id, (name, pixels, found) in enumerate(numbered(seed, images), 1):
        Image.fromarray(pixels).save(folder / "images" / name, quality=95)
        coco["images"].append(
            {"id": image_id, "file_name": f"images/{name}", "width": SIZE[0], "height": SIZE[1]}
        )
        for each in found:
            coco["annotations"].append({"id": len(coco["annotations"]) + 1, "image_id": image_id} | each)
    (folder / "labels.json").write_text(json.dumps(coco))
    for name, pixels, _ in numbered(seed + 1, more):
        Image.fromarray(pixels).save(folder / "more" / name, quality=95)
    return folder


if __name__ == "__main__":
    draw(__doc__, "parts", 40, write_parts)
