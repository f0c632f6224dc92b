"""What the last masks brought, and what more should bring: a score over the number of masks, and its slope.

The curve is ``ceiling - loss · masks ** -rate``, a power law that saturates, as learning curves in vision
mostly do (Hestness et al., arXiv 1712.00409). How sure that is comes from the images that are scored: they
are drawn anew with replacement, the same for all trainings, and the curve is fitted to each draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from segnet.runs.image_scores import COUNTS, ImageScores
from segnet.scoring.significance import Interval, bootstrap_difference

Floats = npt.NDArray[np.float64]

FEWEST = 3
"""Points below which nothing is promised."""
_RATES = np.linspace(0.1, 2, 20)
_DRAWS = 400


class Point(NamedTuple):
    """One training."""

    masks: int
    images: Sequence[ImageScores]
    """What it found in each image that is scored, the same for all trainings."""


def forecast(points: Sequence[Point], more: int, *, seed: int = 0) -> Interval:
    """Return what so many more masks should bring in mean IoU, with the range of nine draws out of ten.

    Args:
        points: trainings with different numbers of masks, in ascending order, ``FEWEST`` at least.
        more: masks beyond the last.
        seed: of the draws.
    """
    masks = np.array([point.masks for point in points], np.float64)
    counts = np.array(
        [[[getattr(image, kind) for kind in COUNTS] for image in point.images] for point in points],
        np.float64,
    )  # (points, images, kind, class)
    random, images = np.random.default_rng(seed), counts.shape[1]
    gains = []
    for _ in range(_DRAWS):
        drawn = counts[:, random.integers(0, images, images)]
        gains.append(gain(masks, _mean_iou(drawn.sum(1)), more))
    low, high = np.quantile(gains, (0.05, 0.95))
    return Interval(gain(masks, _mean_iou(counts.sum(1)), more), float(low), float(high))


def gain(masks: Floats, scores: Floats, more: int) -> float:
    """Return what the curve through scores ``(N,)`` gains from the last number of masks to ``more`` more."""
    best, found = np.inf, 0.0
    for rate in _RATES:
        falls = masks**-rate
        centred = falls - falls.mean()
        loss = max(0.0, -float(centred @ (scores - scores.mean())) / float(centred @ centred))
        ceiling = min(1.0, float(scores.mean() + loss * falls.mean()))
        misses = float(((ceiling - loss * falls - scores) ** 2).sum())
        if misses < best:
            best, found = misses, loss * float(masks[-1] ** -rate - (masks[-1] + more) ** -rate)
    return found


def sentences(points: Sequence[Point], more: int = 20) -> list[str]:
    """Say what the last masks brought and whether more would, in sentences.

    Args:
        points: trainings in the order in which they were made; of those with equal numbers of masks the last
            counts.
        more: masks that are spoken of.
    """
    curve = [point for _, point in sorted({point.masks: point for point in points}.items())]
    if len(curve) < 2:
        return ["one number of masks so far: a second training with more will say what they bring"]
    before, last = curve[-2:]
    if len(last.images) < 2:
        return ["one image is scored, which says nothing about others; label more of those set aside"]
    brought = bootstrap_difference(before.images, last.images)
    verdict = "" if brought.beyond_chance else "; that may be chance"
    lines = [
        f"from {before.masks} to {last.masks} masks brought {100 * brought.difference:+.1f} points of "
        f"mean IoU ({100 * brought.low:+.1f} to {100 * brought.high:+.1f}, 95 % by {len(last.images)} images"
        f"{verdict})"
    ]
    if len(curve) < FEWEST:
        return [
            *lines,
            f"what more would bring is said from {FEWEST} numbers of masks on; this is {len(curve)}",
        ]
    hoped = forecast(curve, more)
    width = "" if hoped.high - hoped.low < max(0.02, hoped.difference) else "; too wide to plan by"
    return [
        *lines,
        f"{more} more should bring about {100 * hoped.difference:.1f} points ({100 * hoped.low:.1f} to "
        f"{100 * hoped.high:.1f} in nine of ten draws of these images, of one seed{width})",
    ]


def _mean_iou(counts: Floats) -> Floats:
    """Return the mean IoU ``(N,)`` of sums ``(N, kind, class)`` over the classes in truth or prediction."""
    right, truth, predicted = np.moveaxis(counts, 1, 0)
    union = truth + predicted - right
    there = union > 0
    iou = np.divide(right, union, out=np.zeros_like(right), where=there)
    means: Floats = iou.sum(-1) / np.maximum(there.sum(-1), 1)
    return means
