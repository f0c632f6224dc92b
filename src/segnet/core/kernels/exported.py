"""Pool and place as an exported graph has them: standard operations on floating point, for prediction alone.

The codes are a map of the size before the pool, 1.0 where a value goes and 0.0 elsewhere, since a runtime
multiplies faster than it unpacks. In ONNX Runtime convolution, pooling, nearest resizing, addition,
multiplication and ReLU share a blocked memory layout, and every other operation costs two passes that change
it. That is why scaling is a convolution here. docs/how-to/deploy.md has the figures.

A NaN is placed nowhere, and in float32 a difference between values that is below 2^-100 counts as none. In
float16 all finite values are told apart.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

Size = tuple[int, int]

_RANKS = ((4.0, 3.0), (2.0, 1.0))  # of equal maxima the first in reading order has the highest
# A difference between two maxima, times this, is far below any rank; a power of two doesn't round.
_HUGE = 2.0**100
# float16 ends at 65,504: there ranks are small, and differences are scaled up in two steps.
_LARGE, _SMALL_RANK = 2.0**15, 2.0**-14


class Promise:
    """What holds for all that is exported while it is open."""

    # torch.export traces no ContextVar, and itself works in one thread at a time
    holds = False

    def __enter__(self) -> None:
        self.holds = True

    def __exit__(self, *raised: object) -> None:
        self.holds = False


EVEN_SIZES = Promise()
"""Every pool can halve its map: nothing is cropped and padded, which a runtime does as copies in any case."""
FIXED_SIZE = Promise()
"""The graph is for one image of one size."""
HALF_CONSTANTS = Promise()
"""Pooling has no constant that float16 lacks, so that all can be float16. In float32 a difference between
values that is below 2^-27 then counts as none."""


def pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the maxima ``(N, C, H // 2, W // 2)`` and their places ``(N, C, H // 2 * 2, W // 2 * 2)``."""
    values = F.max_pool2d(x, 2)
    x = _even(x)
    # 0 at every maximum of a window, far below 0 elsewhere; then a rank, so that equal maxima differ
    if HALF_CONSTANTS.holds or x.dtype == torch.float16:
        unit = _SMALL_RANK
        below = _scaled(x + _nearest(_scaled(values, -1.0)), _LARGE)
    else:
        unit = 1.0
        below = _scaled(x, _HUGE) + _nearest(_scaled(values, -_HUGE))
    ranks = _ranks(values, unit)
    # a constant in a graph of one size: added as it is, since OpenCV convolves no constants
    ranked = (ranks if FIXED_SIZE.holds else F.conv2d(ranks, x.new_ones(x.shape[1], 1, 1, 1))) + below
    # 1 at the first of them, 0 or less elsewhere
    best = _nearest(_scaled(F.max_pool2d(ranked, 2), -1 / unit, 1.0))
    return values, F.relu(_scaled(ranked, 1 / unit) + best)


def place(values: Tensor, places: Tensor, size: Size, accumulate: bool) -> Tensor:
    """Return the sparse map ``(N, C, *size)``."""
    del accumulate  # an exported graph has no backward pass
    sparse = _nearest(values) * places
    return sparse if EVEN_SIZES.holds else F.pad(sparse, (0, size[1] % 2, 0, size[0] % 2))


def pick(full: Tensor, codes: Tensor) -> Tensor:
    """Refuse: only a backward pass picks."""
    raise NotImplementedError("an exported graph has no backward pass")


def _even(x: Tensor) -> Tensor:
    """Return the map without a last odd row or column, which belongs to no window."""
    if EVEN_SIZES.holds:
        return x
    if FIXED_SIZE.holds:
        return x[..., : x.shape[-2] // 2 * 2, : x.shape[-1] // 2 * 2]
    # Padding by less than nothing: a slice of an even example is all of it, and the graph then fits no other.
    return F.pad(x, (0, -(x.shape[-1] % 2), 0, -(x.shape[-2] % 2)))


def _ranks(values: Tensor, unit: float) -> Tensor:
    """Return the ranks of the places in every window, times ``unit``, ``(N, 1, 2 h, 2 w)``."""
    window = torch.tensor(_RANKS, dtype=values.dtype, device=values.device).view(1, 1, 2, 2) * unit
    return F.conv_transpose2d(torch.ones_like(values[:, :1]), window, stride=2)


def _scaled(x: Tensor, factor: float, offset: float = 0.0) -> Tensor:
    channels = x.shape[1]
    bias = x.new_full((channels,), offset) if offset else None
    return F.conv2d(x, x.new_full((channels, 1, 1, 1), factor), bias, groups=channels)


def _nearest(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
