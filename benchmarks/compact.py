"""The compact family beside the networks that people would take instead: scores, latency and a picture.

``train`` gives every network fresh weights and the same images, recipe and epochs. 30 % of trainval are held
out, and the best epoch is chosen on them; the official test split, which a run scores once at its end, is
written beside, and no setting is chosen by it. A run is a folder below ``--runs``: one that was stopped goes
on, and one that is done is only read. Its ``metrics.csv`` is kept in a folder beside the CSV, whose rows say
on which machine they were made.

``latency`` measures all networks with fresh weights in one run: a 128x128 image in ONNX Runtime, OpenVINO and
eager PyTorch, and a training step.

The peers are those of segmentation-models-pytorch, which is not a dependency: install it into an environment
of its own. They expect normalised images, so a batch norm stands before them, as in our models::

    pip install segmentation-models-pytorch==0.6.0
    python benchmarks/compact.py train DATA_ROOT --runs runs/compact --csv compact.csv --seeds 0 1 2
    python benchmarks/compact.py latency --csv compact_latency.csv
    python benchmarks/compact.py picture --scores compact.csv --latency compact_latency.csv --out compact.png
"""

from __future__ import annotations

import argparse
import csv
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

import segnet
from segnet.base.device import cpu_name, move
from segnet.bench.entries import export_by_torch
from segnet.bench.latency import compare_models
from segnet.bench.machine import describe_machine
from segnet.models.compact import WIDTHS
from segnet.models.inspection.costs import count_macs, count_parameters
from segnet.runs.records import read_run

SIDE_PX = 128
EPOCHS = 24
LOSS = "cross-entropy+dice"  # what ``modern`` takes of this data; until 2026-11-28 it was cross-entropy alone
TRAIN_BATCH, TRAIN_STEPS = 32, 7


def peer(architecture: str, encoder: str) -> nn.Module:
    """Build a network of segmentation-models-pytorch with fresh weights."""
    import segmentation_models_pytorch as smp

    network = getattr(smp, architecture)(encoder, encoder_weights=None, classes=3)
    return nn.Sequential(nn.BatchNorm2d(3), network)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    **{name: partial(segnet.create_model, name) for name in WIDTHS},
    "deeplabv3plus-mobilenet-v2": partial(peer, "DeepLabV3Plus", "mobilenet_v2"),
    "segformer-mit-b0": partial(peer, "Segformer", "mit_b0"),
    "unet-mobilenet-v2": partial(peer, "Unet", "mobilenet_v2"),
    "unet-resnet18": partial(peer, "Unet", "resnet18"),
    "unet-mobilenet-v3-small": partial(peer, "Unet", "timm-mobilenetv3_small_minimal_100"),
}


def train(args: argparse.Namespace) -> None:
    """Train what isn't trained yet and write all scores."""
    settings = {"epochs": args.epochs, "loss": args.loss} | ({} if args.lr is None else {"lr": args.lr})
    suffix = "" if args.loss == "cross-entropy" else f"-{args.loss.removeprefix('cross-entropy+')}"
    suffix += "" if args.lr is None else f"-lr{args.lr:g}"
    suffix += "" if args.epochs == EPOCHS else f"-{args.epochs}-epochs"
    rows = [*read_rows(args.csv)] if args.csv.exists() else []
    logs = args.csv.with_suffix("")
    logs.mkdir(exist_ok=True)
    for seed in args.seeds:
        for name in args.networks:
            folder = args.runs / f"{name}{suffix}-{seed}"
            if not (folder / "report.html").exists():  # what a run writes last
                train_one(name, seed, folder, args.data_root, settings)
            shutil.copy(folder / "metrics.csv", logs / f"{folder.name}.csv")
            new = row_of(name, seed, folder)
            same = ("network", "seed", "epochs", "lr", "loss")
            rows = [row for row in rows if any(str(row[key]) != str(new[key]) for key in same)] + [new]
            write_rows(args.csv, rows)
            print(f"{folder.name}: held-out mean IoU {new['val_mean_iou']}", flush=True)


def train_one(name: str, seed: int, folder: Path, data_root: Path, settings: dict[str, Any]) -> None:
    """Train a network, or go on where its run was stopped."""
    torch.manual_seed(seed)
    ours = name in WIDTHS
    model = None if ours else NETWORKS[name]()
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
        **({"model": name} if ours else {}),
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
        "loss": record.config["loss"],
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
    return row | {"date": date.today().isoformat(), "machine": cpu_name()}


def latency(args: argparse.Namespace) -> None:
    """Measure every network in every runtime, and a training step."""
    torch.set_num_threads(args.threads)
    models = {name: build() for name, build in NETWORKS.items()}
    times = {name: torch_times(model, args.repeats) for name, model in models.items()}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name, model in models.items():
            if name not in WIDTHS:
                files[name] = Path(folder) / f"{name}.onnx"
                # as its users do, for images of one size
                example = torch.zeros(1, 3, SIDE_PX, SIDE_PX)
                export_by_torch(model.eval(), example, files[name], any_batch=False)
        measured = compare_models(
            [*WIDTHS],
            beside=[*files.values()],
            runtimes=("onnxruntime", "openvino"),
            size=(SIDE_PX, SIDE_PX),
            batch_sizes=(1,),
            threads=args.threads,
            repeats=args.repeats,
            stock=False,
        )
    for name, model in models.items():
        row: dict[str, Any] = {
            "network": name,
            "parameters": count_parameters(model),
            "macs": count_macs(model),
        }
        for each in measured:
            if Path(each.side.model).stem == name:
                row[f"{each.side.runtime}_fastest_ms"] = round(each.fastest_ms, 3)
                row[f"{each.side.runtime}_median_ms"] = round(each.median_ms, 3)
        rows.append(row | times[name])
    write_rows(args.csv, rows, describe_machine(args.threads))


def torch_times(model: nn.Module, repeats: int) -> dict[str, float]:
    """Return the time of an image in eager PyTorch, and how many images a second train."""
    image = torch.rand(1, 3, SIDE_PX, SIDE_PX)
    model.eval()
    seconds = []
    with torch.inference_mode():
        for _ in range(3 * repeats):
            start = time.perf_counter()
            model(image)
            seconds.append(time.perf_counter() - start)
    model.train()
    images = torch.rand(TRAIN_BATCH, 3, SIDE_PX, SIDE_PX).contiguous(memory_format=torch.channels_last)
    masks = torch.randint(3, (TRAIN_BATCH, SIDE_PX, SIDE_PX))
    move(model, images.device)
    optimizer = torch.optim.AdamW(model.parameters())
    steps = []
    for _ in range(TRAIN_STEPS):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(images)
        F.cross_entropy(logits.float(), masks).backward()
        optimizer.step()
        optimizer.zero_grad()
        steps.append(time.perf_counter() - start)
    return {
        "torch_fastest_ms": round(1000 * min(seconds), 3),
        "torch_median_ms": round(1000 * statistics.median(seconds), 3),
        "training_images_a_second": round(TRAIN_BATCH / statistics.median(steps[2:]), 1),
    }


def picture(args: argparse.Namespace) -> None:
    """Draw mean IoU over latency: each network's mean over its seeds, and the seeds' range."""
    from matplotlib.figure import Figure

    times = {row["network"]: float(row["onnxruntime_fastest_ms"]) for row in read_rows(args.latency)}
    scores: dict[str, list[float]] = {}
    for row in read_rows(args.scores):
        told = (row["lr"], row["epochs"], row["loss"])
        if row["network"] in times and told == ("0.004", str(EPOCHS), LOSS):
            scores.setdefault(row["network"], []).append(100 * float(row["test_mean_iou"]))
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for ours, colour in ((True, "#1b7a4b"), (False, "#8a8f98")):
        names = sorted((name for name in scores if (name in WIDTHS) == ours), key=times.__getitem__)
        x = [times[name] for name in names]
        y = [statistics.mean(scores[name]) for name in names]
        spread = [
            [mean - min(scores[name]) for name, mean in zip(names, y, strict=True)],
            [max(scores[name]) - mean for name, mean in zip(names, y, strict=True)],
        ]
        axes.errorbar(x, y, spread, fmt="o", markersize=8, color=colour, capsize=3, elinewidth=1)
        if ours:
            axes.plot(x, y, color=colour, linewidth=1, alpha=0.5)
        for place, (name, right, up) in enumerate(zip(names, x, y, strict=True)):
            offset = (7, -13 if ours or place % 2 else 5)  # of two that are level one is below
            axes.annotate(name, (right, up), offset, textcoords="offset points", fontsize=8.5, color=colour)
    axes.set_xscale("log")
    ticks = [1, 2, 4, 8, 16, 32]
    axes.set_xticks(ticks, [f"{tick} ms" for tick in ticks])
    axes.minorticks_off()
    axes.margins(x=0.2, y=0.12)
    axes.set_xlabel("latency of a 128x128 image in ONNX Runtime, log scale; left is better")
    axes.set_ylabel("mean IoU in points, 411 test images")
    axes.grid(alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(args.out, dpi=150)


def read_rows(path: Path) -> Iterable[dict[str, Any]]:
    """Yield the rows of a CSV of ours."""
    return csv.DictReader(line for line in path.read_text().splitlines() if not line.startswith("#"))


def write_rows(path: Path, rows: list[dict[str, Any]], machine: str = "") -> None:
    """Write rows with the columns of the last."""
    with path.open("w", newline="") as file:
        file.write(f"{machine}\n" if machine else "")
        writer = csv.DictWriter(file, [*rows[-1]], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Do a step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    steps = parser.add_subparsers(required=True, metavar="STEP")
    step = steps.add_parser("train", help="train and score all networks alike")
    step.add_argument("data_root", type=Path)
    step.add_argument("--runs", type=Path, required=True, help="where the run folders are kept")
    step.add_argument("--csv", type=Path, required=True)
    step.add_argument("--networks", nargs="+", choices=NETWORKS, default=[*NETWORKS], metavar="NETWORK")
    step.add_argument("--seeds", nargs="+", type=int, default=[0])
    step.add_argument("--epochs", type=int, default=EPOCHS)
    step.add_argument("--lr", type=float, help="in place of the recipe's")
    step.add_argument("--loss", default=LOSS)
    step.set_defaults(run=train)
    step = steps.add_parser("latency", help="measure all networks in every runtime")
    step.add_argument("--csv", type=Path, required=True)
    step.add_argument("--threads", type=int, default=2)
    step.add_argument("--repeats", type=int, default=30)
    step.set_defaults(run=latency)
    step = steps.add_parser("picture", help="draw mean IoU over latency")
    step.add_argument("--scores", type=Path, required=True)
    step.add_argument("--latency", type=Path, required=True)
    step.add_argument("--out", type=Path, required=True)
    step.set_defaults(run=picture)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
