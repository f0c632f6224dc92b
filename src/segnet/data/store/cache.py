"""Samples decoded and resized once, into memory-mapped uint8 arrays that every later epoch reads.

A cache folder is named by what is in it: the samples' content, and how they are brought to their size.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numpy.lib.format import open_memmap

from segnet.base.classes import IGNORE_INDEX, ClassTable
from segnet.data.dataset import Progress, Sample
from segnet.data.faults import Fault, raise_errors
from segnet.data.images.pixel_values import Pixels
from segnet.data.store.cache_folder import open_or_build, read_checked, require_space
from segnet.data.store.fit_to_size import Fit

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CachedSplit:
    """One split at one size: images ``(N, H, W, C)`` and masks ``(N, H, W)``, both uint8 and read-only."""

    images: Pixels
    masks: Pixels
    names: tuple[str, ...]
    counts: Counts | None = None
    """Pixels of each class id in each mask ``(N, classes + 1)``, ignored ones last; None where not kept."""
    own_sizes: npt.NDArray[np.int32] | None = None
    """Height and width ``(N, 2)`` of each picture's own part, where the rest of the size was added below or
    right of it; None where every picture fills the size."""

    def __len__(self) -> int:
        return len(self.names)

    def take(self, numbers: Sequence[int]) -> tuple[Pixels, Pixels]:
        """Return some images ``(n, H, W, C)`` and their masks ``(n, H, W)``, as a batch."""
        rows = np.asarray(numbers)
        return self.images[rows], self.masks[rows]

    def value_counts(self) -> Iterator[Counts]:
        """Yield how often each value is in one mask, ``(256,)``, image by image."""
        if self.counts is None:
            for mask in self.masks:
                yield np.bincount(mask.ravel(), minlength=256)
            return
        for row in self.counts:
            values = np.zeros(256, np.int64)
            values[: len(row) - 1], values[IGNORE_INDEX] = row[:-1], row[-1]
            yield values


def open_cached(
    samples: Sequence[Sample],
    classes: ClassTable,
    fit: Fit,
    *,
    data: str = "",
    folder: Path | None = None,
    progress: Progress | None = None,
) -> CachedSplit:
    """Open the cache of these samples, building it first where there is none.

    Args:
        samples: what to read, at least one.
        classes: what the mask values may be; 255 is always allowed.
        fit: how they are brought to its size.
        data: what the list of caches calls the samples' dataset.
        folder: where caches are; by default the user's cache folder.
        progress: called with the number of samples; the context it returns gives a function that is called
            after each one.

    Raises:
        SegnetError: no sample, or all that can't be read or hold a mask value that is no class, in one.
    """
    build = partial(_build, samples, classes, fit, progress)
    about = {"what": f"{len(samples):,} images of {fit.size[1]}x{fit.size[0]} px", "data": data}
    return open_or_build(
        samples, _meaning(fit, classes), about, folder, partial(_open, count=len(samples)), build
    )


def _open(folder: Path, count: int) -> CachedSplit | None:
    """Return what the folder holds, or None where there is none or a disk has damaged it."""
    if not folder.exists():
        return None
    try:
        split = CachedSplit(
            np.load(folder / "images.npy", mmap_mode="r"),
            np.load(folder / "masks.npy", mmap_mode="r"),
            tuple(json.loads((folder / "names.json").read_text())),
            np.load(counts) if (counts := folder / "counts.npy").exists() else None,  # older caches have none
            np.load(sizes) if (sizes := folder / "own_sizes.npy").exists() else None,
        )
        if split.counts is not None and len(split.counts) != count:
            raise ValueError(counts)
        if len(split.images) == len(split.masks) == len(split.names) == count:
            return split
    except (OSError, ValueError, EOFError):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    return None


def _meaning(fit: Fit, classes: ClassTable) -> bytes:
    padded = " padded" if fit.keep_aspect else ""
    size = f"{fit.size[0]} {fit.size[1]} {fit.resize}{padded}{fit.intensity.key}"
    return f"segnet cache 2 {size} {classes.allowed}".encode()


def _build(
    samples: Sequence[Sample],
    classes: ClassTable,
    fit: Fit,
    progress: Progress | None,
    making: AbstractContextManager[Path],
    pool: ThreadPoolExecutor,
) -> None:
    count, size, channels = len(samples), fit.size, fit.intensity.channels
    with making as partial:
        require_space(partial, count * size[0] * size[1] * (channels + 1))
        images = open_memmap(partial / "images.npy", "w+", np.uint8, (count, *size, channels))
        masks = open_memmap(partial / "masks.npy", "w+", np.uint8, (count, *size))
        counts = np.zeros((count, len(classes) + 1), np.int32)
        own_sizes = np.zeros((count, 2), np.int32)

        def fill(index: int) -> Fault | None:
            try:
                image, mask = read_checked(samples[index], classes, fit.intensity)
                images[index], masks[index] = fit.image(image), fit.mask(mask, beyond=IGNORE_INDEX)
                own_sizes[index] = fit.inner_size(mask.shape)
            except Fault as fault:
                return fault
            values = np.bincount(masks[index].ravel(), minlength=256)
            counts[index] = [*values[: len(classes)], values[IGNORE_INDEX]]
            return None

        with progress(count) if progress else nullcontext(lambda: None) as advance:
            faults = []
            for fault in pool.map(fill, range(count)):
                faults += [fault] if fault else []
                advance()
        raise_errors(faults, "the images and masks")
        images.flush()
        masks.flush()
        np.save(partial / "counts.npy", counts)
        if fit.keep_aspect:
            np.save(partial / "own_sizes.npy", own_sizes)
        (partial / "names.json").write_text(json.dumps([sample.name for sample in samples]))
