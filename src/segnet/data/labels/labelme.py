"""LabelMe's JSON, one file an image, and X-AnyLabeling's: https://github.com/wkentaro/labelme."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segnet.data.images.embedded_files import Blob
from segnet.data.images.headers import read_header
from segnet.data.labels.fields import (
    Malformed,
    Polygon,
    class_name,
    corners,
    decode_picture,
    ellipse,
    from_base64,
    kind_of,
    list_of,
    polygon,
    rectangle,
    require,
    shortened,
    size_of,
)
from segnet.data.labels.finding import find_image, images_below, read_json
from segnet.data.labels.shapes import NOT_ANNOTATED, Labelled, Labels, Shape, outlined

_WITHOUT_AREA = ("point", "points", "line", "linestrip")
_FOUR_CORNERS = ("rectangle", "rotation", "oriented_rectangle", "quadrilateral")
_IGNORED = "__ignore__"  # LabelMe's own exports read a shape of this label so
_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "BMP": ".bmp", "TIFF": ".tif", "WEBP": ".webp"}


def is_labelme(content: Any) -> bool:
    """Whether a JSON file's content is of this format."""
    entries = {"shapes", "imagePath", "imageData", "imageHeight", "imageWidth"}
    return isinstance(content, dict) and "images" not in content and len(entries & content.keys()) > 1


def read_labelme(
    root: Path, files: Sequence[Path], folders: Sequence[Path], load: Callable[[Path], Any]
) -> Labels:
    """Read the files of a folder; later shapes lie on top of earlier ones, as LabelMe shows them.

    Classes are in the order of their names. A file without shapes says that its image is background; an image
    without a file isn't annotated. Where no image of its name is there, the picture inside the file is taken.

    Args:
        root: what the files lie below; their paths below it are those of the images.
        files: the JSON files.
        folders: where images may be; with the root among them, images that no file labels are counted.
        load: returns a file's content.
    """
    labels = Labels("LabelMe")
    for file, content in labels.read_files(files, load, images=True):
        kept = file.relative_to(root).with_suffix("").as_posix()
        image = partial(_image, labels, content, file, kept, [file.parent, *folders])
        labels.read_image(image, str(file), map(_kind, list_of(content, "shapes")))
    if root in folders:  # a whole folder is converted
        labels.images += _unlabelled([root, *folders], labels.images)
    labels.name_classes(_IGNORED)
    return labels


def _unlabelled(folders: Sequence[Path], labelled: Sequence[Labelled]) -> Iterator[Labelled]:
    """Yield the images of folders that no file labels."""
    known = {image.image.resolve() for image in labelled if isinstance(image.image, Path)}
    for file in (file for folder in folders for file in images_below(folder)):
        if file.resolve() not in known:
            known.add(file.resolve())
            yield Labelled(None, "", str(file), left_out=NOT_ANNOTATED)


def _kind(entry: Any) -> str:
    return kind_of(entry.get("shape_type", "polygon")) if isinstance(entry, dict) else "unknown"


def _image(
    labels: Labels, content: dict[str, Any], file: Path, kept: str, folders: Sequence[Path]
) -> Labelled:
    require(isinstance(content.get("shapes"), list), "has no list of shapes")
    image: Path | _Picture
    try:
        image = find_image(content.get("imagePath"), folders)
    except Malformed:
        if not content.get("imageData"):
            raise
        image = _Picture(file)
    size = size_of(content.get("imageWidth"), content.get("imageHeight"), image)
    shapes = [
        labels.read_shape(entry, _kind(entry), f"{file}, shape {number}", size, _shape, _extent)
        for number, entry in enumerate(content["shapes"], 1)
    ]
    return Labelled(image, kept, str(file), "", size, shapes)


class _Picture(Blob):
    """The picture inside a file of LabelMe, read from there whenever it is needed.

    Raises:
        SegnetError: it is none.
        Malformed: it is no base64.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.suffix = _SUFFIXES.get(read_header(self).format, ".png")

    def read(self) -> bytes:
        """Return the picture's bytes."""
        return from_base64(read_json(self.file)["imageData"])

    def __str__(self) -> str:
        return f"{self.file}, its imageData,"


def _extent(entry: Any, size: tuple[int, int]) -> list[Polygon]:
    """Return within what a shape lies that can't be read: the box around its points, if it tells."""
    points = np.asarray(entry["points"], np.float64).reshape(-1, 2)
    if _kind(entry) == "circle":
        x, y, radius = _circle(points.tolist())
        points = np.array([(x - radius, y - radius), (x + radius, y + radius)])
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    last = 1 if _kind(entry) == "mask" else 0  # its second corner is its last pixel
    return [rectangle(left, top, right + last, bottom + last, size)]


def _circle(points: Any) -> tuple[float, float, float]:
    """Return the centre and the radius of a circle: its points are the centre and one on its line."""
    (x, y), (on_x, on_y) = points
    return float(x), float(y), math.hypot(float(on_x) - float(x), float(on_y) - float(y))


def _shape(entry: Any, size: tuple[int, int]) -> Shape:
    label, kind, points = class_name(entry.get("label")), _kind(entry), entry.get("points")
    require(label, "has no label")
    has_area = kind not in _WITHOUT_AREA
    require(has_area, f"is a {kind} of {label}, which has no area", kind="flat-label")
    if kind == "mask":
        shape = _mask(entry, label, size)
    else:
        known = kind in ("polygon", "circle", *_FOUR_CORNERS)
        require(known, f"is of the unknown type {shortened(entry.get('shape_type'))}")
        if kind == "rectangle" and len(points) == 2:
            (x0, y0), (x1, y1) = points
            points = corners(x0, y0, x1, y1)
        elif kind == "circle":
            x, y, radius = _circle(points)
            points = ellipse((x, y), (radius, radius))
        if kind in _FOUR_CORNERS:
            require(len(points) == 4, f"is a {kind} of {len(points)} points")
        shape = outlined(label, [polygon(points, size)])
    return replace(shape, left_out=f"labelled {_IGNORED}") if label == _IGNORED else shape


def _mask(entry: Any, label: str, size: tuple[int, int]) -> Shape:
    (left, top), (right, bottom) = [[round(float(value)) for value in point] for point in entry["points"]]
    box = right - left + 1, bottom - top + 1
    fits = 0 < box[0] <= 2 * size[0] and 0 < box[1] <= 2 * size[1]
    require(fits, "has a mask of another size than its image")
    read = partial(_cut, from_base64(entry["mask"]), box, (left, top))
    return Shape(label, tuple(_extent(entry, size)), read, (max(0, left), max(0, top)))


def _cut(content: bytes, box: tuple[int, int], left_top: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the pixels of a mask, without those left of its image or above."""
    return decode_picture(content, box)[max(0, -left_top[1]) :, max(0, -left_top[0]) :]
