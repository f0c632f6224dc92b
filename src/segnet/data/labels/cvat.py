"""CVAT's XML for images: https://docs.cvat.ai/docs/manual/advanced/xml_format/."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from segnet.base.errors import SegnetError
from segnet.data.faults import Fault
from segnet.data.labels.fields import (
    Points,
    Polygon,
    corners,
    decode_runs,
    ellipse,
    polygon,
    require,
    size_of,
    turned,
)
from segnet.data.labels.finding import find_image, name_below, read_text, split_of
from segnet.data.labels.shapes import Labelled, Labels, Shape, outlined, with_background

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
    labels = Labels("CVAT")
    top = Path(os.path.commonpath([file.parent.absolute() for file in files]))
    drawable: list[str] = []
    for file, root in labels.read_files(files, _parse):
        drawable += _declared(root)
        job = file.parent.absolute().relative_to(top)
        near = [file.parent, file.parent / "images", *folders]
        for entry in root.iterfind("image"):
            where = f"{file}: {entry.get('name', '')}"
            shapes = [shape for shape in entry if shape.tag != "tag"]
            labels.tally.no_shapes.update(shape.tag for shape in entry if shape.tag == "tag")
            read = partial(_image, labels, entry, shapes, near, job, where)
            labels.read_image(read, where, [shape.tag for shape in shapes])
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
    labels: Labels,
    entry: ElementTree.Element,
    entries: Sequence[ElementTree.Element],
    folders: Sequence[Path],
    job: Path,
    where: str,
) -> Labelled:
    name, subset = entry.get("name"), entry.get("subset", "")
    found = find_image([f"{subset}/{name}", name] if subset and name else name, folders)
    size = size_of(entry.get("width"), entry.get("height"), found)
    shapes = [
        labels.read_shape(shape, shape.tag, f"{where}, shape {number}", size, _shape, _extent)
        for number, shape in enumerate(entries, 1)
    ]
    ordered = sorted(zip(map(_order, entries), shapes, strict=True), key=lambda pair: pair[0])
    kept = (job / name_below(name or "")).as_posix()
    in_front = [shape for _, shape in ordered]
    return Labelled(found, kept, where, split_of(subset), size, in_front, looked_at=bool(shapes))


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


def _shape(entry: ElementTree.Element, size: tuple[int, int]) -> Shape:
    kind, label = entry.tag, (entry.get("label") or "").strip()
    require(label, "has no label")
    if entry.get("outside") == "1":
        return Shape(label, left_out="marked as outside the image")
    has_area = kind not in _WITHOUT_AREA
    require(has_area, f"is a {kind} of {label}, which has no area", kind="flat-label")
    said = f"is a cuboid of {label}, which isn't drawn: the pixels of its box are ignored"
    require(kind != "cuboid", said, "draw it as a polygon or a mask", "box-label")
    _number(entry, "z_order", "0")
    if kind == "mask":
        return _mask(entry, label, size)
    require(kind in _OUTLINES, f"is of the unknown kind {kind}")
    return outlined(label, [polygon(_OUTLINES[kind](entry), size)])


def _mask(entry: ElementTree.Element, label: str, size: tuple[int, int]) -> Shape:
    left, top, width, height = map(int, _box_of_mask(entry))
    runs = [int(run) for run in entry.attrib["rle"].split(",")]
    fits = min(runs) >= 0 and sum(runs) == width * height <= size[0] * size[1]
    require(fits, "has run lengths that don't add up to its box")
    require(min(left, top, width, height) >= 0, "has a box that begins outside its image")
    return Shape(label, bitmap=partial(decode_runs, runs, (height, width)), left_top=(left, top))


def _box_of_mask(entry: ElementTree.Element) -> tuple[float, float, float, float]:
    left, top, width, height = (_number(entry, key) for key in ("left", "top", "width", "height"))
    return left, top, width, height


def _polygon(entry: ElementTree.Element) -> Points:
    pairs = [pair.split(",") for pair in entry.attrib["points"].strip().strip(";").split(";")]
    return [(float(x), float(y)) for x, y in pairs]


def _box(entry: ElementTree.Element) -> Points:
    left, top, right, bottom = (_number(entry, key) for key in ("xtl", "ytl", "xbr", "ybr"))
    centre = (left + right) / 2, (top + bottom) / 2
    return turned(corners(left, top, right, bottom), centre, _number(entry, "rotation", "0"))


def _ellipse(entry: ElementTree.Element) -> Points:
    x, y, across, along = (_number(entry, key) for key in ("cx", "cy", "rx", "ry"))
    return turned(ellipse((x, y), (across, along)), (x, y), _number(entry, "rotation", "0"))


def _around_mask(entry: ElementTree.Element) -> Points:
    left, top, width, height = _box_of_mask(entry)
    return corners(left, top, left + width, top + height)


def _around_cuboid(entry: ElementTree.Element) -> Points:
    x, y = ([_number(entry, key) for key in entry.attrib if re.fullmatch(end, key)] for end in _CORNERS)
    return corners(min(x), min(y), max(x), max(y))


_OUTLINES = {"polygon": _polygon, "box": _box, "ellipse": _ellipse}
_EXTENTS = _OUTLINES | {"mask": _around_mask, "cuboid": _around_cuboid}


def _extent(entry: ElementTree.Element, size: tuple[int, int]) -> list[Polygon]:
    """Return the outline within which a shape lies that can't be read or isn't drawn, if it tells."""
    return [polygon(_EXTENTS[entry.tag](entry), size)]
