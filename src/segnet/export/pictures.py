"""The pictures that an exported file is proven on, and those that int8 is calibrated on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segnet.base.errors import SegnetError
from segnet.data.by_name import in_order_of
from segnet.data.dataset import Dataset, Sample
from segnet.data.identify import records_of
from segnet.data.images.pixel_values import Pixels
from segnet.data.store.batches import evenly_spread
from segnet.data.store.fit_to_size import window
from segnet.data.store.open_split import open_pixels
from segnet.data.synthetic import SyntheticSample
from segnet.inference.predict_files import find_images
from segnet.inference.segmenter import ImageSource, Segmenter
from segnet.scoring.data_to_score import choose_samples, open_data

_COMPARED, _CALIBRATED, _DRAWN = 256, 128, 64


@dataclass(frozen=True)
class Pictures:
    """Images at a model's size."""

    pixels: Pixels
    """``(N, h, w, C)``"""
    masks: Pixels | None
    """``(N, h, w)``; None where the truth isn't known."""
    what: str
    """Which ones these are, in words."""


def compared_pictures(
    source: str | Path,
    segmenter: Segmenter,
    named: str | None,
    data: Mapping[str, Any],
    *,
    instead: str | None = None,
) -> Pictures:
    """Return up to 256 pictures to compare on: photos by name, else what the model was validated on.

    Where the model's own data isn't here, and there are no other photos either, pictures are drawn: whatever
    an image shows, a file must say of it what its model says.

    Args:
        source: what ``segmenter`` was opened from.
        segmenter: the model.
        named: a folder or a pattern.
        data: fields of ``DataOptions``: where the model's own data is now.
        instead: photos for where that isn't here, a folder or a pattern.

    Raises:
        SegnetError: no such photos or data, or a photo that can't be read.
    """
    if named is not None:
        return _photos(named, segmenter, _COMPARED)
    try:
        dataset = open_data(source, segmenter, data, download=False)
    except SegnetError:
        if data:
            raise
        if instead is not None:
            return _photos(instead, segmenter, _COMPARED)
        pixels = np.stack([_drawn(segmenter, SyntheticSample(0, index)) for index in range(_DRAWN)])
        what = f"{_DRAWN} pictures drawn by segnet, since the model's own data isn't here"
        return Pictures(pixels, None, what)
    dataset = in_order_of(segmenter.classes, dataset)
    identity = segmenter.description.data
    own_val = identity is not None and identity.splits["val"].count
    samples, _, scored_on = choose_samples(segmenter, dataset, "val" if own_val else None)
    return _cached(samples, dataset, segmenter, _COMPARED, str(scored_on))


def calibration_pictures(
    source: str | Path, segmenter: Segmenter, named: str | None, data: Mapping[str, Any]
) -> Pictures:
    """Return up to 128 pictures that show which values to expect: by name, else what was trained on.

    Raises:
        SegnetError: no such photos, or none are named and the model's own data isn't here.
    """
    if named is not None:
        return _photos(named, segmenter, _CALIBRATED)
    try:
        dataset = open_data(source, segmenter, data, download=False)
    except SegnetError as error:
        raise SegnetError(
            f"int8 is calibrated on images: {error}; or name a folder of photos with --calibrate"
        ) from error
    identity, samples = segmenter.description.data, dataset.splits["train"]
    if identity is not None:  # as many as are here: this is no score
        records = records_of(samples)
        own = [each for each, record in zip(samples, records, strict=True) if identity.trained_on([record])]
        samples = own or samples
    return _cached(samples, dataset, segmenter, _CALIBRATED, f"training images of {dataset.name}")


def _photos(named: str, segmenter: Segmenter, most: int) -> Pictures:
    files = find_images([named])
    some = [files[row] for row in evenly_spread(len(files), most)]
    pixels = np.stack([_as_seen(segmenter, file) for file in some])
    return Pictures(pixels, None, f"{len(some)} images of {named}")


def _as_seen(segmenter: Segmenter, image: ImageSource) -> Pixels:
    """Return an image as the network gets it, ``(h, w, C)``; of one that takes patches the middle."""
    pixels, size = segmenter.prepare(image).pixels, segmenter.description.size
    top, left = (max(0, (whole - part) // 2) for whole, part in zip(pixels.shape, size, strict=False))
    return window(pixels[top : top + size[0]], 0, left, size)


def _drawn(segmenter: Segmenter, sample: SyntheticSample) -> Pixels:
    """Return a drawn picture as the network gets it; of other channels than RGB in turn in its three."""
    picture, fit = sample.read()[0], segmenter.description.fit
    if fit.intensity.is_plain:
        return _as_seen(segmenter, picture)
    pixels = fit.image(np.asarray(picture)[..., np.arange(fit.intensity.channels) % 3])
    return window(pixels, 0, 0, fit.size)


def _cached(
    samples: Sequence[Sample], dataset: Dataset, segmenter: Segmenter, most: int, what: str
) -> Pictures:
    some = [samples[row] for row in evenly_spread(len(samples), most)]
    fit = segmenter.description.fit
    shown = open_pixels(some, dataset.classes, fit, data=dataset.name).examples(most)
    part = "" if len(some) == len(samples) else f"{len(some)} of "
    of = "" if fit.patch_scale is None else "patches of "
    return Pictures(np.asarray(shown.images), np.asarray(shown.masks), f"{part}{of}{what}")
