"""CVAT's XML for images: https://docs.cvat.ai/docs/manual/advanced/xml_format/."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from segnet.base.errors import SegnetError
from segnet.data.faults import Fault
from segnet.data.labels.corners import Points, ellipse, turned
from segnet.data.labels.finding import read_text
from segnet.data.labels.shapes import (
    Labelled,
    Labels,
    Shape,
    find_image,
    name_below,
    polygon,
    read_image,
    read_shape,
    size_of,
    split_of,
    with_background,
)

_WITHOUT_AREA = ("points", "polyline", "skeleton")
_NEVER_DRAWN = ("points", "polyline", "skeleton", "cuboid", "tag")  # types of labels
_CORNERS = ("x[tb][lr][12]", "y[tb][lr][12]")  # of a cuboid: top or bottom, left or right, front or back
_DECLARED = re.compile(rb"""^\s*<\?xml[^>]*encoding\s*=\s*["']([\w.:-]+)["']""")


def is_cvat(file: Path) -> bool:
    """Whether an XML file begins as CVAT's do."""
    try:
        with file.open("rb") as opened:
            start = opened.read(4096).replace(b"\0", b"")
    except OSError:
        return False
    return b"<annotations" in start


def read_cvat(files: Sequence[Path], folders: Sequence[Path]) -> Labels:
    """Read one or several jobs' files of annotations; shapes lie on each other by their z_order.

    Args:
        files: the XML files; each job's images are first looked for beside it.
        folders: where images may be besides.

    Raises:
        SegnetError: the only file isn't such a file, or one is of a video.
    """
    labels = Labels("CVAT", [])
    top = Path(os.path.commonpath([file.parent.absolute() for file in files]))
    drawable: list[str] = []
    for file in files:
        try:
            root = _parse(file)
        except Fault as fault:
            if len(files) == 1:
                raise
            labels.faults.append(fault)
            continue
        drawable += _declared(root)
        job = file.parent.absolute().relative_to(top)
        for entry in root.iterfind("image"):
            where = f"{file}: {entry.get('name', '')}"
            kinds = [shape.tag for shape in entry if shape.tag != "tag"]
            labels.no_shapes["tag"] += len(entry) - len(kinds)
            near = [file.parent, file.parent / "images", *folders]
            read = partial(_image, entry, near, job, where, labels.faults)
            labels.images.append(read_image(read, where, labels.faults, kinds))
    drawn = (shape.label for each in labels.images for shape in each.shapes if not shape.left_out)
    labels.classes = with_background([*drawable, *filter(None, drawn)])
    return labels


class _WithoutDoctype(ElementTree.TreeBuilder):
    """CVAT declares no document type, and entities can be made to explode."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError(f"it declares a document type, {name}, which no file of CVAT does")


def _parse(file: Path) -> ElementTree.Element:
    """Return a file's root.

    Raises:
        Fault: it isn't XML, or of something else.
        SegnetError: it is of a video.
    """
    try:
        with file.open("rb") as opened:
            declared = _DECLARED.match(opened.read(200))
        text = read_text(file, declared[1].decode() if declared else "utf-8")
        parser = ElementTree.XMLParser(target=_WithoutDoctype())  # noqa: S314 - without entities it is safe
        root = ElementTree.fromstring(text.lstrip("\ufeff \t\r\n"), parser)  # noqa: S314
    except (OSError, SegnetError, ElementTree.ParseError, ValueError, RecursionError) as error:
        raise Fault("bad-label", file, f"can't be read as XML ({error})") from error
    if root.tag != "annotations":
        boxes = ", Pascal VOC's boxes without outlines" if root.tag == "annotation" else ""
        raise Fault("bad-label", file, f"is no file of CVAT: it begins with <{root.tag}>{boxes}")
    if root.find("track") is not None:
        raise SegnetError(
            f"{file} is of the format CVAT for video, whose tracks aren't read; export it from CVAT as "
            "'CVAT for images 1.1' or as 'Segmentation mask 1.1'"
        )
    return root


def _declared(root: ElementTree.Element) -> list[str]:
    """Return the labels that a job declares, without those that have no area or are parts of a skeleton."""
    return [
        (label.findtext("name") or "").strip()
        for label in root.iterfind("./meta//labels/label")
        if label.findtext("type") not in _NEVER_DRAWN and label.find("parent") is None
    ]


def _image(
    entry: ElementTree.Element, folders: Sequence[Path], job: Path, where: str, faults: list[Fault]
) -> Labelled:
    name, subset = entry.get("name"), entry.get("subset", "")
    size = size_of(entry.get("width"), entry.get("height"), where)
    found = find_image([f"{subset}/{name}", name] if subset and name else name, folders, where)
    ordered: list[tuple[float, Shape]] = []
    for number, shape in enumerate((each for each in entry if each.tag != "tag"), 1):
        here = f"{where}, shape {number}"
        read = partial(_shape, shape, size, here, faults)
        drawn = read_shape(read, shape.tag, here, faults, _extent(shape, size, here))
        ordered.append((_order(shape), drawn))
    ordered.sort(key=lambda pair: pair[0])
    kept = (job / name_below(name or "")).as_posix()
    shapes = [shape for _, shape in ordered]
    return Labelled(found, kept, where, split_of(subset), size, shapes, looked_at=bool(shapes))


def _order(shape: ElementTree.Element) -> float:
    """Return how high a shape lies; one that doesn't tell lies on top, where its pixels are ignored."""
    try:
        return _number(shape, "z_order", "0")
    except ValueError:
        return math.inf


def _number(entry: ElementTree.Element, key: str, default: str | None = None) -> float:
    text = entry.get(key, default)
    if text is None:
        raise KeyError(key)
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{key} is {text}")
    return number


def _shape(entry: ElementTree.Element, size: tuple[int, int], where: str, faults: list[Fault]) -> Shape:
    kind, label = entry.tag, (entry.get("label") or "").strip()
    if not label:
        raise Fault("bad-label", where, "has no label")
    if entry.get("outside") == "1":
        return Shape(label, kind=kind, left_out="marked as outside the image")
    if kind in _WITHOUT_AREA:
        raise Fault("flat-label", where, f"is a {kind} of {label}, which has no area")
    if kind == "cuboid":
        said = f"is a cuboid of {label}, which isn't drawn: the pixels of its box are ignored"
        faults.append(Fault("flat-label", where, said, "draw it as a polygon or a mask"))
        return Shape(label, tuple(_extent(entry, size, where)), kind=kind, left_out="cuboid: ignored")
    _number(entry, "z_order", "0")
    if kind == "mask":
        return _mask(entry, label, size, where)
    if kind not in _OUTLINES:
        raise Fault("bad-label", where, f"is of the unknown kind {kind}")
    outline = polygon(_OUTLINES[kind](entry), size, where)
    if not outline:
        raise Fault("flat-label", where, "has no area")
    return Shape(label, (outline,), kind=kind)


def _mask(entry: ElementTree.Element, label: str, size: tuple[int, int], where: str) -> Shape:
    left, top, width, height = (int(_number(entry, key)) for key in ("left", "top", "width", "height"))
    runs = [int(run) for run in entry.attrib["rle"].split(",")]
    if min(runs) < 0 or sum(runs) != width * height or width * height > size[0] * size[1]:
        raise Fault("bad-label", where, "has run lengths that don't add up to its box")
    if min(left, top, width, height) < 0:
        raise Fault("bad-label", where, "has a box that begins outside its image")
    return Shape(label, bitmap=partial(_decode, runs, (height, width)), left_top=(left, top), kind="mask")


def _decode(runs: Sequence[int], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the pixels of run lengths along the rows, outside and inside in turn."""
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(shape)


def _corners(entry: ElementTree.Element) -> Points:
    pairs = [pair.split(",") for pair in entry.attrib["points"].strip().strip(";").split(";")]
    return [(float(x), float(y)) for x, y in pairs]


def _box(entry: ElementTree.Element) -> Points:
    left, top, right, bottom = (_number(entry, key) for key in ("xtl", "ytl", "xbr", "ybr"))
    centre = (left + right) / 2, (top + bottom) / 2
    return turned(_rectangle(left, top, right, bottom), centre, _number(entry, "rotation", "0"))


def _rectangle(left: float, top: float, right: float, bottom: float) -> Points:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _ellipse(entry: ElementTree.Element) -> Points:
    x, y, across, along = (_number(entry, key) for key in ("cx", "cy", "rx", "ry"))
    return turned(ellipse((x, y), (across, along)), (x, y), _number(entry, "rotation", "0"))


_OUTLINES = {"polygon": _corners, "box": _box, "ellipse": _ellipse}


def _extent(entry: ElementTree.Element, size: tuple[int, int], where: str) -> list[tuple[float, ...]]:
    """Return the outline within which a shape lies that can't be read or isn't drawn, if it tells."""
    with suppress(KeyError, ValueError, Fault):
        if entry.tag == "mask":
            left, top, width, height = (_number(entry, key) for key in ("left", "top", "width", "height"))
            return [polygon(_rectangle(left, top, left + width, top + height), size, where)]
        if entry.tag == "cuboid":
            x, y = (
                [_number(entry, key) for key in entry.attrib if re.fullmatch(end, key)] for end in _CORNERS
            )
            return [polygon(_rectangle(min(x), min(y), max(x), max(y)), size, where)]
        if entry.tag in _OUTLINES:
            return [polygon(_OUTLINES[entry.tag](entry), size, where)]
    return []
