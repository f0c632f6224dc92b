"""Samples decoded and resized once, into memory-mapped uint8 arrays that every later epoch reads.

A cache folder is named by what is in it: the samples' content, the size and the resize method. It is
written under another name and renamed when whole, so a kill half-way leaves nothing that would be read,
and of two processes that build the same cache the second to finish drops its copy.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numpy.lib.format import open_memmap
from PIL import Image

from segnet.core.classes import ClassTable
from segnet.core.errors import SegnetError
from segnet.core.files import cache_folder
from segnet.data.dataset import Sample
from segnet.data.faults import Fault, raise_errors
from segnet.data.images import RESIZE, Resize

Pixels = npt.NDArray[np.uint8]

_VERSION = b"segnet cache 1"
_STALE_AFTER_S = 24 * 3600


@dataclass(frozen=True)
class CachedSplit:
    """One split at one size: images ``(N, H, W, 3)`` and masks ``(N, H, W)``, both uint8 and read-only."""

    images: Pixels
    masks: Pixels
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


Progress = Callable[[int], AbstractContextManager[Callable[[], object]]]
"""Called with a number of things; its context gives a function to call after each of them."""


def open_cached(
    samples: Sequence[Sample],
    classes: ClassTable,
    *,
    size: tuple[int, int],
    resize: Resize,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> CachedSplit:
    """Open the cache of these samples, building it first where there is none.

    Args:
        samples: what to read, at least one.
        classes: what the mask values may be; 255 is always allowed.
        size: ``(H, W)`` in pixels; aspect is not kept, as in the article.
        resize: the method for images.
        folder: where caches are; by default the user's cache folder.
        progress: called with the number of samples; the context it returns gives a function that is called
            after each one.

    Raises:
        SegnetError: no sample, or all that can't be read or hold a mask value that is no class, in one.
    """
    if not samples:
        raise SegnetError("the split is empty: there is no image in it")
    folder = folder or cache_folder() / "pixels"
    with ThreadPoolExecutor() as pool:
        key = _key(list(pool.map(_identity, samples)), size, resize)
        target = folder / key
        split = _open(target, len(samples))
        if split is None:
            _build(samples, classes, size, resize, target, progress, pool)
            split = _open(target, len(samples))
    if split is None:
        raise SegnetError(
            f"the cache {target} can't be read; remove it, or set SEGNET_CACHE to another folder"
        )
    return split


def _open(folder: Path, count: int) -> CachedSplit | None:
    """Return what the folder holds, or None where there is none or a disk has damaged it."""
    if not folder.exists():
        return None
    try:
        split = CachedSplit(
            np.load(folder / "images.npy", mmap_mode="r"),
            np.load(folder / "masks.npy", mmap_mode="r"),
            tuple(json.loads((folder / "names.json").read_text())),
        )
        if len(split.images) == len(split.masks) == len(split.names) == count:
            return split
    except (OSError, ValueError, EOFError):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    return None


def _identity(sample: Sample) -> bytes:
    return os.fsencode(sample.name) + b"\0" + sample.fingerprint()


def _key(identities: list[bytes], size: tuple[int, int], resize: str) -> str:
    digest = hashlib.sha256(b"%s %d %d %s" % (_VERSION, *size, resize.encode()))
    for identity in identities:
        digest.update(hashlib.sha256(identity).digest())
    return digest.hexdigest()[:32]


def _build(
    samples: Sequence[Sample],
    classes: ClassTable,
    size: tuple[int, int],
    resize: Resize,
    target: Path,
    progress: Progress | None,
    pool: ThreadPoolExecutor,
) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _drop_stale(target.parent)
        partial = Path(tempfile.mkdtemp(prefix=f"{target.name}.", suffix=".partial", dir=target.parent))
        partial.chmod(0o755)  # mkdtemp's own is for its user alone, but a cache may be shared
    except OSError as error:
        raise SegnetError(
            f"the cache can't be written to {target.parent} ({error.strerror}); "
            "set SEGNET_CACHE to a folder that can"
        ) from error
    try:
        count = len(samples)
        _require_space(partial, count * size[0] * size[1] * 4)
        images = open_memmap(partial / "images.npy", "w+", np.uint8, (count, *size, 3))
        masks = open_memmap(partial / "masks.npy", "w+", np.uint8, (count, *size))

        def fill(index: int) -> Fault | None:
            try:
                images[index], masks[index] = _read_resized(samples[index], classes, size, resize)
            except Fault as fault:
                return fault
            return None

        with progress(count) if progress else nullcontext(lambda: None) as advance:
            faults = []
            for fault in pool.map(fill, range(count)):
                faults += [fault] if fault else []
                advance()
        raise_errors(faults, "the images and masks")
        images.flush()
        masks.flush()
        (partial / "names.json").write_text(json.dumps([sample.name for sample in samples]))
        try:
            partial.rename(target)
        except OSError:
            if not target.exists():  # not a race that another process won
                raise
    except BaseException:
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _require_space(folder: Path, needed: int) -> None:
    """Raise SegnetError where the cache won't fit: a full disk under a memory map kills the process."""
    free = shutil.disk_usage(folder).free
    if free < needed * 1.05:
        raise SegnetError(
            f"the cache needs {needed / 2**20:.0f} MiB in {folder.parent}, where {free / 2**20:.0f} MiB are "
            "free; make room, or set SEGNET_CACHE to another folder"
        )


def _read_resized(
    sample: Sample, classes: ClassTable, size: tuple[int, int], resize: Resize
) -> tuple[Pixels, Pixels]:
    image, mask = sample.read()
    values = np.unique(mask)
    wrong = values[(values >= len(classes)) & (values != classes.ignore_index)]
    if wrong.size:
        raise Fault(
            "unknown-value",
            f"the mask of {sample.name}",
            f"holds the value {wrong[0]}, but there are {len(classes)} classes",
            f"give ids from 0 to {len(classes) - 1}, {classes.ignore_index} = ignore",
        )
    height, width = size
    small_image = image.resize((width, height), RESIZE[resize])
    small_mask = Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(small_image), np.asarray(small_mask)


def _drop_stale(folder: Path) -> None:
    """Remove what killed builds left; a running one is younger than a day."""
    for partial in folder.glob("*.partial"):
        try:
            if time.time() - partial.stat().st_mtime > _STALE_AFTER_S:
                shutil.rmtree(partial, ignore_errors=True)
        except FileNotFoundError:
            pass
