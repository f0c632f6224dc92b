"""Un-pooling without the indices: the ways a SegNet's decoder is compared with, put into a model for a while.

Each takes what ``max_unpool_2x2`` takes and gives a map of the same size, but doesn't look where the maxima
were. The first two leave three quarters of the map zero, as un-pooling by indices does; the others fill it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segnet.base.errors import SegnetError, did_you_mean
from segnet.core.blocks import DecoderStage
from segnet.core.pooling import Size, max_unpool_2x2

INDICES = "indices"
"""SegNet's own way."""


def at_first_corner(values: Tensor, codes: Tensor, size: Size) -> Tensor:
    """Put each value into the top left pixel of its window, zeros elsewhere."""
    return max_unpool_2x2(values, torch.zeros_like(codes), size)


def at_random(values: Tensor, codes: Tensor, size: Size) -> Tensor:
    """Put each value into any pixel of its window, zeros elsewhere; drawn from torch's global generator."""
    return max_unpool_2x2(values, torch.randint(256, codes.shape, dtype=torch.uint8).to(codes.device), size)


def in_all_four(values: Tensor, codes: Tensor, size: Size) -> Tensor:
    """Put each value into all four pixels of its window: upsampling by nearest."""
    return _to_size(F.interpolate(values, scale_factor=2, mode="nearest"), size)


def bilinear(values: Tensor, codes: Tensor, size: Size) -> Tensor:
    """Upsample by bilinear interpolation, which leaves window centres where they are."""
    return _to_size(F.interpolate(values, scale_factor=2, mode="bilinear", align_corners=False), size)


def _to_size(full: Tensor, size: Size) -> Tensor:
    """Add a last odd row or column, which belongs to no window, as zeros: as ``max_unpool_2x2`` does."""
    return F.pad(full, (0, size[1] - full.shape[-1], 0, size[0] - full.shape[-2]))


WAYS: dict[str, Callable[[Tensor, Tensor, Size], Tensor]] = {
    "first-corner": at_first_corner,
    "random": at_random,
    "no-indices": in_all_four,
    "bilinear": bilinear,
}


def parse_ways(text: str) -> tuple[str, ...]:
    """Return the names in "bilinear" or "first-corner,bilinear", each once; of "all" every one.

    Raises:
        SegnetError: a name that isn't there.
    """
    if text == "all":
        return tuple(WAYS)
    ways = tuple(dict.fromkeys(way.strip() for way in text.split(",")))
    for way in ways:
        if way not in WAYS:
            raise SegnetError(f"there is no way to un-pool {way!r}{did_you_mean(way, [*WAYS, 'all'])}")
    return ways


def unpooling_stages(model: nn.Module) -> list[DecoderStage]:
    """Return the stages of a model that un-pool by indices.

    Raises:
        SegnetError: it has none.
    """
    stages = [module for module in model.modules() if isinstance(module, DecoderStage)]
    if not stages:
        raise SegnetError("this model has no pooling indices that could be left out; take a SegNet")
    return stages


@contextmanager
def unpooling(model: nn.Module, way: str) -> Iterator[None]:
    """While this is open, every decoder stage of a model un-pools in this way, in training too.

    Args:
        model: one whose decoder is made of ``DecoderStage``.
        way: a name of ``WAYS``, or ``INDICES``, which changes nothing.

    Raises:
        SegnetError: a model that doesn't un-pool by indices.
    """
    stages = unpooling_stages(model)
    if way == INDICES:
        yield
        return
    for stage in stages:
        stage.unpool = WAYS[way]  # hides the class's own
    try:
        yield
    finally:
        for stage in stages:
            del stage.unpool
