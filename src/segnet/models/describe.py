"""What a model costs: parameters and multiply-adds, counted on the live module."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(model: nn.Module) -> int:
    """Return the number of trained values; batch-norm statistics are not among them."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_macs(model: nn.Module, size: tuple[int, int] = (128, 128), in_channels: int = 3) -> int:
    """Return the multiply-adds of one image ``(in_channels, *size)`` in convolutions and matrix products.

    Runs on the meta device: nothing is computed and the model stays as it is.
    """
    twin = copy.deepcopy(model).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        twin(torch.empty(1, in_channels, *size, device="meta"))
    return int(counter.get_total_flops()) // 2
