"""Hugging Face datasets with a column of images and a column of masks: from the hub, or saved in a folder.

``hf:OWNER/NAME`` and ``hf:OWNER/NAME:CONFIG`` are of the hub; ``hf:PATH`` is what ``save_to_disk`` wrote, or
anything that ``datasets.load_dataset`` takes. A row's bytes are read when they are asked for, by what reads
files, so that what is checked and said is the same as for a folder, and so are the images' ids. No code of a
dataset is run: since version 4 ``datasets`` refuses to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from segnet.base.classes import IGNORE_INDEX, ClassTable
from segnet.base.errors import SegnetError
from segnet.base.extras import require_package
from segnet.base.files import cache_folder
from segnet.data.check.pairing import DESCRIPTION, Pair
from segnet.data.dataset import Dataset
from segnet.data.faults import lines, raise_errors
from segnet.data.folder import dataset_of, same_images
from segnet.data.huggingface.hf_table import Cell, Columns, find_columns, rows_of
from segnet.data.images.headers import faults_of, look_at_all
from segnet.data.masks.dataset_yaml import read_description
from segnet.data.masks.mask_code import MaskCode
from segnet.data.masks.mask_meaning import infer
from segnet.data.masks.stored_values import count_masks
from segnet.data.options import HF, DataOptions, cut_data

if TYPE_CHECKING:
    import datasets

# What the splits are called.
_SPLITS = {
    "train": ("train", "training"),
    "val": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing"),
}
_SAVED = ("dataset_dict.json", "state.json")  # what save_to_disk leaves
_LONGEST = 300  # letters of another library's message


def require_hf(options: DataOptions) -> None:
    """Say what is wrong with what ``--data`` names, before anything is read or downloaded.

    Raises:
        SegnetError: no name, a folder that isn't there, or the package ``datasets`` isn't installed.
    """
    _, name, _ = cut_data(options.data)
    if options.place is None and (
        name.startswith(("/", ".", "~")) or name.count("/") != 1 or name[-1] == "/"
    ):
        raise SegnetError(
            f"--data {options.data}: there is no folder {name or '(no name)'}, and a dataset of the hub is "
            f"{HF}OWNER/NAME; correct it"
        )
    require_package(f"--data {options.data}", "datasets")


def load_hf(options: DataOptions) -> Dataset:
    """Load a Hugging Face dataset; what its rows show to be wrong is found as in a folder, and all at once.

    Args:
        options: its name or folder, the columns where they don't show, what the masks' values mean, and what
            is held out for validation where it has no such split: ``holdout`` of the rest, 0.2 for 0.

    Raises:
        SegnetError: a dataset that can't be loaded, columns or splits that aren't clear, everything that
            ``KINDS`` (`faults.py`) calls an error, in one; or a part that can't be held out.
    """
    with _quiet():
        tables = _open(options)
    columns = find_columns(
        options.data, next(iter(tables.values())).features, options.image_column, options.mask_column
    )
    for split, table in tables.items():
        if {columns.image, columns.mask} - {*table.column_names}:
            raise SegnetError(
                f"{options.data}: the split {split} has other columns than the others; correct it"
            )
    used, warnings = _choose_splits(options.data, tables, columns)
    pairs = [
        row
        for split, name in used.items()
        for row in rows_of(options.data, split, name, tables[name], columns)
    ]
    looks = look_at_all(pairs, options.channels or 3)
    faults = [*faults_of(looks), *same_images(pairs)]
    raise_errors(faults, options.data)
    return dataset_of(
        looks,
        _described(options, columns, pairs),
        options,
        name=options.data_name,
        where=options.data,
        has_val="val" in used,
        warnings=[*warnings, *lines(faults)],
    )


def _described(
    options: DataOptions, columns: Columns, pairs: list[Pair[Cell]]
) -> tuple[ClassTable, MaskCode]:
    """Return the classes: from a file, from the column's own names, and else from what all masks hold."""
    beside = options.place / DESCRIPTION if options.place is not None else None
    if options.dataset_yaml is not None:
        return read_description(options.dataset_yaml)
    if beside is not None and beside.is_file():
        return read_description(beside)
    if columns.class_names:
        ids = (*range(len(columns.class_names)), IGNORE_INDEX)
        return ClassTable.named(columns.class_names), MaskCode(
            tuple((value, value) for value in ids), names=columns.class_names
        )
    masks = [row.mask for row in pairs]
    counted = zip(masks, count_masks(masks), strict=True)
    return infer(counted, options.data, "a file for --dataset-yaml")


# Opening it


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' own progress bars and warnings away from ours, and leave them as they were."""
    import datasets
    from huggingface_hub import utils as hub

    bars = [each for each in (datasets.utils, hub) if not each.are_progress_bars_disabled()]
    levels = [(each, each.get_verbosity()) for each in (datasets.logging, hub.logging)]
    try:
        for each in bars:
            each.disable_progress_bars()
        for logging, _ in levels:
            logging.set_verbosity_error()
        yield
    finally:
        for each in bars:
            each.enable_progress_bars()
        for logging, level in levels:
            logging.set_verbosity(level)


def _open(options: DataOptions) -> dict[str, datasets.Dataset]:
    """Return every split as it is called, images not decoded; nothing is written beside the user's files."""
    import datasets

    data, path = options.data, options.place
    _, name, config = cut_data(data)
    try:
        if path is None:  # in Hugging Face's own cache, where other programs find it too
            opened = datasets.load_dataset(name, config[1:] or None)
        elif any((path / saved).is_file() for saved in _SAVED):
            if config:
                raise SegnetError(
                    f"{data}: what save_to_disk wrote has no configurations; leave {config} away"
                )
            _require_rows(data, path)
            opened = datasets.load_from_disk(str(path))
        else:
            whole = str(path.resolve())  # a relative path may also be the name of a format
            file = {"path": "parquet", "data_files": whole} if path.is_file() else {"path": whole}
            cache = str(cache_folder() / "hf")
            opened = datasets.load_dataset(**file, name=config[1:] or None, cache_dir=cache)
    except SegnetError:
        raise
    except Exception as error:
        raise _why_not_loaded(error, data, path) from error
    tables = opened if isinstance(opened, Mapping) else {"train": opened}
    return {str(split): _undecoded(table) for split, table in tables.items()}


def _require_rows(data: str, saved: Path) -> None:
    """Raise SegnetError where save_to_disk wrote a split without rows: datasets stumbles over it."""
    for state in sorted(saved.glob("**/state.json")):
        if not json.loads(state.read_text(encoding="utf-8"))["_data_files"]:
            raise _empty(data, "train" if state.parent == saved else state.parent.name)


def _empty(data: str, split: str) -> SegnetError:
    return SegnetError(f"{data}: the split {split} is empty; fill it, or take it out")


def _undecoded(table: datasets.Dataset) -> datasets.Dataset:
    import datasets

    table = table.with_format(None)
    for column, feature in table.features.items():
        if isinstance(feature, datasets.Image):
            table = table.cast_column(column, datasets.Image(decode=False))
    return table


def _why_not_loaded(error: Exception, data: str, path: Path | None) -> SegnetError:
    from datasets.exceptions import DatasetNotFoundError

    said = " ".join(str(error).split())
    if "Config name is missing" in said or ("BuilderConfig" in said and "not found" in said):
        known = said[said.find("[") : said.find("]") + 1]
        _, name, _ = cut_data(data)
        return SegnetError(f"{data} needs one of the configurations {known}: give --data {HF}{name}:CONFIG")
    if empty := re.search('Instruction "(.+)" corresponds to no data', said):
        return _empty(data, empty[1])
    if path is None and isinstance(error, DatasetNotFoundError):
        return SegnetError(
            f"there is no dataset {data} on the hub that may be read, nor a folder of this name here; check "
            f"the name, or log in with hf auth login ({said[:_LONGEST]})"
        )
    if path is None and isinstance(error, OSError):
        return SegnetError(
            f"{data} can't be fetched, nor is it in Hugging Face's cache or a folder of this name here "
            f"({said[:_LONGEST]}); connect to the network, or copy the dataset here and give {HF}FOLDER"
        )
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    said = " ".join(str(error).split())
    return SegnetError(
        f"{data} can't be loaded by datasets ({type(error).__name__}: {said[:_LONGEST]}); it must be "
        "what save_to_disk wrote, or what datasets.load_dataset takes"
    )


# Splits


def _choose_splits(
    data: str, tables: Mapping[str, datasets.Dataset], columns: Columns
) -> tuple[dict[str, str], list[str]]:
    """Return what our splits are called there, and a line for each that is left out."""
    used: dict[str, str] = {}
    for split, names in _SPLITS.items():
        there = [name for name in tables if name.lower() in names]
        if len(there) > 1:
            raise SegnetError(
                f"{data} has the splits {' and '.join(there)}, both for {split}; keep one of them"
            )
        if there:
            used[split] = there[0]
    if not used and len(tables) == 1:
        used = {"train": next(iter(tables))}
    if not used:
        raise SegnetError(
            f"{data} has the splits {', '.join(tables)}, none of them train, validation or test; save those "
            "that you want under these names"
        )
    warnings = [
        f"{data} has a split {name} too, which isn't used" for name in tables if name not in used.values()
    ]
    for split, name in [*used.items()]:
        rows = len(tables[name])
        if not rows:
            raise _empty(data, name)
        if tables[name].data.column(columns.mask).null_count == rows and len(used) > 1:
            warnings.append(f"{data}: the split {name} has no masks and isn't used")
            del used[split]
    return used, warnings
