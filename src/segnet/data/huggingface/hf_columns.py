"""Which columns of a Hugging Face dataset hold images and masks: by their types, then by their names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segnet.base.errors import SegnetError, did_you_mean

# Words in a column's name.
_IMAGE_WORDS = {"image", "images", "img", "photo", "picture", "pixel", "pixels", "input", "rgb"}
_MASK_WORDS = {
    "mask", "masks", "label", "labels", "annotation", "annotations", "segmentation", "segmentations", "seg",
    "segmap", "semantic", "trimap", "gt", "groundtruth", "target",
}  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """Where images and masks are."""

    image: str
    mask: str
    mask_is_grid: bool
    """Whether masks are rows of numbers in place of a picture's bytes."""
    class_names: tuple[str, ...]
    """Of a grid whose numbers have names; else empty."""


def find_columns(
    data: str, features: Mapping[str, Any], image: str | None = None, mask: str | None = None
) -> Columns:
    """Return the columns that are named, and else those that alone can be meant.

    Args:
        data: what messages call the dataset.
        features: its columns, with their types.
        image: the column of images as the user gave it.
        mask: that of masks.

    Raises:
        SegnetError: no such column, one of another type, or none or several that may be meant.
    """
    pictures = [name for name, feature in features.items() if _is_picture(feature)]
    grids = [name for name, feature in features.items() if _is_grid(feature)]
    there = ", ".join(f"{name} ({_kind(feature)})" for name, feature in features.items())
    for option, given, fitting in (("image", image, pictures), ("mask", mask, [*pictures, *grids])):
        if given is not None and given not in features:
            raise SegnetError(
                f"--{option}-column {given}: {data} has no such column{did_you_mean(given, features)}"
            )
        if given is not None and given not in fitting:
            raise SegnetError(f"--{option}-column {given} holds no pictures; {data} has {there}")
    if image is not None and image == mask:
        raise SegnetError(f"--image-column and --mask-column are both {image}; name two columns")

    masks = [name for name in (*pictures, *grids) if name != image and _words(name) & _MASK_WORDS]
    if mask is None and len(masks) == 1:
        mask = masks[0]
    photos = [name for name in pictures if name not in (mask, *masks)]
    named = [name for name in photos if _words(name) & _IMAGE_WORDS] or photos
    if image is None and len(named) == 1:
        image = named[0]
    others = [name for name in pictures if name != image]
    if mask is None and image is not None and not masks and len(others) == 1:
        mask = others[0]

    missing = [option for option, found in (("image", image), ("mask", mask)) if found is None]
    if image is None or mask is None:
        said = " and ".join(
            f"which column holds the {each}s" if len(named if each == "image" else masks or others) > 1
            else f"a column of {each}s"
            for each in missing
        )  # fmt: skip
        options = " and ".join(f"--{each}-column" for each in missing)
        raise SegnetError(
            f"{data} doesn't show {said}: it has {there}; where it is one of these, give {options}"
        )
    grid = mask in grids
    return Columns(image, mask, grid, _names_of(features[mask]) if grid else ())


def _words(name: str) -> set[str]:
    """Return the words of pixel_values, labelMap or IMAGE_2 in lower case."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def _is_picture(feature: Any) -> bool:
    """Say whether a column holds pictures' files: as an image, as bytes, or as both that and a path."""
    import datasets

    if isinstance(feature, Mapping):
        return _is_bytes(feature.get("bytes"))
    return isinstance(feature, datasets.Image) or _is_bytes(feature)


def _is_bytes(feature: Any) -> bool:
    return getattr(feature, "dtype", None) in ("binary", "large_binary")


def _is_grid(feature: Any) -> bool:
    """Say whether a column holds rows of whole numbers."""
    import datasets

    if isinstance(feature, datasets.Array2D):
        return _is_whole(feature.dtype)
    number = _inside(_inside(feature))
    return isinstance(number, datasets.Value | datasets.ClassLabel) and _is_whole(number.dtype)


def _is_whole(dtype: str) -> bool:
    return dtype.startswith(("int", "uint", "bool"))


def _inside(feature: Any) -> Any:
    import datasets

    if isinstance(feature, datasets.List | datasets.LargeList):
        return feature.feature
    return feature[0] if isinstance(feature, list) and len(feature) == 1 else None


def _names_of(feature: Any) -> tuple[str, ...]:
    return tuple(getattr(_inside(_inside(feature)), "names", None) or ())


def _kind(feature: Any) -> str:
    """Return a column's type in a word or two."""
    dtype = getattr(feature, "dtype", "")
    own = type(feature).__name__
    return f"{own} of {dtype}" if own in ("Value", "Array2D") else own if own != "dict" else "struct"
