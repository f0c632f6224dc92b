"""Files that are whole or not there, since they are renamed into their place; the home and cache folders."""

from __future__ import annotations

import csv
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs

from segnet.base.errors import SegnetError


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a temporary path beside ``target`` to write to; rename it to ``target`` if all went well.

    Folders that are missing are made. The file gets the permissions that the user's umask gives any new one.

    Raises:
        SegnetError: the folder can't be written to, or the disk is full.
    """
    # The suffix stays, since libraries choose a format by it; a long name is cut, since a name has a limit.
    temporary = target.with_name(f".{target.stem[:40]}.{secrets.token_hex(4)}{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
        yield temporary
        temporary.replace(target)
    except OSError as error:
        in_the_way = isinstance(error, FileExistsError | NotADirectoryError)
        reason = "a file stands where its folder should be" if in_the_way else error.strerror or error
        raise SegnetError(f"can't write {target}: {reason}; choose another place or make room") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Give a folder beside ``target`` to fill; rename it to ``target`` if all went well, or remove it.

    Raises:
        SegnetError: there is something at ``target`` already, or it can't be written to.
    """
    require_new(target)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        partial.mkdir(parents=True)
        yield partial
        if target.is_dir():
            target.rmdir()
        partial.rename(target)
    except OSError as error:
        raise SegnetError(f"can't write {target}: {error.strerror or error}; choose another place") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def require_new(target: Path) -> None:
    """Check that a folder is empty or not there yet.

    Raises:
        SegnetError: there is something.
    """
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise SegnetError(f"{target} is there already; name a new folder")


def drop_temporaries(folder: Path) -> None:
    """Remove what a process that was killed while it wrote left anywhere below the folder."""
    for path in folder.rglob(".*"):
        if re.fullmatch(r"\..+\.[0-9a-f]{8}(\.\w+)?", path.name):
            path.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write a whole text file or none; see ``replacing``. Names of files that are no text are escaped."""
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_csv(target: Path, rows: Iterable[Sequence[object]], comment: str = "") -> None:
    """Write a whole CSV file or none, its first row the names of its columns, below a line of comment."""
    with (
        replacing(target) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        file.write(f"{comment}\n" if comment else "")
        csv.writer(file, lineterminator="\n").writerows(rows)


def expand_home(path: str | Path) -> Path:
    """Return the path with ``~`` and ``~name`` replaced; a name that no user has stays as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def require_text_name(path: Path, library: str) -> None:
    """Check that a library which takes names as UTF-8 can open a file.

    Raises:
        SegnetError: a name that holds other bytes.
    """
    if "\\udc" in ascii(str(path)):
        raise SegnetError(f"{library} can't open {path}, since its name is no text; rename the folder")


def cache_folder() -> Path:
    """Return where downloads and decoded pixels are kept: ``$SEGNET_CACHE``, or the platform's own place."""
    chosen = os.environ.get("SEGNET_CACHE")
    return expand_home(chosen) if chosen else platformdirs.user_cache_path("segnet")
