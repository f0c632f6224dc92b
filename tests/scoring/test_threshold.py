"""The line between two classes: the best one by brute force, chosen on one split and used on another."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from segnet import ClassTable, SegnetError
from segnet.base.class_roles import background_of, foreground_of
from segnet.base.classes import IGNORE_INDEX
from segnet.inference.description import Description
from segnet.inference.runtimes.with_torch import TorchRuntime
from segnet.inference.segmenter import Segmenter
from segnet.scoring.metrics import ScoreCounter
from segnet.scoring.threshold import ThresholdCounter

CPU = torch.device("cpu")
LEAVES = ClassTable.named(("background", "leaf"))


def drawn(batches=3, foreground=1):
    """Logits that lean to the background, as where a class is rare, and some ignored pixels."""
    torch.manual_seed(0)
    for _ in range(batches):
        target = (torch.rand(2, 9, 11) < 0.15).long()
        if not foreground:
            target = 1 - target
        logits = torch.randn(2, 2, 9, 11)
        logits[:, foreground] += 2.2 * (target == foreground) - 3.2
        target[:, 0] = IGNORE_INDEX
        yield logits, target


def by_brute_force(pairs, foreground):
    probability = torch.cat([logits.softmax(1)[:, foreground][target != 255] for logits, target in pairs])
    truth = torch.cat([target[target != 255] == foreground for _, target in pairs])
    ious = {}
    for step in range(1, 100):
        found = probability > step / 100
        ious[step / 100] = float((found & truth).sum() / (found | truth).sum())
    return ious


@pytest.mark.parametrize("foreground", [0, 1])
def test_the_best_threshold_is_the_one_that_trying_all_of_them_finds(foreground):
    pairs = [*drawn(foreground=foreground)]
    counter = ThresholdCounter(foreground, CPU)
    for pair in pairs:
        counter.add(*pair)
    ious = by_brute_force(pairs, foreground)
    assert counter.best() < 0.4, "argmax misses most of a rare class"
    assert ious[counter.best()] == max(ious.values())
    for threshold in (0.01, 0.2, 0.5, 0.77, 0.99):
        assert counter.iou(threshold) == pytest.approx(ious[threshold])


def test_at_a_half_it_is_argmax():
    pairs = [*drawn()]
    counter = ScoreCounter(LEAVES, CPU, threshold=0.5)
    for pair in pairs:
        counter.add(*pair)
    scores = counter.scores()
    assert scores.foreground_iou == scores.per_class["leaf"].iou == scores.foreground_iou_at_threshold


def test_of_equal_ones_it_is_the_nearest_to_a_half():
    counter = ThresholdCounter(1, CPU)
    logits = torch.tensor([[4.0, -4.0], [-4.0, 4.0]]).reshape(1, 2, 1, 2)
    counter.add(logits, torch.tensor([[[0, 1]]]))
    assert (counter.best(), counter.iou(0.5)) == (0.5, 1.0)


def test_without_foreground_there_is_none():
    counter = ThresholdCounter(1, CPU)
    assert (counter.best(), counter.iou(0.5)) == (None, None)
    counter.add(torch.zeros(1, 2, 3, 3), torch.zeros(1, 3, 3).long())
    assert counter.best() is None


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("background", "leaf"), "leaf"),
        (("pet", "background"), "pet"),
        (("class 0", "class 1"), "class 1"),
        (("cell", "Background"), "cell"),
        (("lesion", "bg"), "lesion"),
        (("road", "_background_"), "road"),
        (("a",), None),
        (("background", "b", "c"), None),
    ],
)
def test_the_foreground_is_what_is_not_called_background(names, expected):
    assert foreground_of(names) == expected
    number = ClassTable.named(names).foreground
    assert (None if number is None else names[number]) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [(("class 0", "class 1"), "class 0"), (("a", "BG"), "BG"), (("a", "b", "c"), None), (("a",), None),
     (("a", "_background_", "c"), "_background_")],
)  # fmt: skip
def test_the_background_is_left_bare_and_has_no_regions(names, expected):
    assert background_of(names) == expected


def test_of_more_classes_nothing_is_said():
    counter = ScoreCounter(ClassTable.named(("a", "b", "c")), CPU, threshold="chosen here")
    counter.add(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2).long())
    plain = counter.scores().to_dict()
    assert not {"threshold", "foreground_iou", "foreground_iou_at_threshold"} & plain.keys()


class Brightness(nn.Module):
    def forward(self, image):
        return torch.cat([1 - image[:, :1], image[:, :1]], 1).mul(4)


def bright(threshold=None):
    description = Description("own.Brightness", LEAVES, (16, 16), "area", threshold=threshold)
    return Segmenter(TorchRuntime(Brightness()), description)


def test_a_prediction_takes_the_threshold_that_is_given_or_the_one_the_model_keeps():
    ramp = Image.fromarray(np.tile(np.arange(0, 256, 16, dtype=np.uint8), (16, 1))).convert("RGB")
    segmenter = bright(threshold=0.2)
    argmax, chosen, high = (
        each.predict(ramp)
        for each in (segmenter, segmenter.at_threshold("chosen"), segmenter.at_threshold(0.9))
    )
    for found, threshold in ((argmax, 0.5), (chosen, 0.2), (high, 0.9)):
        assert np.array_equal(found.mask == 1, found.probabilities[1] > threshold)
    assert high.mask.sum() < argmax.mask.sum() < chosen.mask.sum()


@pytest.mark.parametrize(
    ("kept", "given", "says"),
    [(None, "chosen", "keeps no threshold; give a number"), (0.4, 1.5, "between 0 and 1, not 1.5")],
)
def test_a_threshold_that_cannot_be_is_refused(kept, given, says):
    with pytest.raises(SegnetError, match=says):
        bright(kept).at_threshold(given)


def test_a_model_of_three_classes_has_no_line_between_two():
    description = Description("own.Brightness", ClassTable.named(("a", "b", "c")), (16, 16), "area")
    with pytest.raises(SegnetError, match="between two classes, and the model has 3: a, b, c"):
        Segmenter(TorchRuntime(Brightness()), description).at_threshold(0.5)
