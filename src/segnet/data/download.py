"""Fetching archives: checked by sha256, resumed where the line broke, safe against a kill at any moment."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import time
import zlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import requests
from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from urllib3.exceptions import HTTPError

from segnet.base.errors import SegnetError


@dataclass(frozen=True)
class Archive:
    """A ``.tar.gz`` and the folder in it; every URL is tried once, and again after each pause (seconds)."""

    name: str
    folder: str
    sha256: str
    urls: tuple[str, ...]
    retry_pauses_s: tuple[float, ...] = (1.0, 5.0)


def install(archive: Archive, into: Path, advice: str, local: Path | None = None) -> Path:
    """Have an archive's folder at ``into / archive.folder``, from a ``local`` copy or else the network.

    It appears complete or not at all. Of several processes at once, one does the work and the others wait.

    Raises:
        SegnetError: ``local`` isn't the published file, the archive is damaged or unsafe, ``into`` can't be
            written, or no address gave the file; says why for each then, and ends in ``advice``.
    """
    target = into / archive.folder
    if target.is_dir():
        return target
    try:
        into.mkdir(parents=True, exist_ok=True)
        with _acquire(FileLock(into / f".{archive.name}.lock"), archive.name):
            if target.is_dir():
                return target
            if local and not _is_published(local, archive):
                raise SegnetError(
                    f"{local} is not the published {archive.name}, whose sha256 is {archive.sha256}; "
                    "download it again"
                )
            file = local or _download(archive, into / archive.name, advice)
            _unpack(file, target)
            if not local:
                file.unlink()
            return target
    except OSError as error:
        reason = error.strerror or error
        raise SegnetError(
            f"can't write to {into}: {reason}; make room there, or set SEGNET_CACHE to another folder"
        ) from error


def _acquire(lock: FileLock, name: str) -> AbstractContextManager[object]:
    """Acquire a lock, which the system frees even after a kill; tell the user where that means waiting."""
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        Console(stderr=True).print(f"{name}: waiting for the process that is getting it", highlight=False)
        return lock.acquire()


def _is_published(file: Path, archive: Archive) -> bool:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == archive.sha256


def _download(archive: Archive, file: Path, advice: str) -> Path:
    """Complete the file, of which an earlier try or process may have left a part or all."""
    if file.exists() and _is_published(file, archive):
        return file
    reasons = []
    for url in archive.urls:
        for pause_s in (0.0, *archive.retry_pauses_s):
            time.sleep(pause_s)
            held = file.stat().st_size if file.exists() else 0
            try:
                _resume(url, file, held)
                if _is_published(file, archive):
                    return file
                file.unlink()
                reason, is_lasting = "wrong checksum", not held  # what was held may be to blame
            except (requests.RequestException, HTTPError) as error:
                reason = _why(error)
                is_lasting = reason.startswith("HTTP 4")
            if is_lasting:
                break
        reasons.append(f"{url} ({reason})")
    raise SegnetError(f"could not download {archive.name} from {' or '.join(reasons)}; {advice}")


def _resume(url: str, file: Path, held: int) -> None:
    """Get what the file lacks after ``held`` bytes (pooch gets all again), and show how far it is."""
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={held}-"} if held else {})
    with requests.get(url, headers=headers, stream=True, timeout=(10, 60)) as response:
        if held and response.status_code == requests.codes.requested_range_not_satisfiable:
            return  # nothing is left to send; the checksum tells whether all is here
        if not response.ok:
            raise requests.HTTPError(f"HTTP {response.status_code}")
        sends_rest = response.status_code == requests.codes.partial_content
        done = held if sends_rest else 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        console = Console(stderr=True)
        columns = (TextColumn(file.name), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        bar = Progress(*columns, console=console, disable=not console.is_terminal)
        task = bar.add_task(file.name, completed=done, total=total)
        with file.open("ab" if sends_rest else "wb") as output, bar:
            # Undecoded: some servers declare a .gz file as a content encoding, and it would get unpacked.
            for chunk in response.raw.stream(1 << 16, decode_content=False):
                before, done = done, done + output.write(chunk)
                bar.update(task, completed=done)
                if total and bar.disable and (tenth := 10 * done // total) > 10 * before // total:
                    console.print(f"{file.name}: {tenth * 10} % of {total / 1e6:.1f} MB", highlight=False)


def _why(error: BaseException) -> str:
    """Return the plain reason, which requests and urllib3 wrap in several layers."""
    while error.__context__:
        error = error.__context__
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _unpack(file: Path, target: Path) -> None:
    """Unpack the archive's folder ``target.name``, which appears at ``target`` complete or not at all."""
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    try:
        with tarfile.open(file) as tar:
            tar.extractall(part, filter="data")  # pooch.Untar sets no filter on Python 3.11
        if not (part / target.name).is_dir():
            raise SegnetError(f"{file} holds no folder {target.name}/; is it the right archive?")
        (part / target.name).rename(target)
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise SegnetError(f"{file} can't be unpacked ({error}); download it again") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
