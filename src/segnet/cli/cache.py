"""What is kept on the disk: ``cache list`` and ``cache clear``."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.box import HEAVY_HEAD

from segnet.base.errors import SegnetError, did_you_mean
from segnet.base.files import cache_folder
from segnet.base.readable import number_table, readable_size
from segnet.cli.app import App, Json, app, print_whole

cache = App(name="cache", help="List and remove what is kept on the disk: decoded pixels, downloads.")
app.command(cache)

# What else is in the folder; nothing but what is named here is ever removed.
_OTHERS = {
    "oxford-iiit-pet": "the download of Oxford-IIIT Pet",
    "hf": "Hugging Face datasets that were opened from files",
    "files.sqlite": "what was seen of each file of your data",
}


@cache.command(name="list")
def list_(*, json_: Json = False) -> None:
    """List what is kept: of which data, how large, when it was last used.

    Decoded pixels are made again when they are needed. $SEGNET_CACHE is the folder, $SEGNET_CACHE_LIMIT, such
    as 20GB, what all pixels together may take: beyond it those that were used least recently go when others
    are built, but none that is in use.

    Args:
        json_: print JSON in place of the table.
    """
    from segnet.data.store.cache_use import limit

    allowed, kept = limit(), [*_kept()]
    total = sum(each["bytes"] for each in kept)
    if json_:
        print(json.dumps({"folder": str(cache_folder()), "limit": allowed, "bytes": total, "kept": kept}))
        return
    if kept:
        rows = (
            (each["name"], each["what"], each["data"], readable_size(each["bytes"]), _when(each))
            for each in kept
        )
        columns = ("name", "what", "data", "size", "last used")
        print_whole(number_table(columns, rows, texts=(0, 1, 2, 4), box=HEAVY_HEAD))
    most = "no limit is set" if allowed is None else f"pixels may take {readable_size(allowed)}"
    print(f"{readable_size(total)} in {cache_folder()}; {most}")


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
    others = {path.name: size for path, _, size in _others()}
    caches = {each.path: each.size for each in kept_caches(pixel_folder())}
    chosen = caches if all_ else dict(_named(name, caches, others) for name in names)
    freed, used = 0, 0
    for path, size in chosen.items():
        if path.name in others:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        elif not remove(path):
            used += 1
            continue
        freed += size
    left = f"; {used} in use, which stay{'s' if used == 1 else ''}" if used else ""
    print(f"freed {readable_size(freed)}{left}")


def _named(name: str, caches: Mapping[Path, int], others: Mapping[str, int]) -> tuple[Path, int]:
    """Return where what is called so lies, and its size."""
    found = [item for item in caches.items() if item[0].name.startswith(name)]
    if name in others:
        return cache_folder() / name, others[name]
    if len(found) == 1 and name:
        return found[0]
    known = [*(path.name[:12] for path in caches), *others]
    what = f"fits {len(found)} caches" if len(found) > 1 else "is none of what is kept"
    raise SegnetError(f"{name!r} {what}{did_you_mean(name, known) if known else '; nothing is'}")


def _kept() -> Iterator[dict[str, Any]]:
    from segnet.data.store.cache_use import is_in_use, kept_caches, pixel_folder

    for each in kept_caches(pixel_folder()):
        about = {"name": each.name, "what": each.what, "data": each.data, "bytes": each.size}
        yield about | {"used": each.used, "in_use": is_in_use(each.path)}
    for path, what, size in _others():
        yield {"name": path.name, "what": what, "data": "", "bytes": size, "used": None, "in_use": False}


def _others() -> list[tuple[Path, str, int]]:
    from segnet.data.store.cache_use import size_of

    there = [(cache_folder() / name, what) for name, what in _OTHERS.items()]
    return [(path, what, size_of(path)) for path, what in there if path.exists()]


def _when(kept: Mapping[str, Any]) -> str:
    if kept["in_use"] or kept["used"] is None:
        return "in use" if kept["in_use"] else ""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(kept["used"]))
