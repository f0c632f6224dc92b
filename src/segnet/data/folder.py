"""A folder of images and masks as a dataset, for anyone who has their own.

Either layout, images and masks paired by their paths below ``images/`` and ``masks/``, without suffix::

    DIR/{train,val,test}/{images,masks}    # any may be missing; without val a part of train is held out
    DIR/{images,masks}                     # a part is held out for validation

Masks are grey, 1-bit or palette PNGs of class ids, or pictures whose colours name the classes. What they
mean stands in ``DIR/dataset.yaml`` (`dataset_yaml.py`); without it the masks' values must be 0, 1, 2 ..
(255 = ignore).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from segnet.base.classes import ClassTable
from segnet.base.errors import SegnetError
from segnet.base.settings import option
from segnet.base.threads import in_threads
from segnet.data.check.pairing import DESCRIPTION, Pair
from segnet.data.check.recognition import find_dataset
from segnet.data.dataset import Dataset, Mask, Sample
from segnet.data.faults import Fault, lines, raise_errors
from segnet.data.holdout import hold_out
from segnet.data.images.embedded_files import File
from segnet.data.images.file_records import (
    file_digest,
    fingerprint,
    is_seen,
    look_at_files,
    many_objects,
    one_look,
)
from segnet.data.images.headers import Look, faults_of, look_at_all
from segnet.data.images.intensity import RGB, Intensity, read_values
from segnet.data.images.nodata import ignored_where
from segnet.data.images.pixel_values import Pixels, Values
from segnet.data.masks.dataset_yaml import read_description
from segnet.data.masks.mask_code import MaskCode, lossy_fault
from segnet.data.masks.mask_meaning import infer
from segnet.data.masks.stored_values import LOSSY_FORMATS, count_masks, require_same_size
from segnet.data.options import DataOptions
from segnet.runs.identity import SPLITS, image_id

_FORMAT = 1  # raise when `FolderSample.read` gives other pixels for the same files
HOLDOUT = 0.2  # of data without a validation split, where nothing else is said


@dataclass(frozen=True)
class ImageSample(ABC):
    """An image file, of which a mask is read or made."""

    name: str
    """Its path below the folder, of a pair without suffix."""
    image: File
    is_deep: bool = field(default=False, kw_only=True)
    """Whether it holds more than 8 bits a channel."""

    def read(self) -> tuple[Image.Image, Mask]:
        """Return the image in RGB, upright, and its mask ``(H, W)`` of class ids, 255 = ignore.

        Raises:
            SegnetError: a file that can't be read, sizes that differ, or a value that stands for no class.
        """
        image, mask = self.read_as(RGB)
        return (image if isinstance(image, Image.Image) else Image.fromarray(image)), mask

    def read_as(self, intensity: Intensity) -> tuple[Image.Image | Pixels, Mask]:
        """Return the image in these channels and ranges, as ``Intensity.open`` does, and its mask.

        Pixels without data are ignored in the mask.

        Raises:
            SegnetError: as ``read``, or another number of channels.
        """
        image, missing = intensity.open(self.image)
        mask = self._mask_of(image)
        return image, mask if missing is None else ignored_where(mask, missing)

    def read_values(self, channels: int) -> Values:
        """Return the image's values ``(H, W, channels)`` as they are stored.

        Raises:
            SegnetError: a file that can't be read, or another number of channels.
        """
        return read_values(self.image, channels)

    @abstractmethod
    def _mask_of(self, image: Image.Image | Pixels) -> Mask:
        """Return the mask ``(H, W)`` of this image."""


@dataclass(frozen=True)
class FolderSample(ImageSample):
    """An image file and its mask file; its name is the path below ``images/``, without suffix."""

    mask: File
    code: MaskCode
    nodata: str = ""
    """The value of pixels without data, where the file names one."""

    def image_ids(self) -> tuple[bytes, ...]:
        """Return the id of the image file's content."""
        return (image_id(file_digest(self.image)),)

    def fingerprint(self) -> bytes:
        """Digest both files and what the mask's values mean."""
        nodata = f" without {self.nodata}" if self.nodata else ""
        return fingerprint((self.image, self.mask), f"folder {_FORMAT} {self.code.meaning}{nodata}")

    def _mask_of(self, image: Image.Image | Pixels) -> Mask:
        mask = self.code.read(self.mask)
        require_same_size(image, mask, self.image, self.mask)
        return mask


@one_look()
@many_objects()
def load_folder(root: Path, options: DataOptions | None = None) -> Dataset:
    """Load a folder in one of the layouts above; a split that isn't there is empty.

    What the names and the first bytes of the files show to be wrong is found here, all at once. Without a
    ``dataset.yaml`` every mask is decoded too, to count the classes: some seconds per thousand masks.

    Args:
        root: the folder.
        options: what is held out for validation where there is no ``val/``: ``holdout`` of the training
            images, 0.2 for 0.

    Raises:
        SegnetError: everything that ``KINDS`` (`faults.py`) calls an error, in one; a malformed dataset.yaml;
            or a part that can't be held out.
    """
    options = DataOptions(data=str(root)) if options is None else options
    found = find_dataset(root)
    look_at_files(file for pair in found.pairs for file in (pair.image, pair.mask))
    looks = look_at_all(found.pairs, options.channels or 3)
    faults = [*found.faults, *faults_of(looks), *same_images(found.pairs)]
    raise_errors(faults, str(root), more=f"segnet data check {root}")
    description = root / DESCRIPTION
    if description.exists():
        described = read_description(description)
    else:
        masks = [pair.mask for pair in found.pairs]
        described = infer(zip(masks, count_masks(masks), strict=True), root, description)
    return dataset_of(
        looks,
        described,
        options,
        name=root.resolve().name,
        where=str(root),
        has_val="val" in found.splits,
        warnings=lines(faults),
    )


def dataset_of(
    looks: Sequence[Look],
    described: tuple[ClassTable, MaskCode],
    options: DataOptions,
    *,
    name: str,
    where: str,
    has_val: bool,
    warnings: Sequence[str],
) -> Dataset:
    """Return pairs as a dataset; without a validation split a part of those to train on is held out.

    Args:
        looks: the pairs of every split.
        described: the classes, and what the masks' values mean.
        options: what is held out.
        name: what reports call the data.
        where: what messages call it.
        has_val: whether it has a validation split of its own.
        warnings: what is odd about it.

    Raises:
        SegnetError: lossy masks with values far from every class, a part that can't be held out, or one that
            is asked for where there is a split already.
    """
    classes, code = described
    lossy = _lossy_faults(looks, code)
    raise_errors(lossy, where, more=f"segnet data check {where}")
    samples: dict[str, list[Sample]] = {
        split: [
            FolderSample(
                look.pair.name, look.pair.image, look.pair.mask, code, look.nodata, is_deep=look.is_deep
            )
            for look in looks
            if look.pair.split == split
        ]
        for split in SPLITS
    }
    val_is = Dataset.val_is
    held_out = not has_val and bool(samples["train"])
    if held_out:
        samples["train"], samples["val"], val_is = hold_out(
            samples["train"], options, options.holdout or HOLDOUT
        )
    else:
        given = [name for name in ("val_list", "fold", "group_by") if getattr(options, name) is not None]
        if given:
            raise SegnetError(
                f"{where} has a validation split of its own and holds none out; leave {option(given[0])} away"
            )
    return Dataset(
        name,
        classes,
        samples["train"],
        samples["val"],
        samples["test"],
        val_is=val_is,
        held_out=held_out,
        options=options,
        warnings=(*warnings, *lines(lossy)),
    )


def _lossy_faults(looks: Sequence[Look], code: MaskCode) -> list[Fault]:
    """Return what masks in lossy formats hold beside their classes' own values."""
    masks = [look.pair.mask for look in looks if look.mask and look.mask.format in LOSSY_FORMATS]
    faults = []
    for mask, stored in zip(masks, count_masks(masks), strict=True):
        try:
            fault = lossy_fault(code.reading(stored, mask), mask)
        except Fault as error:
            fault = error
        faults += [fault] if fault else []
    return faults


def same_images(pairs: Sequence[Pair[File]]) -> list[Fault]:
    """Return a fault for each image whose bytes another one has too: in another split, or beside it."""
    images = [pair.image for pair in pairs]
    digests = in_threads(file_digest, images, lambda image: is_seen(image, "digest"))
    first: dict[bytes, Pair[File]] = {}
    faults = []
    for pair, digest in zip(pairs, digests, strict=True):
        other = first.setdefault(digest, pair)
        if other is pair:
            continue
        if other.split != pair.split:
            kind, what = "same-in-splits", "is also in another split"
        elif file_digest(other.mask) != file_digest(pair.mask):
            kind, what = "two-masks", "has another mask under another name"
        else:
            kind, what = "duplicate", "is there under another name too"
        faults.append(Fault(kind, pair.image, f"{what}, as {other.image}"))
    return faults
