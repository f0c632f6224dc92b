"""Training on patches: what is small in a large image is found, scored and predicted at its own size."""

import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from segnet import SegnetError, TrainConfig, load, load_dataset, resume, train
from segnet.data.store.open_split import open_pixels
from segnet.runs.run_folder import RunFolder
from segnet.scoring.evaluate import evaluate
from segnet.training.check import check
from segnet.training.configuration.config_file import read_config, read_options
from segnet.training.epoch import cut_size, epoch_batches, epoch_length
from segnet.training.setup import fit_of

from ..plain import whole

pytestmark = pytest.mark.usefixtures("plain_runs")

TINY = {"stages": [[8, 1], [8, 1]], "bottleneck": [8, 0, 3]}


def draw(root, count=6, side=150):
    """Draw specks of 6 px on images of 150 px and odd shapes."""
    for split, total in (("train", count), ("val", 3)):
        for kind in ("images", "masks"):
            (root / split / kind).mkdir(parents=True)
        for index in range(total):
            random = np.random.RandomState(index + (100 if split == "val" else 0))
            shape = side, side + 10 * (index % 3)
            mask = np.zeros(shape, np.uint8)
            for top, left in random.randint(0, side - 6, (6, 2)):
                mask[top : top + 6, left : left + 6] = 1
            image = random.randint(0, 120, (*shape, 3)) + mask[..., None] * 110
            Image.fromarray(image.astype(np.uint8)).save(root / split / "images" / f"{index}.png")
            Image.fromarray(mask).save(root / split / "masks" / f"{index}.png")
    (root / "dataset.yaml").write_text("classes: [background, speck]\n")
    return root


@pytest.fixture(scope="module")
def specks(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("specks"))


def config_for(folder, out, **changes):
    settings = {
        "data": str(folder),
        "model": "segnet-lite",
        "model_options": TINY,
        "patch": 32,
        "batch_size": 16,
        "epochs": 4,
        "lr": 0.01,
        "out": out,
    }
    return TrainConfig(**(settings | changes))


@pytest.fixture
def config(specks, tmp_path):
    return lambda **changes: config_for(specks, **({"out": tmp_path / "run"} | changes))


@pytest.fixture(scope="module")
def run(specks, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    with whole():
        return train(config_for(specks, out, epochs=5, batch_size=4, lr=0.02, class_weights=(1, 4)))


def test_what_is_small_is_found(run):
    assert run.val.per_class["speck"].iou > 0.6


def test_scores_are_those_of_every_pixel_at_the_images_own_size(run, specks):
    assert sum(map(sum, run.val.confusion)) == 150 * (150 + 160 + 170)


def test_the_model_file_remembers_and_predicts_and_evaluates_the_same(run, specks):
    segmenter = load(run.folder)
    assert (segmenter.description.patch_scale, segmenter.description.size) == (1.0, (32, 32))
    assert evaluate(segmenter, load_dataset(run.config)).confusion == run.val.confusion
    image, mask = load_dataset(run.config).val[0].read()
    found = segmenter.predict(image)
    assert found.logits.shape == (2, *mask.shape)
    images = {line.split(",")[1]: line for line in (run.folder / "images.csv").read_text().splitlines()}
    assert len(images) == 4
    right = (found.mask == mask)[mask == 1].sum() / ((found.mask == 1) | (mask == 1)).sum()
    assert right > 0.5


def test_a_file_with_patches_is_one_that_an_older_version_refuses(run):
    described = load(run.folder).description.to_json()
    assert json.loads(described)["format"] == 2
    assert json.loads(load("pets-lite").description.to_json())["format"] == 1


def test_the_run_folder_has_its_pictures(run):
    folder = RunFolder(run.folder)
    assert folder.gif.exists()
    assert Image.open(folder.worst(1)).size == (4 * 192 + 3 * 4, 192), "the patch with most mistakes"
    assert read_config(folder.config).patch == (32, 32)


def test_the_start_says_how_many_patches_there_are(config, capsys):
    train(config(epochs=1, patches=20))
    assert "20 patches of 32x32 px in an epoch" in capsys.readouterr().out


def test_a_resumed_run_ends_with_the_same_weights(config, tmp_path):
    whole = train(config(crop_scale=0.5, epochs=3, patches=24, out=tmp_path / "whole"))
    part = train(config(crop_scale=0.5, epochs=1, patches=24, out=tmp_path / "part"))
    resume(part.folder, epochs=3)
    states = [torch.load(run.folder / "last" / "state.pt")["parts"]["model"] for run in (part, whole)]
    assert all(torch.equal(states[0][name], tensor) for name, tensor in states[1].items())


def test_an_epoch_covers_the_images_once_and_depends_on_its_seed_alone(config, specks):
    settings = config()
    dataset = load_dataset(settings)
    split = open_pixels(dataset.train, dataset.classes, fit_of(settings))
    assert epoch_length(settings, split) == 2 * (5 * 5 + 5 * 5 + 5 * 6)
    batches = epoch_batches(settings, split, 3)
    assert sum(map(len, batches)) == 160
    assert batches == epoch_batches(settings, split, 3) != epoch_batches(settings, split, 4)
    assert split.take(batches[0])[0].shape == (16, 32, 32, 3)


def test_crops_show_things_larger_as_often_as_smaller(config):
    modern = config(recipe="modern", progressive=False)
    height, _ = cut_size(modern, 0)
    least, most = (side * share**0.5 / 32 for side, share in ((height, modern.crop_scale), (height, 1)))
    assert least * most == pytest.approx(1, abs=0.02)
    assert cut_size(config(recipe="modern", patch=64, progressive=True, epochs=10), 0)[0] < 64


def test_batch_norms_statistics_are_taken_from_patches(config):
    assert train(config(epochs=2, patches=24, recompute_statistics=True)).finished


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"patch": None, "patch_scale": 0.5}, "--patch-scale goes with --patch; give --patch SIZE too"),
        ({"patch": None, "patches": 5}, "--patches goes with --patch; give --patch SIZE too"),
        ({"size": (64, 64)}, "--size 64x64 is for whole images and --patch 32x32 for parts"),
        ({"keep_aspect": True}, "leave --keep-aspect out"),
        ({"patch_scale": 0}, "--patch-scale must be from 0.01 to 1"),
        ({"patch": 8}, "--patch must be at least 16"),
        ({"patch": (32, 0.5)}, "--patch must be"),
        ({"patch": 3.5}, "--patch must be"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(config, changes, says):
    with pytest.raises(SegnetError, match=says):
        config(**changes)


def test_a_saved_configuration_is_read_back_and_its_patch_may_be_typed_over(config, tmp_path):
    run = train(config(epochs=1, patches=24))
    saved = run.folder / "config.yaml"
    assert read_config(saved).patch == (32, 32)
    assert read_options(saved, {})["patch"] == "32x32"
    assert "size" not in read_options(saved, {"patch": "64"})
    assert not {"patch", "patches", "patch_scale"} & read_options(saved, {"size": "64"}).keys()


@pytest.mark.parametrize("shape", [(90, 160), (160, 90)])
def test_with_its_proportions_kept_an_image_is_scored_without_what_was_mirrored(tmp_path, shape):
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (tmp_path / split / kind).mkdir(parents=True)
        for index in range(8 if split == "train" else 2):
            random = np.random.RandomState(index + 50 * (split == "val"))
            mask = np.zeros(shape, np.uint8)
            top, left = random.randint(0, 40, 2)
            mask[top : top + 40, left : left + 40] = 1
            image = random.randint(0, 80, (*shape, 3)) + mask[..., None] * 120
            Image.fromarray(image.astype(np.uint8)).save(tmp_path / split / "images" / f"{index}.png")
            Image.fromarray(mask).save(tmp_path / split / "masks" / f"{index}.png")
    run = train(config_for(tmp_path, tmp_path / "run", patch=None, size=(32, 32), keep_aspect=True))
    assert sum(map(sum, run.val.confusion)) == 2 * 32 * 18, "what lies beyond the edge isn't scored"
    segmenter = load(run.folder)
    assert segmenter.description.keep_aspect
    found = segmenter.predict(np.zeros((*shape, 3), np.uint8))
    assert found.logits.shape == (2, *(round(side / 5) for side in shape))
    assert found.mask.shape == shape


def test_the_threshold_of_the_validation_images_is_kept_in_the_model_and_scored(run):
    description = load(run.folder).description
    assert description.threshold == run.val.threshold
    assert run.val.foreground_iou_at_threshold >= run.val.foreground_iou == run.val.per_class["speck"].iou
    assert "speck IoU" in run.val.line()
    assert next(run.val.classes())[0] == "speck"


@pytest.mark.parametrize("typed", [{"patches": "3000"}, {"holdout": "0.5"}, {"size": "96"}])
def test_what_was_derived_for_other_steps_is_derived_anew(config, tmp_path, typed):
    saved = tmp_path / "config.yaml"
    derived = {"derived": {"epochs": "few"}, "epochs": 450, "lr": 0.01}
    saved.write_text(yaml.safe_dump({"recipe": "modern", "patch": [32, 32], "size": [32, 32]} | derived))
    assert read_options(saved, {})["epochs"] == 450
    options = read_options(saved, typed)
    assert "epochs" not in options
    assert options["lr"] == 0.01


def test_an_encoder_may_be_frozen_for_longer_than_the_recipes_own_epochs(config):
    undecided = {"recipe": "modern", "freeze_encoder": 70, "lr": None, "epochs": None, "batch_size": None}
    check(config(**undecided))
    with pytest.raises(SegnetError, match="--freeze-encoder 70 leaves the encoder no epoch of"):
        train(config(**undecided, patches=2000))


def test_advice_names_the_option_that_patches_take(config):
    with pytest.raises(SegnetError, match="make --patch a multiple of 16"):
        check(config(model="vit", model_options={}, patch=40))
