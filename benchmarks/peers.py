"""Train networks that people would take instead, and shapes under trial, all alike, and score them.

Every network starts from fresh weights and gets the same images, recipe and epochs. 30 % of trainval are held
out, and the best epoch is chosen on them; the official test split, which a run scores once at its end, is
written beside, and no setting is chosen by it. A run is a folder below ``--runs``: one that was stopped goes
on, and one that is done is only read. Its ``metrics.csv`` is kept beside the CSV.

The peers are those of segmentation-models-pytorch, which is not a dependency: install it into an environment
of its own. They expect normalised images, so a batch norm stands before them, as in our models::

    pip install segmentation-models-pytorch==0.6.0
    python benchmarks/peers.py DATA_ROOT --runs runs/peers --csv peers.csv
    python benchmarks/peers.py DATA_ROOT --runs runs/peers --csv peers.csv --networks half --seeds 1 2
"""

from __future__ import annotations

import argparse
import csv
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from half_resolution import HalfResolution
from torch import nn

import segnet
from segnet.bench.machine import describe_machine
from segnet.models.describe import count_macs, count_parameters
from segnet.runs.records import read_run

NARROW = ((32, 1), (96, 2), (256, 2))


def peer(architecture: str, encoder: str) -> nn.Module:
    """Build a network of segmentation-models-pytorch with fresh weights."""
    import segmentation_models_pytorch as smp

    network = getattr(smp, architecture)(encoder, encoder_weights=None, classes=3)
    return nn.Sequential(nn.BatchNorm2d(3), network)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "segnet-lite": partial(segnet.create_model, "segnet-lite"),
    "half": HalfResolution,
    "half-features": partial(HalfResolution, features=True),
    "half-narrow-features": partial(HalfResolution, NARROW, (320, 8, 5), features=True),
    "deeplabv3plus-mobilenet-v2": partial(peer, "DeepLabV3Plus", "mobilenet_v2"),
    "segformer-mit-b0": partial(peer, "Segformer", "mit_b0"),
    "unet-mobilenet-v2": partial(peer, "Unet", "mobilenet_v2"),
    "unet-resnet18": partial(peer, "Unet", "resnet18"),
    "unet-mobilenet-v3-small": partial(peer, "Unet", "timm-mobilenetv3_small_minimal_100"),
}


def train(name: str, seed: int, folder: Path, data_root: Path, settings: dict[str, Any]) -> None:
    """Train a network, or go on where its run was stopped."""
    torch.manual_seed(seed)
    model = NETWORKS[name]()
    if folder.exists():
        segnet.resume(folder, model=model)
        return
    config = segnet.TrainConfig(
        data="oxford-pets",
        data_root=data_root,
        extra_list="trainval_extra.txt",
        holdout=0.3,
        recipe="modern",
        ema_decay=0.995,
        seed=seed,
        out=folder,
        **settings,
    )
    segnet.train(config, model=model)


def row_of(name: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return what a run that has ended says."""
    record = read_run(str(folder))
    assert record.outcome is not None
    model = NETWORKS[name]()
    row: dict[str, Any] = {
        "network": name,
        "seed": seed,
        "epochs": len(record.epochs),
        "lr": record.config["lr"],
        "parameters": count_parameters(model),
        "macs": count_macs(model),
        "best_epoch": record.outcome.best_epoch,
        "minutes": round(sum(each.seconds or 0 for each in record.epochs) / 60, 1),
    }
    for split, scores in (("val", record.outcome.val), ("test", record.outcome.test)):
        row[f"{split}_images"] = scores.scored_on.images
        row[f"{split}_pixel_accuracy"] = round(scores.pixel_accuracy, 4)
        row[f"{split}_mean_iou"] = round(scores.mean_iou, 4)
        row[f"{split}_border_iou"] = round(scores.per_class["border"].iou, 4)
    return row


def main() -> None:
    """Train and write down."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--runs", type=Path, required=True, help="where the run folders are kept")
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=[*NETWORKS], metavar="NETWORK")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--lr", type=float, help="in place of the recipe's")
    args = parser.parse_args()
    settings = {"epochs": args.epochs} | ({} if args.lr is None else {"lr": args.lr})
    suffix = "" if args.lr is None else f"-lr{args.lr:g}"
    rows: list[dict[str, Any]] = []
    if args.csv.exists():
        lines = [line for line in args.csv.read_text().splitlines() if not line.startswith("#")]
        rows = [*csv.DictReader(lines)]
    logs = args.csv.with_suffix("")
    logs.mkdir(exist_ok=True)
    for seed in args.seeds:
        for name in args.networks:
            folder = args.runs / f"{name}{suffix}-{seed}"
            if not (folder / "scores.json").exists():
                train(name, seed, folder, args.data_root, settings)
            shutil.copy(folder / "metrics.csv", logs / f"{folder.name}.csv")
            new = row_of(name, seed, folder)
            same = ("network", "seed", "epochs", "lr")
            rows = [row for row in rows if any(str(row[key]) != str(new[key]) for key in same)] + [new]
            with args.csv.open("w", newline="") as file:
                file.write(describe_machine(torch.get_num_threads()) + "\n")
                writer = csv.DictWriter(file, [*new], lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
            print(f"{folder.name}: held-out mean IoU {new['val_mean_iou']}", flush=True)


if __name__ == "__main__":
    main()
