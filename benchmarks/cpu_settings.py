"""Measure what two process settings bring to training steps on a CPU: kept memory and a short spin.

``segnet train`` tells glibc to keep freed memory (``keep_freed_memory``) and GNU OpenMP to let waiting
threads sleep soon (``GOMP_SPINCOUNT=1000``). Both belong to a process, so each combination has one of its
own, and their blocks alternate while the others sleep. The steps are those of the training loop, on random
images of 128x128. ``--busy`` runs a process that spins meanwhile: the second setting is for machines that
are shared. Usage::

    python benchmarks/cpu_settings.py --csv cpu_settings.csv
    python benchmarks/cpu_settings.py --busy --csv cpu_settings_busy.csv
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import torch

from segnet.bench.machine import describe_machine

# setting: (keep freed memory, short spin)
SETTINGS = {
    "neither": (False, False),
    "keep memory": (True, False),
    "short spin": (False, True),
    "both": (True, True),
}


def start_process(stack: ExitStack, *, short_spin: bool) -> ProcessPoolExecutor:
    """Start a process that loads torch with or without GOMP_SPINCOUNT=1000, then waits for work."""
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        os.environ.pop(name, None)
    if short_spin:
        os.environ["GOMP_SPINCOUNT"] = "1000"
    process = stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn")))
    process.submit(os.getpid).result()  # a pool starts its process with the first task
    return process


def describe_rates(rates: Sequence[float], baseline: Sequence[float]) -> str:
    """Return the median, its ratio to the baseline's, and the span of the ratios block by block."""
    ratios = [rate / base for rate, base in zip(rates, baseline, strict=True)]
    median = statistics.median(rates)
    return (
        f"{median:8.2f} img/s  {median / statistics.median(baseline):5.2f}x  "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )


class Case(NamedTuple):
    """What one process trains, and how."""

    model: str
    batch_size: int
    precision: str
    threads: int
    keep_memory: bool


@cache  # by a process's first block, then kept: a process has one case
def set_up(case: Case) -> Callable[[], None]:
    """Return a function that trains one step."""
    from segnet.base.device import autocast, keep_freed_memory
    from segnet.models import create_model
    from segnet.training.configuration.config import TrainConfig
    from segnet.training.losses.losses import cross_entropy
    from segnet.training.optimizer import build_optimizer

    if case.keep_memory:
        keep_freed_memory()
    torch.set_num_threads(case.threads)
    torch.manual_seed(0)
    device = torch.device("cpu")
    model = create_model(case.model).train()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = build_optimizer(model, TrainConfig())
    images = torch.rand(case.batch_size, 3, 128, 128).contiguous(memory_format=torch.channels_last)
    masks = torch.randint(0, 3, (case.batch_size, 128, 128), dtype=torch.uint8)

    def step() -> None:
        with autocast(device, case.precision):
            logits = model(images)
        loss = cross_entropy(logits, masks)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def train_block(case: Case, steps: int) -> float:
    """Train for some steps and return images per second."""
    step = set_up(case)
    started = time.perf_counter()
    for _ in range(steps):
        step()
    return steps * case.batch_size / (time.perf_counter() - started)


def spin() -> None:
    while True:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--models", nargs="+", default=["segnet-lite", "segnet"])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[32, 16])
    parser.add_argument("--steps", type=int, default=8, help="steps in a block")
    parser.add_argument("--blocks", type=int, default=5, help="blocks of each setting")
    parser.add_argument("--precision", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--busy", action="store_true", help="keep one core busy with another process")
    parser.add_argument("--csv", type=Path, default=Path("cpu_settings.csv"))
    arguments = parser.parse_args()
    machine = describe_machine(arguments.threads) + f", {arguments.precision}"
    machine += ", one core kept busy" if arguments.busy else ""
    print(machine)
    with ExitStack() as whole, arguments.csv.open("w", newline="") as file:
        if arguments.busy:
            other = get_context("spawn").Process(target=spin, daemon=True)
            other.start()
            whole.callback(other.terminate)
        file.write(machine + "\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["model", "batch_size", "setting", "block", "images_per_second"])
        for model in arguments.models:
            for batch in arguments.batch_sizes:
                with ExitStack() as stack:
                    rates: dict[str, list[float]] = {name: [] for name in SETTINGS}
                    tasks = {}
                    for name, (keep, short_spin) in SETTINGS.items():
                        case = Case(model, batch, arguments.precision, arguments.threads, keep)
                        process = start_process(stack, short_spin=short_spin)
                        process.submit(train_block, case, 2).result()  # warms up
                        tasks[name] = (process, case)
                    for block in range(1, arguments.blocks + 1):
                        for name, (process, case) in tasks.items():
                            rate = process.submit(train_block, case, arguments.steps).result()
                            rates[name].append(rate)
                            writer.writerow([model, batch, name, block, f"{rate:.3f}"])
                            file.flush()
                for name, values in rates.items():
                    print(f"{model:12} batch {batch:3}  {name:12} {describe_rates(values, rates['neither'])}")


if __name__ == "__main__":
    main()
