"""Which format labels are in, and its reader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from segnet.base.class_roles import background_of
from segnet.base.errors import SegnetError
from segnet.data.faults import Fault
from segnet.data.images.suffixes import ARCHIVE_SUFFIXES
from segnet.data.labels.cityscapes import is_cityscapes, read_cityscapes
from segnet.data.labels.coco import is_coco, read_coco
from segnet.data.labels.cvat import is_cvat, read_cvat
from segnet.data.labels.finding import files_below, is_hidden, only_folder
from segnet.data.labels.geojson import is_geojson, read_geojson
from segnet.data.labels.label_studio import is_label_studio, read_label_studio
from segnet.data.labels.labelme import is_labelme, read_labelme
from segnet.data.labels.loose_pairs import read_loose_pairs
from segnet.data.labels.objects import find_objects, read_objects
from segnet.data.labels.roboflow import TABLE, read_roboflow
from segnet.data.labels.shapes import Labels, read_json
from segnet.data.labels.voc import masks_of_voc, read_voc
from segnet.data.labels.yolo import read_yolo
from segnet.data.labels.yolo_yaml import description_of, read_description


def read_labels(source: Path, images: Sequence[Path] = (), classes: Sequence[str] = ()) -> Labels:
    """Read labels in whatever format they are.

    Args:
        source: a file or a folder.
        images: where images may be besides.
        classes: the names that are wanted, if any: mask files of objects don't name their class.

    Raises:
        SegnetError: there is nothing, or nothing that is known.
    """
    if source.is_dir():
        return _read_nested(source, images, classes)
    if not source.exists():
        raise SegnetError(f"{source} does not exist; check the path")
    images = [*images, *map(_innermost, images)]
    if source.suffix.lower() == ".xml":
        return read_cvat([source], images)
    if source.suffix.lower() in (".yaml", ".yml"):
        return read_yolo(source.parent, read_description(source), images)
    if source.suffix.lower() in _JSON:
        read = _reader_of(read_json(source))
        if read is not None:
            return read(source.parent, [source], images)
    if source.suffix.lower() in ARCHIVE_SUFFIXES:
        raise SegnetError(
            f"{source} is an archive, of which .zip alone is read; unpack it and give the folder"
        )
    raise SegnetError(f"{source} is no labels of COCO, LabelMe, CVAT, Label Studio or GeoJSON; {_KNOWN}")


_JSON = (".json", ".geojson")
_KNOWN = (
    "give a .json file of COCO or Label Studio, CVAT's .xml for images, a folder of LabelMe's .json or of "
    ".geojson files, of YOLO's with a data.yaml, of Pascal VOC's, of Cityscapes', of Roboflow's masks, of "
    "one mask file an object or of images with masks, or a .zip of these"
)


def _read_nested(source: Path, images: Sequence[Path], classes: Sequence[str]) -> Labels:
    """Read a folder, or the one within it if nothing else lies there, as in archives.

    A format that is known goes before images with masks, which many formats hold too.
    """
    roots = [source]
    while (inner := only_folder(roots[-1])) is not None:
        roots.append(inner)
    found = (_read_folder(root, images, classes) for root in roots)
    pairs = map(read_loose_pairs, roots)
    labels = next((each for each in chain(found, pairs) if each is not None), None)
    if labels is None:
        raise SegnetError(f"{source} holds no labels that are known{_near_miss(roots[-1])}; {_KNOWN}")
    return labels


def _innermost(folder: Path) -> Path:
    while folder.is_dir() and (inner := only_folder(folder)) is not None:
        folder = inner
    return folder


def _read_folder(root: Path, images: Sequence[Path], classes: Sequence[str]) -> Labels | None:
    below = [_innermost(folder) for folder in images]  # what archives of images begin with
    if (masks := masks_of_voc(root)) is not None:
        return read_voc(root, masks, below)
    if is_cityscapes(root):
        return read_cityscapes(root, images)
    files = files_below(root)
    if tables := [file for file in files if file.name == TABLE]:
        return read_roboflow(root, tables)
    if (description := description_of(root)) is not None:
        return read_yolo(root, read_description(description), below)
    images = [*images, *below]
    if (labels := _read_json_files(root, files, images)) is not None:
        return labels
    if xml := [file for file in files if file.suffix.lower() == ".xml" and is_cvat(file)]:
        return read_cvat(xml, [root, *images])
    if objects := find_objects(root):
        wanted = [name for name in classes if background_of([name]) is None]
        return read_objects(objects, *wanted[:1] if len(wanted) == 1 else ())
    return None


def _is_data_set(folder: Path) -> bool:
    known = masks_of_voc(folder) is not None or is_cityscapes(folder) or description_of(folder) is not None
    return known and not is_hidden(folder.name)


def _read_json_files(root: Path, below: Sequence[Path], images: Sequence[Path]) -> Labels | None:
    """Read the JSON files of a folder as the first of them that is known; None where none is."""
    files = [file for file in below if file.suffix.lower() in _JSON]
    broken = []
    for file in files:
        try:
            read = _reader_of(read_json(file))
        except Fault as fault:
            broken.append(fault)
            continue
        if read is not None:
            return read(root, files, [root, *images])
    if broken and not any(file.suffix.lower() == ".xml" for file in below):
        raise broken[0]
    return None


def _reader_of(content: Any) -> Callable[[Path, Sequence[Path], Sequence[Path]], Labels] | None:
    """Return what reads files of this content: its arguments are what they lie below, they, and folders."""
    if is_coco(content):
        return lambda _, files, folders: read_coco(files, folders)
    if is_labelme(content):
        return read_labelme
    if is_label_studio(content):
        return lambda _, files, folders: read_label_studio(files, folders)
    return read_geojson if is_geojson(content) else None


def _near_miss(root: Path) -> str:
    """Name what a folder holds that is known, but not read from here or no labels with outlines."""
    files = files_below(root)
    inside = [each.name for each in sorted(root.iterdir()) if each.is_dir() and _is_data_set(each)]
    if inside:
        return (
            f", but {', '.join(inside)} in it {'does' if len(inside) == 1 else 'do'}; convert each by itself"
        )
    names = {file.name for file in files}
    if "obj.names" in names:
        return ", but boxes of YOLO 1.1; export it from CVAT as 'Ultralytics YOLO Segmentation'"
    if "meta.json" in names and any(file.parent.name == "ann" for file in files):
        return ", but a project of Supervisely; export it as COCO or as Pascal VOC"
    if any(file.suffix.lower() == ".txt" and file.parent.name.lower() == "labels" for file in files):
        return ", but text files in labels as YOLO's, without a data.yaml; write one with names: [leaf, stem]"
    archives = [file.name for file in files if file.suffix.lower() == ".zip"]
    if archives:
        return f", but the archive {archives[0]}; give that, or unpack it"
    if any(file.suffix.lower() == ".xml" for file in files):
        return ", but .xml files that aren't CVAT's; Pascal VOC's hold boxes alone"
    return ""
