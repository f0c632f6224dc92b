"""Each image's own scores and calibration, against torchmetrics and one image at a time."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_calibration_error, multiclass_jaccard_index

from segnet.base.classes import ClassTable
from segnet.runs.identity import ImageRecord
from segnet.scoring.boundary import boundary_f1, edge_band
from segnet.scoring.image_metrics import ImageCounter
from segnet.scoring.metrics import ScoreCounter

CPU = torch.device("cpu")
CLASSES = ClassTable.named(("pet", "background", "border", "never"))


def random_batch(seed):
    """Odd sizes, classes that are absent from an image or from all, ignored pixels, one class only."""
    random = torch.Generator().manual_seed(seed)
    height, width = torch.randint(3, 40, (2,), generator=random).tolist()
    coarse = torch.rand(5, 3, 4, 4, generator=random)
    mask = F.interpolate(coarse, (height, width), mode="bilinear").argmax(1)
    logits = 4 * F.one_hot(mask, 4).permute(0, 3, 1, 2) + 3 * torch.randn(
        5, 4, height, width, generator=random
    )
    mask[torch.rand(mask.shape, generator=random) < 0.1] = 255
    mask[3] = 1
    mask[4] = 255
    return logits, mask.to(torch.uint8)


def counted(*batches):
    names = (f"{index}" for index in range(100))
    total = sum(len(mask) for _, mask in batches)
    records = [ImageRecord(next(names), (bytes([index] * 8),), b"") for index in range(total)]
    scores, images = ScoreCounter(CLASSES, CPU), ImageCounter(len(CLASSES), "test", records, CPU)
    for logits, mask in batches:
        scores.add(logits, mask)
        images.add(logits, mask)
    return images.add_to(scores.scores()), images.images


def test_where_probabilities_tie_the_logits_decide_as_they_do_for_the_split():
    logits = torch.tensor([20.0, 20.000002])[None, :, None, None].expand(1, 2, 16, 16)
    scores, (image,) = counted((logits, torch.ones(1, 16, 16, dtype=torch.uint8)))
    assert scores.pixel_accuracy == image.pixel_accuracy == 1


@pytest.mark.parametrize("seed", range(6))
def test_each_image_scores_what_it_does_alone(seed):
    logits, mask = random_batch(seed)
    _, images = counted((logits, mask))
    for index, image in enumerate(images):
        one, truth = logits[index], mask[index].long()
        known = truth != 255
        if not known.any():
            assert (image.pixel_accuracy, image.mean_iou, image.loss, image.confidence) == (None,) * 4
            assert (image.boundary_f1, image.band_accuracy, image.confident_disagreement) == (None,) * 3
            continue
        confidence, predicted = one.softmax(0).max(0)
        wrong = (predicted != truth)[known]
        sure = confidence[known]
        band = edge_band(truth[None])[0]
        f1 = boundary_f1(predicted[None], truth[None], 4)[0]
        iou = multiclass_jaccard_index(predicted[None], truth[None], 4, average="none", ignore_index=255)
        there = [c for c in range(4) if ((predicted == c) & known).any() or (truth == c).any()]
        assert image.content == f"{index:02x}" * 8
        assert image.pixel_accuracy == pytest.approx(1 - wrong.double().mean().item(), abs=1e-6)
        assert image.mean_iou == pytest.approx(iou[there].mean().item(), abs=1e-6)
        assert [image.iou[c] for c in there] == pytest.approx(iou[there].tolist(), abs=1e-6)
        assert all(image.iou[c] is None for c in range(4) if c not in there)
        assert image.loss == pytest.approx(
            F.cross_entropy(one[None], truth[None], ignore_index=255).item(), abs=1e-5
        )
        assert image.confidence == pytest.approx(sure.double().mean().item(), abs=1e-6)
        surely = (wrong & (sure >= 0.9)).double().mean().item()
        assert image.confident_disagreement == pytest.approx(surely, abs=1e-6)
        expected = None if f1.isnan().all() else pytest.approx(f1.nanmean().item(), abs=1e-6)
        assert image.boundary_f1 == expected
        right = (predicted == truth)[band].double().mean().item()
        assert image.band_accuracy == (None if math.isnan(right) else pytest.approx(right, abs=1e-6))


def test_the_summary_is_what_its_images_add_up_to():
    scores, images = counted(random_batch(1), random_batch(2))
    matrix = torch.tensor(scores.confusion)
    assert matrix.sum(1).tolist() == [
        sum(column) for column in zip(*(each.truth for each in images), strict=True)
    ]
    assert matrix.sum(0).tolist() == [
        sum(column) for column in zip(*(each.predicted for each in images), strict=True)
    ]
    pixels = [sum(each.truth) for each in images]
    loss = math.fsum(each.loss * count for each, count in zip(images, pixels, strict=True) if count)
    assert scores.loss == pytest.approx(loss / sum(pixels), rel=1e-6)
    f1 = [each.boundary_f1 for each in images if each.boundary_f1 is not None]
    assert scores.boundary_f1 == pytest.approx(sum(f1) / len(f1))
    assert scores.per_class["never"].boundary_f1 is None


def sides_of(mask, class_id):
    """Sides of a class's pixels beside another value, one after the other."""
    height, width = mask.shape
    return sum(
        int(mask[v, u] != class_id)
        for y, x in (mask == class_id).nonzero().tolist()
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
        if 0 <= v < height and 0 <= u < width
    )


def test_thickness_and_tolerance_are_taken_of_each_pictures_own_part():
    logits, mask = random_batch(3)
    height, width = mask.shape[1:]
    sizes = np.array([[height, width], [height, 3], [5, width], [height, width], [2, 2]], np.int32)
    for each, (rows, columns) in zip(mask, sizes, strict=True):
        each[rows:], each[:, columns:] = 255, 255
    records = [ImageRecord(f"{index}", (bytes([index] * 8),), b"") for index in range(5)]
    scores, images = ScoreCounter(CLASSES, CPU), ImageCounter(len(CLASSES), "test", records, CPU, sizes)
    for rows in (slice(0, 2), slice(2, 5)):
        scores.add(logits[rows], mask[rows])
        images.add(logits[rows], mask[rows])
    found = images.add_to(scores.scores())
    own = [each[:rows, :columns] for each, (rows, columns) in zip(mask, sizes, strict=True)]
    tolerances = [0.0075 * math.hypot(*each.shape) for each in own]
    assert found.boundary_tolerance_px == (
        pytest.approx(min(tolerances)),
        pytest.approx(max(tolerances)),
    )
    for class_id, entry in enumerate(found.per_class.values()):
        sides = sum(sides_of(each, class_id) for each in own)
        area = sum(int((each == class_id).sum()) for each in own)
        assert entry.thickness_px == (pytest.approx(area / (sides / 2)) if sides else None)
    assert found.per_class["never"].boundary_tolerance_px is None


@pytest.mark.parametrize("thick", [1, 3, 10])
def test_a_stripe_is_as_thick_as_it_is(thick):
    mask = torch.zeros(1, 30, 40, dtype=torch.uint8)
    mask[:, 10 : 10 + thick] = 1
    scores, _ = counted((torch.zeros(1, 4, 30, 40), mask))
    assert scores.per_class["background"].thickness_px == thick
    assert scores.boundary_tolerance_px == (0.375, 0.375)


@pytest.mark.parametrize("seed", range(4))
def test_the_calibration_error_equals_torchmetrics(seed):
    batches = [random_batch(seed), random_batch(seed + 10)]
    scores, _ = counted(*batches)
    probabilities = torch.cat(
        [logits.softmax(1).flatten(2).transpose(1, 2).flatten(0, 1) for logits, _ in batches]
    )
    truth = torch.cat([mask.long().flatten() for _, mask in batches])
    error = multiclass_calibration_error(probabilities, truth, 4, n_bins=15, norm="l1", ignore_index=255)
    assert scores.calibration_error == pytest.approx(error.item(), abs=1e-6)
    assert sum(each.pixels for each in scores.calibration) == int((truth != 255).sum())


def test_mean_class_accuracy_and_the_mean_without_border_leave_out_what_is_absent():
    scores, _ = counted(random_batch(3))
    recalls = [entry.recall for entry in scores.per_class.values() if entry.recall is not None]
    assert scores.mean_class_accuracy == pytest.approx(sum(recalls) / len(recalls))
    ious = [
        entry.iou for name, entry in scores.per_class.items() if name != "border" and entry.iou is not None
    ]
    assert scores.mean_iou_without_border == pytest.approx(sum(ious) / len(ious))


def test_without_a_scored_pixel_there_is_no_score():
    scores, _ = counted((torch.randn(2, 4, 5, 6), torch.full((2, 5, 6), 255, dtype=torch.uint8)))
    assert (scores.boundary_f1, scores.band_accuracy, scores.calibration_error) == (None, None, None)
