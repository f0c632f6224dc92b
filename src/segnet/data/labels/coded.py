"""Mask files whose values or colours stand for classes, read as class ids by a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from segnet.base.colours import Colour, unpack
from segnet.data.dataset import Mask
from segnet.data.faults import Fault
from segnet.data.images.headers import read_header
from segnet.data.images.reading import decode
from segnet.data.labels.fields import require
from segnet.data.labels.shapes import NOT_ANNOTATED, Labelled, Labels
from segnet.data.masks.mask_code import NO_CLASS, MaskCode
from segnet.data.masks.stored_values import Numbers, read_index_mask

_SHOWN = 5
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
        in_colour = image.mode in _COLOURED and bool(self.colours) and not self._is_by_value(image)
        image = image.convert("RGB") if in_colour else Image.fromarray(read_index_mask(image))
        code = MaskCode(tuple(self.values.items()), tuple(self.colours.items()) if in_colour else ())
        _, numbers, ids = code.exactly(image)
        unknown = ids == NO_CLASS
        if unknown.any():
            raise self._fault(numbers[unknown], file, in_colour=in_colour)
        return ids.astype(np.uint8)

    def _is_by_value(self, image: Image.Image) -> bool:
        if image.mode in _PALETTED:
            return not self.by_palette
        if image.mode not in _GREY:
            return False
        counts = image.convert("L").histogram()
        return not all((grey, grey, grey) in self.colours for grey, count in enumerate(counts) if count)

    def _fault(self, unknown: Numbers, file: Path, *, in_colour: bool) -> Fault:
        """Return what is wrong with a mask that has pixels of values or colours that the table lacks."""
        what, spelled = ("colour", unpack) if in_colour else ("value", int)
        values, counts = np.unique(unknown, return_counts=True)
        most = values[np.argsort(-counts)[:_SHOWN]].tolist()
        few = ", ".join(str(spelled(each)) for each in most)
        more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
        name = _LOSSY.get(file.suffix.lower())
        lossy = f"{name} changes values and colours: export the masks as PNG" if name else ""
        return Fault(
            "unknown-value",
            file,
            f"holds the {what}{'s' if len(values) > 1 else ''} {few}{more} ({counts.sum():,} pixels), "
            f"which {self.said_by} doesn't name",
            lossy or self.remedy or f"correct the mask, or add the {what} there",
        )


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
