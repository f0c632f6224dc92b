"""A folder of images without masks: which are there, and which of them training may see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from segnet.base.errors import SegnetError
from segnet.data.check.pairing import find_pictures
from segnet.data.dataset import Mask
from segnet.data.faults import Fault, lines, raise_errors
from segnet.data.folder import ImageSample
from segnet.data.identify import records_of
from segnet.data.images.file_records import file_digest, fingerprint
from segnet.data.images.headers import look_at_images, read_header
from segnet.data.images.intensity import Intensity
from segnet.data.images.pixel_values import Pixels
from segnet.data.images.suffixes import IMAGE_SUFFIXES
from segnet.runs.identity import ImageRecord, image_id

_FORMAT = 1  # raise when `ImageAlone.read` gives other pixels for the same file


@dataclass(frozen=True)
class ImageAlone(ImageSample):
    """An image file as a sample; its mask says 0 wherever there is a pixel of it."""

    more_ids: tuple[bytes, ...] = ()
    """By which copies of it are known."""

    def image_ids(self) -> tuple[bytes, ...]:
        """Return the id of the file's content, and those of its copies."""
        return (image_id(file_digest(self.image)), *self.more_ids)

    def fingerprint(self) -> bytes:
        """Digest the file."""
        nodata = read_header(self.image).nodata
        return fingerprint((self.image,), f"alone {_FORMAT}" + (f" without {nodata}" if nodata else ""))

    def _mask_of(self, image: Image.Image | Pixels) -> Mask:
        return np.zeros(image.size[::-1] if isinstance(image, Image.Image) else image.shape[:2], np.uint8)


class WithoutMasks(NamedTuple):
    """The images of a folder that may be trained on."""

    samples: tuple[ImageAlone, ...]
    records: tuple[ImageRecord, ...]
    """How each is known again."""
    left_out: int
    """Images that are held out, so that training must not see them."""
    warnings: tuple[str, ...]
    """A line for each kind of thing left out: pictures in unread formats, links to folders already read."""


def find_without_masks(
    root: Path,
    channels: int,
    held_out: Iterable[ImageRecord],
    id_of_name: Callable[[str], bytes] | None = None,
) -> WithoutMasks:
    """Find the images of a folder and of all folders in it, hidden ones left out.

    Args:
        root: the folder.
        channels: that each is to have.
        held_out: what is validated and tested on; told by its ids, it is left out.
        id_of_name: gives another id for a file's stem, where names tell copies in the dataset.

    Raises:
        SegnetError: no folder, one of masks, no image that may be trained on, or all that is wrong with the
            files by their first bytes, in one.
    """
    if not root.is_dir():
        raise SegnetError(f"--unlabeled {root} is no folder; check the path")
    faults: list[Fault] = []
    files = list(find_pictures(root, IMAGE_SUFFIXES, faults))
    for file in files:
        if "masks" in (*file.relative_to(root).parts[:-1], root.name):
            raise SegnetError(
                f"--unlabeled {root} holds masks ({file}), which would be taken for photos; give a folder of "
                f"images alone{f', such as {root}/images' if (root / 'images').is_dir() else ''}"
            )
    deep, more = look_at_images(files, channels)
    raise_errors(faults + more, str(root))
    if not files:
        raise SegnetError(f"--unlabeled {root} holds no image ({' '.join(IMAGE_SUFFIXES)}); check the path")
    samples = [
        ImageAlone(
            file.relative_to(root).as_posix(),
            file,
            (id_of_name(file.stem),) if id_of_name else (),
            is_deep=is_deep,
        )
        for file, is_deep in zip(files, deep, strict=True)
    ]
    records = records_of(samples)
    held = frozenset(each for record in held_out for each in record.ids)
    chosen = [held.isdisjoint(record.ids) for record in records]
    if not any(chosen):
        raise SegnetError(
            f"all {len(files)} images of --unlabeled {root} are validated or tested on, so none of them may "
            "be trained on; give others"
        )
    return WithoutMasks(
        tuple(sample for sample, kept in zip(samples, chosen, strict=True) if kept),
        tuple(record for record, kept in zip(records, chosen, strict=True) if kept),
        chosen.count(False),
        tuple(lines(faults)),
    )


def require_depth(samples: Sequence[ImageAlone], intensity: Intensity) -> None:
    """Raise SegnetError where values are brought to 8 bits by ranges, and images have 8 already."""
    flat = [sample for sample in samples if intensity.ranges is not None and not sample.is_deep]
    said = "has 8 bits a channel, but all images to train on have more"
    raise_errors([Fault("too-few-bits", sample.image, said) for sample in flat], "the images without masks")
