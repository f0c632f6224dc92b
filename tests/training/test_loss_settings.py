"""--loss and --class-weights, from the command line to what a run remembers."""

import json

import pytest

import segnet
from segnet import SegnetError, TrainConfig
from segnet.training.configuration.config_file import read_config
from segnet.training.losses.loss_sum import NAMES

pytestmark = pytest.mark.usefixtures("plain_runs")


@pytest.mark.parametrize("loss", [*NAMES, "cross-entropy+0.5*dice"])
def test_every_loss_trains(tiny_config, loss):
    run = segnet.train(tiny_config(loss=loss, epochs=2))
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["train_loss"] for line in lines]
    assert losses[-1] < losses[0]


def test_a_sum_is_remembered_in_one_spelling():
    assert TrainConfig(loss=" cross-entropy + 0.50 * dice").loss == "cross-entropy+0.5*dice"
    assert TrainConfig(loss="1*dice").loss == "dice"


def test_weights_by_frequency_are_counted_on_the_training_masks_and_remembered(tiny_config):
    run = segnet.train(tiny_config(class_weights="median-frequency", epochs=1))
    weights = json.loads((run.folder / "environment.json").read_text())["class_weights"]
    # squares of 16x16 in images of 32x32: frequencies 3/4 and 1/4, their median 1/2
    assert weights == pytest.approx([2 / 3, 2], rel=0.2)
    assert read_config(run.folder / "config.yaml").class_weights == "median-frequency"


def test_weights_that_were_given_come_back_from_the_saved_configuration(tiny_config):
    run = segnet.train(tiny_config(class_weights=[1, 4], epochs=1))
    assert read_config(run.folder / "config.yaml").class_weights == (1, 4)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"loss": "focla"}, "did you mean 'focal'"),
        ({"class_weights": "median"}, "there is median-frequency"),
        ({"class_weights": 4}, "a number for each class, such as 1,1,4, got 4"),
        ({"class_weights": (1.0, -1.0)}, "not all 0, got 1.0,-1.0"),
        ({"class_weights": (0.0, 0.0)}, "not all 0"),
        ({"class_weights": (1.0, float("nan"))}, "numbers of 0 or more"),
        ({"class_weights": (1.0, 2.0), "loss": "iou"}, "takes no --class-weights"),
        ({"class_weights": (1.0, 2.0), "loss": "dice+iou"}, "--loss iou sums .* takes no --class-weights"),
        ({"loss": "dice+0.5*"}, "lacks a term"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, says):
    with pytest.raises(SegnetError, match=says):
        TrainConfig(**settings)


def test_a_wrong_number_of_weights_names_the_classes(tiny_config):
    with pytest.raises(SegnetError, match="needs 2 numbers, one each for background, object; got 3"):
        segnet.train(tiny_config(class_weights=(1.0, 1.0, 4.0)))
