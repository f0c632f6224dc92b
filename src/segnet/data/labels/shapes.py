"""What every format of labels is read into: images with shapes of a class, and how these become a mask."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segnet.core.errors import SegnetError
from segnet.core.extras import require_package
from segnet.data.dataset import Mask
from segnet.data.faults import Fault

_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_FARTHEST = 10  # image sides that a point may lie outside: what is farther is no point of this image


@dataclass(frozen=True, eq=False)
class Shape:
    """Pixels of one class: polygons, which add up, or a bitmap at a place."""

    label: str
    polygons: tuple[tuple[float, ...], ...] = ()
    """x, y, x, y .. in pixels, the first pixel from 0 to 1."""
    bitmap: Callable[[], npt.NDArray[np.bool_]] | None = None
    """Decodes it, where it is drawn: those of all images would not fit into memory."""
    left_top: tuple[int, int] = (0, 0)
    """Where the bitmap lies, 0 or more."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """An image with its labels: shapes, of which later ones lie on top, or a mask file."""

    image: Path
    name: str
    """Its path in the new folder, without suffix."""
    where: str
    """Where its labels stand, for messages."""
    split: str = ""
    size: tuple[int, int] | None = None
    """Width and height that the labels were drawn on, where the format says so."""
    shapes: Sequence[Shape] = ()
    mask: Path | None = None


@dataclass
class Labels:
    """What a source holds."""

    format: str
    classes: list[str]
    """By class id; empty where mask files are copied as they are, whatever their values mean."""
    images: list[Labelled] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    values: dict[int, int] = field(default_factory=dict)
    """Of mask files, the class id of each value; others are ignored."""
    description: Path | None = None
    """A dataset.yaml that is copied along with mask files."""


def draw(shapes: Iterable[Shape], size: tuple[int, int], classes: Sequence[str]) -> Mask:
    """Return the mask ``(H, W)`` of shapes laid over each other; what none covers is class 0.

    Polygons are filled as pycocotools does it, pixel by pixel.

    Args:
        shapes: the first lies lowest.
        size: width and height.
        classes: names by class id.

    Raises:
        SegnetError: pycocotools isn't installed, or a bitmap that can't be decoded.
    """
    width, height = size
    mask = np.zeros((height, width), np.uint8)
    ids = {name: class_id for class_id, name in enumerate(classes)}
    for shape in shapes:
        if shape.bitmap is not None:
            left, top = shape.left_top
            bitmap = shape.bitmap()
            part = mask[top : top + bitmap.shape[0], left : left + bitmap.shape[1]]
            part[bitmap[: part.shape[0], : part.shape[1]]] = ids[shape.label]
        elif shape.polygons:
            mask[fill(shape.polygons, size)] = ids[shape.label]
    return mask


def fill(polygons: Sequence[Sequence[float]], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the pixels ``(H, W)`` that any of the polygons covers, as pycocotools fills them."""
    require_package("drawing polygons", "pycocotools")
    from pycocotools import mask as coco

    runs = coco.merge(coco.frPyObjects([[*polygon] for polygon in polygons], size[1], size[0]))
    covered: npt.NDArray[np.bool_] = coco.decode(runs).astype(np.bool_)
    return covered


def polygon(
    points: Any, size: tuple[int, int], where: str, scale: tuple[float, float] = (1.0, 1.0)
) -> tuple[float, ...]:
    """Return the numbers x, y, x, y .. as a polygon; one without an area is empty.

    Args:
        points: what a file holds: numbers, or pairs of them.
        size: width and height of the image.
        where: what to call it in an error.
        scale: what to multiply x and y by.

    Raises:
        Fault: not numbers, or far outside the image.
    """
    try:
        flat = np.asarray(points, np.float64).ravel()
    except (TypeError, ValueError):
        flat = np.array([math.nan])
    if flat.size % 2 or not np.isfinite(flat).all():
        raise Fault("bad-label", where, "has a polygon that is no list of points x, y")
    pairs = flat.reshape(-1, 2) * scale
    limit = _FARTHEST * np.maximum(size, 1)
    if (np.abs(pairs) > limit).any():
        raise Fault("bad-label", where, f"has points far outside its image of {size[0]}×{size[1]} pixels")
    return tuple(pairs.ravel().tolist()) if len(pairs) >= 3 else ()


def read_json(file: Path) -> Any:
    """Read a JSON file.

    Raises:
        SegnetError: it can't be read or isn't JSON.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise SegnetError(f"{file} can't be read as JSON: {error}") from error


def find_image(name: str, folders: Sequence[Path]) -> Path | None:
    """Return the image of a name that a file of labels gives: its path, or its last part, below a folder."""
    last = name.replace("\\", "/").rpartition("/")[2]
    for folder in folders:
        for candidate in dict.fromkeys((name, last)):
            path = folder / candidate
            if candidate and path.is_file():
                return path
    return None


def name_below(name: str) -> str:
    """Return an image's name below the new folder: its path without suffix, if that leads nowhere else."""
    path = Path(name.replace("\\", "/"))
    inside = not path.is_absolute() and ".." not in path.parts
    return path.with_suffix("").as_posix() if inside else path.stem


def split_of(text: str) -> str:
    """Return the split that a word of a file's or folder's name is, the first if several are, or nothing.

    ``instances_train2017`` and ``TrainImages`` have one; ``trainval``, ``latest`` and ``interval`` have none.
    """
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", text)
    return next((_SPLITS[word] for word in map(str.lower, words) if word in _SPLITS), "")
