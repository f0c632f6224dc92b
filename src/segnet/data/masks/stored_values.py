"""What mask files store, whatever that means: values or colours, and how many pixels have each."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from segnet.base.colours import Colour, pack, unpack
from segnet.base.threads import in_threads
from segnet.data.dataset import Mask
from segnet.data.faults import Fault, raise_errors
from segnet.data.images.embedded_files import Blob, File
from segnet.data.images.file_records import is_seen, recall
from segnet.data.images.pixel_values import SINGLE_CHANNEL_MODES, Pixels
from segnet.data.images.reading import decode, source_name

HIGHEST_VALUE = 65535
"""Of a mask: 16 bits."""

COLOUR_MODES = ("RGB", "RGBA")
LOSSY_FORMATS = ("JPEG", "MPO", "WEBP")  # as Pillow calls them; WebP may be lossless
_GREY = 0x010101  # a packed grey is its value times this

Numbers = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Stored:
    """What a mask file stores."""

    in_colour: bool
    """Whether it is read by its colours: ``counts`` then has them packed."""

    counts: dict[int, int]
    """Pixels of each value or colour."""

    palette: dict[int, Colour]
    """The colour of each value, where the file has a palette."""

    is_lossy: bool = False
    """Whether the file's format changes values, as JPEG does."""

    is_whole: bool = True
    """Whether ``counts`` has every value, and not the most frequent ones alone."""

    @classmethod
    def of(cls, image: Image.Image, *, by_colour: bool = False, file: File | None = None) -> Stored:
        """Count what a decoded mask stores.

        Args:
            image: the mask.
            by_colour: read a palette mask by its colours too.
            file: where it was read from, which tells whether a WebP is lossless.

        Raises:
            Fault: no map of class ids, as ``stored_numbers``.
        """
        in_colour, numbers = stored_numbers(image, by_colour=by_colour)
        found, counts = np.unique(numbers, return_counts=True)
        counted = dict(zip(found.tolist(), counts.tolist(), strict=True))
        palette = {}
        if image.mode == "P" and not in_colour:
            # a file may use values beyond its palette
            stored = [*(image.getpalette("RGB") or ()), *[0] * 768]
            palette = {
                value: (stored[3 * value], stored[3 * value + 1], stored[3 * value + 2]) for value in counted
            }
        return cls(in_colour, counted, palette, _is_lossy(image, file))

    @classmethod
    def of_file(cls, file: File) -> Stored:
        """Count what a mask file stores, colours as colours and palette masks by their values.

        Raises:
            Fault: it can't be read, or is no map of class ids.
        """
        if not isinstance(file, Blob):
            with suppress(OSError):
                return cls._from_bytes(
                    recall(file, "stored", lambda: {"stored": cls.of(decode(file), file=file)._to_bytes()})
                )
        return cls.of(decode(file), file=file)  # which says what is wrong with the file

    def _to_bytes(self) -> bytes:
        return json.dumps(
            [self.in_colour, [*self.counts.items()], [*self.palette.items()], self.is_lossy]
        ).encode()

    @classmethod
    def _from_bytes(cls, remembered: bytes) -> Stored:
        in_colour, counts, palette, is_lossy = json.loads(remembered)
        colours = {value: (red, green, blue) for value, (red, green, blue) in palette}
        return cls(in_colour, dict(counts), colours, is_lossy)

    @property
    def is_grey(self) -> bool:
        """Whether it is a colour image whose three channels are alike, so that it may hold values."""
        return self.in_colour and all(number % _GREY == 0 for number in self.counts)

    def as_values(self) -> Stored:
        """Return a colour image of greys as the values that it holds; all else as it is."""
        if not self.is_grey:
            return self
        values = {number // _GREY: count for number, count in self.counts.items()}
        return Stored(False, values, {}, self.is_lossy, self.is_whole)

    def most_frequent(self, number: int) -> Stored:
        """Return it with so many values at most, those that most pixels have."""
        if len(self.counts) <= number:
            return self
        frequent = sorted(self.counts.items(), key=lambda item: -item[1])[:number]
        return Stored(self.in_colour, dict(frequent), {}, self.is_lossy, is_whole=False)


def read_index_mask(source: File | Image.Image) -> Mask:
    """Read a mask ``(H, W)`` of class ids, uint8, exactly as stored.

    Grey and 1-bit files give their values, palette files their indices. A rotation noted in the metadata is
    not applied: masks are PNGs that tools write upright.

    Raises:
        SegnetError: not readable, a colour image, or a value outside 0 to 255; names the file.
    """
    return _values(decode(source), source_name(source), 255).astype(np.uint8, copy=False)


def _values(image: Image.Image, name: str, highest: int = HIGHEST_VALUE) -> npt.NDArray[np.uint8 | np.uint16]:
    """Return the values ``(H, W)`` of a mask, exactly as stored.

    Raises:
        Fault: a colour image, or a value outside 0 to ``highest``.
    """
    if image.mode not in SINGLE_CHANNEL_MODES:
        raise Fault("mask-mode", name, f"is no map of class ids but an image in mode {image.mode}")
    values = np.asarray(image)
    if values.dtype == np.uint8:
        return values
    outside = values[(values < 0) | (values > highest)]
    if outside.size:
        raise Fault(
            "mask-mode",
            name,
            f"holds the value {outside[0]} ({outside.size} pixels are outside 0 to {highest})",
            "a mask holds class ids, 255 = ignore",
        )
    return values.astype(np.uint16)


def require_same_size(image: Image.Image | Pixels, mask: Mask, image_file: File, mask_file: File) -> None:
    """Check that a mask lies on its image, a picture or ``(H, W, C)``, pixel by pixel.

    Raises:
        Fault: the sizes differ; says so where only width and height are swapped.
    """
    size = image.size if isinstance(image, Image.Image) else image.shape[1::-1]
    fault = size_fault(size, mask.shape[::-1], image_file, mask_file)
    if fault is not None:
        raise fault


def size_fault(
    image: tuple[int, ...], mask: tuple[int, ...], image_file: File, mask_file: File
) -> Fault | None:
    """Return what is wrong where a mask is of another size (width, height) than its upright image."""
    if mask == image:
        return None
    return Fault(
        "sizes-differ",
        mask_file,
        f"is {mask[0]}×{mask[1]} but its image {image_file} is {image[0]}×{image[1]}",
        "the mask was drawn without the image's EXIF rotation, turn it" if mask == image[::-1] else "",
    )


def stored_numbers(image: Image.Image, *, by_colour: bool) -> tuple[bool, Numbers]:
    """Return whether a mask is read by its colours, and its values or packed colours ``(H, W)``.

    Raises:
        Fault: no map of class ids: neither colours nor whole numbers from 0 to 65535.
    """
    if image.mode in COLOUR_MODES or (image.mode == "P" and by_colour):
        return True, pack(np.asarray(image.convert("RGB")))
    return False, _values(image, source_name(image))


def grey(value: int) -> int:
    """Return the packed colour of a grey value."""
    return value * _GREY


def channels_of(numbers: Sequence[int], *, in_colour: bool) -> npt.NDArray[np.float32]:
    """Return values ``(N, 1)``, or packed colours as red, green and blue ``(N, 3)``."""
    if in_colour:
        return np.array([unpack(number) for number in numbers], np.float32).reshape(-1, 3)
    return np.array(numbers, np.float32).reshape(-1, 1)


def count_masks(masks: Sequence[File]) -> list[Stored]:
    """Decode masks in a few threads and count what each stores.

    Raises:
        Fault: one that can't be read as a mask; all that are wrong, in one.
    """
    faults: list[Fault] = []

    def count(file: File) -> Stored | None:
        try:
            return Stored.of_file(file)
        except Fault as fault:
            faults.append(fault)
            return None

    stored = in_threads(count, masks, lambda mask: is_seen(mask, "stored"))
    raise_errors(sorted(faults, key=lambda fault: str(fault.file)), "the masks")
    return [each for each in stored if each is not None]


def _is_lossy(image: Image.Image, file: File | None) -> bool:
    """Say whether a mask's format changes values; a WebP of which the file isn't known counts as lossy."""
    if image.format != "WEBP" or file is None:
        return image.format in LOSSY_FORMATS
    with io.BytesIO(file.read()) if isinstance(file, Blob) else file.open("rb") as stream:
        stream.seek(12)  # behind "RIFF", the size and "WEBP": chunks of a name, a length and the content
        while len(head := stream.read(8)) == 8:
            if head[:4] in (b"VP8L", b"VP8 "):
                return head[:4] == b"VP8 "
            length = int.from_bytes(head[4:], "little")
            stream.seek(length + length % 2, io.SEEK_CUR)
    return True
