"""Boundary scores, against loops that take the definitions word by word."""

import math

import pytest
import torch

from segnet.scoring.boundary import boundary_f1, edge_band, tolerances_px


def beside(mask, y, x):
    """Values of the pixels above, below, left and right that are there and known."""
    height, width = mask.shape
    around = ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
    return {int(mask[v, u]) for v, u in around if 0 <= v < height and 0 <= u < width} - {255}


def outline(mask, class_id):
    """Pixels of a class beside another class, as (row, column)."""
    return [(y, x) for y, x in (mask == class_id).nonzero().tolist() if beside(mask, y, x) - {class_id}]


def share_near(points, others, radius):
    near = sum(any(math.dist(point, other) < radius for other in others) for point in points)
    return near / len(points) if points else 0.0


def f1_by_loops(predicted, mask, class_id):
    predicted = torch.where(mask == 255, 255, predicted)
    true, found = outline(mask, class_id), outline(predicted, class_id)
    if not true:
        return None
    radius = 0.0075 * math.hypot(*mask.shape)  # of a picture's own part, where the mask is cut down to it
    precision, recall = share_near(found, true, radius), share_near(true, found, radius)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def plain(scores):
    """NaN as None, which equals itself."""
    return [[None if math.isnan(score) else score for score in row] for row in scores]


def blobs(random, *shape, classes, coarse=8):
    """Class ids in patches, so that there are outlines to miss narrowly."""
    small = torch.rand(shape[0], classes, coarse, coarse, generator=random)
    return torch.nn.functional.interpolate(small, shape[1:], mode="bilinear").argmax(1)


SHAPES = [(101, 23), (37, 300), (64, 64), (1, 150), (33, 33), (150, 1)]  # at 300 the tolerance is over 2 px


@pytest.mark.parametrize("seed", range(6))
def test_boundary_f1_equals_loops_with_ignored_pixels_and_absent_classes(seed):
    random = torch.Generator().manual_seed(seed)
    mask = blobs(random, 2, *SHAPES[seed], classes=3)
    predicted = mask.roll(seed % 3, 2)
    if seed % 2:
        mask[torch.rand(mask.shape, generator=random) < 0.05] = 255
    found = boundary_f1(predicted, mask.to(torch.uint8), 5).tolist()
    expected = [[f1_by_loops(p, m, c) for c in range(5)] for p, m in zip(predicted, mask, strict=True)]
    assert plain(found) == [
        [None if score is None else pytest.approx(score, abs=1e-12) for score in row] for row in expected
    ]


def test_of_padded_pictures_only_their_own_part_counts_and_its_own_diagonal():
    random = torch.Generator().manual_seed(0)
    mask = torch.full((3, 400, 400), 255)
    predicted = blobs(random, 3, 400, 400, classes=3)  # something is predicted on the padding too
    sizes = torch.tensor([[400, 60], [30, 400], [400, 400]])
    for i, (height, width) in enumerate(sizes.tolist()):
        mask[i, :height, :width] = blobs(random, 1, height, width, classes=3)[0]
        predicted[i, :height, :width] = mask[i, :height, :width].roll(3, i % 2)
    tolerances = tolerances_px(mask, sizes)
    assert tolerances.tolist() == [0.0075 * math.hypot(*size) for size in sizes.tolist()]
    found = boundary_f1(predicted, mask, 3, tolerances)
    for i, (height, width) in enumerate(sizes[:2].tolist()):
        own = (slice(height), slice(width))
        expected = [f1_by_loops(predicted[i][own], mask[i][own], c) for c in range(3)]
        assert plain(found[i : i + 1].tolist())[0] == [
            None if score is None else pytest.approx(score, abs=1e-12) for score in expected
        ]
    by_the_square = boundary_f1(predicted, mask, 3)
    assert torch.equal(by_the_square[2], found[2])
    assert not torch.equal(by_the_square[:2], found[:2]), "the padded diagonal forgives more"


def test_a_right_prediction_has_one_and_an_empty_one_nothing():
    mask = torch.zeros(1, 40, 40, dtype=torch.long)
    mask[:, 10:30, 10:30] = 1
    assert plain(boundary_f1(mask, mask, 3).tolist()) == [[1.0, 1.0, None]]
    assert plain(boundary_f1(torch.zeros_like(mask), mask, 3).tolist()) == [[0.0, 0.0, None]]


def test_without_a_true_outline_there_is_no_score():
    mask = torch.ones(1, 20, 20, dtype=torch.long)
    predicted = torch.zeros_like(mask)
    predicted[:, :10] = 1
    assert plain(boundary_f1(predicted, mask, 2).tolist()) == [[None, None]]
    assert plain(boundary_f1(predicted, torch.full_like(mask, 255), 2).tolist()) == [[None, None]]


def test_the_tolerance_is_a_share_of_the_diagonal():
    def split_at(column):
        mask = torch.zeros(1, 300, 400, dtype=torch.long)  # a diagonal of 500 pixels, so 3.75 are allowed
        mask[:, :, column:] = 1
        return mask

    assert plain(boundary_f1(split_at(203), split_at(200), 2).tolist()) == [[1.0, 1.0]]
    assert plain(boundary_f1(split_at(204), split_at(200), 2).tolist()) == [[0.0, 0.0]]


def band_by_loops(mask, width):
    edges = [(y, x) for class_id in range(3) for y, x in outline(mask, class_id)]
    found = torch.zeros_like(mask, dtype=torch.bool)
    for y, x in (mask != 255).nonzero().tolist():
        found[y, x] = any(math.dist((y, x), edge) <= width for edge in edges)
    return found


@pytest.mark.parametrize("width", [0, 1, 3, 5])
def test_the_band_equals_loops(width):
    random = torch.Generator().manual_seed(width)
    mask = blobs(random, 2, 31, 27, classes=3, coarse=4)
    mask[torch.rand(mask.shape, generator=random) < 0.02] = 255
    assert torch.equal(edge_band(mask, width), torch.stack([band_by_loops(each, width) for each in mask]))
