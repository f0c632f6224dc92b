"""How good outlines are: where classes meet, how far pixels are from there, and boundary scores of images."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from segnet.base.classes import IGNORE_INDEX
from segnet.base.outline_tolerance import TOLERANCE

BAND_PX = 3
"""How far the band around true edges reaches, in pixels of the size that is scored."""

_AT_ONCE = 1 << 23  # pixels of outlines that are measured together: some 100 MB


def tolerances_px(mask: Tensor, own_sizes: Tensor | None = None) -> Tensor:
    """Return how far outlines may be off in each image ``(N,)``, in pixels as scored, on the CPU.

    Args:
        mask: ``(N, H, W)``.
        own_sizes: height and width ``(N, 2)`` of each picture's own part; None where that is all of it.
    """
    if own_sizes is None:
        own_sizes = torch.tensor(mask.shape[1:]).expand(len(mask), 2)
    return TOLERANCE * torch.hypot(*own_sizes.double().unbind(1))


def boundary_f1(predicted: Tensor, mask: Tensor, classes: int, tolerances: Tensor | None = None) -> Tensor:
    """Return the boundary F1 of each class in each image, ``(N, classes)`` float64, NaN where it has none.

    Precision is the share of a class's predicted outline that lies nearer to its true outline than 0.75 % of
    the image's diagonal, recall the share of the true outline that lies so near to the predicted one; F1 is
    their harmonic mean (Csurka et al., "What is a good evaluation measure for semantic segmentation?", BMVC
    2013, section 3, with which the SegNet paper scores outlines). An outline is a class's pixels beside
    another class, above, below, left or right; the image's own edge is none, nor is what touches ignored
    pixels. A class is scored where truth has an outline of it, and 0 where the prediction has none of it.

    Args:
        predicted: class ids ``(N, H, W)``.
        mask: true class ids ``(N, H, W)``, 255 = ignore.
        classes: how many there are.
        tolerances: pixels ``(N,)``; by default ``tolerances_px`` of pictures that fill the mask.
    """
    mask = mask.long()
    predicted = predicted.long().masked_fill(mask == IGNORE_INDEX, IGNORE_INDEX)
    outlines = [(each, class_edges(each)) for each in (mask, predicted)]
    scores = torch.full((len(mask), classes), math.nan, dtype=torch.float64, device=mask.device)
    occurs = torch.zeros(len(mask), classes, dtype=torch.bool, device=mask.device)
    image, row, column = outlines[0][1].nonzero(as_tuple=True)
    occurs[image, mask[image, row, column]] = True
    radius = (tolerances_px(mask) if tolerances is None else tolerances).to(mask.device)
    for some in occurs.nonzero().split(max(1, _AT_ONCE // mask[0].numel())):
        image, class_id = some.unbind(1)
        truth, found = (edges[image] & (ids[image] == class_id[:, None, None]) for ids, edges in outlines)
        recall = _share_near(truth, found, radius[image])
        precision = _share_near(found, truth, radius[image])
        f1 = 2 * precision * recall / (precision + recall)
        scores[image, class_id] = f1.nan_to_num(0.0)  # 0 / 0: nothing predicted, or nothing near
    return scores


def _share_near(points: Tensor, others: Tensor, radius: Tensor) -> Tensor:
    """Return which share of each image's points is nearer than its radius to one of the others, ``(N,)``."""
    places = points.nonzero()
    image, count = places[:, 0], len(points)
    reach = max(radius.tolist(), default=0.0)
    near = squared_distance_at(places, others, reach).double() < radius[image] ** 2
    return image[near].bincount(minlength=count).double() / image.bincount(minlength=count)


def edge_band(mask: Tensor, width: int = BAND_PX) -> Tensor:
    """Return the pixels ``(N, H, W)`` at most ``width`` pixels from a true edge, which is in it itself.

    Pixel accuracy in this band is how DeepLab and the works before it score outlines (Krähenbühl and Koltun,
    NIPS 2011, section 5); ignored pixels are in no band.

    Args:
        mask: class ids ``(N, H, W)``, 255 = ignore.
        width: pixels; 0 is the edge pixels alone.
    """
    return (squared_distance(class_edges(mask), width) <= width**2) & (mask != IGNORE_INDEX)


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
