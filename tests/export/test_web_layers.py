"""Models as layers for browsers: the file that was read back computes what the module in PyTorch does."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from segnet import MODELS, SegnetError, create_model
from segnet.core.blocks import ConvBN, ConvBNReLU
from segnet.data.images.intensity import Intensity
from segnet.export.layers import network_of
from segnet.export.reference import Reference
from segnet.export.web.web_file import from_bytes, to_bytes
from segnet.models.segnet import SegNet

from .browser_networks import REFUSED, TAKEN, describe, exact


def read_back(network, precision="float16"):
    return from_bytes(to_bytes({}, network, precision), Path("model.segnet"))[1]


def images(height, width, channels=3, count=1):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def logits_of(model, pixels):
    with torch.no_grad():
        return model(torch.from_numpy(pixels).permute(0, 3, 1, 2).double() / 255).numpy()


def test_every_model_is_taken_or_refused():
    assert {name for name, _ in TAKEN.values()} | REFUSED.keys() == MODELS.keys()


@pytest.mark.parametrize("case", TAKEN)
def test_a_file_gives_the_logits_of_its_model(case):
    """In float64 there is no rounding, which would let another value win in a pooling window."""
    model, description = exact(*TAKEN[case])
    reference = Reference(read_back(network_of(model, description)), torch.float64)
    for height, width in [(33, 47), (64, 32)]:
        pixels = images(height, width, count=2)
        expected, found = logits_of(model, pixels), reference.logits(pixels)
        assert np.ptp(expected) > 0.01
        assert found.shape == expected.shape == (2, 3, height, width)
        assert np.abs(found - expected).max() <= 1e-9 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["segnet-lite", "segnet-dsc", "segnet-efficient"])
def test_grey_images_are_taken_too(name):
    model, description = exact(name, {"stages": 1} if name == "segnet-dsc" else {"width": 0.25}, channels=1)
    reference = Reference(read_back(network_of(model, description)), torch.float64)
    pixels = images(40, 33, channels=1)
    expected = logits_of(model, pixels)
    assert np.abs(reference.logits(pixels) - expected).max() <= 1e-9 * np.abs(expected).max()


def test_in_float32_it_is_equal_to_rounding():
    model, description = exact(*TAKEN["segnet-lite"])
    pixels = images(48, 64)
    expected = logits_of(model, pixels)
    found = Reference(read_back(network_of(model, description))).logits(pixels)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def test_layers_follow_each_other_as_in_the_module_and_bear_its_names():
    options = {"stages": [[8, 1], [16, 1]], "bottleneck": [16, 1, 3]}
    layers = network_of(*exact("segnet-lite", options)).layers
    assert [(layer.op, layer.name, layer.source) for layer in layers] == [
        ("conv", "encoder.0.units.0", 0),
        ("conv", "encoder.0.lateral", 1),
        ("pool", "encoder.0", 1),
        ("depthwise", "encoder.1.units.0.depthwise", 3),
        ("conv", "encoder.1.units.0.pointwise", 4),
        ("conv", "encoder.1.lateral", 5),
        ("pool", "encoder.1", 5),
        ("depthwise", "bottleneck.0.depthwise", 7),
        ("conv", "bottleneck.0.pointwise", 8),
        ("unpool", "decoder.0", 9),
        ("depthwise", "decoder.0.units.0.depthwise", 10),
        ("conv", "decoder.0.units.0.pointwise", 11),
        ("unpool", "decoder.1", 12),
        ("depthwise", "decoder.1.units.0.depthwise", 13),
        ("conv", "decoder.1.units.0.pointwise", 14),
        ("conv", "classifier", 15),
        ("shuffle", "pixel_shuffle", 16),
    ]
    unpools = [(layer.codes, layer.add) for layer in layers if layer.op == "unpool"]
    assert unpools == [(7, 6), (3, 2)]
    assert [layer.add for layer in layers if layer.name == "bottleneck.0.pointwise"] == [7]


def test_even_sides_get_tensorflows_padding():
    layers = network_of(*exact("segnet-efficient", {"width": 0.25})).layers
    assert {(layer.kernel, layer.pad) for layer in layers if layer.stride == 2} == {(3, (0, 1)), (5, (1, 2))}


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_no_layer_has_dropout(precision):
    with_it, without = (
        network_of(*exact("segnet-basic", {"channels": 4, "dropout": dropout})) for dropout in (0.5, 0.0)
    )
    assert to_bytes({}, with_it, precision) == to_bytes({}, without, precision)


class Tiny(nn.Module):
    def forward(self, image):
        return image


class Smoothed(SegNet):
    def forward(self, image):
        return super().forward(image).sigmoid()


@pytest.mark.parametrize("name", REFUSED)
def test_another_model_is_refused_by_its_name(name):
    with pytest.raises(SegnetError, match=f"^{name} doesn't run in segnet's engine .* --to onnx"):
        network_of(create_model(name, 3, **REFUSED[name]), describe(name))


@pytest.mark.parametrize("own", [Tiny(), Smoothed(stages=1)])
def test_a_module_of_the_users_own_is_refused_by_its_name(own):
    with pytest.raises(SegnetError, match=r"^my\.Net doesn't run in segnet's engine for browsers"):
        network_of(own, describe("my.Net"))


REFUSED_IMAGES = {
    "patches": ({"patch_scale": 0.5}, "takes patches of an image"),
    "more than 8 bits": ({"intensity": Intensity(3, ((0.0, 900.0),) * 3)}, "more than 8 bits"),
    "four channels": ({"intensity": Intensity(4)}, "images of 4 channels"),
}


@pytest.mark.parametrize("case", REFUSED_IMAGES)
def test_images_that_a_page_cannot_prepare_are_refused(case):
    said, says = REFUSED_IMAGES[case]
    model, _ = exact("segnet", {"stages": 1})
    with pytest.raises(SegnetError, match=rf"^this segnet .*{says}.*; take --to onnx"):
        network_of(model, describe("segnet", **said))


def other_activation(model):
    model.encoder[0].units[1][2] = nn.LeakyReLU(0.1)


def other_norm(model):
    model.encoder[1].units[0][1] = nn.GroupNorm(4, 128)


def norm_of_the_batch(model):
    model.normalise = nn.BatchNorm2d(3, track_running_stats=False)


def other_unit(model):
    model.decoder[0].units[0] = nn.AvgPool2d(3, 1, 1)


def other_stage(model):
    model.encoder[1] = nn.Sequential(model.encoder[1])


def dilated(model):
    conv = model.encoder[0].units[0][0]
    conv.dilation, conv.padding = (2, 2), (2, 2)


def mirrored_edges(model):
    model.encoder[0].units[0][0].padding_mode = "reflect"


def grouped(model):
    model.encoder[0].units[1][0] = nn.Conv2d(64, 64, 3, padding=1, groups=4, bias=False)


CHANGED = {
    other_activation: r"encoder\.0\.units\.1\.2, which is LeakyReLU\(negative_slope=0\.1\)",
    other_norm: r"encoder\.1\.units\.0\.1, which is GroupNorm",
    norm_of_the_batch: r"normalise, which is BatchNorm2d",
    other_unit: r"decoder\.0\.units\.0, which is AvgPool2d",
    other_stage: r"encoder\.1, which is Sequential",
    dilated: r"encoder\.0\.units\.0\.0, which is Conv2d\(.*dilation=\(2, 2\)",
    mirrored_edges: r"encoder\.0\.units\.0\.0, which is Conv2d\(.*padding_mode=reflect",
    grouped: r"encoder\.0\.units\.1\.0, which is Conv2d\(.*groups=4",
}


@pytest.mark.parametrize("change", CHANGED)
def test_a_module_inside_that_the_engine_does_not_know_is_refused_by_its_name(change):
    model, description = exact("segnet", {"stages": 2})
    change(model)
    with pytest.raises(SegnetError, match=f"can't run {CHANGED[change]}") as error:
        network_of(model, description)
    assert "\n" not in str(error.value)


def test_a_unit_may_stand_in_anothers_place():
    """Whatever is made of units that the engine knows runs, and not only what we built."""
    model, description = exact("segnet", {"stages": 1})
    model.decoder[0].units[0] = nn.Sequential(nn.Conv2d(64, 64, 1), nn.BatchNorm2d(64), nn.ReLU6()).double()
    model.decoder[0].units[1] = ConvBN(64, 3, 5).double()
    model.eval()
    reference = Reference(network_of(model, description), torch.float64)
    pixels = images(17, 20)
    assert np.allclose(reference.logits(pixels), logits_of(model, pixels), rtol=1e-5, atol=1e-6)
    assert isinstance(model.encoder[0].units[0], ConvBNReLU)
