"""A folder of images and masks as a dataset, for anyone who has their own.

Either layout, images and masks paired by their names without suffix::

    DIR/{train,val,test}/{images,masks}    # any may be missing; without val a part of train is held out
    DIR/{images,masks}                     # a part is held out for validation

Masks are grey, 1-bit or palette PNGs of class ids, or pictures whose colours name the classes. What they
mean stands in ``DIR/dataset.yaml`` (`mask_code.py`); without it the masks' values must be 0, 1, 2 ..
(255 = ignore).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from segnet.core.errors import SegnetError, did_you_mean
from segnet.core.settings import option
from segnet.data.dataset import Dataset, Mask, Sample
from segnet.data.digests import file_digest
from segnet.data.holdout import hold_out
from segnet.data.images import (
    IMAGE_SUFFIXES,
    fingerprint,
    open_rgb,
    require_same_size,
)
from segnet.data.mask_code import MaskCode, infer, read_description
from segnet.data.options import DataOptions
from segnet.runs.identity import SPLITS, image_id

MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif")  # none that loses values, as JPEG does

_FORMAT = 1  # raise when `FolderSample.read` gives other pixels for the same files
_HOLDOUT = 0.2  # of a folder without val/, where nothing else is said


@dataclass(frozen=True)
class FolderSample:
    """An image file and its mask file."""

    image: Path
    mask: Path
    code: MaskCode

    @property
    def name(self) -> str:
        """The file name without its suffix."""
        return self.image.stem

    def image_ids(self) -> tuple[bytes, ...]:
        """Return the id of the image file's content."""
        return (image_id(file_digest(self.image)),)

    def fingerprint(self) -> bytes:
        """Digest both files and what the mask's values mean."""
        return fingerprint((self.image, self.mask), f"folder {_FORMAT} {self.code}")

    def read(self) -> tuple[Image.Image, Mask]:
        """Return the image in RGB, upright, and its mask ``(H, W)`` of class ids, 255 = ignore.

        Raises:
            SegnetError: a file that can't be read, sizes that differ, or a value that stands for no class.
        """
        image, mask = open_rgb(self.image), self.code.read(self.mask)
        require_same_size(image, mask, self.image, self.mask)
        return image, mask


def load_folder(root: Path, options: DataOptions | None = None) -> Dataset:
    """Load a folder in one of the layouts above; a split that isn't there is empty.

    Without a ``dataset.yaml`` every mask is decoded once, in a few threads, to count the classes: some
    seconds per thousand masks.

    Args:
        root: the folder.
        options: what is held out for validation where there is no ``val/``: ``holdout`` of the training
            images, 0.2 for 0.

    Raises:
        SegnetError: neither layout, a split without images, an image or a mask without its partner, a
            malformed dataset.yaml, masks whose meaning isn't clear without one, or a part that can't be held
            out.
    """
    options = DataOptions(data=str(root)) if options is None else options
    pairs = _find_pairs(root)
    description = root / "dataset.yaml"
    if description.exists():
        classes, code = read_description(description)
    else:
        classes, code = infer([mask for each in pairs.values() for _, mask in each], description)
    samples: dict[str, list[Sample]] = {
        split: [FolderSample(image, mask, code) for image, mask in pairs.get(split, ())] for split in SPLITS
    }
    val_is = Dataset.val_is
    if "val" not in pairs and samples["train"]:
        samples["train"], samples["val"], val_is = hold_out(
            samples["train"], options, options.holdout or _HOLDOUT
        )
    else:
        given = [name for name in ("val_list", "fold", "group_by") if getattr(options, name) is not None]
        if given:
            raise SegnetError(
                f"{root} has a validation split of its own and holds none out; leave {option(given[0])} away"
            )
    return Dataset(
        root.resolve().name,
        classes,
        samples["train"],
        samples["val"],
        samples["test"],
        val_is=val_is,
        options=options,
    )


def _find_pairs(root: Path) -> dict[str, list[tuple[Path, Path]]]:
    """Return the pairs of image and mask of each split, sorted by name; one level counts as ``train``."""
    if not root.is_dir():
        raise SegnetError(f"{root} is no folder; check the path")
    if not (root / "images").is_dir() and any((root / split).is_dir() for split in SPLITS):
        for folder in sorted(root.glob("*/images")):
            if (split := folder.parent.name) not in SPLITS:
                raise SegnetError(f"{root} has an unknown split {split}/{did_you_mean(split, SPLITS)}")
        return {split: _pairs(root / split) for split in SPLITS if (root / split).is_dir()}
    if (root / "images").is_dir() and not (root / "train").is_dir():
        return {"train": _pairs(root)}
    there = ", ".join(sorted(entry.name + "/" * entry.is_dir() for entry in root.iterdir())[:8]) or "nothing"
    raise SegnetError(
        f"{root} must hold either images/ and masks/, or train/ and val/ with images/ and masks/ in each; "
        f"it holds {there}"
    )


def _pairs(folder: Path) -> list[tuple[Path, Path]]:
    images = _by_stem(folder / "images", IMAGE_SUFFIXES)
    masks = _by_stem(folder / "masks", MASK_SUFFIXES)
    if not images:
        raise SegnetError(f"{folder / 'images'} holds no image ({' '.join(IMAGE_SUFFIXES)})")
    for these, those, what, where in (
        (images, masks, "mask", f"{folder / 'masks'} (lossless: {' '.join(MASK_SUFFIXES)})"),
        (masks, images, "image", folder / "images"),
    ):
        lonely = sorted(these.keys() - those.keys())
        if lonely:
            others = f", nor for {len(lonely) - 1} more" if len(lonely) > 1 else ""
            raise SegnetError(
                f"there is no {what} for {these[lonely[0]]}{others}; "
                f"add it to {where} under the same name, or take the other file out"
            )
    return [(images[stem], masks[stem]) for stem in sorted(images)]


def _by_stem(folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    if not folder.is_dir():
        raise SegnetError(f"there is no folder {folder}; images/ and masks/ lie side by side")
    files: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() not in suffixes or file.name.startswith("."):
            continue
        if file.stem in files:
            raise SegnetError(f"{files[file.stem]} and {file.name} have the same name; keep one of them")
        files[file.stem] = file
    return files
