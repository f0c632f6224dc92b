"""What each image's own scores cost: outlines, bands, calibration and counts, beside one confusion matrix.

As many drawn masks as Oxford-IIIT Pet has test images, at 128x128 in three classes, with predictions that are
the truth moved and blurred; batches of 32, the two ways in turn, and nothing is predicted.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch.nn import functional as F

from segnet import ClassTable
from segnet.runs.identity import ImageRecord
from segnet.scoring.image_metrics import ImageCounter
from segnet.scoring.metrics import ScoreCounter

CLASSES = ClassTable.named(("pet", "background", "border"))
CPU = torch.device("cpu")
BATCH = 32


def draw(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits and masks of one batch: patches, and what a fair model might say of them."""
    random = torch.Generator().manual_seed(0)
    coarse = F.interpolate(torch.rand(BATCH, 3, 10, 10, generator=random), (size, size), mode="bilinear")
    mask = coarse.argmax(1)
    logits = 20 * (coarse.roll(1, 3) - 0.5) + torch.randn(coarse.shape, generator=random)
    return logits, mask.to(torch.uint8)


def seconds(images: int, size: int, *, each: bool) -> float:
    """Return how long scoring takes, with each image's own scores or without."""
    logits, mask = draw(size)
    records = [ImageRecord(str(i), (bytes(8),), b"") for i in range(images + BATCH)]
    scores, counter = ScoreCounter(CLASSES, CPU), ImageCounter(len(CLASSES), "test", records, CPU)
    started = time.perf_counter()
    for _ in range(0, images, BATCH):
        scores.add(logits, mask)
        if each:
            counter.add(logits, mask)
    found = scores.scores()
    if each:
        counter.add_to(found)
    return time.perf_counter() - started


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3669)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    seconds(BATCH, options.size, each=True)
    runs = [
        [seconds(options.images, options.size, each=each) for each in (False, True)]
        for _ in range(options.repeats)
    ]
    alone, both = (statistics.median(column) for column in zip(*runs, strict=True))
    print(f"{options.images} images of {options.size}x{options.size}, {torch.get_num_threads()} threads")
    print(f"confusion matrix and loss alone     {alone:.1f} s")
    print(f"with each image's own scores        {both:.1f} s ({both / alone:.2f} times)")


if __name__ == "__main__":
    main()
