"""Weights of the classes in a loss, counted on training masks."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt


def median_frequency_weights(counts: Iterable[npt.NDArray[np.int64]]) -> tuple[float, ...]:
    """Return the weight of each class that the SegNet paper trains with: median frequency / its frequency.

    A class's frequency is its pixels / all pixels of the images that contain it (arXiv 1511.00561). The
    median is over the classes that occur; one that never does gets weight 1, the median class's.

    Args:
        counts: for each image the counted pixels of every class ``(C,)``; ignored pixels are in no count.
    """
    own: npt.NDArray[np.int64] | int = 0
    around: npt.NDArray[np.int64] | int = 0
    for image in counts:
        own = own + image
        around = around + np.where(image > 0, image.sum(), 0)
    pixels, total = np.atleast_1d(own), np.atleast_1d(around)
    occurs = pixels > 0
    frequency = pixels[occurs] / total[occurs]
    weights = np.ones(len(pixels))
    weights[occurs] = (np.median(frequency) if frequency.size else 1.0) / frequency
    return tuple(weights.tolist())
