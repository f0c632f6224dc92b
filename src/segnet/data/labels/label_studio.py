"""Label Studio's JSON export: https://labelstud.io/guide/export and https://labelstud.io/tags.

Its regions are polygons, rectangles, ellipses, brushes and bitmasks, in percent of the image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import numpy.typing as npt

from segnet.data.faults import Fault
from segnet.data.images.suffixes import IMAGE_SUFFIXES
from segnet.data.labels.fields import (
    Malformed,
    Polygon,
    class_name,
    corners,
    decode_picture,
    ellipse,
    field_of,
    from_base64,
    kind_of,
    list_of,
    polygon,
    require,
    shortened,
    size_of,
    turned,
)
from segnet.data.labels.finding import find_image
from segnet.data.labels.shapes import NOT_ANNOTATED, Labelled, Labels, Shape, outlined

_UPLOAD_PREFIX = 9  # eight hexadecimal digits and a dash, which an upload puts before a file's name
_TASKS_LOOKED_AT = 5
_LISTS = ("annotations", "completions")  # their name now and before version 1.0
_MINIMAL = ("annotation_id", "annotator", "lead_time")
# Types of results that have an area. A name with "labels" holds the class too; without, another result of
# the same id names it.
_SHAPES = frozenset(
    each + end
    for each in ("polygon", "rectangle", "ellipse", "brush", "bitmask", "vector")
    for end in ("", "labels")
)
# Types that have none, though they may repeat the place of a region that they belong to.
_NO_SHAPES = (
    "choices", "datetime", "keypoint", "keypointlabels", "labels", "number", "pairwise", "ranker", "rating",
    "relation", "taxonomy", "textarea",
)  # fmt: skip
_GEOMETRY = ("x", "points", "rle", "imageDataURL", "vertices", "sequence")  # what says where something is


def is_label_studio(content: Any) -> bool:
    """Whether a JSON file's content is of this format: a list of tasks, one task, or one annotation."""
    if isinstance(content, dict):
        return _is_task(content) or _is_task(content.get("task")) or _is_annotation(content)
    tasks = content[:_TASKS_LOOKED_AT] if isinstance(content, list) else []
    return any(_is_task(task) or _is_minimal(task) for task in tasks)


def _is_task(content: Any) -> bool:
    return isinstance(content, dict) and "data" in content and any(name in content for name in _LISTS)


def _is_annotation(content: Any) -> bool:
    """Whether this is an annotation with its task, as Label Studio writes to a target storage."""
    task = field_of(content, "task")
    return isinstance(task, dict) and "data" in task and "result" in content


def _is_minimal(content: Any) -> bool:
    return isinstance(content, dict) and "data" not in content and any(key in content for key in _MINIMAL)


def read_label_studio(files: Sequence[Path], folders: Sequence[Path], load: Callable[[Path], Any]) -> Labels:
    """Read exports. Of several annotations of a task the ground truth counts, else the last submitted one.

    Classes are in the order of their names, later shapes lie on top. A task without an annotation, or with
    skipped ones alone, is not annotated; an annotation that was submitted without a shape says that its image
    is background. Predictions and drafts are no annotations.

    Raises:
        Fault: a file that isn't JSON or is of the format JSON-MIN, where it is the only one.
    """
    labels = Labels("Label Studio")
    for file, tasks in labels.read_files(files, partial(_read, load)):
        for place, entry in enumerate(tasks, 1):
            task = entry["task"] | {"annotations": [entry]} if _is_annotation(entry) else entry
            number = task.get("id", place) if isinstance(task, dict) else place
            where = f"{file}: task {shortened(number)}"
            _add(labels, task, where, [file.parent, file.parent / "images", *folders])
    labels.name_classes()
    return labels


def _read(load: Callable[[Path], Any], file: Path) -> list[Any]:
    content = load(file)
    tasks = content if isinstance(content, list) else [content]
    if any(map(_is_minimal, tasks)) and not any(map(_is_task, tasks)):
        said = "is a JSON-MIN export of Label Studio, which leaves out what shapes are"
        raise Fault("bad-label", file, said, "export JSON instead")
    return tasks


def _add(labels: Labels, task: Any, where: str, folders: Sequence[Path]) -> None:
    for kind in ("predictions", "drafts"):
        labels.tally.no_shapes.update(kind for _ in list_of(task, kind))
    annotations = next(filter(None, (list_of(task, name) for name in _LISTS)), [])
    submitted = [each for each in annotations if not field_of(each, "was_cancelled")]
    best = [each for each in submitted if field_of(each, "ground_truth")]
    chosen = (best or submitted or [None])[-1]
    for annotation in annotations:
        if annotation is not chosen:
            skipped = field_of(annotation, "was_cancelled")
            reason = "annotation was skipped" if skipped else "in another annotation of its task"
            labels.tally.left_out.update((_kind(each), reason) for each in _regions(annotation, labels))
    regions = _regions(chosen, labels)

    def image() -> Labelled:
        require(isinstance(field_of(task, "data"), dict), "is no task as its format says")
        require(any(isinstance(task.get(name), list) for name in _LISTS), "has no list of annotations")
        if chosen is None:
            reason = "skipped by the annotator" if annotations else NOT_ANNOTATED
            return Labelled(None, "", where, left_out=reason)
        results = field_of(chosen, "result")
        require(isinstance(results, list), "has an annotation without a list of results")
        found = _found(task["data"], folders)
        size = _size(regions, found)
        named = [each for each in results if field_of(each, "type") == "labels"]
        of_region = {str(each.get("id")): field_of(each, "value") for each in named}
        read = partial(_shape, of_region=of_region)
        shapes = [
            labels.read_shape(each, _kind(each), f"{where}, shape {number}", size, read, _extent)
            for number, each in enumerate(regions, 1)
        ]
        return Labelled(found, found.stem, where, "", size, shapes)

    labels.read_image(image, where, map(_kind, regions))


def _kind(result: Any) -> str:
    return kind_of(field_of(result, "type"))


def _regions(annotation: Any, labels: Labels) -> list[Any]:
    """Return an annotation's results that are shapes; others are counted."""
    regions = []
    for result in list_of(annotation, "result"):
        kind, value = _kind(result), field_of(result, "value")
        has_place = isinstance(value, dict) and any(key in value for key in _GEOMETRY)
        if kind in _SHAPES or (kind not in _NO_SHAPES and (has_place or kind == "unknown")):
            regions.append(result)
        elif kind != "labels":  # which name the classes of shapes
            labels.tally.no_shapes[kind] += 1
    return regions


def _size(regions: Sequence[Any], image: Path) -> tuple[int, int]:
    """Return the size that the regions were drawn on, all of one image."""
    entries = [each for each in regions if isinstance(each, dict)]
    is_one = len({str(each.get("to_name")) for each in entries}) <= 1
    is_one = is_one and not any(each.get("item_index") for each in entries)
    require(is_one, "labels several images in one task", "import each image as a task of its own")
    sizes = ((each.get("original_width"), each.get("original_height")) for each in entries)
    return size_of(*next(filter(any, sizes), (None, None)), image)


def _found(data: dict[str, Any], folders: Sequence[Path]) -> Path:
    """Return a task's image: that under ``image``, or the only one that looks like one."""
    texts = [value for value in data.values() if isinstance(value, str) and value]
    likely = [text for text in texts if PurePosixPath(_path_of(text)).suffix.lower() in IMAGE_SUFFIXES]
    stored = data.get("image") or next(iter(likely or texts), None)
    several = any(isinstance(value, list) for value in data.values()) or len(set(likely)) > 1
    said = "names several images" if several else "names no image"
    is_one = isinstance(stored, str) and ("image" in data or not several)
    require(is_one, said, "each task needs one image, best under the name image")
    path = _path_of(str(stored))
    last = PurePosixPath(path.replace("\\", "/")).name
    return find_image([path.lstrip("/"), last, last[_UPLOAD_PREFIX:]], folders)


def _path_of(address: str) -> str:
    """Return the path of an address such as /data/local-files/?d=folder/photo.jpg."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    local = parse_qs(parts.query).get("d", [])
    return unquote(local[0] if local else parts.path)


# Regions


def _shape(entry: Any, size: tuple[int, int], of_region: Mapping[str, Any]) -> Shape:
    kind, value = _kind(entry), entry["value"]
    require(kind in _SHAPES, f"is of the type {kind}, which can't be drawn")
    turn = entry.get("image_rotation") or 0
    said = f"was drawn on an image turned by {shortened(turn)} degrees"
    require(not float(turn) % 360, said, kind="turned-label")
    for key, side in (("original_width", size[0]), ("original_height", size[1])):
        fits = entry.get(key) is None or int(entry[key]) == side
        require(fits, "is for an image of another size than the shapes before it")
    label = _label(entry, kind, of_region)
    if kind.startswith("brush") and "rle" in value:
        form = value.get("format", "rle")
        require(form == "rle", f"has a brush of the format {shortened(form)}")
        return Shape(label, bitmap=partial(decode_brush, value["rle"], size))
    if kind.startswith(("brush", "bitmask")):
        address = value["maskDataURL" if "maskDataURL" in value else "imageDataURL"]
        content = from_base64(address.partition(",")[2])
        return Shape(label, bitmap=partial(decode_picture, content, size))
    return outlined(label, _extent(entry, size))


def _label(entry: Any, kind: str, of_region: Mapping[str, Any]) -> str:
    """Return the label of a region, whose class may stand in a result of its own."""
    value, other = entry["value"], of_region.get(str(entry.get("id")))
    names = value.get(kind) or value.get("labels") or field_of(other, "labels")
    require(names and isinstance(names, list), "has no label")
    said = f"has {len(names)} labels ({shortened(', '.join(map(str, names)))})"
    require(len(names) == 1, said, "a pixel has one class: leave one of them")
    name = class_name(names[0])
    require(name, "has no label")
    return name


def _extent(entry: Any, size: tuple[int, int]) -> list[Polygon]:
    """Return the outline of a region, none of a brush."""
    kind, value, percent = _kind(entry), entry["value"], (size[0] / 100, size[1] / 100)
    if kind.startswith("polygon"):
        return [polygon(value["points"], size, percent)]
    if kind.startswith("vector"):
        return [polygon(_vertices(value), size, percent)]
    if not kind.startswith(("rectangle", "ellipse")):
        return []
    x, y = float(value["x"]) * percent[0], float(value["y"]) * percent[1]
    angle = float(value.get("rotation") or 0)
    if kind.startswith("rectangle"):
        width, height = float(value["width"]) * percent[0], float(value["height"]) * percent[1]
        points = corners(x, y, x + width, y + height)
    else:
        points = ellipse((x, y), (float(value["radiusX"]) * percent[0], float(value["radiusY"]) * percent[1]))
    return [polygon(turned(points, (x, y), angle), size)]


def _vertices(value: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    is_closed = value.get("closed")
    require(is_closed, "is an open line, which has no area", kind="flat-label")
    vertices = value["vertices"]
    is_straight = not any(vertex.get("isBezier") for vertex in vertices)
    require(is_straight, "has Bézier curves, which can't be drawn", "draw it as a polygon")
    return [(vertex["x"], vertex["y"]) for vertex in vertices]


def decode_brush(stored: Any, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the pixels ``(H, W)`` that a brush has painted.

    The numbers are bytes of a stream of bits: 32 of how many values follow, 5 of the width of a value, four
    times 4 of the widths of run lengths; then runs, each led by a bit, whether one value is repeated, two
    that choose a width, and a length less one. The values are RGBA, row by row; what is painted is opaque.

    Raises:
        Malformed: the stream is no brush of this image.
    """
    try:
        bits = "".join(f"{byte:08b}" for byte in np.array(stored, np.uint8).tobytes())
    except (TypeError, ValueError, OverflowError):
        raise Malformed("has a brush that is no list of bytes") from None
    place = 0

    def take(count: int) -> int:
        nonlocal place
        place += count
        require(place <= len(bits), "has a brush that ends too early")
        return int(bits[place - count : place], 2)

    total, width = take(32), take(5) + 1
    fits = total == size[0] * size[1] * 4 and width <= 8
    require(fits, f"has a brush for another image than {size[0]}×{size[1]} pixels")
    widths = [take(4) + 1 for _ in range(4)]
    runs, done = [], 0
    while done < total:
        repeated, length = take(1), take(widths[take(2)]) + 1
        values = [take(width) for _ in range(1 if repeated else length)]
        runs.append(np.resize(np.array(values, np.uint8), min(length, total)))
        done += length
    return np.concatenate(runs)[:total].reshape(size[1], size[0], 4)[..., 3] > 0
