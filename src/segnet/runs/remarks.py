"""What belongs beside scores: confusions, the tolerance of outlines, and where scores hide a poor model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from segnet.base.outline_tolerance import TOLERANCE
from segnet.runs.scores import Scores, score_text

MOST_CONFUSIONS = 5
LEAST_CONFUSED = 0.05
"""Share of a class's pixels that must be taken for another class before people are told."""

_NAMED = 8


@dataclass(frozen=True)
class Confusion:
    """Pixels of one class that were given another."""

    truth: str
    predicted: str
    pixels: int
    share: float
    """Of the true class's pixels."""


def confusions(scores: Scores) -> list[Confusion]:
    """Return every pair of classes that were confused, those of most pixels first."""
    names = [*scores.per_class]
    found = [
        Confusion(names[truth], names[predicted], pixels, pixels / sum(row))
        for truth, row in enumerate(scores.confusion)
        for predicted, pixels in enumerate(row)
        if pixels and truth != predicted
    ]
    return sorted(found, key=lambda each: -each.pixels)


def largest_confusions(scores: Scores) -> list[Confusion]:
    """Return the few confusions that take most of their class, at least ``LEAST_CONFUSED`` of it."""
    large = [each for each in confusions(scores) if each.share >= LEAST_CONFUSED]
    return sorted(large, key=lambda each: -each.share)[:MOST_CONFUSIONS]


def tolerance_text(several: Iterable[Scores]) -> str:
    """Return how far outlines may be off in boundary F1, "1.36 px" say; "" where it wasn't taken.

    Of images of several sizes it is the smallest and the largest.
    """
    ranges = [scores.boundary_tolerance_px for scores in several if scores.boundary_tolerance_px]
    if not ranges:
        return ""
    low, high = (f"{px:.3g}" for px in (min(low for low, _ in ranges), max(high for _, high in ranges)))
    return f"{low} px" if low == high else f"{low} to {high} px"


def tolerance_line(scores: Scores) -> str:
    """Return a sentence on how boundary F1 was taken; "" where it wasn't."""
    text = tolerance_text([scores])
    return text and f"boundary F1 is taken at {text}, {100 * TOLERANCE:g} % of the image's diagonal"


def warnings_of(scores: Scores) -> list[str]:
    """Return a line for each way in which a model, or its scores, are worse than they look."""
    return [*shortcomings(scores), *misleading(scores)]


def shortcomings(scores: Scores) -> list[str]:
    """Return a line for each way in which scores are worse than they look, with what to do about it."""
    return [line for line in (no_better_than_one_class(scores), never_found(scores)) if line]


def no_better_than_one_class(scores: Scores) -> str:
    """Say that predicting the most frequent class everywhere gives as many right pixels; "" where it doesn't.

    Where one class is rare such a model can still be of use, so both mean IoUs stand beside.
    """
    name, share = scores.majority
    if scores.pixel_accuracy is None or scores.pixel_accuracy > share or not 0 < share < 1:
        return ""
    guessed = share / len(scores.in_truth)
    return (
        f"pixel accuracy {scores.pixel_accuracy:.3f} is no better than predicting {name} everywhere, which "
        f"has {share:.3f} (mean IoU {score_text(scores.mean_iou)} beside {guessed:.3f}); train longer, or on "
        "more images"
    )


def never_found(scores: Scores) -> str:
    """Name the classes at IoU 0.000 that the truth has; "" where there are none."""
    zero = scores.at_zero
    if not zero:
        return ""
    return (
        f"{len(zero)} of {len(scores.in_truth)} classes at IoU 0.000: {_few(zero)}; "
        "--loss cross-entropy+dice, more epochs or more images with them can help"
    )


def misleading(scores: Scores) -> list[str]:
    """Return a line for each way in which the numbers themselves mislead."""
    return [line for line in (thin_classes(scores), absent_in_truth(scores)) if line]


def thin_classes(scores: Scores) -> str:
    """Name the classes whose regions are thinner than the tolerance of their boundary F1; "" for none.

    Anything painted near such a class has a good outline.
    """
    thin = [
        f"{name} ({entry.thickness_px:.3g} px thick, tolerance {entry.boundary_tolerance_px:.3g} px)"
        for name, entry in scores.per_class.items()
        if entry.boundary_f1 is not None
        and entry.thickness_px is not None
        and entry.boundary_tolerance_px is not None
        and entry.thickness_px < entry.boundary_tolerance_px
    ]
    if not thin:
        return ""
    return f"boundary F1 forgives more than the whole width of {_few(thin)}; judge by IoU and recall"


def absent_in_truth(scores: Scores) -> str:
    """Name the classes that no mask has and that were predicted all the same; "" for none.

    Each of them counts as IoU 0 in the mean.
    """
    names = [*scores.per_class]
    predicted = [sum(column) for column in zip(*scores.confusion, strict=True)]
    found = [
        f"{name} ({given:,} pixels)"
        for name, row, given in zip(names, scores.confusion, predicted, strict=False)
        if given and not sum(row)
    ]
    if not found:
        return ""
    return f"in no mask, but predicted: {_few(found)}; such a class counts as IoU 0 in the means"


def _few(names: Sequence[str]) -> str:
    """Name the first of them, and count the others."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
