"""Measure what a second process brings to training, and estimate what 64 GPUs would.

The same model trains on random images in turn: one process with one thread, several processes with one thread
and as many images each, and one process with as many threads and all their images. torchrun starts them as it
starts ``segnet train``, and the steps are those of the training loop, with gradients summed by
DistributedDataParallel and batch norm over all images. The bytes are those that a process gives into sums and
gathers in a step, counted as they are given. Usage::

    python benchmarks/processes.py --csv processes.csv
    python benchmarks/processes.py --gloo --csv processes.csv  # without the memory that processes share
    python benchmarks/processes.py --images 32 --no-sync-batch-norm --csv processes.csv  # adds its rows
    python benchmarks/processes.py --model segnet --size 64 --processes 2

The estimate (``--model-gpus SECONDS``, what a GPU takes for an image) is arithmetic, see ``estimate``.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from torch import nn

from segnet.base.device import keep_freed_memory, move
from segnet.base.distributed.collectives import joined, shared
from segnet.base.distributed.rank import meeting, set_meeting, started_as, this_process
from segnet.bench.machine import describe_machine
from segnet.core.sync_batch_norm import synchronised
from segnet.data.augment import Augmentation
from segnet.data.store.batch_shares import share_of
from segnet.models import create_model
from segnet.training.configuration.config import TrainConfig
from segnet.training.optimizer import build_optimizer
from segnet.training.schedule import Step
from segnet.training.setup import Learner
from segnet.training.step import take_gradients


class Link(NamedTuple):
    """What joins GPUs."""

    bytes_per_second: float
    latency_s: float


NVLINK = Link(200e9, 10e-6)  # inside a machine of eight; what all-reduces reach, below the data sheet
NETWORK = Link(20e9, 20e-6)  # a 200 Gbit/s network between machines
IN_A_MACHINE = 8
BACKWARD = 2 / 3  # share of a step's computation during which gradients can travel


def estimate(gpus: int, images: int, image_s: float, gradient_bytes: int, norms: int) -> tuple[float, float]:
    """Return the seconds of a step on so many GPUs, and the share of perfect scaling that this is.

    Weak scaling: each GPU has ``images`` of ``image_s`` seconds, alone and together. Assumed besides: data
    is never waited for; all GPUs are as fast; gradients go round a ring, 2 (G - 1) / G of their bytes over
    its slowest link and a latency for each of 2 (G - 1) hops, and hide behind the backward pass, but for the
    last sixth of them, whose layers are the last to have a gradient; batch norm waits for a gather and a sum
    in each layer, log2(G) latencies each, and hides behind nothing. Nothing of this is measured.
    """
    compute = images * image_s
    if gpus == 1:
        return compute, 1.0
    link = NVLINK if gpus <= IN_A_MACHINE else NETWORK
    ring = 2 * (gpus - 1) / gpus * gradient_bytes / link.bytes_per_second + 2 * (gpus - 1) * link.latency_s
    exposed = max(ring / 6, ring - BACKWARD * compute)
    batch_norm = 2 * norms * math.ceil(math.log2(gpus)) * link.latency_s
    step = compute + exposed + batch_norm
    return step, compute / step


def counting() -> dict[str, int]:
    """Return where the bytes of this process's sums and gathers are counted from now on."""
    counted = {"bytes": 0, "calls": 0}
    ways: list[tuple[Any, str]] = [(torch.distributed, "all_reduce"), (torch.distributed, "all_gather")]
    here = meeting()
    if here is not None and here.board is not None:
        ways.append((here.board, "gathered"))
    for owner, name in ways:
        original = getattr(owner, name)

        def counts(*arguments: Any, original: Any = original, **more: Any) -> Any:
            tensor = arguments[-1]
            counted["bytes"] += tensor.numel() * tensor.element_size()
            counted["calls"] += 1
            return original(*arguments, **more)

        setattr(owner, name, counts)
    return counted


def train_steps(options: argparse.Namespace) -> None:
    """Train in this process, which may be one of several, and let the first print what it found."""
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    if hasattr(os, "sched_setaffinity") and options.threads == 1:
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[started_as().local_rank % len(cores)]})
    with joined():
        here, met = this_process(), meeting()
        if options.gloo and met is not None:
            set_meeting(met._replace(board=None))
        counted = counting()
        torch.manual_seed(0)
        config = TrainConfig(
            data="synthetic",
            batch_size=options.images * here.total,
            precision="float32",
            sync_batch_norm=options.sync_batch_norm,
        )
        model = move(create_model(options.model), torch.device("cpu")).train()
        optimizer = build_optimizer(model, config)
        learner = Learner(
            config=config,
            train=None,  # these images are random
            device=torch.device("cpu"),
            model=model,
            optimizer=optimizer,
            augment=Augmentation(),
            class_weights=None,
            console=Console(quiet=True),
        )
        size = config.batch_size
        share = share_of(size, size, 1, here.rank, here.total)
        images = torch.rand(options.images, 3, options.size, options.size)
        images = images.contiguous(memory_format=torch.channels_last)
        masks = torch.randint(0, 3, (options.images, options.size, options.size), dtype=torch.uint8)
        with synchronised(model) if here.total > 1 and config.sync_batch_norm else nullcontext():
            network = shared(model)
            seconds = []
            for step in range(options.steps + 2):
                if step == 2:  # the first two find their kernels and their order
                    counted.update(bytes=0, calls=0)
                began = time.perf_counter()
                optimizer.zero_grad(set_to_none=True)
                take_gradients(learner, network, images, masks, Step(0, step, options.steps + 2), share)
                optimizer.step()
                seconds.append(time.perf_counter() - began)
        if here.rank == 0:
            gradients = sum(each.numel() * each.element_size() for each in model.parameters())
            print(
                json.dumps(
                    {
                        "processes": here.total,
                        "images_per_second": round(size / statistics.median(seconds[2:]), 2),
                        "gradient_bytes": gradients if here.total > 1 else 0,
                        "other_bytes": counted["bytes"] // options.steps if here.total > 1 else 0,
                        "other_calls": counted["calls"] // options.steps if here.total > 1 else 0,
                    }
                )
            )


def measure(processes: int, threads: int, options: argparse.Namespace) -> dict[str, Any]:
    """Start processes of this script and return what they found."""
    own = ["--train", "--model", options.model, "--size", options.size, "--threads", threads]
    own += ["--images", options.images * threads]
    many = ["-m", "torch.distributed.run", "--nproc-per-node", processes] if processes > 1 else []
    own += ["--steps", options.steps] + ([] if options.sync_batch_norm else ["--no-sync-batch-norm"])
    own += ["--gloo"] if options.gloo else []
    command = [sys.executable, *many, __file__, *own]
    done = subprocess.run(
        [str(word) for word in command],
        env=os.environ | {"OMP_NUM_THREADS": str(threads), "GOMP_SPINCOUNT": "1000"},  # as segnet sets it
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=3600,
    )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def blocks(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield what each way does, in turn, so that what else the machine does hits all of them."""
    for block in range(options.blocks):
        for processes, threads in ((1, 1), (options.processes, 1), (1, options.processes)):
            what = {"block": block, "model": options.model, "size": options.size, "images": options.images}
            through = "synchronised by gloo" if options.gloo else "synchronised"
            how = {"batch_norm": through if options.sync_batch_norm else "each its own"}
            yield what | how | {"threads": threads} | measure(processes, threads, options)


def say_estimate(options: argparse.Namespace) -> None:
    """Print what GPUs would do that take so many seconds for an image."""
    model = create_model(options.model)
    gradients = sum(each.numel() * each.element_size() for each in model.parameters())
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    print(f"{options.model}: {gradients / 1e6:.1f} MB of gradients, {norms} batch norms; an estimate")
    for gpus in (1, 2, 4, 8, 16, 32, 64):
        step, share = estimate(gpus, options.images, options.model_gpus, gradients, norms)
        print(f"{gpus:3} GPUs  {gpus * options.images / step:10.0f} img/s  {share:6.1%} of perfect")


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="segnet-lite")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--images", type=int, default=8, help="of each process in a step")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--sync-batch-norm", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--gloo", action="store_true", help="let gloo pass small tensors too")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--model-gpus", type=float, metavar="SECONDS", help="estimate only")
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train_steps(options)
        return
    if options.model_gpus:
        say_estimate(options)
        return
    rows = []
    for row in blocks(options):
        rows.append(row)
        who = f"{row['processes']} processes, {row['threads']} threads each"
        print(f"{who}  {row['images_per_second']:7.2f} img/s", flush=True)
    alone, many, threaded = ([row["images_per_second"] for row in rows[way::3]] for way in range(3))
    for who, rates in ((f"{options.processes} processes", many), ("as many threads", threaded)):
        ratios = [rate / one for one, rate in zip(alone, rates, strict=True)]
        found = f"{statistics.median(ratios):.2f}x one ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{who}: {found}")
    print(
        f"{rows[1]['gradient_bytes'] / 1e6:.2f} MB of gradients and {rows[1]['other_bytes'] / 1e3:.1f} kB in "
        f"{rows[1]['other_calls']} other sums a step and process"
    )
    if options.csv:
        is_new = not options.csv.exists()
        with options.csv.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            if is_new:
                file.write(describe_machine(1) + "\n")
                writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
