"""All files of a folder and of the folders in it, each folder once, also where links lead to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path

from segnet.base.errors import SegnetError

Found = tuple[os.DirEntry[str], str]
"""A file as it was listed, and what stands before its name in its path below the folder, with /."""


def files_below(
    folder: str | Path, on_second_way: Callable[[str, str], object] = lambda link, known: None
) -> Iterator[Found]:
    """Yield the files of a folder, sorted folder by folder, without what is hidden.

    Links to folders are followed after everything else, so that a folder's own name comes first. No folder is
    walked twice, and none that the walk began in: links may go round in circles.

    Args:
        folder: where to begin.
        on_second_way: called with each folder that is left out, and with the name that it was walked under.

    Raises:
        SegnetError: a folder that can't be listed.
    """
    start = os.fspath(folder)
    around = Path(start).resolve().parents
    walked = {key: os.fspath(parent) for parent in around if (key := _identity(os.fspath(parent)))}
    links = [(start, "")]

    def walk(path: str, above: str) -> Iterator[Found]:
        key = _identity(path)
        if key in walked:
            on_second_way(path, walked[key])
            return
        if key is not None:
            walked[key] = path
        try:
            with os.scandir(path) as listed:
                entries = sorted(listed, key=attrgetter("name"))
        except OSError as error:
            raise SegnetError(
                f"{path} can't be listed: {error.strerror or error}; make it readable or take it away"
            ) from error
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from walk(entry.path, f"{above}{entry.name}/")
            elif _leads_to_folder(entry):
                links.append((entry.path, f"{above}{entry.name}/"))
            else:
                yield entry, above

    while links:
        links.sort(key=lambda link: link[1].count("/"))  # of several links, the nearest gives the name
        yield from walk(*links.pop(0))


def paths_below(folder: Path) -> list[Path]:
    """Return the files of a folder and of all folders in it as paths, sorted; as ``files_below``."""
    return sorted(Path(entry.path) for entry, _ in files_below(folder))


def _identity(path: str) -> tuple[int, int] | None:
    """Return what tells a folder from all others, whatever it is called; None where it can't be told."""
    try:
        found = os.stat(path)  # noqa: PTH116 - of very many folders, texts are quicker than paths
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found.st_ino else None


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink() and entry.is_dir()
    except OSError:  # a link to itself
        return False
