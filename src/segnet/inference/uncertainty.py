"""Uncertainty of a prediction by samples: what the samples said, and a picture of where they differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from segnet.base.errors import SegnetError

_BRIGHTEST = 0.5  # the standard deviation of a value that is 0 half the time and 1 the other half
_BLOCK_VALUES = 1 << 22


@dataclass(frozen=True, eq=False)
class SoftmaxSamples:
    """What ``count`` passes with dropout said about one image, at the size the model works at."""

    count: int

    mean: npt.NDArray[np.float32]
    """Softmax ``(C, h, w)`` float32, the mean over the samples; sums to 1 over the classes."""

    variance: npt.NDArray[np.float32]
    """``(h, w)`` float32: the variance of the softmax over the samples (their sum of squared differences
    from the mean / count), averaged over the classes as the paper's figures show it. From 0 to 0.25, which
    two classes reach; C classes stay below 1 / C."""


def require_sample_numbers(samples: int, seed: int) -> None:
    """Check a number of samples, 0 for none, and their seed.

    Raises:
        SegnetError: one that is no whole number, below 0 or too large.
    """
    for what, value, highest in (("samples", samples, 1_000_000), ("seed", seed, 2**31 - 1)):
        if not isinstance(value, int) or not 0 <= value <= highest:
            raise SegnetError(f"--{what} must be a whole number from 0 to {highest}, got {value}")


def paint_uncertainty(uncertainty: npt.NDArray[np.float32]) -> Image.Image:
    """Return a picture of a variance map ``(H, W)``: black where it is 0, matplotlib's magma up to 0.25.

    Brightness follows the standard deviation: value v of the palette image stands for v / 255 · 0.5. The
    range is fixed, so that pictures compare.
    """
    from matplotlib import colormaps  # takes a while to load, and most predictions need no picture

    rows = max(1, _BLOCK_VALUES // uncertainty.shape[1])
    values = np.empty(uncertainty.shape, np.uint8)
    for first in range(0, len(values), rows):
        block = slice(first, first + rows)
        values[block] = (np.sqrt(uncertainty[block]) * (255 / _BRIGHTEST)).round().clip(0, 255)
    picture = Image.fromarray(values)
    colours = colormaps["magma"](np.arange(256), bytes=True)[:, :3]
    picture.putpalette(colours.tobytes())  # makes it mode P
    return picture
