"""Measure what each trick of core/ buys: pooling or a training step as it is, beside the same without it.

A step is forward, cross-entropy and backward at 128x128, on one thread. What counts is the processor's time,
since other programs lengthen it less than the clock's; all sides take turns, and a ratio is the median of the
rounds' ratios. Takes six minutes on an idle machine::

    python benchmarks/tricks.py --csv tricks.csv
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import product
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor

from segnet.base.device import has_fast_bfloat16, keep_freed_memory
from segnet.bench.machine import describe_machine
from segnet.bench.pooling import _peak_mib as peak_mib
from segnet.core import blocks, pooling
from segnet.core.kernels import blocked, plain
from segnet.models import create_model
from segnet.training.losses.losses import cross_entropy

CPU = torch.device("cpu")
BATCH_SIZES = {"segnet": 8, "segnet-lite": 32}
MAPS = ((64, 128), (128, 64), (256, 32), (512, 16))  # channels and side of what the article's model pools


def select_by_where(values: Tensor, code: Tensor, k: int, *, out: Tensor) -> Tensor:
    return out.copy_(torch.where(code == k, values, 0))


def select_by_masks(values: Tensor, code: Tensor, k: int, *, out: Tensor) -> Tensor:
    integer = blocked._INTEGER[values.dtype]
    mask = torch.eq(code, k, out=torch.empty_like(code, dtype=integer)).neg_()  # −1 has all bits
    torch.bitwise_and(values.view(integer), mask, out=out.view(integer))
    return out


@contextmanager
def keep_maps() -> Iterator[None]:
    """Run batch norm and ReLU as PyTorch does, and keep un-pooled maps."""
    with (
        patch.object(blocks, "can_recompute", lambda norm, x: False),
        patch.object(blocks.DecoderStage, "unpool", staticmethod(pooling.max_unpool_2x2)),
    ):
        yield


# what is left out: how
WITHOUT: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "nothing": nullcontext,
    "hardtanh's gradient (masks of bits)": lambda: patch.object(blocked, "_select", select_by_masks),
    "hardtanh's gradient (torch.where)": lambda: patch.object(blocked, "_select", select_by_where),
    "blocks (whole maps)": lambda: patch.object(blocked, "BLOCK", 1 << 40),
    "blocked kernels (plain ones)": lambda: patch.object(pooling, "kernels_for", lambda *tensors: plain),
    "recomputation (stock layers)": keep_maps,
}


def training_step(name: str, dtype: torch.dtype) -> Callable[[], None]:
    """Return a function that runs a forward pass, the loss and a backward pass."""
    torch.manual_seed(0)
    model = create_model(name).train()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    shape = (BATCH_SIZES[name], 3, 128, 128)
    images = torch.rand(shape).contiguous(memory_format=torch.channels_last)
    masks = torch.randint(3, (shape[0], *shape[2:]), dtype=torch.uint8)

    def step() -> None:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            logits = model(images)
        cross_entropy(logits, masks).backward()  # type: ignore[no-untyped-call]
        model.zero_grad(set_to_none=True)

    return step


def pooling_pair(dtype: torch.dtype) -> Callable[[], None]:
    """Return a function that pools and un-pools the article's four maps, batch 16, forward and backward."""
    maps = [torch.randn(16, channels, side, side, dtype=dtype) for channels, side in MAPS]
    maps = [x.contiguous(memory_format=torch.channels_last).requires_grad_() for x in maps]
    gradients = [torch.randn_like(x) for x in maps]

    def step() -> None:
        for x, gradient in zip(maps, gradients, strict=True):
            values, codes = pooling.max_pool_2x2(x)
            pooling.max_unpool_2x2(values, codes, (x.shape[2], x.shape[3])).backward(gradient)  # type: ignore[no-untyped-call]
            x.grad = None

    return step


def measure(step: Callable[[], None], rounds: int) -> Iterator[tuple[str, float, float, float]]:
    """Yield for each side what it leaves out, its median seconds, their ratio to "nothing", and peak MiB."""
    seconds: dict[str, list[float]] = {name: [] for name in WITHOUT}
    peaks: dict[str, float] = {}
    step()  # what is made once and kept
    for name, leave_out in WITHOUT.items():
        with leave_out():
            peaks[name] = peak_mib(step, CPU)
    for _ in range(rounds):
        for name, leave_out in WITHOUT.items():
            with leave_out():
                started = time.process_time()
                step()
                seconds[name].append(time.process_time() - started)
    for name, times in seconds.items():
        ratios = [one / base for one, base in zip(times, seconds["nothing"], strict=True)]
        yield name, statistics.median(times), statistics.median(ratios), peaks[name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--csv", type=Path, default=Path("tricks.csv"))
    arguments = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(1)
    machine = describe_machine(1)
    print(machine)
    dtypes = [torch.float32, *[torch.bfloat16] * has_fast_bfloat16(CPU)]
    with arguments.csv.open("w", newline="") as file:
        file.write(machine + "\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["model", "dtype", "without", "seconds", "time_ratio", "peak_mib", "peak_ratio"])
        for model, dtype in product(("pooling pair", *BATCH_SIZES), dtypes):
            name = str(dtype).removeprefix("torch.")
            step = training_step(model, dtype) if model in BATCH_SIZES else pooling_pair(dtype)
            rounds = arguments.rounds * (1 if model in BATCH_SIZES else 3)
            sides = list(measure(step, rounds))
            for without, seconds, ratio, peak in sides:
                more = peak / sides[0][-1]
                numbers = (f"{number:.4g}" for number in (seconds, ratio, peak, more))
                writer.writerow([model, name, without, *numbers])
                file.flush()
                print(
                    f"{model:12} {name:9} without {without:36} time {ratio:5.2f}x  memory {more:5.2f}x  "
                    f"({seconds:.2f} s, {peak:.0f} MiB)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
