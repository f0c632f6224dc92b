"""Picks against brute force, doubt against the entropy of SciPy, and features with and without an encoder."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import entropy

from segnet.base.classes import ClassTable
from segnet.inference.segmentation import Segmentation
from segnet.labelling import picking
from segnet.labelling.picking import colours, doubt, open_features, pick

NONE = np.zeros((0, 2))


def spread(features, known, weight, count):
    """Farthest-first, written out: the largest weight times distance to the nearest known or picked."""
    picked = []
    for _ in range(count):
        near = [*known, *(features[each] for each in picked)]
        worth = [
            -1.0
            if place in picked
            else weight[place] * min(np.linalg.norm(features[place] - each) for each in near)
            for place in range(len(features))
        ]
        picked.append(int(np.argmax(worth)))
    return picked


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=40, deadline=None)
def test_distance_weighs_the_rank_of_uncertainty(seed, with_model):
    random = np.random.default_rng(seed)
    features, known, uncertainty = random.random((12, 3)), random.random((4, 3)), random.random(12)
    ranks = np.array([(uncertainty <= each).mean() for each in uncertainty])
    found = pick(
        "uncertainty+distance",
        7,
        uncertainty=uncertainty if with_model else None,
        features=features,
        known=known,
    )
    assert found == spread(features, known, ranks if with_model else np.ones(12), 7)


def test_of_copies_that_are_all_uncertain_one_is_taken():
    features = np.array([[0.0, 0], [0, 0], [0, 0], [1, 1], [5, 0]])
    uncertainty = np.array([0.9, 0.91, 0.92, 0.8, 0.1])
    known = np.array([[0.0, 1.0]])
    assert pick("uncertainty", 3, uncertainty=uncertainty, features=features, known=known) == [2, 1, 0]
    both = pick("uncertainty+distance", 3, uncertainty=uncertainty, features=features, known=known)
    assert len({tuple(features[place]) for place in both}) == 3


def test_without_model_and_masks_the_most_typical_image_comes_first_and_the_farthest_next():
    features = np.array([[0.0, 0], [10, 0], [5, 1], [0, 4]])
    assert pick("uncertainty+distance", 3, uncertainty=None, features=features, known=NONE)[:2] == [2, 3]


@pytest.mark.parametrize("by", ["random", "uncertainty", "uncertainty+distance"])
def test_each_image_is_picked_once_and_no_more_than_there_are(by):
    features = np.zeros((5, 2))  # all alike
    for uncertainty in (None, np.full(5, 0.5)):
        found = pick(by, 9, uncertainty=uncertainty, features=features, known=NONE, seed=3)
        assert sorted(found) == [0, 1, 2, 3, 4]


def test_random_and_what_is_random_without_a_model_depend_on_the_seed_alone():
    features = np.random.default_rng(0).random((50, 2))
    picks = [
        pick(by, 10, uncertainty=None, features=features, known=NONE, seed=seed)
        for by in ("random", "uncertainty")
        for seed in (1, 2)
    ]
    assert picks[0] == picks[2] != picks[1] == picks[3]


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_doubt_is_the_mean_entropy_as_a_share_of_the_largest(classes):
    logits = np.random.RandomState(classes).randn(classes, 6, 7).astype(np.float32) * 4
    table = ClassTable.named([f"c{number}" for number in range(classes)])
    found = Segmentation(Image.new("RGB", (70, 60)), table, logits)
    softmax = np.exp(logits) / np.exp(logits).sum(0)
    assert doubt(found) == pytest.approx(entropy(softmax, base=classes).mean(), abs=1e-5)


def test_doubt_is_0_where_a_model_is_sure_and_1_where_it_knows_nothing():
    table, photo = ClassTable.named(("a", "b")), Image.new("RGB", (4, 4))
    sure = np.stack([np.full((4, 4), 300.0), np.full((4, 4), -300.0)]).astype(np.float32)
    assert doubt(Segmentation(photo, table, sure)) == 0
    assert doubt(Segmentation(photo, table, np.zeros((2, 4, 4), np.float32))) == pytest.approx(1)


def test_features_tell_kinds_of_images_apart_with_and_without_an_encoder(here, monkeypatch):
    random = np.random.RandomState(0)
    for name, high in (("dark1", 60), ("dark2", 60), ("light1", 255), ("light2", 255)):
        pixels = random.randint(high - 60, high, (40, 50, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(f"{name}.png")
    files = [here / f"{name}.png" for name in ("dark1", "dark2", "light1", "light2")]
    said = []
    for installed in (True, False):
        if not installed:
            monkeypatch.setattr(
                "segnet.models.encoders.efficientnet_weights.PackagedWeights.find", lambda _: None
            )
        encode, what = open_features()
        features = np.stack([encode(file) for file in files])
        said.append(what)
        np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1)
        distances = np.linalg.norm(features[:, None] - features, axis=2)
        assert distances[0, 1] < distances[0, 2]
        assert distances[2, 3] < distances[2, 1]
    assert picking.ENCODER in said[0]
    assert "pip install 'segnet[pretrained]'" in said[1]


def test_colours_are_means_of_cells_and_shares_of_levels():
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8, :, 0] = 255
    found = colours(Image.fromarray(pixels))
    np.testing.assert_allclose(found[: 8 * 8 * 3].reshape(8, 8, 3)[:4, :, 0] * 8, 1)
    shares = found[8 * 8 * 3 :].reshape(3, 8)
    np.testing.assert_allclose(shares[0, [0, 7]], 1 / 6)
    np.testing.assert_allclose(shares[1:, 0], 1 / 3)
