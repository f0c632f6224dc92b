"""Learning curves as SVG."""

from __future__ import annotations

import math
from itertools import pairwise
from xml.etree import ElementTree

import matplotlib
import pytest

from segnet.report.plots import Chart, Curve, _apart, draw_svg, learning_curves
from segnet.runs.records import EpochRecord

COLOURS = {"pet": (230, 159, 0), "background": (0, 114, 178)}


def row(epoch: int, **changes) -> EpochRecord:
    val = {"loss": 1 / epoch, "pixel_accuracy": 0.8, "mean_iou": 0.5, "per_class": {"pet": {"iou": 0.4}}}
    plain = {"epoch": epoch, "train_loss": 1 / epoch, "lr": 1e-3, "size": [128, 128], "val": val}
    return EpochRecord.from_dict(plain | changes)


@pytest.mark.parametrize("epochs", [1, 2, 20, 300])
def test_a_run_of_any_length_gives_four_documents_that_parse(epochs):
    charts = learning_curves([row(epoch) for epoch in range(1, epochs + 1)], COLOURS, best_epoch=1)
    assert [title for title, _ in charts] == [
        "Loss",
        "Validation scores",
        "Validation IoU of each class",
        "Learning rate",
    ]
    for _, svg in charts:
        assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"


def test_no_epochs_give_no_charts():
    assert learning_curves([], COLOURS) == []


@pytest.mark.parametrize(
    "incomplete",
    [
        {"val": {"per_class": {}}},
        {"val": {"loss": None, "mean_iou": None, "per_class": {"pet": {"iou": None}}}},
        {"val": {"per_class": {"pet": {}}}, "train_loss": math.nan, "lr": math.inf},
        {"size": None},
    ],
)
def test_what_an_epoch_lacks_is_a_gap(incomplete):
    assert len(learning_curves([row(1), row(2, **incomplete), row(3)], COLOURS)) == 4


def test_a_run_without_any_score_still_has_its_charts():
    assert len(learning_curves([row(1, val={"per_class": {}}, train_loss=None, lr=None)], COLOURS)) == 4


def test_the_same_run_gives_the_same_bytes_whatever_style_is_set():
    rows = [row(epoch) for epoch in range(1, 5)]
    first = learning_curves(rows, COLOURS)
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red"}):
        assert learning_curves(rows, COLOURS) == first
        assert matplotlib.rcParams["font.size"] == 20, "and the style is left alone"


def test_a_change_of_image_size_is_marked():
    same = [row(1), row(2), row(3)]
    grown = [row(1), row(2), row(3, size=[256, 256])]
    assert learning_curves(grown, COLOURS)[0] != learning_curves(same, COLOURS)[0]


@pytest.mark.parametrize("name", ["$x_2$", "<b>&", "猫", ""])
@pytest.mark.filterwarnings("error")
def test_any_class_name_can_be_drawn(name):
    ElementTree.fromstring(draw_svg(Chart("title", [1, 2], [Curve(name, [0.1, 0.2], (255, 255, 255))])))


@pytest.mark.parametrize(
    "heights", [[0.5], [0.5, 0.5, 0.5], [0.0, 0.01, 1.0], [0.97, 0.98, 0.99, 1.0], [0.1] * 12]
)
def test_labels_stay_in_order_apart_and_on_the_chart(heights):
    placed = _apart(heights, 0.075)
    assert all(above - below >= 0.075 - 1e-9 for below, above in pairwise(placed))
    assert min(placed) >= -1e-9
    assert max(placed) <= 1 + 1e-9
