"""A run from start to end: what it leaves, that it repeats to the bit, and what ends it early."""

import csv
import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from rich.console import Console

import segnet
from segnet import SegnetError
from segnet.inference.model_file import read_model
from segnet.runs.run_folder import RunFolder
from segnet.training.configuration.config_file import read_config
from segnet.training.interrupt import interrupts_wait

from .conftest import config_of

pytestmark = pytest.mark.usefixtures("plain_runs")


LONG = {"recipe": "modern", "epochs": 15}


def model_bytes(run):
    return (run.folder / "model.safetensors").read_bytes()


@pytest.mark.usefixtures("whole_runs")
def test_a_run_folder_is_complete_in_itself(tiny_config):
    run = segnet.train(tiny_config())
    assert run.finished
    names = {str(path.relative_to(run.folder)) for path in run.folder.rglob("*") if path.is_file()}
    assert names == {
        "config.yaml",
        "data.json",
        "environment.json",
        "images.csv",
        "last/before.pt",
        "last/lock",
        "last/state.pt",
        "learning.gif",
        "metrics.csv",
        "metrics.jsonl",
        "model.safetensors",
        "previews/epoch_001.png",
        "previews/epoch_002.png",
        "previews/epoch_003.png",
        "previews/epoch_001.npz",
        "previews/epoch_002.npz",
        "previews/epoch_003.npz",
        "previews/images.npz",
        "report.html",
        "scores.json",
        "steps.jsonl",
        *(f"worst/{rank:02d}.png" for rank in range(1, 5)),  # there are no more than four images
    }
    records = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 2, 3]
    with (run.folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[1]["val.per_class.object.iou"]) == records[1]["val"]["per_class"]["object"]["iou"]
    assert Image.open(run.folder / "learning.gif").n_frames == 3


def test_the_best_epoch_is_the_one_with_the_highest_mean_iou(tiny_config):
    run = segnet.train(tiny_config(epochs=5))
    records = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    best = max(records, key=lambda record: record["val"]["mean_iou"])
    assert run.best_epoch == best["epoch"]
    assert run.val.mean_iou == pytest.approx(best["val"]["mean_iou"])


def test_it_learns(tiny_config):
    run = segnet.train(tiny_config(epochs=12, recipe="modern", crop_scale=1.0, progressive=False))
    assert run.val.pixel_accuracy > run.val.majority[1] + 0.1


@pytest.mark.parametrize("recipe", ["article", "modern"])
def test_two_runs_with_the_same_seed_give_the_same_bytes(tiny_config, tmp_path, recipe):
    first = segnet.train(tiny_config(recipe=recipe, out=tmp_path / "first"))
    second = segnet.train(tiny_config(recipe=recipe, out=tmp_path / "second"))
    other = segnet.train(tiny_config(recipe=recipe, out=tmp_path / "other", seed=1))
    assert model_bytes(first) == model_bytes(second)
    assert model_bytes(first) != model_bytes(other)


def test_the_saved_configuration_makes_the_same_run_again(tiny_config, tmp_path):
    first = segnet.train(tiny_config(out=tmp_path / "first"))
    again = replace(read_config(first.folder / "config.yaml"), out=tmp_path / "again")
    assert model_bytes(segnet.train(again)) == model_bytes(first)


@pytest.fixture(scope="module")
def whole(drawn_folder, tmp_path_factory):
    """A run that nobody stops."""
    return segnet.train(config_of(drawn_folder, tmp_path_factory.mktemp("whole") / "run", **LONG))


@pytest.mark.parametrize(
    ("stop", "code"),
    [
        (signal.SIGKILL, -signal.SIGKILL),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.campaign),
        pytest.param(signal.SIGTERM, 130, marks=pytest.mark.campaign),
    ],
)
def test_a_stopped_run_goes_on_to_the_same_bytes(forker, drawn_folder, whole, tmp_path, stop, code):
    stopped = tmp_path / "stopped"
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config_of(drawn_folder, stopped, **LONG).to_dict()))
    process = forker.start("train", "--config", file)
    process.shows("^epoch 2/")
    process.send(stop)
    assert process.wait() == code
    if stop != signal.SIGKILL:
        assert f"segnet resume {stopped}" in process.output
        assert (stopped / "report.html").exists()

    resumed = segnet.resume(stopped)
    assert resumed.finished
    assert model_bytes(resumed) == model_bytes(whole)
    assert not list(stopped.rglob(".*")), "nothing half-written stays"


def test_a_run_starts_from_encoder_weights_and_is_resumed_without_them(tiny_config, tmp_path):
    torch.manual_seed(1)
    shapes, state = [(2, 3), (2, 2), (4, 2), (4, 4), *[(8, 4), (8, 8), (8, 8)], *[(16, 8), (16, 16)]], {}
    for number, (after, before) in enumerate([*shapes, *[(16, 16)] * 4]):
        state[f"features.{number}.weight"] = torch.randn(after, before, 3, 3)
        state[f"features.{number}.bias"] = torch.randn(after)
    torch.save(state, tmp_path / "vgg16.pth")
    changes = {
        "model": "segnet-vgg16",
        "model_options": {"width": 2},
        "encoder_weights": tmp_path / "vgg16.pth",
        "lr": 0.0,
        "epochs": 1,
    }
    run = segnet.train(tiny_config(**changes))
    trained, _ = read_model(run.folder / "model.safetensors")
    assert torch.equal(trained.encoder[4].units[2][0].weight, state["features.12.weight"])
    (tmp_path / "vgg16.pth").unlink()
    assert segnet.resume(run.folder).val == run.val


@pytest.mark.parametrize("changes", [{}, {"ema_decay": 0.9}, {"crop_scale": 0.5, "crop_detail": 2.0}])
def test_recomputed_statistics_are_those_of_the_training_images_as_they_are(
    tiny_config, drawn_folder, changes
):
    run = segnet.train(tiny_config(recompute_statistics=True, epochs=2, resize="area", **changes))
    model, _ = read_model(run.folder / "model.safetensors")
    files = sorted((drawn_folder / "train" / "images").iterdir())
    pixels = np.stack([np.asarray(Image.open(file)) for file in files]) / 255  # one batch: its own mean
    assert model.normalise.running_mean.numpy() == pytest.approx(pixels.mean((0, 1, 2)), rel=1e-3)
    rel = 0.2 if "crop_scale" in changes else 1e-2  # images kept larger are blurred on their way back
    assert model.normalise.running_var.numpy() == pytest.approx(pixels.var((0, 1, 2)), rel=rel)


def test_with_recomputed_statistics_training_steps_are_the_same_and_a_resumed_run_too(tiny_config, tmp_path):
    changes = {"model": "segnet-basic", "model_options": {"channels": 4, "dropout": 0.5}}
    plain = segnet.train(tiny_config(out=tmp_path / "plain", **changes))
    whole = segnet.train(tiny_config(out=tmp_path / "whole", recompute_statistics=True, **changes))
    part = segnet.train(tiny_config(out=tmp_path / "part", recompute_statistics=True, epochs=1, **changes))
    segnet.resume(part.folder, epochs=3)
    plain, whole, part = (
        torch.load(run.folder / "last" / "state.pt")["parts"]["model"] for run in (plain, whole, part)
    )
    assert all(torch.equal(part[name], tensor) for name, tensor in whole.items())
    trained = [name for name in whole if not name.endswith(("running_mean", "running_var", "tracked"))]
    assert all(torch.equal(plain[name], whole[name]) for name in trained)
    assert not torch.equal(plain["normalise.running_var"], whole["normalise.running_var"])


@pytest.mark.parametrize(
    ("model", "options"),
    [("segnet-basic", {"channels": 4, "dropout": 0.5}), ("vit", {"patch": 8, "width": 16, "depth": 2})],
)
def test_with_dropout_too_a_resumed_run_ends_with_the_same_weights(tiny_config, tmp_path, model, options):
    changes = {"model": model, "model_options": options, "lr": 0.001}
    whole = segnet.train(tiny_config(epochs=3, **changes))
    part = segnet.train(tiny_config(epochs=1, out=tmp_path / "part", **changes))
    torch.manual_seed(99)  # another process, another state
    segnet.resume(part.folder, epochs=3)
    states = [torch.load(run.folder / "last" / "state.pt")["parts"]["model"] for run in (part, whole)]
    assert all(torch.equal(states[0][name], tensor) for name, tensor in states[1].items())


def test_a_run_can_be_resumed_before_its_first_epoch_is_done(tiny_config, tmp_path):
    whole = segnet.train(tiny_config(out=tmp_path / "whole"))
    from segnet.training.setup import build
    from segnet.training.state import State, save_checkpoint

    setup = build(tiny_config(out=tmp_path / "killed"), Console())
    folder = RunFolder(tmp_path / "killed")
    folder.write_config(setup.settings)
    folder.write_manifest(setup.manifest)
    save_checkpoint(folder, setup.settings, State(), setup.parts())
    assert model_bytes(segnet.resume(folder.path)) == model_bytes(whole)


def test_early_stop_ends_a_run_that_no_longer_improves(tiny_config):
    run = segnet.train(tiny_config(epochs=50, lr=0.0, early_stop=2))
    assert run.finished
    assert len((run.folder / "metrics.jsonl").read_text().splitlines()) == run.best_epoch + 2


def test_a_run_that_diverges_ends_with_advice_and_keeps_no_model(tiny_config):
    config = tiny_config(optimizer="sgd", lr=1000.0, epochs=30, precision="float32")
    with pytest.raises(SegnetError, match=r"went beyond all bounds in epoch \d+.*lower --lr"):
        segnet.train(config)
    kept = config.out / "model.safetensors"
    assert not kept.exists() or segnet.load(kept), "what is kept can be opened"


def test_eval_scores_the_part_that_was_held_out_and_not_what_was_trained_on(
    tiny_config, tmp_path, drawn_folder
):
    shutil.copytree(drawn_folder / "train", tmp_path / "flat")
    shutil.copy(drawn_folder / "dataset.yaml", tmp_path / "flat")
    run = segnet.train(tiny_config(data=str(tmp_path / "flat"), seed=5, holdout=0.3))
    segmenter = segnet.load(run.folder, device="cpu")
    dataset = segnet.load_dataset(segnet.DataOptions(data=str(tmp_path / "flat")))
    found = segnet.evaluate(segmenter, dataset)
    assert run.val is not None
    assert found.loss == pytest.approx(run.val.loss, rel=1e-6)  # a sum in another order
    assert replace(found, loss=run.val.loss) == run.val


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": "segnte"}, "did you mean 'segnet'"),
        ({"device": "cuda:99"}, "cuda:99"),
        ({"device": "gpu"}, "'gpu' can't be used here"),
        ({"data": "nowhere"}, "'nowhere' is neither a dataset nor a folder"),
        ({"model_options": {"stags": 1}}, "did you mean 'stages'"),
        (
            {"model_options": {"stages": [[8, 1]] * 6}, "size": (16, 16)},
            "at least 128 px each way; raise --size",
        ),
        ({"model_options": {"stages": 5}}, "segnet-lite can't be built with"),
        ({"model_options": {"bottleneck": [8, 1, 4]}}, "an odd kernel"),
        ({"device": "hpu"}, "'hpu' can't be used here"),
        ({"device": "meta"}, "'meta' can't be used here"),
        (
            {"encoder_weights": "vgg16.pth"},
            "segnet-lite takes no --encoder-weights; segnet, segnet-vgg16, fcn, unet and segnet-efficient do",
        ),
        (
            {"model": "vit", "model_options": {}, "size": (40, 32)},
            "vit can't cut images of 40x32 into patches of 16x16; make --size a multiple of 16",
        ),
        ({"model": "vit", "model_options": {"image_size": 100}}, "can't be cut into patches"),
        (
            {"model": "segnet-vgg16", "model_options": {"width": 2}, "size": (31, 32)},
            "segnet-vgg16 needs images of at least 32 px each way; raise --size",
        ),
        (
            {"model": "segnet-vgg16", "model_options": {"width": 2}, "encoder_weights": Path("no/such.pth")},
            "no file of encoder weights no/such.pth",
        ),
        (
            {"model_options": {"stages": [[8, 1]] * 3}, "size": (16, 16), "batch_size": 1},
            "raise --batch-size",
        ),
    ],
)
def test_what_cannot_be_trained_leaves_nothing_behind(tiny_config, changes, says):
    config = tiny_config(**changes)
    with pytest.raises(SegnetError, match=says):
        segnet.train(config)
    assert not config.out.exists()


def test_a_folder_that_holds_something_is_never_written_into(tiny_config, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("keep me")
    with pytest.raises(SegnetError, match="isn't empty"):
        segnet.train(tiny_config())
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.txt"]


def test_a_run_that_another_process_works_on_is_left_alone(tiny_config):
    run = segnet.train(tiny_config(epochs=1))
    with (
        RunFolder(run.folder).locked(),
        pytest.raises(SegnetError, match="another process is still at work on"),
    ):
        segnet.resume(run.folder, epochs=2)
    assert segnet.resume(run.folder, epochs=2).finished


@pytest.mark.parametrize("size", [(33, 47), (17, 16)])
@pytest.mark.parametrize("crop_scale", [0.5, 1.0])
def test_odd_sizes_train_small_first_too(tiny_config, size, crop_scale):
    run = segnet.train(tiny_config(recipe="modern", size=size, crop_scale=crop_scale))
    assert run.finished


def test_ctrl_c_waits_for_state_and_files_to_agree():
    done = []

    def commit():
        with interrupts_wait():
            signal.raise_signal(signal.SIGINT)
            done.append("the rest of the block")

    with pytest.raises(KeyboardInterrupt):
        commit()
    assert done
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_place_that_cannot_be_written_to_is_named(tiny_config, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SegnetError, match=r"can't make a run folder at .*choose another with --out"):
        segnet.train(tiny_config(out=tmp_path / "file" / "run"))


@pytest.mark.parametrize("damage", ["truncate", "other model", "pickle"])
def test_a_damaged_state_is_named_and_nothing_is_unpickled(tiny_config, damage):
    run = segnet.train(tiny_config(epochs=1))
    state = run.folder / "last" / "state.pt"
    state.with_name("before.pt").unlink()
    if damage == "truncate":
        state.write_bytes(state.read_bytes()[:-100])
    elif damage == "other model":
        content = torch.load(state, weights_only=True)
        content["parts"]["model"].popitem()
        torch.save(content, state)
    else:
        torch.save({"state": os.system}, state)
    with pytest.raises(SegnetError, match=r"state.pt can't be read as the state of this run"):
        segnet.resume(run.folder, epochs=2)
