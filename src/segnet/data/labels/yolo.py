"""YOLO's text files of polygons: https://docs.ultralytics.com/datasets/segment/."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from segnet.core.errors import SegnetError
from segnet.core.foreground import BACKGROUND
from segnet.data.faults import Fault
from segnet.data.headers import read_header
from segnet.data.images import IMAGE_SUFFIXES
from segnet.data.labels.shapes import Labelled, Labels, Shape, polygon, split_of

_NUMBERS_OF_A_BOX = 4


def description_of(root: Path) -> Path | None:
    """Return the YAML file that names the classes of a YOLO dataset, if this is one."""
    for file in (root / "data.yaml", root / "dataset.yaml", *sorted(root.glob("*.yaml"))):
        if file.is_file() and any(root.rglob("labels")) and "names:" in file.read_text(errors="replace"):
            return file
    return None


def read_yolo(root: Path, description: Path) -> Labels:
    """Read a dataset: each image in a folder ``images``, its text file in ``labels`` beside it.

    Later polygons lie on top; an image without a text file shows nothing but background.

    Raises:
        SegnetError: a description that names no classes.
    """
    names = _names(description)
    labels = Labels("YOLO", [BACKGROUND, *names])
    images = sorted(
        file
        for file in root.rglob("*")
        if file.suffix.lower() in IMAGE_SUFFIXES and "images" in file.relative_to(root).parts[:-1]
    )
    for image in images:
        parts = [*image.relative_to(root).parts]
        place = len(parts) - 2 - parts[-2::-1].index("images")  # the last folder of this name
        text = root.joinpath(*parts[:place], "labels", *parts[place + 1 :]).with_suffix(".txt")
        try:
            size = read_header(image).size
        except Fault as fault:
            labels.faults.append(fault)
            continue
        shapes = []
        lines = text.read_text(errors="replace").splitlines() if text.is_file() else []
        for number, line in enumerate(lines, 1):
            try:
                if line.strip():
                    shapes.append(_shape(line.split(), names, size, f"{text}, line {number}"))
            except Fault as fault:
                labels.faults.append(fault)
        split = split_of("/".join(parts[:-1]))
        kept = Path(*[part for part in parts[place + 1 :] if not split_of(part) or part == parts[-1]])
        labels.images.append(Labelled(image, kept.with_suffix("").as_posix(), str(text), split, size, shapes))
    return labels


def _names(file: Path) -> list[str]:
    try:
        content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
        names = content["names"]
        named = [names[key] for key in sorted(names)] if isinstance(names, dict) else names
        if isinstance(named, list) and named and all(isinstance(name, str) for name in named):
            return named
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise SegnetError(
            f"{file} can't be read as YAML with names: {' '.join(str(error).split())}"
        ) from error
    raise SegnetError(f"{file} names no classes; it needs 'names: [..]'")


def _shape(words: Sequence[str], names: Sequence[str], size: tuple[int, int], where: str) -> Shape:
    try:
        number, values = int(words[0]), [float(word) for word in words[1:]]
    except ValueError:
        raise Fault("bad-label", where, "is no class number with coordinates") from None
    if not 0 <= number < len(names):
        raise Fault("bad-label", where, f"has class {number}, but names lists {len(names)}")
    if len(values) == _NUMBERS_OF_A_BOX:
        raise Fault("bad-label", where, "is a box without an outline", "a mask needs polygons")
    outline = polygon(values, size, where, scale=size)
    if not outline:
        raise Fault("flat-label", where, "has no area")
    return Shape(names[number], (outline,))
