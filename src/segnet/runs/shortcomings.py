"""What scores hide: a model that is no better than one class everywhere, and classes that it never finds."""

from __future__ import annotations

from segnet.runs.scores import Scores, score_text

_NAMED = 8


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
    more = f" and {len(zero) - _NAMED} more" if len(zero) > _NAMED else ""
    return (
        f"{len(zero)} of {len(scores.in_truth)} classes at IoU 0.000: {', '.join(zero[:_NAMED])}{more}; "
        "--loss cross-entropy+dice, more epochs or more images with them can help"
    )
