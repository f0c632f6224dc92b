"""What changes the weights: the optimizer, and the average that follows them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import nn

from segnet.models.inspection.costs import learned_names
from segnet.training.configuration.config import TrainConfig
from segnet.training.schedule import learning_rate


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimizer, as it is for the first step.

    Only weights of two or more dimensions decay, not norms and biases. Where the encoder learns at a rate of
    its own, its groups stand behind the others and say so by ``lr_share``.
    """
    lr = learning_rate(config, 0, 0.0)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if config.encoder_lr == 1:
        groups = _groups(parameters, config)
    else:
        own = {id(parameter) for parameter in model.get_submodule("encoder").parameters()}
        groups = _groups([p for p in parameters if id(p) not in own], config)
        groups += _groups([p for p in parameters if id(p) in own], config, lr_share=config.encoder_lr)
    kinds: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "sgd": partial(torch.optim.SGD, momentum=0.9),
        "adamw": torch.optim.AdamW,
        "adam": torch.optim.Adam,
    }
    return kinds[config.optimizer](groups, lr=lr)


def _groups(parameters: list[nn.Parameter], config: TrainConfig, **more: float) -> list[dict[str, Any]]:
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay, **more},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0, **more},
    ]


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next step; a group with an ``lr_share`` takes that part of it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_share", 1.0)


def has_average(config: TrainConfig) -> bool:
    """Say whether weights are averaged: the average is then what is validated and kept."""
    return config.ema_decay > 0


def build_average(model: nn.Module, config: TrainConfig) -> ModelEMA | None:
    """Return the average that follows a model's weights; None where there is none."""
    return ModelEMA(model, config.ema_decay) if has_average(config) else None


class ModelEMA:
    """An exponential moving average of a model's weights and batch-norm statistics.

    The decay starts low and rises to its value, so that the average doesn't drag the first random weights
    along (as TensorFlow's ExponentialMovingAverage does with ``num_updates``). The updates are counted here:
    torch's ``AveragedModel`` counts them on the device, and reading that waits for it at every step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay
        self.updates = 0
        learned = learned_names(model)
        self._averages = [
            name in learned and tensor.is_floating_point()
            for name, tensor in chain(model.named_parameters(), model.named_buffers())
        ]

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take the model's weights in; the first time they are the average."""
        own, current = (list(chain(m.parameters(), m.buffers())) for m in (self.module, model))
        all_pairs = [*zip(own, current, strict=True)]
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.updates else 0.0
        averaged = [pair for pair, averages in zip(all_pairs, self._averages, strict=True) if averages]
        # not averaged is a count of batches, or a constant: an attention's mask has -inf, and no mean
        copied = [pair for pair, averages in zip(all_pairs, self._averages, strict=True) if not averages]
        if decay:
            torch._foreach_lerp_([a for a, _ in averaged], [b for _, b in averaged], 1 - decay)
        else:
            copied += averaged
        if copied:
            torch._foreach_copy_([a for a, _ in copied], [b for _, b in copied])
        self.updates += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the number of updates and the averaged module's state."""
        return {"updates": self.updates, "module": self.module.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""
        self.module.load_state_dict(state["module"])
        self.updates = int(state["updates"])
