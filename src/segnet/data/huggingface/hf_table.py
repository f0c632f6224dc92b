"""A Hugging Face table: which columns hold images and masks, and its rows, read when they are asked for.

Columns are told by their types, then by their names.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from segnet.base.errors import SegnetError, did_you_mean, refuse
from segnet.data.check.pairing import Pair
from segnet.data.faults import Fault
from segnet.data.images.embedded_files import Blob
from segnet.data.images.reading import require_file

if TYPE_CHECKING:
    import datasets

_ROWS = 1000  # of which the names are read at a time


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
        if given is not None:
            near = did_you_mean(given, features)
            refuse(
                (given not in features, f"--{option}-column {given}: {data} has no such column{near}"),
                (given not in fitting, f"--{option}-column {given} holds no pictures; {data} has {there}"),
            )
    both = f"--image-column and --mask-column are both {image}; name two columns"
    refuse((image is not None and image == mask, both))

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


# The rows


class Cells:
    """One column of one split, read row by row."""

    def __init__(self, table: datasets.Dataset, column: str, where: str, *, grid: bool) -> None:
        self.column, self.where, self.grid = column, where, grid
        self._table = table.select_columns([column]).with_format("numpy" if grid else None)

    def value(self, row: int) -> Any:
        """Return what the table holds, with an image's bytes as they are."""
        return self._table[row][self.column]


@dataclass(frozen=True, eq=False)
class Cell(Blob):
    """An image or a mask in a row; of what was read it keeps the digest alone."""

    cells: Cells
    row: int

    def __str__(self) -> str:
        return f"{self.cells.where} row {self.row} ({self.cells.column})"

    def digest(self) -> bytes:
        """Return the sha256 of its bytes, which don't change while the table is open."""
        return self._digest

    @cached_property
    def _digest(self) -> bytes:
        return super().digest()

    def read(self) -> bytes:
        """Return the bytes that the row holds or names the file of; a grid of numbers becomes a TIFF.

        Raises:
            Fault: there are none.
        """
        value = self.cells.value(self.row)
        if self.cells.grid and value is not None:
            return self._drawn(value)
        content = value.get("bytes") if isinstance(value, Mapping) else value
        if content is None and isinstance(value, Mapping) and value.get("path"):
            return self._file(str(value["path"]))
        if content is None:
            raise Fault("empty", str(self), "is null", "fill it, or take the row out")
        if not content:
            raise Fault("empty", str(self), "is empty")
        return bytes(content)

    def _file(self, path: str) -> bytes:
        if "://" in path:
            raise Fault("damaged", str(self), f"is only named, as {path}", "store the bytes in the dataset")
        try:
            require_file(Path(path))
            return Path(path).read_bytes()
        except (OSError, SegnetError) as error:
            raise Fault("damaged", str(self), f"can't be read: {error}", "store it in the dataset") from error

    def _drawn(self, value: Any) -> bytes:
        try:
            numbers: npt.NDArray[Any] = np.asarray(value)
        except ValueError:  # rows of several lengths
            numbers = np.empty(0)
        if numbers.ndim != 2 or not numbers.size or numbers.dtype.kind not in "biu":
            raise Fault("mask-mode", str(self), "is no grid of whole numbers with rows of one length")
        fits = numbers.min() >= 0 and numbers.max() <= 255
        small = numbers.astype(np.uint8) if fits else numbers.clip(-(2**31), 2**31 - 1).astype(np.int32)
        stream = io.BytesIO()
        Image.fromarray(small).save(stream, "TIFF")
        return stream.getvalue()


def rows_of(data: str, split: str, name: str, table: datasets.Dataset, columns: Columns) -> list[Pair[Cell]]:
    """Return the rows of a table, of which none is read.

    Args:
        data: what messages call the dataset.
        split: which of ours it is.
        name: what it is called there.
        table: with images that aren't decoded.
        columns: where images and masks are.
    """
    images = Cells(table, columns.image, f"{data} {name}", grid=False)
    masks = Cells(table, columns.mask, f"{data} {name}", grid=columns.mask_is_grid)
    return [
        Pair(split, called, Cell(images, row), Cell(masks, row))
        for row, called in enumerate(_names(name, table, columns.image))
    ]


def _names(split: str, table: datasets.Dataset, column: str) -> list[str]:
    """Return what reports call the rows: the image's file where each names its own, or the row's number."""
    import pyarrow as pa
    import pyarrow.compute

    kind = table.data.schema.field(column).type
    has_path = pa.types.is_struct(kind) and kind.get_field_index("path") >= 0
    stems: list[str] = []
    batches = table.select_columns([column]).with_format("arrow").iter(_ROWS)
    for batch in batches if has_path else ():
        paths = pa.compute.struct_field(batch.column(column), "path")
        stems += [Path(path).stem if path else "" for path in paths.to_pylist()]
    if stems and "" not in stems and len({*stems}) == len(stems):
        return stems
    return [f"{split}-{row}" for row in range(len(table))]
