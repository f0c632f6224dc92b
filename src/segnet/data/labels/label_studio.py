"""Label Studio's JSON export: https://labelstud.io/guide/export."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from segnet.data.faults import Fault
from segnet.data.images.headers import read_header
from segnet.data.images.suffixes import IMAGE_SUFFIXES
from segnet.data.labels.label_studio_regions import GEOMETRY, NO_SHAPES, SHAPES, read_region
from segnet.data.labels.shapes import (
    NOT_ANNOTATED,
    Labelled,
    Labels,
    Shape,
    find_image,
    kind_of,
    read_image,
    read_json,
    read_shape,
    shortened,
    size_of,
    with_background,
)

_UPLOAD_PREFIX = 9  # eight hexadecimal digits and a dash, which an upload puts before a file's name
_TASKS_LOOKED_AT = 5
_LISTS = ("annotations", "completions")  # their name now and before version 1.0
_MINIMAL = ("annotation_id", "annotator", "lead_time")


def is_label_studio(content: Any) -> bool:
    """Whether a JSON file's content is of this format: a list of tasks, one task, or one annotation.

    Raises:
        SegnetError: it is an export that lacks what is needed.
    """
    if isinstance(content, dict):
        return _is_task(content) or _is_task(content.get("task")) or _is_annotation(content)
    tasks = content[:_TASKS_LOOKED_AT] if isinstance(content, list) else []
    return any(_is_task(task) or _is_minimal(task) for task in tasks)


def _is_task(content: Any) -> bool:
    return isinstance(content, dict) and "data" in content and any(name in content for name in _LISTS)


def _is_annotation(content: dict[str, Any]) -> bool:
    """Whether this is an annotation with its task, as Label Studio writes to a target storage."""
    task = content.get("task")
    return "result" in content and isinstance(task, dict) and "data" in task


def _is_minimal(content: Any) -> bool:
    return isinstance(content, dict) and "data" not in content and any(key in content for key in _MINIMAL)


def read_label_studio(files: Sequence[Path], folders: Sequence[Path]) -> Labels:
    """Read exports. Of several annotations of a task the ground truth counts, else the last submitted one.

    Classes are in the order of their names, later shapes lie on top. A task without an annotation, or with
    skipped ones alone, is not annotated; an annotation that was submitted without a shape says that its image
    is background. Predictions and drafts are no annotations.

    Raises:
        Fault: a file that isn't JSON, where it is the only one, or is of the format JSON-MIN.
    """
    labels = Labels("Label Studio", [])
    for file in files:
        try:
            content = read_json(file)
            if not is_label_studio(content):
                raise Fault("other-file", file, "is no export of Label Studio")
        except Fault as fault:
            if len(files) == 1:
                raise
            labels.faults.append(fault)
            continue
        tasks = content if isinstance(content, list) else [content]
        if any(map(_is_minimal, tasks)) and not any(map(_is_task, tasks)):
            said = "is a JSON-MIN export of Label Studio, which leaves out what shapes are"
            raise Fault("bad-label", file, said, "export JSON instead")
        for place, entry in enumerate(tasks, 1):
            alone = isinstance(entry, dict) and _is_annotation(entry)
            task = entry["task"] | {"annotations": [entry]} if alone else entry
            number = task.get("id", place) if isinstance(task, dict) else place
            where = f"{file}: task {shortened(number)}"
            _add(labels, task, where, [file.parent, file.parent / "images", *folders])
    names = {shape.label for image in labels.images for shape in image.shapes if shape.label}
    labels.classes = with_background(sorted(names))
    return labels


def _add(labels: Labels, task: Any, where: str, folders: Sequence[Path]) -> None:
    for kind in ("predictions", "drafts"):
        extra = task.get(kind) if isinstance(task, dict) else None
        labels.no_shapes[kind] += len(extra) if isinstance(extra, list) else 0
    labels.no_shapes += type(labels.no_shapes)()  # without those of which there are none
    annotations = _annotations(task)
    chosen = _chosen(annotations)
    for annotation in annotations:
        if annotation is not chosen:
            skipped = isinstance(annotation, dict) and annotation.get("was_cancelled")
            reason = "annotation was skipped" if skipped else "in another annotation of its task"
            kinds = [kind for kind, _ in _shapes_of(annotation, labels)]
            labels.orphans += [Shape("", kind=kind, left_out=reason) for kind in kinds]
    entries = _shapes_of(chosen, labels)
    read = partial(_image, task, annotations, chosen, entries, folders, where, labels.faults)
    labels.images.append(read_image(read, where, labels.faults, [kind for kind, _ in entries]))


def _annotations(task: Any) -> list[Any]:
    for name in _LISTS:
        if isinstance(task, dict) and isinstance(task.get(name), list):
            found: list[Any] = task[name]
            return found
    return []


def _chosen(annotations: Sequence[Any]) -> Any:
    """Return the annotation that counts, None where all were skipped."""
    done = [each for each in annotations if not (isinstance(each, dict) and each.get("was_cancelled"))]
    best = [each for each in done if isinstance(each, dict) and each.get("ground_truth")]
    return (best or done or [None])[-1]


def _results(annotation: Any) -> list[Any]:
    results = annotation.get("result") if isinstance(annotation, dict) else None
    return results if isinstance(results, list) else []


def _shapes_of(annotation: Any, labels: Labels) -> list[tuple[str, Any]]:
    """Return an annotation's results that are shapes, with their kind; others are counted."""
    results = _results(annotation)
    shapes = []
    for result in results:
        kind = kind_of(result.get("type")) if isinstance(result, dict) else "unknown"
        value = result.get("value") if isinstance(result, dict) else None
        has_place = isinstance(value, dict) and any(key in value for key in GEOMETRY)
        if kind in SHAPES or (kind not in NO_SHAPES and (has_place or kind == "unknown")):
            shapes.append((kind, result))
        elif kind != "labels":  # which name the classes of shapes
            labels.no_shapes[kind] += 1
    return shapes


def _image(
    task: Any,
    annotations: Sequence[Any],
    chosen: Any,
    entries: Sequence[tuple[str, Any]],
    folders: Sequence[Path],
    where: str,
    faults: list[Fault],
) -> Labelled:
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
        raise Fault("bad-label", where, "is no task as its format says")
    if not any(isinstance(task.get(name), list) for name in _LISTS):
        raise Fault("bad-label", where, "has no list of annotations")
    if chosen is None:
        reason = "skipped by the annotator" if annotations else NOT_ANNOTATED
        return Labelled(None, "", where, left_out=reason)
    if not isinstance(chosen, dict) or not isinstance(chosen.get("result"), list):
        raise Fault("bad-label", where, "has an annotation without a list of results")
    found = _found(task["data"], folders, where)
    targets = {str(entry.get("to_name")) for _, entry in entries if isinstance(entry, dict)}
    if len(targets) > 1 or any(isinstance(e, dict) and e.get("item_index") for _, e in entries):
        said = "labels several images in one task"
        raise Fault("bad-label", where, said, "import each image as a task of its own")
    said_sizes = [
        (e.get("original_width"), e.get("original_height")) for _, e in entries if isinstance(e, dict)
    ]
    given = next((pair for pair in said_sizes if any(pair)), None)
    size = size_of(*given, where) if given else read_header(found).size
    of_region = _labels_by_id(_results(chosen))
    shapes = []
    for number, (kind, entry) in enumerate(entries, 1):
        place = f"{where}, shape {number}"
        extent, read = read_region(entry, kind, of_region, size, place)
        shapes.append(read_shape(read, kind, place, faults, extent))
    return Labelled(found, found.stem, where, "", size, shapes)


def _labels_by_id(results: Sequence[Any]) -> dict[str, Any]:
    """Return the labels of each region whose class stands in a result of its own."""
    return {
        str(result.get("id")): result["value"].get("labels")
        for result in results
        if isinstance(result, dict) and result.get("type") == "labels" and isinstance(result["value"], dict)
    }


def _found(data: dict[str, Any], folders: Sequence[Path], where: str) -> Path:
    """Return a task's image: that under ``image``, or the only one that looks like one."""
    texts = [value for value in data.values() if isinstance(value, str) and value]
    likely = [text for text in texts if PurePosixPath(_path_of(text)).suffix.lower() in IMAGE_SUFFIXES]
    stored = data.get("image") or next(iter(likely or texts), None)
    several = any(isinstance(value, list) for value in data.values()) or len(set(likely)) > 1
    if not isinstance(stored, str) or (several and "image" not in data):
        said = "names several images" if several else "names no image"
        raise Fault("bad-label", where, said, "each task needs one image, best under the name image")
    path = _path_of(stored)
    last = PurePosixPath(path.replace("\\", "/")).name
    return find_image([path.lstrip("/"), last, last[_UPLOAD_PREFIX:]], folders, where)


def _path_of(address: str) -> str:
    """Return the path of an address such as /data/local-files/?d=folder/photo.jpg."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    local = parse_qs(parts.query).get("d", [])
    return unquote(local[0] if local else parts.path)
