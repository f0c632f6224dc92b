"""EfficientNet-Lite as an encoder: with the published weights it gives the maps of other people's code."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from segnet import SegnetError, create_model
from segnet.models.encoders.efficientnet_lite import (
    SCALES,
    EfficientNetLite,
    InvertedResidual,
    SamePaddedConv,
)
from segnet.models.encoders.efficientnet_weights import PUBLISHED, load_efficientnet
from segnet.models.inspection.costs import count_parameters

CHANNELS = {
    "efficientnet-lite0": [16, 24, 40, 112, 320],
    "efficientnet-lite1": [16, 24, 40, 112, 320],
    "efficientnet-lite2": [16, 24, 48, 120, 352],
}
# of the published files, less the head: 1x1 convolution to 1280, its batch norm, and the 1000 classes
PARAMETERS = {
    "efficientnet-lite0": 2_958_848,
    "efficientnet-lite1": 3_723_520,
    "efficientnet-lite2": 4_357_952,
}


def published(name):
    path = PUBLISHED[name].find()
    if path is None:
        pytest.skip(f"the package {PUBLISHED[name].module} isn't installed")
    return path


def maps(levels, x):
    found = []
    for level in levels:
        x = level(x)
        found.append(x)
    return found


@pytest.mark.parametrize("name", SCALES)
def test_has_the_channels_and_parameters_of_the_published_networks(name):
    with torch.device("meta"):
        levels = EfficientNetLite(name)
    assert [*levels.channels] == CHANNELS[name]
    assert count_parameters(levels) == PARAMETERS[name]


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize("size", [(224, 224), (128, 128), (97, 130), (33, 65)])
def test_with_the_published_weights_it_gives_the_maps_of_another_implementation(name, size):
    others = pytest.importorskip("efficientnet_lite_pytorch", reason="the other implementation")
    path = published(name)
    levels = EfficientNetLite(name)
    load_efficientnet(path, levels)
    other = others.EfficientNet.from_name(name, image_size=None).eval()
    other.load_state_dict(torch.load(path, weights_only=True))
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    deepest = {}
    with torch.no_grad():
        y = other._swish(other._bn0(other._conv_stem(x)))
        for block in other._blocks:
            y = block(y)
            deepest[y.shape[-2:]] = y
        for found in maps(levels.eval(), x):
            torch.testing.assert_close(found, deepest[found.shape[-2:]], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [(8, 8), (9, 8), (8, 9), (1, 2)])
def test_padding_is_tensorflows_by_its_formula(kernel, size):
    conv = SamePaddedConv(2, 3, kernel, 2)
    x = torch.randn(1, 2, *size)
    padding = []
    for side in reversed(size):  # https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2
        whole = max((-(-side // 2) - 1) * 2 + kernel - side, 0)
        padding += [whole // 2, whole - whole // 2]
    expected = nn.functional.conv2d(nn.functional.pad(x, padding), conv.weight, stride=2)
    torch.testing.assert_close(conv(x), expected)


def state(levels, name):
    """What a published file of these weights would hold, without its head."""
    given = {"_conv_stem.weight": levels[0][0][0].weight}
    blocks = [block for block in levels.modules() if isinstance(block, InvertedResidual)]
    norms = {"_bn0": levels[0][0][1]}
    for number, block in enumerate(blocks):
        for place, part in enumerate(("expand", "depthwise", "project")):
            unit = getattr(block, part)
            if isinstance(unit, nn.Sequential):
                given[f"_blocks.{number}._{part}_conv.weight"] = unit[0].weight
                norms[f"_blocks.{number}._bn{place}"] = unit[1]
    for key, norm in norms.items():
        given |= {
            f"{key}.{entry}": getattr(norm, entry)
            for entry in ("weight", "bias", "running_mean", "running_var")
        }
    return {key: value.detach().clone() for key, value in given.items()}


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(1)
    levels = EfficientNetLite("efficientnet-lite0")
    return state(levels, "efficientnet-lite0")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_model_starts_from_a_file_of_weights(tmp_path, weights, suffix):
    path = tmp_path / f"weights{suffix}"
    save_file(weights, path) if suffix == ".safetensors" else torch.save(weights, path)
    model = create_model("segnet-efficient")
    model.load_encoder(path)
    found = state(model.encoder, "efficientnet-lite0")
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[key], weights[key]) for key in found)


def test_grey_images_give_the_maps_of_the_same_images_in_colour(tmp_path, weights):
    torch.save(weights, tmp_path / "weights.pth")
    grey, colour = create_model("segnet-efficient", in_channels=1), create_model("segnet-efficient")
    for model in (grey, colour):
        model.load_encoder(tmp_path / "weights.pth")
    x = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            grey.eval().encoder[0][0](x),
            colour.eval().encoder[0][0](x.expand(-1, 3, -1, -1)),
            atol=1e-5,
            rtol=1e-5,
        )


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_equal_channels_of_any_number_give_the_maps_of_colour_images(tmp_path, weights, channels):
    """Where every colour is worth as much; those that come in twice then count half."""
    even = weights | {
        "_conv_stem.weight": weights["_conv_stem.weight"].mean(1, keepdim=True).expand(-1, 3, -1, -1)
    }
    torch.save({key: value.contiguous() for key, value in even.items()}, tmp_path / "weights.pth")
    many, colour = create_model("segnet-efficient", in_channels=channels), create_model("segnet-efficient")
    for model in (many, colour):
        model.load_encoder(tmp_path / "weights.pth")
    x = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        found = many.eval().encoder[0][0](x.expand(-1, channels, -1, -1))
        torch.testing.assert_close(
            found, colour.eval().encoder[0][0](x.expand(-1, 3, -1, -1)), atol=1e-5, rtol=1e-5
        )


BROKEN = {
    "a network of another kind": ({"features.0.weight": torch.zeros(1)}, "it has no _conv_stem.weight"),
    "cut off": (lambda given: dict(list(given.items())[:40]), "it has no "),
    "another size": (
        lambda given: given | {"_blocks.3._project_conv.weight": torch.zeros(48, 144, 1, 1)},
        r"_blocks.3._project_conv.weight is \(48, 144, 1, 1\), not \(40, 144, 1, 1\)",
    ),
    "not a number": (
        lambda given: given | {"_bn0.bias": given["_bn0.bias"] * float("nan")},
        "_bn0.bias holds NaN or infinity",
    ),
    "integers": (
        lambda given: given | {"_bn0.bias": given["_bn0.bias"].int()},
        "_bn0.bias holds torch.int32",
    ),
    "no tensors": ({"a": 1}, "it holds something else than names and tensors"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_weights_of_something_else_are_refused_in_one_line_and_nothing_changes(tmp_path, weights, case):
    content, says = BROKEN[case]
    torch.save(content(weights) if callable(content) else content, tmp_path / "weights.pth")
    model = create_model("segnet-efficient")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(SegnetError, match=says) as raised:
        model.load_encoder(tmp_path / "weights.pth")
    assert "\n" not in str(raised.value)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_a_published_file_of_another_content_is_refused(tmp_path, monkeypatch):
    weights = PUBLISHED["efficientnet-lite0"]
    package = tmp_path / weights.module
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "models" / weights.file).write_bytes(b"something else")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        SegnetError, match=r"isn't the published file of sha256 579344248a93.*force-reinstall"
    ):
        weights.find()


def test_an_unknown_encoder_is_named_with_the_nearest():
    with pytest.raises(
        SegnetError, match="no encoder 'efficientnet-lit0'; did you mean 'efficientnet-lite0'"
    ):
        create_model("segnet-efficient", encoder="efficientnet-lit0")
