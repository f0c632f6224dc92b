"""Distillation: the loss by its formula, who learns, what is refused, and that a run keeps its teacher."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console

import segnet
from segnet import SegnetError, TrainConfig
from segnet.inference.model_file import read_description, read_model, read_weights, write_model_file
from segnet.training.check import check
from segnet.training.schedule import Step
from segnet.training.setup import build
from segnet.training.step import loss_of
from segnet.training.teacher import distillation

from .test_resume import STEPS, metrics, require_same, stop_at_every_step

pytestmark = pytest.mark.usefixtures("plain_runs")

LARGER = {"stages": [[12, 1], [12, 1]], "bottleneck": [12, 0, 3]}


@pytest.fixture(scope="module")
def teacher(drawn_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("teacher") / "run"
    settings = {"data": str(drawn_folder), "model": "segnet-lite", "model_options": LARGER, "size": 32}
    return segnet.train(TrainConfig(**settings, epochs=2, batch_size=4, lr=0.01, out=out)).folder


def softmax(logits):
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    return exponents / exponents.sum(1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_the_loss_is_the_formula_over_the_pixels_that_count(temperature):
    random = np.random.default_rng(0)
    student, teacher = random.normal(0, 3, (2, 2, 3, 5, 4)).astype(np.float32)
    mask = random.integers(0, 3, (2, 5, 4)).astype(np.uint8)
    mask[0, :2] = 255
    p, q = (softmax(logits.astype(np.float64) / temperature) for logits in (teacher, student))
    divergence = (p * np.log(p / q)).sum(1)
    expected = temperature**2 * divergence[mask != 255].mean()
    found = distillation(*map(torch.from_numpy, (student, teacher, mask)), temperature)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_it_is_zero_for_equal_answers_and_where_every_pixel_is_ignored():
    logits = torch.randn(1, 3, 4, 4)
    seen, ignored = torch.zeros(1, 4, 4, dtype=torch.uint8), torch.full((1, 4, 4), 255, dtype=torch.uint8)
    assert float(distillation(logits, logits + 1, seen, 2.0)) == pytest.approx(0, abs=1e-6)
    assert float(distillation(logits, -logits, ignored, 2.0)) == 0


def test_of_two_models_the_student_alone_learns(tiny_config, teacher):
    setup = build(tiny_config(teacher=str(teacher)), Console(quiet=True))
    frozen = setup.teacher.model
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    images, masks = torch.rand(4, 3, 32, 32), torch.randint(2, (4, 32, 32), dtype=torch.uint8)
    setup.model.train()
    loss_of(setup, setup.model, images, masks, Step(0, 0, 3))[0].backward()
    assert all(parameter.grad is not None for parameter in setup.model.parameters())
    assert all(parameter.grad is None for parameter in frozen.parameters())
    assert not any(module.training for module in frozen.modules())
    assert all(torch.equal(before[name], value) for name, value in frozen.state_dict().items())


def test_a_step_mixes_both_losses_by_the_weight(tiny_config, teacher):
    images, masks = torch.rand(4, 3, 32, 32), torch.randint(2, (4, 32, 32), dtype=torch.uint8)

    def loss(**changes):
        setup = build(tiny_config(precision="float32", **changes), Console(quiet=True))
        with torch.no_grad():
            return float(loss_of(setup, setup.model, images, masks, Step(0, 0, 3))[0]), setup.model

    def taught(weight):
        return loss(teacher=str(teacher), teacher_weight=weight)[0]

    alone, student = loss()
    model, _ = read_model(teacher / "model.safetensors")
    with torch.no_grad():
        softened = float(distillation(student(images), model(images), masks, 2.0))
    assert taught(0) == alone
    assert taught(1) == pytest.approx(softened, rel=1e-5)
    assert taught(0.25) == pytest.approx(0.75 * alone + 0.25 * softened, rel=1e-5)


def test_a_teacher_without_weight_leaves_every_byte_as_it_is(tiny_config, teacher, tmp_path):
    alone = segnet.train(tiny_config(recipe="modern", out=tmp_path / "alone"))
    silent = segnet.train(tiny_config(recipe="modern", teacher=str(teacher), teacher_weight=0.0))
    assert (alone.folder / "model.safetensors").read_bytes() == (
        silent.folder / "model.safetensors"
    ).read_bytes()
    assert metrics(alone.folder) == metrics(silent.folder)


def test_a_student_with_a_teacher_alone_comes_near_it(tiny_config, teacher):
    """Its masks have no say then, so what it learns is the teacher's."""
    config = tiny_config(teacher=str(teacher), teacher_weight=1.0, epochs=8)
    losses = [line["train_loss"] for line in metrics(segnet.train(config).folder)]
    assert losses[-1] < 0.5 * losses[0]


def test_a_run_that_is_stopped_at_every_step_ends_with_the_same_bytes(tiny_config, teacher, tmp_path):
    settings = {"teacher": str(teacher), "epochs": 2}
    whole = segnet.train(tiny_config(**settings, out=tmp_path / "whole"))
    require_same(stop_at_every_step(tiny_config(**settings), 2 * STEPS).folder, whole.folder)


def with_other_weights(source, target):
    """Copy a run's model with one weight changed."""
    weights, description = read_weights(source / "model.safetensors")
    weights["classifier.weight"][0] += 1
    target.mkdir(parents=True, exist_ok=True)
    write_model_file(target / "model.safetensors", weights, description)


def test_a_run_goes_on_with_the_teacher_that_it_began_with_alone(tiny_config, teacher, tmp_path):
    moved = tmp_path / "teacher"
    shutil.copytree(teacher, moved)
    run = segnet.train(tiny_config(teacher=str(moved), epochs=1))
    config = run.folder / "config.yaml"
    with_other_weights(teacher, moved)
    with pytest.raises(SegnetError, match="has other weights than when the run began"):
        segnet.resume(run.folder, epochs=2)
    shutil.rmtree(moved)
    with pytest.raises(SegnetError, match="no run folder, no model file"):
        segnet.resume(run.folder, epochs=2)
    as_it_was = config.read_text()
    config.write_text(as_it_was.replace(str(moved), "null"))
    with pytest.raises(SegnetError, match=r"teacher was .*, is None"):
        segnet.resume(run.folder, epochs=2)
    config.write_text(as_it_was.replace(str(moved), str(teacher)))  # the same weights elsewhere
    assert segnet.resume(run.folder, epochs=2).finished


def test_what_the_teacher_was_trained_on_is_said_where_it_is_scored_and_its_licence_goes_along(
    tiny_config, drawn_folder, teacher, tmp_path
):
    weights, description = read_weights(teacher / "model.safetensors")
    licensed = tmp_path / "licensed.safetensors"
    write_model_file(licensed, weights, replace(description, notice="drawn by a test, CC0"))
    data = tmp_path / "swapped"
    for split, other in (("train", "val"), ("val", "train")):
        shutil.copytree(drawn_folder / split, data / other)
    (data / "dataset.yaml").write_text((drawn_folder / "dataset.yaml").read_text())
    config = tiny_config(teacher=str(licensed), data=str(data), epochs=1, batch_size=2)
    said = [line for line in build(config, Console(quiet=True)).warnings if "was trained on 12 of" in line]
    assert len(said) == 1
    assert str(licensed) in said[0]
    run = segnet.train(config)
    assert read_description(run.folder / "model.safetensors").notice == "drawn by a test, CC0"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"teacher": "pets-light"}, "no bundled model; did you mean 'pets-lite'"),
        ({"teacher": "pets-lite"}, "knows pet, background, border, and the data has background, object"),
        ({"teacher": "pets-lite", "channels": 1}, "takes images of 3 channels, and the run has 1"),
        ({"teacher": "OUT"}, "is this very run"),
        ({"teacher": "pets-lite", "teacher_weight": 1.5}, "--teacher-weight must be from 0 to 1"),
        ({"teacher": "pets-lite", "teacher_temperature": 0}, "--teacher-temperature must be from 0.1"),
        ({"teacher_weight": 0.7}, "--teacher-weight goes with --teacher; give --teacher RUN too"),
    ],
)
def test_what_cannot_teach_is_refused(tiny_config, tmp_path, changes, says):
    if changes.get("teacher") == "OUT":
        changes = {"teacher": str(tmp_path / "run")}
    with pytest.raises(SegnetError, match=says):
        segnet.train(tiny_config(**changes))


def test_a_teacher_that_cannot_take_the_images_of_some_epoch_is_refused(tiny_config, tmp_path):
    options = {"image_size": 48, "patch": 24, "width": 16, "depth": 1, "heads": 2}
    vit = tiny_config(model="vit", model_options=options, size=48, epochs=1, out=tmp_path / "vit")
    changes = {"teacher": str(segnet.train(vit).folder), "epochs": 4}
    says = "the teacher .*vit can't cut images of 32x32 into patches of 24x24; .* or set --no-progressive"
    with pytest.raises(SegnetError, match=says):
        check(tiny_config(**changes, size=48, progressive=True))
    check(tiny_config(**changes, size=48))


def test_exported_and_own_models_are_refused(tiny_config, teacher, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    with pytest.raises(SegnetError, match=r"is exported and can't teach; give its \.safetensors"):
        segnet.train(tiny_config(teacher=str(tmp_path / "model.onnx")))
    weights, description = read_weights(teacher / "model.safetensors")
    own = tmp_path / "own.safetensors"
    write_model_file(own, weights, replace(description, model="my.module.Net"))
    with pytest.raises(SegnetError, match=r"holds a model of your own .* which segnet can't build"):
        segnet.train(tiny_config(teacher=str(own)))
