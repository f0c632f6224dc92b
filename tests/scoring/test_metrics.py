"""Scores against torchmetrics and against counts made by hand."""

import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_jaccard_index,
    multiclass_precision,
    multiclass_recall,
)
from torchmetrics.functional.segmentation import dice_score

from segnet.base.classes import ClassTable
from segnet.scoring.metrics import ScoreCounter, article_custom_iou, scores_from_confusion

PETS = ClassTable.named(("pet", "background", "border"))
CPU = torch.device("cpu")


def random_batch(seed, *, ignore=0.0, images=4, side=9):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, 3, side, side, generator=generator)
    mask = torch.randint(0, 3, (images, side, side), generator=generator)
    mask[torch.rand(mask.shape, generator=generator) < ignore] = 255
    return logits, mask.to(torch.uint8)


def scored(*batches, classes=PETS, article=False):
    counter = ScoreCounter(classes, CPU, article=article)
    for logits, mask in batches:
        counter.add(logits, mask)
    return counter.scores()


@pytest.mark.parametrize("ignore", [0.0, 0.3])
def test_scores_over_unequal_batches_equal_torchmetrics_over_the_whole_split(ignore):
    batches = [random_batch(1, ignore=ignore), random_batch(2, ignore=ignore, images=1)]
    scores = scored(*batches)
    predicted = torch.cat([logits.argmax(1) for logits, _ in batches])
    truth = torch.cat([mask for _, mask in batches]).long()
    options = {"num_classes": 3, "ignore_index": 255}
    assert scores.pixel_accuracy == pytest.approx(
        multiclass_accuracy(predicted, truth, average="micro", **options).item()
    )
    iou = multiclass_jaccard_index(predicted, truth, average="none", **options)
    precision = multiclass_precision(predicted, truth, average="none", **options)
    recall = multiclass_recall(predicted, truth, average="none", **options)
    for i, entry in enumerate(scores.per_class.values()):
        assert entry.iou == pytest.approx(iou[i].item())
        assert entry.precision == pytest.approx(precision[i].item())
        assert entry.recall == pytest.approx(recall[i].item())
    assert scores.mean_iou == pytest.approx(iou.mean().item())


def test_dice_equals_torchmetrics_over_all_pixels():
    logits, mask = random_batch(3)
    dice = dice_score(
        logits.argmax(1).reshape(1, -1), mask.long().reshape(1, -1), 3, average="none", input_format="index"
    )
    ours = [entry.dice for entry in scored((logits, mask)).per_class.values()]
    assert ours == pytest.approx(dice.flatten().tolist())


def test_the_articles_iou_equals_micro_jaccard_without_background_truth():
    logits, mask = random_batch(4)
    theirs = multiclass_jaccard_index(
        logits.argmax(1), mask.long(), num_classes=3, average="micro", ignore_index=1
    )
    assert scored((logits, mask), article=True).article_iou == pytest.approx(theirs.item())


def test_the_articles_iou_is_not_given_where_no_class_is_background():
    assert (
        scored(random_batch(5), classes=ClassTable.named(("a", "b", "c")), article=True).article_iou is None
    )


def test_the_articles_ious_are_in_nobody_elses_results():
    scores = scored(random_batch(5))
    assert (scores.article_iou, scores.article_custom_iou) == (None, None)
    assert not {"article_iou", "article_custom_iou"} & scores.to_dict().keys()


def test_the_articles_custom_iou_equals_its_formula_image_by_image():
    logits, mask = random_batch(6)
    expected = []
    for image_logits, image_mask in zip(logits.numpy(), mask.numpy(), strict=True):
        exp = np.exp(image_logits - image_logits.max(0))
        p = exp / exp.sum(0)
        y = np.stack([image_mask == c for c in range(3)]).astype(float)
        both = (p * y).sum()
        expected.append((both + 0.001) / (p.sum() + y.sum() - both + 0.001))
    assert article_custom_iou(logits, mask.long()).tolist() == pytest.approx(expected, rel=1e-5)
    assert scored((logits, mask), article=True).article_custom_iou == pytest.approx(
        math.fsum(expected) / 4, rel=1e-5
    )


def test_loss_is_the_mean_over_scored_pixels_not_over_batches():
    batches = [random_batch(7, ignore=0.5), random_batch(8, images=1)]
    logits = torch.cat([logits for logits, _ in batches])
    mask = torch.cat([mask for _, mask in batches]).long()
    expected = torch.nn.functional.cross_entropy(logits, mask, ignore_index=255)
    assert scored(*batches).loss == pytest.approx(expected.item(), rel=1e-6)


def test_an_absent_class_has_no_score_and_no_part_in_the_mean():
    scores = scores_from_confusion(np.array([[8, 2, 0], [0, 10, 0], [0, 0, 0]], np.int64), PETS)
    assert scores.per_class["border"].iou is None
    assert scores.mean_iou == pytest.approx((8 / 10 + 10 / 12) / 2)
    assert scores.line().endswith("mean IoU 0.817 (pet 0.800 to background 0.833)")


def test_a_class_that_is_only_predicted_scores_zero():
    scores = scores_from_confusion(np.array([[8, 0, 2], [0, 10, 0], [0, 0, 0]], np.int64), PETS)
    border = scores.per_class["border"]
    assert (border.iou, border.precision, border.recall) == (0.0, 0.0, None)


def test_a_split_of_ignored_pixels_scores_nothing():
    scores = scored((torch.zeros(1, 3, 4, 4), torch.full((1, 4, 4), 255, dtype=torch.uint8)))
    assert (scores.pixel_accuracy, scores.mean_iou, scores.loss) == (None, None, None)


def test_counts_beyond_float32_stay_exact():
    big = 2**40 + 1
    scores = scores_from_confusion(np.array([[big, 0, 0], [0, big, 0], [0, 1, big]], np.int64), PETS)
    assert scores.confusion[0][0] == big
    assert scores.to_dict()["confusion"][2][1] == 1


def test_majority_is_the_most_frequent_class_in_truth():
    scores = scores_from_confusion(np.array([[0, 3, 0], [0, 6, 0], [0, 1, 0]], np.int64), PETS)
    assert scores.majority == ("background", 0.6)
