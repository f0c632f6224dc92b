"""Starting from a model of ours: which weights come along, what is refused, and what travels with them."""

import io
import shutil

import pytest
import torch
from rich.console import Console
from torch import nn

import segnet
from segnet import SegnetError, TrainConfig, create_model
from segnet.base.classes import ClassTable
from segnet.inference.description import Description
from segnet.inference.model_file import read_description, read_model, read_weights, write_model_file
from segnet.models import MODELS
from segnet.runs.run_folder import RunFolder
from segnet.training.check import check
from segnet.training.loop import train_epoch
from segnet.training.loss_watch import LossWatch
from segnet.training.optimizer import build_optimizer
from segnet.training.setup import build
from segnet.training.start import freeze_encoder, start_from
from segnet.training.state import Position, State

from .conftest import TINY

pytestmark = pytest.mark.usefixtures("plain_runs")


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


SMALL = {
    "segnet": {"stages": 2},
    "segnet-basic": {"channels": 8},
    "segnet-dsc": {"stages": 2},
    "segnet-nano": TINY,
    "segnet-lite": TINY,
    "segnet-plus": TINY,
    "segnet-efficient": {"width": 0.25},
    "segnet-vgg16": {"width": 4},
    "fcn": {"width": 4, "head": 16, "dropout": 0.0},
    "unet": {"width": 4},
    "vit": {"image_size": 32, "patch": 8, "width": 32, "depth": 2, "dropout": 0.0},
}
NAMES = ("pet", "background", "border")


def written(path, model, classes=NAMES):
    """A model file with weights as training leaves them, none of them zero, and the model."""
    torch.manual_seed(3)
    network = create_model(model, len(classes), **SMALL[model])
    for name, value in network.state_dict().items():
        if value.is_floating_point() and "position" not in name:
            value.copy_(torch.rand_like(value) * 0.2 + 0.01)
    description = Description(model, ClassTable.named(classes), (32, 32), "area", options=SMALL[model])
    write_model_file(path, network.state_dict(), description)
    return network.eval()


def started(path, model, classes):
    """A model of these classes that has started from a file, and what was said."""
    torch.manual_seed(4)
    network = create_model(model, len(classes), **SMALL[model])
    config = TrainConfig(model=model, model_options=SMALL[model], start_from=str(path))
    return network.eval(), start_from(config, network, classes).notes


@pytest.mark.parametrize("model", MODELS)
def test_classes_in_another_order_are_matched_by_name_and_predict_the_same(tmp_path, model):
    path = tmp_path / "model.safetensors"
    before = written(path, model)
    after, notes = started(path, model, ("background", "border", "pet"))
    assert notes == (f"classes matched with those of {path} by name: background, border, pet",)
    image = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected, found = before(image)[:, [1, 2, 0]], after(image)
    if model == "fcn":  # which sums over classes where it enlarges, so in another order
        torch.testing.assert_close(found, expected)
    else:
        assert torch.equal(found, expected)


@pytest.mark.parametrize("model", MODELS)
def test_a_class_that_is_new_starts_anew_and_one_that_is_gone_is_left_out_both_by_name(tmp_path, model):
    path = tmp_path / "model.safetensors"
    before = written(path, model)
    after, notes = started(path, model, ("sky", "border", "grass", "pet"))
    layer = notes[1].partition(" start anew in ")[2].partition(":")[0]
    assert notes == (
        f"classes matched with those of {path} by name: border, pet",
        f"classes that {path} lacks start anew in {layer}: sky, grass",
        f"classes of {path} that the data lacks are left out: background",
    )
    torch.manual_seed(4)
    fresh = create_model(model, 4, **SMALL[model]).state_dict()
    last = layer.split(", ")[0] + ".weight"
    old, new, drawn = (each.unflatten(0, (classes, -1)) for each, classes in (
        (before.state_dict()[last], 3), (after.state_dict()[last], 4), (fresh[last], 4)
    ))  # fmt: skip
    assert torch.equal(new[[1, 3]], old[[2, 0]])
    assert torch.equal(new[[0, 2]], drawn[[0, 2]])
    image = torch.rand(1, 3, 32, 48)
    if model != "fcn":  # where new classes add to the others' scores
        with torch.no_grad():
            torch.testing.assert_close(after(image)[:, [1, 3]], before(image)[:, [2, 0]])


def test_where_no_class_is_the_same_the_layer_that_starts_anew_is_named(tmp_path):
    path = tmp_path / "model.safetensors"
    written(path, "segnet-lite")
    _, notes = started(path, "segnet-lite", ("ground", "thing"))
    assert notes == (f"{path} has none of these classes (pet, background, border): classifier starts anew",)


def test_a_run_says_which_classes_it_has_matched(tiny_config, first_run, drawn_folder, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(drawn_folder, data)
    (data / "dataset.yaml").write_text("classes: [other, object]\n")
    text = io.StringIO()
    segnet.train(
        tiny_config(**still(), start_from=str(first_run), data=str(data)),
        console=Console(file=text, width=400),
    )
    assert f"classes matched with those of {first_run} by name: object\n" in text.getvalue()
    assert f"classes that {first_run} lacks start anew in classifier: other\n" in text.getvalue()


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

    def train(epoch):
        train_epoch(setup, setup.model, epoch, Position(), watch, lambda: None)

    before = {name: value.clone() for name, value in setup.model.state_dict().items()}
    train(0)
    after = setup.model.state_dict()
    changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert "encoder" not in changed
    assert "classifier" in changed
    train(1)
    assert any(
        not torch.equal(before[name], value) for name, value in after.items() if name.startswith("encoder")
    )


def test_what_its_owner_has_frozen_stays_so_when_the_encoder_learns_again():
    model = nn.Module()
    model.encoder = nn.Sequential(nn.Conv2d(3, 4, 1).requires_grad_(False), nn.Conv2d(4, 4, 1))
    config = TrainConfig(freeze_encoder=1)
    optimizer = build_optimizer(model, config)
    for epoch, frozen in enumerate((True, False)):
        freeze_encoder(model, optimizer, config, epoch)
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
