"""Which format labels are in, and its reader."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segnet.core.errors import SegnetError
from segnet.data.labels.coco import is_coco, read_coco
from segnet.data.labels.cvat import read_cvat
from segnet.data.labels.label_studio import is_label_studio, read_label_studio
from segnet.data.labels.labelme import is_labelme, read_labelme
from segnet.data.labels.mask_sets import is_cityscapes, is_voc, read_cityscapes, read_voc
from segnet.data.labels.shapes import Labels, read_json
from segnet.data.labels.yolo import description_of, read_yolo


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
            return read_label_studio([source], images)
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
            return read_label_studio(files, [source, *images])
    xml = sorted(source.glob("*.xml"))
    if len(xml) == 1:
        return read_cvat(xml[0], [source, *images])
    raise SegnetError(f"{source} holds no labels that are known; {_KNOWN}")
