"""How well networks learn from few masks, and what images without masks bring beside them (``--unlabeled``).

Of Oxford-IIIT Pet's trainval part 30 % are held out to choose the best epoch; of the rest, or of that and
one more list, ``--labels`` images are drawn, the same for all networks and ways and another draw for each
seed. ``modern`` sets batches and epochs by their number, so both ways take as many steps, and the one with
``--unlabeled`` twice the time. The official test part is scored once, by the best epoch. A run is a folder
below ``--runs``: one that was stopped goes on, and one that is done is only read::

    python benchmarks/few_labels.py train DATA_ROOT --unlabeled DATA_ROOT/unlabeled --runs runs --csv few.csv
    python benchmarks/few_labels.py train DATA_ROOT --model segnet-efficient --runs runs --csv pretrained.csv
    python benchmarks/few_labels.py picture --csv few.csv --out few.png
"""

from __future__ import annotations

import argparse
import random
import statistics
from datetime import date
from pathlib import Path
from typing import Any

import torch
from compact import read_rows, write_rows
from rich.console import Console

import segnet
from segnet.base.device import cpu_name
from segnet.data.pets import PetSample
from segnet.runs.records import read_run

DESCRIPTION = """classes: [pet, background, border]
values: {1: pet, 2: background, 3: border}
"""


def lay_out(dataset: segnet.Dataset, labels: int, seed: int, folder: Path) -> None:
    """Make a folder of links to so many training images, and to all to validate and test on."""
    drawn = random.Random(seed).sample([*dataset.train, *dataset.extra], labels)
    for split, samples in {"train": drawn, "val": dataset.val, "test": dataset.test}.items():
        for part in ("images", "masks"):
            (folder / split / part).mkdir(parents=True)
        for sample in samples:
            assert isinstance(sample, PetSample)
            for part, file in (("images", sample.image), ("masks", sample.trimap)):
                (folder / split / part / f"{sample.name}{file.suffix}").symlink_to(file.resolve())
    (folder / "dataset.yaml").write_text(DESCRIPTION)


def train(seed: int, unlabeled: Path | None, data: Path, out: Path, args: argparse.Namespace) -> None:
    """Train, or go on where a run was stopped; one that is done stays as it is."""
    if out.exists():
        segnet.resume(out, console=Console(quiet=True))
        return
    config = segnet.TrainConfig(
        data=str(data),
        model=args.model,
        encoder_weights=args.encoder_weights,
        recipe="modern",
        loss=args.loss,
        seed=seed,
        unlabeled=unlabeled,
        out=out,
    )
    segnet.train(config, console=Console(quiet=True))


def row_of(labels: int, seed: int, way: str, out: Path) -> dict[str, Any]:
    """Return what a run that has ended says."""
    record = read_run(str(out))
    assert record.outcome is not None
    assert record.outcome.val is not None
    assert record.outcome.test is not None
    return {
        "model": record.config["model"],
        "encoder_weights": record.config.get("encoder_weights") or "",
        "loss": record.config["loss"],
        "labels": labels,
        "unlabeled": way,
        "seed": seed,
        "epochs": len(record.epochs),
        "batch_size": record.config["batch_size"],
        "best_epoch": record.outcome.best_epoch,
        "val_mean_iou": round(record.outcome.val.mean_iou, 4),
        "test_pixel_accuracy": round(record.outcome.test.pixel_accuracy, 4),
        "test_mean_iou": round(record.outcome.test.mean_iou, 4),
        "minutes": round(sum(each.seconds or 0 for each in record.epochs) / 60, 1),
        "date": date.today().isoformat(),
        "machine": cpu_name(),
    }


def train_all(args: argparse.Namespace) -> None:
    """Train what isn't trained yet, and write a row for each run."""
    torch.set_num_threads(1)
    options = segnet.DataOptions(
        data="oxford-pets", data_root=args.data_root, holdout=0.3, extra_list=args.extra_list
    )
    dataset = segnet.load_dataset(options)
    rows = [*read_rows(args.csv)] if args.csv.exists() else []
    name = "-".join(filter(None, (args.model, args.encoder_weights, args.loss)))
    ways = {"no": None} if args.unlabeled is None else {"no": None, "yes": args.unlabeled}
    there = len(dataset.train) + len(dataset.extra)
    for labels in [wanted or there for wanted in args.labels]:
        for seed in args.seeds:
            data = args.runs / f"data-{labels}-{seed}"
            if not data.exists():
                lay_out(dataset, labels, seed, data)
            for way, folder in ways.items():
                out = args.runs / f"{name}-{labels}-{way}-{seed}"
                train(seed, folder, data, out, args)
                new = row_of(labels, seed, way, out)
                same = ("model", "encoder_weights", "loss", "labels", "unlabeled", "seed")
                rows = [row for row in rows if any(str(row[key]) != str(new[key]) for key in same)] + [new]
                print(", ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
                write_rows(args.csv, rows)


def picture(args: argparse.Namespace) -> None:
    """Draw mean IoU over the number of masks: each run a dot, and lines through the medians."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.add_subplot()
    for way, label, colour in (
        ("no", "masks alone", "#8a8f98"),
        ("yes", "and images without masks", "#1b7a4b"),
    ):
        scores: dict[int, list[float]] = {}
        for row in read_rows(args.csv):
            if row["unlabeled"] == way:
                scores.setdefault(int(row["labels"]), []).append(100 * float(row["test_mean_iou"]))
        medians = [statistics.median(scores[labels]) for labels in sorted(scores)]
        axes.plot(sorted(scores), medians, color=colour, linewidth=1.5, label=label)
        dots = [(labels, score) for labels, found in scores.items() for score in found]
        axes.scatter(*zip(*dots, strict=True), s=22, color=colour, alpha=0.7)
    axes.set_xscale("log")
    axes.set_xticks(sorted(scores), [f"{labels:,}" for labels in sorted(scores)])
    axes.minorticks_off()
    axes.set_xlabel("images with masks, log scale")
    axes.set_ylabel("mean IoU in points, 411 test images")
    axes.grid(alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(args.out, dpi=150)


def main() -> None:
    """Do a step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    steps = parser.add_subparsers(required=True, metavar="STEP")
    step = steps.add_parser("train", help="train and score both ways")
    step.add_argument("data_root", type=Path)
    step.add_argument("--unlabeled", type=Path, help="a folder of images without masks, to learn from too")
    step.add_argument("--runs", type=Path, required=True, help="where the run folders are kept")
    step.add_argument("--csv", type=Path, required=True)
    step.add_argument("--labels", type=int, nargs="+", default=[65, 200], help="how many; 0 = all there are")
    step.add_argument("--extra-list", help="one more list of images to draw from")
    step.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    step.add_argument("--model", default="segnet-lite")
    step.add_argument("--encoder-weights", help="in place of the model's own; none = it starts from nothing")
    step.add_argument("--loss", help="in place of the recipe's")
    step.set_defaults(run=train_all)
    step = steps.add_parser("picture", help="draw mean IoU over the number of masks")
    step.add_argument("--csv", type=Path, required=True)
    step.add_argument("--out", type=Path, required=True)
    step.set_defaults(run=picture)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
