"""Batches from a cached split, made ready in the background and put on the device as uint8."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from segnet.data.images.pixel_values import Pixels

Batch = tuple[Tensor, Tensor]
Item = TypeVar("Item")


def shuffled_order(count: int, seed: int) -> list[int]:
    """Return a permutation of ``range(count)`` that depends on the seed alone."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()


def evenly_spread(count: int, most: int) -> list[int]:
    """Return up to ``most`` of ``range(count)``, evenly spread, since many datasets are sorted by class."""
    return np.linspace(0, count - 1, min(most, count)).round().astype(int).tolist()


def split_into_batches(order: Sequence[Item], batch_size: int) -> list[Sequence[Item]]:
    """Cut an order into batches; a last batch of one joins the one before, as batch norm needs two."""
    starts = list(range(0, len(order), batch_size))
    if len(starts) > 1 and len(order) - starts[-1] == 1:
        starts.pop()
    return [order[start:end] for start, end in pairwise([*starts, len(order)])]


def load_batches(
    take: Callable[[Sequence[Item]], tuple[Pixels, Pixels]],
    batches: Sequence[Sequence[Item]],
    device: torch.device,
    *,
    ahead: int = 2,
) -> Iterator[Batch]:
    """Yield images ``(N, C, H, W)`` and masks ``(N, H, W)``, both uint8 on the device.

    Images are in channels-last memory order, which is how the cache holds them: nothing is transposed.

    Args:
        take: reads what a batch names, such as ``Split.take``.
        batches: what it is asked for.
        device: where the batches go.
        ahead: batches that are read while the device works.
    """

    def read(items: Sequence[Item]) -> Batch:
        images, masks = map(torch.from_numpy, take(items))
        images = images.permute(0, 3, 1, 2)
        if device.type == "cuda":
            images, masks = images.pin_memory(), masks.pin_memory()
        return images.to(device, non_blocking=True), masks.to(device, non_blocking=True)

    with ThreadPoolExecutor(1, thread_name_prefix="batches") as reader:
        waiting: deque[Future[Batch]] = deque()
        for indices in batches:
            waiting.append(reader.submit(read, indices))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
