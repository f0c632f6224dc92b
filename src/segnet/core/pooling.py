"""Max-pooling that remembers where each maximum was, and the un-pooling that puts values back there.

This pair is what makes a SegNet (arXiv 1511.00561, section 3): the decoder receives positions, no features.
All models of the package pool through these two functions and never touch what the codes hold.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

Size = tuple[int, int]


def max_pool_2x2(x: Tensor) -> tuple[Tensor, Tensor]:
    """Halve a feature map, keeping the maximum of each 2x2 window and its position.

    Ties go to the first position (top-left, then row by row) and NaN wins, as in ``max_pool2d``. A last odd
    row or column belongs to no window and is dropped; ``max_unpool_2x2`` fills it with zeros.

    Args:
        x: feature map ``(N, C, H, W)``, floating point, H and W at least 2.

    Returns:
        The maxima and the codes of their positions, both ``(N, C, H // 2, W // 2)``.

    Raises:
        ValueError: another rank, dtype or size.
    """
    if x.ndim != 4 or not x.is_floating_point():
        raise ValueError(
            f"max_pool_2x2 needs a floating-point (N, C, H, W) tensor, got {x.dtype} {tuple(x.shape)}"
        )
    if x.shape[-2] < 2 or x.shape[-1] < 2:
        raise ValueError(f"max_pool_2x2 needs H and W of at least 2, got {tuple(x.shape)}")
    return F.max_pool2d(x, 2, return_indices=True)


def max_unpool_2x2(values: Tensor, codes: Tensor, size: Size) -> Tensor:
    """Put each value back where its maximum was, zeros elsewhere.

    Args:
        values: ``(N, C, H // 2, W // 2)``.
        codes: what ``max_pool_2x2`` returned for a map of this size.
        size: ``(H, W)`` before the pool; without it values of an odd-sized map would land on wrong pixels.

    Returns:
        The sparse map ``(N, C, H, W)``.

    Raises:
        ValueError: codes or a size that don't belong to these values.
    """
    if codes.shape != values.shape:
        raise ValueError(f"codes must have the values' shape {tuple(values.shape)}, got {tuple(codes.shape)}")
    if (size[0] // 2, size[1] // 2) != tuple(values.shape[-2:]):
        raise ValueError(f"a map of {tuple(size)} doesn't pool to {tuple(values.shape[-2:])}")
    return F.max_unpool2d(values, codes, [2, 2], output_size=list(size))
