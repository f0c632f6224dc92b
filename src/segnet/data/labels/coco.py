"""COCO's JSON: polygons and run lengths, https://cocodataset.org/#format-data."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segnet.core.foreground import BACKGROUND
from segnet.data.faults import Fault
from segnet.data.labels.shapes import (
    Labelled,
    Labels,
    Shape,
    find_image,
    name_below,
    polygon,
    read_json,
    split_of,
)


def is_coco(content: Any) -> bool:
    """Whether a JSON file's content is of this format."""
    return isinstance(content, dict) and isinstance(content.get("images"), list) and "annotations" in content


def read_coco(files: Sequence[Path], folders: Sequence[Path]) -> Labels:
    """Read one or several files of one dataset.

    Larger shapes lie below smaller ones: COCO doesn't say which is in front, and a small one that lay below
    would be lost. Crowds are drawn like any other shape.

    Args:
        files: the JSON files; the split is what a file's path tells.
        folders: where images may be.

    Raises:
        SegnetError: a file that isn't JSON.
    """
    labels = Labels("COCO", [BACKGROUND])
    for file in files:
        content = read_json(file)
        try:
            _add(labels, file, content, [file.parent, file.parent / "images", *folders], len(files) > 1)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            labels.faults.append(Fault("bad-label", file, f"is no COCO file as its format says ({error!r})"))
    return labels


def _add(labels: Labels, file: Path, content: dict[str, Any], folders: Sequence[Path], several: bool) -> None:
    names = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
    for name in names.values():
        if name not in labels.classes:
            labels.classes.append(name)
    of_image: dict[Any, list[dict[str, Any]]] = {}
    for entry in content["annotations"]:
        of_image.setdefault(entry["image_id"], []).append(entry)
    known = {entry["id"] for entry in content["images"]}
    for lost in sorted(map(str, of_image.keys() - known))[:1]:
        labels.faults.append(Fault("bad-label", file, f"has annotations of an image {lost} that it lacks"))
    split = split_of(file.stem) or split_of(file.resolve().parent.name) if several else ""
    for entry in content["images"]:
        name = str(entry["file_name"])
        where = f"{file}: {name}"
        try:
            found = find_image(name, folders, where)
        except Fault as fault:
            labels.faults.append(fault)
            continue
        size = int(entry["width"]), int(entry["height"])
        shapes = []
        for annotation in of_image.get(entry["id"], ()):
            try:
                shapes.append(_shape(annotation, names, size, f"{where}, annotation {annotation.get('id')}"))
            except Fault as fault:
                labels.faults.append(fault)
        shapes.sort(key=lambda pair: -pair[0])
        drawn = [shape for _, shape in shapes]
        labels.images.append(Labelled(found, name_below(name), where, split, size, drawn))


def _shape(
    entry: dict[str, Any], names: dict[Any, str], size: tuple[int, int], where: str
) -> tuple[float, Shape]:
    """Return a shape with its area."""
    if entry.get("category_id") not in names:
        raise Fault("bad-label", where, f"has the unknown category {entry.get('category_id')!r}")
    label, stored = names[entry["category_id"]], entry.get("segmentation")
    if isinstance(stored, dict):
        runs = read_runs(stored.get("counts"), stored.get("size"), size, where)
        return float(sum(runs[1::2])), Shape(label, bitmap=partial(decode_runs, runs, size))
    if not isinstance(stored, list) or not stored:
        raise Fault("bad-label", where, "is a box without an outline", "a mask needs polygons or run lengths")
    polygons = tuple(each for each in (polygon(part, size, where) for part in stored) if each)
    if not polygons:
        raise Fault("flat-label", where, "has no area")
    return sum(map(_area, polygons)), Shape(label, polygons)


def _area(flat: Sequence[float]) -> float:
    x, y = np.array(flat).reshape(-1, 2).T
    return abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1))) / 2


def read_runs(counts: Any, stored: Any, size: tuple[int, int], where: str) -> list[int]:
    """Return COCO's run lengths, given as a list or as its text of them.

    They go down the columns, outside and inside in turn.

    Raises:
        Fault: they don't fill the image exactly.
    """
    width, height = size
    if stored is not None and [*stored] != [height, width]:
        raise Fault("bad-label", where, f"has run lengths for {stored}, its image is {[height, width]}")
    runs = _parse_runs(counts.encode("ascii", "replace")) if isinstance(counts, str) else counts
    whole = isinstance(runs, list) and all(type(run) is int and run >= 0 for run in runs)
    if not whole or sum(runs) != width * height:
        raise Fault("bad-label", where, "has run lengths that don't add up to its image")
    return [*runs]


def decode_runs(runs: Sequence[int], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the pixels ``(H, W)`` of run lengths."""
    inside = np.arange(len(runs)) % 2 == 1
    pixels: npt.NDArray[np.bool_] = np.repeat(inside, runs).reshape(size).T
    return pixels


def _parse_runs(text: bytes) -> list[int]:
    """Return the numbers in COCO's text (cocoapi, maskApi.c, rleFrString).

    Five bits a character, the low ones first, and one that says whether more follow; from the fourth number
    on each is the difference to the last but one.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = character - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32 and shift < 64:
            continue
        if bits & 16:
            value |= -1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs
