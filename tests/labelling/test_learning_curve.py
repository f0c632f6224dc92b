"""The learning curve against curves that are known, and what is said of it against the numbers."""

import re

import numpy as np
import pytest

from segnet.labelling.learning_curve import FEWEST, Point, forecast, gain, sentences
from segnet.runs.image_scores import ImageScores


def image(iou, number=0, pixels=1000):
    """An image of two classes with this IoU of each: as many pixels are mistaken either way."""
    right = round(pixels * 2 * iou / (1 + iou))
    truth = (pixels, pixels)
    return ImageScores("test", str(number), "", *[None] * 7, (right, right), truth, truth)


def point(masks, iou, images=12, noise=0.0, seed=0):
    random = np.random.default_rng(seed)
    return Point(masks, [image(iou + noise * random.standard_normal(), number) for number in range(images)])


def power(masks, ceiling=0.9, loss=1.2, rate=0.5):
    return ceiling - loss * np.asarray(masks, np.float64) ** -rate


@pytest.mark.parametrize("rate", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("masks", [(20, 40, 60), (20, 40, 60, 100), (10, 20, 40, 80, 160)])
def test_a_power_law_is_continued(masks, rate):
    numbers = np.array(masks, np.float64)
    found = gain(numbers, power(numbers, rate=rate), 20)
    expected = power(masks[-1] + 20, rate=rate) - power(masks[-1], rate=rate)
    assert found == pytest.approx(expected, abs=1e-3)


def test_scores_that_do_not_rise_promise_nothing():
    masks = np.array([20.0, 40, 60])
    assert gain(masks, np.array([0.7, 0.7, 0.7]), 20) == 0
    assert gain(masks, np.array([0.7, 0.68, 0.66]), 20) == 0


def test_more_masks_never_promise_less():
    masks, scores = np.array([20.0, 40, 60]), np.array([0.6, 0.66, 0.7])
    gains = [gain(masks, scores, more) for more in (0, 10, 20, 100, 10_000)]
    assert gains[0] == 0
    assert gains == sorted(gains)
    assert 0.7 + gains[-1] <= 1.01


def test_the_range_holds_the_gain_and_is_wider_with_more_noise():
    points = {
        noise: [
            point(masks, power(masks, loss=1.5), noise=noise, seed=place)
            for place, masks in enumerate((20, 40, 60))
        ]
        for noise in (0.0, 0.03, 0.1)
    }
    found = {noise: forecast(each, 20) for noise, each in points.items()}
    for each in found.values():
        assert each.low - 1e-9 <= each.difference <= each.high + 1e-9
    widths = [each.high - each.low for each in found.values()]
    assert widths[0] < 1e-6
    assert widths[0] < widths[1] < widths[2]


def test_nothing_is_promised_with_fewer_than_three_numbers_of_masks():
    (first,) = sentences([point(20, 0.6)])
    assert "a second training with more" in first
    two = sentences([point(20, 0.6), point(40, 0.66)])
    assert len(two) == 2
    assert f"from {FEWEST} numbers of masks on; this is 2" in two[1]
    assert "should bring" not in " ".join(two)
    again = sentences([point(20, 0.6), point(40, 0.66), point(40, 0.67)])
    assert "should bring" not in " ".join(again)


def test_the_sentences_say_the_numbers():
    points = [point(masks, power(masks)) for masks in (20, 40, 60)]
    brought, hoped = sentences(points, 20)
    expected = 100 * (power(60) - power(40))
    assert brought.startswith("from 40 to 60 masks brought +")
    assert float(re.search(r"brought ([+-][\d.]+)", brought)[1]) == pytest.approx(expected, abs=0.11)
    assert float(re.search(r"about ([\d.]+)", hoped)[1]) == pytest.approx(
        100 * (power(80) - power(60)), abs=0.11
    )
    assert "20 more should bring" in hoped


def test_a_difference_within_chance_is_called_that():
    one, other = point(20, 0.6, noise=0.1, seed=1), point(40, 0.61, noise=0.1, seed=2)
    assert "that may be chance" in sentences([one, other])[0]
    assert "chance" not in sentences([point(20, 0.6), point(40, 0.7)])[0]


def test_of_one_image_nothing_is_said():
    (line,) = sentences([point(20, 0.6, images=1), point(40, 0.7, images=1)])
    assert "says nothing about others" in line
