"""Training with half the maps: the same numbers as the stock layers, and really half the maps."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segnet.core.blocks import ConvBNReLU, DecoderStage, EncoderStage, SeparableBNReLU


def ours_and_stock(*units):
    """The units, and the same as plain layers one after another."""
    torch.manual_seed(0)
    ours = nn.Sequential(*units)
    stock = copy.deepcopy(ours)
    return ours, nn.Sequential(*(layer for unit in stock for layer in unit))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("channels_last", [True, False])
def test_outputs_gradients_and_statistics_equal_those_of_plain_layers(dtype, channels_last):
    ours, stock = ours_and_stock(ConvBNReLU(3, 8), SeparableBNReLU(8, 5), ConvBNReLU(5, 4))
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.rand(4, 3, 33, 21, dtype=dtype).contiguous(memory_format=layout)
    for model in (ours, stock):
        model.to(dtype)(x).pow(3).sum().backward()
    for a, b in zip(ours.parameters(), stock.parameters(), strict=True):
        # sums over 2,772 pixels in another order: of 60 seeds, with one thread, the most was 271 eps
        rounding = 1000 * torch.finfo(dtype).eps * b.grad.abs().max()
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=float(rounding))
    for a, b in zip(ours.buffers(), stock.buffers(), strict=True):
        torch.testing.assert_close(a, b)
    with torch.no_grad():
        assert torch.equal(ours.eval()(x), copy.deepcopy(ours).eval()(x))


def test_bfloat16_gradients_equal_those_of_plain_layers_to_rounding():
    ours, stock = ours_and_stock(ConvBNReLU(3, 16), ConvBNReLU(16, 16), ConvBNReLU(16, 4))
    x = torch.rand(4, 3, 32, 32)
    for model in (ours, stock):
        with torch.autocast("cpu", torch.bfloat16):
            y = model(x)
        y.float().pow(2).sum().backward()
    for a, b in zip(ours.parameters(), stock.parameters(), strict=True):
        assert F.cosine_similarity(a.grad.flatten(), b.grad.flatten(), 0) > 0.999


def test_second_derivatives_agree_with_differences():
    ours = nn.Sequential(ConvBNReLU(2, 3), ConvBNReLU(3, 2)).double()
    x = torch.rand(2, 2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(ours, x)
    assert torch.autograd.gradgradcheck(ours, x)


def test_a_graph_can_be_walked_twice():
    ours, _ = ours_and_stock(ConvBNReLU(3, 4), ConvBNReLU(4, 4))
    y = ours(torch.rand(2, 3, 8, 8)).sum()
    first = torch.autograd.grad(y, tuple(ours.parameters()), retain_graph=True)
    second = torch.autograd.grad(y, tuple(ours.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def kept_bytes(model, *inputs):
    """Bytes of the maps that autograd holds between forward and backward, found by what it really frees."""
    weights = {parameter.data_ptr() for parameter in model.parameters()}
    kept = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        out = model(*inputs)
    del out
    return sum(kept.values())


def test_a_chain_keeps_one_map_for_each_unit():
    ours, stock = ours_and_stock(*[ConvBNReLU(16, 16) for _ in range(8)])
    x = torch.rand(2, 16, 32, 32)
    one_map = x.numel() * 4
    assert kept_bytes(ours, x) < 9.1 * one_map  # the image, eight maps, some numbers for each channel
    assert kept_bytes(stock, x) > 15.9 * one_map


class Stage(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = EncoderStage([ConvBNReLU(4, 8), ConvBNReLU(8, 8)])
        self.decoder = DecoderStage([ConvBNReLU(8, 8), ConvBNReLU(8, 4)])

    def forward(self, x):
        return self.decoder(*self.encoder(x))


def test_an_unpooled_map_is_made_again_with_the_same_gradients():
    torch.manual_seed(0)
    stage = Stage()
    x = torch.rand(2, 4, 17, 19)

    def by_hand(x):
        layers = [layer for unit in stage.encoder.units for layer in unit]
        for layer in layers:
            x = layer(x)
        values, indices = F.max_pool2d(x, 2, return_indices=True)
        y = F.max_unpool2d(values, indices, 2, output_size=x.shape[2:])
        for layer in [layer for unit in stage.decoder.units for layer in unit]:
            y = layer(y)
        return y

    gradients = [torch.autograd.grad(f(x).pow(2).sum(), tuple(stage.parameters())) for f in (stage, by_hand)]
    for ours, stock in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, stock, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("change", ["eval", "frozen", "synchronised"])
def test_whatever_is_not_ordinary_training_runs_the_layers_themselves(change):
    ours, stock = ours_and_stock(ConvBNReLU(3, 4), ConvBNReLU(4, 4))
    if change == "eval":
        ours.eval(), stock.eval()
    if change == "frozen":
        for model in (ours, stock):
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
    if change == "synchronised":
        ours, stock = (nn.SyncBatchNorm.convert_sync_batchnorm(model).eval() for model in (ours, stock))
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(ours(x), stock(x))


def test_one_value_for_each_channel_is_refused_as_stock_does():
    with pytest.raises(ValueError, match="one value for each channel"):
        ConvBNReLU(3, 4)(torch.rand(1, 3, 1, 1))
