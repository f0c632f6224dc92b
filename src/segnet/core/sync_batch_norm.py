"""Batch norm over the whole batch where its images are spread over processes; on any device.

torch's own SyncBatchNorm computes on GPUs alone. Each process takes the count, mean and variance of its
share; merged, they are those of the batch without the cancellation of sums of squares (Chan et al., "Updating
formulae and a pairwise algorithm for computing sample variances", 1979). Shares may differ in size.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from segnet.base.distributed import collectives
from segnet.base.errors import SegnetError

_stands_in = False


class BatchStatistics(NamedTuple):
    """Of a map's channels, over the whole batch."""

    mean: Tensor
    """``(C,)``."""
    variance: Tensor
    """``(C,)``, biased."""
    values: Tensor | None
    """Values of a channel, a scalar; None where a process has all of them."""
    stands_in: bool
    """Whether this process's images take no part."""


class SyncBatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` whose training steps normalise over all processes; elsewhere it is that."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(N, C, H, W)``."""
        if not is_synchronised(self):
            return super().forward(x)
        return _Normalise.apply(x, self.weight, self.bias, batch_statistics(x, self), self.eps)


def is_synchronised(norm: nn.Module) -> bool:
    """Say whether a batch norm talks to other processes now: in a step that is learnt from, not elsewhere."""
    return isinstance(norm, SyncBatchNorm2d) and norm.training and torch.is_grad_enabled()


@contextmanager
def synchronised(model: nn.Module) -> Iterator[None]:
    """Let every batch norm of a model be synchronised inside.

    Raises:
        SegnetError: one that can't be.
    """
    norms = {
        name: norm
        for name, norm in model.named_modules()
        if isinstance(norm, nn.modules.batchnorm._BatchNorm)
    }
    for name, norm in norms.items():
        if (
            type(norm) is not nn.BatchNorm2d
            or not norm.affine
            or norm.running_mean is None
            or norm.momentum is None
        ):
            raise SegnetError(
                f"the batch norm {name} can't be synchronised: that takes a BatchNorm2d with weights, "
                "running statistics and a momentum; give --no-sync-batch-norm"
            )
    try:
        for norm in norms.values():
            norm.__class__ = SyncBatchNorm2d  # the parameters, and who holds them, stay as they are
        yield
    finally:
        for norm in norms.values():
            norm.__class__ = nn.BatchNorm2d


@contextmanager
def standing_in() -> Iterator[None]:
    """Inside, this process has no image of the batch, and the one it computes with counts for nothing."""
    global _stands_in
    _stands_in = True
    try:
        yield
    finally:
        _stands_in = False


@torch.no_grad()
def batch_statistics(x: Tensor, norm: Any) -> BatchStatistics:
    """Take the statistics of ``(N, C, H, W)`` over all processes, and let the running ones follow them.

    Args:
        x: this process's share of the batch.
        norm: an ``nn.BatchNorm2d`` that tracks running statistics, which by its type it might not.
    """
    # in the precision of the running statistics, and without a trace in them
    places = norm.running_mean.clone(), norm.running_var.clone()
    own_mean, own_variance = torch.batch_norm_update_stats(x.detach(), *places, 0.0)
    count = 0 if _stands_in else x.numel() // x.shape[1]
    own = torch.cat((own_mean.new_full((1,), count), own_mean, own_variance)).double()
    counts, means, variances = collectives.gathered(own).split((1, x.shape[1], x.shape[1]), dim=1)
    total = counts.sum()
    shares = counts / total
    mean = (shares * means).sum(0)
    variance = (shares * (variances + (means - mean).square())).sum(0)
    norm.num_batches_tracked.add_(1)
    norm.running_mean.lerp_(mean.to(norm.running_mean), norm.momentum)
    unbiased = variance * (total / (total - 1).clamp(min=1))
    norm.running_var.lerp_(unbiased.to(norm.running_var), norm.momentum)
    return BatchStatistics(mean.to(own_mean), variance.to(own_mean), total.to(own_mean), _stands_in)


def normalised(x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float) -> Tensor:
    """Return ``(x - mean) / sqrt(variance + eps) * weight + bias`` by the kernel that has it in one pass."""
    return torch.native_batch_norm(x, weight, bias, mean, variance, False, 0.0, eps)[0]


def over_the_batch(sums: Tensor, products: Tensor) -> tuple[Tensor, Tensor]:
    """Return two vectors ``(C,)`` of the backward pass, summed over all processes."""
    both = collectives.total(torch.stack((sums, products)))
    return both[0], both[1]


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, found: BatchStatistics, eps: float
    ) -> Tensor:
        ctx.save_for_backward(x, weight, found.mean, found.variance)
        ctx.found, ctx.eps = found, eps
        return normalised(x, weight, bias, found.mean, found.variance, eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight, mean, variance = ctx.saved_tensors
        inverse_std = (variance + ctx.eps).rsqrt()
        # the kernel of fixed statistics sums this share's gradient, alone and times the normalised map
        _, own_products, own_total = torch.ops.aten.native_batch_norm_backward(
            grad, x, weight, mean, variance, None, None, False, ctx.eps, [False, True, True]
        )
        total, products = over_the_batch(own_total, own_products)
        if ctx.found.stands_in:
            return torch.zeros_like(grad), own_products, own_total, None, None
        # (grad - total / n - normalised * products / n) * weight / std, in two passes over the maps
        scale = weight * inverse_std
        share = scale / ctx.found.values
        flow = normalised(x, -share * products, -share * total, mean, variance, ctx.eps)
        flow = flow.addcmul_(grad, scale.view(1, -1, 1, 1))  # not rounded to bfloat16 where the maps are
        return flow, own_products, own_total, None, None
