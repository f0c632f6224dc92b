"""Trainings of seconds for figures: what a seed decides, what is held out, and what is compared."""

import numpy as np
import pytest
import torch

from segnet.data.pets import PET_CLASSES
from segnet.data.synthetic import SyntheticSample
from segnet.scoring.score_split import evaluate_split, predictor
from segnet.training import in_memory
from segnet.training.in_memory import compare_trained, learn, read_samples, small_segnet, train_and_watch

CPU = torch.device("cpu")


def trained_on(count):
    """The first of the drawn pets to train on; those between them are held out."""
    return read_samples([SyntheticSample(0, 2 * number) for number in range(count)], 32)


@pytest.fixture
def tiny(monkeypatch):
    for name, value in {"FROM": 8, "ON": 4, "PX": 32, "EPOCHS": 1}.items():
        monkeypatch.setattr(in_memory, f"_COMPARE_{name}", value)
    for name, value in {"_LEARN_FROM": 8, "_LOOK_AT": 4, "_SIDE_PX": 32, "_EPOCHS": 3}.items():
        monkeypatch.setattr(in_memory, name, value)


def test_a_seed_decides_what_is_learnt_whatever_happens_between_epochs():
    pets = trained_on(9)
    undisturbed, disturbed, another = small_segnet(0), small_segnet(0), small_segnet(1)
    losses = [*learn(undisturbed, pets, 2, 0)]
    same = []
    for loss in learn(disturbed, pets, 2, 0):
        same.append(loss)
        torch.manual_seed(99)
        evaluate_split(predictor(disturbed), pets, PET_CLASSES, CPU)
    assert losses == same != [*learn(another, pets, 2, 1)]
    ours, theirs = undisturbed.state_dict(), disturbed.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_learning_is_shown_of_one_pet_that_was_held_out(tiny):
    figure = train_and_watch("2", most=2)
    assert figure.image_name == "synthetic-0-00003"
    assert [each.epoch for each in figure.epochs] == [1, 3]
    assert [*figure.curve] == [1, 2, 3]
    assert figure.epochs[1].mean_iou == figure.curve[3]
    assert np.array_equal(figure.truth, PET_CLASSES.paint(read_samples([SyntheticSample(0, 3)], 32).masks[0]))


def test_ways_are_compared_by_models_that_have_learnt_in_them(tiny):
    figure = compare_trained(("bilinear",), seed=3)
    assert [result.way for result in figure.results] == ["indices", "bilinear"]
    assert figure.results[0].scores.loss != figure.results[1].scores.loss
    alone = small_segnet(3)
    assert len([*learn(alone, trained_on(8), 1, 3)]) == 1
    held_out = read_samples([SyntheticSample(0, 2 * number + 1) for number in range(4)], 32)
    assert figure.results[0].scores.loss == evaluate_split(predictor(alone), held_out, PET_CLASSES, CPU).loss
    assert "one seed (3)" in figure.note
