"""What mask files store, whatever that means: values or colours, and how many pixels have each."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from segnet.base.colours import Colour, pack, unpack
from segnet.base.threads import in_threads
from segnet.data.faults import Fault, raise_errors
from segnet.data.images.embedded_files import Blob, File
from segnet.data.images.file_records import is_seen, recall
from segnet.data.images.reading import decode, read_mask_values

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
            Fault: no map of class ids, as ``read_mask_values``.
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
                    recall(file, "stored", lambda: cls.of(decode(file), file=file)._to_bytes())
                )
        return cls.of(decode(file), file=file)  # which says what is wrong with the file

    def _to_bytes(self) -> bytes:
        palette = {value: int(pack(np.array(colour, np.uint8))) for value, colour in self.palette.items()}
        numbers = [*self.counts, *self.counts.values(), *palette.values()]
        flags = self.in_colour | self.is_lossy << 1
        return b"%d %d " % (flags, len(self.counts)) + " ".join(map(str, numbers)).encode()

    @classmethod
    def _from_bytes(cls, remembered: bytes) -> Stored:
        flags, count, *numbers = map(int, remembered.split())
        values, counts, palette = numbers[:count], numbers[count : 2 * count], numbers[2 * count :]
        return cls(
            bool(flags & 1),
            dict(zip(values, counts, strict=True)),
            {value: unpack(colour) for value, colour in zip(values, palette, strict=False)},
            bool(flags & 2),
        )

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


def stored_numbers(image: Image.Image, *, by_colour: bool) -> tuple[bool, Numbers]:
    """Return whether a mask is read by its colours, and its values or packed colours ``(H, W)``.

    Raises:
        Fault: as ``read_mask_values``.
    """
    if image.mode in COLOUR_MODES or (image.mode == "P" and by_colour):
        return True, pack(np.asarray(image.convert("RGB")))
    return False, read_mask_values(image)


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
