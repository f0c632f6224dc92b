"""The compact SegNets for CPUs and devices, one shape in three widths: segnet-nano, -lite and -plus.

The paper's idea (arXiv 1511.00561), pooling positions from encoder to decoder, on depthwise-separable units
as in Part 3 of the article series. What differs from both:

- No map has the image's full size. The first convolution takes every second pixel, and logits come out of
  channels at the end (``pixel_shuffle``, arXiv 1609.05158): full-size maps cost the most time by far.
- The encoder's maps go over too, each through a 1x1 convolution and added to the un-pooled one (a lateral
  connection, arXiv 1612.03144). ``features=False`` hands over positions alone.
- Units that keep their width add their input, and the deepest map has units of its own between the last pool
  and the first un-pool.

docs/explanation/compact.md compares shapes, and the family with other networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from segnet.base.errors import SegnetError
from segnet.core.blocks import (
    ConvBN,
    ConvBNReLU,
    DecoderStage,
    EncoderStage,
    crop,
    encode_decode,
    pad_to_multiple,
)

# (channels, units) of each encoder stage at width 1; the decoder mirrors them. Everything else follows.
STAGES = ((32, 1), (96, 2), (256, 2))
BOTTLENECK = (256, 6, 5)  # channels, units and depthwise kernel of the deepest map
WIDTHS = {"segnet-nano": 1 / 3, "segnet-lite": 1.0, "segnet-plus": 2.0}

_LEAST, _MOST = 0.25, 4.0  # of the dial
_BLOCK = 16  # channels that the runtimes' blocked layouts handle at once


class SeparableUnit(nn.Module):
    """Depthwise and pointwise convolution with a batch norm each, the input added where widths agree, ReLU.

    The first batch norm costs nothing where a runtime folds it, and brings a point of mean IoU.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            in_channels, in_channels, kernel, padding=kernel // 2, groups=in_channels, bias=False
        )
        self.depthwise_norm = nn.BatchNorm2d(in_channels)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.adds_input = in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in, H, W)`` to ``(N, out, H, W)``."""
        y = self.norm(self.pointwise(self.depthwise_norm(self.depthwise(x))))
        return F.relu(y + x if self.adds_input else y)


class CompactSegNet(nn.Module):
    """A compact SegNet. Images ``(N, C, H, W)`` in [0, 1], H and W at least 16.

    Sides that the pools can't halve are padded with the last row and column, so no map is ever odd.

    Args:
        num_classes: channels of the logits.
        in_channels: channels of the image.
        width: the dial: factor on all channels, 0.25 to 4. Those it gives are multiples of 16, which suits
            the runtimes; at 1 channels are as they stand in the table.
        stages: (channels, units) of each encoder stage, outermost first.
        bottleneck: channels, units and depthwise kernel of what the deepest map goes through.
        features: whether the decoder gets the encoder's maps beside the positions.
        stride: pixels between the values of the first map, 1 or 2.

    Raises:
        SegnetError: one of these is out of its range.
    """

    def __init__(
        self,
        num_classes: int = 3,
        in_channels: int = 3,
        *,
        width: float = 1.0,
        stages: Sequence[Sequence[int]] = STAGES,
        bottleneck: Sequence[int] = BOTTLENECK,
        features: bool = True,
        stride: int = 2,
    ) -> None:
        super().__init__()
        _check(width, stages, bottleneck, stride)
        table = [(scaled(channels, width), units) for channels, units in stages]
        deepest = scaled(bottleneck[0], width)
        self.stride = stride
        self.minimum_size = stride * 2 ** len(table)
        self.normalise = nn.BatchNorm2d(in_channels)
        self.encoder = nn.ModuleList()
        self.decoder = nn.ModuleList()
        before = in_channels
        for depth, (channels, count) in enumerate(table):
            # A depthwise convolution of three colour planes learns little: the first unit is an ordinary one.
            first = SeparableUnit(before, channels) if depth else _stem(before, channels, stride)
            rest = [SeparableUnit(channels, channels) for _ in range(count - 1)]
            lateral = ConvBN(channels, channels, 1) if features else None
            self.encoder.append(EncoderStage([first, *rest], lateral))
            up = before if depth else channels
            same = [SeparableUnit(channels, channels) for _ in range(count - 1)]
            self.decoder.insert(0, DecoderStage([*same, SeparableUnit(channels, up)]))
            before = channels
        _, count, kernel = bottleneck
        chain = [before, *[deepest] * (count - 1), before] if count else [before]
        self.bottleneck = nn.Sequential(*(SeparableUnit(a, b, kernel) for a, b in pairwise(chain)))
        self.classifier = nn.Conv2d(table[0][0], num_classes * stride**2, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(N, classes, H, W)``."""
        x = self.normalise(pad_to_multiple(image, self.minimum_size))
        x = self.classifier(encode_decode(x, self.encoder, self.decoder, middle=self.bottleneck))
        return crop(F.pixel_shuffle(x, self.stride), (image.shape[-2], image.shape[-1]))


def _stem(in_channels: int, channels: int, stride: int) -> ConvBNReLU:
    """Return the first unit; a value of its map sees the pixels that its logits are for, and one around."""
    return ConvBNReLU(in_channels, channels, stride + 2, stride=stride)


def require_width(network: str, width: float) -> None:
    """Raise SegnetError where a factor on a network's channels is out of its range."""
    if not _LEAST <= width <= _MOST:
        raise SegnetError(f"{network} takes a width from {_LEAST:g} to {_MOST:g}, got {width:g}")


def scaled(channels: int, width: float) -> int:
    """Return how many channels a factor leaves: a multiple of 16, which suits the runtimes."""
    return channels if width == 1 else max(_BLOCK, round(channels * width / _BLOCK) * _BLOCK)


def _check(width: float, stages: Sequence[Sequence[int]], bottleneck: Sequence[int], stride: int) -> None:
    require_width("a compact SegNet", width)
    if not stages or any(len(stage) != 2 or min(stage) < 1 for stage in stages):
        raise SegnetError(f"a compact SegNet takes stages as (channels, units) pairs, got {stages}")
    if len(bottleneck) != 3 or bottleneck[0] < 1 or bottleneck[1] < 0 or bottleneck[2] % 2 == 0:
        raise SegnetError(
            "a compact SegNet takes its bottleneck as (channels, units, kernel) with an odd kernel, "
            f"got {bottleneck}"
        )
    if stride not in (1, 2):
        raise SegnetError(f"a compact SegNet takes a stride of 1 or 2, got {stride}")
