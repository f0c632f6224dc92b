"""What models cost, against counts by hand and against memory that stock layers are known to keep."""

import pytest
import torch
from torch import nn

from segnet import MODELS, create_model
from segnet.models.inspection.costs import (
    count_macs,
    count_parameters,
    list_layers,
    training_bytes,
)

from .conftest import meta


@pytest.mark.parametrize("name", MODELS)
def test_layers_sum_to_the_model_and_leave_it_as_it_was(name):
    model = meta(name)
    layers = list_layers(model)
    assert sum(layer.parameters for layer in layers) == count_parameters(model)
    assert sum(layer.macs for layer in layers) == count_macs(model)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_pools_and_unpools_are_lines_of_their_own_with_two_bits_a_window():
    layers = list_layers(meta("segnet"))
    pools = [(layer.name, layer.shape, layer.index_bytes) for layer in layers if layer.index_bytes]
    assert pools == [
        (f"encoder.{i}.pool", (64 << i, 64 >> i, 64 >> i), (64 << i) * (64 >> i) ** 2 // 4) for i in range(4)
    ]
    unpools = [layer.shape for layer in layers if layer.kind == "un-pool"]
    assert unpools == [(512, 16, 16), (256, 32, 32), (128, 64, 64), (64, 128, 128)]
    assert sum(layer.index_bytes for layer in layers) == 491_520 // 4  # windows of the article's model


def test_layers_say_what_they_are():
    kinds = {layer.name: layer.kind for layer in list_layers(meta("segnet-dsc", stages=1))}
    assert kinds["encoder.0.units.0.0"] == "depthwise conv 3x3"
    assert kinds["encoder.0.units.0.1"] == "conv 1x1"
    assert kinds["normalise"] == "batch norm"
    unet = {layer.kind for layer in list_layers(meta("unet", width=4))}
    assert "transposed conv 2x2" in unet
    vit = {layer.name: layer for layer in list_layers(meta("vit"))}
    assert vit["position"].parameters == 64 * 768
    assert vit["blocks.3"].macs == 2 * 64 * 64 * 768  # attention's own products


def test_training_keeps_what_stock_layers_are_known_to_keep():
    pixels = 32 * 32 * 4  # bytes of a channel
    # convolutions keep their inputs, a sigmoid what it gives, a batch norm its input and two values a channel
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Sigmoid(), nn.Conv2d(8, 2, 3, padding=1))
    assert training_bytes(model, (32, 32)) == 8 * pixels  # what the sigmoid gives, kept once for both
    normed = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 2, 1))
    assert (
        training_bytes(normed, (32, 32)) == 16 * pixels + 2 * 8 * 4 // 2
    )  # statistics are kept once for both images


def test_our_units_keep_half_of_what_stock_ones_do():
    stock = nn.Sequential(
        *[
            m
            for _ in range(3)
            for m in (nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        ]
    )
    from segnet.core.blocks import ConvBNReLU

    ours = nn.Sequential(*[ConvBNReLU(8, 8) for _ in range(3)])
    ratio = training_bytes(ours, (64, 64), 8) / training_bytes(stock, (64, 64), 8)
    assert 0.45 < ratio < 0.7


def test_measuring_changes_neither_weights_nor_statistics_nor_the_random_numbers():
    torch.manual_seed(0)
    model = create_model("segnet-basic", channels=4, dropout=0.5)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    training_bytes(model)
    list_layers(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("segnet", {}),
        ("segnet-basic", {}),
        ("segnet-dsc", {}),
        ("segnet-lite", {}),
        ("unet", {"width": 16}),
        ("segnet-vgg16", {"width": 16}),
    ],
)
def test_training_keeps_what_the_allocator_has_handed_out_and_not_got_back(name, options):
    model, images = create_model(name, **options).train(), torch.rand(2, 3, 64, 64)
    model(images)  # what is made once and kept
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profiler:
        logits = model(images)
    events = profiler.profiler.kineto_results.events()
    held = sum(event.nbytes() for event in events if event.name() == "[memory]")
    held -= logits.numel() * logits.element_size()
    assert held / 2 == pytest.approx(training_bytes(model, (64, 64)), rel=0.001)
