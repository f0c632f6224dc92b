"""The rows of a Hugging Face dataset as images and masks whose bytes are read when they are asked for."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from segnet.base.errors import SegnetError
from segnet.data.faults import Fault
from segnet.data.huggingface.hf_columns import Columns
from segnet.data.images.embedded_files import Blob
from segnet.data.images.reading import require_file

if TYPE_CHECKING:
    import datasets

_ROWS = 1000  # of which the names are read at a time


class Cells:
    """One column of one split, read row by row; of what was read it keeps the digests alone."""

    def __init__(self, table: datasets.Dataset, column: str, where: str, *, grid: bool) -> None:
        self.column, self.where, self.grid = column, where, grid
        self._table = table.select_columns([column]).with_format("numpy" if grid else None)
        self._digests: list[bytes | None] = [None] * len(table)

    def value(self, row: int) -> Any:
        """Return what the table holds, with an image's bytes as they are."""
        return self._table[row][self.column]

    def digest(self, row: int, content: Blob) -> bytes:
        """Return the sha256 of a row's bytes, which don't change while the table is open."""
        known = self._digests[row]
        if known is None:
            known = self._digests[row] = hashlib.sha256(content.read()).digest()
        return known


@dataclass(frozen=True, eq=False)
class Cell(Blob):
    """An image or a mask in a row."""

    cells: Cells
    row: int

    def __str__(self) -> str:
        return f"{self.cells.where} row {self.row} ({self.cells.column})"

    def digest(self) -> bytes:
        """Return the sha256 of its bytes."""
        return self.cells.digest(self.row, self)

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


@dataclass(frozen=True)
class Row:
    """An image and its mask: a ``Paired``."""

    split: str
    name: str
    image: Cell
    mask: Cell


def rows_of(data: str, split: str, name: str, table: datasets.Dataset, columns: Columns) -> list[Row]:
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
        Row(split, called, Cell(images, row), Cell(masks, row))
        for row, called in enumerate(_names(name, table, columns.image))
    ]


def _names(split: str, table: datasets.Dataset, column: str) -> list[str]:
    """Return what reports call the rows: the image's file where each names its own, or the row's number."""
    import pyarrow as pa
    import pyarrow.compute

    stems: list[str] = []
    batches = table.select_columns([column]).with_format("arrow").iter(_ROWS)
    for batch in batches if _has_path(table, column) else ():
        paths = pa.compute.struct_field(batch.column(column), "path")
        stems += [Path(path).stem if path else "" for path in paths.to_pylist()]
    if stems and "" not in stems and len({*stems}) == len(stems):
        return stems
    return [f"{split}-{row}" for row in range(len(table))]


def _has_path(table: datasets.Dataset, column: str) -> bool:
    import pyarrow as pa

    kind = table.data.schema.field(column).type
    return bool(pa.types.is_struct(kind) and kind.get_field_index("path") >= 0)
