"""CVAT's XML for images: https://docs.cvat.ai/docs/manual/advanced/formats/format-cvat/."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from segnet.core.errors import SegnetError
from segnet.core.foreground import BACKGROUND
from segnet.data.faults import Fault
from segnet.data.labels.shapes import (
    Labelled,
    Labels,
    Shape,
    find_image,
    name_below,
    polygon,
    split_of,
)

_SHAPES = ("polygon", "mask", "box", "ellipse")
_CORNERS_OF_AN_ELLIPSE = 128


def read_cvat(file: Path, folders: Sequence[Path]) -> Labels:
    """Read a file of annotations; shapes lie on each other by their z_order.

    Raises:
        SegnetError: it isn't such a file.
    """
    labels = Labels("CVAT", [])
    try:
        text = file.read_bytes()
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:  # CVAT writes none, and they can be made to explode
            raise SegnetError(f"{file} declares a document type, which no file of CVAT does")
        root = ElementTree.fromstring(text)  # noqa: S314 - without entities it is safe
    except (OSError, ElementTree.ParseError, ValueError, RecursionError) as error:
        raise SegnetError(f"{file} can't be read as XML: {error}") from error
    if root.tag != "annotations":
        raise SegnetError(f"{file} is no file of CVAT: it begins with <{root.tag}>, not <annotations>")
    names = [name.text or "" for name in root.iterfind("./meta//labels/label/name")]
    for entry in root.iterfind("image"):
        name = entry.get("name", "")
        where = f"{file}: {name}"
        try:
            found = find_image(name, [file.parent, file.parent / "images", *folders], where)
        except Fault as fault:
            labels.faults.append(fault)
            continue
        try:
            size = int(entry.attrib["width"]), int(entry.attrib["height"])
        except (KeyError, ValueError):
            labels.faults.append(Fault("bad-label", where, "has no width and height"))
            continue
        shapes: list[tuple[int, Shape]] = []
        for number, shape in enumerate(entry, 1):
            try:
                if shape.tag != "tag":  # says something of the image as a whole
                    shapes.append(_shape(shape, size, f"{where}, shape {number}"))
            except Fault as fault:
                labels.faults.append(fault)
        shapes.sort(key=lambda pair: pair[0])
        names += [shape.label for _, shape in shapes if shape.label not in names]
        split = split_of(entry.get("subset", ""))
        labels.images.append(
            Labelled(found, name_below(name), where, split, size, [each for _, each in shapes])
        )
    labels.classes = [BACKGROUND, *[name for name in dict.fromkeys(names) if name != BACKGROUND]]
    return labels


def _shape(entry: ElementTree.Element, size: tuple[int, int], where: str) -> tuple[int, Shape]:
    """Return a shape with its z_order."""
    kind, label = entry.tag, entry.get("label", "")
    if not label:
        raise Fault("bad-label", where, "has no label")
    if kind not in _SHAPES:
        raise Fault("flat-label", where, f"is a {kind} of {label}, which has no area")
    try:
        order = int(entry.get("z_order", "0"))
        if kind == "mask":
            left, top, width, height = (int(entry.attrib[key]) for key in ("left", "top", "width", "height"))
            runs = [int(run) for run in entry.attrib["rle"].split(",")]
            if min(runs) < 0 or sum(runs) != width * height or width * height > size[0] * size[1]:
                raise Fault("bad-label", where, "has run lengths that don't add up to its box")
            if min(left, top, width, height) < 0:
                raise Fault("bad-label", where, "has a box that begins outside its image")
            return order, Shape(label, bitmap=partial(_decode, runs, (height, width)), left_top=(left, top))
        if kind == "box":
            x0, y0, x1, y1 = (float(entry.attrib[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
            points = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        elif kind == "ellipse":
            cx, cy, rx, ry = (float(entry.attrib[key]) for key in ("cx", "cy", "rx", "ry"))
            turns = np.linspace(0, 2 * np.pi, _CORNERS_OF_AN_ELLIPSE, endpoint=False)
            points = [*zip(cx + rx * np.cos(turns), cy + ry * np.sin(turns), strict=True)]
        else:
            pairs = [pair.split(",") for pair in entry.attrib["points"].split(";")]
            points = [(float(x), float(y)) for x, y in pairs]
    except (KeyError, ValueError) as error:
        raise Fault("bad-label", where, f"is no {kind} ({error})") from error
    outline = polygon(points, size, where)
    if not outline:
        raise Fault("flat-label", where, "has no area")
    return order, Shape(label, (outline,))


def _decode(runs: Sequence[int], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the pixels of run lengths along the rows, outside and inside in turn."""
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(shape)
