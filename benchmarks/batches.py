r"""Which batches and epochs suit some hundreds of images: the same training with several of both.

``--settings 32x60 16x60`` are batches of 32 and of 16 for 60 epochs. Of a data set's training part some
``--images`` are drawn, another draw for each seed, the same for all settings. The validation part picks the
best epoch and scores it, so the scores choose a setting and are no test::

    python benchmarks/batches.py FOLDER --images 367 --settings 32x60 16x60 --csv batches.csv
    python benchmarks/batches.py oxford-pets --data-root DATA_ROOT --holdout 0.28 --images 407 \
        --settings 32x60 16x60
"""

from __future__ import annotations

import argparse
import csv
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from segnet import DataOptions, TrainConfig, load_dataset, train
from segnet.bench.machine import describe_machine
from segnet.data.dataset import Dataset

COLUMNS = ("data", "images", "seed", "batch_size", "epochs", "steps", "mean_iou", "best_epoch", "seconds")


def lay_out(dataset: Dataset, images: int, seed: int, folder: Path) -> Path:
    """Make a folder of links to so many training images, and to all to validate on."""
    drawn = random.Random(seed).sample(list(dataset.train), images)
    for split, samples in {"train": drawn, "val": dataset.val}.items():
        for part in ("images", "masks"):
            (folder / split / part).mkdir(parents=True)
        for sample in samples:
            mask = getattr(sample, "trimap", None) or sample.mask  # type: ignore[attr-defined]
            image: Path = sample.image  # type: ignore[attr-defined]
            for part, file in (("images", image), ("masks", mask)):
                link = folder / split / part / f"{image.stem}{file.suffix}"
                link.symlink_to(file.resolve())
    return folder


def describe(options: DataOptions) -> str:
    """Return the ``dataset.yaml`` of the folder of links."""
    if options.source == "oxford-pets":
        return "classes: [pet, background, border]\nvalues: {1: pet, 2: background, 3: border}\n"
    return (Path(options.data) / "dataset.yaml").read_text()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--holdout", type=float, default=0.0)
    parser.add_argument("--images", type=int, nargs="+", required=True)
    parser.add_argument("--settings", nargs="+", required=True, help="BATCHxEPOCHS")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--model", default="segnet-nano")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--csv", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    options = DataOptions(data=args.data, data_root=args.data_root, holdout=args.holdout)
    dataset = load_dataset(options)
    print(f"{len(dataset.train)} training and {len(dataset.val)} validation images", flush=True)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as place:
        for images in args.images:
            for seed in args.seeds:
                data = lay_out(dataset, images, seed, Path(place) / f"{images}-{seed}")
                (data / "dataset.yaml").write_text(describe(options))
                fixed = {"data": str(data), "model": args.model, "size": args.size, "seed": seed}
                for setting in args.settings:
                    batch_size, epochs = map(int, setting.split("x"))
                    started = time.process_time()
                    # given at once: a copy with the recipe's own 32 would leave the batch undecided
                    chosen: dict[str, Any] = {**fixed, "batch_size": batch_size, "epochs": epochs}
                    config = TrainConfig(recipe="modern", out=data / setting, **chosen)
                    run = train(config, console=Console(quiet=True))
                    assert (run.config.batch_size, run.config.epochs) == (batch_size, epochs)
                    assert run.val is not None
                    row = {
                        "data": dataset.name if args.data == "oxford-pets" else Path(args.data).name,
                        "images": images,
                        "seed": seed,
                        "batch_size": batch_size,
                        "epochs": epochs,
                        "steps": epochs * -(-images // batch_size),
                        "mean_iou": round(run.val.mean_iou or 0.0, 4),
                        "best_epoch": run.best_epoch,
                        "seconds": round(time.process_time() - started, 1),
                    }
                    rows.append(row)
                    print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    if args.csv:
        with args.csv.open("w", newline="") as file:
            file.write(describe_machine(1) + "\n")
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
