"""Whether a difference is more than chance: over other test images, and over other seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from segnet.runs.image_scores import COUNTS, ImageScores

_AT_ONCE = 1 << 22  # drawn numbers that are held at a time: 32 MiB

# Student's t that 2.5 % exceed, for 1 to 30 degrees of freedom.
_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


class Interval(NamedTuple):
    """A difference and the 95 % interval around it."""

    difference: float
    low: float
    high: float

    @property
    def beyond_chance(self) -> bool:
        """Say whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0


def bootstrap_difference(
    first: Sequence[ImageScores], second: Sequence[ImageScores], *, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Return how far the second model's mean IoU is above the first's, with its paired bootstrap interval.

    Images are drawn with replacement, the same for both models, as many as there are; the pixel counts of
    the drawn ones are added up, and the interval holds the middle 95 % of the differences (Efron and
    Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13). It speaks of other images of the kind,
    not of other seeds.

    Args:
        first: one model's images, at least one.
        second: the other's, the same images in the same order, with the same classes.
        resamples: how often images are drawn.
        seed: of the draws.

    Raises:
        ValueError: no image, other images, or no pixel that is scored.
    """
    if not first or [each.content for each in first] != [each.content for each in second]:
        raise ValueError("both models need scores of the same images in the same order, at least one")
    counts = np.stack([_counts(first), _counts(second)], axis=1)  # (images, model, kind, class)
    flat = counts.reshape(len(first), -1)
    random = np.random.default_rng(seed)
    even = np.full(len(first), 1 / len(first))
    drawn = []
    left = resamples
    while left > 0:
        some = min(left, max(1, _AT_ONCE // len(first)))
        left -= some
        weights = random.multinomial(len(first), even, size=some)
        drawn.append(_difference((weights @ flat).reshape(some, *counts.shape[1:])))
    low, high = np.nanquantile(np.concatenate(drawn), (0.025, 0.975))
    whole = float(_difference(counts.sum(0)[None])[0])
    if math.isnan(whole):
        raise ValueError("no pixel of these images is scored")
    return Interval(whole, float(low), float(high))


def _counts(images: Sequence[ImageScores]) -> npt.NDArray[np.float64]:
    """Return the pixel counts ``(images, kind, class)``; as floats, whose products are quicker and exact."""
    return np.array([[getattr(image, kind) for kind in COUNTS] for image in images], np.float64)


def _difference(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the differences of mean IoU ``(N,)`` for sums ``(N, model, kind, class)``."""
    right, truth, predicted = np.moveaxis(counts, 2, 0)
    union = truth + predicted - right
    there = union > 0
    iou = np.divide(right, union, out=np.zeros_like(right), where=there)
    classes = there.sum(-1)
    mean = np.divide(iou.sum(-1), classes, out=np.full(classes.shape, np.nan), where=classes > 0)
    result: npt.NDArray[np.float64] = mean[:, 1] - mean[:, 0]
    return result


def welch_difference(first: Sequence[float], second: Sequence[float]) -> Interval:
    """Return how far the second mean is above the first, with Welch's 95 % interval (Biometrika, 1947).

    Args:
        first: a score of each seed, at least two.
        second: the same of another setting; their spread and their number may differ.

    Raises:
        ValueError: fewer than two of either.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError("a spread takes two values or more")
    difference = statistics.fmean(second) - statistics.fmean(first)
    shares = [statistics.variance(each) / len(each) for each in (first, second)]
    if not sum(shares):
        return Interval(difference, difference, difference)
    freedom = sum(shares) ** 2 / sum(
        share**2 / (len(each) - 1) for share, each in zip(shares, (first, second), strict=True)
    )
    # rounded down, so that the interval is never narrower than it should be
    half = _T[min(math.floor(freedom + 1e-9), len(_T)) - 1] * math.sqrt(sum(shares))
    return Interval(difference, difference - half, difference + half)
