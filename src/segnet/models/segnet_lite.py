"""segnet-lite: our compact SegNet for CPUs and devices, 701,337 parameters.

The paper's idea (arXiv 1511.00561), pooling positions from encoder to decoder and no features, on
depthwise-separable units as in Part 3 of the article series. What differs from both: units that keep their
width add their input, the deepest map has units of its own between the last pool and the first un-pool, and
logits are a plain 1x1 convolution. docs/explanation/segnet-lite.md compares shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from segnet.core.blocks import ConvBNReLU, DecoderStage, EncoderStage, encode_decode
from segnet.core.errors import SegnetError

# (channels, units) of each encoder stage; the decoder mirrors them.
STAGES = ((24, 1), (48, 2), (128, 2), (256, 2))
BOTTLENECK = (256, 6, 5)  # channels, units and depthwise kernel of the deepest map


class SeparableUnit(nn.Module):
    """Depthwise and pointwise convolution, batch norm, the input added where widths agree, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, residual: bool) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            in_channels, in_channels, kernel, padding=kernel // 2, groups=in_channels, bias=False
        )
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.adds_input = residual and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in, H, W)`` to ``(N, out, H, W)``."""
        y = self.norm(self.pointwise(self.depthwise(x)))
        return F.relu(y + x if self.adds_input else y)


class SegNetLite(nn.Module):
    """The compact SegNet. Images ``(N, C, H, W)`` in [0, 1], H and W at least 16."""

    def __init__(
        self,
        num_classes: int = 3,
        in_channels: int = 3,
        *,
        stages: Sequence[Sequence[int]] = STAGES,
        bottleneck: Sequence[int] = BOTTLENECK,
        kernel: int = 3,
        residual: bool = True,
    ) -> None:
        super().__init__()
        unit = partial(SeparableUnit, residual=residual)
        if not stages or any(len(stage) != 2 or min(stage) < 1 for stage in stages):
            raise SegnetError(f"segnet-lite takes stages as (channels, units) pairs, got {stages}")
        if len(bottleneck) != 3 or kernel % 2 == 0 or bottleneck[2] % 2 == 0:
            raise SegnetError(
                "segnet-lite takes its bottleneck as (channels, units, kernel), and odd kernels, "
                f"got {bottleneck} and {kernel}"
            )
        self.minimum_size = 2 ** len(stages)
        self.normalise = nn.BatchNorm2d(in_channels)
        self.encoder = nn.ModuleList()
        self.decoder = nn.ModuleList()
        before = in_channels
        for depth, (channels, count) in enumerate(stages):
            # A depthwise convolution of three colour planes learns little: the first unit is an ordinary one.
            first = ConvBNReLU(before, channels) if depth == 0 else unit(before, channels, kernel)
            rest = [unit(channels, channels, kernel) for _ in range(count - 1)]
            self.encoder.append(EncoderStage([first, *rest]))
            up = before if depth else channels
            same = [unit(channels, channels, kernel) for _ in range(count - 1)]
            self.decoder.insert(0, DecoderStage([*same, unit(channels, up, kernel)]))
            before = channels
        width, count, bottleneck_kernel = bottleneck
        widths = [before, *[width] * (count - 1), before] if count else [before]
        self.bottleneck = nn.Sequential(*(unit(a, b, bottleneck_kernel) for a, b in pairwise(widths)))
        self.classifier = nn.Conv2d(stages[0][0], num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(N, classes, H, W)``."""
        x = encode_decode(self.normalise(image), self.encoder, self.decoder, middle=self.bottleneck)
        logits: Tensor = self.classifier(x)
        return logits
