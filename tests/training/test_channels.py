"""A run on images that aren't 8-bit RGB, from the first look to an exported file that says the same."""

import json

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch import nn

import segnet
from segnet import DataOptions, TrainConfig, load, load_dataset, resume, train
from segnet.base.errors import SegnetError
from segnet.data.check.inspect_folder import inspect_folder
from segnet.data.images.intensity import RGB, Intensity
from segnet.export.exporter import export
from segnet.inference.model_file import read_description
from segnet.scoring.evaluate import evaluate
from segnet.training.start import start_from

from .conftest import TINY

pytestmark = pytest.mark.usefixtures("plain_runs")

MODERN = {"recipe": "modern", "progressive": False, "warmup_epochs": 0, "lr": 0.02}


def scene(seed, channels, side=32):
    """Values of 12 bits, as a camera writes them: noise, and a square that is brighter; and the square."""
    random = np.random.RandomState(seed)
    mask = np.zeros((side, side), np.uint8)
    top, left = random.randint(0, side // 2, 2)
    mask[top : top + side // 2, left : left + side // 2] = 1
    noise = random.randint(100, 900, (side, side, channels))
    return (noise + mask[..., None].astype(int) * 3000).astype(np.uint16), mask


def draw_deep(root, channels, count=16):
    for number in range(count):
        values, mask = scene(number, channels)
        for part in ("images", "masks"):
            (root / part).mkdir(parents=True, exist_ok=True)
        values, how = (values[..., 0], {}) if channels == 1 else (values, {"planarconfig": "contig"})
        tifffile.imwrite(root / "images" / f"{number:02d}.tif", values, photometric="minisblack", **how)
        Image.fromarray(mask).save(root / "masks" / f"{number:02d}.png")
    (root / "dataset.yaml").write_text("classes: [background, object]\n")
    return root


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """Folders of 12-bit TIFFs by their number of channels."""
    return {number: draw_deep(tmp_path_factory.mktemp("deep") / f"of{number}", number) for number in (1, 5)}


def config_of(folder, channels, **changes):
    settings = {
        "data": str(folder),
        "channels": channels,
        "model": "segnet-lite",
        "model_options": TINY,
        "size": 32,
        "batch_size": 4,
        "epochs": 1,
    }
    return TrainConfig(**(settings | MODERN | changes))


@pytest.fixture(scope="module")
def run_of_one(deep, tmp_path_factory):
    return train(config_of(deep[1], 1, out=tmp_path_factory.mktemp("runs") / "one"))


def test_the_model_file_keeps_the_percentiles_of_the_training_images(run_of_one, deep):
    description = read_description(run_of_one.folder / "model.safetensors")
    data = json.loads((run_of_one.folder / "data.json").read_text())
    names = [each[0] for each in data["splits"]["train"]]
    values = np.stack([tifffile.imread(deep[1] / f"images/{name}.tif") for name in names])
    assert description.intensity.channels == 1
    assert np.allclose(description.intensity.ranges, [np.percentile(values, (0.1, 99.9))])
    assert json.loads(description.to_json())["format"] == 2


@pytest.mark.campaign
def test_file_array_and_exported_model_predict_the_same(run_of_one, deep):
    file = deep[1] / "images/00.tif"
    segmenter = load(run_of_one.folder)
    found = segmenter.predict(file)
    for source in (tifffile.imread(file), tifffile.imread(file)[..., None], Image.open(file)):
        assert np.array_equal(segmenter.predict(source).logits, found.logits)
    exported = export(run_of_one.folder)
    assert exported.failure == ""
    assert "val split" in exported.parity.images
    opened = load(exported.path)
    assert opened.description.intensity == segmenter.description.intensity
    assert np.allclose(opened.predict(file).logits, found.logits, atol=1e-4)
    assert found.overlay().size == found.mask.shape[::-1]


def test_an_evaluation_uses_the_models_ranges_whatever_the_data_says(run_of_one, deep, tmp_path):
    own = evaluate(load(run_of_one.folder), load_dataset(DataOptions(data=str(deep[1]), channels=1)))
    assert own.mean_iou == pytest.approx(run_of_one.val.mean_iou)
    darker = draw_deep(tmp_path / "other", 1, count=4)
    for file in (darker / "images").iterdir():  # of half the brightness: another range, were it measured anew
        tifffile.imwrite(file, tifffile.imread(file) // 2)
    segmenter = load(run_of_one.folder)
    dataset = load_dataset(DataOptions(data=str(darker), channels=1))
    scores = evaluate(segmenter, dataset, split="all")
    equal = [
        segmenter.predict(sample.image).mask == sample.read_as(Intensity(1))[1]
        for split in dataset.splits.values()
        for sample in split
    ]
    assert scores.pixel_accuracy == pytest.approx(np.mean(equal))


def test_a_run_goes_on_to_the_same_bits(deep, tmp_path):
    constant = {"schedule": "constant"}
    train(config_of(deep[1], 1, out=tmp_path / "run", **constant))
    resume(tmp_path / "run", epochs=2)
    train(config_of(deep[1], 1, out=tmp_path / "whole", epochs=2, **constant))
    one, other = (
        torch.load(tmp_path / name / "last/state.pt", weights_only=True)["parts"]["model"]
        for name in ("run", "whole")
    )
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_few_epochs_learn_what_12_bits_show(deep, tmp_path):
    run = train(config_of(deep[1], 1, out=tmp_path / "run", epochs=25, brightness=0.1, contrast=0.1))
    assert run.val.mean_iou > 0.8
    assert load(run.folder).predict(deep[1] / "images/03.tif").areas()["object"] == pytest.approx(
        0.25, abs=0.1
    )


@pytest.mark.usefixtures("whole_runs")
@pytest.mark.parametrize("patch", [None, pytest.param(16, marks=pytest.mark.campaign)])
def test_five_channels_train_and_show_three_of_them(deep, tmp_path, patch):
    shape = {"size": 32} if patch is None else {"patch": patch, "size": patch}
    run = train(config_of(deep[5], 5, out=tmp_path / "run", **shape))
    assert len(load(run.folder).description.intensity.ranges) == 5
    result = load(run.folder).predict(deep[5] / "images/00.tif")
    assert result.mask.shape == (32, 32)
    assert result.image.mode == "RGB"
    assert (run.folder / "previews/epoch_001.png").exists()
    assert (run.folder / "worst").exists()


def test_transparency_is_a_fourth_channel_of_8_bits_where_asked_for(tmp_path):
    for number in range(10):
        values, mask = scene(number, 4)
        for part, array in (("images", (values >> 4).astype(np.uint8)), ("masks", mask)):
            (tmp_path / "data" / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(tmp_path / f"data/{part}/{number}.png")
    run = train(config_of(tmp_path / "data", 4, out=tmp_path / "run", keep_aspect=True))
    segmenter, file = load(run.folder), tmp_path / "data/images/0.png"
    assert segmenter.description.intensity == Intensity(4)
    found = segmenter.predict(file)
    assert np.array_equal(segmenter.predict(np.asarray(Image.open(file))).logits, found.logits)
    with pytest.raises(SegnetError, match=r"an array must be uint8 \(H, W, 4\), got uint8 \(9, 9, 3\)"):
        segmenter.predict(np.zeros((9, 9, 3), np.uint8))
    photo = Image.new("RGB", (32, 32))
    with pytest.raises(
        SegnetError, match=r"the image has 3 channels where 4 are taken; segnet train --channels 3"
    ):
        segmenter.predict(photo)


def test_a_file_of_other_channels_than_the_models_is_one_line(run_of_one, deep):
    with pytest.raises(SegnetError, match=r"00.tif has 5 channels where 1 is taken"):
        load(run_of_one.folder).predict(deep[5] / "images/00.tif")
    with pytest.raises(SegnetError, match=r"00.tif has 5 channels where RGB or grey is taken"):
        load("pets-lite").predict(deep[5] / "images/00.tif")
    for array in (np.zeros((8, 8, 3), np.uint16), np.zeros((8, 8, 1), complex)):
        with pytest.raises(SegnetError, match=r"values as the training images have them \(H, W, 1\), got"):
            load(run_of_one.folder).predict(array)
    with pytest.raises(SegnetError, match="the array has 8 bits a channel"):
        load(run_of_one.folder).predict(np.zeros((8, 8), np.uint8))


def test_without_channels_training_says_which_to_give(deep):
    with pytest.raises(
        SegnetError, match=r"00.tif has 5 channels where RGB or grey is taken; segnet train --chan"
    ):
        train(TrainConfig(data=str(deep[5])))


@pytest.mark.parametrize("channels", [0, 65, 1.5])
def test_a_number_of_channels_that_cant_be_is_refused(channels):
    with pytest.raises(SegnetError, match="--channels must be a whole number from 1 to 64"):
        DataOptions(data="a", channels=channels)


def test_channels_are_for_folders_alone():
    with pytest.raises(
        SegnetError, match="--channels is for folder and hf; with --data synthetic leave it out"
    ):
        load_dataset(DataOptions(data="synthetic", channels=1))


def test_grey_of_12_bits_trains_as_rgb_where_nothing_is_said(deep, tmp_path):
    run = train(config_of(deep[1], None, out=tmp_path / "run"))
    intensity = load(run.folder).description.intensity
    assert intensity.channels == 3
    assert intensity.ranges is not None


def test_photos_of_8_bits_leave_the_same_model_file_as_ever(tiny_config):
    run = train(tiny_config(epochs=1))
    text = json.loads(read_description(run.folder / "model.safetensors").to_json())
    assert text["format"] == 1
    assert not {"intensity", "channels"} & {*text, *text["data"]["options"]}
    assert load(run.folder).description.intensity == RGB


def test_data_check_finds_nothing_wrong_with_deep_images(deep):
    for channels, folder in deep.items():
        found = inspect_folder(folder, channels=channels)
        assert found.errors == []
        assert found.layouts == {(channels, 16): 16}


def test_a_model_of_your_own_gets_as_many_channels_and_its_exported_file_too(deep, tmp_path):
    own = nn.Conv2d(5, 2, 1)
    run = train(config_of(deep[5], 5, model_options={}, out=tmp_path / "run"), model=own)
    assert export(run.folder, model=own).failure == ""
    found = load(run.folder, model=nn.Conv2d(5, 2, 1)).predict(deep[5] / "images/00.tif")
    assert found.mask.shape == (32, 32)


def test_start_from_rgb_keeps_all_but_what_meets_the_channels(run_of_one, deep):
    config = config_of(deep[5], 5, start_from=run_of_one.folder)
    model = segnet.create_model("segnet-lite", 2, 5, **TINY)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    start_from(config, model, ("background", "object"))
    given = load(run_of_one.folder).model.state_dict()
    for name, value in model.state_dict().items():
        expected = given[name] if given[name].shape == before[name].shape else before[name]
        assert torch.equal(value, expected), name
    assert model.state_dict()["classifier.weight"].equal(given["classifier.weight"])


@pytest.mark.campaign
def test_255_classes_train_score_and_predict(tmp_path):
    random = np.random.RandomState(0)
    for part in ("images", "masks"):
        (tmp_path / "data" / part).mkdir(parents=True)
    for number in range(6):
        mask = random.permutation(np.arange(32 * 32) % 255).astype(np.uint8).reshape(32, 32)
        Image.fromarray(np.repeat(mask[..., None], 3, -1)).save(tmp_path / f"data/images/{number}.png")
        Image.fromarray(mask).save(tmp_path / f"data/masks/{number}.png")
    (tmp_path / "data/dataset.yaml").write_text(f"classes: {[f'class {value}' for value in range(255)]}\n")
    run = train(config_of(tmp_path / "data", None, out=tmp_path / "run"))
    assert len(run.val.per_class) == 255
    found = load(run.folder).predict(tmp_path / "data/images/0.png")
    assert found.probabilities.shape == (255, 32, 32)
    assert found.mask.max() <= 254
    assert len(found.areas()) == 255
    assert np.array_equal(found.index_image(), found.mask)
    assert export(run.folder).failure == ""
