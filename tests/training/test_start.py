"""Starting from a model of ours: which weights come along, what is refused, and what travels with them."""

import pytest
import torch
from rich.console import Console
from torch import nn

import segnet
from segnet import SegnetError, TrainConfig
from segnet.inference.bundle import read_description, read_model, read_weights
from segnet.runs.run_folder import RunFolder
from segnet.training.check import check
from segnet.training.checkpoint import Position, State
from segnet.training.loop import _freeze_encoder, _train_epoch
from segnet.training.loss_watch import LossWatch
from segnet.training.optimizer import build_optimizer
from segnet.training.setup import build

from .conftest import TINY


@pytest.fixture(scope="module")
def first_run(drawn_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("first") / "run"
    settings = {"data": str(drawn_folder), "model": "segnet-lite", "model_options": TINY, "size": 32}
    return segnet.train(TrainConfig(**settings, epochs=1, batch_size=4, out=out)).folder


def still(**changes):
    """Settings with which nothing is learnt."""
    return {"lr": 0.0, "epochs": 1, "optimizer": "sgd"} | changes


def test_with_the_same_classes_every_weight_comes_along(tiny_config, first_run):
    run = segnet.train(tiny_config(**still(), start_from=str(first_run)))
    before, _ = read_weights(first_run / "model.safetensors")
    after, _ = read_weights(run.folder / "model.safetensors")
    learnt = [name for name in before if "running" not in name and "num_batches" not in name]
    assert all(torch.equal(before[name], after[name]) for name in learnt)


def test_with_other_classes_all_but_the_last_layer_comes_along(
    tiny_config, first_run, drawn_folder, tmp_path
):
    data = tmp_path / "data"
    for file in drawn_folder.rglob("*.png"):
        (data / file.relative_to(drawn_folder)).parent.mkdir(parents=True, exist_ok=True)
        (data / file.relative_to(drawn_folder)).write_bytes(file.read_bytes())
    (data / "dataset.yaml").write_text("classes: [ground, thing]\n")
    run = segnet.train(
        tiny_config(**still(), start_from=str(first_run / "model.safetensors"), data=str(data))
    )
    before, _ = read_model(first_run / "model.safetensors")
    after, description = read_model(run.folder / "model.safetensors")
    assert description.classes.names == ("ground", "thing")
    assert torch.equal(before.encoder[0].units[0][0].weight, after.encoder[0].units[0][0].weight)
    assert not torch.equal(before.classifier.weight, after.classifier.weight)


def test_a_model_that_starts_from_another_carries_its_licence_also_after_a_resume(drawn_folder, tmp_path):
    settings = {"data": str(drawn_folder), "model": "segnet-lite", "size": 32, "batch_size": 8}
    config = TrainConfig(**settings, start_from="pets-lite", epochs=1, out=tmp_path / "run")
    run = segnet.train(config)
    notice = read_description(run.folder / "model.safetensors").notice
    assert "Oxford-IIIT Pet" in notice
    segnet.resume(run.folder, epochs=2)
    assert read_description(run.folder / "model.safetensors").notice == notice


def test_the_frozen_epoch_leaves_the_encoder_bit_for_bit(tiny_config, first_run):

    config = tiny_config(start_from=str(first_run), freeze_encoder=1, epochs=2)
    check(config)
    setup = build(config, Console(quiet=True))
    watch = LossWatch(setup, RunFolder(config.out), State())

    def train_epoch(epoch):
        _train_epoch(setup, setup.model, epoch, Position(), watch, lambda: None)

    before = {name: value.clone() for name, value in setup.model.state_dict().items()}
    train_epoch(0)
    after = setup.model.state_dict()
    changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert "encoder" not in changed
    assert "classifier" in changed
    train_epoch(1)
    assert any(
        not torch.equal(before[name], value) for name, value in after.items() if name.startswith("encoder")
    )


def test_what_its_owner_has_frozen_stays_so_when_the_encoder_learns_again():
    model = nn.Module()
    model.encoder = nn.Sequential(nn.Conv2d(3, 4, 1).requires_grad_(False), nn.Conv2d(4, 4, 1))
    optimizer = build_optimizer(model, TrainConfig())
    for frozen in (True, False):
        _freeze_encoder(model, optimizer, frozen=frozen)
        assert [parameter.requires_grad for parameter in model.parameters()] == [False] * 2 + [not frozen] * 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"start_from": "pets-light"}, "no bundled model; did you mean 'pets-lite'"),
        ({"start_from": "pets-lite", "model": "segnet", "model_options": {}}, "give --model segnet-lite"),
        ({"start_from": "pets-lite"}, "has other layers .* give --model-options as it has them"),
        ({"freeze_encoder": 3}, "leaves the encoder no epoch of 3"),
        ({"freeze_encoder": -1}, "--freeze-encoder must be from 0"),
        ({"freeze_encoder": 1, "model": "vit", "model_options": {}}, "no part called encoder"),
        ({"freeze_encoder": 1, "epochs": 2, "recompute_statistics": True}, "leave one of them out"),
        (
            {
                "start_from": "pets-lite",
                "model": "segnet-vgg16",
                "model_options": {},
                "encoder_weights": "a.pth",
            },
            "leave --encoder-weights out",
        ),
    ],
)
def test_what_cannot_be_started_from_is_refused(tiny_config, changes, says):
    with pytest.raises(SegnetError, match=says):
        segnet.train(tiny_config(**changes))


def test_an_exported_model_and_a_damaged_file_are_refused(tiny_config, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    with pytest.raises(SegnetError, match=r"is exported and can't be trained; give its \.safetensors"):
        segnet.train(tiny_config(start_from=str(tmp_path / "model.onnx")))
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(SegnetError, match="is damaged or no safetensors file"):
        segnet.train(tiny_config(start_from=str(tmp_path / "model.safetensors")))


@pytest.fixture
def swapped(drawn_folder, tmp_path):
    """The drawn folder, with the images to train on in the place of those to validate on."""
    data = tmp_path / "swapped"
    for split, other in (("train", "val"), ("val", "train")):
        for file in (drawn_folder / split).rglob("*.png"):
            target = data / other / file.relative_to(drawn_folder / split)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    return data


def test_images_that_the_first_model_was_trained_on_are_said_where_they_are_scored(
    tiny_config, first_run, swapped
):
    setup = build(tiny_config(start_from=str(first_run), data=str(swapped)), Console(quiet=True))
    assert any(
        "was trained on" in line and "of the val images; scores on them flatter" in line
        for line in setup.warnings
    )


def test_a_model_knows_what_the_one_before_it_was_trained_on_also_after_a_resume(
    tiny_config, first_run, swapped, tmp_path
):
    settings = {"start_from": str(first_run), "data": str(swapped), "epochs": 2}
    whole = segnet.train(tiny_config(**settings, out=tmp_path / "whole"))
    val = whole.val.scored_on
    assert val.trained_on == val.images > 0
    identity = read_description(tmp_path / "whole/model.safetensors").data
    first = read_description(first_run / "model.safetensors").data
    assert identity.before == first.trained
    segnet.train(tiny_config(**settings | {"epochs": 1}, out=tmp_path / "cut"))
    segnet.resume(tmp_path / "cut", epochs=2)
    assert RunFolder(tmp_path / "cut").read_manifest() == RunFolder(tmp_path / "whole").read_manifest()
    assert read_description(tmp_path / "cut/model.safetensors").data == identity
    data = segnet.DataOptions(data=str(swapped))
    with pytest.raises(SegnetError, match="was trained on"):
        segnet.evaluate(segnet.load(tmp_path / "whole"), segnet.load_dataset(data), split="val")
