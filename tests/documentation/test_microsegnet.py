"""microsegnet.py, the article in one file: its numbers are PyTorch's and the package's, and it runs."""

import ast
import random
import runpy
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segnet.core.blocks import ConvBNReLU
from segnet.core.pooling import max_pool_2x2, max_unpool_2x2
from segnet.models.segnet import MirroredSegNet

SCRIPT = Path(__file__).parents[2] / "docs/tutorial/microsegnet.py"
micro = SimpleNamespace(**runpy.run_path(str(SCRIPT)))
SIDE = micro.SIDE
CROSS = torch.tensor([[[[0.0, 1, 0], [1, 1, 1], [0, 1, 0]]]])


def as_images(maps, side=SIDE):
    """Each map of the script is one list with the pixels of the whole batch."""
    return torch.tensor(maps, dtype=torch.float64).unflatten(1, (-1, side, side)).transpose(0, 1)


def as_maps(images):
    return images.transpose(0, 1).flatten(1).tolist()


def batch(count=3, seed=0):
    return micro.draw_pets(random.Random(seed), count)


def learn(weights, maps, mask):
    """One way through the network and back, as in the script's training; returns logits and loss."""
    logits, tape = micro.segnet(weights, maps, training=True)
    loss, gradient = micro.cross_entropy(logits, mask)
    for back in reversed(tape):
        gradient = back(gradient)
    return logits, loss


@pytest.fixture
def weights():
    """Learnt numbers as training might leave them: scales and offsets have moved too."""
    rng = random.Random(1)
    weights = micro.new_weights(rng)
    for norms in weights[::2]:
        for norm in norms:
            norm[:2] = rng.uniform(0.5, 1.5), rng.uniform(-0.2, 0.4)
    return weights


@pytest.fixture
def network(weights):
    """The package's network of the same shape, with the same numbers."""
    network = MirroredSegNet(num_classes=3, in_channels=3, units=[ConvBNReLU] * 2, width=4).double()
    with torch.no_grad():
        for layer, rows in zip(layers_of(network), weights, strict=True):
            values = torch.tensor(rows, dtype=torch.float64)
            if isinstance(layer, nn.Conv2d):
                layer.weight.copy_(values.view_as(layer.weight))
            else:
                layer.weight.copy_(values[:, 0])
                layer.bias.copy_(values[:, 1])
    return network


def layers_of(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]


def assert_equal(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_the_layout_is_the_articles_with_fewer_stages_and_maps(weights, network):
    learnt = sum(len(row) for kernels in weights[1::2] for row in kernels)
    learnt += sum(2 * len(norms) for norms in weights[::2])
    assert learnt == sum(parameter.numel() for parameter in network.parameters())


def test_in_training_logits_loss_and_all_gradients_are_the_packages(weights, network):
    maps, mask = batch()
    logits, loss = learn(weights, maps, mask)
    expected = network(as_images(maps))
    expected_loss = F.cross_entropy(expected, torch.tensor(mask).view(-1, SIDE, SIDE))
    expected_loss.backward()
    assert_equal(as_images(logits), expected.detach())
    assert_equal(torch.tensor(loss, dtype=torch.float64), expected_loss.detach())
    for layer, rows in zip(layers_of(network), weights, strict=True):
        gradient = torch.tensor(rows.gradient, dtype=torch.float64)
        if isinstance(layer, nn.Conv2d):
            assert_equal(gradient.view_as(layer.weight), layer.weight.grad)
        else:
            assert_equal(gradient, torch.stack([layer.weight.grad, layer.bias.grad], dim=1))


def test_predictions_use_the_running_statistics_of_training(weights, network):
    for seed in range(3):
        maps, mask = batch(seed=seed)
        learn(weights, maps, mask)
        network(as_images(maps))
    maps, _ = batch(seed=3)
    logits, _ = micro.segnet(weights, maps)
    with torch.no_grad():
        assert_equal(as_images(logits), network.eval()(as_images(maps)))


def test_a_prediction_does_not_depend_on_the_other_images_of_its_batch(weights):
    maps, _ = batch(2)
    both, _ = micro.segnet(weights, maps)
    alone, _ = micro.segnet(weights, [values[: SIDE * SIDE] for values in maps])
    assert_equal(torch.tensor(alone), torch.tensor(both)[:, : SIDE * SIDE])


def unpack(packed, windows):
    return [[byte >> shift & 3 for byte in codes for shift in (0, 2, 4, 6)][:windows] for codes in packed]


@pytest.mark.parametrize("side", [4, 6, 8])
def test_codes_are_the_packages_where_values_tie(side):
    images = torch.randint(3, (3, 2, side, side), generator=torch.Generator().manual_seed(side)).double()
    maxima, packed = max_pool_2x2(images)
    height, width = maxima.shape[-2:]
    expected = torch.stack([packed >> shift & 3 for shift in (0, 2, 4, 6)], dim=3).flatten(2, 3)[
        :, :, :height
    ]
    codes = micro.find_maxima(as_maps(images), side)
    windows = len(images) * height * width
    assert unpack(codes, windows) == as_maps(expected)
    assert {len(own) for own in codes} == {-(-windows // 4)}
    assert micro.pool(as_maps(images), codes, side) == as_maps(maxima)
    restored = micro.unpool(as_maps(maxima), codes, side)
    assert restored == as_maps(max_unpool_2x2(maxima, packed, (side, side)))


def test_the_codes_of_one_image_take_216_bytes():
    maps = {side: [[0.0] * side * side] * count for side, count in ((24, 4), (12, 8))}
    assert sum(len(own) for side in maps for own in micro.find_maxima(maps[side], side)) == 216


def test_dot_products_are_sums_of_products():
    rng = random.Random(0)
    rows, columns = ([[rng.gauss(0, 1) for _ in range(50)] for _ in range(count)] for count in (3, 5))
    expected = torch.tensor(rows, dtype=torch.float64) @ torch.tensor(columns, dtype=torch.float64).T
    assert_equal(torch.tensor(micro.dot_products(rows, columns), dtype=torch.float64), expected)


def test_adam_is_torchs():
    rng = random.Random(0)
    weights = micro.Weights([rng.gauss(0, 1) for _ in range(5)] for _ in range(4))
    theirs = torch.tensor(weights, dtype=torch.float64, requires_grad=True)
    optimizer, moments = torch.optim.Adam([theirs], lr=0.02), {}
    for step in (1, 2, 3):
        weights.gradient = [[rng.gauss(0, 1) for _ in range(5)] for _ in range(4)]
        theirs.grad = torch.tensor(weights.gradient, dtype=torch.float64)
        micro.adam([weights], moments, step, rate=0.02)
        optimizer.step()
        assert_equal(torch.tensor(weights, dtype=torch.float64), theirs.detach())


def test_adam_leaves_the_running_statistics_alone(weights):
    learn(weights, *batch(1))
    before = [norm[2:] for norms in weights[::2] for norm in norms]
    micro.adam(weights, {}, 1, rate=0.02)
    assert [norm[2:] for norms in weights[::2] for norm in norms] == before


def test_scores_are_pixel_accuracy_and_mean_iou():
    accuracy, iou = micro.scores([0, 0, 1, 1, 2], [0, 1, 1, 1, 0])
    assert accuracy == pytest.approx(3 / 5)
    assert iou == pytest.approx((1 / 3 + 2 / 3 + 0) / 3)


def test_every_pet_has_all_three_classes_and_a_border_all_around():
    _, mask = batch(20)
    for pet in torch.tensor(mask).view(-1, SIDE, SIDE):
        assert {*pet.flatten().tolist()} == {micro.PET, micro.BACKGROUND, micro.BORDER}
        beside = F.conv2d((pet == micro.PET).float()[None, None], CROSS, padding=1)[0, 0] > 0
        assert not (beside & (pet == micro.BACKGROUND)).any()


def test_colour_alone_does_not_tell_what_is_pet():
    """The most frequent class of each of 512 colours, counted on 100 pets and scored on 40 others."""

    def colours_of(maps):
        return [tuple(int(7.99 * value) for value in pixel) for pixel in zip(*maps, strict=True)]

    counts = defaultdict(lambda: [0, 0, 0])
    maps, mask = batch(100)
    for colour, label in zip(colours_of(maps), mask, strict=True):
        counts[colour][label] += 1
    maps, mask = batch(40, seed=2)
    _, iou = micro.scores(mask, [counts[colour].index(max(counts[colour])) for colour in colours_of(maps)])
    assert iou < 0.6


def test_a_few_steps_lower_the_loss():
    weights, moments, (maps, mask) = micro.new_weights(random.Random(0)), {}, batch(1)
    losses = []
    for step in range(1, 11):
        losses.append(learn(weights, maps, mask)[1])
        micro.adam(weights, moments, step, rate=0.02)
    assert losses[-1] < 0.8 * losses[0]


def test_the_file_is_short_and_imports_the_standard_library_alone():
    text = SCRIPT.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 250
    imported = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    assert imported <= sys.stdlib_module_names


def test_a_reader_sees_scores_and_masks():
    done = subprocess.run(
        [sys.executable, "-I", str(SCRIPT), "1"], capture_output=True, text=True, check=True
    )
    scores, nothing, *pictures = done.stdout.splitlines()
    assert scores.startswith("segnet: pixel accuracy 0.")
    assert nothing.startswith("background everywhere: pixel accuracy 0.")
    assert len(pictures) == 3 * (1 + SIDE // 2)
    truth = "".join(line[SIDE + 3 : 2 * SIDE + 3] for line in pictures)
    assert {*truth} == {"#", ".", "+"}
