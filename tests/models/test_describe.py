"""What models cost and see, against counts by hand and against memory that stock layers are known to keep."""

import math

import pytest
import torch
from torch import nn

from segnet import MODELS, create_model
from segnet.models.describe import (
    count_macs,
    count_parameters,
    list_layers,
    receptive_field,
    training_bytes,
)


def meta(name, **options):
    with torch.device("meta"):
        return create_model(name, **options)


def by_hand(layers):
    """(kernel, stride) of each layer on the way to the deepest map."""
    field = step = 1
    for kernel, stride in layers:
        field, step = field + (kernel - 1) * step, step * stride
    return field


POOL = (2, 2)
ARTICLE = [*[(3, 1)] * 2, POOL, *[(3, 1)] * 2, POOL, *[(3, 1)] * 3, POOL, *[(3, 1)] * 3, POOL]
LITE = [*[(3, 1)], POOL, *[(3, 1)] * 2, POOL, *[(3, 1)] * 2, POOL, *[(3, 1)] * 2, POOL, *[(5, 1)] * 6]


@pytest.mark.parametrize(
    ("name", "layers", "pixels"),
    [
        ("segnet-basic", [(7, 1), POOL] * 4, 106),  # the paper's figure
        ("segnet", ARTICLE, 100),
        ("segnet-dsc", ARTICLE, 100),
        ("segnet-lite", LITE, 458),
        ("segnet-vgg16", [*ARTICLE, *[(3, 1)] * 3, POOL], 212),
        ("fcn", [*ARTICLE, *[(3, 1)] * 3, POOL, (7, 1)], 404),
        ("unet", [*[*[(3, 1)] * 2, POOL] * 4, *[(3, 1)] * 2], 140),
    ],
)
def test_the_receptive_field_is_the_count_by_hand(name, layers, pixels):
    assert receptive_field(meta(name)) == by_hand(layers) == pixels


def test_a_transformer_sees_the_whole_image():
    assert receptive_field(meta("vit", depth=1)) == math.inf
    assert receptive_field(meta("vit", depth=1, patch=24, image_size=96)) == math.inf


def test_strides_and_dilations_of_a_model_of_ones_own_are_seen():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=4, dilation=4)
    )
    assert receptive_field(model) == 5 + 2 * 4 * 2


def test_stock_pools_count_and_a_mean_over_the_map_sees_all():
    pooled = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(4, 2, 3, padding=1))
    assert receptive_field(pooled) == by_hand([(3, 1), POOL, (3, 1)])
    averaged = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AvgPool2d(8), nn.Conv2d(4, 2, 3, padding=1))
    assert receptive_field(averaged) == by_hand([(3, 1), (8, 8), (3, 1)])

    class Centred(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, image):
            x = self.conv(image)
            return x + x.mean((2, 3), keepdim=True)

    assert receptive_field(Centred()) == math.inf


def test_steps_that_act_on_each_pixel_alone_see_no_further():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, image):
            return torch.sigmoid(self.conv(image))  # no layer, and nothing becomes something

    assert receptive_field(Gated()) == 3
    assert receptive_field(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Softmax(1))) == 3
    assert receptive_field(nn.Conv2d(3, 4, 1)) == 1


@pytest.mark.parametrize(
    ("name", "options", "layers"),
    [
        ("segnet-lite", {"bottleneck": [16, 20, 9]}, [*LITE[:-6], *[(9, 1)] * 20]),  # wider than a first look
        ("segnet", {"stages": 1}, ARTICLE[:3]),
        ("segnet", {"stages": 5}, [*ARTICLE, *[(3, 1)] * 3, POOL]),
    ],
)
def test_options_change_the_receptive_field(name, options, layers):
    assert receptive_field(meta(name, **options)) == by_hand(layers)


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
    receptive_field(model)
    list_layers(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    "name", ["segnet", "segnet-basic", "segnet-dsc", "segnet-lite", "unet", "segnet-vgg16"]
)
def test_training_keeps_what_the_allocator_has_handed_out_and_not_got_back(name):
    model, images = create_model(name).train(), torch.rand(2, 3, 64, 64)
    model(images)  # what is made once and kept
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profiler:
        logits = model(images)
    events = profiler.profiler.kineto_results.events()
    held = sum(event.nbytes() for event in events if event.name() == "[memory]")
    held -= logits.numel() * logits.element_size()
    assert held / 2 == pytest.approx(training_bytes(model, (64, 64)), rel=0.001)
