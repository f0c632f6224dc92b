"""Numbers for people: times, sizes, counts of things, and tables of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table  # which every command would wait for

COUNT = ("", " k", " M", " G")
BYTES = (" B", " kB", " MB", " GB")
BINARY_BYTES = (" B", " KiB", " MiB", " GiB")


def readable_time(seconds: float) -> str:
    """Return "45 s", "3 min 20 s" or "1 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def readable_size(size: float, units: tuple[str, ...] = BYTES) -> str:
    """Return a size in three digits and the unit in which it is no long number: "64 KiB", "1.2 M"."""
    step, power = (1024 if units is BINARY_BYTES else 1000), 0
    while size >= 999.5 and power < len(units) - 1:
        size, power = size / step, power + 1
    return f"{size:.3g}{units[power]}"


def counted(number: int, what: str) -> str:
    """Return "1 image" or "1,200 images"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def dotted(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the names and values of nested mappings; a name is that of each level: ``model.parameters``."""
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def number_table(
    columns: Sequence[str],
    rows: Iterable[Iterable[Any]],
    *,
    texts: Collection[int] = (0,),
    sums: Sequence[str] = (),
    least: Sequence[int] = (),
    **options: Any,
) -> Table:
    """Return a table of texts, and of numbers, which end below each other.

    Args:
        columns: their titles.
        rows: what is in them, each a text of its own kind or rich's.
        texts: which columns hold texts, counted from 0.
        sums: a last line with the columns' sums.
        least: characters of the first columns that are never folded, where more may be.
        options: of rich's ``Table``.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    look: dict[str, Any] = {"box": SIMPLE_HEAD, "title_justify": "left", "show_footer": bool(sums)}
    table = Table(**look | options)
    for place, (title, total) in enumerate(zip_longest(columns, sums, fillvalue="")):
        table.add_column(title, total, justify="left" if place in texts else "right")
    for column, width in zip(table.columns, least, strict=False):
        column.overflow, column.min_width = "fold", width
    for row in rows:
        table.add_row(*row)
    return table
