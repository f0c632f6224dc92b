"""What layers look for and find, against the modules called one after the other by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segnet import MODELS, create_model
from segnet.base.errors import SegnetError
from segnet.models.inspection.activations import (
    feature_maps,
    first_kernels,
    map_shapes,
    most_telling,
    norm_units,
    require_layer,
    strongest_places,
    unit_steps,
    usual_layers,
)

SMALL = {
    "fcn": {"width": 8, "head": 32},
    "unet": {"width": 8},
    "segnet-vgg16": {"width": 8},
    "vit": {"depth": 2},
}


def fresh(name):
    torch.manual_seed(0)
    return create_model(name, **SMALL.get(name, {})).eval()


def images(count=2):
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def test_maps_of_a_unit_are_what_its_layers_give_by_hand():
    model = fresh("segnet")
    conv, norm, _ = model.encoder[0].units[0]
    x = model.normalise(images())
    expected = F.relu(
        F.batch_norm(
            F.conv2d(x, conv.weight, padding=1), norm.running_mean, norm.running_var, norm.weight, norm.bias
        )
    )
    found = feature_maps(model, images(), "encoder.0.units.0")
    assert torch.allclose(found, expected, atol=1e-5)
    raw = feature_maps(model, images(), "encoder.0.units.0.1")
    assert raw.min() < 0, "before ReLU, which works in place"


def test_maps_of_a_stage_are_the_pooled_ones():
    model = fresh("segnet")
    units = feature_maps(model, images(), "encoder.0.units")
    assert torch.equal(feature_maps(model, images(), "encoder.0"), F.max_pool2d(units, 2))


def test_tokens_are_put_where_their_patches_were():
    model = fresh("vit")
    shapes = map_shapes(model, images())
    assert shapes["embed"] == shapes["blocks.1"] == (768, 4, 4)
    tokens = model.embed(F.pixel_unshuffle(model.normalise(images()), 16).movedim(1, -1))
    assert torch.allclose(feature_maps(model, images(), "embed")[:, :, 2, 3], tokens[:, 2, 3], atol=1e-5)


def test_the_kernels_of_a_transformer_are_patches():
    model = fresh("vit")
    kernels = first_kernels(model)
    assert kernels.weights.shape == (768, 3, 16, 16)
    patch = torch.rand(1, 3, 16, 16)
    by_kernel = (kernels.weights * patch).sum((1, 2, 3)) + model.embed.bias
    by_layer = model.embed(F.pixel_unshuffle(patch, 16).flatten(1))[0]
    assert torch.allclose(by_kernel, by_layer, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "first", "early", "deep"),
    [
        ("segnet", "encoder.0.units.0.0", "encoder.0.units.0", "encoder.3"),
        ("segnet-basic", "encoder.0.units.0.0", "encoder.0.units.0", "encoder.3"),
        ("segnet-dsc", "encoder.0.units.0.0", "encoder.0.units.0.0", "encoder.3"),
        ("segnet-lite", "encoder.0.units.0.0", "encoder.0.units.0", "bottleneck"),
        ("segnet-vgg16", "encoder.0.units.0.0", "encoder.0.units.0", "encoder.4"),
        ("fcn", "encoder.0.0.0", "encoder.0.0", "head"),
        ("unet", "encoder.0.0.0", "encoder.0.0", "bottom"),
    ],
)
def test_two_layers_that_say_much_are_found(name, first, early, deep):
    model = fresh(name)
    assert first_kernels(model).layer == first
    assert usual_layers(map_shapes(model, images()), first) == (early, deep)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_them(name):
    model = fresh(name)
    shapes = map_shapes(model, images())
    for layer in usual_layers(shapes, first_kernels(model).layer):
        assert feature_maps(model, images(), layer).shape == (2, *shapes[layer])
    assert not any(module._forward_hooks for module in model.modules())


def test_strongest_places_are_those_of_the_whole_batch():
    model = fresh("segnet-lite")
    maps = feature_maps(model, images(11), "encoder.1")
    found = strongest_places(model, images(11), "encoder.1")
    assert found.values.shape == (11, 96)
    for image, channel in ((0, 0), (8, 7), (10, 47)):
        row, column = found.rows[image, channel], found.columns[image, channel]
        assert found.values[image, channel] == pytest.approx(float(maps[image, channel].max()), abs=1e-5)
        assert maps[image, channel, row, column] == pytest.approx(float(maps[image, channel].max()), abs=1e-5)


def test_the_channels_that_vary_most_are_told_by_number():
    maps = torch.zeros(5, 4, 4)
    maps[1, 0, 0], maps[4, 0, 0], maps[2] = 3, 5, 7  # the third is bright and even
    assert most_telling(maps, 2) == [1, 4]
    assert most_telling(maps, 9) == [0, 1, 2, 3, 4]


def test_what_is_not_there_is_refused():
    shapes = map_shapes(fresh("segnet-lite"), images())
    with pytest.raises(SegnetError, match=r"no layer 'bottlenek' that gives maps; did you mean 'bottleneck'"):
        require_layer(shapes, "bottlenek", None)
    with pytest.raises(SegnetError, match="no layer 'zzz' that gives maps; segnet models NAME lists them"):
        require_layer(shapes, "zzz", None)
    with pytest.raises(SegnetError, match="no layer ''"):
        require_layer(shapes, "", None)
    for channel in (-1, 256):
        with pytest.raises(SegnetError, match=f"bottleneck has channels 0 to 255, got {channel}"):
            require_layer(shapes, "bottleneck", channel)
    with pytest.raises(SegnetError, match="no convolution whose kernels"):
        first_kernels(nn.Sequential(nn.ReLU()))


def test_steps_of_a_unit_are_its_layers_one_after_the_other():
    model = fresh("segnet")
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
    conv, norm, _ = model.encoder[0].units[0]
    convolved = conv(model.normalise(images()))
    steps = unit_steps(model, images())
    assert steps.unit == "encoder.0.units.0"
    assert torch.allclose(steps.convolved, convolved, atol=1e-6)
    by_hand = (convolved - norm.running_mean[:, None, None]) / (
        norm.running_var[:, None, None] + norm.eps
    ).sqrt()
    assert torch.allclose(steps.normed, by_hand, atol=1e-5)
    assert torch.equal(steps.given, steps.normed.clamp(min=0))


def test_a_unit_that_adds_its_input_gives_more_than_relu():
    steps = unit_steps(fresh("segnet-lite"), images(), "encoder.1.units.1")
    added = feature_maps(fresh("segnet-lite"), images(), "encoder.1.units.0")
    assert torch.allclose(steps.given, (steps.normed + added).relu(), atol=1e-6)


def test_units_are_those_right_above_a_batch_norm():
    assert len(norm_units(fresh("segnet"))) == 20  # as many convolutions; the image's own norm is none
    with pytest.raises(SegnetError, match=r"no unit 'encoder.0.unit' with a batch norm; did you mean"):
        unit_steps(fresh("segnet"), images(), "encoder.0.unit")
    with pytest.raises(SegnetError, match=r"no unit 'z' with a batch norm; the first is 'encoder.0.units.0'"):
        unit_steps(fresh("segnet"), images(), "z")
    with pytest.raises(SegnetError, match="no batch norm between its layers"):
        unit_steps(fresh("vit"), images())
