"""What a network makes of an image, epoch after epoch: as a run kept it, and learnt on the spot."""

import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor

import segnet
from segnet import SegnetError, TrainConfig
from segnet.data.pets import PET_CLASSES
from segnet.data.synthetic import load_synthetic
from segnet.figures.learning import choose_image, draw_learning, learning_of_run, learning_table
from segnet.training import in_memory

TINY = {"stages": [[8, 1], [8, 1]], "bottleneck": [8, 0, 3]}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of five epochs over noise of two colours, with five validation images of 24x32."""
    root = tmp_path_factory.mktemp("learning")
    for split, count in (("train", 6), ("val", 5)):
        for number in range(count):
            random = np.random.default_rng(number + 10 * (split == "val"))
            mask = np.kron(random.integers(0, 2, (3, 4)), np.ones((8, 8))).astype(np.uint8)
            image = random.integers(0, 80, (24, 32, 3)) + 120 * mask[..., None]
            for kind, pixels in (("images", image.astype(np.uint8)), ("masks", mask)):
                (root / "data" / split / kind).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(root / "data" / split / kind / f"{number}-photo.png")
    (root / "data" / "dataset.yaml").write_text("classes: [background, object]\n")
    config = TrainConfig(
        data=str(root / "data"), model="segnet-lite", model_options=TINY, size=(24, 32), batch_size=3,
        epochs=5, lr=0.01, out=root / "run",
    )  # fmt: skip
    segnet.train(config)
    return root / "run"


def colours_of(figure):
    return np.array([[int(code[i : i + 2], 16) for i in (1, 3, 5)] for code in figure.colours.values()])


def test_a_run_is_read_with_the_scores_of_its_metrics(run):
    figure = learning_of_run(str(run))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [each.epoch for each in figure.epochs] == [1, 2, 3, 4, 5]
    assert [each.mean_iou for each in figure.epochs] == [line["val"]["mean_iou"] for line in lines]
    assert [each.train_loss for each in figure.epochs] == [line["train_loss"] for line in lines]
    assert figure.curve == {line["epoch"]: line["val"]["mean_iou"] for line in lines}
    assert figure.title == "run learns: 0-photo; mean IoU of 5 validation images"
    rows = [*zip(*(column.cells for column in learning_table(figure).columns), strict=True)]
    assert [row[2] for row in rows] == [f"{line['val']['mean_iou']:.3f}" for line in lines]


@pytest.mark.parametrize("number", range(5))
def test_the_image_and_its_truth_are_the_validation_images_own(run, number):
    figure = learning_of_run(str(run), str(number + 1))
    folder = run.parent / "data" / "val"
    colours = colours_of(figure)
    mask = np.asarray(Image.open(folder / "masks" / f"{number}-photo.png"))
    assert (figure.truth == colours[mask]).all()
    assert (figure.image == np.asarray(Image.open(folder / "images" / f"{number}-photo.png"))).all()
    for each in figure.epochs:
        assert (each.prediction[:, :, None] == colours).all(-1).any(-1).all(), "colours of classes alone"


def test_the_prediction_of_the_best_epoch_is_the_kept_models(run):
    figure = learning_of_run(str(run))
    best = max(figure.epochs, key=lambda each: each.mean_iou)
    mask = segnet.load(run, device="cpu").predict(run.parent / "data" / "val" / "images" / "0-photo.png").mask
    colours = colours_of(figure)
    assert (best.prediction == colours[mask]).all()


def test_fewer_epochs_are_evenly_spread_with_the_first_and_the_last(run):
    assert [each.epoch for each in learning_of_run(str(run), most=3).epochs] == [1, 3, 5]
    assert [each.epoch for each in learning_of_run(str(run), most=2).epochs] == [1, 5]


def test_it_is_drawn_side_by_side_and_as_a_film(run, tmp_path):
    figure = learning_of_run(str(run))
    draw_learning(figure, tmp_path / "l.png")
    assert Image.open(tmp_path / "l.png").width > 1000
    draw_learning(figure, tmp_path / "l.gif")
    with Image.open(tmp_path / "l.gif") as film:
        assert film.n_frames == 5


def test_an_image_is_given_by_its_name_or_counted_from_1():
    names = ["a", "2", "c"]
    assert [choose_image(given, names) for given in (None, "1", "2", "3", "c")] == [0, 0, 1, 2, 2]
    for wrong in ("0", "4"):
        with pytest.raises(SegnetError, match=f"--image is 1 to 3, got {wrong}"):
            choose_image(wrong, names)
    with pytest.raises(SegnetError, match="did you mean 'photo-1'"):
        choose_image("photo1", ["photo-1", "other"])


def test_a_run_without_predictions_and_damaged_ones_are_refused(run, tmp_path):
    shutil.copytree(run, tmp_path / "copy")
    (tmp_path / "copy" / "previews" / "epoch_002.npz").write_text("no arrays")
    with pytest.raises(SegnetError, match=r"can't read .*epoch_002\.npz: .*; train the run anew"):
        learning_of_run(str(tmp_path / "copy"))
    for file in (tmp_path / "copy" / "previews").glob("*.npz"):
        file.unlink()
    with pytest.raises(SegnetError, match=r"holds no predictions of its epochs; .* older segnet"):
        learning_of_run(str(tmp_path / "copy"))


def test_a_small_network_learns_on_the_spot(monkeypatch):
    monkeypatch.setattr(in_memory, "_LEARN_FROM", 32)
    monkeypatch.setattr(in_memory, "_LOOK_AT", 6)
    monkeypatch.setattr(in_memory, "_SIDE_PX", 32)
    monkeypatch.setattr(in_memory, "_EPOCHS", 3)
    figure = in_memory.train_and_watch("2", most=2)
    assert [each.epoch for each in figure.epochs] == [1, 3]
    assert len(figure.curve) == 3
    losses = [each.train_loss for each in figure.epochs]
    assert losses[1] < losses[0]
    assert figure.image.shape == figure.truth.shape == figure.epochs[0].prediction.shape == (32, 32, 3)
    assert figure.title.endswith("6 drawn pets, learnt from 32 others")
    assert list(figure.colours) == list(PET_CLASSES.names)


def test_the_same_seed_learns_the_same_weights(monkeypatch):
    monkeypatch.setattr(in_memory, "_OPTIONS", {"stages": ((4, 1), (4, 1)), "bottleneck": (4, 1, 3)})
    split = in_memory.read_samples(load_synthetic(train=16, val=4).train, 32)
    models = []
    for seed in (0, 0, 1):
        models.append(in_memory.small_segnet(seed))
        losses = [*in_memory.learn(models[-1], split, 2, seed)]
        torch.rand(3)  # what is drawn elsewhere decides nothing
        assert len(losses) == 2
    first, again, other = ([*model.parameters()] for model in models)
    assert all(map(torch.equal, first, again))
    assert not all(map(torch.equal, first, other))


def test_the_page_of_a_network_shows_its_run(segnet, here, run):
    done = segnet("show", "network", run, "--out", "run.html")
    assert (done.code, done.err) == (0, "")
    page = (here / "run.html").read_text(encoding="utf-8")
    learning = json.loads(re.search('id="contents">(.*?)</script>', page)[1])["learning"]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert learning["run"] == f"The run {run.name}, on validation images of its own."
    assert [each["epoch"] for each in learning["epochs"]] == [1, 2, 3, 4, 5]
    assert [each["loss"] for each in learning["epochs"]] == [row["train_loss"] for row in rows]
    assert [each["iou"] for each in learning["epochs"]] == [row["val"]["mean_iou"] for row in rows]
    with np.load(run / "previews" / "epoch_002.npz") as kept:
        predicted = kept["predicted"]
    colours = [ImageColor.getrgb(colour) for colour in learning["classes"].values()]
    assert len(learning["pictures"]) == 4
    for number, text in enumerate(learning["epochs"][1]["masks"]):
        mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))
        assert np.array_equal(mask, np.array(colours, np.uint8)[predicted[number]])
