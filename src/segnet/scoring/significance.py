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
    the drawn ones are added up, and the interval holds the middle 95 % of the differences, or a little more
    where there are few images: the percentile interval (Efron and Tibshirani, "An Introduction to the
    Bootstrap", 1993, chapter 13), expanded as in Hesterberg, "What Teachers Should Know About the Bootstrap",
    The American Statistician 69, 2015, section 4. It speaks of other images of the kind, not of other seeds.

    Args:
        first: one model's images, at least two.
        second: the other's, the same images in the same order, with the same classes.
        resamples: how often images are drawn.
        seed: of the draws.

    Raises:
        ValueError: no pixel is scored.
    """
    counts = np.stack([_counts(first), _counts(second)], axis=1)  # (images, model, kind, class)
    flat = counts.reshape(len(first), -1)
    random = np.random.default_rng(seed)
    drawn = []
    together = max(1, _AT_ONCE // len(first))
    for done in range(0, resamples, together):
        some = min(together, resamples - done)
        weights = _draw(random, some, len(first))
        drawn.append(_difference((weights @ flat).reshape(some, *counts.shape[1:])))
    images = len(first)  # 2.5 % of many are left out at either end, 1.9 % of 30
    tail = statistics.NormalDist().cdf(-student_t(images - 1) * math.sqrt(images / (images - 1)))
    low, high = np.nanquantile(np.concatenate(drawn), (tail, 1 - tail))
    whole = float(_difference(counts.sum(0)[None])[0])
    if math.isnan(whole):
        raise ValueError("no pixel of these images is scored")
    return Interval(whole, float(low), float(high))


def _draw(random: np.random.Generator, resamples: int, images: int) -> npt.NDArray[np.float64]:
    """Return how often each image is in each resample, ``(resamples, images)``.

    Counted from indices: numpy's multinomial gives the same law in three times the time.
    """
    chosen = random.integers(0, images, (resamples, images), dtype=np.int64)
    chosen += images * np.arange(resamples)[:, None]
    times = np.bincount(chosen.ravel(), minlength=resamples * images)
    return times.reshape(resamples, images).astype(np.float64)


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
    return mean[:, 1] - mean[:, 0]


def welch_difference(first: Sequence[float], second: Sequence[float]) -> Interval:
    """Return how far the second mean is above the first, with Welch's 95 % interval (Biometrika, 1947).

    Args:
        first: a score of each seed, at least two.
        second: the same of another setting; their spread and their number may differ.
    """
    difference = statistics.fmean(second) - statistics.fmean(first)
    shares = [statistics.variance(each) / len(each) for each in (first, second)]
    if not sum(shares):
        return Interval(difference, difference, difference)
    freedom = sum(shares) ** 2 / sum(
        share**2 / (len(each) - 1) for share, each in zip(shares, (first, second), strict=True)
    )
    half = student_t(freedom) * math.sqrt(sum(shares))
    return Interval(difference, difference - half, difference + half)


def student_t(freedom: float) -> float:
    """Return what Student's t exceeds, up or down, in 5 % of draws; Welch's freedom is no whole number.

    With t = sqrt(freedom) tan(angle) the density is cos(angle)^(freedom - 1), which is summed here.

    Args:
        freedom: degrees of freedom, 1 or more.
    """
    # beyond 50 standard deviations of a large freedom nothing is left
    angle = np.linspace(0, math.pi / 2 * min(1, 50 / math.sqrt(freedom)), 10_001)
    density = np.cos(angle) ** (freedom - 1)
    share = np.cumsum((density[1:] + density[:-1]) / 2)
    at = np.interp(0.95, share / share[-1], angle[1:])
    return math.sqrt(freedom) * math.tan(at)
