"""Prediction by samples against passes written out one by one, in numpy."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segnet import ClassTable, SegnetError
from segnet.inference import segmentation as module
from segnet.inference.segmentation import paint_uncertainty

from .conftest import describe, segmenter_of


def noise(height=32, width=32, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3), dtype=np.uint8)


def passes_by_hand(model, pixels, samples, seed):
    """Softmax ``(samples, C, h, w)`` of passes with nothing but dropout in training mode."""
    batch = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    model.eval()
    model.dropout.train()
    torch.manual_seed(seed)
    with torch.no_grad():
        logits = np.stack([model(batch)[0].numpy() for _ in range(samples)]).astype(np.float64)
    model.eval()
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize(("samples", "seed"), [(1, 0), (2, 7), (9, 1)])
def test_mean_and_variance_are_those_of_passes_one_by_one(bayesian, bayesian_model, samples, seed):
    pixels = noise()
    expected = passes_by_hand(bayesian_model, pixels, samples, seed)
    result = bayesian.predict(pixels, samples=samples, seed=seed)
    assert np.allclose(result.probabilities, expected.mean(0), atol=1e-6)
    assert np.allclose(result.uncertainty, expected.var(0).mean(0), rtol=1e-4, atol=1e-9)
    assert result.uncertainty.dtype == np.float32
    assert np.array_equal(result.mask, result.probabilities.argmax(0))
    assert len(np.unique(result.mask)) > 1
    assert samples == 1 or result.uncertainty.mean() > 1e-4


def test_without_samples_it_is_the_models_own_answer_to_the_bit(bayesian, bayesian_model):
    pixels = noise()
    batch = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        logits = bayesian_model.eval()(batch)[0]
    result = bayesian.predict(pixels)
    assert np.array_equal(result.logits, logits)
    assert result.uncertainty is None
    with pytest.raises(SegnetError, match="has no uncertainty; predict with samples=20, say"):
        result.uncertainty_image()


def test_the_seed_decides_the_bits(bayesian):
    results = [bayesian.predict(noise(), samples=3, seed=seed) for seed in (5, 5, 6)]
    assert np.array_equal(results[0].probabilities, results[1].probabilities)
    assert np.array_equal(results[0].uncertainty, results[1].uncertainty)
    assert not np.array_equal(results[0].uncertainty, results[2].uncertainty)


def test_the_callers_random_numbers_and_the_models_mode_are_left_alone(bayesian, bayesian_model):
    torch.manual_seed(11)
    before = torch.get_rng_state()
    bayesian.predict(noise(), samples=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(part.training for part in bayesian_model.modules())


def test_one_sample_has_no_spread(bayesian):
    assert not bayesian.predict(noise(), samples=1).uncertainty.any()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (50, 61), (300, 20)])
def test_mean_and_variance_are_resampled_to_the_image_in_strips(bayesian, monkeypatch, height, width):
    monkeypatch.setattr(module, "_STRIP_VALUES", 7 * 3 * width)  # seven rows at a time
    result = bayesian.predict(noise(height, width), samples=4)
    for found, small in (
        (result.probabilities, result.samples.mean),
        (result.uncertainty[None], result.samples.variance[None]),
    ):
        whole = F.interpolate(
            torch.from_numpy(small)[None],
            (height, width),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )[0]
        assert np.allclose(found, whole.numpy(), atol=1e-5)
    assert result.mask.shape == (height, width)
    assert np.allclose(result.probabilities.sum(0), 1, atol=1e-6)


def test_logits_of_a_sampled_prediction_are_the_log_of_its_mean(bayesian):
    result = bayesian.predict(noise(), samples=4)
    assert np.allclose(np.exp(result.logits), result.samples.mean, atol=1e-6)


class Coin(nn.Module):
    """Says class 0 for certain or class 1 for certain, pixel by pixel, as a coin falls."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, image):
        sure = 1000 * (self.dropout(torch.ones_like(image[:, :1])) - 1)
        return torch.cat([sure, -sure], dim=1)


def test_the_variance_of_a_coin_is_a_quarter_the_highest_there_is():
    classes = ClassTable.named(("heads", "tails"))
    segmenter = segmenter_of(Coin(), describe(model="coin", classes=classes, size=(32, 32)))
    result = segmenter.predict(noise(), samples=40)
    heads = result.probabilities[0]
    assert np.allclose(result.uncertainty, heads * (1 - heads), atol=1e-6)
    assert 0.24 < result.uncertainty.mean() <= result.uncertainty.max() <= 0.25
    assert np.isfinite(result.logits).all()


def test_a_picture_of_uncertainty_has_a_fixed_range_of_standard_deviations():
    picture = paint_uncertainty(np.array([[0, 0.0001, 0.01, 0.25]], np.float32))
    assert picture.mode == "P"
    assert np.asarray(picture).tolist() == [[0, 5, 51, 255]]
    brightness = np.asarray(picture.convert("L"))[0].astype(int)
    assert brightness[0] < 3
    assert (np.diff(brightness) > 0).all()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"samples": -1}, "--samples must be a whole number from 0 to 1000000, got -1"),
        ({"samples": 2.5}, "--samples must be a whole number"),
        ({"samples": 2, "seed": -1}, "--seed must be a whole number from 0 to 2147483647, got -1"),
    ],
)
def test_samples_that_make_no_sense_are_refused_before_the_image_is_read(bayesian, settings, says):
    with pytest.raises(SegnetError, match=says):
        bayesian.predict("no/such/photo.jpg", **settings)


def test_a_model_without_dropout_is_refused_before_the_image_is_read(brightest_channel):
    with pytest.raises(SegnetError, match="has no dropout"):
        brightest_channel.predict("no/such/photo.jpg", samples=2)
