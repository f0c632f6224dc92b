"""Scores that look like any others and are no better than a guess, or leave classes out."""

import numpy as np
import pytest

from segnet.base.classes import ClassTable
from segnet.runs.remarks import never_found, no_better_than_one_class, shortcomings
from segnet.scoring.metrics import scores_from_confusion


def scored(*rows, names=("wall", "window", "door", "roof")):
    names = tuple(names[: len(rows)])
    return scores_from_confusion(np.array(rows), ClassTable.named(names))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        # truth: 60 wall, 40 window; the guess has 60 of 100 right, and mean IoU (0.6 + 0) / 2
        (([30, 30], [20, 20]), "pixel accuracy 0.500 is no better than predicting wall everywhere, which has "
                               "0.600 (mean IoU 0.330 beside 0.300); train longer, or on more images"),
        (([60, 0], [40, 0]), "pixel accuracy 0.600 is no better than predicting wall everywhere, which has "
                             "0.600 (mean IoU 0.300 beside 0.300); train longer, or on more images"),
        (([60, 0], [39, 1]), ""),
        (([60, 0], [0, 0]), ""),  # one class is all there is
        (([0, 60], [0, 0]), ""),
        (([0, 0], [0, 0]), ""),  # no pixel is labelled
    ],
)  # fmt: skip
def test_a_model_no_better_than_one_class_everywhere_is_said_to_be(rows, said):
    assert no_better_than_one_class(scored(*rows)) == said


def test_classes_that_were_never_found_are_counted_and_named():
    scores = scored([50, 0, 0, 0], [10, 0, 0, 0], [0, 0, 3, 0], [0, 5, 0, 0])
    assert scores.at_zero == ["window", "roof"]
    assert never_found(scores) == (
        "2 of 4 classes at IoU 0.000: window, roof; --loss cross-entropy+dice, more epochs or more images "
        "with them can help"
    )
    assert shortcomings(scores) == [never_found(scores)]


def test_a_class_that_the_truth_lacks_is_no_class_that_was_missed():
    scores = scored([50, 0, 4], [0, 0, 0], [0, 0, 6])
    assert scores.per_class["window"].iou is None
    predicted_anyway = scored([50, 2, 4], [0, 0, 0], [0, 0, 6])
    assert predicted_anyway.per_class["window"].iou == 0
    assert scores.at_zero == predicted_anyway.at_zero == []
    assert never_found(predicted_anyway) == ""


def test_of_many_classes_at_zero_the_first_are_named_and_the_others_counted():
    names = [f"c{number}" for number in range(12)]
    matrix = np.zeros((12, 12), int)
    matrix[:, 0] = 5
    assert "11 of 12 classes at IoU 0.000: c1, c2, c3, c4, c5, c6, c7, c8 and 3 more;" in never_found(
        scored(*matrix, names=names)
    )
