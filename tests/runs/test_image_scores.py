"""The table of each image's scores: there and back, ranked, and added up by groups."""

import pytest

from segnet import SegnetError
from segnet.runs.image_scores import (
    ImageScores,
    rank_worst,
    read_image_scores,
    score_groups,
    write_image_scores,
)


def image(name="a", split="test", **values):
    fields = {
        "content": "00" * 8,
        "pixel_accuracy": 0.75,
        "mean_iou": 0.5,
        "boundary_f1": None,
        "band_accuracy": 0.25,
        "loss": 1.5,
        "confidence": 0.875,
        "confident_disagreement": 0.125,
        "right": (3, 0),
        "truth": (4, 0),
        "predicted": (3, 1),
    }
    return ImageScores(split, name, **(fields | values))


def test_the_table_goes_to_a_file_and_back_whatever_names_hold(tmp_path):
    images = [
        image('a,"b"', boundary_f1=0.5),
        image("ü", "val", right=(0, 0), truth=(0, 0), predicted=(0, 0)),
    ]
    write_image_scores(tmp_path / "images.csv", images, ("pet", "a, b"))
    assert read_image_scores(tmp_path / "images.csv") == (("pet", "a, b"), images)


def test_a_table_that_is_none_is_an_error_that_names_it(tmp_path):
    with pytest.raises(SegnetError, match=r"there is no .*images.csv; segnet eval --out writes it"):
        read_image_scores(tmp_path / "images.csv")
    (tmp_path / "images.csv").write_text("split,image\ntest,a\n")
    with pytest.raises(SegnetError, match="is no table of image scores"):
        read_image_scores(tmp_path / "images.csv")


@pytest.mark.parametrize(
    ("by", "expected"),
    [("iou", [2, 0, 1]), ("loss", [1, 0, 2]), ("boundary", [0, 1]), ("confident-disagreement", [2, 1, 0])],
)
def test_the_worst_come_first_and_those_without_the_score_not_at_all(by, expected):
    images = [
        image(mean_iou=0.5, loss=2.0, boundary_f1=0.1, confident_disagreement=0.0),
        image(mean_iou=0.9, loss=3.0, boundary_f1=0.2, confident_disagreement=0.1),
        image(mean_iou=0.0, loss=0.1, boundary_f1=None, confident_disagreement=0.2),
    ]
    assert rank_worst(images, by, 3) == expected
    assert rank_worst(images, by, 1) == expected[:1]


def test_images_rank_alike_before_and_after_they_were_written(tmp_path):
    images = [image(mean_iou=0.1234567), image(mean_iou=0.1234566), image(mean_iou=0.1)]
    write_image_scores(tmp_path / "images.csv", images, ("x", "y"))
    ranked = rank_worst(images, "iou", 3)
    assert ranked == rank_worst(read_image_scores(tmp_path / "images.csv")[1], "iou", 3) == [2, 0, 1]


def test_a_group_is_scored_by_the_sum_of_its_pixels():
    images = [
        image(right=(3, 0), truth=(4, 0), predicted=(3, 1), boundary_f1=0.5),
        image(right=(0, 2), truth=(1, 3), predicted=(2, 2)),
        image(right=(0, 0), truth=(0, 0), predicted=(0, 0)),  # all of it ignored
    ]
    first, second = score_groups(images, ["b", "b", "a"])
    assert (first.group, first.images, first.pixel_accuracy, first.mean_iou) == ("a", 1, None, None)
    assert (second.group, second.images, second.boundary_f1) == ("b", 2, 0.5)
    assert second.pixel_accuracy == pytest.approx(5 / 8)
    assert second.iou == pytest.approx((3 / 7, 2 / 4))
    assert second.mean_iou == pytest.approx((3 / 7 + 2 / 4) / 2)
