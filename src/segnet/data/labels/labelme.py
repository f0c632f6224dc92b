"""LabelMe's JSON, one file an image, and X-AnyLabeling's: https://github.com/wkentaro/labelme."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segnet.data.faults import Fault
from segnet.data.images.embedded_files import Blob
from segnet.data.images.headers import read_header
from segnet.data.images.suffixes import IMAGE_SUFFIXES
from segnet.data.labels.bitmaps import decode_picture, from_base64
from segnet.data.labels.corners import ellipse
from segnet.data.labels.shapes import (
    NOT_ANNOTATED,
    Labelled,
    Labels,
    Polygon,
    Shape,
    class_name,
    files_of_images,
    find_image,
    kind_of,
    polygon,
    read_image,
    read_json,
    read_shape,
    rectangle,
    shortened,
    size_of,
    with_background,
)

_WITHOUT_AREA = ("point", "points", "line", "linestrip")
_FOUR_CORNERS = ("rectangle", "rotation", "oriented_rectangle", "quadrilateral")
_IGNORED = "__ignore__"  # LabelMe's own exports read a shape of this label so
_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "BMP": ".bmp", "TIFF": ".tif", "WEBP": ".webp"}


def is_labelme(content: Any) -> bool:
    """Whether a JSON file's content is of this format."""
    entries = {"shapes", "imagePath", "imageData", "imageHeight", "imageWidth"}
    return isinstance(content, dict) and "images" not in content and len(entries & content.keys()) > 1


def read_labelme(root: Path, files: Sequence[Path], folders: Sequence[Path]) -> Labels:
    """Read the files of a folder; later shapes lie on top of earlier ones, as LabelMe shows them.

    Classes are in the order of their names. A file without shapes says that its image is background; an image
    without a file isn't annotated. Where no image of its name is there, the picture inside the file is taken.

    Args:
        root: what the files lie below; their paths below it are those of the images.
        files: the JSON files.
        folders: where images may be; with the root among them, images that no file labels are counted.
    """
    labels = Labels("LabelMe", [])
    for file, content in files_of_images(files, is_labelme, "is no file of LabelMe", labels):
        entries = content.get("shapes")
        kinds = [_kind(entry) for entry in entries] if isinstance(entries, list) else []
        kept = file.relative_to(root).with_suffix("").as_posix()
        read = partial(_image, content, file, kept, [file.parent, *folders], labels.faults)
        labels.images.append(read_image(read, str(file), labels.faults, kinds))
    if root in folders:  # a whole folder is converted
        labels.images += _unlabelled([root, *folders], labels.images)
    names = {shape.label for image in labels.images for shape in image.shapes if shape.label}
    labels.classes = with_background(sorted(names - {_IGNORED}))
    return labels


def _unlabelled(folders: Sequence[Path], labelled: Sequence[Labelled]) -> Iterator[Labelled]:
    """Yield the images of folders that no file labels."""
    known = {image.image.resolve() for image in labelled if isinstance(image.image, Path)}
    for folder in folders:
        for file in sorted(folder.rglob("*")):
            if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file() and file.resolve() not in known:
                known.add(file.resolve())
                yield Labelled(None, "", str(file), left_out=NOT_ANNOTATED)


def _kind(entry: Any) -> str:
    return kind_of(entry.get("shape_type", "polygon")) if isinstance(entry, dict) else "unknown"


def _image(
    content: dict[str, Any], file: Path, kept: str, folders: Sequence[Path], faults: list[Fault]
) -> Labelled:
    where = str(file)
    entries = content.get("shapes")
    if not isinstance(entries, list):
        raise Fault("bad-label", where, "has no list of shapes")
    image: Path | _Picture
    try:
        image = find_image(content.get("imagePath"), folders, where)
    except Fault:
        if not content.get("imageData"):
            raise
        image = _Picture(file)
    width, height = content.get("imageWidth"), content.get("imageHeight")
    size = size_of(width, height, where) if width or height else read_header(image).size
    shapes = []
    for number, entry in enumerate(entries, 1):
        place = f"{where}, shape {number}"
        read = partial(_shape, entry, size, place)
        shapes.append(read_shape(read, _kind(entry), place, faults, _extent(entry, size, place)))
    return Labelled(image, kept, where, "", size, shapes)


class _Picture(Blob):
    """The picture inside a file of LabelMe, read from there whenever it is needed.

    Raises:
        SegnetError: it is none.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.suffix = _SUFFIXES.get(read_header(self).format, ".png")

    def read(self) -> bytes:
        """Return the picture's bytes."""
        return from_base64(read_json(self.file)["imageData"], str(self.file))

    def __str__(self) -> str:
        return f"{self.file}, its imageData,"


def _extent(entry: Any, size: tuple[int, int], where: str) -> list[Polygon]:
    """Return within what a shape lies that can't be read: the box around its points, if it tells."""
    try:
        points = np.asarray(entry["points"], np.float64).reshape(-1, 2)
        if _kind(entry) == "circle":
            x, y, radius = _circle(points.tolist())
            points = np.array([(x - radius, y - radius), (x + radius, y + radius)])
        (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    except (KeyError, TypeError, ValueError, OverflowError):
        return []
    if _kind(entry) == "mask":  # whose second corner is its last pixel
        right, bottom = right + 1, bottom + 1
    return [rectangle(left, top, right, bottom, size)]


def _circle(points: Any) -> tuple[float, float, float]:
    """Return the centre and the radius of a circle: its points are the centre and one on its line."""
    (x, y), (on_x, on_y) = points
    return float(x), float(y), math.hypot(float(on_x) - float(x), float(on_y) - float(y))


def _shape(entry: Any, size: tuple[int, int], where: str) -> Shape:
    label, kind = class_name(entry.get("label")), _kind(entry)
    if not label:
        raise Fault("bad-label", where, "has no label")
    points = entry.get("points")
    if kind in _WITHOUT_AREA:
        raise Fault("flat-label", where, f"is a {kind} of {label}, which has no area")
    if kind == "mask":
        return _mask(entry, label, size, where)
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        points = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    elif kind == "circle":
        x, y, radius = _circle(points)
        points = ellipse((x, y), (radius, radius))
    elif kind in _FOUR_CORNERS and len(points) != 4:
        raise Fault("bad-label", where, f"is a {kind} of {len(points)} points")
    elif kind not in ("polygon", *_FOUR_CORNERS):
        raise Fault("bad-label", where, f"is of the unknown type {shortened(entry.get('shape_type'))}")
    outline = polygon(points, size, where)
    if not outline:
        raise Fault("flat-label", where, "has no area")
    ignored = f"labelled {_IGNORED}" if label == _IGNORED else ""
    return Shape(label, (outline,), kind=kind, left_out=ignored)


def _mask(entry: Any, label: str, size: tuple[int, int], where: str) -> Shape:
    (left, top), (right, bottom) = [[round(float(value)) for value in point] for point in entry["points"]]
    box = right - left + 1, bottom - top + 1
    if not (0 < box[0] <= 2 * size[0] and 0 < box[1] <= 2 * size[1]):
        raise Fault("bad-label", where, "has a mask of another size than its image")
    content = from_base64(entry["mask"], where)
    read = partial(_cut, content, box, (left, top), where)
    extent = _extent(entry, size, where)
    ignored = f"labelled {_IGNORED}" if label == _IGNORED else ""
    return Shape(label, tuple(extent), read, (max(0, left), max(0, top)), kind="mask", left_out=ignored)


def _cut(
    content: bytes, box: tuple[int, int], left_top: tuple[int, int], where: str
) -> npt.NDArray[np.bool_]:
    """Return the pixels of a mask, without those left of its image or above."""
    pixels = decode_picture(content, box, where)
    return pixels[max(0, -left_top[1]) :, max(0, -left_top[0]) :]
