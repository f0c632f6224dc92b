"""COCO's JSON: polygons and run lengths, https://cocodataset.org/#format-data."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segnet.data.faults import Fault
from segnet.data.images.headers import read_header
from segnet.data.labels.shapes import (
    Labelled,
    Labels,
    Shape,
    class_name,
    find_image,
    name_below,
    polygon,
    read_image,
    read_json,
    read_shape,
    rectangle,
    shortened,
    size_of,
    split_of,
    with_background,
)

_OURS = "predicted by segnet"  # how the description in a file of segnet predict begins
_CAPTION = "caption"
_POINT = 2


def is_coco(content: Any) -> bool:
    """Whether a JSON file's content is of this format."""
    return isinstance(content, dict) and len({"images", "annotations", "categories"} & content.keys()) > 1


def read_coco(files: Sequence[Path], folders: Sequence[Path]) -> Labels:
    """Read one or several files of one dataset.

    Larger shapes lie below smaller ones: COCO doesn't say which is in front, and a small one that lay below
    would be lost. A crowd (``iscrowd``) is drawn: its pixels are of its class, and some tools write masks of
    single objects as crowds. Captions say nothing about pixels. The box of an annotation without an outline
    is ignored. COCO doesn't tell an image of background alone from one that nobody has annotated; only in the
    files of ``segnet predict`` images without annotations are known to be background.

    Args:
        files: the JSON files; the split is what a file's path tells.
        folders: where images may be.

    Raises:
        Fault: a file that isn't JSON or is of panoptic segmentation, where it is the only one.
    """
    labels = Labels("COCO", [])
    for file in files:
        try:
            content = read_json(file)
            if not is_coco(content):
                raise Fault("other-file", file, "is no file of COCO")
            split = split_of(file.stem) or split_of(file.resolve().parent.name)
            _add(labels, file, content, folders, split if len(files) > 1 else "")
        except Fault as fault:
            if len(files) == 1:
                raise
            labels.faults.append(fault)
    labels.classes = with_background(labels.classes)
    return labels


@dataclass(frozen=True)
class _File:
    """What the entries of one file share."""

    names: dict[Hashable, str]
    """Of categories, by id."""
    folders: list[Path]
    split: str
    is_ours: bool
    faults: list[Fault]


def _add(labels: Labels, file: Path, content: dict[str, Any], folders: Sequence[Path], split: str) -> None:
    of_image: dict[Hashable, list[Any]] = {}
    for entry in _list(labels, file, content, "annotations"):
        if isinstance(entry, dict) and "segments_info" in entry:
            said = "is of panoptic segmentation, whose masks are PNG files beside it"
            raise Fault("bad-label", file, said, "export instances (polygons or run lengths) instead")
        if (kind := _kind(entry)) == _CAPTION:
            labels.no_shapes[kind] += 1
        else:
            of_image.setdefault(_id(entry, "image_id"), []).append(entry)
    info = content.get("info")
    is_ours = isinstance(info, dict) and str(info.get("description")).startswith(_OURS)
    around = [*_beside(file), *folders]
    shared = _File(_categories(labels, file, content), around, split, is_ours, labels.faults)
    labels.classes += shared.names.values()
    images = _list(labels, file, content, "images")
    alike: dict[Hashable, list[Any]] = {}
    for entry in images:
        alike.setdefault(_id(entry, "id"), []).append(entry)
    done: set[Hashable] = set()
    for entry in images:
        number, where = _id(entry, "id"), f"{file}: {_said(entry, 'file_name')}"
        if number is not None and number in done and entry == alike[number][0]:
            labels.images.append(Labelled(None, "", where, left_out="listed twice"))
            continue
        done.add(number)
        annotations = [] if number is None else of_image.pop(number, [])
        read = partial(_image, entry, alike[number], annotations, shared, where)
        labels.images.append(read_image(read, where, labels.faults, map(_kind, annotations)))
    lost = [(number, entry) for number, entries in of_image.items() for entry in entries]
    labels.orphans += [Shape("", kind=_kind(entry), left_out="image not listed") for _, entry in lost]
    if lost:
        more = f" ({len(lost) - 1} more like it)" if len(lost) > 1 else ""
        said = f"has an annotation of an image {shortened(lost[0][0])} that it lacks{more}"
        labels.faults.append(Fault("bad-label", file, said))


def _beside(file: Path) -> list[Path]:
    """Return where the images of a file may lie, the likeliest first.

    ``annotations/instances_train2017.json`` has them in ``train2017``, or as CVAT writes it in
    ``images/train2017``.
    """
    around = [file.parent, file.parent / "images"]
    if file.parent.name.lower() == "annotations":
        top, subset = file.absolute().parent.parent, file.stem.removeprefix("instances_")
        around += [top / "images" / subset, top / subset, top / "images", top]
    return around


def _list(labels: Labels, file: Path, content: dict[str, Any], name: str) -> list[Any]:
    stored = content.get(name)
    if isinstance(stored, list):
        return stored
    labels.faults.append(Fault("bad-label", file, f"has no list of {name}"))
    return []


def _categories(labels: Labels, file: Path, content: dict[str, Any]) -> dict[Hashable, str]:
    """Return the name of each id that has one."""
    names: dict[Hashable, str] = {}
    unclear = set()
    for place, entry in enumerate(_list(labels, file, content, "categories"), 1):
        number = _id(entry, "id")
        name = class_name(entry.get("name")) if isinstance(entry, dict) else ""
        if number is None or not name:
            said = f"has a category without an id or a name, number {place} in its list"
            labels.faults.append(Fault("bad-label", file, said))
        elif names.setdefault(number, name) != name:
            said = f"has two names for the category {number}: {names[number]} and {name}"
            labels.faults.append(Fault("bad-label", file, said))
            unclear.add(number)
    return {number: name for number, name in names.items() if number not in unclear}


def _id(entry: Any, key: str) -> Hashable:
    """Return an id of an entry, of which some tools write the number as text; None where there is none."""
    value = entry.get(key) if isinstance(entry, dict) else None
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None


def _said(entry: Any, key: str) -> str:
    return shortened(entry.get(key) if isinstance(entry, dict) else entry)


def _kind(entry: Any) -> str:
    if not isinstance(entry, dict):
        return "unknown"
    stored = entry.get("segmentation")
    if _CAPTION in entry and not stored:
        return _CAPTION
    if stored and entry.get("iscrowd") not in (None, 0, "0", False):
        return "crowd"
    if stored:
        return "run lengths" if isinstance(stored, dict) else "polygon"
    return "keypoints" if entry.get("keypoints") else "box"


def _image(
    entry: dict[str, Any], alike: Sequence[Any], annotations: Sequence[Any], shared: _File, where: str
) -> Labelled:
    if _id(entry, "id") is None:
        raise Fault("bad-label", where, "has no id")
    if any(other != entry for other in alike):
        raise Fault("bad-label", where, f"has the id {_said(entry, 'id')}, which another image has too")
    found = find_image(entry.get("file_name"), shared.folders, where)
    says_size = entry.get("width") or entry.get("height")
    size = size_of(entry.get("width"), entry.get("height"), where) if says_size else read_header(found).size
    shapes = [
        _annotation(each, shared, size, f"{where}, annotation {_said(each, 'id')}") for each in annotations
    ]
    shapes.sort(key=lambda pair: -pair[0])
    kept = name_below(entry["file_name"])
    drawn = [shape for _, shape in shapes]
    return Labelled(found, kept, where, shared.split, size, drawn, looked_at=shared.is_ours)


def _annotation(entry: Any, shared: _File, size: tuple[int, int], where: str) -> tuple[float, Shape]:
    """Return the area of an annotation and its shape."""
    area = _area(box := _box(entry, size))

    def read() -> Shape:
        nonlocal area
        shape, area = _shape(entry, shared.names, size, where, box)
        return shape

    drawn = read_shape(read, _kind(entry), where, shared.faults, [box])
    return area, drawn


def _box(entry: Any, size: tuple[int, int]) -> tuple[float, ...]:
    """Return the polygon of an annotation's box, an empty one where it has none."""
    try:
        left, top, width, height = map(float, entry["bbox"])
        return rectangle(left, top, left + width, top + height, size)
    except (KeyError, TypeError, ValueError, OverflowError):
        return ()


def _shape(
    entry: Any, names: dict[Hashable, str], size: tuple[int, int], where: str, box: tuple[float, ...]
) -> tuple[Shape, float]:
    """Return a shape and its area."""
    if not isinstance(entry, dict):
        raise Fault("bad-label", where, "is no annotation")
    label, stored, kind = names.get(_id(entry, "category_id")), entry.get("segmentation"), _kind(entry)
    if label is None:
        raise Fault("bad-label", where, f"has the unknown category {_said(entry, 'category_id')}")
    if isinstance(stored, list) and len(stored) == 1 and isinstance(stored[0], dict):
        (stored,) = stored  # some tools put run lengths into a list, as polygons are
    if isinstance(stored, dict):
        runs = read_runs(stored.get("counts"), stored.get("size"), size, where)
        return Shape(label, (box,), partial(decode_runs, runs, size), kind=kind), float(sum(runs[1::2]))
    if not stored and box:
        what = "has keypoints" if kind == "keypoints" else "is a box"
        raise Fault("box-label", where, f"{what} without an outline")
    if not stored or not isinstance(stored, list):
        raise Fault("bad-label", where, "has no outline", "a mask needs polygons or run lengths")
    parts = stored if isinstance(stored[0], list) else [stored]
    if all(isinstance(part, list) and len(part) == _POINT for part in parts):  # one polygon, point by point
        parts = [parts]
    polygons = tuple(each for each in (polygon(part, size, where) for part in parts) if each)
    if not polygons:
        raise Fault("flat-label", where, "has no area")
    return Shape(label, polygons, kind=kind), sum(map(_area, polygons))


def _area(flat: Sequence[float]) -> float:
    """Return the area of a polygon, 0 of an empty one."""
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
