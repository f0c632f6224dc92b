"""What is kept in the cache folder: which caches of pixels are in use, when others were last, how they go.

A process that has a cache open holds a lock file in it, and so does one that builds it; a lock of a process
that was killed holds nothing. So no cache is removed that anyone uses, and what a killed build has left is
known at once. A cache is built beside its place and is there only when whole: a kill half-way leaves nothing
that would be read, and of two processes that build the same cache the second to finish drops its copy.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from segnet.base.errors import SegnetError
from segnet.base.files import cache_folder

ABOUT = "about.json"
LIMIT = "SEGNET_CACHE_LIMIT"
_IN_USE = "in-use"
_PARTIAL = ".partial"
_OLD_AFTER_S = 24 * 3600
_UNITS = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


@dataclass(frozen=True)
class KeptCache:
    """A cache of pixels."""

    path: Path
    what: str
    """How many images of which size."""
    data: str
    """Of which dataset they are."""
    size: int
    """Bytes on the disk."""
    used: float
    """When it was last opened, in seconds since 1970."""

    @property
    def name(self) -> str:
        """The first letters of its folder's name."""
        return self.path.name[:12]


def pixel_folder() -> Path:
    """Return where caches of pixels are."""
    return cache_folder() / "pixels"


def kept_caches(folder: Path) -> list[KeptCache]:
    """Return the caches of pixels, the one that was used last first; what is being built isn't among them."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(OSError):  # gone meanwhile
            if re.fullmatch("[0-9a-f]{32}", path.name) and path.is_dir():
                about = _about(path)
                found.append(
                    KeptCache(path, about["what"], about["data"], size_of(path), path.stat().st_mtime)
                )
    return sorted(found, key=lambda cache: -cache.used)


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all in a folder."""
    if not path.is_dir():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


@contextmanager
def building(target: Path, about: Mapping[str, str]) -> Iterator[Path]:
    """Give a folder to fill, which becomes the cache ``target`` in the end; on an error it is gone.

    Args:
        target: its place.
        about: what it will hold, for people: "what", and of which "data".

    Raises:
        SegnetError: the folder above can't be written to.
        OSError: the disk is full.
    """
    folder = target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with guarded(folder):
            drop_left(folder)
            partial = Path(tempfile.mkdtemp(prefix=f"{target.name}.", suffix=_PARTIAL, dir=folder))
            partial.chmod(0o755)  # mkdtemp's own is for its user alone, but a cache may be shared
            let_go = hold_guarded(partial)
    except OSError as error:
        raise SegnetError(
            f"the cache can't be written to {folder} ({error.strerror}); "
            "set SEGNET_CACHE to a folder that can"
        ) from error
    try:
        yield partial
        (partial / ABOUT).write_text(json.dumps(dict(about)), encoding="utf-8")
        try:
            partial.rename(target)
        except OSError:
            if not target.exists():  # not a race that another process won
                raise
    finally:
        let_go()
        shutil.rmtree(partial, ignore_errors=True)


def require_space(folder: Path, needed: int) -> None:
    """Raise SegnetError where so many bytes won't fit into a cache that is being built."""
    free = shutil.disk_usage(folder).free
    if free < needed * 1.05:
        raise SegnetError(
            f"the cache needs {needed / 2**20:.0f} MiB in {folder.parent}, where {free / 2**20:.0f} MiB are "
            "free; make room, or set SEGNET_CACHE to another folder"
        )


def _about(folder: Path) -> dict[str, str]:
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        return {"what": str(about["what"]), "data": str(about["data"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"what": "", "data": "of an older segnet"}


def hold(folder: Path) -> Callable[[], None]:
    """Mark a cache as in use by this process until what this returns is called; it was used last now.

    Where it isn't there, or can't be written to, nothing is marked.
    """
    try:
        with guarded(folder.parent):
            return hold_guarded(folder)
    except OSError:
        return lambda: None


def hold_guarded(folder: Path) -> Callable[[], None]:
    """As ``hold``, by whoever holds the guard.

    Raises:
        OSError: it isn't there, or can't be written to.
    """
    (folder / _IN_USE).mkdir(exist_ok=True)
    place = folder / _IN_USE / f"{os.getpid()}-{secrets.token_hex(4)}"
    lock = FileLock(place, timeout=0, thread_local=False)
    lock.acquire()
    os.utime(folder)

    def release() -> None:
        lock.release()
        with suppress(OSError):
            place.unlink()

    return release


def is_used(folder: Path) -> bool:
    """Say whether a process, this one too, has the cache open; by whoever holds the guard."""
    try:
        places = [*(folder / _IN_USE).iterdir()]
    except FileNotFoundError:
        return False
    for place in places:
        lock = FileLock(place, timeout=0, thread_local=False)
        try:
            lock.acquire()
        except (Timeout, OSError):
            return True
        lock.release()
        with suppress(OSError):
            place.unlink()
    return False


@contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """Let no other process begin or end the use of a cache in this folder meanwhile: for moments.

    Raises:
        OSError: its lock can't be written.
    """
    lock = FileLock(folder.with_name(f".{folder.name}.lock"), timeout=30)
    with lock:
        yield


def remove(cache: Path) -> bool:
    """Remove a cache, unless it is in use; say whether it has gone.

    Raises:
        OSError: it can't be removed.
    """
    gone = cache.with_name(f"{cache.name}.{secrets.token_hex(4)}{_PARTIAL}")
    with guarded(cache.parent):
        if is_used(cache):
            return False
        (cache / _IN_USE).mkdir(exist_ok=True)  # a kill before all is gone then leaves what goes at once
        cache.rename(gone)
    shutil.rmtree(gone)
    return True


def drop_left(folder: Path) -> None:
    """Remove what killed builds have left; by whoever holds the guard. Older ones had no lock but a day."""
    for partial in folder.glob(f"*{_PARTIAL}"):
        with suppress(OSError):
            old = time.time() - partial.stat().st_mtime > _OLD_AFTER_S
            if old or ((partial / _IN_USE).is_dir() and not is_used(partial)):
                shutil.rmtree(partial, ignore_errors=True)


def parse_size(text: str) -> int:
    """Return the bytes of "500 MB", "20GB", "1.5 TiB" or a plain number.

    Raises:
        SegnetError: it is none of these.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(?:([KMGT]I?)?B?)", text.strip().upper())
    if match is None:
        raise SegnetError(
            f"{LIMIT}={text} is no size; give one such as 20GB, or take it out of the environment"
        )
    return round(float(match[1]) * _UNITS.get(match[2] or "", 1))


def limit() -> int | None:
    """Return the bytes that caches of pixels may take together, ``$SEGNET_CACHE_LIMIT``; None for any.

    Raises:
        SegnetError: it is no size.
    """
    said = os.environ.get(LIMIT, "").strip()
    return parse_size(said) if said else None


def make_room(folder: Path, newest: Path) -> None:
    """Remove what was used least recently until all together are within the limit; none that is in use.

    Args:
        folder: where caches are.
        newest: what was built right now, which stays.

    Raises:
        SegnetError: the limit is no size.
    """
    allowed = limit()
    if allowed is None:
        return
    caches = kept_caches(folder)
    total = sum(cache.size for cache in caches)
    for cache in reversed(caches):
        if total <= allowed:
            return
        with suppress(OSError):
            if cache.path != newest and remove(cache.path):
                total -= cache.size


def is_in_use(cache: Path) -> bool:
    """Say whether a process has the cache open; True where that can't be told."""
    try:
        with guarded(cache.parent):
            return is_used(cache)
    except OSError:
        return True
