"""Time, bytes and training memory of the two-bit pooling, beside stock PyTorch in the same process.

Stock is ``max_pool2d(return_indices=True)`` and ``max_unpool2d``, and for training the same network with
stock layers throughout. Both sides take turns, so that whatever else the machine does falls on both.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segnet.base.device import keep_freed_memory, move, pick_device
from segnet.base.files import write_csv as write_table
from segnet.core.blocks import (
    ConvBN,
    ConvBNReLU,
    DecoderStage,
    Encoded,
    EncoderStage,
    SeparableBNReLU,
)
from segnet.core.pooling import Size, max_pool_2x2, max_unpool_2x2
from segnet.models import create_model
from segnet.models.compact import SeparableUnit

# (channels, height and width) of the four maps that the article's model pools at 128x128
ARTICLE_MAPS = ((64, 128), (128, 64), (256, 32), (512, 16))
_MIB = 2**20


@dataclass(frozen=True)
class Comparison:
    """One quantity of stock and of ours."""

    quantity: str
    case: str
    unit: str
    stock: float
    ours: float

    @property
    def ratio(self) -> float:
        """Ours divided by stock's."""
        return self.ours / self.stock


def compare_pooling(
    *, batch_size: int = 16, repeats: int = 15, device: str = "auto", training: bool = True
) -> Iterator[Comparison]:
    """Measure the pair on the maps of the article's model at 128x128, then whole training steps.

    Args:
        batch_size: images in a batch.
        repeats: how often each side is timed; the median counts.
        device: auto, or a device by name.
        training: also measure training steps, which take most of the time.

    Yields:
        Milliseconds of pool + un-pool, forward and backward; the bytes they keep; peak memory and seconds of
        a training step.
    """
    keep_freed_memory()
    where = pick_device(device)
    for dtype in (torch.float32, torch.bfloat16):
        yield from _compare_time(where, dtype, batch_size, repeats)
    yield from _compare_bytes(where)
    if training:
        for dtype in (torch.float32, torch.bfloat16):
            yield from _compare_training(where, dtype, batch_size, max(3, repeats // 3))


def write_csv(path: Path, rows: Sequence[Comparison], machine: str) -> None:
    """Write one line for each comparison, below a comment line that says where they were taken."""
    columns = ("quantity", "case", "unit", "stock", "ours", "ratio")
    lines = [
        (row.quantity, row.case, row.unit, *(f"{each:.4g}" for each in (row.stock, row.ours, row.ratio)))
        for row in rows
    ]
    write_table(path, [columns, *lines], machine)


def stock_pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """Pool with PyTorch's own operation."""
    return F.max_pool2d(x, 2, return_indices=True)


def stock_unpool(values: Tensor, indices: Tensor, size: Size) -> Tensor:
    """Un-pool with PyTorch's own operation."""
    return F.max_unpool2d(values, indices, [2, 2], output_size=list(size))


def stock_copy(model: nn.Module) -> nn.Module:
    """Return a copy of a SegNet with the same weights, made of stock layers and stock pooling alone.

    Raises:
        TypeError: another kind of model, or a unit whose stock layers aren't known.
    """
    stock: Any = copy.deepcopy(model)
    for name, ours in (("encoder", EncoderStage), ("decoder", DecoderStage)):
        stages = getattr(stock, name, None)
        if not isinstance(stages, nn.ModuleList) or not all(isinstance(stage, ours) for stage in stages):
            raise TypeError(f"{type(model).__name__} has no stages of SegNet's, so no stock copy")
    for place, stage in enumerate(stock.encoder):
        lateral = None if stage.lateral is None else nn.Sequential(*_layers(stage.lateral))
        stock.encoder[place] = _StockEncoderStage(chain.from_iterable(map(_layers, stage.units)), lateral)
    for stage in stock.decoder:
        stage.units = nn.Sequential(*chain.from_iterable(map(_layers, stage.units)))
        stage.unpool = stock_unpool
    return stock


def _layers(unit: nn.Module) -> list[nn.Module]:
    if isinstance(unit, SeparableUnit):  # its own forward pass is nothing but stock operations
        return [unit]
    if not isinstance(unit, ConvBN | ConvBNReLU | SeparableBNReLU):
        raise TypeError(f"no stock layers are known for {type(unit).__name__}")
    return list(unit)


class _StockEncoderStage(EncoderStage):
    def forward(self, x: Tensor) -> Encoded:
        x = self.units(x)
        features = None if self.lateral is None else self.lateral(x)
        return Encoded(*stock_pool(x), (x.shape[-2], x.shape[-1]), features)


def _compare_time(
    device: torch.device, dtype: torch.dtype, batch_size: int, repeats: int
) -> Iterator[Comparison]:
    totals = [0.0, 0.0]
    for channels, side in ARTICLE_MAPS:
        torch.manual_seed(0)
        x = torch.randn(batch_size, channels, side, side).relu_()  # as the maps in the network are
        x = x.to(device, dtype, memory_format=torch.channels_last).requires_grad_()
        grad = torch.randn_like(x)
        medians = _medians(
            [
                _walk_there_and_back(stock_pool, stock_unpool, x, grad),
                _walk_there_and_back(max_pool_2x2, max_unpool_2x2, x, grad),
            ],
            repeats,
            device,
        )
        in_ms = [1000 * median for median in medians]
        totals = [total + each for total, each in zip(totals, in_ms, strict=True)]
        yield Comparison("pair", f"{_name(dtype)} {channels}x{side}x{side}", "ms", *in_ms)
    yield Comparison("pair", f"{_name(dtype)} all four", "ms", *totals)


def _walk_there_and_back(
    pool: Callable[..., Any], unpool: Callable[..., Any], x: Tensor, grad: Tensor
) -> Callable[[], None]:
    def walk() -> None:
        values, codes = pool(x)
        unpool(values, codes, (x.shape[2], x.shape[3])).backward(grad)
        x.grad = None

    return walk


def _compare_bytes(device: torch.device) -> Iterator[Comparison]:
    """One image's indices, and all that the pair keeps for the backward pass, by what autograd saves."""
    passed, kept = [0, 0], [0, 0]
    for channels, side in ARTICLE_MAPS:
        for which, (pool, unpool) in enumerate(((stock_pool, stock_unpool), (max_pool_2x2, max_unpool_2x2))):
            x = torch.rand(1, channels, side, side, device=device, requires_grad=True)
            storages: dict[int, int] = {}

            def keep(tensor: Tensor, storages: dict[int, int] = storages) -> Tensor:
                storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                values, codes = pool(x)
                full = unpool(values, codes, (side, side))
            storages.pop(x.untyped_storage().data_ptr(), None)  # the map itself is there anyway
            storages.pop(values.untyped_storage().data_ptr(), None)
            passed[which] += codes.untyped_storage().nbytes()
            kept[which] += sum(storages.values())
            del full
    yield Comparison("indices", "one image", "MiB", passed[0] / _MIB, passed[1] / _MIB)
    yield Comparison("kept", "one image", "MiB", kept[0] / _MIB, kept[1] / _MIB)


def _compare_training(
    device: torch.device, dtype: torch.dtype, batch_size: int, repeats: int
) -> Iterator[Comparison]:
    torch.manual_seed(0)
    ours = create_model("segnet").to(device)
    models = [stock_copy(ours), ours]
    images = torch.rand(batch_size, 3, 128, 128, device=device).contiguous(memory_format=torch.channels_last)
    masks = torch.randint(3, (batch_size, 128, 128), device=device)
    steps, peaks = [], []
    for model in models:
        move(model.train(), device)
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
        steps.append(_training_step(model, optimizer, images, masks, dtype))
        steps[-1]()  # Adam's state comes with the first step
        state = [value for entry in optimizer.state.values() for value in entry.values()]
        tensors = (*model.parameters(), *model.buffers(), *state, images, masks)
        resident = sum(tensor.numel() * tensor.element_size() for tensor in tensors) / _MIB
        peaks.append(resident + _peak_mib(steps[-1], device))
    yield Comparison("training memory", f"{_name(dtype)} batch {batch_size}", "MiB", *peaks)
    seconds = _medians(steps, repeats, device)
    yield Comparison("training step", f"{_name(dtype)} batch {batch_size}", "s", *seconds)


def _training_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, masks: Tensor, dtype: torch.dtype
) -> Callable[[], None]:
    def step() -> None:
        with torch.autocast(images.device.type, dtype, enabled=dtype != torch.float32):
            logits = model(images)
        loss = F.cross_entropy(logits.float(), masks)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def _medians(sides: list[Callable[[], None]], repeats: int, device: torch.device) -> list[float]:
    """Return the median seconds of each side; they take turns, after one round that isn't counted."""
    seconds: list[list[float]] = [[] for _ in sides]
    for _ in range(repeats + 1):
        for times, run in zip(seconds, sides, strict=True):
            _wait(device)
            started = time.perf_counter()
            run()
            _wait(device)
            times.append(time.perf_counter() - started)
    return [statistics.median(times[1:]) for times in seconds]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak_mib(run: Callable[[], None], device: torch.device) -> float:
    """Return the most that tensors took during a run, on top of what was there before it."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return (torch.cuda.max_memory_allocated(device) - before) / _MIB
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profiler:
        run()
    # the only place that has each allocation in its order
    events = profiler.profiler.kineto_results.events()
    taken = highest = 0
    for event in sorted(
        (event for event in events if event.name() == "[memory]"), key=lambda event: event.start_ns()
    ):
        taken += event.nbytes()
        highest = max(highest, taken)
    return highest / _MIB


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
