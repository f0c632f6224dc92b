"""YOLO's text files of polygons: https://docs.ultralytics.com/datasets/segment/."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from segnet.base.errors import SegnetError
from segnet.data.check.near_names import same_form
from segnet.data.faults import Fault
from segnet.data.images.headers import read_header
from segnet.data.labels.finding import files_below, images_below, parts_of, read_text
from segnet.data.labels.shapes import (
    Labelled,
    Labels,
    Shape,
    polygon,
    read_image,
    read_shape,
    shortened,
    split_of,
    with_background,
)
from segnet.data.labels.yolo_yaml import YoloYaml

_NUMBERS_OF_A_BOX = 4
_OUTSIDE = 0.5  # of an image's side; coordinates farther outside are no shares of it
_DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
_NOT_THERE = "image not there"
_GIVE_IMAGES = "give --images the folder of the image, or take the text file out"
_NO_LABELS = ("classes", "notes")

Lines = Sequence[tuple[int, str]]
"""Of a text file, with their numbers."""


def read_yolo(root: Path, description: YoloYaml, folders: Sequence[Path]) -> Labels:
    """Read a data set: each image in a folder ``images``, its text file in ``labels``, or beside it.

    Later polygons lie on top. An empty text file says that its image shows nothing but background; no text
    file doesn't tell that from an image that nobody has labelled.

    Args:
        root: the folder.
        description: what its YAML file says; its splits count, and without them the folders' names.
        folders: where images may be besides.
    """
    labels = Labels("YOLO", with_background(description.names.values()))
    splits, lost = description.images([root, *folders], labels.faults)
    keys = _images(root, folders, splits)
    texts = _texts([root, *folders])
    by_last: dict[str, list[str]] = {}
    for key in texts:
        by_last.setdefault(key.rpartition("/")[2], []).append(key)
    names = _names(keys, splits)
    for image, key in keys.items():
        text = texts.pop(key, None)
        if text is None and not image.is_relative_to(root):
            longer = [each for each in by_last.get(key.rpartition("/")[2], ()) if each.endswith(f"/{key}")]
            text = texts.pop(longer[0], None) if len(longer) == 1 else None
        unlisted = f"in no split of {description.file.name}" if splits and image not in splits else ""
        split = splits.get(image) or split_of(key.rpartition("/")[0])
        labels.images.append(
            _labelled(image, text, names[image], split, unlisted, description, labels.faults)
        )
    for text in texts.values():
        if "labels" in map(str.lower, text.parent.parts) and text.stem.lower() not in _NO_LABELS:
            labels.faults.append(Fault("no-image", text, "has no image of its name", _GIVE_IMAGES))
            labels.images.append(_labelled(None, text, "", "", _NOT_THERE, description, labels.faults))
    with_text = {text.stem for text in texts.values()}
    unlabelled = (line for line in lost if Path("/".join(parts_of(line))).stem not in with_text)
    labels.images += [Labelled(None, line, line, left_out=_NOT_THERE) for line in unlabelled]
    return labels


def _labelled(
    image: Path | None,
    text: Path | None,
    name: str,
    split: str,
    left_out: str,
    description: YoloYaml,
    faults: list[Fault],
) -> Labelled:
    """Return an image with the shapes of its text file, or one left out for a reason."""
    where = str(text or image)
    try:
        lines = _lines(text) if text else []
    except SegnetError as error:
        faults.append(Fault("bad-label", where, f"can't be read ({error})"))
        return Labelled(None, name, where, split, left_out="text file that can't be read")
    kinds = ["pose" if description.is_of_poses else _kind(line) for _, line in lines]
    if left_out or image is None:
        shapes = [Shape("", kind=kind) for kind in kinds]
        return Labelled(None, name, where, split, shapes=shapes, left_out=left_out)

    def read() -> Labelled:
        size = read_header(image).size
        shapes = [
            _read_line(line, kind, size, description, f"{where}, line {number}", faults)
            for (number, line), kind in zip(lines, kinds, strict=True)
        ]
        return Labelled(image, name, where, split, size, shapes, looked_at=text is not None)

    return read_image(read, where, faults, kinds)


# Which files there are


def _key(file: Path, folder: Path, left_out: str) -> str:
    """Return what an image and its text share: the path without suffix, and without images or labels."""
    parts = same_form(file.relative_to(folder).with_suffix("").as_posix()).split("/")
    places = [place for place, part in enumerate(parts[:-1]) if part.lower() == left_out]
    if places:
        del parts[places[-1]]
    return "/".join(parts)


def _images(root: Path, folders: Sequence[Path], listed: Iterable[Path]) -> dict[Path, str]:
    """Return the key of each image: those that are listed, and those in folders called images, or all."""
    below = images_below(root)
    in_images = [image for image in below if "images" in map(str.lower, image.relative_to(root).parts[:-1])]
    keys = {image: _key(image, root, "images") for image in in_images or below}
    for folder in folders:
        keys |= {image: _key(image, folder, "images") for image in images_below(folder) if image not in keys}
    for image in listed:
        folder = next(each for each in (*folders, root) if image.is_relative_to(each))
        keys.setdefault(image, _key(image, folder, "images"))
    return keys


def _texts(roots: Sequence[Path]) -> dict[str, Path]:
    """Return the text files by key; one in a folder labels before one beside its image."""
    texts: dict[str, Path] = {}
    for root in roots:
        files = [file for file in files_below(root) if file.suffix.lower() == ".txt"]
        files.sort(key=lambda file: "labels" not in map(str.lower, file.parts[:-1]))
        for file in files:
            inside = "labels" in map(str.lower, file.relative_to(root).parts[:-1])
            texts.setdefault(_key(file, root, "labels" if inside else "images"), file)
    return texts


def _names(keys: Mapping[Path, str], splits: Mapping[Path, str]) -> dict[Path, str]:
    """Return the images' names in the new folder: their keys, without splits' folders if they differ then."""

    def short(key: str) -> str:
        *folders, last = key.split("/")
        return "/".join([*(part for part in folders if not split_of(part)), last])

    def place(image: Path, key: str) -> tuple[str, str]:
        return splits.get(image) or split_of(key.rpartition("/")[0]), short(key).casefold()

    counts = Counter(place(image, key) for image, key in keys.items())
    return {image: short(key) if counts[place(image, key)] == 1 else key for image, key in keys.items()}


# What a line says


def _lines(text: Path) -> Lines:
    lines = enumerate(read_text(text).splitlines(), 1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def _words(line: str) -> list[str]:
    return re.split(r"[\s,]+", line.strip(" ,\t")) if "," in line else line.split()


def _kind(line: str) -> str:
    return "box" if len(_words(line)) == _NUMBERS_OF_A_BOX + 1 else "polygon"


def _read_line(
    line: str, kind: str, size: tuple[int, int], description: YoloYaml, where: str, faults: list[Fault]
) -> Shape:
    outline: tuple[float, ...] = ()
    with suppress(Fault, ValueError):  # which reading the shape raises again
        values = [float(word) for word in _words(line)[1:]]
        outline = _outline(values if kind == "polygon" else _corners(values[:4]), size, where)
    read = partial(_shape, line, kind, outline, size, description, where)
    return read_shape(read, kind, where, faults, [outline])


def _shape(
    line: str,
    kind: str,
    outline: tuple[float, ...],
    size: tuple[int, int],
    description: YoloYaml,
    where: str,
) -> Shape:
    if len(line.split()) > 1 and any(map(_DECIMAL_COMMA.fullmatch, line.split())):
        raise Fault("bad-label", where, "has numbers with a decimal comma", "write 0.5, not 0,5")
    try:
        number, *values = (float(word) for word in _words(line))
    except ValueError:
        raise Fault("bad-label", where, "is no class number with coordinates") from None
    if number not in description.names:
        known = ", ".join(map(str, description.names))
        said = f"has class {_words(line)[0]}, but {description.file.name} names {shortened(known)}"
        raise Fault("bad-label", where, said, "correct the number, or add the name of its class there")
    _outline(values if kind == "polygon" else _corners(values[:4]), size, where)
    if kind != "polygon":
        raise Fault("box-label", where, f"is a {kind} without an outline")
    if not outline:
        raise Fault("flat-label", where, "has no area")
    return Shape(description.names[int(number)], (outline,))


def _corners(box: Sequence[float]) -> tuple[float, ...]:
    x, y, width, height = box
    left, top, right, bottom = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    return left, top, right, top, right, bottom, left, bottom


def _outline(values: Sequence[float], size: tuple[int, int], where: str) -> tuple[float, ...]:
    """Return the polygon in pixels of coordinates that are shares of the image's width and height."""
    if len(values) % 2:
        said = f"has {len(values)} coordinates, which are no pairs of x and y"
        raise Fault("bad-label", where, said, "leave out the confidence if that is the last of them")
    farthest = max((abs(value - 0.5) for value in values), default=0.0)
    if farthest > 0.5 + _OUTSIDE:
        said = "has coordinates beyond 1, where shares of the image's width and height belong"
        raise Fault("bad-label", where, said, "if they are pixels, divide them by the width and the height")
    return polygon(values, size, where, scale=size)
