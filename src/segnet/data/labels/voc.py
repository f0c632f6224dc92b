"""Pascal VOC's layout, as the data set has it and as CVAT and LabelMe write it: mask files and lists.

https://docs.cvat.ai/docs/manual/advanced/formats/format-smask/, format-voc/, and what labelme2voc.py writes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from segnet.base.classes import IGNORE_INDEX
from segnet.base.colours import Colour
from segnet.base.errors import SegnetError
from segnet.data.faults import Fault
from segnet.data.images.headers import read_header
from segnet.data.images.suffixes import IMAGE_SUFFIXES
from segnet.data.labels.coded import MaskTable, add_pairs
from segnet.data.labels.finding import images_below, is_hidden, key_below, lines_of, parts_of, split_of
from segnet.data.labels.shapes import Labelled, Labels, background_first

# http://host.robots.ox.ac.uk/pascal/VOC/voc2012/segexamples/index.html
_CLASSES_OF_2012 = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep",
    "sofa", "train", "tvmonitor",
)  # fmt: skip
_OF_2012 = "Pascal VOC 2012"
_NAMED_BY_VOC = re.compile(r"\d{4}_\d{6}")
_BORDER: Colour = (224, 224, 192)
_IGNORED = "__ignore__"  # LabelMe's name of what isn't scored
_MASKS = ("SegmentationClassPNG", "SegmentationClass")  # older LabelMe keeps arrays in the second
_NO_IMAGES = ("segmentation", "imagesets", "annotations", "labels")
_LISTS = ("ImageSets/Segmentation", "ImageSets/Main", "ImageSets")
_NAMES = ("class_names.txt", "labels.txt", "classes.txt")
_SAY_THEM = "add labelmap.txt with a line name:red,green,blue:: for each class"


def masks_of_voc(root: Path) -> Path | None:
    """Return the folder of mask files, where a folder is laid out like VOC's."""
    folders = (root / name for name in _MASKS)
    return next((folder for folder in folders if folder.is_dir() and images_below(folder)), None)


def read_voc(root: Path, masks: Path, folders: Sequence[Path]) -> Labels:
    """Read a folder of this layout.

    ``labelmap.txt`` (CVAT) or ``class_names.txt`` (LabelMe) name the classes. Without them they are those of
    2012, if the masks are VOC's. The lists in ``ImageSets`` say the splits, if they are there.

    Args:
        root: the folder.
        masks: its folder of masks.
        folders: where images may be besides.

    Raises:
        SegnetError: nothing says what the masks mean.
    """
    files = {key_below(file, masks): file for file in images_below(masks)}
    names, table = _classes(root, [*files.values()])
    labels = Labels("Pascal VOC", names)
    if table.said_by == _OF_2012 and not _is_2012(files.values()):
        said = "names no classes: its classes are taken to be those of Pascal VOC 2012, whose colours it has"
        labels.faults.append(Fault("assumed-classes", root, said))
    images = _images(root, folders)
    splits = _splits(root, files.keys() | images.keys())
    for key in files:
        last = key.rpartition("/")[2]
        if key not in images and last in images:
            images[key] = images[last]
    used = files.keys() | {key.rpartition("/")[2] for key in files}
    unlisted = "in no list of ImageSets"
    add_pairs(
        labels,
        {key: (mask, table) for key, mask in files.items()},
        {key: image for key, image in images.items() if key in files or key not in used},
        lambda key: (
            key,
            splits.get(key, ""),
            unlisted if splits and key in files and key not in splits else "",
        ),
        "has no image of its name, {key}",
        "give --images the images' folder",
    )
    for key in sorted(splits.keys() - images.keys() - used):
        where = str(root / "ImageSets" / key)
        labels.images.append(Labelled(None, key, where, left_out="listed in ImageSets, but not there"))
    return labels


def _images(root: Path, folders: Sequence[Path]) -> dict[str, Path]:
    """Return the images by their path without suffix below the folder that holds all of them."""
    below = [entry for entry in sorted(root.iterdir()) if entry.is_dir() and not is_hidden(entry.name)]
    below = [entry for entry in below if not entry.name.lower().startswith(_NO_IMAGES)]
    below.sort(key=lambda entry: entry.name.lower() not in ("jpegimages", "images"))
    found: dict[str, Path] = {}
    for folder in (*below, *folders):
        for file in images_below(folder):
            if not file.is_relative_to(root) or file.is_relative_to(folder):
                found.setdefault(key_below(file, folder), file)
    return found


# Which classes there are


def _is_2012(masks: Iterable[Path]) -> bool:
    """Whether masks are called as those of the data set, by year and number."""
    return any(_NAMED_BY_VOC.fullmatch(mask.stem) for mask in masks)


def _classes(root: Path, masks: Sequence[Path]) -> tuple[list[str], MaskTable]:
    labelmap = root / "labelmap.txt"
    if labelmap.is_file():
        return _by_colours(labelmap)
    for file in (root / name for name in _NAMES):
        if file.is_file():
            names = lines_of(file)
            return _by_position(names[1:] if names[:1] == [_IGNORED] else names, str(file))
    if _is_2012(masks):
        return _by_position(_CLASSES_OF_2012, _OF_2012)
    if masks and read_header(masks[0]).mode in ("L", "1", "I", "I;16"):
        raise SegnetError(
            f"nothing in {root} names the classes that its masks' values stand for; add class_names.txt with "
            "one name a line, the first for the value 0"
        )
    names, table = _by_position(_CLASSES_OF_2012, _OF_2012, f"if they are other classes, {_SAY_THEM}")
    return names, MaskTable(table.said_by, {}, table.colours, by_palette=True, remedy=table.remedy)


def _by_colours(file: Path) -> tuple[list[str], MaskTable]:
    """Read ``name:red,green,blue:parts:actions``; without a colour that of the line's number is meant."""
    entries: list[tuple[str, Colour]] = []
    for number, line in enumerate(lines_of(file)):
        fields = line.rsplit(":", 3) if line.count(":") >= 3 else line.split(":")
        said = fields[1].strip() if len(fields) > 1 else ""
        entries.append((fields[0].strip(), _colour(said, f"{file}: {line}") if said else colour_of(number)))
    scored = [(name, colour) for name, colour in entries if name != _IGNORED and colour != _BORDER]
    names = _in_order([name for name, _ in scored], str(file))
    colours = {_BORDER: IGNORE_INDEX} | {colour: IGNORE_INDEX for name, colour in entries if name == _IGNORED}
    for name, colour in scored:
        if colours.setdefault(colour, names.index(name)) != names.index(name):
            raise SegnetError(f"{file} gives {name} the colour {colour} of another class; correct it")
    values = {number: colours[colour] for number, (_, colour) in enumerate(entries)}
    return names, MaskTable(str(file), {255: IGNORE_INDEX} | values, colours, by_palette=True)


def _by_position(listed: Sequence[str], said_by: str, remedy: str = "") -> tuple[list[str], MaskTable]:
    """Return the table of masks in which a value, or VOC's colour of it, counts the names from 0."""
    names = _in_order(listed, said_by)
    values = {number: names.index(name) for number, name in enumerate(listed)}
    colours = {colour_of(number): id_ for number, id_ in values.items()}
    ignored = {_BORDER: IGNORE_INDEX}
    return names, MaskTable(said_by, {255: IGNORE_INDEX} | values, ignored | colours, remedy=remedy)


def _in_order(listed: Iterable[str], said_by: str) -> list[str]:
    names = background_first(listed)
    if not 1 <= len(names) <= IGNORE_INDEX or "" in names:
        raise SegnetError(f"{said_by} names no classes, or more than {IGNORE_INDEX}, or one without a name")
    return names


def _colour(text: str, where: str) -> Colour:
    numbers = re.fullmatch(r"(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})", text)
    red, green, blue = map(int, numbers.groups()) if numbers else (256, 0, 0)
    if max(red, green, blue) > 255:
        raise SegnetError(f"{where} has no colour red,green,blue of 0 to 255 but {text!r}; correct it")
    return red, green, blue


def colour_of(number: int) -> Colour:
    """Return VOC's colour of a class id: its bits go to the channels in turn, the low ones to high bits."""
    channels = [0, 0, 0]
    for bit in range(8):
        channels[bit % 3] |= (number >> bit & 1) << (7 - bit // 3)
    return channels[0], channels[1], channels[2]


# Which image is of which split


def _splits(root: Path, known: Iterable[str]) -> dict[str, str]:
    """Return the split, or nothing, of each image that a list names; no image where there are no lists."""
    for folder in (root / each for each in _LISTS):
        files = [file for file in sorted(folder.glob("*.txt")) if not is_hidden(file.name)]
        if folder.name == "Main":  # lists of a single class end with the split too
            files = [file for file in files if "_" not in file.stem] or files
        files.sort(key=lambda file: ("", "test", "train", "val").index(split_of(file.stem)))
        found = {_named(line, known): split_of(file.stem) for file in files for line in lines_of(file)}
        if found:
            return found
    return {}


def _named(line: str, known: Iterable[str]) -> str:
    """Return the image that a line of a list means: its name, perhaps with a path, a suffix or a flag."""
    line = unicodedata.normalize("NFC", line)
    spellings = (line, line.rpartition(" ")[0], line.split()[0])
    for spelled in spellings:
        parts = parts_of(spelled)
        for start in range(len(parts)):
            name = "/".join(parts[start:])
            stem, _, suffix = name.rpartition(".")
            for each in (name, stem if f".{suffix.lower()}" in IMAGE_SUFFIXES else name):
                if each in known:
                    return each
    return "/".join(parts_of(line)) or line
