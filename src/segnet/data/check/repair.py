"""A repaired copy of a folder: what can be mended is, what can't is left out, and all of it is said."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from segnet.base.classes import ClassTable
from segnet.base.errors import SegnetError
from segnet.base.files import new_folder, require_new
from segnet.data.check.inspect_folder import Inspection
from segnet.data.check.inspect_pair import Surveyed
from segnet.data.check.pairing import DESCRIPTION
from segnet.data.dataset import Progress, uncounted
from segnet.data.faults import KINDS
from segnet.data.images.file_records import file_digest
from segnet.data.images.pixel_values import turned
from segnet.data.images.reading import open_rgb
from segnet.data.masks.dataset_yaml import write_description
from segnet.data.masks.mask_code import MaskCode
from segnet.data.masks.mask_meaning import Unclear

_MENDED = ("mistyped", "rotated", "lossy-mask", "soft-edges", "sizes-differ")
_UNPAIRED = ("no-mask", "no-image", "same-name", "no-file", "unreadable-format")
_COPIES = ("same-in-splits", "duplicate", "two-masks")  # of which one stays
_KEPT_FIRST = ("test", "val", "train")  # of an image that is in several splits


def require_new_folder(target: Path, source: Path) -> None:
    """Check that a copy can be written to a folder, apart from the one it is made from.

    Raises:
        SegnetError: there is something already, or one folder is inside the other.
    """
    here, there = target.resolve(), source.resolve()
    if here.is_relative_to(there) or there.is_relative_to(here):
        raise SegnetError(f"{target} and {source} lie in one another; name a folder beside it")
    require_new(target)


@dataclass(frozen=True)
class Repaired:
    """What a copy holds of the folder it was made from; kinds are keys of ``KINDS``."""

    pairs: int
    mended: dict[str, int]
    """Faults of each kind that the copy no longer has."""
    left_out: dict[str, int]
    """Files or pairs that it lacks, by the kind of fault."""


def write_repaired(
    found: Inspection,
    target: Path,
    progress: Progress = uncounted,
) -> Repaired:
    """Write a repaired copy, whole or not at all.

    Masks become PNGs of class ids. Images are copied byte by byte, except those that EXIF data turns, which
    are saved upright as PNG.

    Args:
        found: what ``inspect_folder`` has found.
        target: the new folder.
        progress: as in ``inspect_folder``.

    Raises:
        SegnetError: nothing says what the masks mean, nothing is left, or the folder can't be written to.
    """
    require_new_folder(target, found.root)
    if found.code is None or found.table is None:
        raise SegnetError(
            f"--fix can't tell what the masks of {found.root} mean; write {found.root / DESCRIPTION} first"
        )
    left_out = _left_out(found)
    kept = [each for each in found.surveyed if each.pair.image not in left_out]
    if not kept:
        raise SegnetError(f"nothing of {found.root} would be left; correct what segnet data check names")
    with new_folder(target) as partial, progress(len(kept)) as advance:
        for each in kept:
            _write_pair(each, found.table, found.code, partial)
            advance()
        write_description(found.table, found.code, partial / DESCRIPTION)
    paired = {path for each in found.surveyed for path in (each.pair.image, each.pair.mask)}
    alone = [fault.kind for fault in found.faults if fault.kind in _UNPAIRED and fault.file not in paired]
    here = {path for each in kept for path in (each.pair.image, each.pair.mask)}
    mended = [fault.kind for fault in found.faults if fault.kind in _MENDED and fault.file in here]
    return Repaired(len(kept), dict(Counter(mended)), dict(Counter([*left_out.values(), *alone])))


def _left_out(found: Inspection) -> dict[Path, str]:
    """Return the images that are left out, each with the kind of fault that it is for."""
    why: dict[Path, str] = {}
    by_file = {path: each for each in found.surveyed for path in (each.pair.image, each.pair.mask)}
    for fault in found.faults:
        each = by_file.get(Path(fault.file))
        guessed = isinstance(fault, Unclear) and fault.guess is not None  # and the copy is read so
        helps = KINDS[fault.kind].fix and fault.kind not in (*_MENDED, *_COPIES)
        if each and not guessed and (helps or (fault.kind == "sizes-differ" and not _mask_lies(each))):
            why.setdefault(each.pair.image, fault.kind)
    first: set[bytes] = set()
    rest = [each for each in found.surveyed if each.pair.image not in why]
    for each in sorted(rest, key=lambda each: _KEPT_FIRST.index(each.pair.split)):
        digest = file_digest(each.pair.image)
        if digest in first:
            why[each.pair.image] = "duplicate"
        first.add(digest)
    return why


def _mask_lies(each: Surveyed) -> bool:
    """Whether the mask was drawn on the image before EXIF data turned it, so that turning it helps."""
    image, mask = each.look.image, each.look.mask
    return image is not None and mask is not None and image.orientation != 1 and mask.stored == image.stored


def _write_pair(each: Surveyed, table: ClassTable, code: MaskCode, root: Path) -> None:
    pair, header = each.pair, each.look.image
    folder = root / pair.split
    assert header is not None
    is_turned = header.orientation != 1
    upright = (
        is_turned and header.layout.bits == 8 and header.layout.fits(3)
    )  # others stay as they are, to the bit
    suffix = ".png" if upright else _suffix(pair.image, header.format)
    image = folder / "images" / f"{pair.name}{suffix}"
    image.parent.mkdir(parents=True, exist_ok=True)
    if upright:
        open_rgb(pair.image).save(image)
    else:
        shutil.copyfile(pair.image, image)
    classes = code.read_nearest(pair.mask)
    if is_turned and each.look.mask_was_turned is False:
        classes = turned(classes, header.orientation)
    ids = Image.fromarray(classes)
    if not code.colours:
        ids.putpalette(table.palette().tobytes())
    mask = folder / "masks" / f"{pair.name}.png"
    mask.parent.mkdir(parents=True, exist_ok=True)
    ids.save(mask)


def _suffix(file: Path, format: str) -> str:  # noqa: A002 - Pillow's own word
    known = Image.registered_extensions()
    if known.get(file.suffix.lower()) in (format, "JPEG" if format == "MPO" else format):
        return file.suffix
    return {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif"}.get(format, f".{format.lower()}")
