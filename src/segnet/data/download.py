"""Fetching archives: checked by sha256, resumed where the line broke, safe against a kill at any moment."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import platformdirs
import pooch
import requests
from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from urllib3.exceptions import HTTPError

from segnet.core.errors import SegnetError

_TIMEOUT_S = (10, 60)  # to connect, and between two pieces of data
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Archive:
    """A ``.tar.gz`` file, and the folder that it holds.

    ``urls`` are tried in order, each once more after every pause of ``retry_pauses_s`` (seconds).
    """

    name: str
    folder: str
    sha256: str
    urls: tuple[str, ...]
    retry_pauses_s: tuple[float, ...] = (1.0, 5.0)


def cache_folder() -> Path:
    """Return where downloads are kept: ``$SEGNET_CACHE``, or else the platform's folder for caches."""
    chosen = os.environ.get("SEGNET_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("segnet")


def install(archive: Archive, into: Path, advice: str, local: Path | None = None) -> Path:
    """Have an archive's folder at ``into / archive.folder``, complete, and return it.

    A folder that is there already is taken as it is, since folders appear complete or not at all. Of several
    processes at once, one does the work and the others wait for it.

    Args:
        archive: what to get, and from where.
        into: where the folder goes; made if need be.
        advice: what the user can do when every address fails; ends the error message.
        local: a copy of the archive, used instead of downloading it.

    Raises:
        SegnetError: the download failed, ``local`` isn't the published file, or ``into`` can't be written.
    """
    target = into / archive.folder
    if target.is_dir():
        return target
    try:
        into.mkdir(parents=True, exist_ok=True)
        lock = FileLock(into / f".{archive.name}.lock")  # the system frees it, even after a kill
        with _waiting(lock, archive.name):
            if target.is_dir():
                return target
            if local:
                require_checksum(local, archive)
                return unpack(local, archive.folder, into)
            file = fetch(archive, into, advice)
            unpack(file, archive.folder, into)
            file.unlink()
            return target
    except OSError as error:
        raise SegnetError(
            f"can't write to {into}: {error.strerror or error}; make room there, or set SEGNET_CACHE to "
            "another folder"
        ) from error


def fetch(archive: Archive, folder: Path, advice: str) -> Path:
    """Download an archive into ``folder`` and return the file, complete and with the right checksum.

    What an interrupted download has left is resumed, also by a later process. Only one process at a time may
    do this.

    Raises:
        SegnetError: no address gave the file; says why for each, and ends in ``advice``.
        OSError: ``folder`` can't be written.
    """
    pooch.get_logger().setLevel("WARNING")  # it would announce every try; our bar and errors say it
    part = folder / f"{archive.name}.part"
    download = partial(_resume, part=part)
    reasons = []
    for url in archive.urls:
        for pause_s in (*archive.retry_pauses_s, None):
            try:
                return Path(pooch.retrieve(url, archive.sha256, archive.name, folder, downloader=download))
            except (requests.RequestException, HTTPError, ValueError) as error:
                reason = _why(error)
                if _is_lasting(error) or pause_s is None:
                    break
                time.sleep(pause_s)
        reasons.append(f"{url} ({reason})")
    if part.exists() and part.stat().st_size == 0:
        part.unlink()
    raise SegnetError(f"could not download {archive.name} from {' or '.join(reasons)}; {advice}")


def require_checksum(file: Path, archive: Archive) -> None:
    """Check a local copy of an archive.

    Raises:
        SegnetError: it isn't the file that was published.
    """
    if pooch.file_hash(str(file), alg="sha256") != archive.sha256:
        raise SegnetError(
            f"{file} is not the published {archive.name}, whose sha256 is {archive.sha256}; download it again"
        )


def unpack(file: Path, folder: str, into: Path) -> Path:
    """Unpack the archive's ``folder`` to ``into / folder``: it appears there complete or not at all.

    Members that would land outside, links out of the folder and devices are refused (`tarfile.data_filter`).

    Raises:
        SegnetError: a damaged or unsafe archive, or one without that folder.
        OSError: ``into`` can't be written.
    """
    partial_folder = into / f".{folder}.part"
    shutil.rmtree(partial_folder, ignore_errors=True)  # of a process that was killed
    try:
        with tarfile.open(file) as tar:
            tar.extractall(partial_folder, filter="data")
        if not (partial_folder / folder).is_dir():
            raise SegnetError(f"{file} holds no folder {folder}/; is it the right archive?")
        return (partial_folder / folder).rename(into / folder)
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise SegnetError(f"{file} can't be unpacked ({error}); download it again") from error
    finally:
        shutil.rmtree(partial_folder, ignore_errors=True)


@contextmanager
def _waiting(lock: FileLock, name: str) -> Iterator[None]:
    """Hold the lock; tell the user first where another process has it."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        Console(stderr=True).print(f"{name}: waiting for the process that is getting it", highlight=False)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _resume(url: str, output_file: str, _: object, part: Path) -> None:
    """Download as pooch's own downloader does, but go on from what an earlier try left in ``part``."""
    part.touch()
    with part.open("r+b") as file:
        offset = file.seek(0, os.SEEK_END)
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as response:
            # 416: nothing is left to send; the checksum decides whether that is because all is here.
            if not (offset and response.status_code == requests.codes.requested_range_not_satisfiable):
                response.raise_for_status()
                _receive(response, file, offset, part.stem)
    part.replace(output_file)


def _receive(response: requests.Response, file: BinaryIO, offset: int, name: str) -> None:
    """Write an answer to its place in the file, which holds the first ``offset`` bytes already."""
    start = _first_byte(response)
    if start not in (0, offset):
        file.truncate(0)
        raise requests.RequestException(f"sent from byte {start} where {offset} was asked for")
    length = response.headers.get("Content-Length")
    end = start + int(length) if length else None
    file.seek(start)
    with _progress(name, start, end) as advance:
        # Undecoded: some servers declare a .gz file as a content encoding, and it would get unpacked.
        for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=False):
            file.write(chunk)
            advance(len(chunk))
    file.truncate()  # what an earlier try left may have been longer


def _first_byte(response: requests.Response) -> int:
    """Return where in the file an answer begins: a server that knows no ranges sends it from the start."""
    if response.status_code != requests.codes.partial_content:
        return 0
    sent = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(sent[1]) if sent else -1


def _is_lasting(error: Exception) -> bool:
    """Tell whether asking the same address again is pointless: it refuses, or sends something else."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return 400 <= error.response.status_code < 500
    return isinstance(error, ValueError)


def _why(error: BaseException) -> str:
    """Say in a few words what went wrong."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code}"
    if isinstance(error, ValueError) and not isinstance(error, requests.RequestException):
        return "wrong checksum"  # pooch's only ValueError
    while error.__context__:  # requests and urllib3 wrap the plain reason in several layers
        error = error.__context__
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


@contextmanager
def _progress(name: str, start: int, end: int | None) -> Iterator[Callable[[int], None]]:
    """Show a download on standard error: a bar on a terminal, a line for every tenth elsewhere."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(name, completed=start, total=end)
            yield lambda count: bar.advance(task, count)
        return
    done, tenths = start, 10 * start // (end or 1)

    def advance(count: int) -> None:
        nonlocal done, tenths
        done += count
        if end and 10 * done // end > tenths:
            tenths = 10 * done // end
            console.print(f"{name}: {tenths * 10} % of {end / 1e6:.1f} MB", highlight=False)

    yield advance
