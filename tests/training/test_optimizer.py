"""Learning rates and averages against torch's own schedulers and the written-out formula."""

import math

import pytest
import torch
from torch import nn

from segnet import TrainConfig
from segnet.training.optimizer import averaged, build_optimizer, learning_rate


def test_the_articles_schedule_is_torchs_step_lr():
    config = TrainConfig()
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=config.lr)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 7, 0.7)
    for epoch in range(20):
        assert learning_rate(config, epoch, 0.5) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()


def test_cosine_rises_for_the_warm_up_and_falls_to_zero():
    config = TrainConfig(recipe="modern", epochs=10, warmup_epochs=2, lr=1.0)
    rates = [learning_rate(config, epoch, 0.0) for epoch in range(11)]
    assert rates[0] == pytest.approx(0.0005)
    assert rates[1] == pytest.approx(0.5, abs=1e-3)
    assert rates[2] == pytest.approx(1.0)
    assert rates[6] == pytest.approx(0.5 * (1 + math.cos(math.pi / 2)))
    assert rates[10] == pytest.approx(0.0, abs=1e-12)


def test_norms_and_biases_do_not_decay():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    decayed, spared = build_optimizer(model, TrainConfig(recipe="modern")).param_groups
    assert [tuple(p.shape) for p in decayed["params"]] == [(4, 3, 1, 1)]
    assert decayed["weight_decay"] == 0.02
    assert len(spared["params"]) == 3
    assert spared["weight_decay"] == 0


def test_the_average_follows_its_formula_and_copies_integer_counts():
    model = nn.BatchNorm2d(1)
    average = averaged(model, 0.9)
    expected = 1.0
    for step in range(20):
        with torch.no_grad():
            model.weight.fill_(float(step))
            model.num_batches_tracked += 1
        average.update_parameters(model)
        if step == 0:
            expected = 0.0  # the first update copies
        else:
            decay = min(0.9, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay) * step
    assert average.module.weight.item() == pytest.approx(expected, rel=1e-5)
    assert average.module.num_batches_tracked.item() == 20
