"""Mask files whose values or colours stand for classes, read as class ids by a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from segnet.base.colours import Colour, pack, unpack
from segnet.data.dataset import Mask
from segnet.data.faults import Fault
from segnet.data.images.headers import read_header
from segnet.data.images.reading import decode
from segnet.data.labels.fields import require
from segnet.data.labels.shapes import NOT_ANNOTATED, Labelled, Labels
from segnet.data.masks.stored_values import read_index_mask

_SHOWN = 5
_UNKNOWN = -1
_LOSSY = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WebP"}
_PALETTED, _GREY = ("P", "PA"), ("L", "1", "LA")
_COLOURED = ("RGB", "RGBA", "RGBX", "CMYK", *_PALETTED, *_GREY)


@dataclass(frozen=True)
class MaskTable:
    """Which class id, or 255 for ignored, the values and the colours of a data set's masks stand for."""

    said_by: str
    """What names them, for messages: a file, or a data set."""
    values: Mapping[int, int] = field(default_factory=dict)
    colours: Mapping[Colour, int] = field(default_factory=dict)
    by_palette: bool = False
    """Whether a mask with a palette is read by its colours, not by its values."""
    remedy: str = ""
    """What to do about a value or colour that it lacks."""

    def read(self, file: Path) -> Mask:
        """Return the class ids ``(H, W)`` of a mask file.

        Grey masks are read by their values, unless the table has all of their greys as colours.

        Raises:
            SegnetError: it can't be read, or holds a value or colour that the table lacks.
        """
        image = decode(file)
        if image.mode in _COLOURED and self.colours and not self._is_by_value(image):
            packed = pack(np.asarray(image.convert("RGB")))
            return self._known(self._ids_of(packed), packed, "colour", unpack, file)
        values = read_index_mask(image)
        table = np.full(256, _UNKNOWN, np.int16)
        table[[*self.values]] = [*self.values.values()]
        return self._known(table[values], values, "value", str, file)

    def _is_by_value(self, image: Image.Image) -> bool:
        if image.mode in _PALETTED:
            return not self.by_palette
        if image.mode not in _GREY:
            return False
        counts = image.convert("L").histogram()
        return not all((grey, grey, grey) in self.colours for grey, count in enumerate(counts) if count)

    def _ids_of(self, packed: npt.NDArray[np.uint32]) -> npt.NDArray[np.int16]:
        known = sorted((r << 16 | g << 8 | b, class_id) for (r, g, b), class_id in self.colours.items())
        keys = np.array([key for key, _ in known], np.uint32)
        places = np.searchsorted(keys, packed).clip(max=len(keys) - 1)
        ids: npt.NDArray[np.int16] = np.array([class_id for _, class_id in known], np.int16)[places]
        ids[keys[places] != packed] = _UNKNOWN
        return ids

    def _known(
        self,
        ids: npt.NDArray[np.int16],
        stored: npt.NDArray[Any],
        what: str,
        spelled: Callable[[int], object],
        file: Path,
    ) -> Mask:
        """Return the ids, if there is one for every pixel."""
        unknown = ids == _UNKNOWN
        if unknown.any():
            values, counts = np.unique(stored[unknown], return_counts=True)
            few = ", ".join(str(spelled(int(values[place]))) for place in np.argsort(-counts)[:_SHOWN])
            name = _LOSSY.get(file.suffix.lower())
            lossy = f"{name} changes values and colours: export the masks as PNG" if name else ""
            more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
            raise Fault(
                "unknown-value",
                file,
                f"holds the {what}{'s' if len(values) > 1 else ''} {few}{more} ({counts.sum():,} pixels), "
                f"which {self.said_by} doesn't name",
                lossy or self.remedy or f"correct the mask, or add the {what} there",
            )
        return ids.astype(np.uint8)


def add_pairs(
    labels: Labels,
    masks: Mapping[str, tuple[Path, MaskTable]],
    images: Mapping[str, Path],
    place: Callable[[str], tuple[str, str, str]],
    missing: str,
    remedy: str = "",
) -> None:
    """Add each image with its mask file, those that have no mask as not annotated.

    Args:
        labels: what they are added to.
        masks: by a key of the image, its mask file and the table that says how to read it.
        images: image files by the same keys.
        place: returns of a key the image's name in the new folder, its split, and why it is left out, if so.
        missing: what to say of a mask without an image, whose key stands for {key}.
        remedy: what to do then, if anything better than usual.
    """

    def read(key: str, name: str, split: str) -> Labelled:
        require(key in images, missing.format(key=key), remedy, "no-image")
        mask, table = masks[key]
        size = read_header(mask).stored
        return Labelled(images[key], name, str(mask), split, size, read_mask=partial(table.read, mask))

    for key in sorted(masks.keys() | images.keys()):
        name, split, left_out = place(key)
        where = str(masks[key][0] if key in masks else images[key])
        if left_out or key not in masks:
            reason = left_out or NOT_ANNOTATED
            labels.images.append(Labelled(None, name, where, split, left_out=reason))
        else:
            labels.read_image(partial(read, key, name, split), where)
