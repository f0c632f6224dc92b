"""The paper's SegNet: its counts, its last layer, and an encoder that is VGG16 when given VGG16's weights."""

import itertools
import math

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from segnet import SegnetError, create_model
from segnet.models.encoders.vgg import IMAGENET_MEAN, IMAGENET_STD
from segnet.models.inspection.costs import count_macs, count_parameters

VGG13 = [64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"]
VGG16 = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]


class VGG(nn.Module):
    """VGG's convolutional part as torchvision lays it out, with its names."""

    def __init__(self, batch_norm, divide=1, plan=VGG16):
        super().__init__()
        layers, before = [], 3
        for entry in plan:
            if entry == "M":
                layers.append(nn.MaxPool2d(2))
                continue
            after = entry // divide
            layers.append(nn.Conv2d(before, after, 3, padding=1))
            layers += [nn.BatchNorm2d(after)] if batch_norm else []
            layers.append(nn.ReLU())
            before = after
        self.features = nn.Sequential(*layers)


def trained(batch_norm, divide=1, plan=VGG16):
    torch.manual_seed(0)
    model = VGG(batch_norm, divide, plan)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.bias, std=0.3)
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight.data, layer.running_var):
                tensor.uniform_(0.5, 1.5)
            for tensor in (layer.bias.data, layer.running_mean):
                tensor.normal_(std=0.3)
    return model.eval()


def test_parameters_at_the_papers_eleven_classes_are_the_count_by_hand():
    channels = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    decoder = [512, 512, 512, 512, 512, 512, 256, 256, 256, 128, 128, 64, 64]
    by_hand = sum(9 * a * b + 2 * b for a, b in itertools.pairwise(channels))
    by_hand += sum(9 * a * b + 2 * b for a, b in itertools.pairwise(decoder)) + 9 * 64 * 11 + 11
    ours = count_parameters(create_model("segnet-vgg16", 11))
    assert ours == by_hand + 2 * 3 == 29_441_425
    assert round((by_hand - 11) / 1e6, 2) == 29.44  # the paper's figure, without the biases


def test_multiply_adds_at_128_px_are_the_hand_count():
    stages = [[(3, 64), (64, 64)], [(64, 128), (128, 128)], [(128, 256), (256, 256), (256, 256)],
              [(256, 512), (512, 512), (512, 512)], [(512, 512)] * 3]  # fmt: skip
    macs = [sum(9 * a * b for a, b in stage) * (128 >> i) ** 2 for i, stage in enumerate(stages)]
    mirror = sum(macs) - 9 * 3 * 64 * 128**2 + 9 * 64 * 3 * 128**2
    assert count_macs(create_model("segnet-vgg16")) == sum(macs) + mirror


def test_the_last_convolution_has_neither_batch_norm_nor_relu():
    model = create_model("segnet-vgg16", width=4)
    last = model.decoder[-1].units[-1]
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    with torch.no_grad():
        assert model.eval()(torch.rand(1, 3, 32, 32)).min() < 0


def test_dropout_follows_the_three_deepest_pools_and_decoder_stages():
    model = create_model("segnet-vgg16", width=2, dropout=0.5)
    shapes = []
    model.dropout.register_forward_hook(lambda module, inputs, output: shapes.append(output.shape[-1]))
    model(torch.rand(2, 3, 128, 128))
    assert shapes == [16, 8, 4, 8, 16, 32]


@pytest.mark.parametrize("batch_norm", [False, True], ids=["vgg16", "vgg16_bn"])
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_an_encoder_with_vgg16s_weights_gives_vgg16s_maps(tmp_path, batch_norm, suffix):
    vgg = trained(batch_norm, divide=8)
    state = vgg.state_dict() | {"classifier.0.weight": torch.zeros(2, 2)}
    path = tmp_path / f"vgg.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    model = create_model("segnet-vgg16", width=8)
    with torch.no_grad():  # as if it had been trained before
        model.normalise.running_mean.fill_(7)
        model.encoder[0].units[0][1].weight.fill_(7)
    model.normalise.reset_parameters()
    model.load_encoder(path)

    image = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        theirs = vgg.features((image - mean) / std)
        ours = model.eval().normalise(image)
        for stage in model.encoder:
            ours, *_ = stage(ours)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch norm"])
@pytest.mark.parametrize(
    ("name", "options", "plan", "divide", "stages"),
    [
        ("segnet", {}, VGG16, 1, 4),
        ("fcn", {"width": 8, "head": 8}, VGG16, 8, 5),
        ("unet", {"width": 8}, VGG13, 8, 4),
    ],
)
def test_every_encoder_that_begins_as_a_vgg_takes_its_weights(
    tmp_path, name, options, plan, divide, stages, batch_norm
):
    vgg = trained(batch_norm, divide, plan)
    save_file(vgg.state_dict(), tmp_path / "vgg.safetensors")
    model = create_model(name, **options)
    model.load_encoder(tmp_path / "vgg.safetensors")
    image = torch.rand(1, 3, 32, 32)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    pools = [place for place, layer in enumerate(vgg.features) if isinstance(layer, nn.MaxPool2d)]
    with torch.no_grad():
        theirs = vgg.features[: pools[stages - 1] + 1]((image - mean) / std)
        ours = model.eval().normalise(image)
        for stage in model.encoder:
            found = stage(ours)
            ours = found[0] if isinstance(found, tuple) else torch.max_pool2d(found, 2)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


class Dangerous:
    def __reduce__(self):
        return (print, ("code from the file ran",))


def without(state, start):
    return {name: tensor for name, tensor in state.items() if not name.startswith(start)}


def write(path, content):
    torch.save(content, path)
    return path


PLAIN = trained(False, divide=8).state_dict()
NORMED = trained(True, divide=8).state_dict()
ONE = {"features.0.weight": torch.zeros(64, 3, 3, 3), "features.0.bias": torch.zeros(64)}
FOREIGN = {
    "too few": (ONE, "it has 1 convolutions in features, not 13"),
    "another model": ({"layer1.0.weight": torch.zeros(2, 2)}, "it has 0 convolutions in features, not 13"),
    "no bias": ({"features.0.weight": torch.zeros(64, 3, 3, 3)}, "features.0 has no bias"),
    "another width": (trained(False, divide=16).state_dict(), r"1 is \(4, 3, 3, 3\), not \(8, 3, 3, 3\)"),
    "a norm too few": (without(NORMED, "features.1."), "it has 12 batch norms for 13 convolutions"),
    "no variance": (without(NORMED, "features.4.running_var"), "features.4 has no running_var"),
    "a short bias": (NORMED | {"features.4.bias": torch.zeros(2)}, r"shape \(2,\), not \(8,\)"),
    "NaN": (PLAIN | {"features.2.bias": torch.full((8,), math.nan)}, "features.2.bias holds NaN"),
    "whole numbers": (PLAIN | {"features.2.bias": torch.zeros(8).int()}, "torch.int32, no floats"),
    "code": (Dangerous(), "it is damaged, or holds more than tensors"),
    "a whole module": (nn.Conv2d(1, 1, 1), "it is damaged, or holds more than tensors"),
    "a list": ([1, 2], "something else than names and tensors"),
    "numbered names": ({3: torch.zeros(2)}, "something else than names and tensors"),
}


@pytest.mark.parametrize(("content", "says"), FOREIGN.values(), ids=FOREIGN)
def test_weights_of_something_else_are_refused_in_one_line(tmp_path, capsys, content, says):
    model = create_model("segnet-vgg16", width=8)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(SegnetError, match=says) as error:
        model.load_encoder(write(tmp_path / "weights.pth", content))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert "\x1b" not in str(error.value)
    assert "\n" not in str(error.value)
    assert "code from the file" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_missing_and_a_damaged_file_are_named(tmp_path, name):
    model = create_model("segnet-vgg16", width=1)
    with pytest.raises(SegnetError, match=f"no file of encoder weights .*{name}"):
        model.load_encoder(tmp_path / name)
    (tmp_path / name).write_bytes(b"not weights")
    with pytest.raises(SegnetError, match=f"{name} can't be read as VGG16's weights: it is damaged"):
        model.load_encoder(str(tmp_path / name))  # a plain string, as a user of TrainConfig may give
