"""Which image belongs to which mask in a folder, and what the names alone show to be wrong.

Images and masks pair by their path below ``images/`` and ``masks/``, without suffix: ``images/a/1.jpg`` with
``masks/a/1.png``, in whatever Unicode form the two names are. Nothing is opened here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from segnet.base.errors import SegnetError, did_you_mean
from segnet.base.walking import files_below
from segnet.data.check.near_names import near_names, same_form, shown_apart
from segnet.data.faults import Fault
from segnet.data.images.embedded_files import File
from segnet.data.images.suffixes import ARCHIVE_SUFFIXES, IMAGE_SUFFIXES, REMEDIES, UNREAD_SUFFIXES
from segnet.runs.identity import SPLITS

_LOSSY_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".webp")  # of masks whose values are only near classes'
MASK_SUFFIXES = (
    ".png", ".bmp", ".tif", ".tiff", ".gif", ".pbm", ".pgm", ".ppm", ".pnm", ".tga", ".qoi", *_LOSSY_SUFFIXES,
)  # fmt: skip

DESCRIPTION = "dataset.yaml"
ONE_NAME = "call the mask as its image"
"""The remedy where a mask is there under another name."""

# What people call the two folders where they don't call them images/ and masks/.
_OTHER_NAMES = {
    "images": ("image", "imgs", "img", "jpegimages", "photos", "input", "inputs", "leftimg8bit"),
    "masks": ("mask", "labels", "label", "annotations", "segmentation", "segmentationclass", "gt", "gtfine"),
}
_OTHER_DESCRIPTIONS = ("dataset.yml", "data.yaml", "data.yml")
# Pictures in formats that aren't read, or not as masks; JPEG and WebP have their own message there.
_PICTURES = {*UNREAD_SUFFIXES, *IMAGE_SUFFIXES} - {".jpg", ".jpeg", ".webp"}

PairFile = TypeVar("PairFile", bound=File, covariant=True)


class Pair(NamedTuple, Generic[PairFile]):
    """An image and its mask, wherever they lie."""

    split: str
    """One of ``SPLITS``."""
    name: str
    """What reports call it. For files it is the image's path below ``images/``, without suffix, with /."""
    image: PairFile
    mask: PairFile


@dataclass
class Pairs:
    """What a folder holds."""

    pairs: list[Pair[Path]] = field(default_factory=list)
    """Sorted by split and name."""
    splits: tuple[str, ...] = ()
    """The splits that have a folder; one level counts as ``train``."""
    faults: list[Fault] = field(default_factory=list)


def require_folder(root: Path) -> None:
    """Raise SegnetError where a path is no folder, with what to do with the file that is there."""
    if root.is_dir():
        return
    archived = "unpack it; if it is a .zip of labels, segnet data convert makes a folder of it"
    labels = "if it holds labels, segnet data convert makes a folder of it"
    ways = dict.fromkeys(ARCHIVE_SUFFIXES, archived)
    ways |= dict.fromkeys((".json", ".geojson", ".xml", ".yaml", ".yml"), labels)
    suffix = root.suffix.lower() if root.is_file() else ""
    raise SegnetError(f"{root} is no folder; {ways.get(suffix, 'check the path')}")


def find_pairs(root: Path) -> Pairs:
    """Look through a folder; what is wrong is collected.

    Raises:
        SegnetError: there is no such folder.
    """
    require_folder(root)
    found = Pairs(faults=_misnamed_descriptions(root))
    below = [split for split in SPLITS if (root / split).is_dir()]
    one_level = (root / "images").is_dir()
    if one_level == bool(below):
        found.faults.append(_wrong_layout(root))
        return found
    found.faults += _unknown_splits(root) if below else []
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
    lonely, left = images.keys() - masks.keys(), masks.keys() - images.keys()
    near = near_names(lonely, left)
    for name in sorted(lonely):
        said, remedy = f"has no mask in {folder / 'masks'}", ""
        if name in near:
            _, there = shown_apart(name, near[name].name)
            but = f"but there is {there}, which differs in {near[name].how}"
            said, remedy = f"has no mask of its name in {folder / 'masks'}, {but}", ONE_NAME
        found.faults.append(Fault("no-mask", images[name], said, remedy))
    said = f"has no image of its name in {folder / 'images'}"
    found.faults += [Fault("no-image", masks[name], said) for name in sorted(left)]
    both = sorted(images.keys() & masks.keys())
    found.pairs += [Pair(split, name, images[name], masks[name]) for name in both]


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

    def twice(link: str, known: str) -> None:
        faults.append(Fault("walked-twice", Path(link), f"leads to {known}, which is read already"))

    for entry, above in files_below(folder, twice):
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
        key, again = same_form(name), Path(entry.path)  # of macOS's form and the others' too
        kept = files.setdefault(key, again)
        if kept is again:
            continue
        if suffixes is MASK_SUFFIXES and kept.suffix.lower() in _LOSSY_SUFFIXES:
            kept, again = again, kept
        files[key] = kept
        other, own = shown_apart(kept.name, again.name)
        alike = "" if own == again.name else f" ({own}) but for its Unicode form"
        found.faults.append(Fault("same-name", again, f"has the same name as {other}{alike}"))
    return files


def _is_ordinary(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


# Near misses: what was probably meant


def _misnamed(folder: Path, wanted: str) -> str:
    there = [entry for entry in sorted(folder.iterdir()) if entry.is_dir()]
    known = (wanted, *_OTHER_NAMES[wanted])
    near = [entry.name for entry in there if entry.name.lower() in known and _may_hold_pictures(entry)]
    return f", but there is {near[0]}/: rename it to {wanted}/" if near else ""


def _may_hold_pictures(folder: Path) -> bool:
    """Whether a folder holds a picture or nothing: YOLO's labels/, say, holds text files alone."""
    suffixes = [os.path.splitext(entry.name)[1].lower() for entry, _ in files_below(folder)]  # noqa: PTH122
    return not suffixes or any(suffix in (*IMAGE_SUFFIXES, *MASK_SUFFIXES) for suffix in suffixes)


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
    return Fault(
        "layout",
        root,
        f"holds {there}{_misnamed(root, 'images')}",
        "it must hold either images/ and masks/, or train/ and val/ with images/ and masks/ in each",
    )
