"""A cache's folder on disk: named by what is in it, built beside its place, and there only when whole.

A kill half-way leaves nothing that would be read, and of two processes that build the same cache the second
to finish drops its copy.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from segnet.base.classes import ClassTable
from segnet.base.errors import SegnetError
from segnet.base.threads import in_threads
from segnet.data.dataset import HasValues, Mask, Sample
from segnet.data.faults import Fault
from segnet.data.images.file_records import new_look, one_look
from segnet.data.images.intensity import Intensity
from segnet.data.images.pixel_values import Pixels
from segnet.data.store.cache_use import (
    drop_left,
    guarded,
    hold,
    hold_guarded,
    limit,
    make_room,
    pixel_folder,
    write_about,
)

Split = TypeVar("Split")


def open_or_build(
    samples: Sequence[Sample],
    meaning: bytes,
    about: Mapping[str, str],
    folder: Path | None,
    open_: Callable[[Path], Split | None],
    build: Callable[[AbstractContextManager[Path], ThreadPoolExecutor], object],
) -> Split:
    """Open the cache of these samples, building it first where there is none.

    Args:
        samples: what is cached.
        meaning: what is made of them, which their cache is named by too.
        about: what it holds, for people: "what", and of which "data".
        folder: where caches are; by default the user's cache folder.
        open_: returns what a cache's folder holds, or None where there is none that is whole.
        build: fills the folder that the context gives it, with threads to work in.

    Raises:
        SegnetError: no sample, files that change, or a disk that doesn't give back what it was given.
    """
    if not samples:
        raise SegnetError("the split is empty: there is no image in it")
    identities = _identities(samples)
    key = hashlib.sha256(meaning + b"".join(identities)).hexdigest()[:32]
    target = (folder or pixel_folder()) / key
    let_go = hold(target)
    split = open_(target)
    if split is None:
        let_go()
        limit()  # a wrong one is said before the work
        with ThreadPoolExecutor() as pool:
            build(_building(target, pool, about, lambda: _require_unchanged(samples, identities)), pool)
        let_go = hold(target)
        split = open_(target)
        make_room(target.parent, target)
    if split is None:
        let_go()
        raise SegnetError(
            f"the cache {target} can't be read; remove it, or set SEGNET_CACHE to another folder"
        )
    weakref.finalize(split, let_go)
    return split


@one_look()
def _identities(samples: Sequence[Sample]) -> list[bytes]:
    """Return a digest of each sample's name and content."""

    def identity(sample: Sample) -> bytes:
        return hashlib.sha256(os.fsencode(sample.name) + b"\0" + sample.fingerprint()).digest()

    return in_threads(identity, samples)


def _require_unchanged(samples: Sequence[Sample], before: list[bytes]) -> None:
    """Raise SegnetError where files have changed: their pixels would be kept under the old ones' name."""
    with new_look():
        now = _identities(samples)
    changed = [sample.name for sample, old, new in zip(samples, before, now, strict=True) if old != new]
    if changed:
        raise SegnetError(
            f"{changed[0]} ({len(changed)} images in all) changed while it was read; start again when "
            "nothing writes there any more"
        )


@contextmanager
def _building(
    target: Path, pool: ThreadPoolExecutor, about: Mapping[str, str], check: Callable[[], None]
) -> Iterator[Path]:
    """Give a folder to fill, which becomes ``target`` in the end; on an error it is gone and the pool stops.

    Args:
        target: its place.
        pool: what works on it.
        about: what it will hold, for people.
        check: is called when all is read, and raises where it must not be kept.

    Raises:
        SegnetError: the folder above can't be written to, or the disk is full.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with guarded(target.parent):
            drop_left(target.parent)
            partial = Path(tempfile.mkdtemp(prefix=f"{target.name}.", suffix=".partial", dir=target.parent))
            partial.chmod(0o755)  # mkdtemp's own is for its user alone, but a cache may be shared
            let_go = hold_guarded(partial)
    except OSError as error:
        raise SegnetError(
            f"the cache can't be written to {target.parent} ({error.strerror}); "
            "set SEGNET_CACHE to a folder that can"
        ) from error
    try:
        yield partial
        check()
        write_about(partial, about)
        try:
            partial.rename(target)
        except OSError:
            if not target.exists():  # not a race that another process won
                raise
    except BaseException:
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    finally:
        let_go()
        shutil.rmtree(partial, ignore_errors=True)


def require_space(folder: Path, needed: int) -> None:
    """Raise SegnetError where so many bytes won't fit: a full disk under a memory map kills the process."""
    free = shutil.disk_usage(folder).free
    if free < needed * 1.05:
        raise SegnetError(
            f"the cache needs {needed / 2**20:.0f} MiB in {folder.parent}, where {free / 2**20:.0f} MiB are "
            "free; make room, or set SEGNET_CACHE to another folder"
        )


def read_checked(
    sample: Sample, classes: ClassTable, intensity: Intensity
) -> tuple[Image.Image | Pixels, Mask]:
    """Read a sample in these channels and ranges, and check that its mask holds classes and 255 alone.

    Raises:
        SegnetError: as ``Sample.read``, or a value that is no class.
    """
    image, mask = _read(sample, intensity)
    values = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    count = len(classes.names)
    wrong = values[(values >= count) & (values != classes.ignore_index)]
    if wrong.size:
        raise Fault(
            "unknown-value",
            f"the mask of {sample.name}",
            f"holds the value {wrong[0]}, but there are {count} classes",
            f"give ids from 0 to {count - 1}, {classes.ignore_index} = ignore",
        )
    return image, mask


def _read(sample: Sample, intensity: Intensity) -> tuple[Image.Image | Pixels, Mask]:
    if isinstance(sample, HasValues):
        return sample.read_as(intensity)
    image, mask = sample.read()  # of a source that has nothing but RGB
    return intensity.open(image)[0], mask
