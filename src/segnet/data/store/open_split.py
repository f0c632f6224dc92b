"""Samples decoded once and kept on the disk, whole images and those that patches are cut from in one way.

A cache is a folder, named by what is in it: the samples' content, and how they are brought to their size. Its
pixels lie image after image in one file, its masks in another, so that images may have any sizes; an epoch
reads them through memory maps. Where patches are cut, places of each class in each image lie beside them: a
rare one is then found without searching gigabytes for it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from segnet.base.classes import IGNORE_INDEX, ClassTable
from segnet.base.errors import SegnetError
from segnet.base.files import cache_folder
from segnet.base.threads import in_order, in_threads
from segnet.data.dataset import HasValues, Mask, Progress, Sample, uncounted
from segnet.data.faults import Fault, raise_errors
from segnet.data.images.file_records import new_look, one_look
from segnet.data.images.intensity import Intensity
from segnet.data.images.pixel_values import Pixels
from segnet.data.store.batches import evenly_spread
from segnet.data.store.cache_use import building, hold, limit, make_room, pixel_folder, require_space
from segnet.data.store.fit_to_size import Fit
from segnet.data.store.split import PLACES, Counts, PatchSplit, Split

_AHEAD, _LARGE_AHEAD = 64, 4  # images that are read ahead at most: of one size, and at their own
_AHEAD_BYTES = 1 << 28


def open_pixels(
    samples: Sequence[Sample],
    classes: ClassTable,
    fit: Fit,
    *,
    data: str = "",
    progress: Progress = uncounted,
) -> Split:
    """Open samples as a network of this fit takes them, decoding them first where that isn't done yet.

    Args:
        samples: what to read, at least one.
        classes: what the mask values may be; 255 is always allowed.
        fit: how they are brought to their size.
        data: what the list of caches calls the samples' dataset.
        progress: shows how many samples are read.

    Raises:
        SegnetError: no sample, all that can't be read or hold a mask value that is no class, in one, files
            that change meanwhile, or a disk that is full or doesn't give back what it was given.
    """
    if not samples:
        raise SegnetError("the split is empty: there is no image in it")
    identities = _identities(samples)
    meaning, what = _in_words(fit, classes)
    key = hashlib.sha256(meaning.encode() + b"".join(identities)).hexdigest()[:32]
    target = pixel_folder() / key
    let_go = hold(target)
    split = _open(target, len(samples), fit)
    if split is None:
        let_go()
        limit()  # a wrong one is said before the work
        about = {"what": f"{len(samples):,} images {what}", "data": data}
        try:
            with building(target, about) as folder:
                _write(folder, samples, classes, fit, progress)
                _require_unchanged(samples, identities)
        except OSError as error:
            shrink = "" if fit.patch_scale is None else ", or shrink them with --patch-scale"
            raise SegnetError(
                f"{about['what']} don't fit in {cache_folder()} ({error.strerror}); make room, or set "
                f"SEGNET_CACHE to another folder{shrink}"
            ) from error
        let_go = hold(target)
        split = _open(target, len(samples), fit)
        make_room(target.parent, target)
    if split is None:
        let_go()
        raise SegnetError(
            f"the cache {target} can't be read; remove it, or set SEGNET_CACHE to another folder"
        )
    weakref.finalize(split, let_go)
    return split


def _in_words(fit: Fit, classes: ClassTable) -> tuple[str, str]:
    """Return what a cache's name depends on besides its samples, and how the list of caches describes it."""
    height, width = fit.size
    if fit.patch_scale is None:
        padded = " padded" if fit.keep_aspect else ""
        made = f"segnet cache 3 {height} {width} {fit.resize}{padded}"
        what = f"of {width}x{height} px"
    else:
        scaled = fit.patch_scale != 1
        made = f"segnet full size 2 {fit.patch_scale} {fit.resize if scaled else ''}"
        what = f"at their own size{f' times {fit.patch_scale:g}' if scaled else ''}"
    return f"{made}{fit.intensity.key} {classes.allowed}", what


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


# What a cache's folder holds


def _open(folder: Path, count: int, fit: Fit) -> Split | None:
    """Return what the folder holds, or None where there is none or a disk has damaged it."""
    if not folder.exists():
        return None
    try:
        index = json.loads((folder / "index.json").read_text())
        names, sizes = tuple(index["names"]), [(int(height), int(width)) for height, width in index["sizes"]]
        ends = np.cumsum([0, *map(math.prod, sizes)])
        images = _mapped(folder / "images.raw", (ends[-1], fit.intensity.channels))
        masks = _mapped(folder / "masks.raw", (ends[-1],))
        counts = np.load(folder / "counts.npy", mmap_mode="r").view(np.ndarray)
        if not len(names) == len(sizes) == len(counts) == count:
            raise ValueError("not all images are there")
        if fit.patch_scale is None:
            own_sizes = np.array(index["own_sizes"], np.int32) if fit.keep_aspect else None
            whole = (count, *fit.size)
            return Split(images.reshape(*whole, -1), masks.reshape(whole), names, counts, own_sizes)
        spans = [(slice(a, b), size) for a, b, size in zip(ends, ends[1:], sizes, strict=False)]
        return PatchSplit(
            tuple(images[span].reshape(*size, -1) for span, size in spans),
            tuple(masks[span].reshape(size) for span, size in spans),
            names,
            counts,
            places=np.load(folder / "places.npy", mmap_mode="r").view(np.ndarray),
            patch=fit.size,
        )
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _mapped(file: Path, shape: tuple[int, ...]) -> Pixels:
    return np.memmap(file, np.uint8, "r", shape=shape).view(np.ndarray)


class _Decoded(NamedTuple):
    image: Pixels
    mask: Pixels
    own_size: tuple[int, int]
    counts: Counts
    places: npt.NDArray[np.int64]


def _write(
    folder: Path, samples: Sequence[Sample], classes: ClassTable, fit: Fit, progress: Progress
) -> None:
    """Fill a cache's folder, one image after the other, since what they measure isn't known before."""
    is_whole, each = fit.patch_scale is None, math.prod(fit.size) * (fit.intensity.channels + 1)
    if is_whole:
        require_space(folder, len(samples) * each)

    def decode(sample: Sample) -> _Decoded | Fault:
        try:
            return _decode(sample, classes, fit)
        except Fault as fault:
            return fault

    found, faults = list[tuple[Any, ...]](), list[Fault]()
    with (
        (folder / "images.raw").open("wb") as images,
        (folder / "masks.raw").open("wb") as masks,
        progress(len(samples)) as advance,
    ):
        most = _AHEAD if is_whole else _LARGE_AHEAD
        for one in in_order(decode, samples, most=most, weigh=lambda _: each, budget=_AHEAD_BYTES):
            advance()
            if isinstance(one, Fault):
                faults.append(one)
            elif not faults:  # else all that is wrong is said at once; nothing will be kept
                images.write(one.image.data)
                masks.write(one.mask.data)
                found.append((one.mask.shape, one.own_size, one.counts, one.places))
    raise_errors(faults, "the images and masks")
    sizes, own_sizes, counts, places = zip(*found, strict=True)
    np.save(folder / "counts.npy", np.stack(counts))
    index: dict[str, Any] = {"sizes": sizes, "names": [sample.name for sample in samples]}
    if not is_whole:
        np.save(folder / "places.npy", np.concatenate(places))
    elif fit.keep_aspect:
        index["own_sizes"] = own_sizes
    (folder / "index.json").write_text(json.dumps(index))


def _decode(sample: Sample, classes: ClassTable, fit: Fit) -> _Decoded:
    image, mask = read_checked(sample, classes, fit.intensity)
    own_size = fit.inner_size(mask.shape)
    pixels, mask = fit.image(image), fit.mask(mask, beyond=IGNORE_INDEX)
    counts, places = np.bincount(mask.ravel(), minlength=256), [np.empty(0, np.int64)]
    if fit.patch_scale is not None:
        for class_id in np.flatnonzero(counts[:IGNORE_INDEX]):
            there = np.flatnonzero(mask.ravel() == class_id)
            places.append(there[evenly_spread(len(there), PLACES)])
    return _Decoded(
        np.ascontiguousarray(pixels), np.ascontiguousarray(mask), own_size, counts, np.concatenate(places)
    )


def read_checked(
    sample: Sample, classes: ClassTable, intensity: Intensity
) -> tuple[Image.Image | Pixels, Mask]:
    """Read a sample in these channels and ranges, and check that its mask holds classes and 255 alone.

    Raises:
        SegnetError: as ``Sample.read``, or a value that is no class.
    """
    if isinstance(sample, HasValues):
        image, mask = sample.read_as(intensity)
    else:  # of a source that has nothing but RGB
        rgb, mask = sample.read()
        image, _ = intensity.open(rgb)
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
