"""Learning rates against torch's own schedulers, and the sizes of progressive training."""

import math

import pytest
import torch
from torch import nn

from segnet import TrainConfig
from segnet.training.schedule import learning_rate, rises_again, train_size


@pytest.mark.parametrize(("model", "step", "gamma"), [("segnet", 7, 0.7), ("vit", 12, 0.8)])
def test_the_articles_schedules_are_torchs_step_lr(model, step, gamma):
    config = TrainConfig(model=model)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=config.lr)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step, gamma)
    for epoch in range(config.epochs):
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


def test_progressive_training_starts_at_half_size_and_ends_at_full_size():
    config = TrainConfig(recipe="modern", epochs=40)
    sizes = [train_size(config, epoch) for epoch in range(40)]
    assert [sizes.count((side, side)) for side in (64, 96, 128)] == [16, 10, 14]
    assert sizes == sorted(sizes)
    assert train_size(TrainConfig(recipe="modern", size=(16, 16)), 0) == (16, 16)


def test_the_last_epoch_is_at_full_size_however_few_there_are():
    for epochs in (1, 2, 3, 60):
        assert train_size(TrainConfig(recipe="modern", epochs=epochs), epochs - 1) == (128, 128)


@pytest.mark.parametrize(
    ("schedule", "epochs", "says"),
    [
        ("cosine", 40, "rises from 3e-08 to 0.5: its schedule (cosine) now ends with epoch 40, not 20"),
        ("cosine", 20, ""),
        ("constant", 40, ""),
        ("step", 40, ""),
    ],
)
def test_a_later_end_that_raises_the_learning_rate_again_is_said_with_both_rates(schedule, epochs, says):
    config = TrainConfig(epochs=epochs, schedule=schedule, lr=1.0)
    line = rises_again(config, 20, 20, 0.0, 3e-8)
    assert line == (says and f"the learning rate {says}")


def test_an_earlier_end_never_raises_the_learning_rate():
    config = TrainConfig(recipe="modern", epochs=20)
    assert not any(rises_again(config, 40, epoch, 0.5, None) for epoch in range(20))
