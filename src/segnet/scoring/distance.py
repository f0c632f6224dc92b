"""Where classes meet, and how far every pixel is from there: for boundary scores and losses."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from segnet.base.classes import IGNORE_INDEX


def class_edges(mask: Tensor) -> Tensor:
    """Return the pixels ``(N, H, W)`` that touch another class above, below, left or right.

    Both sides of a border are edges. Ignored pixels are none and make none, nor does the image's own edge.

    Args:
        mask: class ids ``(N, H, W)`` of any integer type, 255 = ignore.
    """
    edges = torch.zeros_like(mask, dtype=torch.bool)
    known = mask != IGNORE_INDEX
    for axis in (1, 2):
        last = mask.shape[axis] - 1
        before, after = mask.narrow(axis, 0, last), mask.narrow(axis, 1, last)
        differs = (before != after) & known.narrow(axis, 0, last) & known.narrow(axis, 1, last)
        edges.narrow(axis, 0, last).logical_or_(differs)
        edges.narrow(axis, 1, last).logical_or_(differs)
    return edges


def squared_distance(points: Tensor, reach: float) -> Tensor:
    """Return each pixel's squared Euclidean distance to the nearest point, infinite beyond ``reach`` pixels.

    Exact up to there, on any device: first along rows, then along columns, as Felzenszwalb and Huttenlocher
    (Theory of Computing, 2012) separate it. Time and nothing else grows with ``reach``: what asks for more
    than some tens of pixels wants a distance transform without a limit.

    Args:
        points: bool ``(..., H, W)``.
        reach: pixels.

    Returns:
        float32 ``(..., H, W)``.
    """
    far = torch.full(points.shape, math.inf, device=points.device)
    nearest = far.masked_fill(points, 0.0)
    for axis in (-1, -2):
        source = nearest.transpose(axis, -1)
        target = source.clone()
        for step in range(1, min(math.floor(reach), source.shape[-1] - 1) + 1):
            torch.minimum(target[..., step:], source[..., :-step] + step**2, out=target[..., step:])
            torch.minimum(target[..., :-step], source[..., step:] + step**2, out=target[..., :-step])
        nearest = target.transpose(axis, -1)
    return torch.where(nearest <= reach**2, nearest, far)


def squared_distance_at(places: Tensor, points: Tensor, reach: float) -> Tensor:
    """Return the squared distance of some pixels to the nearest point, as ``squared_distance`` does for all.

    Outlines are few of an image's pixels, so this takes time for each of them times ``reach``, and of all the
    pixels only one look along the rows.

    Args:
        places: ``(P, 3)`` int64: image, row and column.
        points: bool ``(N, H, W)``.
        reach: pixels; beyond it the result may be larger than the distance.

    Returns:
        float32 ``(P,)``, infinite where no row of the image within reach holds a point.
    """
    height, width = points.shape[1:]
    column = torch.arange(width, device=points.device, dtype=torch.float32)
    before = torch.where(points, column, -math.inf).cummax(2).values
    after = torch.where(points, column, math.inf).flip(2).cummin(2).values.flip(2)
    along = torch.minimum(column - before, after - column).square_()
    image, row, at = places.unbind(1)
    nearest = along[image, row, at]
    for step in range(1, min(math.floor(reach), height - 1) + 1):
        for there in (row - step, row + step):
            inside = (there >= 0) & (there < height)
            found = along[image, there.clamp(0, height - 1), at] + step**2
            nearest = torch.where(inside, torch.minimum(nearest, found), nearest)
    return nearest
