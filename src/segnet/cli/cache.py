"""What is kept on the disk: ``cache list`` and ``cache clear``."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter
from rich.console import Console

from segnet.base.errors import SegnetError, did_you_mean
from segnet.base.files import cache_folder
from segnet.cli.app import app, print_whole

cache = cyclopts.App(
    name="cache", help="List and remove what is kept on the disk: decoded pixels, downloads."
)
app.command(cache)

# What else is in the folder; nothing but what is named here is ever removed.
_OTHERS = {
    "oxford-iiit-pet": "the download of Oxford-IIIT Pet",
    "hf": "Hugging Face datasets that were opened from files",
    "files.sqlite": "what was seen of each file of your data",
}


@cache.command(name="list")
def list_(*, json_: Annotated[bool, Parameter(name="--json", negative=())] = False) -> None:
    """List what is kept: of which data, how large, when it was last used.

    Decoded pixels are made again when they are needed. $SEGNET_CACHE is the folder, $SEGNET_CACHE_LIMIT, such
    as 20GB, what all pixels together may take: beyond it those that were used least recently go when others
    are built, but none that is in use.

    Args:
        json_: print JSON in place of the table.
    """
    from rich.table import Table

    from segnet.data.store.cache_use import is_in_use, kept_caches, limit, pixel_folder

    folder, allowed = cache_folder(), limit()
    rows: list[dict[str, Any]] = [
        {
            "name": each.name,
            "what": each.what,
            "data": each.data,
            "bytes": each.size,
            "used": each.used,
            "in_use": is_in_use(each.path),
        }
        for each in kept_caches(pixel_folder())
    ]
    rows += [
        {"name": path.name, "what": what, "data": "", "bytes": size, "used": None, "in_use": False}
        for path, what, size in _others(folder)
    ]
    total = sum(row["bytes"] for row in rows)
    if json_:
        print(json.dumps({"folder": str(folder), "limit": allowed, "bytes": total, "kept": rows}))
        return
    console = Console(highlight=False, soft_wrap=True)
    if rows:
        table = Table("name", "what", "data")
        table.add_column("size", justify="right")
        table.add_column("last used")
        for row in rows:
            used = "in use" if row["in_use"] else _when(row["used"])
            table.add_row(*(str(row[name]) for name in ("name", "what", "data")), _size(row["bytes"]), used)
        print_whole(table)
    most = "no limit is set" if allowed is None else f"pixels may take {_size(allowed)}"
    console.print(f"{_size(total)} in {folder}; {most}", markup=False)


@cache.command
def clear(*names: str, all_: Annotated[bool, Parameter(name="--all", negative=())] = False) -> None:
    """Remove what is kept, but nothing that is in use.

    Args:
        names: as segnet cache list prints them, or their first letters.
        all_: all decoded pixels. Downloads stay; they go by name.
    """
    from segnet.data.store.cache_use import kept_caches, pixel_folder, remove

    if bool(names) == all_:
        raise SegnetError("segnet cache clear takes names, as segnet cache list prints them, or --all")
    kept = kept_caches(pixel_folder())
    caches = {each.path: each.size for each in kept}
    others = {path: size for path, _, size in _others(cache_folder())}
    chosen = [*caches] if all_ else []
    for name in names:
        found = [path for path in others if path.name == name]
        found = found or [path for path in caches if name and path.name.startswith(name)]
        if len(found) != 1:
            known = [*(each.name for each in kept), *(path.name for path in others)]
            what = f"fits {len(found)} caches" if len(found) > 1 else "is none of what is kept"
            raise SegnetError(f"{name!r} {what}{did_you_mean(name, known) if known else '; nothing is'}")
        chosen += found
    freed, used = 0, 0
    for path in dict.fromkeys(chosen):
        if path in caches and not remove(path):
            used += 1
            continue
        if path in others:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        freed += (caches | others)[path]
    left = f"; {used} in use, which stay{'s' if used == 1 else ''}" if used else ""
    Console(highlight=False, soft_wrap=True).print(f"freed {_size(freed)}{left}", markup=False)


def _others(folder: Path) -> list[tuple[Path, str, int]]:
    from segnet.data.store.cache_use import size_of

    return [
        (folder / name, what, size_of(folder / name))
        for name, what in _OTHERS.items()
        if (folder / name).exists()
    ]


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"


def _when(seconds: float | None) -> str:
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
