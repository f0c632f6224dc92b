"""What the first bytes of image and mask show to be wrong, before a pixel is decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from segnet.base.errors import SegnetError
from segnet.base.readable import counted
from segnet.base.threads import in_threads
from segnet.data.check.pairing import Pair
from segnet.data.faults import Fault
from segnet.data.images.embedded_files import File
from segnet.data.images.file_records import What, is_seen, recall
from segnet.data.images.reading import Picture
from segnet.data.images.stored_layout import Header
from segnet.data.masks.stored_values import size_fault

_SMALLEST_PX = 16
_SAME_FORMAT = {"MPO": "JPEG"}  # phones put a preview behind their JPEG


def read_header(file: File, *, with_digest: bool = False) -> Header:
    """Return what a file says of itself.

    Args:
        file: where it is.
        with_digest: compute its digest too while it is open, since that is asked for next.

    Raises:
        SegnetError: not an image, or one whose first bytes are damaged.
    """

    def read() -> dict[What, bytes]:
        with Picture(file) as picture:
            found: dict[What, bytes] = {"header": picture.header.to_bytes()}
            return found | {"digest": picture.digest()} if with_digest else found

    if isinstance(file, Path):
        with suppress(OSError):
            return Header.from_bytes(recall(file, "header", read))
    with Picture(file) as picture:  # which says what is wrong with it
        return picture.header


class Look(NamedTuple):
    """What the headers of a pair show."""

    pair: Pair[File]
    image: Header | None
    mask: Header | None
    faults: tuple[Fault, ...]

    @property
    def is_deep(self) -> bool:
        """Whether the image holds more than 8 bits a channel."""
        return self.image is not None and self.image.layout.bits > 8

    @property
    def nodata(self) -> str:
        """Which value pixels without data have in the image, where the file says so."""
        return "" if self.image is None else self.image.nodata

    @property
    def mask_was_turned(self) -> bool | None:
        """Whether the mask was turned with its image; None where the sizes don't tell."""
        if self.image is None or self.mask is None or self.image.orientation == 1:
            return None
        if self.image.size == self.image.stored or self.image.stored[0] == self.image.stored[1]:
            return None
        return self.mask.stored == self.image.size


def look_at(pair: Pair[File], channels: int = 3) -> Look:
    """Read the headers of an image, which is to have so many channels, and of its mask."""
    image, faults = _look_at_file(pair.image, partial(_faults_of_image, channels=channels))
    mask, more = _look_at_file(pair.mask, _faults_of_mask)
    faults += more
    if image is not None and mask is not None:
        differ = size_fault(image.size, mask.stored, pair.image, pair.mask)
        faults += [differ] if differ else []
    return Look(pair, image, mask, tuple(faults))


def look_at_all(pairs: Sequence[Pair[File]], channels: int = 3) -> list[Look]:
    """Read the headers of many pairs, whose images are to have so many channels."""

    def is_quick(pair: Pair[File]) -> bool:
        return is_seen(pair.image, "header") and is_seen(pair.mask, "header")

    return in_threads(partial(look_at, channels=channels), pairs, is_quick)


def look_at_images(files: Sequence[File], channels: int = 3) -> tuple[list[bool], list[Fault]]:
    """Read the headers of images without masks.

    Returns:
        Whether each holds more than 8 bits a channel, and what is wrong with them.
    """
    looks = in_threads(partial(_look_at_file, judge=partial(_faults_of_image, channels=channels)), files)
    deep = [header is not None and header.layout.bits > 8 for header, _ in looks]
    return deep, [fault for _, faults in looks for fault in faults]


def faults_of(looks: Sequence[Look]) -> list[Fault]:
    """Return what the headers of many pairs show to be wrong."""
    alone = [fault for look in looks for fault in look.faults]
    return alone + rotation_faults(looks) + depth_faults(looks) + nodata_faults(looks)


def nodata_faults(looks: Iterable[Look]) -> list[Fault]:
    """Return a warning for each image whose file says which value its pixels without data have."""
    return [
        Fault("nodata", look.pair.image, f"marks pixels without data by {look.image.nodata} (NoData)")
        for look in looks
        if look.image is not None and look.image.nodata
    ]


def depth_faults(looks: Iterable[Look]) -> list[Fault]:
    """Return a fault for each image that has more or fewer bits than those it stands beside.

    Ranges are measured where all images to train on have more than 8 bits. So images of 8 bits among them
    keep it from being done, and elsewhere they would be scaled by what isn't theirs.
    """
    shown = [look for look in looks if look.image is not None]
    train = [look for look in shown if look.pair.split == "train"]
    deep = [look for look in train if look.is_deep]
    if len(deep) == len(train):
        return [
            Fault(
                "too-few-bits", look.pair.image, "has 8 bits a channel, but all images to train on have more"
            )
            for look in shown
            if deep and not look.is_deep
        ]
    return [
        Fault("depths", look.pair.image, "has more than 8 bits a channel, but others to train on have 8")
        for look in deep
    ]


def rotation_faults(looks: Iterable[Look]) -> list[Fault]:
    """Return a fault for each turned image of which nobody can tell whether its mask was turned with it.

    Where the sizes of others in the folder tell, they speak for all: one tool has written the masks.
    """
    turned = [look for look in looks if look.image is not None and look.image.orientation != 1]
    if any(look.mask_was_turned for look in turned):
        return []
    return [
        Fault("rotated", look.pair.image, "is turned by its EXIF data, and sizes don't tell if its mask was")
        for look in turned
        if look.mask_was_turned is None and look.mask is not None
    ]


def _look_at_file(
    file: File, judge: Callable[[File, Header], list[Fault]]
) -> tuple[Header | None, list[Fault]]:
    """Return a file's header and what is wrong with the file, for which ``judge`` looks at the header."""
    try:
        header = read_header(file, with_digest=True)
    except Fault as fault:
        return None, [fault]
    except SegnetError as error:  # gone since the folder was listed
        return None, [Fault("damaged", file, f"can't be opened ({error})")]
    return header, judge(file, header)


def _faults_of_image(file: File, header: Header, channels: int) -> list[Fault]:
    faults = _faults_of_both(file, header)
    differs = header.layout.fault(channels, file)
    faults += [differs] if differs else []
    if 0 < min(header.size) < _SMALLEST_PX:
        faults.append(Fault("small", file, f"is {header.size[0]}×{header.size[1]} pixels"))
    return faults


def _faults_of_mask(file: File, header: Header) -> list[Fault]:
    if header.layout.loses == "channels":
        channels = counted(header.layout.channels, "channel")
        said = f"is no map of class ids but holds {channels} of {header.layout.bits} bits"
        return [Fault("mask-mode", file, said)]
    return _faults_of_both(file, header)


def _faults_of_both(file: File, header: Header) -> list[Fault]:
    faults = []
    named = Image.registered_extensions().get(file.suffix.lower(), header.format)
    if _SAME_FORMAT.get(named, named) != _SAME_FORMAT.get(header.format, header.format):
        faults.append(Fault("mistyped", file, f"is a {header.format} file by its content"))
    if header.frames > 1:
        faults.append(Fault("pages", file, f"holds {header.frames} pages or frames"))
    return faults
