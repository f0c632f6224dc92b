"""What the modern recipe fits to the data: where images are few or a class is rare, and nowhere else."""

import io
import shutil
from dataclasses import replace

import numpy as np
import pytest
import yaml
from rich.console import Console

import segnet
from segnet import SegnetError, TrainConfig
from segnet.base.distributed.rank import Process
from segnet.data.store.batches import split_into_batches
from segnet.runs.run_folder import RunFolder
from segnet.training.configuration.config import fitted_settings, recipe_settings
from segnet.training.configuration.config_file import read_config, read_options
from segnet.training.configuration.derived import derive, derived_lines, plan_line, too_few_steps
from segnet.training.several import train_seeds

from ..plain import whole
from .conftest import TINY

pytestmark = pytest.mark.usefixtures("plain_runs")

COMMON = 0.25


def pixels(*shares, ignored=0.0):
    """Counts of each mask value in a million pixels; the last class has what is left."""
    counts = np.zeros(256, np.int64)
    counts[: len(shares) + 1] = [*(round(share * 1e6) for share in shares), round((1 - sum(shares)) * 1e6)]
    counts[255] = ignored * 1e6
    return counts


def derived(images, share=COMMON, **typed):
    config = TrainConfig(recipe="modern", **typed)
    after = derive(config, images, ("cell", "rest"), pixels(share))
    names = recipe_settings("modern")
    return {name: getattr(after, name) for name in names if getattr(after, name) != getattr(config, name)}


@pytest.mark.parametrize(
    ("images", "share", "typed", "then"),
    [
        (1180, COMMON, {}, {}),
        (588, COMMON, {}, {}),
        (407, COMMON, {}, {"batch_size": 22}),
        (384, COMMON, {}, {"batch_size": 20}),
        (383, COMMON, {}, {"batch_size": 20}),
        (200, COMMON, {}, {"batch_size": 16, "epochs": 70}),
        (191, COMMON, {}, {"batch_size": 14, "epochs": 65}),
        (65, COMMON, {}, {"batch_size": 4}),
        (54, COMMON, {}, {"batch_size": 4, "epochs": 65}),
        (49, COMMON, {}, {"batch_size": 4, "epochs": 75}),
        (49, 0.05, {}, {"batch_size": 4, "epochs": 75, "loss": "cross-entropy+dice"}),
        (20, COMMON, {}, {"batch_size": 4, "epochs": 180}),
        (2, COMMON, {}, {"batch_size": 4, "epochs": 900}),
        (588, 0.12, {}, {"loss": "cross-entropy+dice"}),
        (588, 0.13, {}, {}),
        (588, 0.95, {}, {"loss": "cross-entropy+dice"}),
        (588, 0.0, {}, {}),
        (588, COMMON, {"batch_size": 128}, {"epochs": 180}),
        (49, COMMON, {"batch_size": 8}, {"epochs": 150}),
        (49, COMMON, {"accumulate": 4}, {"batch_size": 8, "epochs": 150}),
        (49, COMMON, {"batch_size": 32, "epochs": 60}, {}),
        (49, COMMON, {"epochs": 20}, {"batch_size": 4}),
        (49, 0.05, {"loss": "cross-entropy"}, {"batch_size": 4, "epochs": 75}),
        (588, 0.05, {"class_weights": (1.0, 4.0)}, {}),
    ],
)
def test_what_is_derived_from_how_many_images_there_are_and_how_rare_a_class_is(images, share, typed, then):
    assert derived(images, share, **typed) == then


def length(images, **typed):
    """Batch size, epochs and steps, these counted by cutting an epoch into batches."""
    config = derive(TrainConfig(recipe="modern", **typed), images, ("a", "b"), pixels(COMMON))
    steps = config.epochs * len(split_into_batches(range(images), config.batch_size))
    return config.batch_size, config.epochs, steps


@pytest.fixture(scope="module")
def lengths():
    """The length of a run of one process on any number of images up to 3,000."""
    return {images: length(images) for images in range(2, 3001)}


@pytest.mark.parametrize("accumulate", [1, 3, 8])
@pytest.mark.parametrize("processes", [1, 3, 4])
def test_no_number_of_images_makes_a_run_too_short_or_batches_too_small(
    monkeypatch, lengths, accumulate, processes
):
    monkeypatch.setattr("segnet.training.configuration.derived.this_process", lambda: Process(0, processes))
    needed = min(2 * accumulate * processes, 32)
    if accumulate != 1 or processes != 1:
        lengths = {images: length(images, accumulate=accumulate) for images in range(2, 3001, 7)}
    for batch_size, _, steps in lengths.values():
        assert steps >= 900
        assert needed <= batch_size <= 32


@pytest.mark.parametrize("images", [54, 65, 200, 1180])
def test_the_sizes_of_published_tables_have_the_batches_and_epochs_of_the_rule_they_were_made_by(images):
    batch_size = 32  # halved, down to 4, until an epoch has 12 full batches
    while batch_size > 4 and images // batch_size < 12:
        batch_size //= 2
    steps = len(split_into_batches(range(images), batch_size))
    assert length(images)[:2] == (batch_size, max(60, -(-900 // steps)))


def test_an_image_more_or_less_changes_little(lengths):
    before = lengths[2]
    for images, now in lengths.items():
        assert before[0] <= now[0] <= before[0] + 2
        least, most = sorted((before[2], now[2]))
        assert most <= 1.2 * least, images
        before = now


def test_each_reason_is_a_line_with_the_setting_as_it_is_typed():
    config = derive(TrainConfig(recipe="modern"), 49, ("cell", "rest"), pixels(0.05))
    assert derived_lines(config) == [
        "--batch-size 4 (of 49 images; 32 would make 2 steps an epoch)",
        "--epochs 75 (of 12 steps each; 60 would make 720 steps)",
        "--loss cross-entropy+dice (cell covers 5 % of the training pixels)",
    ]


def test_a_share_is_one_of_the_pixels_that_have_a_class():
    config = TrainConfig(recipe="modern")
    assert not derive(config, 588, ("cell", "rest"), pixels(0.13, ignored=1.0)).derived


def test_the_article_is_never_fitted_to_anything():
    assert fitted_settings("article") == set()
    config = TrainConfig()
    assert derive(config, 5, ("cell", "rest"), pixels(0.01)) == config


def test_what_is_undecided_lives_on_in_copies_until_somebody_decides_it():
    config = TrainConfig(recipe="modern", epochs=5)
    assert config.undecided == ("batch_size", "loss")
    assert replace(config, seed=3).undecided == ("batch_size", "loss")
    assert replace(config, batch_size=8).undecided == ("loss",)
    assert TrainConfig(recipe="modern", loss="cross-entropy", batch_size=32, epochs=60).undecided == ()


@pytest.mark.parametrize(
    ("images", "typed", "plan", "too_few"),
    [
        (1180, {"recipe": "modern"}, "batches of 32, 60 epochs: 2,220 steps", ""),
        (
            32,
            {"recipe": "modern", "epochs": 45},
            "batches of 4, 45 epochs: 360 steps",
            "45 epochs are 360 steps; the recipe takes 113 epochs (904 steps): leave --epochs out",
        ),
        (32, {"recipe": "modern", "epochs": 113}, "batches of 4, 113 epochs: 904 steps", ""),
        (
            32,
            {"recipe": "modern", "batch_size": 32, "epochs": 1},
            "batches of 32, 1 epoch: 1 step",
            "1 epoch is 1 step; the recipe takes 900 epochs (900 steps): leave --epochs out",
        ),
        (3680, {}, "batches of 64, 20 epochs: 1,160 steps", ""),
        (
            3680,
            {"epochs": 3},
            "batches of 64, 3 epochs: 174 steps",
            "3 epochs are 174 steps; the recipe takes 20 epochs (1,160 steps): leave --epochs out",
        ),
        (
            32,
            {},
            "batches of 64, 20 epochs: 20 steps",
            "20 epochs are 20 steps; --recipe modern takes 900 or more, however few the images",
        ),
    ],
)
def test_a_run_says_how_long_it_is_and_where_its_recipe_would_be_longer(images, typed, plan, too_few):
    config = derive(TrainConfig(**typed), images, ("a", "b"), pixels(COMMON))
    assert plan_line(config, images) == plan
    assert too_few_steps(config, images, config.epochs) == too_few


def test_a_run_that_was_ended_early_is_told_by_the_epochs_that_were_done():
    config = TrainConfig(recipe="modern", early_stop=5)
    assert too_few_steps(config, 1180, 12) == (
        "12 epochs are 444 steps; the recipe takes 60 epochs (2,220 steps): leave --early-stop out"
    )


@pytest.fixture(scope="module")
def few(drawn_folder):
    """Settings of a run on 12 images whose object is a quarter of the pixels; one epoch."""
    settings = {"model": "segnet-lite", "model_options": TINY, "size": 32, "recipe": "modern", "epochs": 1}
    return {"data": str(drawn_folder)} | settings


@pytest.fixture(scope="module")
def printed_run(few, tmp_path_factory):
    """A run and what it printed."""
    text = io.StringIO()
    out = tmp_path_factory.mktemp("derived") / "run"
    with whole():
        return segnet.train(TrainConfig(**few, out=out), console=Console(file=text)), text.getvalue()


def test_a_run_says_what_was_derived_and_why(printed_run):
    run, text = printed_run
    assert run.config.batch_size == 4
    assert "\n--batch-size 4 (of 12 images; 32 would make 1 step an epoch)\n" in text
    assert "\nbatches of 4, 1 epoch: 3 steps\n" in text
    assert "of 12 images; 32 would make" in (run.folder / "report.html").read_text()


def test_a_run_says_as_it_begins_and_as_it_ends_that_it_is_short(printed_run):
    _, text = printed_run
    line = "1 epoch is 3 steps; the recipe takes 300 epochs (900 steps): leave --epochs out\n"
    before, after = text.split("epoch 1/1")
    assert f"\n{line}" in before
    assert f"\nwarning: {line}" in after


def test_the_configuration_of_a_run_makes_it_again_and_derives_nothing(printed_run, tmp_path):
    run, _ = printed_run
    kept = read_config(RunFolder(run.folder).config)
    assert (kept.batch_size, kept.undecided) == (4, ())
    assert derive(kept, 500, ("a", "b"), pixels(0.01)) == kept
    again = segnet.train(replace(kept, out=tmp_path / "again"))
    assert RunFolder(again.folder).model.read_bytes() == RunFolder(run.folder).model.read_bytes()


def test_a_run_goes_on_with_what_it_has_derived_but_for_an_end_that_is_given(printed_run, tmp_path):
    folder = RunFolder(tmp_path / "run")
    shutil.copytree(printed_run[0].folder, folder.path)
    config = segnet.resume(folder.path, epochs=2).config
    assert (config.batch_size, config.derived.keys()) == (4, {"batch_size"})


@pytest.mark.parametrize("typed", [{"recipe": "article"}, {"model": "unet"}, {"data": "other"}])
def test_other_data_or_another_recipe_or_model_leaves_what_was_derived_behind(few, tmp_path, typed):
    file = tmp_path / "config.yaml"
    config = derive(TrainConfig(**few), 12, ("a", "b"), pixels(0.05))
    file.write_text(yaml.safe_dump(config.to_dict() | {"out": None}))
    assert {"batch_size", "loss"} <= read_options(file, {}).keys()
    assert not {"batch_size", "loss"} & read_options(file, typed).keys()


def test_each_of_several_seeds_is_fitted_to_its_own_images(few, tmp_path):
    group = train_seeds(TrainConfig(**few, out=tmp_path / "group"), (0, 1))
    kept = [read_config(RunFolder(group / f"seed-{seed}").config) for seed in (0, 1)]
    assert [config.batch_size for config in kept] == [4, 4]
    whole = RunFolder(group).config
    assert read_config(whole).undecided == ("batch_size", "loss")
    assert not {"batch_size", "loss", "undecided"} & read_options(whole, {}).keys()


@pytest.mark.parametrize("line", ["undecided: 3", "derived: [a]", "undecided: [[1]]", "derived:"])
def test_notes_of_segnet_that_somebody_has_changed_are_named(tmp_path, line):
    file = tmp_path / "config.yaml"
    file.write_text(line)
    with pytest.raises(SegnetError, match="is what segnet itself notes there"):
        read_config(file)
