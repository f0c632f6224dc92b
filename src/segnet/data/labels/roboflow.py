"""Roboflow's "semantic segmentation masks": ``x.jpg`` beside ``x_mask.png``, and ``_classes.csv``."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from segnet.base.classes import IGNORE_INDEX
from segnet.base.errors import SegnetError
from segnet.data.labels.coded import MaskTable, add_pairs
from segnet.data.labels.finding import images_below, key_below, read_text, split_of
from segnet.data.labels.shapes import Labels, background_first

TABLE = "_classes.csv"
"""Which value stands for which class; one lies in each split's folder."""
_MASK = "_mask"


def read_roboflow(root: Path, tables: Sequence[Path]) -> Labels:
    """Read the folders that hold a table of classes; a folder's name is its split.

    Raises:
        SegnetError: a table that can't be read, or two that differ in what a value means.
    """
    meanings: dict[int, str] = {}
    for table in tables:
        for value, name in _read(table).items():
            if meanings.setdefault(value, name) != name:
                raise SegnetError(f"{table} calls the value {value} {name}, another table {meanings[value]}")
    names = background_first(meanings[value] for value in sorted(meanings))
    labels = Labels("Roboflow's masks", names)
    code = MaskTable(str(tables[0]), {value: names.index(name) for value, name in meanings.items()})
    for folder in (table.parent for table in tables):
        files = {key_below(file, folder): file for file in images_below(folder)}
        ends = {key: key.removesuffix(_MASK) for key in files}
        masks = {end: (files[key], code) for key, end in ends.items() if end != key}
        images = {key: files[key] for key, end in ends.items() if end == key}
        split = "" if folder == root else split_of(folder.name)
        place = partial(_place, split)
        add_pairs(labels, masks, images, place, "has no image of the name {key} beside it")
    return labels


def _place(split: str, key: str) -> tuple[str, str, str]:
    return key, split, ""


def _read(table: Path) -> dict[int, str]:
    """Return the class of each value; the first line says ``Pixel Value, Class``."""
    rows = [
        [field.strip() for field in row]
        for row in csv.reader(read_text(table).splitlines(), skipinitialspace=True)
        if row
    ]
    meanings: dict[int, str] = {}
    for row in rows[1:]:
        if len(row) != 2 or not row[0].isdecimal() or int(row[0]) > IGNORE_INDEX or not row[1]:
            raise SegnetError(f"{table} has the line {','.join(row)!r}, where a value and a class belong")
        meanings[int(row[0])] = row[1]
    if not meanings:
        raise SegnetError(f"{table} names no classes; export the masks again")
    return meanings
