"""Prediction by samples, with torch: the mean softmax of passes with dropout, its variance as uncertainty.

Bayesian SegNet (Kendall et al., arXiv 1511.02680): the mean predicts better than one pass without dropout
from about 6 samples on, and the variance is high where the model doesn't know.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segnet.core.dropout import sampling_dropout
from segnet.inference.uncertainty import SoftmaxSamples


def sample_softmax(model: nn.Module, image: Tensor, samples: int, seed: int) -> SoftmaxSamples:
    """Run a model ``samples`` times on one image ``(1, C, h, w)`` in [0, 1].

    The passes follow each other, so the first of many are those of few with the same seed, and memory is
    that of one. Neither the model nor torch's own random state is touched, so other threads may use both.

    Args:
        model: with dropout.
        image: the image.
        samples: passes, at least 1; ``Segmenter.require_sampling`` has checked them and the seed.
        seed: decides what is dropped.
    """
    mean = squares = torch.zeros((), dtype=torch.float64)
    generator = torch.Generator(image.device).manual_seed(seed)
    with sampling_dropout(generator), torch.inference_mode():
        for number in range(1, samples + 1):
            softmax = model(image)[0].cpu().double().softmax(0)  # not every device has float64
            # Welford's update: a sum of squares minus a square would lose digits where samples agree
            difference = softmax - mean
            mean = mean + difference / number
            squares = squares + difference * (softmax - mean)
    variance = (squares / samples).mean(0)
    return SoftmaxSamples(samples, mean.float().numpy(), variance.float().numpy())
