"""What patches find that whole images at a small size can't: posts of 8 px on drawn images of 1,024 px.

Trains segnet-lite on 20 drawn roads, squeezed to 128x128 and by patches of 128x128 at the images' own size,
and scores the masks that ``segnet predict`` gives for 8 other images, at the images' own size. One run each
for a seed; CSV to ``results/patches.csv``.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from drawn_road import CLASSES, write_roads

import segnet
from segnet.bench.machine import describe_machine

WAYS: dict[str, dict[str, Any]] = {
    "whole images at 128x128": {"size": (128, 128), "epochs": 60, "batch_size": 8},
    "patches of 128x128": {"patch": (128, 128), "epochs": 6, "batch_size": 32},
}


def intersection_over_union(segmenter: segnet.Segmenter, dataset: segnet.Dataset) -> dict[str, float]:
    """Return the IoU of each class over the pixels of all images, at the images' own size."""
    matrix = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    for sample in (*dataset.train, *dataset.val):
        image, truth = sample.read()
        found = segmenter.predict(image).mask
        matrix += np.bincount(truth.ravel() * len(CLASSES) + found.ravel(), minlength=matrix.size).reshape(
            matrix.shape
        )
    right = matrix.diagonal()
    return dict(zip(CLASSES, (right / (matrix.sum(0) + matrix.sum(1) - right)).tolist(), strict=True))


def main() -> None:
    """Draw, train, score and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--csv", type=Path, default=Path(__file__).parent / "results/patches.csv")
    args = parser.parse_args()
    machine, rows = describe_machine(torch.get_num_threads()), []
    with tempfile.TemporaryDirectory() as folder:
        data = write_roads(Path(folder, "road"), 20, seed=0)
        others = segnet.load_dataset(
            segnet.DataOptions(data=str(write_roads(Path(folder, "unseen"), 8, seed=1)), holdout=0.01)
        )
        for seed in range(args.seeds):
            for name, settings in WAYS.items():
                started = time.perf_counter()
                config = segnet.TrainConfig(
                    data=str(data), model="segnet-lite", recipe="modern", seed=seed, holdout=0.2,
                    out=Path(folder, f"{name} {seed}"), **settings,
                )  # fmt: skip
                run = segnet.train(config)
                seconds = time.perf_counter() - started
                iou = intersection_over_union(segnet.load(run.folder), others)
                scores = {each: round(value, 4) for each, value in iou.items()}
                rows.append({"way": name, "seed": seed, "train_s": round(seconds)} | scores)
                print(rows[-1], flush=True)
    with args.csv.open("w", newline="") as file:
        file.write(machine + "\n")
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
