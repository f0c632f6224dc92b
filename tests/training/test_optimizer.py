"""Which weights decay, and the average against its formula written out."""

import pytest
import torch
from torch import nn

from segnet import TrainConfig
from segnet.training.optimizer import ModelEMA, build_optimizer


def test_norms_and_biases_do_not_decay():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    decayed, spared = build_optimizer(model, TrainConfig(recipe="modern")).param_groups
    assert [tuple(p.shape) for p in decayed["params"]] == [(4, 3, 1, 1)]
    assert decayed["weight_decay"] == 0.02
    assert len(spared["params"]) == 3
    assert spared["weight_decay"] == 0


def test_the_average_follows_its_formula_and_copies_integer_counts():
    model = nn.BatchNorm2d(1)
    average = ModelEMA(model, 0.9)
    expected = 1.0
    for step in range(20):
        with torch.no_grad():
            model.weight.fill_(float(step))
            model.num_batches_tracked += 1
        average.update(model)
        if step == 0:
            expected = 0.0  # the first update copies
        else:
            decay = min(0.9, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay) * step
    assert average.module.weight.item() == pytest.approx(expected, rel=1e-5)
    assert average.module.num_batches_tracked.item() == 20


def test_a_constant_with_infinity_stays_what_it_is():
    model = nn.BatchNorm2d(1)
    model.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    average = ModelEMA(model, 0.9)
    for _ in range(3):
        average.update(model)
    assert average.module.mask.tolist() == [0.0, -torch.inf]
