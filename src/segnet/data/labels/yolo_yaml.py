"""What the YAML file of a YOLO data set says: the classes' names, and which images are of which split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from segnet.base.errors import SegnetError
from segnet.data.faults import Fault
from segnet.data.labels.finding import (
    find_by_tail,
    images_below,
    is_hidden,
    lines_of,
    parts_of,
    read_text,
)

_KEYS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
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

    def images(self, roots: Sequence[Path], faults: list[Fault]) -> tuple[dict[Path, str], list[str]]:
        """Return the split of each image that the file lists, and the lines that name one which isn't there.

        Args:
            roots: the folders that its paths are looked for in.
            faults: what is wrong with the lists is added to.
        """
        splits: dict[Path, str] = {}
        lost: list[str] = []
        missing: list[Fault] = []
        for split, entry in self.entries:
            place = _find(entry, roots)
            if place is None:
                missing.append(Fault("no-split", self.file, f"has {entry!r} as {split}, which is not there"))
                continue
            listed = images_below(place) if place.is_dir() else [*_listed(place, roots, faults, lost)]
            for image in listed:
                if splits.setdefault(image, split) != split:
                    said = f"is listed in {splits[image]} and in {split}, and stays in {splits[image]}"
                    faults.append(Fault("listed-twice", image, said))
        faults += missing
        return splits, lost


def _find(entry: str, roots: Sequence[Path]) -> Path | None:
    """Return what an entry means: its whole path below a root, of an absolute path the longest end there."""
    parts = parts_of(entry)
    absolute = entry.startswith(("/", "\\")) or entry[1:2] == ":"
    fewest = min(2, len(parts)) if absolute else len(parts)
    for start in range(len(parts) - fewest + 1):
        for root in roots:
            place = root.joinpath(*parts[start:])
            if parts and place.exists():
                return place
    return None


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
    try:
        content: Any = yaml.safe_load(read_text(file))
        names = _names(content["names"])
        count = content.get("nc", len(names))
        entries = [(split, entry) for key, split in _KEYS.items() for entry in _entries(content, key)]
        entries.sort(key=lambda each: ("train", "val", "test").index(each[0]))
        poses = "kpt_shape" in content
    except SegnetError:
        raise
    except _UNREAD as error:
        said = " ".join(str(error).split())
        raise SegnetError(f"{file} can't be read as YAML with names: {said}; correct it") from error
    if not names:
        raise SegnetError(f"{file} names no classes; it needs 'names: [..]'")
    if count != len(names):
        raise SegnetError(f"{file} has nc: {count}, but names has {len(names)}; correct one of them")
    return YoloYaml(file, names, tuple(entries), poses)


def _names(stored: Any) -> dict[int, str]:
    pairs = stored.items() if isinstance(stored, dict) else enumerate(stored)
    if isinstance(stored, str):
        raise TypeError("names is a text, where a list or one name for each number belongs")
    names = {}
    for number, name in pairs:
        if isinstance(name, bool) or not isinstance(name, str | int | float) or not str(name).strip():
            raise TypeError(f"the name {name!r} of class {number} is no text, so put it in quotes")
        names[int(number)] = str(name).strip()
    return dict(sorted(names.items()))


def _entries(content: dict[str, Any], key: str) -> list[str]:
    """Return the paths of a split."""
    stored = content.get(key) or []
    listed = [stored] if isinstance(stored, str) else stored
    if not isinstance(listed, list) or not all(isinstance(entry, str) for entry in listed):
        raise TypeError(f"{key} is {stored!r}, where a path or a list of paths belongs")
    return [entry for entry in listed if entry.strip()]
