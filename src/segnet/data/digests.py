"""Digests of files, each computed once: an index remembers them as long as a file's dates and size stay.

As in git's index, a file counts as unchanged while its size, its dates of modification and of change of
status, and its inode are the same; one so fresh that a change could hide in the clock's tick is read again.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from segnet.core.errors import SegnetError
from segnet.core.files import cache_folder
from segnet.data.blobs import Blob, File

_SETTLED_S = 2.0


def file_digest(path: File) -> bytes:
    """Return the sha256 of a file's bytes, from the index where it is known.

    Raises:
        SegnetError: a file that can't be read.
    """
    if isinstance(path, Blob):
        return path.digest()
    try:
        seen = path.stat()
        index = _index(cache_folder())
        key = os.fsencode(path.resolve())
        stamp = f"{seen.st_size} {seen.st_mtime_ns} {seen.st_ctime_ns} {seen.st_ino}"
        known = index.get(key, stamp)
        if known is not None:
            return known
        digest = hashlib.sha256(path.read_bytes()).digest()
    except OSError as error:
        raise SegnetError(f"{path} can't be read: {error.strerror}") from error
    if time.time() - max(seen.st_mtime, seen.st_ctime) > _SETTLED_S:
        index.put(key, stamp, digest)
    return digest


class _Index:
    """A table in the cache folder; where that can't be read or written, there is just none."""

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._table: sqlite3.Connection | None = None
        with suppress(OSError, sqlite3.Error):
            folder.mkdir(parents=True, exist_ok=True)
            table = sqlite3.connect(
                folder / "digests.sqlite", timeout=5, check_same_thread=False, isolation_level=None
            )
            table.execute("PRAGMA synchronous=OFF")  # what a crash loses is computed again
            table.execute("CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, stamp TEXT, digest BLOB)")
            self._table = table

    def get(self, path: bytes, stamp: str) -> bytes | None:
        if self._table is None:
            return None
        with self._lock, suppress(sqlite3.Error):
            row = self._table.execute(
                "SELECT digest FROM files WHERE path = ? AND stamp = ?", (path, stamp)
            ).fetchone()
            return None if row is None else bytes(row[0])
        return None

    def put(self, path: bytes, stamp: str, digest: bytes) -> None:
        if self._table is not None:
            with self._lock, suppress(sqlite3.Error):
                self._table.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", (path, stamp, digest))


@cache
def _index(folder: Path) -> _Index:
    return _Index(folder)
