"""Max-pooling that remembers where each maximum was, and the un-pooling that puts values back there.

This pair is what makes a SegNet (arXiv 1511.00561, section 3): the decoder receives positions, no features.
A position in a 2x2 window is one of four, so two bits hold it, as the paper says; stock PyTorch keeps 64.
docs/explanation/pooling-indices.md tells the whole story, ``segnet bench pooling`` measures it.

Values and gradients equal those of ``max_pool2d(2, return_indices=True)`` and ``max_unpool2d`` bit by bit,
and unlike those the pair is deterministic by PyTorch's own rules, compiles as one graph and exports.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from segnet.core.kernels import kernels_for
from segnet.core.kernels.plain import packed_height

Size = tuple[int, int]


def max_pool_2x2(x: Tensor) -> tuple[Tensor, Tensor]:
    """Halve a feature map, keeping the maximum of each 2x2 window and two bits that say where it was.

    A code is the position in reading order, and four windows below each other share a byte::

        window      code        one channel, one column of windows       its byte
        ┌───┬───┐               window row 0:  maximum at c → 10
        │ a │ b │   a 00  b 01  window row 1:  maximum at a → 00         row:  3  2  1  0
        ├───┼───┤                                                              11 01 00 10
        │ c │ d │   c 10  d 11  window row 2:  maximum at b → 01
        └───┴───┘               window row 3:  maximum at d → 11

    Missing rows of the last byte are 00. Ties go to the first position in reading order, a NaN wins over
    everything and the last NaN over the others, as in ``max_pool2d``. A last odd row or column belongs to no
    window and is dropped; ``max_unpool_2x2`` fills it with zeros.

    Args:
        x: feature map ``(N, C, H, W)``, floating point, H and W at least 2.

    Returns:
        The maxima ``(N, C, H // 2, W // 2)`` and the codes, uint8 ``(N, C, ceil(H // 2 / 4), W // 2)``.

    Raises:
        ValueError: another rank, dtype or size.
    """
    if x.ndim != 4 or not x.is_floating_point():
        raise ValueError(
            f"max_pool_2x2 needs a floating-point (N, C, H, W) tensor, got {x.dtype} {tuple(x.shape)}"
        )
    if x.shape[-2] < 2 or x.shape[-1] < 2:
        raise ValueError(f"max_pool_2x2 needs H and W of at least 2, got {tuple(x.shape)}")
    return _Pool.apply(x)


def max_unpool_2x2(values: Tensor, codes: Tensor, size: Size) -> Tensor:
    """Put each value back where its maximum was, zeros elsewhere.

    Whatever the bytes hold, a value stays inside its own window: codes from a file can't write elsewhere.

    Args:
        values: ``(N, C, H // 2, W // 2)``, floating point.
        codes: what ``max_pool_2x2`` returned for a map of this size.
        size: ``(H, W)`` before the pool; without it values of an odd-sized map would land on wrong pixels.

    Returns:
        The sparse map ``(N, C, H, W)``.

    Raises:
        ValueError: values, codes or a size that don't belong together.
    """
    if values.ndim != 4 or not values.is_floating_point():
        raise ValueError(
            "max_unpool_2x2 needs floating-point values (N, C, h, w), "
            f"got {values.dtype} {tuple(values.shape)}"
        )
    n, channels, height, width = values.shape
    if torch.compiler.is_exporting():  # there the codes are a map, which nobody but the graph sees
        return kernels_for(values).place(values, codes, size, False)
    expected = (n, channels, packed_height(height), width)
    if codes.dtype != torch.uint8 or tuple(codes.shape) != expected or codes.device != values.device:
        raise ValueError(
            f"codes for values {tuple(values.shape)} must be torch.uint8 {expected} on {values.device}, "
            f"got {codes.dtype} {tuple(codes.shape)} on {codes.device}"
        )
    if len(size) != 2 or (size[0] // 2, size[1] // 2) != (height, width):
        raise ValueError(
            f"values {tuple(values.shape)} come from a map of {2 * height} or {2 * height + 1} by "
            f"{2 * width} or {2 * width + 1}, not {tuple(size)}"
        )
    return _Place.apply(values, codes, size, False)


# Placing and picking are each other's gradient, so any order of differentiation ends in these three. Only the
# codes are kept for it.


class _Pool(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return kernels_for(x).pool(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        _, codes = output
        ctx.mark_non_differentiable(codes)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(codes)
        ctx.size = tuple(inputs[0].shape[-2:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, _: None) -> Tensor | None:
        return None if grad is None else _Place.apply(grad, *ctx.saved_tensors, ctx.size, True)


class _Place(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(values: Tensor, codes: Tensor, size: Size, accumulate: bool) -> Tensor:
        return kernels_for(values, codes).place(values, codes, size, accumulate)

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, Tensor, Size, bool], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        return _Pick.apply(grad, *ctx.saved_tensors), None, None, None


class _Pick(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(full: Tensor, codes: Tensor) -> Tensor:
        return kernels_for(full, codes).pick(full, codes)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])
        ctx.size = tuple(inputs[0].shape[-2:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _Place.apply(grad, *ctx.saved_tensors, ctx.size, False), None
