"""From labels as tools and datasets have them to a folder of images and masks, whole or not at all."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from segnet.core.ahead import in_order
from segnet.core.classes import IGNORE_INDEX, ClassTable
from segnet.core.errors import SegnetError
from segnet.core.extras import require_package
from segnet.core.files import new_folder, write_text
from segnet.data.dataset import Mask, Progress
from segnet.data.faults import Fault, lines, raise_errors
from segnet.data.headers import read_header
from segnet.data.images import read_index_mask, turned_by_exif
from segnet.data.labels.coco import is_coco, read_coco
from segnet.data.labels.cvat import read_cvat
from segnet.data.labels.label_studio import is_label_studio, read_label_studio
from segnet.data.labels.labelme import is_labelme, read_labelme
from segnet.data.labels.loose_pairs import read_loose_pairs
from segnet.data.labels.mask_sets import is_cityscapes, is_voc, read_cityscapes, read_voc
from segnet.data.labels.shapes import Labelled, Labels, draw, read_json
from segnet.data.labels.yolo import description_of, read_yolo
from segnet.data.pairing import DESCRIPTION
from segnet.data.repair import require_new_folder

_AHEAD = 32
_AHEAD_PIXELS = 1 << 25


@dataclass(frozen=True)
class Converted:
    """What a new folder holds."""

    format: str
    """What was read."""
    images: dict[str, int]
    """By split; under an empty name where there is none."""
    pixels: dict[str, int]
    """By class."""
    warnings: tuple[str, ...]


def convert(
    source: Path,
    target: Path,
    *,
    images: Sequence[Path] = (),
    progress: Progress | None = None,
) -> Converted:
    """Write images and masks in the layout that training takes.

    Args:
        source: a file of COCO, CVAT or Label Studio, or a folder of COCO files, LabelMe's, YOLO's, VOC's or
            Cityscapes'.
        target: the new folder.
        images: where images may be besides where the labels are.
        progress: called with the number of images; the context it returns gives a function that is called
            after each one.

    Raises:
        SegnetError: no format that is known, everything that is wrong with the labels in one, or a folder
            that can't be written to.
    """
    require_new_folder(target, source if source.is_dir() else source / "file")
    labels = read_labels(source, images)
    if any(each.split for each in labels.images):  # what is in none of the splits is trained on
        labels.images = [replace(each, split=each.split or "train") for each in labels.images]
    faults = [*labels.faults, *_same_names(labels)]
    raise_errors(faults, str(source))
    if any(shape.polygons for each in labels.images for shape in each.shapes):
        require_package(f"filling the polygons of {source}", "pycocotools")
    if not labels.images:
        raise SegnetError(f"{source} ({labels.format}) holds no image with labels")
    if not labels.classes:
        return _copied(labels, target, progress)
    table = ClassTable.named(labels.classes)
    counts = np.zeros(256, np.int64)

    counting = progress(len(labels.images)) if progress else nullcontext(lambda: None)
    with new_folder(target) as partial, counting as advance:

        def write(each: Labelled) -> Mask | Fault:
            try:
                return _write_pair(each, labels, table, partial)
            except Fault as fault:
                return fault

        for mask in in_order(write, labels.images, most=_AHEAD, weigh=_pixels, budget=_AHEAD_PIXELS):
            if isinstance(mask, Fault):
                faults.append(mask)
            else:
                counts += np.bincount(mask.ravel(), minlength=256)
            advance()
        raise_errors(faults, str(source))
        entries = {"classes": labels.classes}
        write_text(partial / DESCRIPTION, yaml.safe_dump(entries, sort_keys=False, allow_unicode=True))
    return Converted(
        labels.format,
        dict(Counter(each.split for each in labels.images)),
        {name: int(counts[i]) for i, name in enumerate(labels.classes)},
        tuple(lines(faults)),
    )


def read_labels(source: Path, images: Sequence[Path] = ()) -> Labels:
    """Read labels in whatever format they are.

    Raises:
        SegnetError: there is nothing, or nothing that is known.
    """
    if source.is_dir():
        return _read_folder(source, images)
    if not source.exists():
        raise SegnetError(f"{source} does not exist; check the path")
    if source.suffix.lower() == ".xml":
        return read_cvat(source, images)
    if source.suffix.lower() == ".json":
        content = read_json(source)
        if is_coco(content):
            return read_coco([source], images)
        if is_label_studio(content):
            return read_label_studio(source, images)
        if is_labelme(content):
            return read_labelme(source.parent, [source], images)
    raise SegnetError(f"{source} is no labels of COCO, LabelMe, CVAT or Label Studio; {_KNOWN}")


_KNOWN = (
    "give a .json file of COCO or Label Studio, CVAT's .xml for images, or a folder of LabelMe's .json "
    "files, of YOLO's with a data.yaml, of Pascal VOC's or of Cityscapes'"
)


def _read_folder(source: Path, images: Sequence[Path]) -> Labels:
    if is_voc(source):
        return read_voc(source)
    if is_cityscapes(source):
        return read_cityscapes(source)
    if (description := description_of(source)) is not None:
        return read_yolo(source, description)
    files = sorted(file for file in source.rglob("*.json") if file.is_file())
    for file in files[:8]:
        content = read_json(file)
        if is_labelme(content):
            return read_labelme(source, files, [source, *images])
        if is_coco(content):
            return read_coco(files, [source, *images])
        if is_label_studio(content):
            return read_label_studio(file, [source, *images])
    xml = sorted(source.glob("*.xml"))
    if len(xml) == 1:
        return read_cvat(xml[0], [source, *images])
    if (loose := read_loose_pairs(source)) is not None:
        return loose
    raise SegnetError(f"{source} holds no labels that are known; {_KNOWN}")


def _same_names(labels: Labels) -> list[Fault]:
    first: dict[tuple[str, str], Labelled] = {}
    faults = []
    for each in labels.images:
        other = first.setdefault((each.split, each.name.casefold()), each)
        if other is not each:
            faults.append(Fault("same-name", each.where, f"has the same name as {other.where}"))
    return faults


def _copied(labels: Labels, target: Path, progress: Progress | None) -> Converted:
    """Write images and mask files as they are."""
    counting = progress(len(labels.images)) if progress else nullcontext(lambda: None)
    with new_folder(target) as partial, counting as advance:
        for each in labels.images:
            assert each.mask is not None
            for kind, source in (("images", each.image), ("masks", each.mask)):
                file = partial / each.split / kind / f"{each.name}{source.suffix.lower()}"
                file.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, file)
            advance()
        if labels.description is not None:
            shutil.copyfile(labels.description, partial / DESCRIPTION)
    splits = dict(Counter(each.split for each in labels.images))
    return Converted(labels.format, splits, {}, tuple(lines(labels.faults)))


def _write_pair(each: Labelled, labels: Labels, table: ClassTable, root: Path) -> Mask:
    header = read_header(each.image)
    if each.mask is not None:
        values = np.full(256, IGNORE_INDEX, np.uint8)
        for value, class_id in labels.values.items():
            values[value] = class_id
        mask: Mask = values[read_index_mask(each.mask)]
    else:
        mask = draw(each.shapes, each.size or header.size, labels.classes)
        if each.size is not None and each.size != header.size:
            if each.size != header.stored:
                said = f"is labelled as {each.size[0]}×{each.size[1]}, but the image is "
                raise Fault("sizes-differ", each.where, f"{said}{header.size[0]}×{header.size[1]}")
            mask = turned_by_exif(mask, header.orientation)  # the tool didn't look at EXIF data
    folder = root / each.split
    picture = Image.fromarray(mask)
    picture.putpalette(table.palette().tobytes())
    for kind, suffix in (("images", each.image.suffix), ("masks", ".png")):
        file = folder / kind / f"{each.name}{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        if kind == "images":
            shutil.copyfile(each.image, file)
        else:
            picture.save(file)
    return mask


def _pixels(each: Labelled) -> int:
    return each.size[0] * each.size[1] if each.size else 1 << 20
