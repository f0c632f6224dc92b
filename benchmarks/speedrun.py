"""Train the article's SegNet as fast as one GPU can: a record with a rule, for others to beat.

The rule. The article's network, ``create_model("segnet")`` with its 15,274,892 parameters and fresh weights,
sees 20 times 3,680 = 73,600 training images at 128x128, as many as in the article; which of those that are
there, in which order and how they are changed is free. One GPU. The clock starts where images and masks lie
in its memory as uint8, and stops when the last step is done; what has to be compiled is compiled before, on
weights that are thrown away. The score is mean IoU on the test part, border as a class, of the weights after
the last step, by one pass of the network. A time counts as the mean of five runs, seeds 0 to 4, and only if
their mean score is no worse than that of ``--plain``: the article's recipe on the same images and GPU.
Settings are chosen with ``--holdout 0.3``, which scores a part of trainval and never looks at the test part::

    python benchmarks/speedrun.py DATA --plain --csv speedrun.csv
    python benchmarks/speedrun.py DATA --csv speedrun.csv
    python benchmarks/speedrun.py DATA --holdout 0.3 --lr 0.004 --csv choosing.csv

``DATA`` holds ``images/`` and ``annotations/`` of Oxford-IIIT Pet, or its images and masks in ``train/`` and
``val/``, as ``gpu.py`` lays them out. A row is a run; the file begins with the GPU, driver and versions.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segnet.base.classes import ClassTable
from segnet.base.device import move, pick_device
from segnet.bench.machine import describe_machine
from segnet.bench.pooling import _wait as wait
from segnet.data.augment import Augmentation
from segnet.data.sources import load_dataset
from segnet.data.store.batches import shuffled_order
from segnet.data.store.fit_to_size import Fit
from segnet.data.store.open_split import open_pixels
from segnet.data.store.split import Split
from segnet.models import create_model
from segnet.scoring.score_split import evaluate_split, predictor
from segnet.training.configuration.config import TrainConfig
from segnet.training.losses.losses import cross_entropy
from segnet.training.optimizer import build_optimizer
from segnet.training.schedule import learning_rate

SIZE = (128, 128)
EPOCH_IMAGES, EPOCHS = 3680, 20  # the article's
WARM_UP_STEPS = 3


class Data(NamedTuple):
    """What is trained on and what is scored on."""

    train: Split
    scored: Split
    part: str
    classes: ClassTable


class Settings(NamedTuple):
    """What a record may choose."""

    batch_size: int
    lr: float
    compiled: bool
    images: int


Step = Callable[[Tensor, Tensor, float], Tensor]
"""Learns from uint8 images ``(N, 3, H, W)`` and masks ``(N, H, W)``, told which share of the way is behind
it, and returns the loss."""

Make = Callable[[Settings, nn.Module, torch.device, int], tuple[Step, torch.optim.Optimizer]]


def plain(
    settings: Settings, model: nn.Module, device: torch.device, seed: int
) -> tuple[Step, torch.optim.Optimizer]:
    """Return the article's step: Adam at 1e-3, times 0.7 every seven epochs, float32, a flip and contrast."""
    config = TrainConfig(recipe="article")
    optimizer = build_optimizer(model, config)
    augment = Augmentation(flip=config.flip, contrast=config.contrast)
    seeds = iter(range(seed << 32, (seed + 1) << 32))

    def step(images: Tensor, masks: Tensor, way: float) -> Tensor:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, int(way * EPOCHS), 0.0)
        images, masks = augment(images, masks, SIZE, next(seeds))
        loss = cross_entropy(model(images), masks)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step, optimizer


def fast(
    settings: Settings, model: nn.Module, device: torch.device, seed: int
) -> tuple[Step, torch.optim.Optimizer]:
    """Return a step in bfloat16 that is compiled whole, from uint8 to the loss, and replayed as a graph.

    AdamW, a learning rate that rises for a tenth of the way and then falls to nothing in a straight line, and
    the article's flip and contrast, whose coins are thrown on the device.
    """
    on_gpu = device.type == "cuda"
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.02},
            {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
        ],
        lr=settings.lr,
        fused=True,
    )
    generator = torch.Generator(device).manual_seed(seed)

    def loss_of(images: Tensor, masks: Tensor, drawn: Tensor) -> Tensor:
        across, contrast = drawn[0] < 0.5, 0.7 + 0.6 * drawn[1]
        pixels = images.float() / 255
        pixels = torch.where(across.view(-1, 1, 1, 1), pixels.flip(-1), pixels)
        masks = torch.where(across.view(-1, 1, 1), masks.flip(-1), masks)
        mean = pixels.mean((1, 2, 3), keepdim=True)
        pixels = ((pixels - mean) * contrast.view(-1, 1, 1, 1) + mean).clamp(0, 1)
        with torch.autocast(device.type, torch.bfloat16):
            logits = model(pixels.contiguous(memory_format=torch.channels_last))
        return F.cross_entropy(logits.float(), masks.long(), ignore_index=255)

    if settings.compiled:
        mode = "max-autotune" if on_gpu else "default"  # max-autotune replays graphs
        loss_of = torch.compile(loss_of, mode=mode, dynamic=False)

    def step(images: Tensor, masks: Tensor, way: float) -> Tensor:
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * min(way / 0.1, (1 - way) / 0.9)
        optimizer.zero_grad(set_to_none=True)  # before a graph writes into their memory again
        drawn = torch.rand(2, len(images), generator=generator, device=device)
        if settings.compiled:
            torch.compiler.cudagraph_mark_step_begin()
        loss = loss_of(images, masks, drawn)
        loss.backward()
        optimizer.step()
        return loss.detach().clone()  # out of a graph's memory

    return step, optimizer


VARIANTS: dict[str, Make] = {"plain": plain, "fast": fast}


def batches(
    images: Tensor, masks: Tensor, settings: Settings, seed: int
) -> Iterator[tuple[Tensor, Tensor, float]]:
    """Yield as many images as the rule has, each as often as any other, and how far they are on the way."""
    rounds = range(-(-settings.images // len(images)))
    numbers = [number for each in rounds for number in shuffled_order(len(images), (seed << 16) + each)]
    order = torch.tensor(numbers[: settings.images]).to(images.device)
    # a graph is of one size: a last batch that would be short takes images before it once more
    for start in range(0, settings.images, settings.batch_size):
        rows = order[start : start + settings.batch_size]
        if len(rows) < settings.batch_size:
            rows = order[-settings.batch_size :]
        yield images[rows], masks[rows], start / settings.images


def run(variant: str, settings: Settings, data: Data, device: torch.device, seed: int) -> dict[str, Any]:
    """Train once by the clock, score, and return the row."""
    torch.manual_seed(seed)
    images = torch.from_numpy(np.array(data.train.images)).permute(0, 3, 1, 2).to(device)
    masks = torch.from_numpy(np.array(data.train.masks)).to(device)
    model = move(create_model("segnet", len(data.classes)), device).train()
    step, optimizer = VARIANTS[variant](settings, model, device, seed)
    fresh = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for _ in range(WARM_UP_STEPS):
        rows = torch.arange(settings.batch_size, device=device) % len(images)
        step(images[rows], masks[rows], 0.0)
    model.load_state_dict(fresh)
    optimizer.state.clear()
    wait(device)
    started = time.perf_counter()
    for batch_images, batch_masks, way in batches(images, masks, settings, seed):
        loss = step(batch_images, batch_masks, way)
    wait(device)
    seconds = time.perf_counter() - started
    scores = evaluate_split(predictor(model), data.scored, data.classes, device)
    return {
        "variant": variant,
        "seed": seed,
        "seconds": round(seconds, 3),
        "images": settings.images,
        "images_per_second": round(settings.images / seconds, 1),
        "batch_size": settings.batch_size,
        "lr": settings.lr,
        "compiled": settings.compiled,
        "last_loss": round(float(loss), 4),
        "scored_on": f"{len(data.scored)} of {data.part}",
        "pixel_accuracy": round(scores.pixel_accuracy or 0.0, 4),
        "mean_iou": round(scores.mean_iou or 0.0, 4),
    }


def open_data(root: Path, holdout: float) -> Data:
    """Open what is trained on and scored on; with ``holdout`` both are of trainval."""
    official = (root / "annotations").is_dir()
    where: dict[str, Any] = {"data": "oxford-pets", "data_root": root} if official else {"data": str(root)}
    dataset = load_dataset(TrainConfig(**where, holdout=holdout))
    scored = dataset.val if holdout else dataset.splits.get("test") or dataset.val
    fit = Fit(SIZE, "nearest")
    train, other = (open_pixels(each, dataset.classes, fit) for each in (dataset.train, scored))
    return Data(train, other, "held out of trainval" if holdout else "the test part", dataset.classes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--plain", action="store_true", help="the article's recipe, whose score is to be kept"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3, help="of what isn't plain; plain has 0.001")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--images", type=int, default=EPOCHS * EPOCH_IMAGES, help="fewer are no record")
    parser.add_argument("--holdout", type=float, default=0.0, help="share of trainval to choose settings on")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--csv", type=Path, default=Path("speedrun.csv"))
    options = parser.parse_args()
    device, data = pick_device(options.device), open_data(options.data, options.holdout)
    variant = "plain" if options.plain else "fast"
    lr, compiled = (1e-3, False) if options.plain else (options.lr, options.compile)
    settings = Settings(options.batch_size, lr, compiled, options.images)
    machine = describe_machine(torch.get_num_threads(), device)
    print(machine.removeprefix("# "), flush=True)
    rows = []
    for seed in options.seeds:
        rows.append(run(variant, settings, data, device, seed))
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
        append(options.csv, rows[-1], machine)
    print(
        f"{variant}: {statistics.mean(row['seconds'] for row in rows):.2f} s, "
        f"mean IoU {statistics.mean(row['mean_iou'] for row in rows):.4f}, means of {len(rows)} runs"
    )


def append(path: Path, row: dict[str, Any], machine: str) -> None:
    """Add a row to a CSV, and before the first one a line about the machine and the names."""
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if is_new:
            file.write(machine + "\n")
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    main()
