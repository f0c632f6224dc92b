"""Samples kept at their own size, from which patches are cut: decoded once, then memory-mapped.

Beside the pixels lie places where each class is in each image, so that a patch can be cut around a rare one
without searching gigabytes for it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from segnet.base.classes import IGNORE_INDEX, ClassTable
from segnet.base.errors import SegnetError
from segnet.base.files import cache_folder
from segnet.base.threads import in_order
from segnet.data.dataset import Progress, Sample
from segnet.data.faults import Fault, raise_errors
from segnet.data.images.pixel_values import Pixels
from segnet.data.store.cache import Counts
from segnet.data.store.cache_folder import open_or_build, read_checked
from segnet.data.store.fit_to_size import Fit, window

PLACES = 1024
"""So many places of a class are kept of each image, evenly spread over its pixels of that class."""

_AHEAD = 4


class Patch(NamedTuple):
    """A part of an image: its number, and the patch's first row and column."""

    image: int
    top: int
    left: int


@dataclass(frozen=True)
class FullSizeSplit:
    """One split, each image at its own size: images ``(H, W, C)`` and masks ``(H, W)``, uint8, read-only."""

    images: Sequence[Pixels]
    masks: Sequence[Pixels]
    names: tuple[str, ...]
    counts: Counts
    """How often each value is in each mask, ``(N, 256)``."""
    places: npt.NDArray[np.int64]
    """Pixels by row * W + column, up to ``PLACES`` of each class, image after image and class after class."""
    patch: tuple[int, int]
    """``(h, w)`` of the patches that the network is meant for."""

    def __len__(self) -> int:
        return len(self.names)

    def value_counts(self) -> Iterator[Counts]:
        """Yield how often each value is in one mask, ``(256,)``, image by image."""
        yield from self.counts

    def places_of(self, image: int, class_id: int) -> npt.NDArray[np.int64]:
        """Return up to ``PLACES`` pixels ``(n, 2)``, row and column, of a class in an image."""
        first, end = self._spans[image * IGNORE_INDEX + class_id :][:2]
        found = self.places[first:end]
        return np.stack(np.divmod(found, self.masks[image].shape[1]), axis=1)

    @cached_property
    def _spans(self) -> npt.NDArray[np.int64]:
        """Where the places of each image and class begin: those of ignored pixels aren't kept."""
        return np.concatenate([[0], np.minimum(self.counts, PLACES)[:, :IGNORE_INDEX].cumsum()])

    def cut(self, patches: Sequence[Patch], size: tuple[int, int]) -> tuple[Pixels, Pixels]:
        """Cut patches of ``(h, w)``: images ``(n, h, w, C)`` and masks ``(n, h, w)``.

        Beyond an image's edge its pixels are mirrored, and ignored.
        """
        images = np.empty((len(patches), *size, self.images[0].shape[-1]), np.uint8)
        masks = np.empty((len(patches), *size), np.uint8)
        for row, (image, top, left) in enumerate(patches):
            images[row] = window(self.images[image], top, left, size)
            masks[row] = window(self.masks[image], top, left, size, beyond=IGNORE_INDEX)
        return images, masks


def open_full_size(
    samples: Sequence[Sample],
    classes: ClassTable,
    fit: Fit,
    *,
    data: str = "",
    folder: Path | None = None,
    progress: Progress | None = None,
) -> FullSizeSplit:
    """Open these samples at the scale that patches are cut at, decoding them first where that isn't done yet.

    Args:
        samples: what to read, at least one.
        classes: what the mask values may be; 255 is always allowed.
        fit: the scale, and the size of a patch.
        data: what the list of caches calls the samples' dataset.
        folder: where caches are; by default the user's cache folder.
        progress: shows how many samples are read.

    Raises:
        SegnetError: no sample, all that can't be read or hold a mask value that is no class, or a full disk.
    """
    scale = fit.patch_scale
    resize = fit.resize if scale != 1 else ""
    meaning = f"segnet full size 2 {scale} {resize}{fit.intensity.key} {classes.allowed}"
    build = partial(_build, samples, classes, fit, progress)
    of_scale = "" if scale == 1 else f" times {scale:g}"
    about = {"what": f"{len(samples):,} images at their own size{of_scale}", "data": data}
    return open_or_build(
        samples, meaning.encode(), about, folder, partial(_open, count=len(samples), fit=fit), build
    )


def _open(folder: Path, count: int, fit: Fit) -> FullSizeSplit | None:
    """Return what the folder holds, or None where there is none or a disk has damaged it."""
    if not folder.exists():
        return None
    try:
        index = json.loads((folder / "index.json").read_text())
        sizes = [(int(height), int(width)) for height, width in index["sizes"]]
        counts = np.load(folder / "counts.npy")
        places = np.load(folder / "places.npy", mmap_mode="r").view(np.ndarray)
        ends = np.cumsum([0, *(height * width for height, width in sizes)])
        channels = fit.intensity.channels
        images = np.memmap(folder / "images.raw", np.uint8, "r", shape=(ends[-1], channels)).view(np.ndarray)
        masks = np.memmap(folder / "masks.raw", np.uint8, "r", shape=(ends[-1],)).view(np.ndarray)
        if len(sizes) == len(index["names"]) == len(counts) == count:
            spans = [(slice(a, b), size) for a, b, size in zip(ends, ends[1:], sizes, strict=False)]
            return FullSizeSplit(
                tuple(images[span].reshape(*size, channels) for span, size in spans),
                tuple(masks[span].reshape(size) for span, size in spans),
                tuple(index["names"]),
                counts,
                places,
                fit.size,
            )
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    return None


class _Read(NamedTuple):
    image: Pixels
    mask: Pixels
    counts: Counts
    places: npt.NDArray[np.int64]


def _build(
    samples: Sequence[Sample],
    classes: ClassTable,
    fit: Fit,
    progress: Progress | None,
    making: AbstractContextManager[Path],
    pool: ThreadPoolExecutor,
) -> None:
    def read(sample: Sample) -> _Read | Fault:
        try:
            return _read(sample, classes, fit)
        except Fault as fault:
            return fault

    sizes, counts, places, faults = [], [], [], []
    try:
        with (
            making as partial,
            (partial / "images.raw").open("wb") as images,
            (partial / "masks.raw").open("wb") as masks,
            progress(len(samples)) if progress else nullcontext(lambda: None) as advance,
        ):
            # one after the other, since what they measure isn't known before
            for found in in_order(read, samples, most=_AHEAD, weigh=lambda _: 1, budget=_AHEAD):
                advance()
                if isinstance(found, Fault):
                    faults.append(found)
                if faults:
                    continue  # all that is wrong is said at once; nothing will be kept
                assert isinstance(found, _Read)
                images.write(found.image.data)
                masks.write(found.mask.data)
                sizes.append(found.mask.shape)
                counts.append(found.counts)
                places.append(found.places)
            raise_errors(faults, "the images and masks")
            np.save(partial / "counts.npy", np.stack(counts))
            np.save(partial / "places.npy", np.concatenate(places))
            index = {"sizes": sizes, "names": [sample.name for sample in samples]}
            (partial / "index.json").write_text(json.dumps(index))
    except OSError as error:
        raise SegnetError(
            f"the images don't fit at full size in {cache_folder()} ({error.strerror}); make room, "
            "set SEGNET_CACHE to another folder, or shrink them with --patch-scale"
        ) from error


def _read(sample: Sample, classes: ClassTable, fit: Fit) -> _Read:
    image, mask = read_checked(sample, classes, fit.intensity)
    pixels, mask = fit.image(image), fit.mask(mask, beyond=IGNORE_INDEX)
    flat = mask.ravel()
    counts = np.bincount(flat, minlength=256)
    places = [np.empty(0, np.int64)]
    for class_id in np.flatnonzero(counts[:IGNORE_INDEX]):
        found = np.flatnonzero(flat == class_id)
        kept = np.linspace(0, len(found) - 1, min(PLACES, len(found))).round().astype(np.int64)
        places.append(found[kept])
    return _Read(np.ascontiguousarray(pixels), np.ascontiguousarray(mask), counts, np.concatenate(places))
