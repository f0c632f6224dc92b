"""Which image belongs to which mask in a folder, and what the names alone show to be wrong.

Images and masks pair by their path below ``images/`` and ``masks/``, without suffix: ``images/a/1.jpg`` with
``masks/a/1.png``. Nothing is opened here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, Protocol

from segnet.core.errors import SegnetError, did_you_mean
from segnet.data.blobs import File
from segnet.data.faults import Fault
from segnet.data.suffixes import IMAGE_SUFFIXES, REMEDIES, UNREAD_SUFFIXES
from segnet.runs.identity import SPLITS

# None that loses values, as JPEG does.
MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif", ".pbm", ".pgm", ".ppm", ".pnm", ".tga", ".qoi")

DESCRIPTION = "dataset.yaml"

# What people call the two folders where they don't call them images/ and masks/.
_OTHER_NAMES = {
    "images": ("image", "imgs", "img", "jpegimages", "photos", "input", "inputs", "leftimg8bit"),
    "masks": ("mask", "labels", "label", "annotations", "segmentation", "segmentationclass", "gt", "gtfine"),
}
_OTHER_DESCRIPTIONS = ("dataset.yml", "data.yaml", "data.yml")
# Pictures in formats that aren't read, or not as masks; JPEG and WebP have their own message there.
_PICTURES = {*UNREAD_SUFFIXES, *IMAGE_SUFFIXES} - {".jpg", ".jpeg", ".webp"}


class Paired(Protocol):
    """An image and its mask, wherever they lie."""

    @property
    def split(self) -> str:
        """One of ``SPLITS``."""

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def image(self) -> File:
        """The image's file."""

    @property
    def mask(self) -> File:
        """The mask's file."""


class Pair(NamedTuple):
    """An image file and its mask file."""

    split: str
    name: str
    """The image's path below ``images/`` without suffix, with / on every system."""
    image: Path
    mask: Path


@dataclass
class Pairs:
    """What a folder holds."""

    pairs: list[Pair] = field(default_factory=list)
    """Sorted by split and name."""
    splits: tuple[str, ...] = ()
    """The splits that have a folder; one level counts as ``train``."""
    faults: list[Fault] = field(default_factory=list)


def find_pairs(root: Path) -> Pairs:
    """Look through a folder; what is wrong is collected.

    Raises:
        SegnetError: there is no such folder.
    """
    if not root.is_dir():
        raise SegnetError(f"{root} is no folder; check the path")
    found = Pairs()
    found.faults += _misnamed_descriptions(root)
    below = [split for split in SPLITS if (root / split).is_dir()]
    one_level = (root / "images").is_dir()
    if one_level == bool(below):
        found.faults.append(_wrong_layout(root))
        return found
    if below:
        found.faults += _unknown_splits(root)
    found.splits = ("train",) if one_level else tuple(below)
    for split in found.splits:
        _add_split(found, split, root if one_level else root / split)
    return found


def _add_split(found: Pairs, split: str, folder: Path) -> None:
    for name in ("images", "masks"):
        if not (folder / name).is_dir():
            found.faults.append(Fault("layout", folder / name, f"is not there{_misnamed(folder, name)}"))
            return
    images = _by_name(folder / "images", IMAGE_SUFFIXES, found)
    masks = _by_name(folder / "masks", MASK_SUFFIXES, found)
    if not images:
        known = " ".join(IMAGE_SUFFIXES)
        found.faults.append(
            Fault("layout", folder / "images", f"holds no image ({known})", "put the images there")
        )
    for name in sorted(images.keys() - masks.keys()):
        detail, remedy = _where_is_its_mask(folder / "masks", name, masks.keys() - images.keys())
        found.faults.append(Fault("no-mask", images[name], detail, remedy))
    for name in sorted(masks.keys() - images.keys()):
        found.faults.append(
            Fault("no-image", masks[name], f"has no image of its name in {folder / 'images'}")
        )
    for name in sorted(images.keys() & masks.keys()):
        found.pairs.append(Pair(split, name, images[name], masks[name]))


def find_pictures(folder: Path, suffixes: tuple[str, ...], faults: list[Fault]) -> Iterator[Path]:
    """Yield the files of these suffixes in a folder and those in it, sorted; what is wrong is collected."""
    for entry, _ in _pictures_below(folder, suffixes, faults):
        yield Path(entry.path)


def _pictures_below(
    folder: Path, suffixes: tuple[str, ...], faults: list[Fault]
) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Yield each file as it was listed, and its path below the folder without suffix.

    Of very many files, texts take a tenth of the time that paths do.
    """
    for entry, above in _files_below(os.fspath(folder)):
        stem, _, last = entry.name.rpartition(".")
        suffix = f".{last.lower()}" if stem and last else ""
        if suffix not in suffixes:
            if suffix in _PICTURES:
                said = f"is a {suffix} file, which isn't read"
                faults.append(Fault("unreadable-format", Path(entry.path), said, REMEDIES.get(suffix, "")))
            continue
        if not _is_ordinary(entry):
            what = "a link to nothing" if entry.is_symlink() else "a pipe, a socket or a device"
            faults.append(Fault("no-file", Path(entry.path), f"is {what}"))
            continue
        yield entry, above + stem


def _by_name(folder: Path, suffixes: tuple[str, ...], found: Pairs) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for entry, name in _pictures_below(folder, suffixes, found.faults):
        if name in files:
            said = f"has the same name as {files[name].name}"
            found.faults.append(Fault("same-name", Path(entry.path), said))
            continue
        files[name] = Path(entry.path)
    return files


def _files_below(folder: str, above: str = "") -> Iterator[tuple[os.DirEntry[str], str]]:
    """Yield what lies in a folder and those in it, sorted, without what is hidden; links lead no further.

    With each comes what stands before its name in its path below the folder, with / on every system.
    """
    with os.scandir(folder) as listed:
        entries = sorted(listed, key=attrgetter("name"))
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files_below(entry.path, f"{above}{entry.name}/")
        else:
            yield entry, above


def _is_ordinary(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


# Near misses: what was probably meant


def _where_is_its_mask(folder: Path, name: str, lonely: set[str]) -> tuple[str, str]:
    """Say why an image has no mask, and what to do: its mask may be there under another name."""
    last = name.rpartition("/")[2]
    for suffix in (".jpg", ".jpeg", ".webp"):
        if (folder / f"{name}{suffix}").exists():
            return (
                f"has a mask in {suffix[1:].upper()}, which changes the values: {folder / name}{suffix}",
                f"masks are lossless: {' '.join(MASK_SUFFIXES)}; export it anew as PNG",
            )
    for other in sorted(lonely):
        there = other.rpartition("/")[2]
        if there.startswith((f"{last}_", f"{last}-", f"{last}.", f"{last} ")):
            return (
                f"has no mask of its name in {folder}, but there is {other}",
                f"call the mask as the image, {last}.png",
            )
    return f"has no mask in {folder}", ""


def _misnamed(folder: Path, wanted: str) -> str:
    there = [entry.name for entry in sorted(folder.iterdir()) if entry.is_dir()]
    near = [name for name in there if name.lower() in _OTHER_NAMES[wanted] or name.lower() == wanted]
    return f", but there is {near[0]}/: rename it to {wanted}/" if near else ""


def _misnamed_descriptions(root: Path) -> list[Fault]:
    if (root / DESCRIPTION).exists():
        return []
    return [
        Fault("layout", root / name, "is not read", f"what the masks mean stands in {DESCRIPTION}; rename it")
        for name in _OTHER_DESCRIPTIONS
        if (root / name).is_file()
    ]


def _unknown_splits(root: Path) -> list[Fault]:
    return [
        Fault("layout", folder.parent, f"is an unknown split{did_you_mean(folder.parent.name, SPLITS)}")
        for folder in sorted(root.glob("*/images"))
        if folder.parent.name not in SPLITS
    ]


def _wrong_layout(root: Path) -> Fault:
    names = sorted(entry.name + "/" * entry.is_dir() for entry in root.iterdir())
    there = ", ".join(names[:8]) or "nothing"
    hint = _misnamed(root, "images") or next(
        (
            f", and {entry.name}/ looks like a dataset: give {entry}"
            for entry in sorted(root.iterdir())
            if entry.is_dir() and ((entry / "images").is_dir() or (entry / "train").is_dir())
        ),
        "",
    )
    return Fault(
        "layout",
        root,
        f"holds {there}{hint}",
        "it must hold either images/ and masks/, or train/ and val/ with images/ and masks/ in each",
    )
