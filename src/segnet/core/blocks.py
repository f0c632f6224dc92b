"""The building blocks that the models share: convolution units, SegNet's stages and the way through them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from segnet.core.kernels import exported
from segnet.core.pooling import Size, max_pool_2x2
from segnet.core.recompute import batch_norm_relu, can_recompute, recomputable_unpool_2x2, recomputing


class _ConvsBNReLU(nn.Sequential):
    """Convolutions, batch norm, ReLU; in training only half of their maps are kept, see recompute.py."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in, H, W)`` to ``(N, out, H, W)``."""
        first, *others, norm, _ = self
        if not can_recompute(norm, x):
            return super().forward(x)
        with recomputing(x):
            y = first(x)
        for conv in others:
            y = conv(y)
        return batch_norm_relu(y, norm)


class ConvBN(nn.Sequential):
    """Convolution without bias and batch norm, as SegNet-Basic's decoder has them."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in, H, W)`` to ``(N, out, H, W)``."""
        conv, norm = self
        with recomputing(x):
            y = conv(x)
        return norm(y)


class ConvBNReLU(_ConvsBNReLU):
    """Convolution without bias, batch norm, ReLU: the unit that both the article and the paper repeat."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, *, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel, stride, (kernel - stride + 1) // 2, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class SeparableBNReLU(_ConvsBNReLU):
    """Depthwise then pointwise convolution, nothing between them, then batch norm and ReLU.

    Costs ``C * k * k + C * K`` weights where an ordinary convolution costs ``C * K * k * k``.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3) -> None:
        super().__init__(
            nn.Conv2d(in_channels, in_channels, kernel, padding=kernel // 2, groups=in_channels, bias=False),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


Unit = Callable[[int, int], nn.Module]
"""Builds a unit from its input and output channels."""


def conv_chain(in_channels: int, out_channels: Sequence[int], unit: Unit = ConvBNReLU) -> list[nn.Module]:
    """Return one unit for each entry of ``out_channels``, each fed by the one before."""
    return [unit(before, after) for before, after in pairwise((in_channels, *out_channels))]


class Encoded(NamedTuple):
    """What an encoder stage gives."""

    pooled: Tensor
    """The map for the next stage, ``(N, C, H // 2, W // 2)``."""
    codes: Tensor
    """Where its maxima were."""
    size: Size
    """``(H, W)`` before the pool."""
    features: Tensor | None = None
    """``(N, C, H, W)`` for the decoder, of stages that hand on more than positions."""


class EncoderStage(nn.Module):
    """Units, then a 2x2 max-pool that keeps positions and the size before it.

    Args:
        units: what comes before the pool.
        lateral: what makes of the map before the pool the features that the decoder gets; None for a SegNet
            as the paper has it, where it gets positions alone.
    """

    def __init__(self, units: Iterable[nn.Module], lateral: nn.Module | None = None) -> None:
        super().__init__()
        self.units = nn.Sequential(*units)
        self.lateral = lateral

    def forward(self, x: Tensor) -> Encoded:
        """Pool a map ``(N, in, H, W)``."""
        x = self.units(x)
        features = None if self.lateral is None else self.lateral(x)
        return Encoded(*max_pool_2x2(x), (x.shape[-2], x.shape[-1]), features)


class DecoderStage(nn.Module):
    """Un-pool to the size the encoder had, then units that fill the sparse map in."""

    unpool: Callable[[Tensor, Tensor, Size], Tensor] = staticmethod(recomputable_unpool_2x2)
    """Maps values, codes and size to ``(N, C, *size)``; models/inspection/unpooling.py has others."""

    def __init__(self, units: Iterable[nn.Module]) -> None:
        super().__init__()
        self.units = nn.Sequential(*units)

    def forward(self, x: Tensor, codes: Tensor, size: Size, features: Tensor | None = None) -> Tensor:
        """Return the map ``(N, C, *size)``."""
        full = self.unpool(x, codes, size)
        return self.units(full if features is None else full + features)


# Bayesian SegNet (arXiv 1511.02680) has dropout in the stages from the third on, where it has any.
FIRST_DROPPED = 2


def encode_decode(
    x: Tensor,
    encoder: nn.ModuleList,
    decoder: nn.ModuleList,
    *,
    middle: nn.Module | None = None,
    dropout: nn.Module | None = None,
) -> Tensor:
    """Send a map down the encoder and up the decoder; between them pass positions, sizes and any features.

    Args:
        x: ``(N, C, H, W)``.
        encoder: an ``EncoderStage`` each, outermost first.
        decoder: a ``DecoderStage`` each, deepest first.
        middle: what the deepest map goes through.
        dropout: acts after the third and deeper pools, and after the decoder stages of the same depths.
    """
    pooled = []
    for depth, stage in enumerate(encoder):
        x, *handed = stage(x)
        x = dropout(x) if dropout is not None and depth >= FIRST_DROPPED else x
        pooled.append(handed)
    x = x if middle is None else middle(x)
    for stage in decoder:
        x = stage(x, *pooled.pop())
        x = dropout(x) if dropout is not None and len(pooled) >= FIRST_DROPPED else x
    return x


# By index: with F.pad and slices torch.export serves either sizes that need padding or those that don't.


def pad_to_multiple(image: Tensor, whole: int) -> Tensor:
    """Repeat the last row and column up to multiples of ``whole``, so that maps lie on each other."""
    height, width = image.shape[-2:]
    if exported.EVEN_SIZES.holds if torch.compiler.is_exporting() else not (height % whole or width % whole):
        return image
    rows, columns = (
        torch.arange((side + whole - 1) // whole * whole, device=image.device).clamp(max=side - 1)
        for side in (height, width)
    )
    return image.index_select(2, rows).index_select(3, columns)


def crop(logits: Tensor, size: Size) -> Tensor:
    """Return the upper left ``size`` of a map ``(N, C, H, W)``."""
    if exported.EVEN_SIZES.holds if torch.compiler.is_exporting() else logits.shape[-2:] == size:
        return logits
    rows, columns = (torch.arange(side, device=logits.device) for side in size)
    return logits.index_select(2, rows).index_select(3, columns)
