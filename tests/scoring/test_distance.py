"""Edges and distances, against loops over every pixel."""

import math

import pytest
import torch

from segnet.scoring.boundary import class_edges, squared_distance, squared_distance_at


def edges_by_loops(mask):
    found = torch.zeros_like(mask, dtype=torch.bool)
    _, height, width = mask.shape
    for n, y, x in torch.cartesian_prod(*(torch.arange(side) for side in mask.shape)).tolist():
        around = ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
        there = {int(mask[n, v, u]) for v, u in around if 0 <= v < height and 0 <= u < width}
        found[n, y, x] = int(mask[n, y, x]) != 255 and bool(there - {255, int(mask[n, y, x])})
    return found


def distance_by_loops(points, reach):
    found = torch.full(points.shape, math.inf)
    for n, y, x in torch.cartesian_prod(*(torch.arange(side) for side in points.shape)).tolist():
        rows, columns = points[n].nonzero(as_tuple=True)
        if len(rows):
            squared = float(((rows - y) ** 2 + (columns - x) ** 2).min())
            found[n, y, x] = squared if squared <= reach**2 else math.inf
    return found


@pytest.mark.parametrize("seed", range(8))
def test_both_equal_loops_at_odd_sizes_with_ignored_pixels(seed):
    random = torch.Generator().manual_seed(seed)
    height, width = torch.randint(1, 15, (2,), generator=random).tolist()
    mask = torch.randint(0, 3, (2, height, width), generator=random, dtype=torch.uint8)
    mask[torch.rand(mask.shape, generator=random) < 0.2] = 255
    assert torch.equal(class_edges(mask), edges_by_loops(mask))
    points = torch.rand(mask.shape, generator=random) < 0.1
    reach = 5 * torch.rand((), generator=random).item()
    assert torch.equal(squared_distance(points, reach), distance_by_loops(points, reach))
    places = (torch.rand(mask.shape, generator=random) < 0.5).nonzero()
    expected = distance_by_loops(points, math.inf)[tuple(places.T)]
    found = squared_distance_at(places, points, reach)
    within = expected <= reach**2
    assert torch.equal(found[within], expected[within])
    assert (found[~within] > reach**2).all()


def test_without_a_point_everything_is_far():
    assert squared_distance(torch.zeros(1, 4, 5, dtype=torch.bool), 3).isinf().all()


def test_an_image_of_one_class_has_no_edge():
    assert not class_edges(torch.ones(1, 6, 7, dtype=torch.uint8)).any()
