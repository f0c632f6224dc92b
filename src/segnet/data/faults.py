"""What can be wrong with data: a table of kinds, each with its remedy; a fault is raised or collected.

A reader raises a fault of one file; whoever reads many files collects them, so that one run tells all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image, UnidentifiedImageError

from segnet.base.errors import SegnetError
from segnet.data.images.embedded_files import Blob, File

Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Kind:
    """One way in which data can be wrong."""

    level: Level
    """Of an error training would learn nonsense, so it refuses; of a warning it says so and goes on."""

    title: str
    remedy: str
    fix: str = "leaves them out"
    """What ``segnet data check --fix`` does about it; empty where it can't help."""


KINDS = {
    # what the names say
    "layout": Kind(
        "error",
        "the folders are not those of a dataset",
        "name them {train,val,test}/{images,masks}, or images and masks alone",
        "",
    ),
    "no-mask": Kind(
        "error", "images without a mask", "add the mask under the image's name, or take the image out"
    ),
    "no-image": Kind(
        "error", "masks without an image", "add the image under the mask's name, or take the mask out"
    ),
    "same-name": Kind(
        "error", "files of one name but for suffix or Unicode form", "keep one of them", "keeps one"
    ),
    "no-file": Kind(
        "error", "what is no file", "take it out: a pipe, a socket or a broken link holds no image"
    ),
    "unreadable-format": Kind(
        "warning", "pictures in a format that isn't read", "save them as PNG, JPEG or TIFF, or take them out"
    ),
    "walked-twice": Kind(
        "warning",
        "links to folders that are read already",
        "each folder is read once, under its own name; copy it where its files are meant to count twice",
        "",
    ),
    "left-out": Kind(
        "warning", "pictures that are no part of the dataset", "they are left out", ""
    ),
    # what a file is
    "empty": Kind("error", "empty files", "fetch or save it again, or take it out"),
    "not-an-image": Kind("error", "files that are no image", "convert it to PNG or JPEG, or take it out"),
    "damaged": Kind("error", "damaged or truncated files", "fetch or save it again, or take it out"),
    "too-large": Kind(
        "error",
        "more pixels than can be opened safely",
        "make it smaller, or cut it up; segnet predict opens it with --max-megapixels",
    ),
    "mistyped": Kind(
        "warning",
        "files whose suffix names another format",
        "rename it; other programs will not open it",
        "gives them the right suffix",
    ),
    "pages": Kind(
        "error",
        "files of several pages or frames",
        "a mask belongs to one picture: save each page as a file of its own, or pages that are channels as "
        "samples of one",
    ),
    "mode": Kind("error", "a colour mode that can't be read", "save it as an ordinary PNG or JPEG"),
    "channels": Kind(
        "error",
        "images of another number of channels than a network takes",
        "segnet train --channels N takes images of N channels, all alike",
    ),
    "too-few-bits": Kind(
        "error",
        "images of 8 bits where ranges are of deeper ones",
        "save it with as many bits as the others, or take it out",
    ),
    "no-values": Kind(
        "error", "images without a number in them", "fetch or save it again, or take it out"
    ),
    "nodata": Kind(
        "warning",
        "images with pixels that hold no data",
        "they are ignored in ranges, in training and in scores; nothing to do where that is meant",
        "",
    ),
    "rotated": Kind(
        "warning",
        "images that their EXIF data turns, with masks that may not be turned",
        "the image is turned before its mask is laid on it: see that they fit, and else turn the mask",
        "writes the image upright and leaves the mask as it is",
    ),
    "sizes-differ": Kind(
        "error",
        "masks of another size than their image",
        "resize one of them",
        "turns the mask where only EXIF data makes the difference, and else leaves both out",
    ),
    "small": Kind(
        "warning", "images of less than 16 pixels a side", "they are enlarged; take out what is no photo", ""
    ),
    "depths": Kind(
        "warning",
        "images of 8 bits and of more in one folder",
        "all are read with 8 bits, the high byte of 16; save all of them with 16 to keep the rest",
        "",
    ),
    "blank": Kind(
        "warning", "images of a single colour", "nothing can be learnt from it; take it out with its mask"
    ),
    # what a mask holds
    "mask-meaning": Kind(
        "error", "nothing says what the masks' values mean", "write a dataset.yaml that does"
    ),
    "mask-mode": Kind("error", "masks that are no map of class ids", "save it as a grey or palette PNG"),
    "lossy-mask": Kind(
        "warning",
        "masks whose values a lossy format has changed",
        "segnet data check --fix writes them as PNGs; better save masks as PNG from the start",
        "writes PNGs in which each pixel has its class",
    ),
    "blurred-ids": Kind(
        "error",
        "masks of ids that smoothing or a lossy format leaves no room between",
        "export it anew as PNG, without smoothing; nothing tells its classes apart now",
    ),
    "soft-edges": Kind(
        "error",
        "masks with soft edges",
        "segnet data check --fix moves each pixel to the nearest class; or export it without anti-aliasing, "
        "and resize masks by nearest",
        "moves each pixel to the nearest class",
    ),
    "instance-ids": Kind(
        "error",
        "masks whose values seem to number objects, not classes",
        "where each is an object, write to dataset.yaml which class they are: 'instances: NAME'",
    ),
    "unknown-value": Kind(
        "error",
        "masks with values that are no class",
        "correct it, or say in dataset.yaml which class it is, or that it is ignored",
    ),
    "all-ignored": Kind(
        "warning", "masks of nothing but ignored pixels", "nothing is learnt from it; take it out"
    ),
    "nothing-to-learn": Kind(
        "error", "a split whose masks hold nothing to learn", "see what the masks store, and dataset.yaml", ""
    ),
    "ignored-class": Kind(
        "error",
        "a class that is read as ignored",
        "write to dataset.yaml what the masks store: 'values: {0: background, 255: object}'",
        "",
    ),
    "never-occurs": Kind(
        "warning",
        "classes that no training mask holds",
        "it will never be predicted; add images of it, or take it out of dataset.yaml",
        "",
    ),
    "not-validated": Kind(
        "warning",
        "classes that no validation mask holds",
        "its IoU is 0 as soon as one pixel is taken for it, which lowers the mean, and else it has no score; "
        "move an image of it to the validation split",
        "",
    ),
    # what files of labels hold
    "bad-label": Kind("error", "labels that can't be read", "correct it in the tool that wrote it", ""),
    "other-file": Kind(
        "warning", "files that hold no labels of this format", "nothing is read from it; take it out", ""
    ),
    "turned-label": Kind(
        "error",
        "labels drawn on a turned image",
        "turn the image back in the annotation tool and see that its labels fit",
        "",
    ),
    "flat-label": Kind(
        "warning", "labels without an area", "points and lines are no masks; it is left out", ""
    ),
    "box-label": Kind(
        "warning",
        "boxes without an outline",
        "its pixels are ignored; a mask needs polygons: draw the outline",
        "",
    ),
    "overlap": Kind("warning", "objects that share pixels", "each pixel is of their class", ""),
    "assumed-classes": Kind(
        "warning",
        "labels that don't name their classes",
        "if they are others, add labelmap.txt with a line name:red,green,blue:: for each",
        "",
    ),
    "no-split": Kind(
        "warning",
        "splits whose files aren't there",
        "no image is read for it; put its folder there, or take it out of the file",
        "",
    ),
    "listed-twice": Kind(
        "warning", "images that two splits list", "an image that was trained on can't be scored on", ""
    ),
    # what the images are to each other
    "same-in-splits": Kind(
        "error",
        "the same image in two splits",
        "scores on images that were trained on say nothing: keep it in one of them",
        "keeps the one that is not trained on",
    ),
    "duplicate": Kind(
        "warning", "the same image twice", "take one of them out", "keeps the first of them"
    ),
    "two-masks": Kind(
        "error",
        "the same image with two different masks",
        "keep the one that is right",
        "keeps the first of them",
    ),
    "alike": Kind(
        "warning",
        "images of one scene on both sides of a split",
        "frames and crops of one scene make scores too good: keep each scene on one side of the split",
        "",
    ),
    "one-name": Kind(
        "warning",
        "names that differ by a counter alone, on both sides of a split",
        "if these are frames or crops of one scene, scores come out too good: keep each scene on one side",
        "",
    ),
    "few-to-validate": Kind(
        "warning",
        "hardly any image to validate on",
        "its score is chance: add images to the validation split",
        "",
    ),
    "too-few-images": Kind(
        "error", "too few images to train on", "at least two different images are needed", ""
    ),
}  # fmt: skip


class Fault(SegnetError):  # noqa: N818 - collected as often as raised
    """What is wrong with one file: ``kind`` is a key of ``KINDS``, ``detail`` goes on behind the file's name.

    ``remedy`` is that of its kind, where nothing better fits.
    """

    def __init__(self, kind: str, file: File | str, detail: str, remedy: str = "") -> None:
        self.kind, self.detail = kind, detail
        self.file: Path | str = str(file) if isinstance(file, Blob) else file
        self.remedy = remedy or KINDS[kind].remedy
        super().__init__(f"{file} {detail}; {self.remedy}")

    def __reduce__(self) -> tuple[Any, ...]:
        return Fault, (self.kind, self.file, self.detail, self.remedy)

    @property
    def is_error(self) -> bool:
        """Whether training refuses such data."""
        return KINDS[self.kind].level == "error"


def by_kind(faults: Iterable[Fault]) -> dict[str, list[Fault]]:
    """Return the faults of each kind that occurs, errors first, otherwise in the order of ``KINDS``."""
    found: dict[str, list[Fault]] = {kind: [] for kind in KINDS}
    for fault in faults:
        found[fault.kind].append(fault)
    order = sorted(found, key=lambda kind: KINDS[kind].level)
    return {kind: found[kind] for kind in order if found[kind]}


def lines(faults: Iterable[Fault]) -> list[str]:
    """Return a line for each kind: its first fault, and how many more there are like it."""
    return [
        f"{alike[0]}" + (f" ({len(alike) - 1} more like it)" if len(alike) > 1 else "")
        for alike in by_kind(faults).values()
    ]


def raise_errors(faults: Sequence[Fault], what: str, more: str = "") -> None:
    """Raise all errors among the faults as one.

    Args:
        faults: errors and warnings.
        what: what is wrong: the folder.
        more: what shows all of them.

    Raises:
        SegnetError: there is an error among them. A single one is raised as it is.
    """
    errors = [fault for fault in faults if fault.is_error]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        listed = "; ".join(f"({number}) {line}" for number, line in enumerate(lines(errors), 1))
        counted = f"{len(errors)} things are wrong in {what}: {listed}"
        raise SegnetError(counted + (f"; {more} lists them all" if more else ""))


def why_unread(error: Exception, name: str) -> SegnetError:
    """Return what to say of an image that couldn't be read."""
    if isinstance(error, SegnetError):
        return error
    if isinstance(error, FileNotFoundError):
        return SegnetError(f"{name} does not exist; check the path")
    if isinstance(error, PermissionError):
        return Fault("damaged", name, "may not be read", "check the file's permissions")
    if isinstance(error, MemoryError):
        return Fault("too-large", name, "takes more memory to open than there is")
    if isinstance(error, Image.DecompressionBombError):
        return Fault("too-large", name, f"has too many pixels to open safely ({error})")
    if isinstance(error, UnidentifiedImageError):
        return Fault("not-an-image", name, "is not an image that can be read")
    said = " ".join(str(error).split()) or type(error).__name__
    return Fault("damaged", name, f"is damaged ({said})")
