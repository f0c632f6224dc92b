"""What stands beside scores: tolerance of outlines, thin classes, classes that no mask has, confusions."""

import numpy as np
import pytest

from segnet.base.classes import ClassTable
from segnet.runs.remarks import (
    confusions,
    largest_confusions,
    misleading,
    thin_classes,
    tolerance_line,
    tolerance_text,
)
from segnet.runs.scores import ClassScores, Scores
from segnet.scoring.metrics import scores_from_confusion

NAMES = ("road", "tree", "car", "sign")


def scored(*rows):
    return scores_from_confusion(np.array(rows), ClassTable.named(NAMES[: len(rows)]))


def outlined(tolerance, **thickness):
    entries = {
        name: ClassScores(0.5, boundary_f1=0.9, boundary_tolerance_px=tolerance, thickness_px=px)
        for name, px in thickness.items()
    }
    return Scores(0.9, 0.5, 0.6, None, None, 0.1, entries, (), boundary_tolerance_px=(tolerance, tolerance))


@pytest.mark.parametrize(
    ("ranges", "text"),
    [
        ([(1.3576, 1.3576)], "1.36 px"),
        ([(5.4, 10.42)], "5.4 to 10.4 px"),
        ([(5.4, 10.42), None, (2.0, 6.0)], "2 to 10.4 px"),
        ([None], ""),
    ],
)
def test_the_tolerance_is_said_in_pixels(ranges, text):
    several = [Scores(*[None] * 6, {}, (), boundary_tolerance_px=each) for each in ranges]
    assert tolerance_text(several) == text
    line = tolerance_line(several[0])
    assert line == (
        text and f"boundary F1 is taken at {tolerance_text(several[:1])}, 0.75 % of the image's diagonal"
    )


def test_classes_thinner_than_the_tolerance_are_named_with_both_widths():
    found = thin_classes(outlined(10.4, vessel=4.6, disc=80.0, hair=1.0))
    assert found == (
        "boundary F1 forgives more than the whole width of vessel (4.6 px thick, tolerance 10.4 px), "
        "hair (1 px thick, tolerance 10.4 px); judge by IoU and recall"
    )
    assert thin_classes(outlined(1.36, vessel=1.36, never=None)) == ""
    many = outlined(9.0, **{f"c{number}": 1.0 for number in range(10)})
    assert "c7 (1 px thick, tolerance 9 px) and 2 more; judge" in thin_classes(many)


def test_a_class_that_no_mask_has_and_that_is_predicted_is_named():
    assert misleading(scored([8, 2, 0], [0, 5, 3], [0, 0, 0])) == [
        "in no mask, but predicted: car (3 pixels); such a class counts as IoU 0 in the means"
    ]
    assert misleading(scored([8, 2, 0], [0, 5, 0], [0, 0, 0])) == []


def test_confusions_are_shares_of_the_truth_and_the_largest_come_first():
    scores = scored([900, 60, 40, 0], [3, 1, 6, 0], [0, 0, 0, 0], [1, 0, 0, 99])
    assert [(each.truth, each.predicted, each.pixels) for each in confusions(scores)] == [
        ("road", "tree", 60), ("road", "car", 40), ("tree", "car", 6), ("tree", "road", 3),
        ("sign", "road", 1),
    ]  # fmt: skip
    assert [(each.truth, each.predicted, each.share) for each in largest_confusions(scores)] == [
        ("tree", "car", 0.6), ("tree", "road", 0.3), ("road", "tree", 0.06),
    ]  # fmt: skip
    everything_wrong = scored([0, 9, 9, 9], [9, 0, 9, 9], [9, 9, 0, 9], [9, 9, 9, 0])
    assert len(largest_confusions(everything_wrong)) == 5
    assert largest_confusions(scored([5, 0], [0, 5])) == []
