"""How far models see, against counts by hand; and what sways a logit, against layers that are known."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from segnet import create_model
from segnet.models.inspection.receptive import effective_field, layer_fields, receptive_field, square_with

from .conftest import meta

# How far a model sees doesn't depend on how many channels it has.
NARROW = {"segnet-vgg16": {"width": 4}, "fcn": {"width": 4, "head": 8}, "unet": {"width": 4}}


def by_hand(layers):
    """(kernel, stride) of each layer on the way to the deepest map."""
    field = step = 1
    for kernel, stride in layers:
        field, step = field + (kernel - 1) * step, step * stride
    return field


POOL = (2, 2)
ARTICLE = [*[(3, 1)] * 2, POOL, *[(3, 1)] * 2, POOL, *[(3, 1)] * 3, POOL, *[(3, 1)] * 3, POOL]
EFFICIENT = [
    (3, 2), (3, 1), (3, 2), (3, 1), (5, 2), (5, 1), (3, 2), *[(3, 1)] * 2, *[(5, 1)] * 3,
    (5, 2), *[(5, 1)] * 3, (3, 1), *[(3, 1)] * 2,
]  # fmt: skip
LITE = [(4, 2), POOL, *[(3, 1)] * 2, POOL, *[(3, 1)] * 2, POOL, *[(5, 1)] * 6]


@pytest.mark.parametrize(
    ("name", "layers", "pixels"),
    [
        ("segnet-basic", [(7, 1), POOL] * 4, 106),  # the paper's figure
        ("segnet", ARTICLE, 100),
        ("segnet-dsc", ARTICLE, 100),
        ("segnet-lite", LITE, 450),
        ("segnet-efficient", EFFICIENT, 979),
        ("segnet-vgg16", [*ARTICLE, *[(3, 1)] * 3, POOL], 212),
        ("fcn", [*ARTICLE, *[(3, 1)] * 3, POOL, (7, 1)], 404),
        ("unet", [*[*[(3, 1)] * 2, POOL] * 4, *[(3, 1)] * 2], 140),
    ],
)
def test_the_receptive_field_is_the_count_by_hand(name, layers, pixels):
    assert receptive_field(meta(name, **NARROW.get(name, {}))) == by_hand(layers) == pixels


def test_a_transformer_sees_the_whole_image():
    assert receptive_field(meta("vit", depth=1, width=64)) == math.inf
    assert receptive_field(meta("vit", depth=1, width=64, patch=24, image_size=96)) == math.inf


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


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("segnet-basic", [(7, 1), POOL] * 4),
        ("segnet", ARTICLE),
        ("segnet-dsc", ARTICLE),
        ("segnet-lite", LITE),
        ("segnet-vgg16", [*ARTICLE, *[(3, 1)] * 3, POOL]),
    ],
)
def test_every_layer_on_the_way_down_sees_what_the_count_by_hand_says(name, layers):
    fields = layer_fields(meta(name, **NARROW.get(name, {})))
    found = [field for field in fields if "conv 1x1" not in field.kind]
    expected = [by_hand(layers[: count + 1]) for count in range(len(layers))]
    assert [field.sees_px for field in found] == expected
    steps = [math.prod(stride for _, stride in layers[: count + 1]) for count in range(len(layers))]
    assert [field.step_px for field in found] == steps


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("unet", [*[*[(3, 1)] * 2, POOL] * 4, *[(3, 1)] * 2]),
        ("fcn", [*ARTICLE, *[(3, 1)] * 3, POOL, (7, 1)]),
    ],
)
def test_pools_that_are_no_modules_are_seen_in_the_next_layer(name, layers):
    fields = layer_fields(meta(name, **NARROW[name]))
    found = [field.sees_px for field in fields if "1x1" not in field.kind]
    expected = [by_hand(layers[: count + 1]) for count in range(len(layers)) if layers[count] != POOL]
    assert found == expected


def test_a_transformers_first_attention_sees_all_and_ends_the_list():
    fields = layer_fields(meta("vit", depth=2, width=64))
    assert [(field.name, field.sees_px) for field in fields] == [
        ("embed", 16), ("blocks.0.query_key_value", 16), ("blocks.0.project", None),
    ]  # fmt: skip
    assert [field.part for field in fields] == ["embed", "blocks.0", "blocks.0"]


def test_looking_leaves_the_model_as_it_was():
    model = create_model("segnet-basic", channels=4, dropout=0.5)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    receptive_field(model)
    layer_fields(model)
    effective_field(model, torch.full((1, 3, 32, 32), 0.5))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_what_sways_the_logit_of_one_convolution_are_its_weights():
    conv = nn.Conv2d(3, 2, 3, padding=1)
    with torch.no_grad():
        conv.bias[:] = torch.tensor([0.0, 1e3])  # the second class wins
    shares = effective_field(conv, torch.rand(4, 3, 9, 9))
    weights = conv.weight[1].detach().abs().sum(0).double().numpy()
    expected = np.zeros((9, 9))
    expected[3:6, 3:6] = weights / weights.sum()
    assert shares == pytest.approx(expected, abs=1e-6)


def test_a_logit_that_depends_on_nothing_has_a_field_of_nothing():
    conv = nn.Conv2d(3, 2, 3, padding=1)
    nn.init.zeros_(conv.weight)
    shares = effective_field(conv, torch.rand(1, 3, 9, 9))
    assert not shares.any()


def test_the_square_that_holds_a_share_is_counted_round_the_centre():
    even = np.full((9, 9), 1 / 81)
    assert [square_with(even, share) for share in (0.01, 1 / 81, 9 / 81, 0.3, 1.0)] == [1, 1, 3, 5, 9]
    corner = np.zeros((8, 8))
    corner[0, 0] = 1.0
    assert square_with(corner, 0.5) == 9  # the centre of 8 is the fifth
