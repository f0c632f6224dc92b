"""What changes the weights: the optimizer, and the average that follows them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from segnet.training.config import TrainConfig

Tensors = tuple[Tensor, ...] | list[Tensor]


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimizer; only weights of two or more dimensions decay, not norms and biases."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=0.9)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr)
    return torch.optim.Adam(groups, lr=config.lr)


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """Return an exponential moving average of the model's weights and batch-norm statistics.

    The decay starts low and rises to its value, so that the average doesn't drag the first random weights
    along (as TensorFlow's ExponentialMovingAverage does with ``num_updates``).
    """

    def update(average: Tensors, current: Tensors, count: Tensor | int) -> None:
        steps = int(count)
        weight = 1 - min(decay, (1 + steps) / (10 + steps))
        if average[0].is_floating_point():
            torch._foreach_lerp_(average, current, weight)
        else:  # batch norm counts its batches in integers
            torch._foreach_copy_(average, current)

    return AveragedModel(model, multi_avg_fn=torch.no_grad()(update), use_buffers=True)
