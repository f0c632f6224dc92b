"""Losses against stock PyTorch and at the edges where a run would otherwise die."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segnet import SegnetError
from segnet.training.losses.class_weights import median_frequency_weights
from segnet.training.losses.loss_sum import NAMES, parse_loss
from segnet.training.losses.losses import (
    LOSSES,
    cross_entropy,
    focal,
    label_smoothing,
    make_loss,
    soft_dice,
    soft_iou,
    tversky,
)


def test_cross_entropy_equals_stock_over_the_pixels_that_count():
    logits = torch.randn(2, 3, 5, 5, dtype=torch.float32, requires_grad=True)
    mask = torch.randint(0, 3, (2, 5, 5))
    mask[0, :2] = 255
    ours = cross_entropy(logits, mask.to(torch.uint8))
    stock = F.cross_entropy(logits, mask, ignore_index=255)
    assert ours.item() == pytest.approx(stock.item())
    torch.testing.assert_close(
        torch.autograd.grad(ours, logits, retain_graph=True), torch.autograd.grad(stock, logits)
    )


def test_a_batch_of_ignored_pixels_has_loss_and_gradient_zero():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = cross_entropy(logits, torch.full((1, 4, 4), 255, dtype=torch.uint8))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_bfloat16_logits_are_summed_in_float32():
    logits = torch.zeros(1, 3, 64, 64, dtype=torch.bfloat16)
    mask = torch.zeros(1, 64, 64, dtype=torch.uint8)
    assert cross_entropy(logits, mask).item() == pytest.approx(torch.log(torch.tensor(3.0)).item(), rel=1e-6)


WEIGHTS = torch.tensor([1.0, 0.5, 4.0, 0.0])
TAKING_WEIGHTS = [name for name in LOSSES if name != "iou"]


def batch(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    logits = (2 * torch.randn(2, 4, 5, 6, generator=generator)).to(dtype).requires_grad_()
    mask = torch.randint(0, 3, (2, 5, 6), generator=generator).byte()  # class 3 is absent
    mask[0, :2] = 255
    mask[1, 0, 0] = 255
    return logits, mask


def pixels(logits, mask):
    """Every counted pixel: image, class, and the softmax of its logits, in plain Python."""
    for image, y, x in np.ndindex(*mask.shape):
        if mask[image, y, x] != 255:
            exps = [math.exp(value) for value in logits[image, :, y, x].tolist()]
            yield image, int(mask[image, y, x]), [value / sum(exps) for value in exps]


def squared_distance_to_change(mask, y, x):
    """To the nearest pixel beside another class, looked for everywhere."""
    height, width = mask.shape
    best = math.inf
    for v, u in np.ndindex(height, width):
        around = [(v - 1, u), (v + 1, u), (v, u - 1), (v, u + 1)]
        there = {int(mask[a, b]) for a, b in around if 0 <= a < height and 0 <= b < width} - {255}
        if mask[v, u] != 255 and there - {int(mask[v, u])}:
            best = min(best, (v - y) ** 2 + (u - x) ** 2)
    return best


def by_hand(name, logits, mask, weights):
    found = list(pixels(logits.detach(), mask))
    w = [1.0] * 4 if weights is None else weights.tolist()
    if name == "label-smoothing":
        terms = [w[c] * -(0.9 * math.log(p[c]) + 0.1 * sum(map(math.log, p)) / 4) for _, c, p in found]
        return sum(terms) / sum(w[c] for _, c, _ in found)
    if name == "boundary":
        places = [place for place in np.ndindex(*mask.shape) if mask[place] != 255]
        squared = [squared_distance_to_change(mask[image], y, x) for image, y, x in places]
        near = [1 + 4 * math.exp(-each / (2 * 2.0**2)) for each in squared]
        terms = [v * w[c] * -math.log(p[c]) for v, (_, c, p) in zip(near, found, strict=True)]
        return sum(terms) / sum(v * w[c] for v, (_, c, _) in zip(near, found, strict=True))
    if name == "tversky":
        present = sorted({c for _, c, _ in found})
        index = {}
        for k in present:
            overlap = sum(p[k] for _, c, p in found if c == k)
            wrong = sum(p[k] for _, c, p in found if c != k)
            missed = sum(1 - p[k] for _, c, p in found if c == k)
            index[k] = overlap / (overlap + 0.3 * wrong + 0.7 * missed)
        return sum(w[k] * (1 - index[k]) for k in present) / sum(w[k] for k in present)
    if name in ("cross-entropy", "focal"):
        power = 2 if name == "focal" else 0
        terms = [w[c] * (1 - p[c]) ** power * -math.log(p[c]) for _, c, p in found]
        return sum(terms) / sum(w[c] for _, c, _ in found)
    if name == "iou":
        ratios = []
        for number in range(2):
            own = [(c, p) for image, c, p in found if image == number]
            overlap = sum(p[c] for c, p in own)
            union = sum(p[k] + (k == c) - p[k] * (k == c) for c, p in own for k in range(4))
            ratios.append((overlap + 0.001) / (union + 0.001))
        return -math.log(sum(ratios) / 2)
    present = sorted({c for _, c, _ in found})
    dice = {
        k: 2 * sum(p[k] for _, c, p in found if c == k) / sum(p[k] ** 2 + (c == k) for _, c, p in found)
        for k in present
    }
    return sum(w[k] * (1 - dice[k]) for k in present) / sum(w[k] for k in present)


@pytest.mark.parametrize(
    ("name", "weights"), [*((name, None) for name in LOSSES), *((name, WEIGHTS) for name in TAKING_WEIGHTS)]
)
def test_every_loss_is_its_formula_summed_pixel_by_pixel(name, weights):
    logits, mask = batch()
    assert LOSSES[name](logits, mask, weights).item() == pytest.approx(by_hand(name, logits, mask, weights))


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_agree_with_differences(name):
    logits, mask = batch()
    assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, mask, None), logits)


def test_weighted_cross_entropy_is_torchs():
    logits, mask = batch()
    stock = F.cross_entropy(logits, mask.long(), WEIGHTS.double(), ignore_index=255)
    assert cross_entropy(logits, mask, WEIGHTS).item() == pytest.approx(stock.item())


def test_label_smoothing_is_torchs():
    logits, mask = batch()
    stock = F.cross_entropy(logits, mask.long(), ignore_index=255, label_smoothing=0.1)
    assert label_smoothing(logits, mask).item() == pytest.approx(stock.item())


def test_tversky_with_equal_halves_is_dice_without_squares():
    logits, mask = batch()
    probability, counted = logits.softmax(1), mask != 255
    truth = F.one_hot(mask.long().clamp(max=3), 4).movedim(3, 1) * counted[:, None]
    overlap = (probability * truth).sum((0, 2, 3))
    dice = 2 * overlap / ((probability * counted[:, None]).sum((0, 2, 3)) + truth.sum((0, 2, 3)))
    expected = (1 - dice[:3]).mean().item()  # class 3 is absent
    assert tversky(logits, mask, alpha=0.5, beta=0.5).item() == pytest.approx(expected)


def test_a_sum_adds_its_terms_with_their_weights():
    logits, mask = batch()
    total = make_loss("cross-entropy + 0.5*dice+2 * focal")(logits, mask, WEIGHTS)
    expected = [each(logits, mask, WEIGHTS).item() for each in (cross_entropy, soft_dice, focal)]
    assert total.item() == pytest.approx(expected[0] + 0.5 * expected[1] + 2 * expected[2])
    assert make_loss("dice") is soft_dice
    assert make_loss("3*dice")(logits, mask, None).item() == pytest.approx(3 * soft_dice(logits, mask).item())


def test_the_losses_have_the_names_that_the_command_line_takes():
    assert tuple(LOSSES) == NAMES


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("crossentropy+dice", r"has no loss 'crossentropy'; did you mean 'cross-entropy'"),
        ("dice+", "lacks a term; a sum is written"),
        ("", "lacks a term"),
        ("0.5*", "lacks a term"),
        ("dice+0.5*dice", "has dice twice"),
        ("0*dice", "'0' is no weight; give a number above 0"),
        ("-1*dice", "'-1' is no weight"),
        ("x*dice", "'x' is no weight"),
        ("nan*dice", "'nan' is no weight"),
        ("inf*dice", "'inf' is no weight"),
    ],
)
def test_a_loss_that_is_none_is_one_line(text, says):
    with pytest.raises(SegnetError, match=says):
        parse_loss(text)


def test_focal_loss_without_focus_is_cross_entropy():
    logits, mask = batch()
    assert focal(logits, mask, gamma=0.0).item() == pytest.approx(cross_entropy(logits, mask).item())


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_extreme_logits_give_finite_losses_and_gradients(name, dtype):
    logits = torch.tensor([1e4, -1e4, 0.0], dtype=dtype).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    logits = logits.clone().requires_grad_()
    mask = torch.arange(16).view(1, 4, 4).remainder(3).byte()
    loss = LOSSES[name](logits, mask, None)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_what_does_not_count_gives_loss_and_gradient_zero(name):
    for mask, weights in [(255, None), (1, torch.tensor([1.0, 0.0, 1.0]))]:
        if weights is not None and name not in TAKING_WEIGHTS:
            continue
        logits = torch.randn(1, 3, 4, 4, requires_grad=True)
        loss = LOSSES[name](logits, torch.full((1, 4, 4), mask, dtype=torch.uint8), weights)
        loss.backward()
        assert loss.item() == 0
        assert not logits.grad.any()


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "label-smoothing"])
def test_a_perfect_prediction_costs_next_to_nothing_and_a_wrong_one_much(name):
    mask = torch.randint(0, 3, (2, 8, 8), generator=torch.Generator().manual_seed(0))
    logits = 20 * F.one_hot(mask, 3).permute(0, 3, 1, 2).float()
    assert LOSSES[name](logits, mask.byte(), None).item() < 1e-3
    assert LOSSES[name](logits.roll(1, 1), mask.byte(), None).item() > 0.9


def test_the_iou_loss_refuses_weights_and_a_lacking_class_has_no_say_in_dice():
    logits, mask = batch()
    with pytest.raises(SegnetError, match="no class weights"):
        soft_iou(logits, mask, WEIGHTS)
    without = soft_dice(logits, mask, torch.tensor([1.0, 1.0, 1.0, 0.0]))
    assert soft_dice(logits, mask).item() == pytest.approx(without.item())


def test_median_frequency_weights_are_the_papers():
    # class 0: 30 of 30 + 10 pixels, class 1: 10 of 10 + 20 ..., counted by hand image by image
    counts = [np.array([20, 10, 0, 0]), np.array([10, 0, 0, 0]), np.array([0, 5, 15, 0])]
    frequency = [30 / 40, 15 / 50, 15 / 20]
    median = sorted(frequency)[1]
    assert median_frequency_weights(counts) == pytest.approx([*(median / f for f in frequency), 1.0])
