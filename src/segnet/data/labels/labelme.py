"""LabelMe's JSON, one file an image: https://github.com/wkentaro/labelme."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segnet.core.foreground import BACKGROUND
from segnet.data.faults import Fault
from segnet.data.images import decode
from segnet.data.labels.shapes import Labelled, Labels, Shape, find_image, polygon, read_json

_WITHOUT_AREA = ("point", "points", "line", "linestrip")
_CORNERS_OF_A_CIRCLE = 128


def is_labelme(content: Any) -> bool:
    """Whether a JSON file's content is of this format."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list) and "imagePath" in content


def read_labelme(root: Path, files: Sequence[Path], folders: Sequence[Path]) -> Labels:
    """Read the files of a folder; later shapes lie on top of earlier ones, as LabelMe shows them.

    Classes are in the order of their names.

    Raises:
        SegnetError: a file that isn't JSON.
    """
    labels = Labels("LabelMe", [])
    names: set[str] = set()
    for file in files:
        content = read_json(file)
        if not is_labelme(content):
            continue
        try:
            found = find_image(content["imagePath"], [file.parent, *folders], str(file))
        except Fault as fault:
            labels.faults.append(fault)
            continue
        try:
            size = int(content["imageWidth"]), int(content["imageHeight"])
        except (KeyError, TypeError, ValueError):
            labels.faults.append(Fault("bad-label", file, "doesn't say how large its image is"))
            continue
        shapes = []
        for number, entry in enumerate(content["shapes"], 1):
            try:
                shapes.append(_shape(entry, size, f"{file}, shape {number}"))
            except Fault as fault:
                labels.faults.append(fault)
        names |= {shape.label for shape in shapes}
        kept = file.relative_to(root).with_suffix("").as_posix()
        labels.images.append(Labelled(found, kept, str(file), "", size, shapes))
    labels.classes = [BACKGROUND, *sorted(names - {BACKGROUND})]
    return labels


def _shape(entry: Any, size: tuple[int, int], where: str) -> Shape:
    if not isinstance(entry, dict) or not isinstance(entry.get("label"), str):
        raise Fault("bad-label", where, "has no label")
    label, kind = entry["label"], entry.get("shape_type", "polygon")
    points: Any = entry.get("points")
    if kind in _WITHOUT_AREA:
        raise Fault("flat-label", where, f"is a {kind} of {label}, which has no area")
    try:
        if kind == "mask":
            (left, top), _ = points
            content = base64.b64decode(entry["mask"])
            place = max(0, round(left)), max(0, round(top))
            return Shape(label, bitmap=partial(_decode, content, where), left_top=place)
        if kind == "rectangle":
            (x0, y0), (x1, y1) = points
            points = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        elif kind == "circle":
            (x, y), (on_x, on_y) = points
            radius = math.hypot(on_x - x, on_y - y)
            turns = [math.tau * step / _CORNERS_OF_A_CIRCLE for step in range(_CORNERS_OF_A_CIRCLE)]
            points = [(x + radius * math.cos(turn), y + radius * math.sin(turn)) for turn in turns]
        elif kind != "polygon":
            raise Fault("bad-label", where, f"is of the unknown type {kind!r}")
    except Fault:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise Fault("bad-label", where, f"is no {kind} ({error})") from error
    outline = polygon(points, size, where)
    if not outline:
        raise Fault("flat-label", where, "has no area")
    return Shape(label, (outline,))


def _decode(content: bytes, where: str) -> npt.NDArray[np.bool_]:
    stream = io.BytesIO(content)
    stream.name = f"the mask of {where}"
    pixels: npt.NDArray[np.bool_] = np.asarray(decode(stream).convert("L")) > 0
    return pixels
