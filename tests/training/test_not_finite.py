"""A loss that isn't finite: the run stops and says where and on which images, or drops the step."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import segnet
from segnet import SegnetError, TrainConfig
from segnet.runs.run_folder import RunFolder
from segnet.training.run import train
from segnet.training.state import read_checkpoint

from .test_resume import STEPS, ctrl_c_at, require_same

pytestmark = pytest.mark.usefixtures("plain_runs")

BROKEN = "05"


class Breaks(nn.Module):
    """Gives NaN from the first layer on for the one image whose first pixel is pure green."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.out = nn.Conv2d(3, 2, 3, padding=1)
        self.batches = []

    def forward(self, image):
        green = image[:, :, :1, :1].eq(image.new_tensor([0.0, 1.0, 0.0]).view(3, 1, 1)).all(1, keepdim=True)
        if self.training and len(image) > 2:  # not what set-up asks first
            self.batches.append((image * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy().copy())
        image = image * torch.where(green, torch.nan if self.training else 1.0, 1.0)
        return self.out(self.norm(image))


def breaks():
    torch.manual_seed(0)
    return Breaks()


@pytest.fixture(scope="module")
def broken_folder(drawn_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("broken") / "data"
    shutil.copytree(drawn_folder, folder)
    file = folder / "train" / "images" / f"{BROKEN}.png"
    pixels = np.asarray(Image.open(file)).copy()
    pixels[0, 0] = 0, 255, 0
    Image.fromarray(pixels).save(file)
    return folder


@pytest.fixture
def config(broken_folder, tmp_path):
    def build(**changes):
        settings = {"data": str(broken_folder), "size": 32, "batch_size": 4, "epochs": 2, "lr": 0.01}
        settings |= {"flip": 0, "contrast": 0, "seed": 6, "out": tmp_path / "run"}
        return TrainConfig(**(settings | changes))

    return build


def names_of(batch, folder):
    """The files that hold these pixels."""
    files = {np.asarray(Image.open(file)).tobytes(): file for file in (folder / "train/images").iterdir()}
    return [files[image.tobytes()].stem for image in batch]


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_run_stops_with_the_step_the_images_and_the_way_on(config, broken_folder):
    model = breaks()
    with pytest.raises(SegnetError) as error:
        segnet.train(config(save_every=1), model=model)
    names = names_of(model.batches[-1], broken_folder)
    step = len(model.batches)
    assert BROKEN in names
    assert step > 1, "the seed is one that has a step to go on from"
    says = str(error.value)
    assert f"the loss (nan) went beyond all bounds in epoch 1, step {step}, on " in says
    on = says.split(" on ", 1)[1].split(";")[0].split(", ")
    assert sorted(name.removesuffix(".png") for name in on) == sorted(names)
    assert f"to go on after step {step - 1} of epoch 1 without such steps: " in says
    assert "\n" not in says


@pytest.mark.skipif(not torch.cuda.is_available(), reason="only a GPU is looked at a step later")
def test_on_a_gpu_it_is_the_same_step_though_it_is_noticed_at_the_next(config, broken_folder):
    model = breaks()
    with pytest.raises(SegnetError) as error:
        segnet.train(config(seed=6, device="cuda"), model=model)
    bad = [BROKEN in names_of(batch, broken_folder) for batch in model.batches].index(True) + 1
    assert f"the loss (nan) went beyond all bounds in epoch 1, step {bad}, on " in str(error.value)


def test_a_model_of_ours_goes_on_by_a_command_from_weights_that_are_finite(config):
    options = {"stages": [[8, 1], [8, 1]], "bottleneck": [8, 0, 3]}
    settings = {"model": "segnet-lite", "model_options": options, "optimizer": "sgd", "precision": "float32"}
    run = config(**settings, lr=1000, save_every=1, epochs=40)
    with pytest.raises(SegnetError, match=r"went beyond all bounds in epoch \d+.*lower --lr") as error:
        train(run)
    if "the loss" in str(error.value):
        assert str(error.value).endswith(f": segnet resume {run.out} --on-nan skip")
    kept = read_checkpoint(RunFolder(run.out).state)
    assert all(tensor.isfinite().all() for tensor in kept.parts["model"].values())


class Overflows(nn.Module):
    """Learns with finite weights, and answers a whole image that it isn't trained on with NaN."""

    def __init__(self):
        super().__init__()
        self.out = nn.Conv2d(3, 2, 1)

    def forward(self, image):
        return self.out(image) * (1.0 if self.training else torch.nan)


def test_a_model_whose_answers_are_no_numbers_is_not_kept(config):
    with pytest.raises(
        SegnetError, match=r"the logits of validation images \(loss nan\) .* in epoch 1; lower"
    ):
        segnet.train(config(), model=Overflows())
    assert not config().out.exists()


def test_before_anything_was_saved_nothing_is_left_behind(config):
    with pytest.raises(SegnetError, match=r"epoch 1, step \d, on .*; --on-nan skip drops such steps$"):
        segnet.train(config(), model=breaks())
    assert not config().out.exists()


def test_a_step_that_is_dropped_leaves_no_trace_and_is_counted(config, capsys):
    model = breaks()
    run = segnet.train(config(on_nan="skip", ema_decay=0.9), model=model)
    assert [line["skipped"] for line in lines(run.folder)] == [1, 1]
    parts = read_checkpoint(RunFolder(run.folder).state).parts
    learnt = 2 * (STEPS - 1)
    assert {int(each["step"]) for each in parts["optimizer"]["state"].values()} == {learnt}
    assert parts["ema"]["updates"] == learnt
    assert parts["model"]["norm.num_batches_tracked"] == learnt
    assert all(tensor.isfinite().all() for tensor in parts["model"].values())
    out = capsys.readouterr().out
    assert out.count("the step is dropped") == 2, "once an epoch"
    assert out.count("steps dropped 1") == 2


def test_it_is_the_training_without_that_step(config):
    """Batch norm's statistics are those of the other steps' images, by its formula."""
    model = breaks()
    run = segnet.train(config(on_nan="skip", epochs=1), model=model)
    mean, good = np.zeros(3), 0
    for batch in model.batches:
        pixels = batch / 255
        if not (batch[:, 0, 0] == (0, 255, 0)).all(1).any():
            mean = 0.9 * mean + 0.1 * pixels.mean((0, 1, 2))
            good += 1
    found = read_checkpoint(RunFolder(run.folder).state).parts["model"]["norm.running_mean"]
    assert good == STEPS - 1
    assert found.numpy() == pytest.approx(mean, rel=1e-4)


def test_a_stopped_run_goes_on_without_such_steps_to_the_same_bytes(config, tmp_path):
    whole = segnet.train(config(on_nan="skip", out=tmp_path / "whole"), model=breaks())
    with pytest.raises(SegnetError, match="to go on after"):
        segnet.train(config(save_every=1), model=breaks())
    run = segnet.resume(tmp_path / "run", model=breaks(), on_nan="skip")
    require_same(run.folder, whole.folder)
    assert run.config.on_nan == "skip"


def test_dropped_steps_are_counted_over_a_stop(config, tmp_path):
    whole = segnet.train(config(on_nan="skip", out=tmp_path / "whole"), model=breaks())
    with ctrl_c_at(2):
        segnet.train(config(on_nan="skip"), model=breaks())
    require_same(segnet.resume(tmp_path / "run", model=breaks()).folder, whole.folder)


def test_where_every_step_is_dropped_the_run_stops(config):
    with pytest.raises(SegnetError, match=r"the loss \(nan\) went beyond all bounds in epoch 1"):
        segnet.train(config(on_nan="skip", batch_size=12), model=breaks())


def test_a_run_without_such_steps_says_nothing_of_them(tiny_config):
    assert "skipped" not in lines(segnet.train(tiny_config(epochs=1, on_nan="skip")).folder)[0]
