"""Which group each image is in: by what its name says, or by a table beside the data."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from segnet.base.errors import SegnetError, did_you_mean, refuse
from segnet.data.dataset import Dataset

_OF_PETS = ("species", "breed")


def groups_of(dataset: Dataset, names: Sequence[str], by: str, table: Path | None = None) -> list[str]:
    """Return the group of each image.

    Args:
        dataset: where the images are from. Pets have a species and a breed, which their names say: those of
            cats begin with a capital, as its README has it.
        names: of the images.
        by: ``species`` or ``breed`` of oxford-pets, or a column of the table.
        table: a CSV file with a column ``image``, the file's name with or without its suffix, and others.

    Raises:
        SegnetError: no such group or column, a table that can't be read, or one that lacks an image.
    """
    if table is not None:
        return _from_table(table, names, by)
    refuse(
        (
            dataset.options is None or dataset.options.source != "oxford-pets",
            f"{dataset.name} doesn't say which {by} an image is of; give --group-table a CSV file that does, "
            f"with the columns image and {by}",
        ),
        (
            by not in _OF_PETS,
            f"oxford-pets groups by species or breed, or by a column of your own --group-table, not {by!r}"
            f"{did_you_mean(by, _OF_PETS)}",
        ),
    )
    if by == "species":
        return ["cat" if name[:1].isupper() else "dog" for name in names]
    return [name.rpartition("_")[0].replace("_", " ").lower() for name in names]


def _from_table(path: Path, names: Sequence[str], by: str) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = list(reader.fieldnames or ())
            rows = list(reader)
    except FileNotFoundError:
        raise SegnetError(f"there is no {path}, the table of groups") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SegnetError(f"can't read {path}, the table of groups: {error}") from error
    for column in ("image", by):
        if column not in columns:
            raise SegnetError(
                f"{path} has the columns {', '.join(columns) or '(none)'}, but no {column!r}"
                f"{did_you_mean(column, columns)}"
            )
    groups = {Path(row["image"] or "").stem: row[by] or "" for row in rows}
    groups |= {
        str(PurePosixPath(row["image"]).with_suffix("")): row[by] or "" for row in rows if row["image"]
    }
    groups |= {row["image"]: row[by] or "" for row in rows}  # a name may hold a dot and have no suffix
    missing = [name for name in names if name not in groups]
    if missing:
        raise SegnetError(
            f"{path} lacks {len(missing)} of the {len(names)} images, the first of them {missing[0]}; give "
            "each a row, by its file's name"
        )
    return [groups[name] for name in names]
