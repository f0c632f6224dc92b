"""COCO's JSON: polygons and run lengths, https://cocodataset.org/#format-data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segnet.data.faults import Fault
from segnet.data.labels.fields import (
    Polygon,
    class_name,
    decode_runs,
    field_of,
    list_of,
    polygon,
    rectangle,
    require,
    shortened,
    size_of,
)
from segnet.data.labels.finding import find_image, name_below, split_of
from segnet.data.labels.shapes import Labelled, Labels, Shape, outlined, with_background

_OURS = "predicted by segnet"  # how the description in a file of segnet predict begins
_CAPTION = "caption"
_POINT = 2


def is_coco(content: Any) -> bool:
    """Whether a JSON file's content is of this format."""
    return isinstance(content, dict) and len({"images", "annotations", "categories"} & content.keys()) > 1


def read_coco(files: Sequence[Path], folders: Sequence[Path], load: Callable[[Path], Any]) -> Labels:
    """Read one or several files of one dataset.

    Larger shapes lie below smaller ones: COCO doesn't say which is in front, and a small one that lay below
    would be lost. A crowd (``iscrowd``) is drawn: its pixels are of its class, and some tools write masks of
    single objects as crowds. Captions say nothing about pixels. The box of an annotation without an outline
    is ignored. COCO doesn't tell an image of background alone from one that nobody has annotated; only in the
    files of ``segnet predict`` images without annotations are known to be background.

    Args:
        files: the JSON files; the split is what a file's path tells.
        folders: where images may be.
        load: returns a file's content.

    Raises:
        Fault: a file that isn't JSON or is of panoptic segmentation, where it is the only one.
    """
    labels = Labels("COCO")
    for file, content in labels.read_files(files, partial(_read, load)):
        split = split_of(file.stem) or split_of(file.resolve().parent.name)
        _add(labels, file, content, [*_beside(file), *folders], split if len(files) > 1 else "")
    labels.classes = with_background(labels.classes)
    return labels


def _read(load: Callable[[Path], Any], file: Path) -> Any:
    content = load(file)
    if any("segments_info" in entry for entry in list_of(content, "annotations") if isinstance(entry, dict)):
        said = "is of panoptic segmentation, whose masks are PNG files beside it"
        raise Fault("bad-label", file, said, "export instances (polygons or run lengths) instead")
    return content


def _add(labels: Labels, file: Path, content: dict[str, Any], folders: Sequence[Path], split: str) -> None:
    for name in ("annotations", "categories", "images"):
        if not isinstance(content.get(name), list):
            labels.faults.append(Fault("bad-label", file, f"has no list of {name}"))
    names = _categories(labels, file, list_of(content, "categories"))
    labels.classes += names.values()
    of_image: dict[Hashable, list[Any]] = defaultdict(list)
    for entry in list_of(content, "annotations"):
        if _kind(entry) == _CAPTION:
            labels.tally.no_shapes[_CAPTION] += 1
        else:
            of_image[_id(entry, "image_id")].append(entry)
    is_ours = str(field_of(content.get("info"), "description")).startswith(_OURS)

    def image(
        entry: dict[str, Any], alike: Sequence[Any], annotations: Sequence[Any], where: str
    ) -> Labelled:
        require(_id(entry, "id") is not None, "has no id")
        same = all(other == entry for other in alike)
        require(same, f"has the id {_said(entry, 'id')}, which another image has too")
        found = find_image(entry.get("file_name"), folders)
        size = size_of(entry.get("width"), entry.get("height"), found)
        shapes = _shapes(labels, annotations, names, size, where)
        return Labelled(found, name_below(entry["file_name"]), where, split, size, shapes, looked_at=is_ours)

    alike: dict[Hashable, list[Any]] = defaultdict(list)
    for entry in list_of(content, "images"):
        alike[_id(entry, "id")].append(entry)
    for number, entries in alike.items():
        for place, entry in enumerate(entries):
            where = f"{file}: {_said(entry, 'file_name')}"
            if place and number is not None and entry == entries[0]:
                labels.images.append(Labelled(None, "", where, left_out="listed twice"))
                continue
            annotations = [] if number is None else of_image.pop(number, [])
            read = partial(image, entry, entries, annotations, where)
            labels.read_image(read, where, map(_kind, annotations))
    lost = [(number, entry) for number, entries in of_image.items() for entry in entries]
    labels.tally.left_out.update((_kind(entry), "image not listed") for _, entry in lost)
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


def _categories(labels: Labels, file: Path, entries: Sequence[Any]) -> dict[Hashable, str]:
    """Return the name of each id that has one."""
    names: dict[Hashable, str] = {}
    unclear = set()
    for place, entry in enumerate(entries, 1):
        number, name = _id(entry, "id"), class_name(field_of(entry, "name"))
        said = ""
        if number is None or not name:
            said = f"has a category without an id or a name, number {place} in its list"
        elif names.setdefault(number, name) != name:
            said = f"has two names for the category {number}: {names[number]} and {name}"
            unclear.add(number)
        labels.faults += [Fault("bad-label", file, said)] if said else []
    return {number: name for number, name in names.items() if number not in unclear}


def _id(entry: Any, key: str) -> Hashable:
    """Return an id of an entry, of which some tools write the number as text; None where there is none."""
    value = field_of(entry, key)
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None


def _said(entry: Any, key: str) -> str:
    return shortened(entry.get(key) if isinstance(entry, dict) else entry)


def _kind(entry: Any) -> str:
    stored = field_of(entry, "segmentation")
    if not isinstance(entry, dict):
        return "unknown"
    if stored:
        is_crowd = entry.get("iscrowd") not in (None, 0, "0", False)
        return "crowd" if is_crowd else "run lengths" if isinstance(stored, dict) else "polygon"
    return _CAPTION if _CAPTION in entry else "keypoints" if entry.get("keypoints") else "box"


def _shapes(
    labels: Labels,
    annotations: Sequence[Any],
    names: Mapping[Hashable, str],
    size: tuple[int, int],
    where: str,
) -> list[Shape]:
    """Return the shapes of an image's annotations, the largest first."""
    read = partial(_shape, names=names)
    shapes = [
        labels.read_shape(
            each,
            _kind(each),
            f"{where}, annotation {_said(each, 'id')}",
            size,
            read,
            lambda entry, size: [_box(entry, size)],
        )
        for each in annotations
    ]
    return sorted(shapes, key=_area, reverse=True)


def _box(entry: Any, size: tuple[int, int]) -> Polygon:
    """Return the polygon of an annotation's box, an empty one where it has none."""
    try:
        left, top, width, height = map(float, entry["bbox"])
        return rectangle(left, top, left + width, top + height, size)
    except (KeyError, TypeError, ValueError, OverflowError):
        return ()


def _area(shape: Shape) -> float:
    """Return the area of a shape, or of its extent, in pixels."""
    if shape.bitmap_px is not None:
        return shape.bitmap_px
    pairs = [np.array(each).reshape(-1, 2).T for each in shape.polygons]
    return sum(abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1))) / 2 for x, y in pairs)


def _shape(entry: Any, size: tuple[int, int], names: Mapping[Hashable, str]) -> Shape:
    require(isinstance(entry, dict), "is no annotation")
    label, stored = names.get(_id(entry, "category_id"), ""), entry.get("segmentation")
    require(label, f"has the unknown category {_said(entry, 'category_id')}")
    if isinstance(stored, list) and len(stored) == 1 and isinstance(stored[0], dict):
        (stored,) = stored  # some tools put run lengths into a list, as polygons are
    if isinstance(stored, dict):
        runs = read_runs(stored.get("counts"), stored.get("size"), size)
        return Shape(label, bitmap=lambda: decode_runs(runs, size).T, bitmap_px=sum(runs[1::2]))
    what = "has keypoints" if _kind(entry) == "keypoints" else "is a box"
    require(stored or not _box(entry, size), f"{what} without an outline", kind="box-label")
    is_list = stored and isinstance(stored, list)
    require(is_list, "has no outline", "a mask needs polygons or run lengths")
    parts = stored if isinstance(stored[0], list) else [stored]
    if all(isinstance(part, list) and len(part) == _POINT for part in parts):  # one polygon, point by point
        parts = [parts]
    return outlined(label, [polygon(part, size) for part in parts])


def read_runs(counts: Any, stored: Any, size: tuple[int, int]) -> list[int]:
    """Return COCO's run lengths, given as a list or as its text of them.

    They go down the columns, outside and inside in turn.

    Raises:
        Malformed: they don't fill the image exactly.
    """
    width, height = size
    fits = stored is None or [*stored] == [height, width]
    require(fits, f"has run lengths for {stored}, its image is {[height, width]}")
    runs = _parse_runs(counts.encode("ascii", "replace")) if isinstance(counts, str) else counts
    whole = isinstance(runs, list) and all(type(run) is int and run >= 0 for run in runs)
    require(whole and sum(runs) == width * height, "has run lengths that don't add up to its image")
    return [*runs]


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
