"""Train with half the maps: what batch norm and ReLU made is made again in the backward pass.

For the gradient of a conv-BN-ReLU unit PyTorch keeps two maps of one size: the convolution's output, which
batch norm needs, and the ReLU's, which the next convolution needs. The second follows from the first, so here
only the first is kept, and for the next convolution a ``Recompute`` that makes its input again; so too for
un-pooled maps. Values are the stock layers' to rounding; docs/explanation/recompute.md has what it saves.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

from segnet.core.pooling import Size, max_unpool_2x2
from segnet.core.sync_batch_norm import (
    BatchStatistics,
    SyncBatchNorm2d,
    batch_statistics,
    is_synchronised,
    normalised,
    over_the_batch,
)

Recompute = Callable[[], Tensor]
# Values that the backward pass handles at once. A GPU gets larger blocks, since each operation is a launch.
_BLOCK = {"cpu": 1 << 20, "cuda": 1 << 24}


def can_recompute(norm: nn.Module, x: Tensor) -> TypeGuard[nn.BatchNorm2d]:
    """Say whether this batch norm should run here: only in training, and only if it is quite an ordinary one.

    Compilers plan memory themselves; torch's own synchronised batch norm talks to other processes.
    """
    return (
        isinstance(norm, nn.BatchNorm2d)
        and type(norm) in (nn.BatchNorm2d, SyncBatchNorm2d)
        and norm.training
        and torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and x.device.type in ("cpu", "cuda")
        and norm.affine
        and norm.track_running_stats
        and norm.momentum is not None
    )


def batch_norm_relu(y: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """Return ``relu(norm(y))`` for training, keeping ``y`` alone; ``y`` is ``(N, C, H, W)``."""
    found = batch_statistics(y, norm) if is_synchronised(norm) else _own_statistics(y, norm)
    z: Tensor = _BatchNormReLU.apply(y, norm.weight, norm.bias, found, norm.eps)
    source, weight, bias = y.detach(), norm.weight.detach(), norm.bias.detach()

    def recompute() -> Tensor:
        with torch.no_grad():
            return normalised(source, weight, bias, found.mean, found.variance, norm.eps).relu_()

    _set_recompute(z, recompute)
    return z


def _own_statistics(y: Tensor, norm: Any) -> BatchStatistics:
    """Take the statistics of this process's maps, and let the running ones follow them."""
    if y.numel() == y.shape[1]:
        raise ValueError(
            f"batch norm can't be trained on one value for each channel, got {tuple(y.shape)}: "
            "use larger images or more than one in a batch"
        )
    norm.num_batches_tracked.add_(1)
    mean, variance = torch.batch_norm_update_stats(
        y.detach(), norm.running_mean, norm.running_var, norm.momentum
    )
    return BatchStatistics(mean, variance, None, stands_in=False)


def recomputable_unpool_2x2(values: Tensor, codes: Tensor, size: Size) -> Tensor:
    """Return ``max_unpool_2x2``'s sparse map and note how to make it again from values and codes."""
    full = max_unpool_2x2(values, codes, size)
    if full.requires_grad and not full.is_meta and not torch.compiler.is_compiling():
        source = get_recompute(values) or values.detach

        def recompute() -> Tensor:
            with torch.no_grad():
                return max_unpool_2x2(source(), codes, size)

        _set_recompute(full, recompute)
    return full


def recomputing(x: Tensor) -> AbstractContextManager[object]:
    """While this is open, an operation that saves ``x`` for its backward pass keeps how ``x`` is made."""
    recompute = get_recompute(x)
    if recompute is None:
        return nullcontext()
    original = weakref.ref(x)  # autograd keeps ``pack``, which must not keep x

    def pack(saved: Tensor) -> Tensor | Recompute:
        x = original()
        return recompute if x is not None and saved.is_set_to(x) else saved

    def unpack(packed: Tensor | Recompute) -> Tensor:
        return packed if isinstance(packed, Tensor) else packed()

    return saved_tensors_hooks(pack, unpack)


def _set_recompute(x: Tensor, recompute: Recompute) -> None:
    # an attribute: units hand on a tensor alone, in nn.Sequential too, and it goes when the tensor goes
    x._recompute = recompute  # type: ignore[attr-defined]


def get_recompute(x: Tensor) -> Recompute | None:
    """Return how a map is made again, None for one that has to be kept."""
    return getattr(x, "_recompute", None)


class _BatchNormReLU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, y: Tensor, weight: Tensor, bias: Tensor, found: BatchStatistics, eps: float
    ) -> Tensor:
        ctx.save_for_backward(y, weight, bias, found.mean, found.variance)
        ctx.found, ctx.eps = found, eps
        return normalised(y, weight, bias, found.mean, found.variance, eps).relu_()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        y, weight, bias, mean, variance = ctx.saved_tensors
        if torch.is_grad_enabled():  # for a second derivative the gradient must itself be differentiable
            if ctx.found.values is not None:
                raise NotImplementedError("synchronised batch norm has no second derivative")
            z = F.relu(F.batch_norm(y, None, None, weight, bias, True, 0.0, ctx.eps))
            first = torch.autograd.grad(z, (y, weight, bias), grad, create_graph=True)
            return *first, None, None
        z = normalised(y, weight, bias, mean, variance, ctx.eps)
        return *_backward(grad, z, y, weight, ctx.found, ctx.eps), None, None


def _backward(
    grad: Tensor, z: Tensor, y: Tensor, weight: Tensor, found: BatchStatistics, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of ``y``, weight and bias; the first takes the memory of ``z``.

    Batch norm's gradient as in arXiv 1502.03167, section 3; the stock operation needs two more maps.
    """
    mean = found.mean
    inverse_std = (found.variance + eps).rsqrt()
    channel = (1, -1, 1, 1)
    centre = mean.view(channel)
    total, total_times_y = torch.zeros_like(mean), torch.zeros_like(mean)
    images = max(1, _BLOCK[y.device.type] // y[0].numel())
    blocks = [tensor.split(images) for tensor in (grad, z, y)]
    for block_grad, block_z, block_y in zip(*blocks, strict=True):
        torch.ops.aten.threshold_backward.grad_input(block_grad, block_z, 0, grad_input=block_z)
        total += block_z.sum((0, 2, 3), dtype=mean.dtype)
        total_times_y += (block_y - centre).mul_(block_z).sum((0, 2, 3))
    own_weight, own_bias = total_times_y * inverse_std, total
    count: int | Tensor = y.numel() // y.shape[1]
    if found.values is not None:
        count = found.values
        total, total_times_y = over_the_batch(total, total_times_y)
    if found.stands_in:
        return z.zero_(), own_weight, own_bias
    by_grad = weight * inverse_std
    by_y = -by_grad * inverse_std.square() * total_times_y / count
    constant = -by_grad * total / count - by_y * mean
    for _, block_z, block_y in zip(*blocks, strict=True):
        rest = torch.addcmul(constant.view(channel), block_y, by_y.view(channel))
        block_z.copy_(rest.addcmul_(block_z, by_grad.view(channel)))
    return z, own_weight, own_bias
