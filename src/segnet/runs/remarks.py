"""What belongs beside scores: the tolerance of outlines, what is thinner, and what is taken for what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from segnet.core.outlines import TOLERANCE
from segnet.runs.scores import Scores
from segnet.runs.shortcomings import shortcomings

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
    more = f" and {len(thin) - _NAMED} more" if len(thin) > _NAMED else ""
    return (
        f"boundary F1 forgives more than the whole width of {', '.join(thin[:_NAMED])}{more}; "
        "judge by IoU and recall"
    )


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
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    named = ", ".join(found[:_NAMED])
    return f"in no mask, but predicted: {named}{more}; such a class counts as IoU 0 in the means"
