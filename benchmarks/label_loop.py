"""Compare ways of picking images to label: random, uncertainty, and uncertainty with distance.

A pool of images without masks stands for a reader's photos, and their true masks play the corrector. Each way
picks the first ``--masks``, then by the model that was trained on these the next ones, and so on; all models
are scored on the same other images. Without a model ``uncertainty`` picks at random, so its first masks, and
its first model, are those of ``random``. Each training is a folder below ``--runs``: one that is done is only
read, one that was stopped goes on, and the table is written after each::

    python benchmarks/label_loop.py train synthetic --runs runs --csv label_loop.csv
    python benchmarks/label_loop.py train oxford-pets --data-root DATA_ROOT --runs runs --csv label_loop.csv
    python benchmarks/label_loop.py table --csv label_loop.csv

Two steps are for the page on labelling: ``draw`` writes drawn pets to ``FOLDER/photos`` and their masks to
``FOLDER/truth``, and ``correct`` plays the person who corrects outlines in LabelMe.

The encoder has learnt from ImageNet; nothing that has seen pets with masks is used. Real pets are scored on
the ``test`` list, which picks no epoch and no image.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from compact import read_rows, write_rows
from PIL import Image
from rich.console import Console

import segnet
from segnet.base.classes import ClassTable
from segnet.base.device import cpu_name
from segnet.data.pets import PET_CLASSES, PetSample
from segnet.data.synthetic import BACKGROUND, load_synthetic
from segnet.inference.annotations import AnnotationWriter
from segnet.inference.predict_files import Page, predict_files
from segnet.inference.segmentation import Segmentation
from segnet.labelling.picking import By, doubt, open_features, pick
from segnet.labelling.rounds import LAST, keep_last

WAYS: tuple[By, ...] = ("random", "uncertainty", "uncertainty+distance")
BATCH = 4  # of short trainings, which take equally many steps: what modern takes of 20 to 60 masks
KEY = ("data", "way", "masks", "seed", "steps", "size")


def write_pool(args: argparse.Namespace, seed: int, folder: Path) -> None:
    """Write the pool to ``all``, and what is scored to ``scored``, as images with masks."""
    if (folder / "dataset.yaml").exists():
        return
    if args.data == "synthetic":
        dataset = load_synthetic(seed=seed, train=args.pool, val=120)
        parts = {"all": dataset.train, "scored": dataset.val}
    else:
        options = segnet.DataOptions(data="oxford-pets", data_root=args.data_root, holdout=0.1)
        dataset = segnet.load_dataset(options)
        pool = random.Random(seed).sample([*dataset.train, *dataset.val], args.pool)
        parts = {"all": pool, "scored": dataset.test}
    for part, samples in parts.items():
        for kind in ("images", "masks"):
            (folder / part / kind).mkdir(parents=True, exist_ok=True)
        for sample in samples:
            image, mask = sample.read()
            suffix = ".jpg" if isinstance(sample, PetSample) else ".png"
            target = folder / part / "images" / f"{sample.name}{suffix}"
            if isinstance(sample, PetSample):
                shutil.copyfile(sample.image, target)
            else:
                image.save(target)
            Image.fromarray(mask).save(folder / part / "masks" / f"{sample.name}.png")
    text = json.dumps({"classes": list(PET_CLASSES.names)})
    (folder / "dataset.yaml").write_text(text)


def lay_out(names: list[str], pool: Path, folder: Path) -> None:
    """Link the named images with their masks into a folder to train on."""
    shutil.rmtree(folder, ignore_errors=True)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
        for file in (pool / "all" / kind).iterdir():
            if file.stem in names:
                (folder / kind / file.name).symlink_to(file.resolve())
    shutil.copyfile(pool / "dataset.yaml", folder / "dataset.yaml")


def train(names: list[str], seed: int, pool: Path, out: Path, args: argparse.Namespace) -> float:
    """Train on the named images, unless that is done; return the mean IoU on what is scored."""
    data = out.with_name(f"{out.name}.data")
    score = out.with_name(f"{out.name}.json")
    if score.exists():
        return float(json.loads(score.read_text())["mean_iou"])
    if not data.exists():
        lay_out(names, pool, data)
    console, started = Console(quiet=True), time.process_time()
    if (out / "last" / "state.pt").exists():
        segnet.resume(out, console=console)
    else:
        shutil.rmtree(out, ignore_errors=True)
        short = {"batch_size": BATCH, "epochs": max(1, round(args.steps * BATCH / len(names)))}
        config = segnet.TrainConfig(
            data=str(data),
            model="segnet-efficient",
            recipe="modern",
            holdout=0.01,
            seed=seed,
            out=out,
            size=(args.size, args.size),
            **(short if args.steps else {}),
        )
        segnet.train(config, console=console)
    scored = pool / "scored"
    shutil.copyfile(pool / "dataset.yaml", scored / "dataset.yaml")
    dataset = segnet.load_dataset(segnet.DataOptions(data=str(scored)))
    scores = segnet.evaluate(segnet.load(keep_last(out)), dataset, split="all")
    said = {"mean_iou": scores.mean_iou, "cpu_seconds": round(time.process_time() - started)}
    score.write_text(json.dumps(said))
    return float(scores.mean_iou or 0)


def next_names(way: By, names: list[str], count: int, model: Path | None, pool: Path, seed: int) -> list[str]:
    """Return the names with those that a way picks beside them."""
    files = {file.stem: file for file in sorted((pool / "all/images").iterdir())}
    cache = pool / "features.npy"
    if not cache.exists():
        encode, _ = open_features()
        np.save(cache, np.stack([encode(file) for file in files.values()]))
    features = dict(zip(files, np.load(cache), strict=True))
    left = [name for name in files if name not in names]
    uncertainty = None
    if model is not None and way != "random":
        pages = (Page(files[name], name) for name in left)
        with closing(predict_files(segnet.load(model / LAST), pages)) as found:
            uncertainty = np.array([doubt(result) for _, result in found])
    picked = pick(
        way,
        count - len(names),
        uncertainty=uncertainty,
        features=np.stack([features[name] for name in left]),
        known=np.array([features[name] for name in names]),
        seed=seed,
    )
    return names + [left[place] for place in picked]


def run_way(way: By, seed: int, args: argparse.Namespace) -> None:
    """Train at each number of masks as one way picks them, and write a row for each."""
    home = args.runs / f"{args.data}-{seed}"
    write_pool(args, seed, home / "pool")
    names: list[str] = []
    model = None
    for masks in [*args.masks, args.pool]:
        names = next_names(way, names, masks, model, home / "pool", seed)
        first = model is None and way != "uncertainty+distance"
        whole = masks == args.pool  # all ways have the same then
        model = home / f"{'all' if whole else 'random' if first else way}-{masks}-{args.steps}-{args.size}"
        score = train(sorted(names), seed, home / "pool", model, args)
        row = {"data": args.data, "way": way, "masks": masks, "seed": seed, "steps": args.steps or "modern"}
        row |= {"size": args.size, "mean_iou": round(score, 4), "machine": cpu_name()}
        rows = [*read_rows(args.csv)] if args.csv.exists() else []
        rows = [each for each in rows if any(str(each[key]) != str(row[key]) for key in KEY)] + [row]
        write_rows(args.csv, rows)
        print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)


def train_all(args: argparse.Namespace) -> None:
    """Train and score what isn't there yet."""
    torch.set_num_threads(1)
    args.runs.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        for way in args.ways:
            run_way(way, seed, args)
    table(args)


def table(args: argparse.Namespace) -> None:
    """Print mean IoU by masks and way, and how many masks each way needs for what random reaches."""
    rows = [*read_rows(args.csv)]
    for data in dict.fromkeys(row["data"] for row in rows):
        curves: dict[str, dict[int, float]] = {}
        for row in rows:
            if row["data"] == data:
                curves.setdefault(row["way"], {})
        for way in curves:
            of_way = [row for row in rows if row["data"] == data and row["way"] == way]
            for masks in sorted({int(row["masks"]) for row in of_way}):
                found = [float(row["mean_iou"]) for row in of_way if int(row["masks"]) == masks]
                curves[way][masks] = statistics.fmean(found)
        seeds = len({row["seed"] for row in rows if row["data"] == data})
        print(f"{data}, mean IoU in points, {seeds} seed{'s' * (seeds > 1)}")
        for way, curve in curves.items():
            print(f"  {way:22}", *(f"{masks:4}: {100 * score:5.1f}" for masks, score in curve.items()))
        for way, curve in curves.items():
            if way != "random" and "random" in curves:
                print(f"  {way}: {said_needed(curves['random'], curve)}")


def said_needed(random_curve: dict[int, float], curve: dict[int, float]) -> str:
    """Return what share of random's masks a way needs for the same score, at each of random's points."""
    best = np.maximum.accumulate([curve[masks] for masks in sorted(curve)])
    needed = []
    for masks, score in sorted(random_curve.items())[1:-1]:
        if best[0] >= score:
            needed.append(f"at most {min(curve) / masks:.2f} of random's {masks}")
        elif score <= best[-1]:
            at = float(np.interp(score, best, sorted(curve)))
            needed.append(f"{at / masks:.2f} of random's {masks}")
        else:
            needed.append(f"never what random has with {masks}")
    return ", ".join(needed)


def draw(args: argparse.Namespace) -> None:
    """Write photos of drawn pets, and their masks: 1 where the pet is, with its border."""
    for kind in ("photos", "truth"):
        (args.folder / kind).mkdir(parents=True, exist_ok=True)
    for sample in load_synthetic(seed=args.seed, train=args.photos, val=1).train:
        image, mask = sample.read()
        image.save(args.folder / "photos" / f"{sample.name}.png")
        Image.fromarray((mask != BACKGROUND).astype(np.uint8)).save(
            args.folder / "truth" / f"{sample.name}.png"
        )


def correct(args: argparse.Namespace) -> None:
    """Write the true outlines of each image that was given out to LabelMe's file beside it."""
    classes = ClassTable.named(("background", "pet"))
    writer = AnnotationWriter("labelme", args.given, classes)
    files = sorted(args.given.glob("*.png"))
    for file in files:
        truth = np.asarray(Image.open(args.truth / file.name))
        logits = (truth[None] == np.arange(2)[:, None, None]).astype(np.float32)
        writer.describe(Segmentation(Image.open(file), classes, logits), Page(file, file.stem))
    print(f"outlined the pets in {len(files)} images, as a person would with LabelMe in {args.given}")


def main() -> None:
    """Do a step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    steps = parser.add_subparsers(required=True, metavar="STEP")
    step = steps.add_parser("train", help="train and score, each way at each number of masks")
    step.add_argument("data", choices=("synthetic", "oxford-pets"))
    step.add_argument("--data-root", type=Path, help="of Oxford-IIIT Pet")
    step.add_argument("--runs", type=Path, required=True, help="where the run folders are kept")
    step.add_argument("--csv", type=Path, required=True)
    step.add_argument("--masks", type=int, nargs="+", default=[20, 40, 60, 100])
    step.add_argument("--pool", type=int, default=200, help="images to pick from; the last number of masks")
    step.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    step.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    step.add_argument(
        "--steps", type=int, default=0, help=f"of each training, in batches of {BATCH}; 0 = the recipe's"
    )
    step.add_argument("--size", type=int, default=128, help="pixels of the images, each way")
    step.set_defaults(run=train_all)
    step = steps.add_parser("draw", help="draw photos to try the label loop on")
    step.add_argument("folder", type=Path)
    step.add_argument("--photos", type=int, default=200)
    step.add_argument("--seed", type=int, default=0)
    step.set_defaults(run=draw)
    step = steps.add_parser("correct", help="outline the drawn pets in a folder that segnet label next wrote")
    step.add_argument("given", type=Path)
    step.add_argument("--truth", type=Path, required=True, help="the masks that draw wrote")
    step.set_defaults(run=correct)
    step = steps.add_parser("table", help="print the curves")
    step.add_argument("--csv", type=Path, required=True)
    step.set_defaults(run=table)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
