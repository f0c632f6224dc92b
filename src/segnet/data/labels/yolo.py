"""YOLO's text files of polygons, and its YAML file: https://docs.ultralytics.com/datasets/segment/."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from segnet.base.errors import SegnetError, refuse
from segnet.data.faults import Fault
from segnet.data.images.headers import read_header
from segnet.data.labels.fields import Malformed, Polygon, corners, polygon, require, shortened
from segnet.data.labels.finding import (
    files_below,
    find_by_tail,
    images_below,
    is_hidden,
    key_below,
    lines_of,
    parts_of,
    read_text,
    split_of,
)
from segnet.data.labels.shapes import Labelled, Labels, Shape, outlined, with_background

_NUMBERS_OF_A_BOX = 4
_OUTSIDE = 0.5  # of an image's side; coordinates farther outside are no shares of it
_DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
_NOT_THERE = "image not there"
_GIVE_IMAGES = "give --images the folder of the image, or take the text file out"
_NO_LABELS = ("classes", "notes")
_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_NAMES_ALONE = "classes.txt"  # what Label Studio writes in place of a YAML file
_UNREAD = (yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError, IndexError, RecursionError)


@dataclass(frozen=True)
class YoloYaml:
    """A file that describes a data set; paths in it may be those of another machine."""

    file: Path
    names: dict[int, str]
    """Of the classes, by number."""
    entries: tuple[tuple[str, str], ...] = ()
    """Splits, each with a folder, a list of images in a text file, or an image."""
    is_of_poses: bool = False


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
    splits, lost = _listed_images(description, [root, *folders], labels.faults)
    keys = _images(root, folders, splits)
    texts = _texts([root, *folders])
    by_last: dict[str, list[str]] = defaultdict(list)
    for key in texts:
        by_last[key.rpartition("/")[2]].append(key)
    names = _names(keys, splits)
    for image, key in keys.items():
        text = texts.pop(key, None)
        if text is None and not image.is_relative_to(root):
            longer = [each for each in by_last[key.rpartition("/")[2]] if each.endswith(f"/{key}")]
            text = texts.pop(longer[0], None) if len(longer) == 1 else None
        unlisted = f"in no split of {description.file.name}" if splits and image not in splits else ""
        split = splits.get(image) or split_of(key.rpartition("/")[0])
        _add(labels, description, image, text, names[image], split, unlisted)
    for text in texts.values():
        if "labels" in map(str.lower, text.parent.parts) and text.stem.lower() not in _NO_LABELS:
            labels.faults.append(Fault("no-image", text, "has no image of its name", _GIVE_IMAGES))
            _add(labels, description, None, text, left_out=_NOT_THERE)
    with_text = {text.stem for text in texts.values()}
    unlabelled = (line for line in lost if Path("/".join(parts_of(line))).stem not in with_text)
    labels.images += [Labelled(None, line, line, left_out=_NOT_THERE) for line in unlabelled]
    return labels


def _add(
    labels: Labels,
    description: YoloYaml,
    image: Path | None,
    text: Path | None,
    name: str = "",
    split: str = "",
    left_out: str = "",
) -> None:
    """Add an image with the shapes of its text file, or one left out for a reason."""
    where = str(text or image)
    try:
        lines = _lines(text) if text else {}
    except Fault as fault:
        labels.refuse(fault, where)
        return
    pose = "pose" if description.is_of_poses else ""
    entries = {number: (pose or _kind(line), line) for number, line in lines.items()}
    kinds = [kind for kind, _ in entries.values()]

    def read() -> Labelled:
        if image is None or left_out:
            shapes = [Shape("", kind=kind) for kind in kinds]
            return Labelled(None, name, where, split, shapes=shapes, left_out=left_out)
        size = read_header(image).size
        shape = partial(_shape, description=description)
        shapes = [
            labels.read_shape(entry, entry[0], f"{where}, line {number}", size, shape, _extent)
            for number, entry in entries.items()
        ]
        return Labelled(image, name, where, split, size, shapes, looked_at=text is not None)

    labels.read_image(read, where, kinds)


# Which files there are


def _key(file: Path, folder: Path, left_out: str) -> str:
    """Return what an image and its text share: the path without suffix, and without images or labels."""
    parts = key_below(file, folder).split("/")
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


def _lines(text: Path) -> dict[int, str]:
    """Return the lines that say something, by number."""
    lines = enumerate(map(str.strip, read_text(text).splitlines()), 1)
    return {number: line for number, line in lines if line}


def _words(line: str) -> list[str]:
    return re.split(r"[\s,]+", line.strip(" ,\t")) if "," in line else line.split()


def _kind(line: str) -> str:
    return "box" if len(_words(line)) == _NUMBERS_OF_A_BOX + 1 else "polygon"


def _shape(entry: tuple[str, str], size: tuple[int, int], description: YoloYaml) -> Shape:
    kind, line = entry
    words, apart = _words(line), line.split()
    is_comma = len(apart) > 1 and any(map(_DECIMAL_COMMA.fullmatch, apart))
    require(not is_comma, "has numbers with a decimal comma", "write 0.5, not 0,5")
    try:
        number, *values = map(float, words)
    except ValueError:
        raise Malformed("is no class number with coordinates") from None
    known = ", ".join(map(str, description.names))
    said = f"has class {words[0]}, but {description.file.name} names {shortened(known)}"
    remedy = "correct the number, or add the name of its class there"
    require(number in description.names, said, remedy)
    outline = _outline(values, kind, size)
    require(kind == "polygon", f"is a {kind} without an outline", kind="box-label")
    return outlined(description.names[int(number)], [outline])


def _extent(entry: tuple[str, str], size: tuple[int, int]) -> list[Polygon]:
    kind, line = entry
    return [_outline([float(word) for word in _words(line)[1:]], kind, size)]


def _outline(values: Sequence[float], kind: str, size: tuple[int, int]) -> Polygon:
    """Return the polygon in pixels of coordinates that are shares of the image's width and height."""
    if kind != "polygon":
        x, y, width, height = values[:_NUMBERS_OF_A_BOX]
        box = corners(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        values = np.ravel(box).tolist()
    said = f"has {len(values)} coordinates, which are no pairs of x and y"
    require(len(values) % 2 == 0, said, "leave out the confidence if that is the last of them")
    are_shares = not any(abs(value - 0.5) > 0.5 + _OUTSIDE for value in values)
    require(
        are_shares,
        "has coordinates beyond 1, where shares of the image's width and height belong",
        "if they are pixels, divide them by the width and the height",
    )
    return polygon(values, size, scale=size)


# What the YAML file says


def description_of(root: Path) -> Path | None:
    """Return the file that names the classes of a YOLO data set, if this is one."""
    candidates = (root / "data.yaml", root / "dataset.yaml", *sorted(root.glob("*.y*ml")))
    for file in candidates:
        if not is_hidden(file.name) and file.is_file() and b"names" in file.read_bytes().replace(b"\0", b""):
            return file
    names = root / _NAMES_ALONE
    return names if names.is_file() and (root / "labels").is_dir() else None


def read_description(file: Path) -> YoloYaml:
    """Read it.

    Raises:
        SegnetError: it isn't YAML, names no classes, or lists something else than paths as a split.
    """
    if file.name == _NAMES_ALONE:
        return YoloYaml(file, dict(enumerate(lines_of(file))))
    text = read_text(file)
    try:
        content: Any = yaml.safe_load(text)
        names = _class_names(content["names"])
        count, is_of_poses = content.get("nc", len(names)), "kpt_shape" in content
        entries = [(split, entry) for key, split in _SPLITS.items() for entry in _entries(content, key)]
    except _UNREAD as error:
        said = " ".join(str(error).split())
        raise SegnetError(f"{file} can't be read as YAML with names: {said}; correct it") from error
    differ = f"{file} has nc: {count}, but names has {len(names)}; correct one of them"
    refuse(
        (not names, f"{file} names no classes; it needs 'names: [..]'"),
        (count != len(names), differ),
    )
    return YoloYaml(file, names, tuple(entries), is_of_poses)


def _class_names(stored: Any) -> dict[int, str]:
    is_text = isinstance(stored, str)
    require(not is_text, "names is a text, where a list or one name for each number belongs")
    names = {}
    for number, name in stored.items() if isinstance(stored, dict) else enumerate(stored):
        fits = isinstance(name, str | int | float) and not isinstance(name, bool) and str(name).strip()
        require(fits, f"the name {name!r} of class {number} is no text, so put it in quotes")
        names[int(number)] = str(name).strip()
    return dict(sorted(names.items()))


def _entries(content: dict[str, Any], key: str) -> list[str]:
    """Return the paths of a split."""
    stored = content.get(key) or []
    listed = [stored] if isinstance(stored, str) else stored
    fits = isinstance(listed, list) and all(isinstance(entry, str) for entry in listed)
    require(fits, f"{key} is {stored!r}, where a path or a list of paths belongs")
    return [entry for entry in listed if entry.strip()]


def _listed_images(
    description: YoloYaml, roots: Sequence[Path], faults: list[Fault]
) -> tuple[dict[Path, str], list[str]]:
    """Return the split of each image that the file lists, and the lines that name one which isn't there.

    Args:
        description: the file.
        roots: the folders that its paths are looked for in.
        faults: what is wrong with the lists is added to.
    """
    splits: dict[Path, str] = {}
    lost: list[str] = []
    missing: list[Fault] = []
    for split, entry in description.entries:
        place = _find(entry, roots)
        if place is None:
            said = f"has {entry!r} as {split}, which is not there"
            missing.append(Fault("no-split", description.file, said))
            continue
        for image in images_below(place) if place.is_dir() else _listed(place, roots, faults, lost):
            if splits.setdefault(image, split) != split:
                said = f"is listed in {splits[image]} and in {split}, and stays in {splits[image]}"
                faults.append(Fault("listed-twice", image, said))
    faults += missing
    return splits, lost


def _find(entry: str, roots: Sequence[Path]) -> Path | None:
    """Return what an entry means: its whole path below a root, of an absolute path the longest end there."""
    parts = len(parts_of(entry))
    is_absolute = entry.startswith(("/", "\\")) or entry[1:2] == ":"
    return find_by_tail(entry, roots, min(2, parts) if is_absolute else parts, Path.exists) if parts else None


def _listed(file: Path, roots: Sequence[Path], faults: list[Fault], lost: list[str]) -> Iterator[Path]:
    """Yield the images that the lines of a text file name; collect the lines whose image isn't there."""
    if file.suffix.lower() != ".txt":
        yield file
        return
    for number, line in enumerate(lines_of(file), 1):
        image = find_by_tail(line, [file.parent, *roots])
        if image is not None:
            yield image
        else:
            lost.append(line)
            said = f"names the image {line}, which is not there"
            faults.append(Fault("no-image", f"{file}, line {number}", said, "give --images its folder"))
