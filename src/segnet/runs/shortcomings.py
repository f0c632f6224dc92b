"""What scores hide: a model that is no better than one class everywhere, and classes that it never finds."""

from __future__ import annotations

from segnet.runs.scores import Scores, score_text

_NAMED = 8
_ROUNDS_TO_ZERO = 0.0005
"""An IoU below is printed as 0.000."""


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
    return (
        f"pixel accuracy {scores.pixel_accuracy:.3f} is no better than predicting {name} everywhere, which "
        f"has {share:.3f} (mean IoU {score_text(scores.mean_iou)} beside {share / _in_truth(scores):.3f}); "
        "train longer, or on more images"
    )


def never_found(scores: Scores) -> str:
    """Name the classes at IoU 0.000 that the truth has; "" where there are none."""
    zero = classes_at_zero(scores)
    if not zero:
        return ""
    more = f" and {len(zero) - _NAMED} more" if len(zero) > _NAMED else ""
    return (
        f"{len(zero)} of {_in_truth(scores)} classes at IoU 0.000: {', '.join(zero[:_NAMED])}{more}; "
        "--loss cross-entropy+dice, more epochs or more images with them can help"
    )


def classes_at_zero(scores: Scores) -> list[str]:
    """Return the classes that the truth has and whose IoU rounds to 0.000."""
    return [
        name
        for name, entry in scores.per_class.items()
        if entry.share and entry.iou is not None and entry.iou < _ROUNDS_TO_ZERO
    ]


def _in_truth(scores: Scores) -> int:
    return sum(bool(entry.share) for entry in scores.per_class.values())
