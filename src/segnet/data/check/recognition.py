"""What a folder of another layout is, and the one command that makes a dataset of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from segnet.base.errors import SegnetError
from segnet.data.check.pairing import ONE_NAME, Pairs, find_pairs
from segnet.data.faults import Fault
from segnet.data.images.suffixes import ARCHIVE_SUFFIXES
from segnet.data.labels.archive import is_archive
from segnet.data.labels.finding import images_below
from segnet.data.labels.loose_pairs import find_loose_pairs
from segnet.data.labels.recognise import find_labels
from segnet.runs.identity import SPLITS

_MOST_JSON = 8  # files that are opened to see what they are


class Seen(NamedTuple):
    """What a folder is."""

    what: str
    """Goes on behind the folder's name."""
    remedy: str
    """The command that takes it from there."""
    is_whole: bool = False
    """Whether that command finds a mask for each image, and an image for each mask."""


def find_dataset(root: Path) -> Pairs:
    """Find the pairs of a folder; of one with another layout, what it is and what to type is the one fault.

    Raises:
        SegnetError: there is no such folder.
    """
    found = find_pairs(root)
    elsewhere = [each for each in found.faults if each.kind == "layout" and not Path(each.file).is_file()]
    near = [each for each in found.faults if each.remedy == ONE_NAME]
    if not elsewhere and not near:
        return found
    looks = _LOOKS if elsewhere else (_loose_pairs,)
    seen = next(filter(None, (look(root) for look in looks)), None)
    if seen is None:
        return found
    if not found.pairs:
        return replace(found, faults=[Fault("layout", root, seen.what, seen.remedy)])
    return replace(found, faults=[_with_another_way(each, seen) for each in found.faults])


def _with_another_way(fault: Fault, seen: Seen) -> Fault:
    """Return a fault of a folder that is a dataset in part, with the command besides its own remedy."""
    if fault.kind != "layout" and not (fault.remedy == ONE_NAME and seen.is_whole):
        return fault
    own = "correct it" if fault.kind == "layout" else fault.remedy
    return Fault(fault.kind, fault.file, fault.detail, f"{own}, or {seen.remedy}")


def convert_command(root: Path) -> str:
    """Return what to type to make a new folder of this one, beside it."""
    whole = root if root.name not in ("", "..") else root.resolve()
    whole = whole.with_suffix("") if is_archive(root) else whole
    return f"segnet data convert {shlex.quote(str(root))} {shlex.quote(f'{whole}-converted')}"


def _converted(root: Path, what: str) -> Seen:
    return Seen(what, f"{convert_command(root)} makes a folder of it that can be trained on")


def _dataset_inside(root: Path) -> Seen | None:
    """A folder above a dataset, or the images/ of one."""
    inside = [each for each in sorted(root.iterdir()) if not each.name.startswith(".") and _is_layout(each)]
    if len(inside) == 1 and not _is_layout(root):
        where = inside[0]
        said = f"holds no images of its own, but {where.name}/ looks like a dataset"
        return Seen(said, f"segnet data check {shlex.quote(str(where))}")
    above = root.resolve().parent
    if root.resolve().name in ("images", "masks") and _is_layout(above):
        return Seen("is a part of a dataset", f"segnet data check {shlex.quote(str(above))}")
    return None


def _is_layout(folder: Path) -> bool:
    """Whether a folder holds pairs in images/ and masks/, or in those of train/, val/ or test/."""
    places = (folder, *(folder / split for split in SPLITS))
    return any((place / "masks").is_dir() for place in places) and bool(find_pairs(folder).pairs)


def _pets(root: Path) -> Seen | None:
    if not (root / "annotations" / "trimaps").is_dir() or not (root / "images").is_dir():
        return None
    return Seen(
        "is Oxford-IIIT Pet in its official layout, trimaps and lists",
        f"segnet train --data oxford-pets --data-root {shlex.quote(str(root))}",
    )


def _hugging_face(root: Path) -> Seen | None:
    saved = ("dataset_info.json", "dataset_dict.json", "metadata.csv", "metadata.jsonl")
    tables = (*root.glob("*.parquet"), *root.glob("*/*.parquet"))
    if not tables and not any((root / name).is_file() for name in saved):
        return None
    return Seen(
        "is a Hugging Face dataset",
        f"segnet train --data hf:{shlex.quote(str(root))} --model segnet-lite --recipe modern",
    )


def _labels(root: Path) -> Seen | None:
    """Labels in a format that ``segnet data convert`` reads."""
    with suppress(SegnetError):
        found = find_labels(root, most_json=_MOST_JSON)
        return None if found is None else _converted(root, found.what)
    return None


def _loose_pairs(root: Path) -> Seen | None:
    found = find_loose_pairs(root)
    splits = [split for split in SPLITS if (root / split / "images").is_dir()]
    if found is None or (splits and (root / "images").is_dir()):  # nobody can tell which are meant
        return None
    others = [f"{fault.detail}, which are left out" for fault in found.faults if fault.kind == "left-out"]
    said = "; ".join([f"holds {found.format}", *others])
    errors = [fault for fault in found.faults if fault.is_error]
    if not errors:
        return _converted(root, said)._replace(is_whole=True)
    pairs = sum(each.mask_file is not None for each in found.images)
    if len(errors) > pairs:
        return None
    said += f"; {pairs:,} of them belong together by name, but {errors[0].file} {errors[0].detail}"
    said += f" (and {len(errors) - 1:,} more)" if len(errors) > 1 else ""
    return Seen(said, f"add what is missing, or {convert_command(root)} --skip leaves it out")


def _images_alone(root: Path) -> Seen | None:
    pictures = len(images_below(root))
    archives = [entry for entry in sorted(root.iterdir()) if entry.suffix.lower() in ARCHIVE_SUFFIXES]
    if archives and not pictures:
        said = f"holds {archives[0].name} and no image"
        if is_archive(archives[0]):
            return Seen(said, f"of labels, {convert_command(archives[0])} makes a folder; else unpack it")
        return Seen(said, "unpack it, and check the folder that comes out")
    if not pictures or (root / "images").is_dir() or (root / "train").is_dir():
        return None
    return Seen(
        f"holds {pictures:,} images, and none that is a mask by its folder or name",
        "if some of them are masks, put these into a folder called masks; else draw masks with an annotation "
        "tool, and segnet data convert makes a folder of its labels",
    )


_LOOKS: tuple[Callable[[Path], Seen | None], ...] = (
    _pets, _dataset_inside, _labels, _loose_pairs, _hugging_face, _images_alone,
)  # fmt: skip
