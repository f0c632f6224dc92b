"""All that is wrong with a folder of images and masks, found in one go; nothing in it is written to."""

from __future__ import annotations

import math
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segnet.base.classes import IGNORE_INDEX, ClassTable
from segnet.base.errors import SegnetError
from segnet.base.outline_tolerance import mean_thickness_px
from segnet.data.check.balance import balance_faults, no_images
from segnet.data.check.inspect_pair import Surveyed, edges_of, survey
from segnet.data.check.pairing import DESCRIPTION, Pair, Pairs
from segnet.data.check.recognition import find_dataset
from segnet.data.check.scenes import leaks
from segnet.data.dataset import Progress, Sample, uncounted
from segnet.data.faults import KINDS, Fault, by_kind
from segnet.data.folder import HOLDOUT, FolderSample, same_images
from segnet.data.holdout import hold_out
from segnet.data.images.file_records import one_look
from segnet.data.images.headers import depth_faults, rotation_faults
from segnet.data.masks.dataset_yaml import read_description
from segnet.data.masks.mask_code import MaskCode, lossy_fault
from segnet.data.masks.mask_meaning import Unclear, infer
from segnet.data.options import DataOptions
from segnet.runs.identity import SPLITS

_SIZES = (128, 192, 256)  # that are suggested; beyond them it takes patches
_STEP = 16  # of the longer side, in pixels
_WHOLE = (
    512  # px of the shorter side: up to here an image is trained on at its own size rather than in patches
)
_NEAR, _MOST = 0.06, 0.8  # proportions this near are one; as many images with one stand for all
_SCALES = (0.25, 0.5, 1)
_THINNEST_PX = 1.5  # of a region, as area / half its outline, that a network's output still shows


@dataclass(frozen=True)
class ClassCount:
    """How often a class occurs."""

    name: str
    pixels: int
    share: float
    """Of all pixels that aren't ignored."""
    images: dict[str, int]
    """By split, the images that show it."""
    thickness_px: float | None
    """Mean width of its regions, area / half the outline; None where it has no outline."""


@dataclass(frozen=True)
class Inspection:
    """What is in a folder and what is wrong with it."""

    root: Path
    images: dict[str, int]
    """Pairs by split."""
    classes: tuple[ClassCount, ...]
    faults: tuple[Fault, ...]
    smallest: tuple[int, int] | None
    """Width and height of the smallest image, by area; None where none can be read."""
    largest: tuple[int, int] | None
    layouts: dict[tuple[int, int], int]
    """How many images have so many channels of so many bits, as they are stored."""
    without_objects: int
    """Masks of nothing but the first class."""
    uncounted: int
    """Masks whose classes aren't counted, since they or their image have errors."""
    suggestion: str
    """Which size to train at, and why; empty where nothing tells."""
    seconds: float
    surveyed: tuple[Surveyed, ...]
    table: ClassTable | None
    code: MaskCode | None

    @property
    def errors(self) -> list[Fault]:
        """What training refuses."""
        return [fault for fault in self.faults if fault.is_error]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it; files are relative to the folder."""
        kinds = []
        for kind, alike_ones in by_kind(self.faults).items():
            files = [
                {
                    "file": self.relative(each.file),
                    "fault": self.shortened(each.detail),
                    "remedy": self.shortened(each.remedy),
                }
                for each in alike_ones
            ]
            known = KINDS[kind]
            said = {"kind": kind, "level": known.level, "title": known.title, "count": len(files)}
            kinds.append(said | {"files": files})
        return {
            "data": str(self.root),
            "images": self.images,
            "errors": len(self.errors),
            "warnings": len(self.faults) - len(self.errors),
            "faults": kinds,
            "classes": [vars(each) for each in self.classes],
            "stored": [
                {"channels": channels, "bits": bits, "images": count}
                for (channels, bits), count in sorted(self.layouts.items())
            ],
            "masks_without_objects": self.without_objects,
            "masks_not_counted": self.uncounted,
            "smallest_image": self.smallest,
            "largest_image": self.largest,
            "suggestion": self.suggestion or None,
            "seconds": round(self.seconds, 1),
        }

    def shortened(self, text: str) -> str:
        """Return a text with files as they are called below the folder."""
        return text.replace(f"{self.root}{os.sep}", "")

    def relative(self, file: Path | str) -> str:
        """Return a file as it is called below the folder."""
        path = Path(file)
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(file)

    def named(self, file: Path | str) -> str:
        """Return the same for a sentence, in which the folder itself has its name."""
        return self.root.resolve().name if Path(file) == self.root else self.relative(file)


@one_look()
def inspect_folder(root: Path, progress: Progress = uncounted, *, channels: int = 3) -> Inspection:
    """Read everything in a folder once, and say all that is wrong with it.

    Memory grows by some kilobytes a pair: no pixels are kept but a small version.

    Args:
        root: the folder, in a layout of ``folder.py``.
        progress: called with the number of pairs; the context it returns gives a function that is called
            after each one.
        channels: that the images are to have.

    Raises:
        SegnetError: there is no such folder.
    """
    started = time.perf_counter()
    found = find_dataset(root)
    description, faults = root / DESCRIPTION, [*found.faults]
    described = _described(description, faults)
    by_colour = described is not None and bool(described[1].colours)
    surveyed = []
    with progress(len(found.pairs)) as advance:
        for each in survey(found.pairs, by_colour=by_colour, channels=channels):
            surveyed.append(each)
            advance()
    looked = [each.pair for each in surveyed if each.look.image is not None]
    held_out = _held_out(looked, found, root)
    data = _Read(root, found, surveyed, held_out)
    faults += [fault for check in _CHECKS for fault in check(data)]
    if described is None and not description.exists() and any(each.stored for each in surveyed):
        try:
            described = infer(((s.pair.mask, s.stored) for s in surveyed if s.stored), root, description)
        except Fault as fault:
            faults.append(fault)
            described = fault.guess if isinstance(fault, Unclear) else None
    classes, without, uncounted = _count(data, *described, faults) if described else ((), 0, 0)
    headers = [each.look.image for each in surveyed if each.look.image]
    sizes = sorted((header.size for header in headers), key=np.prod)
    return Inspection(
        root=root,
        images={split: sum(pair.split == split for pair in found.pairs) for split in found.splits},
        classes=classes,
        faults=tuple(faults),
        smallest=sizes[0] if sizes else None,
        largest=sizes[-1] if sizes else None,
        layouts=dict(Counter((header.layout.channels, header.layout.bits) for header in headers)),
        without_objects=without,
        uncounted=uncounted,
        suggestion=_suggest(classes, sizes),
        seconds=time.perf_counter() - started,
        surveyed=tuple(surveyed),
        table=described[0] if described else None,
        code=described[1] if described else None,
    )


def _described(file: Path, faults: list[Fault]) -> tuple[ClassTable, MaskCode] | None:
    """Return what a description says, None where there is none or it can't be used."""
    try:
        return read_description(file) if file.exists() else None
    except SegnetError as error:
        said = str(error).removeprefix(f"{file}").lstrip(": ")
        faults.append(Fault("mask-meaning", file, f"can't be used: {said}", "correct it"))
    return None


def _count(
    data: _Read, table: ClassTable, code: MaskCode, faults: list[Fault]
) -> tuple[tuple[ClassCount, ...], int, int]:
    """Count the classes in all masks, and add what that shows to be wrong.

    Returns:
        the classes, how many masks hold the first of them alone, and how many couldn't be counted.
    """
    pixels = {split: np.zeros(256, np.int64) for split in SPLITS}
    images: dict[int, Counter[str]] = defaultdict(Counter)
    outlines: Counter[int] = Counter()
    without = uncounted = 0
    for each in data.surveyed:
        mask = each.pair.mask
        try:
            read = None if each.stored is None else code.reading(each.stored, mask)
        except Fault as fault:
            faults.append(fault)
            read = None
        if read is None:
            uncounted += 1
            continue
        lossy = lossy_fault(read, mask)
        faults += [lossy] if lossy else []
        shown = read.counts.keys() - {IGNORE_INDEX}
        faults += [] if shown else [Fault("all-ignored", mask, "holds nothing but ignored pixels")]
        without += shown == {0}
        split = "val" if each.pair.image in data.held_out else each.pair.split
        for class_id, count in read.counts.items():
            pixels[split][class_id] += count
            images[class_id][each.pair.split] += 1
        # without those of a lossy format's noise
        edges = edges_of(code.read(mask), range(256)) if lossy else each.edges
        for value, sides in edges.items():
            outlines[value if lossy else read.ids[value]] += sides
    if pixels["train"].any():
        splits, root = data.found.splits, str(data.root)
        few = len(data.held_out) or sum(pair.split == "val" for pair in data.found.pairs)
        train, val = pixels["train"], pixels["val"]
        balance = balance_faults(root, table.names, train, val, few, held_out="val" not in splits)
        faults += [_as_far_as_counted(fault, uncounted) for fault in balance]
    totals = np.sum([*pixels.values()], axis=0)
    scored = int(totals[: len(table)].sum()) or 1
    classes = tuple(
        ClassCount(
            name,
            int(totals[i]),
            float(totals[i] / scored),
            dict(images[i]),
            mean_thickness_px(int(totals[i]), outlines[i]),
        )
        for i, name in enumerate(table.names)
    )
    return classes, without, uncounted


# What is checked


@dataclass(frozen=True)
class _Read:
    """What the checks look at."""

    root: Path
    found: Pairs
    surveyed: Sequence[Surveyed]
    held_out: Set[Path]
    """The images that training holds out where there is no val/ and no option says otherwise."""


def _held_out(pairs: Sequence[Pair[Path]], found: Pairs, root: Path) -> frozenset[Path]:
    train: list[Sample] = [
        FolderSample(pair.name, pair.image, pair.mask, MaskCode(()))
        for pair in pairs
        if pair.split == "train"
    ]
    if "val" in found.splits or not train:
        return frozenset()
    val = {sample.name for sample in hold_out(train, DataOptions(data=str(root)), HOLDOUT).val}
    return frozenset(pair.image for pair in pairs if pair.split == "train" and pair.name in val)


def _too_few(data: _Read) -> list[Fault]:
    """Return what is wrong where training would have no images, or none to validate on."""
    splits = data.found.splits
    if not data.surveyed or any(each.look.image is None for each in data.surveyed):
        return []  # what is wrong with the others is said of them
    if "train" not in splits:
        said = "segnet eval can score a model on them; training needs others, in train/"
        return [Fault("too-few-images", str(data.root), "has no training images", said)]
    return [] if data.held_out or "val" in splits else [no_images(str(data.root), "validation images")]


def _without_data(data: _Read) -> list[Fault]:
    """Return a warning that says how many pixels of the images hold no data, where there are any."""
    some = [each for each in data.surveyed if each.missing_px]
    if not some:
        return []
    pixels = sum(math.prod(each.look.image.size) for each in data.surveyed if each.look.image)
    marks = sorted({each.look.nodata or "NaN" for each in some})
    percent = 100 * sum(each.missing_px for each in some) / pixels
    images = "1 image" if len(some) == 1 else f"{len(some):,} images"
    said = f"has {percent:.3g} % of its pixels marked as NoData ({', '.join(marks)}), in {images}"
    return [Fault("nodata", data.root, said)]


_CHECKS: tuple[Callable[[_Read], list[Fault]], ...] = (
    lambda data: [fault for each in data.surveyed for fault in each.faults],
    lambda data: rotation_faults([each.look for each in data.surveyed]),
    lambda data: depth_faults([each.look for each in data.surveyed]),
    _without_data,
    lambda data: same_images([each.pair for each in data.surveyed if each.readable]),
    lambda data: leaks(data.found, [each.view for each in data.surveyed], data.root),
    _too_few,
)


def _as_far_as_counted(fault: Fault, uncounted: int) -> Fault:
    """Return a fault of the classes' pixels that says how many masks it knows nothing of."""
    if not uncounted or fault.kind == "few-to-validate":
        return fault
    return Fault(fault.kind, fault.file, f"{fault.detail}; {not_counted(uncounted)}", fault.remedy)


def not_counted(masks: int) -> str:
    """Say how many masks the counts of classes know nothing of."""
    subject = "1 mask with errors isn't" if masks == 1 else f"{masks:,} masks with errors aren't"
    return f"{subject} counted"


def _suggest(classes: Sequence[ClassCount], sizes: Sequence[tuple[int, int]]) -> str:
    """Return the smallest size at which the thinnest class isn't lost, or patches at the smallest scale."""
    thin = [each for each in classes[1:] or classes if each.thickness_px]
    if not thin or not sizes:
        return ""
    thinnest = min(thin, key=lambda each: each.thickness_px or 0)
    assert thinnest.thickness_px is not None
    side = sorted(min(size) for size in sizes)[len(sizes) // 2]
    needed = _THINNEST_PX / thinnest.thickness_px * side
    enough = [size for size in _SIZES if size >= needed]
    because = (
        f"regions of {thinnest.name} are {thinnest.thickness_px:.1f} px thick on images of some {side} px, "
        f"and {thinnest.thickness_px * 128 / side:.1f} px at --size {_in_proportion(128, sizes)}"
    )
    if enough or side <= _WHOLE:
        return f"--size {_in_proportion(enough[0] if enough else side, sizes)}: {because}"
    scale = next((each for each in _SCALES if each * thinnest.thickness_px >= 2 * _THINNEST_PX), 1)
    return f"--patch 256{f' --patch-scale {scale:g}' if scale < 1 else ''}: {because}"


def _in_proportion(side: int, sizes: Sequence[tuple[int, int]]) -> str:
    """Return a size for ``--size`` with this shorter side, in the proportions of most images.

    Where they have several it is a square.

    Args:
        side: in pixels.
        sizes: width and height of each image.
    """
    proportions = sorted(width / height for width, height in sizes)
    usual = proportions[len(proportions) // 2]
    near = sum(abs(each / usual - 1) < _NEAR for each in proportions)
    if abs(usual - 1) < _NEAR or near < _MOST * len(proportions):
        return str(side)
    if side not in _SIZES:  # the images' own
        width, height = sorted(sizes, key=min)[len(sizes) // 2]
        return f"{height}x{width}"
    longer = round(side * max(usual, 1 / usual) / _STEP) * _STEP
    return f"{side}x{longer}" if usual > 1 else f"{longer}x{side}"
