"""Batch norm over many processes, in one: it is torch's own. tests/base/test_collectives.py has three."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from segnet.core.sync_batch_norm import synchronised


def train_step(precision, memory_format, in_step):
    """Return what a step finds: gradients of images and weights, and running statistics."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 8, 3, bias=False)]
    model = nn.Sequential(*layers, nn.BatchNorm2d(8))
    nn.init.normal_(model[1].weight)
    nn.init.normal_(model[4].weight)
    images, factors = 3 + torch.randn(4, 3, 20, 24), torch.rand(4, 8, 16, 20)
    exact = torch.float64 if precision == torch.float64 else torch.float32
    model.to(exact, memory_format=memory_format)
    images = images.to(exact, memory_format=memory_format).requires_grad_()
    with in_step(model), torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        (model(images) * factors).mean().backward()
    found = [images.grad, *(parameter.grad for parameter in model.parameters()), *model.buffers()]
    return [each.double() for each in found]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("precision", [torch.float64, torch.float32, torch.bfloat16])
def test_alone_it_is_as_exact_as_torchs_own(precision, memory_format):
    truths = train_step(torch.float64, memory_format, nullcontext)
    theirs = train_step(precision, memory_format, nullcontext)
    ours = train_step(precision, memory_format, synchronised)
    for truth, its, own in zip(truths, theirs, ours, strict=True):
        scale = truth.abs().max()
        assert (own - truth).abs().max() <= 3 * (its - truth).abs().max() + 1e-6 * scale
