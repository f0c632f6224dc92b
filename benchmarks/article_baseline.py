"""Compare training the article's SegNet the article's way with training it through segnet's own pieces.

Both train 15,274,892 parameters with Adam at 1e-3 on trainval at 128x128, with one batch size and number of
threads; the timed blocks include reading and augmenting. Each side has a process of its own, since allocator
and OpenMP settings are a process's; blocks alternate and the other sides sleep meanwhile. Usage::

    python benchmarks/article_baseline.py DATA_ROOT --csv article_baseline.csv

- ``article``: stock PyTorch, as in the notebook of Part 2. NCHW, float32, int64 indices; for each image and
  epoch, JPEG and trimap are opened, made tensors, resized by nearest, flipped and given their contrast
  (torchvision's formula) one by one, in a DataLoader without worker processes. Where the article leaves
  room the quicker way is taken: ReLU in place, trimaps that stay uint8 until they are small.
- ``segnet``: a step of ``segnet train``. Images decoded and resized once into a memory-mapped cache, batches
  read ahead and augmented whole, channels-last, freed memory kept, a short spin for waiting OpenMP threads;
  in float32 and in the precision that ``auto`` picks. Building the cache isn't in the blocks, but its time
  is printed.

Neither side validates, draws or saves. Use an idle machine: beside other work the article's side also loses
to its own spinning threads (cpu_settings.py measures that). Small JPEGs favour the article's side, so their
median size is printed. That both sides learn can be seen from the losses. Freed memory stays with a process
while it sleeps: on a CPU at batch 64 allow about 16 GB in all, or give one ``--precision`` at a time.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from cpu_settings import describe_rates, start_process
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

from segnet.bench.machine import describe_machine

TRAINVAL_IMAGES = 3680  # of the full dataset; epochs are quoted for it
SIZE = (128, 128)

Batches = Callable[[int], Iterable[tuple[Tensor, Tensor]]]  # so many batches of images and masks
Loss = Callable[[Tensor, Tensor], Tensor]


class Side(NamedTuple):
    """What one process trains, and how."""

    variant: str
    data_root: Path
    cache: Path
    batch_size: int
    workers: int
    threads: int
    device: str


def conv_unit(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
    )


class ArticleSegNet(nn.Module):
    """The network of Part 2, from stock layers."""

    ENCODER = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512))
    DECODER = ((512, 512, 512, 256), (256, 256, 256, 128), (128, 128, 64), (64, 64, 3))

    def __init__(self) -> None:
        super().__init__()
        self.bn_input = nn.BatchNorm2d(3)
        self.encoder, self.decoder = (
            nn.ModuleList(
                nn.Sequential(*(conv_unit(*pair) for pair in itertools.pairwise(stage))) for stage in half
            )
            for half in (self.ENCODER, self.DECODER)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``(N, 3, H, W)`` of images in [0, 1]."""
        x = self.bn_input(x)
        kept = []
        for stage in self.encoder:
            x = stage(x)
            size = x.shape[-2:]
            x, indices = F.max_pool2d(x, 2, return_indices=True)
            kept.append((indices, size))
        for stage in self.decoder:
            indices, size = kept.pop()
            x = stage(F.max_unpool2d(x, indices, [2, 2], output_size=size))
        return x


class ArticlePets(Dataset[tuple[Tensor, Tensor]]):
    """Oxford-IIIT Pet as the article reads it: both files opened anew for each image of each epoch."""

    def __init__(self, root: Path) -> None:
        lines = (root / "annotations/trainval.txt").read_text().splitlines()
        self.names = [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
        self.root = root

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        with Image.open(self.root / "images" / f"{self.names[index]}.jpg") as file:
            pixels = torch.from_numpy(np.array(file.convert("RGB")))
        with Image.open(self.root / "annotations/trimaps" / f"{self.names[index]}.png") as file:
            trimap = torch.from_numpy(np.array(file))
        image = pixels.permute(2, 0, 1).contiguous().float() / 255  # at full size, as torchvision's ToTensor
        image = F.interpolate(image[None], SIZE, mode="nearest")[0]
        trimap = F.interpolate(trimap[None, None], SIZE, mode="nearest")[0, 0]
        if torch.rand(()) < 0.5:
            image, trimap = image.flip(-1), trimap.flip(-1)
        factor = torch.empty(()).uniform_(0.7, 1.3)
        grey = 0.2989 * image[0] + 0.587 * image[1] + 0.114 * image[2]
        image = (factor * image + (1 - factor) * grey.mean()).clamp(0, 1)
        return image, trimap.long() - 1


def article(side: Side) -> tuple[Batches, Loss, torch.optim.Optimizer]:
    """Set the article's training up, in stock PyTorch."""
    device, dataset = torch.device(side.device), ArticlePets(side.data_root)
    model = ArticleSegNet().to(device).train()
    print(f"{side.variant}: {sum(p.numel() for p in model.parameters()):,} parameters", flush=True)

    def batches(steps: int) -> Iterable[tuple[Tensor, Tensor]]:
        # the order of shuffle=True, cut or repeated to the length of a block
        order = RandomSampler(dataset, num_samples=steps * side.batch_size)
        return DataLoader(dataset, side.batch_size, sampler=order, num_workers=side.workers)

    def loss(images: Tensor, masks: Tensor) -> Tensor:
        return F.cross_entropy(model(images.to(device)), masks.to(device))

    return batches, loss, torch.optim.Adam(model.parameters(), lr=1e-3)


def ours(side: Side) -> tuple[Batches, Loss, torch.optim.Optimizer]:
    """Set segnet's training up, from the pieces that its loop is made of."""
    # here, so that the other process stays free of them
    from segnet.base.device import autocast, keep_freed_memory
    from segnet.data.augment import Augmentation
    from segnet.data.sources import load_dataset
    from segnet.data.store.batches import load_batches, shuffled_order, split_into_batches
    from segnet.data.store.fit_to_size import Fit
    from segnet.data.store.open_split import open_pixels
    from segnet.models import create_model
    from segnet.models.inspection.costs import count_parameters
    from segnet.training.configuration.config import TrainConfig
    from segnet.training.losses.losses import cross_entropy
    from segnet.training.optimizer import build_optimizer

    keep_freed_memory()
    config = TrainConfig(data_root=side.data_root, batch_size=side.batch_size, size=SIZE)
    device, dataset, precision = torch.device(side.device), load_dataset(config), side.variant.split()[1]
    started = time.perf_counter()
    os.environ["SEGNET_CACHE"] = str(side.cache / precision)
    split = open_pixels(dataset.train, dataset.classes, Fit(SIZE, config.resize))
    cached_s = time.perf_counter() - started
    model = create_model("segnet", len(dataset.classes)).train()
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    augment = Augmentation(flip=config.flip, contrast=config.contrast)
    seeds = itertools.count()
    print(
        f"{side.variant}: {count_parameters(model):,} parameters, cache built in {cached_s:.1f} s", flush=True
    )

    def batches(steps: int) -> Iterable[tuple[Tensor, Tensor]]:
        order: list[int] = []
        while len(order) < steps * side.batch_size:
            order += shuffled_order(len(split), next(seeds))
        order = order[: steps * side.batch_size]
        return load_batches(split.take, split_into_batches(order, side.batch_size), device)

    def loss(images: Tensor, masks: Tensor) -> Tensor:
        images, masks = augment(images, masks, SIZE, next(seeds))
        with autocast(device, precision):
            logits = model(images)
        return cross_entropy(logits, masks)

    return batches, loss, build_optimizer(model, config)


@cache  # by a process's first block, then kept: a process has one side
def set_up(side: Side) -> tuple[Batches, Loss, torch.optim.Optimizer]:
    torch.set_num_threads(side.threads)
    torch.manual_seed(0)
    return ours(side) if side.variant.startswith("segnet") else article(side)


def train_block(side: Side, steps: int) -> tuple[float, float, float]:
    """Train for some steps; return images per second, the mean loss and the peak memory in MiB."""
    batches, compute_loss, optimizer = set_up(side)
    total = torch.zeros((), device=side.device)
    started = time.perf_counter()
    for images, masks in batches(steps):
        loss = compute_loss(images, masks)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.detach()
    mean = float(total) / steps
    if side.device != "cpu":
        torch.accelerator.synchronize()
    seconds = time.perf_counter() - started
    return steps * side.batch_size / seconds, mean, peak_memory_mib(side.device)


def peak_memory_mib(device: str) -> float:
    """Return the most memory so far: the GPU's as torch counts it, elsewhere the process's resident set."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def median_megapixels(data_root: Path) -> float:
    """Return the median size of the training images, which decides what decoding them costs."""
    sizes = []
    for name in ArticlePets(data_root).names:
        with Image.open(data_root / "images" / f"{name}.jpg") as image:
            sizes.append(image.width * image.height / 1e6)
    return statistics.median(sizes)


def main() -> None:
    from segnet.base.device import has_fast_bfloat16, pick_device

    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data_root", type=Path, help="folder that holds images/ and annotations/")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=10, help="steps in a block")
    parser.add_argument("--blocks", type=int, default=3, help="blocks of each side")
    parser.add_argument("--workers", type=int, default=0, help="processes of the article's DataLoader")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--precision", nargs="+", default=["float32", "auto"], choices=("float32", "bfloat16", "auto")
    )
    parser.add_argument("--csv", type=Path, default=Path("article_baseline.csv"))
    arguments = parser.parse_args()

    device = pick_device(arguments.device)
    auto = "bfloat16" if has_fast_bfloat16(device) else "float32"
    precisions = dict.fromkeys(auto if name == "auto" else name for name in arguments.precision)
    variants = ["article float32", *(f"segnet {name}" for name in precisions)]
    machine = (
        f"{describe_machine(arguments.threads, device)}, {device}, batch {arguments.batch_size}, "
        f"images of {median_megapixels(arguments.data_root):.2f} megapixels"
    )
    print(machine)
    shared = {name: getattr(arguments, name) for name in ("batch_size", "workers", "threads")}
    shared["device"] = str(device)
    rates: dict[str, list[float]] = {name: [] for name in variants}
    peaks: dict[str, float] = {}
    with ExitStack() as stack, arguments.csv.open("w", newline="") as file:
        cached = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        file.write(machine + "\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["variant", "block", "images_per_second"])
        tasks = {}
        for name in variants:
            process = start_process(stack, short_spin=name.startswith("segnet"))
            side = Side(name, arguments.data_root, cached, **shared)
            process.submit(train_block, side, 2).result()  # warms up
            tasks[name] = (process, side)
        for block in range(1, arguments.blocks + 1):
            for name, (process, side) in tasks.items():
                rate, loss, peaks[name] = process.submit(train_block, side, arguments.steps).result()
                rates[name].append(rate)
                writer.writerow([name, block, f"{rate:.3f}"])
                file.flush()
                print(f"block {block}  {name:16} {rate:8.2f} img/s  loss {loss:.3f}", flush=True)
    print(f"\nmedian, its ratio (and block by block), an epoch of {TRAINVAL_IMAGES:,} images, peak memory")
    for name, values in rates.items():
        line = describe_rates(values, rates["article float32"])
        epoch_s = TRAINVAL_IMAGES / statistics.median(values)
        print(f"{name:16} {line}  {epoch_s:7.1f} s  {peaks[name]:6.0f} MiB")


if __name__ == "__main__":
    main()
