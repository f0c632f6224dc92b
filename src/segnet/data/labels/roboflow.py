"""Roboflow's "semantic segmentation masks": ``x.jpg`` beside ``x_mask.png``, and ``_classes.csv``."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from segnet.base.classes import IGNORE_INDEX
from segnet.base.errors import SegnetError
from segnet.data.faults import Fault
from segnet.data.images.headers import read_header
from segnet.data.labels.coded import MaskTable
from segnet.data.labels.finding import images_below, read_text
from segnet.data.labels.shapes import NOT_ANNOTATED, Labelled, Labels, read_image, split_of, with_background

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
    listed = [meanings[value] for value in sorted(meanings)]
    names = with_background(listed)
    names = names if names[0] in listed else names[1:]
    labels = Labels("Roboflow's masks", names)
    said_by = str(tables[0])
    code = MaskTable(said_by, {value: names.index(name) for value, name in meanings.items()})
    for table in tables:
        folder = table.parent
        files = {file.relative_to(folder).with_suffix("").as_posix(): file for file in images_below(folder)}
        masks = {key.removesuffix(_MASK): file for key, file in files.items() if key.endswith(_MASK)}
        images = {key: file for key, file in files.items() if not key.endswith(_MASK)}
        split = "" if folder == root else split_of(folder.name)
        for key in sorted(masks.keys() | images.keys()):
            where = str(masks.get(key) or images[key])
            if key in masks:
                read = partial(_pair, key, masks[key], images.get(key), split, code)
                labels.images.append(read_image(read, where, labels.faults))
            else:
                labels.images.append(Labelled(None, key, where, split, left_out=NOT_ANNOTATED))
    return labels


def _pair(key: str, mask: Path, image: Path | None, split: str, code: MaskTable) -> Labelled:
    if image is None:
        raise Fault("no-image", mask, f"has no image of the name {key} beside it")
    size = read_header(mask).stored
    return Labelled(image, key, str(mask), split, size, read_mask=partial(code.read, mask))


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
