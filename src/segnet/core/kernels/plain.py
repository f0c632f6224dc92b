"""Pool, place and pick in ordinary tensor operations: any device, and what a compiler traces.

Only comparisons, selections, shifts and reshapes, so that it fuses them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return maxima and codes; see ``Kernels``."""
    a, b, c, d = windows(x)
    top, right_of_top = _later_of(a, b)
    bottom, right_of_bottom = _later_of(c, d)
    values, down = _later_of(top, bottom)
    return values, pack(torch.where(down, right_of_bottom.byte() + 2, right_of_top.byte()))


def place(values: Tensor, codes: Tensor, size: tuple[int, int], accumulate: bool) -> Tensor:
    """Return the sparse map; see ``Kernels``."""
    code = unpack(codes, values.shape[-2])
    if accumulate:
        values = values + 0.0
    a, b, c, d = (torch.where(code == k, values, 0) for k in range(4))
    even = F.pixel_shuffle(torch.stack((a, b, c, d), 2).flatten(1, 2), 2)
    return F.pad(even, (0, size[1] % 2, 0, size[0] % 2))


def pick(full: Tensor, codes: Tensor) -> Tensor:
    """Return the values at the codes; see ``Kernels``."""
    a, b, c, d = windows(full)
    code = unpack(codes, a.shape[-2])
    return torch.where(code < 2, torch.where(code == 0, a, b), torch.where(code == 2, c, d))


def windows(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the four positions of every window in reading order, each ``(N, C, H // 2, W // 2)``."""
    top, bottom = x[..., 0:-1:2, :], x[..., 1::2, :]  # the -1 drops an odd last row
    return top[..., 0:-1:2], top[..., 1::2], bottom[..., 0:-1:2], bottom[..., 1::2]


def packed_height(height: int) -> int:
    """Return how many rows of codes a map of so many rows of windows has."""
    return (height + 3) // 4


def pack(code: Tensor) -> Tensor:
    """Put four codes below each other into a byte, the uppermost in the lowest bits."""
    code = F.pad(code, (0, 0, 0, 3))
    a, b, c, d = code[..., 0:-3:4, :], code[..., 1:-2:4, :], code[..., 2:-1:4, :], code[..., 3::4, :]
    return a | (b << 2) | (c << 4) | (d << 6)


def unpack(codes: Tensor, height: int) -> Tensor:
    """Return the codes 0 to 3 of a map that is ``height`` windows high."""
    row = torch.arange(height, device=codes.device)
    shift = (row % 4 * 2).to(torch.uint8).unsqueeze(1)
    return (codes.index_select(-2, row // 4) >> shift) & 3


def _later_of(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return the maximum and where it is the second: on a tie the first stays, but a NaN takes over."""
    takes_over = (second > first) | second.isnan()
    return torch.where(takes_over, second, first), takes_over
