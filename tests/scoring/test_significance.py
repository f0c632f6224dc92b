"""Intervals, against simulations in which the true difference is known."""

import math

import numpy as np
import pytest

from segnet.runs.image_scores import ImageScores, score_group
from segnet.scoring.significance import bootstrap_difference, student_t, welch_difference


def images_of(right, truth, predicted):
    counts = zip(right.tolist(), truth.tolist(), predicted.tolist(), strict=True)
    return [ImageScores("test", "", str(i), *(None,) * 7, *map(tuple, each)) for i, each in enumerate(counts)]


def draw_models(random, count):
    """Two models on the same images: some images are hard for both, and the second is a little better."""
    truth = random.multinomial(1000, (0.6, 0.3, 0.1), count)
    hard = random.beta(2, 8, (count, 1))
    found = []
    for level in (1.0, 0.9):
        missed = random.binomial(truth, np.clip(level * hard * (1, 1.5, 2.5), 0, 1))
        given = random.multinomial(missed.sum(1), (0.5, 0.3, 0.2))
        found.append((truth - missed, truth, truth - missed + given))
    return found


def mean_iou(counts):
    right, truth, predicted = (each.sum(0) for each in counts)
    return (right / (truth + predicted - right)).mean()


@pytest.mark.parametrize("images", [30, pytest.param(120, marks=pytest.mark.campaign)])
def test_the_interval_covers_the_true_difference_in_95_of_100_cases(images):
    random = np.random.default_rng(0)
    population = draw_models(random, 50_000)
    true = mean_iou(population[1]) - mean_iou(population[0])
    assert true > 0.01
    covered = 0
    for case in range(1000):
        chosen = random.integers(0, 50_000, images)
        models = [images_of(*(each[chosen] for each in counts)) for counts in population]
        found = bootstrap_difference(*models, resamples=1000, seed=case)
        covered += found.low <= true <= found.high
    assert 930 <= covered <= 970


def test_the_difference_is_that_of_the_sums_and_the_draws_are_the_seeds():
    counts = draw_models(np.random.default_rng(1), 50)
    first, second = (images_of(*each) for each in counts)
    found = bootstrap_difference(first, second, resamples=500)
    assert found.difference == pytest.approx(mean_iou(counts[1]) - mean_iou(counts[0]))
    groups = score_group("", first), score_group("", second)
    assert found.difference == pytest.approx(groups[1].mean_iou - groups[0].mean_iou)
    assert found == bootstrap_difference(first, second, resamples=500)
    assert found.low < found.difference < found.high
    same = bootstrap_difference(first, first, resamples=100)
    assert tuple(same) == (0, 0, 0)
    assert not same.beyond_chance


def test_the_interval_equals_one_resample_after_the_other():
    random = np.random.default_rng(2)
    counts = draw_models(random, 30)
    found = bootstrap_difference(*(images_of(*each) for each in counts), resamples=4000)
    differences = []
    for _ in range(4000):
        chosen = random.integers(0, 30, 30)
        first, second = (mean_iou([each[chosen] for each in model]) for model in counts)
        differences.append(second - first)
    low, high = np.quantile(differences, (0.025, 0.975))
    assert found.low == pytest.approx(low, abs=0.1 * (high - low))
    assert found.high == pytest.approx(high, abs=0.1 * (high - low))


def upper_tail(t, freedom):
    """Share of Student's distribution above t, by summing its density."""
    x = np.linspace(-t, t, 200_001)
    constant = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2))
    density = constant / math.sqrt(freedom * math.pi) * (1 + x**2 / freedom) ** (-(freedom + 1) / 2)
    return (1 - np.trapezoid(density, x)) / 2


@pytest.mark.parametrize("freedom", [1, 1.5, 2, 2.7, 3.2, 4, 10, 30, 1000, 1e6])
def test_the_quantiles_are_students_between_whole_degrees_too(freedom):
    assert upper_tail(student_t(freedom), freedom) == pytest.approx(0.025, abs=1e-5)


@pytest.mark.parametrize(("freedom", "t"), [(1, 12.706), (2, 4.303), (4, 2.776), (20, 2.086), (120, 1.980)])
def test_the_quantiles_are_those_of_the_printed_tables(freedom, t):
    assert student_t(freedom) == pytest.approx(t, abs=5e-4)


def test_welchs_interval_is_the_textbooks():
    # equal spreads and numbers: 4 degrees of freedom, half width t * sqrt(2 * variance / 3)
    found = welch_difference([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    half = 2.77645 * math.sqrt(2 / 3)
    assert tuple(found) == pytest.approx((3, 3 - half, 3 + half), abs=1e-4)
    assert found.beyond_chance
    assert not welch_difference([1.0, 3.0], [2.0, 4.0]).beyond_chance
    assert tuple(welch_difference([1.0, 1.0], [2.0, 2.0])) == (1, 1, 1)


def test_welchs_interval_covers_the_true_difference_whatever_the_spreads():
    random = np.random.default_rng(4)
    covered = 0
    for _ in range(1000):
        found = welch_difference(random.normal(0, 1, 3).tolist(), random.normal(1, 3, 4).tolist())
        covered += found.low <= 1 <= found.high
    assert covered >= 0.93 * 1000
