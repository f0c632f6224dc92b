"""Prediction by samples: the mean softmax of passes with dropout, and its variance as uncertainty.

Bayesian SegNet (Kendall et al., arXiv 1511.02680): the mean predicts better than one pass without dropout
from about 6 samples on, and the variance is high where the model doesn't know.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from segnet.core.dropout import require_dropout, sampling_dropout
from segnet.core.errors import SegnetError
from segnet.core.randomness import seeded

_BRIGHTEST = 0.5  # the standard deviation of a value that is 0 half the time and 1 the other half
_BLOCK_VALUES = 1 << 22


@dataclass(frozen=True, eq=False)
class SoftmaxSamples:
    """What ``count`` passes with dropout said about one image, at the size the model works at."""

    count: int

    mean: Tensor
    """Softmax ``(C, h, w)`` float32, the mean over the samples; sums to 1 over the classes."""

    variance: Tensor
    """``(h, w)`` float32: the variance of the softmax over the samples (their sum of squared differences
    from the mean / count), averaged over the classes as the paper's figures show it. From 0 to 0.25, which
    two classes reach; C classes stay below 1 / C."""


def require_sampling(model: nn.Module, samples: int, seed: int) -> None:
    """Check, before any image is read, that a model can be sampled like this; 0 samples always can.

    Raises:
        SegnetError: a number of samples or a seed below 0, or samples of a model without dropout.
    """
    for what, value, highest in (("samples", samples, 1_000_000), ("seed", seed, 2**31 - 1)):
        if not isinstance(value, int) or not 0 <= value <= highest:
            raise SegnetError(f"--{what} must be a whole number from 0 to {highest}, got {value}")
    if samples:
        require_dropout(model)


def sample_softmax(model: nn.Module, image: Tensor, samples: int, seed: int) -> SoftmaxSamples:
    """Run a model ``samples`` times on one image ``(1, 3, h, w)`` in [0, 1].

    The passes follow each other, so the first of many are those of few with the same seed, and memory is
    that of one. The random state outside is not touched.

    Args:
        model: with dropout.
        image: the image.
        samples: passes, at least 1; ``require_sampling`` has checked them and the seed.
        seed: decides what is dropped.
    """
    mean = squares = torch.zeros((), dtype=torch.float64)
    with sampling_dropout(model), seeded(seed, image.device), torch.inference_mode():
        for number in range(1, samples + 1):
            softmax = model(image)[0].cpu().double().softmax(0)  # not every device has float64
            # Welford's update: a sum of squares minus a square would lose digits where samples agree
            difference = softmax - mean
            mean = mean + difference / number
            squares = squares + difference * (softmax - mean)
    return SoftmaxSamples(samples, mean.float(), (squares / samples).mean(0).float())


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
