"""Which format labels are in, and its reader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from segnet.base.class_roles import background_of
from segnet.base.errors import SegnetError
from segnet.data.faults import Fault
from segnet.data.images.suffixes import ARCHIVE_SUFFIXES
from segnet.data.labels.cityscapes import is_cityscapes, read_cityscapes
from segnet.data.labels.coco import is_coco, read_coco
from segnet.data.labels.cvat import is_cvat, read_cvat
from segnet.data.labels.finding import files_below, is_hidden, read_json
from segnet.data.labels.geojson import is_geojson, read_geojson
from segnet.data.labels.label_studio import is_label_studio, read_label_studio
from segnet.data.labels.labelme import is_labelme, read_labelme
from segnet.data.labels.loose_pairs import read_loose_pairs
from segnet.data.labels.objects import OBJECT, find_objects, read_objects
from segnet.data.labels.roboflow import TABLE, read_roboflow
from segnet.data.labels.shapes import Labels
from segnet.data.labels.voc import masks_of_voc, read_voc
from segnet.data.labels.yolo import description_of, read_description, read_yolo

_JSON = (".json", ".geojson")
_KNOWN = (
    "give a .json file of COCO or Label Studio, CVAT's .xml for images, a folder of LabelMe's .json or of "
    ".geojson files, of YOLO's with a data.yaml, of Pascal VOC's, of Cityscapes', of Roboflow's masks, of "
    "one mask file an object or of images with masks, or a .zip of these"
)

JsonReader = Callable[[Path, Sequence[Path], Sequence[Path], Callable[[Path], Any]], Labels]
"""Reads files below a folder, whose images may be in other folders; the last says what a file holds."""

_FORMATS_OF_JSON: tuple[tuple[str, Callable[[Any], bool], JsonReader], ...] = (
    ("COCO", is_coco, lambda _, *others: read_coco(*others)),
    ("LabelMe", is_labelme, read_labelme),
    ("Label Studio", is_label_studio, lambda _, *others: read_label_studio(*others)),
    ("GeoJSON", is_geojson, read_geojson),
)


class Found(NamedTuple):
    """What labels a folder holds."""

    what: str
    """Goes on behind the folder's name."""
    read: Callable[[], Labels]
    """Reads them."""


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
    images = [*images, *(_nested(folder)[-1] for folder in images)]
    if source.suffix.lower() == ".xml":
        return read_cvat([source], images)
    if source.suffix.lower() in (".yaml", ".yml"):
        return read_yolo(source.parent, read_description(source), images)
    if (found := _find_json(source.parent, [source], images)) is not None:
        return found.read()
    if source.suffix.lower() in ARCHIVE_SUFFIXES:
        raise SegnetError(
            f"{source} is an archive, of which .zip alone is read; unpack it and give the folder"
        )
    raise SegnetError(f"{source} is no labels of COCO, LabelMe, CVAT, Label Studio or GeoJSON; {_KNOWN}")


def _read_nested(source: Path, images: Sequence[Path], classes: Sequence[str]) -> Labels:
    """Read a folder, or the one within it if nothing else lies there, as in archives.

    A format that is known goes before images with masks, which many formats hold too.
    """
    roots = _nested(source)
    for root in roots:
        if (found := find_labels(root, images, classes)) is not None:
            return found.read()
    labels = next(filter(None, map(read_loose_pairs, roots)), None)
    if labels is None:
        raise SegnetError(f"{source} holds no labels that are known{_near_miss(roots[-1])}; {_KNOWN}")
    return labels


def _nested(folder: Path) -> list[Path]:
    """Return a folder, and of each whose only entry is a folder that one too, as archives have them."""
    entries = [entry for entry in folder.glob("*") if not is_hidden(entry.name)]
    is_alone = len(entries) == 1 and entries[0].is_dir()
    return [folder, *_nested(entries[0])] if is_alone else [folder]


def find_labels(
    root: Path, images: Sequence[Path] = (), classes: Sequence[str] = (), *, most_json: int | None = None
) -> Found | None:
    """Find which format a folder's labels are in; None where it is none that is known.

    Args:
        root: the folder.
        images: where images may be besides.
        classes: the names that are wanted, if any.
        most_json: how many files of JSON are opened to see what they are; None for all.

    Raises:
        Fault: a file of JSON that can't be read, where nothing else tells the format.
    """
    below = [_nested(folder)[-1] for folder in images]  # what archives of images begin with
    if (masks := masks_of_voc(root)) is not None:
        return Found("is laid out as Pascal VOC", partial(read_voc, root, masks, below))
    if is_cityscapes(root):
        said = "is laid out as Cityscapes, leftImg8bit/ and gtFine/"
        return Found(said, partial(read_cityscapes, root, images))
    files = files_below(root)
    if tables := [file for file in files if file.name == TABLE]:
        return Found(f"holds masks of Roboflow with {TABLE}", partial(read_roboflow, root, tables))
    if (description := description_of(root)) is not None:
        said = f"holds labels of YOLO ({description.name})"
        return Found(said, lambda: read_yolo(root, read_description(description), below))
    folders = [root, *images, *below]
    if (found := _find_json(root, files, folders, most_json)) is not None:
        return found
    if xml := [file for file in files if file.suffix.lower() == ".xml" and is_cvat(file)]:
        said = f"holds labels of CVAT ({xml[0].relative_to(root).as_posix()})"
        return Found(said, partial(read_cvat, xml, folders))
    if objects := find_objects(root):
        wanted = [name for name in classes if background_of([name]) is None]
        name = wanted[0] if len(wanted) == 1 else OBJECT
        return Found("holds a mask file for each object", partial(read_objects, objects, name))
    return None


def _find_json(
    root: Path, below: Sequence[Path], folders: Sequence[Path], most: int | None = None
) -> Found | None:
    """Find the format of the first file of JSON that is known; None where none is."""
    files = [file for file in below if file.suffix.lower() in _JSON]
    broken = []
    for file in files[:most]:
        try:
            content = read_json(file)
        except Fault as fault:
            broken.append(fault)
            continue
        for name, is_it, read in _FORMATS_OF_JSON:
            if is_it(content):
                said = f"holds labels of {name} ({file.relative_to(root).as_posix()})"
                load = partial(_load, {file: content}, is_it, name)
                return Found(said, partial(read, root, files, folders, load))
    if broken and not any(file.suffix.lower() == ".xml" for file in below):
        raise broken[0]
    return None


def _load(read: dict[Path, Any], is_it: Callable[[Any], bool], name: str, file: Path) -> Any:
    """Return the content of a file of JSON; what was read to tell the format isn't read again.

    Raises:
        Fault: it can't be read, or is of another format.
    """
    content = read.pop(file) if file in read else read_json(file)
    if not is_it(content):
        raise Fault("other-file", file, f"is no file of {name}")
    return content


def _is_data_set(folder: Path) -> bool:
    known = masks_of_voc(folder) is not None or is_cityscapes(folder) or description_of(folder) is not None
    return known and not is_hidden(folder.name)


def _near_miss(root: Path) -> str:
    """Name what a folder holds that is known, but not read from here or no labels with outlines."""
    files = files_below(root)
    names, suffixes = {file.name for file in files}, {file.suffix.lower() for file in files}
    inside = [each.name for each in sorted(root.iterdir()) if each.is_dir() and _is_data_set(each)]
    do = "does" if len(inside) == 1 else "do"
    of_supervisely = "meta.json" in names and any(file.parent.name == "ann" for file in files)
    of_yolo = any(file.suffix.lower() == ".txt" and file.parent.name.lower() == "labels" for file in files)
    archive = next((file.name for file in files if file.suffix.lower() == ".zip"), "")
    cases = (
        (inside, f"{', '.join(inside)} in it {do}; convert each by itself"),
        ("obj.names" in names, "boxes of YOLO 1.1; export it from CVAT as 'Ultralytics YOLO Segmentation'"),
        (of_supervisely, "a project of Supervisely; export it as COCO or as Pascal VOC"),
        (of_yolo, "text files in labels as YOLO's, without a data.yaml; write one with names: [leaf, stem]"),
        (archive, f"the archive {archive}; give that, or unpack it"),
        (".xml" in suffixes, ".xml files that aren't CVAT's; Pascal VOC's hold boxes alone"),
    )
    return next((f", but {said}" for fits, said in cases if fits), "")
