"""Losses against stock PyTorch and at the edges where a run would otherwise die."""

import pytest
import torch
import torch.nn.functional as F

from segnet.objectives.losses import cross_entropy


def test_cross_entropy_equals_stock_over_the_pixels_that_count():
    logits = torch.randn(2, 3, 5, 5, dtype=torch.float32, requires_grad=True)
    mask = torch.randint(0, 3, (2, 5, 5))
    mask[0, :2] = 255
    ours = cross_entropy(logits, mask.to(torch.uint8))
    stock = F.cross_entropy(logits, mask, ignore_index=255)
    assert ours.item() == pytest.approx(stock.item())
    torch.testing.assert_close(
        torch.autograd.grad(ours, logits, retain_graph=True), torch.autograd.grad(stock, logits)
    )


def test_a_batch_of_ignored_pixels_has_loss_and_gradient_zero():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = cross_entropy(logits, torch.full((1, 4, 4), 255, dtype=torch.uint8))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_bfloat16_logits_are_summed_in_float32():
    logits = torch.zeros(1, 3, 64, 64, dtype=torch.bfloat16)
    mask = torch.zeros(1, 64, 64, dtype=torch.uint8)
    assert cross_entropy(logits, mask).item() == pytest.approx(torch.log(torch.tensor(3.0)).item(), rel=1e-6)
