"""What files held when they were last read: remembered as long as their sizes, dates and inodes stay.

As in git's index, a file counts as unchanged while its size, its dates of modification and of change of
status, and its inode are the same. One so fresh that a change could hide in the clock's tick, or that changed
while it was read, isn't remembered. ``SEGNET_LOOK_AGAIN=1``, as ``segnet --look-again`` sets it, trusts
nothing that was remembered.

The table is one file in the cache folder. Inside ``one_look`` each file's dates are asked for once, each
folder's rows are read at once, and what is new is written many rows at a time.
"""

from __future__ import annotations

import gc
import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Literal

import PIL

from segnet.base.errors import SegnetError
from segnet.base.files import cache_folder
from segnet.data.images.embedded_files import Blob, File

What = Literal["digest", "header", "stored"]

TABLE = "files.sqlite"
_VERSION = f"3 {PIL.__version__}".encode()  # raise the number when other bytes are remembered of a file
_SETTLED_S = 2.0
_ROWS_AT_ONCE = 2000
_CREATE = (
    "CREATE TABLE IF NOT EXISTS files (folder BLOB, name BLOB, stamp BLOB, digest BLOB, header BLOB, "
    "stored BLOB, PRIMARY KEY (folder, name)) WITHOUT ROWID"
)

Stamp = bytes


class _Seen:
    """What is known of a file as it is now; columns are filled as they are asked for."""

    __slots__ = ("digest", "header", "settled", "stamp", "stored")

    def __init__(self, stamp: Stamp, *, settled: bool) -> None:
        self.stamp, self.settled = stamp, settled
        self.digest: bytes | None = None
        self.header: bytes | None = None
        self.stored: bytes | None = None


def recall(file: Path, what: What, read: Callable[[], Mapping[What, bytes]]) -> bytes:
    """Return what is remembered of a file, and where it isn't, what ``read`` returns.

    Args:
        file: where it is.
        what: which of the things that are remembered of a file.
        read: reads the file for it, and perhaps for others of these things on the way; all are remembered.
            What it raises isn't.

    Raises:
        OSError: there is no such file.
    """
    look = _looks[-1] if _looks else None
    seen = None if look is None else look.seen.get(os.fspath(file))
    if seen is None:
        seen = _look_at(file, look, time.time())
    known: bytes | None = getattr(seen, what)
    if known is not None:
        return known
    found = read()
    if _stamp(os.stat(file)) == seen.stamp:  # noqa: PTH116 - as fast as can be
        for column, content in found.items():
            setattr(seen, column, content)
        if seen.settled:
            _table(cache_folder()).keep(file, seen, at_once=look is None)
    elif look is not None:
        look.seen.pop(os.fspath(file), None)
    return found[what]


def file_digest(file: File) -> bytes:
    """Return the sha256 of a file's bytes.

    Raises:
        SegnetError: a file that can't be read.
    """
    if isinstance(file, Blob):
        return file.digest()
    try:
        return recall(file, "digest", lambda: {"digest": hashlib.sha256(file.read_bytes()).digest()})
    except OSError as error:
        raise SegnetError(f"{file} can't be read: {error.strerror}") from error


def fingerprint(files: tuple[File, ...], meaning: str) -> bytes:
    """Digest the files' contents and ``meaning``, a text that says how their values are read.

    Raises:
        SegnetError: a file that can't be read.
    """
    # A digest of digests: no byte can move from one file to the next unseen.
    return hashlib.sha256(b"".join((meaning.encode(), *map(file_digest, files)))).digest()


@contextmanager
def one_look() -> Iterator[None]:
    """Ask for each file's dates once in this block, or in that around it which began the look."""
    if _looks:
        yield
        return
    with new_look():
        yield


@contextmanager
def new_look() -> Iterator[None]:
    """Ask for each file's dates anew, once in this block; what was seen before it doesn't count."""
    look = _Look()
    _looks.append(look)
    try:
        yield
    finally:
        _looks.remove(look)
        _table(cache_folder()).flush()


def look_at_files(files: Iterable[Path]) -> None:
    """Ask for the dates of many files in one go, which threads would do slower; inside ``one_look``."""
    look, now = _looks[-1], time.time()
    for file in files:
        with suppress(OSError):  # what is wrong is said where it is read
            _look_at(file, look, now)


def is_seen(file: object, what: What) -> bool:
    """Say whether ``recall`` would return what is known of a file without asking the disk for anything."""
    return (
        bool(_looks)
        and isinstance(file, Path)
        and (seen := _looks[-1].seen.get(os.fspath(file))) is not None
        and getattr(seen, what) is not None
    )


@contextmanager
def many_objects() -> Iterator[None]:
    """Make hundreds of thousands of small objects, of which none is garbage, without a search for any.

    Python's collector would look through all of them again and again: a fifth of a start on 50,000 pairs.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.freeze()  # and back: counts them as old without looking through them
            gc.unfreeze()
            gc.enable()


class _Look:
    """What was seen since it began: files by path, and the rows of the table by folder and name."""

    def __init__(self) -> None:
        self.seen: dict[str, _Seen] = {}
        self.rows: dict[str, dict[str, tuple[bytes | None, ...]]] = {}
        self.trusts = _trusts()


_looks: list[_Look] = []  # the innermost comes last


def _look_at(file: Path, look: _Look | None, now: float) -> _Seen:
    path = os.fspath(file)
    found = os.stat(path)  # noqa: PTH116 - as fast as can be
    seen = _Seen(_stamp(found), settled=now - max(found.st_mtime, found.st_ctime) > _SETTLED_S)
    if look.trusts if look else _trusts():
        folder, _, name = path.rpartition(os.sep)
        if look is None:
            row = _table(cache_folder()).row(folder, name)
        else:
            rows = look.rows.get(folder)
            if rows is None:
                rows = look.rows[folder] = _table(cache_folder()).rows(folder)
            row = rows.get(name)
        if row is not None and row[0] == seen.stamp:
            _, seen.digest, seen.header, seen.stored = row
    if look is not None:
        look.seen[path] = seen
    return seen


def _trusts() -> bool:
    return not os.environ.get("SEGNET_LOOK_AGAIN")


def _stamp(found: os.stat_result) -> Stamp:
    dates = found.st_mtime_ns, found.st_ctime_ns
    return b"%s %d %d %d %d" % (_VERSION, found.st_size, *dates, found.st_ino)


class _Table:
    """Rows in the cache folder; where that can't be read or written, there are just none."""

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[tuple[bytes, bytes], _Seen] = {}
        self._table: sqlite3.Connection | None = None
        with suppress(OSError, sqlite3.Error):
            folder.mkdir(parents=True, exist_ok=True)
            table = sqlite3.connect(folder / TABLE, timeout=5, check_same_thread=False, isolation_level=None)
            table.execute("PRAGMA synchronous=OFF")  # what a crash loses is read again
            table.execute(_CREATE)
            self._table = table

    def rows(self, folder: str) -> dict[str, tuple[bytes | None, ...]]:
        """Return what is remembered of the files in a folder, by their names."""
        asked = "SELECT name, stamp, digest, header, stored FROM files WHERE folder = ?"
        return {os.fsdecode(row[0] or b""): row[1:] for row in self._ask(asked, _place(folder))}

    def row(self, folder: str, name: str) -> tuple[bytes | None, ...] | None:
        """Return what is remembered of one file."""
        asked = "SELECT stamp, digest, header, stored FROM files WHERE folder = ? AND name = ?"
        return next(iter(self._ask(asked, _place(folder), os.fsencode(name))), None)

    def _ask(self, question: str, *values: bytes) -> list[tuple[bytes | None, ...]]:
        if self._table is not None:
            with self._lock, suppress(sqlite3.Error):
                return self._table.execute(question, values).fetchall()
        return []

    def keep(self, file: Path, seen: _Seen, *, at_once: bool) -> None:
        """Remember a file, at once or with many others."""
        folder, _, name = os.fspath(file).rpartition(os.sep)
        with self._lock:
            self._waiting[_place(folder), os.fsencode(name)] = seen
            full = at_once or len(self._waiting) >= _ROWS_AT_ONCE
        if full:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        with self._lock, suppress(sqlite3.Error):
            rows = [
                (*place, seen.stamp, seen.digest, seen.header, seen.stored)
                for place, seen in self._waiting.items()
            ]
            self._waiting.clear()
            if self._table is not None and rows:
                self._table.execute("BEGIN IMMEDIATE")
                try:
                    self._table.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", rows)
                finally:
                    self._table.execute("COMMIT")


def _place(folder: str) -> bytes:
    """Return a folder as the table names it: whole, whatever the working directory; "/" is nothing at all."""
    return os.fsencode(os.path.abspath(folder).rstrip(os.sep))  # noqa: PTH100 - of text


@cache
def _table(folder: Path) -> _Table:
    return _Table(folder)
