"""One mask file an object: ``ID/images/ID.png``, ``ID/masks/*.png``, as in the Data Science Bowl 2018."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from segnet.base.class_roles import BACKGROUND
from segnet.data.images.headers import read_header
from segnet.data.images.reading import decode
from segnet.data.labels.finding import images_below, is_hidden, split_of
from segnet.data.labels.shapes import NOT_ANNOTATED, Labelled, Labels, Shape
from segnet.data.masks.stored_values import size_fault

OBJECT = "object"
_KIND = "mask file"
_DEPTHS = ("images", "*/images", "*/*/images")

Found = dict[str, tuple[Path, list[Path]]]
"""Of each image by its name its file and the files of its objects."""


def find_objects(root: Path) -> Found:
    """Return the images of a folder with one mask file an object, none of a folder of another layout.

    That is ``ID/images/ID.png`` beside ``ID/masks/*.png``, perhaps below a folder of a split, or
    ``images/ID.png`` beside ``masks/ID/*.png``.
    """
    found: Found = {}
    for folder in sorted(folder for depth in _DEPTHS for folder in root.glob(depth) if folder.is_dir()):
        above = folder.parent.relative_to(root)
        if any(map(is_hidden, above.parts)):
            continue
        images, masks = images_below(folder), folder.parent / "masks"
        nested = any(each.is_dir() and not is_hidden(each.name) for each in masks.glob("*"))
        if above.parts and len(images) == 1 and images[0].stem == above.name and not nested:
            found[above.as_posix()] = images[0], images_below(masks)
        elif any((masks / image.stem).is_dir() for image in images):
            for image in images:
                inner = image.relative_to(folder).with_suffix("")
                found[(above / inner).as_posix()] = image, images_below(masks / inner)
    return found if any(masks for _, masks in found.values()) else {}


def read_objects(found: Found, name: str = OBJECT) -> Labels:
    """Read each object's file as a shape of the class ``name``: what isn't black in it."""
    labels = Labels("one mask file an object", [BACKGROUND, name])
    for key, (image, masks) in found.items():
        where, split = str(image), split_of(key.rpartition("/")[0])
        kept = key.rpartition("/")[2] if split else key
        if masks:
            read = partial(_image, labels, image, masks, name, kept, split)
            labels.read_image(read, where, [_KIND] * len(masks))
        else:
            labels.images.append(Labelled(None, kept, where, split, left_out=NOT_ANNOTATED))
    return labels


def _image(labels: Labels, image: Path, masks: Sequence[Path], name: str, kept: str, split: str) -> Labelled:
    header = read_header(image)
    size = header.size
    if header.stored != size and read_header(masks[0]).stored == header.stored:
        size = header.stored  # drawn before EXIF data turned the image

    def read(mask: Path, size: tuple[int, int]) -> Shape:
        if wrong := size_fault(size, read_header(mask).stored, image, mask):
            raise wrong
        return Shape(name, bitmap=partial(_decode, mask), alone=True)

    shapes = [labels.read_shape(mask, _KIND, str(mask), size, read) for mask in masks]
    return Labelled(image, kept, str(image), split, size, shapes)


def _decode(mask: Path) -> npt.NDArray[np.bool_]:
    """Return the pixels ``(H, W)`` of more than half the brightest value, none where all are black."""
    picture = decode(mask)
    values = np.asarray(picture if picture.mode not in ("LA", "PA", "RGBA") else picture.convert("RGB"))
    values = values.max(-1) if values.ndim == 3 else values
    return values > values.max() / 2
