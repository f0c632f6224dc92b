"""Everything that is measured on a GPU, in steps of a few minutes: what works, how fast, how well it learns.

Each step ends by itself and leaves ``NAME.json`` in ``--results`` with what it found, GPU, driver, versions,
command and time; one that failed says so there. A step that is done isn't done again, one that was cut off
goes on. So they can be run one by one where a GPU is at hand for a while::

    python benchmarks/gpu.py pack ../shared/oxford-pets packed  # where the photographs are
    python benchmarks/gpu.py equal pooling epochs --data packed --results gpu --minutes 8
    python benchmarks/gpu.py recipes --data packed --results gpu --minutes 8  # again until it is done

- ``equal``: the tests of pooling, kernels, recomputed maps and the training loop, all on the GPU.
- ``pooling``: pool and un-pool beside stock at batch 64, and the training memory of the article's model.
- ``same``: whether two runs have the same bytes, as they are and with PyTorch's deterministic algorithms.
- ``epochs``: epochs of 3,680 images by ``segnet train``, in float32 and bfloat16, compiled and not.
- ``baseline``: ``article_baseline.py`` on the photographs named by ``--photographs``.
- ``profile``: what the GPU does during steps of training, and for how long it idles.
- ``recipes``: the article's three recipes in full, three seeds, on 653 and 1,381 images.
- ``speedrun``: ``speedrun.py``, plain and fast, five seeds each.

``pack`` writes images as the article's recipe sees them, 128x128 by nearest, as lossless WebP: training on
them is training on the photographs, bit by bit. The official part is 24 MiB, with the extra list 40.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from compact import read_rows
from PIL import Image
from torch.profiler import ProfilerActivity, profile

import segnet
from segnet.base.device import pick_device
from segnet.bench.machine import describe_machine
from segnet.bench.pooling import compare_pooling
from segnet.data.sources import load_dataset
from segnet.data.store.fit_to_size import Fit
from segnet.data.store.open_split import open_pixels
from segnet.runs.records import read_run
from segnet.training.configuration.config import TrainConfig

HERE = Path(__file__).parent
EPOCH_IMAGES = 3680
TESTS = (
    "tests/core/test_pooling.py",
    "tests/core/test_recompute.py",
    "tests/core/test_dropout.py",
    "tests/scoring",
    "tests/training/test_losses.py",
    "tests/models/test_every_model.py",
    "tests/training/test_loop.py",
    "tests/training/test_not_finite.py",
    "tests/training/test_resume.py",
)

Rows = Iterator[dict[str, Any]]


class Place(NamedTuple):
    """Where a step works."""

    data: Path
    results: Path
    photographs: Path | None
    device: torch.device
    deadline: float
    small: bool
    """Whether a few images and steps are enough: a try of the script itself."""


class CutOffError(Exception):
    """A step was cut off; called again it goes on."""


def pack(photographs: Path, out: Path) -> None:
    """Write the images of Oxford-IIIT Pet that are there as the article's recipe sees them."""
    lists = photographs / "annotations"
    extra = "trainval_extra.txt" if (lists / "trainval_extra.txt").exists() else None
    official = load_dataset(TrainConfig(data="oxford-pets", data_root=photographs))
    whole = load_dataset(TrainConfig(data="oxford-pets", data_root=photographs, extra_list=extra))
    known = {sample.name for sample in official.splits["train"]}
    parts = {
        "train": official.splits["train"],
        "extra": [sample for sample in whole.splits["train"] if sample.name not in known],
        "val": official.val,
    }
    for part, samples in parts.items():
        if not samples:
            continue
        split = open_pixels(samples, official.classes, Fit((128, 128), "nearest"))
        for kind in ("images", "masks"):
            (out / part / kind).mkdir(parents=True, exist_ok=True)
        for name, image, mask in zip(split.names, split.images, split.masks, strict=True):
            Image.fromarray(image).save(out / part / "images" / f"{name}.webp", lossless=True, exact=True)
            Image.fromarray(mask).save(out / part / "masks" / f"{name}.png", optimize=True)
    (out / "dataset.yaml").write_text(f"classes: [{', '.join(official.classes.names)}]\n")
    files = [path for path in out.rglob("*") if path.is_file()]
    print(f"{out}: {len(files):,} files, {sum(path.stat().st_size for path in files) / 2**20:.0f} MiB")


def dataset(place: Place, *parts: str, images: int | None = None) -> Path:
    """Put a folder together to train on: packed parts, and copies of them up to a number of images."""
    folder = place.results / "data" / f"{'-'.join(parts)}{'' if images is None else f'-{images}'}"
    if (folder / "dataset.yaml").exists():
        return folder
    pairs = [(file, part) for part in parts for file in sorted((place.data / part / "images").iterdir())]
    pairs = pairs[:12] if place.small else pairs
    wanted = len(pairs) if images is None or place.small else images
    for number in range(wanted):
        file, part = pairs[number % len(pairs)]
        copy_pair(place.data / part, file, folder / "train", f"-{number // len(pairs)}")
    for file in sorted((place.data / "val" / "images").iterdir())[: 4 if place.small else None]:
        copy_pair(place.data / "val", file, folder / "val", "")
    shutil.copy(place.data / "dataset.yaml", folder)
    return folder


def copy_pair(part: Path, image: Path, to: Path, suffix: str) -> None:
    for kind, file in (("images", image), ("masks", part / "masks" / f"{image.stem}.png")):
        (to / kind).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, to / kind / f"{file.stem}{suffix}{file.suffix}")


def trained(place: Place, folder: Path, **settings: Any) -> bool:
    """Train, or go on where a run was cut off, or leave alone one that is done.

    Returns:
        whether all of it was done now.

    Raises:
        CutOffError: the deadline came first.
    """
    if (folder / "report.html").exists():  # what a run writes last
        return False
    if place.small:
        settings |= {"model": "segnet-nano", "epochs": min(2, settings["epochs"]), "batch_size": 4}
    config = TrainConfig(device=str(place.device), out=folder, **settings)
    begun = (folder / "last").exists()  # its first state, without which there is nothing to go on from
    if not begun:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        with interrupted_at(place.deadline):
            run = segnet.resume(folder) if begun else segnet.train(config)
    except KeyboardInterrupt:  # before the first step, or while the report was written
        raise CutOffError from None
    if not run.finished:
        raise CutOffError
    return not begun


@contextmanager
def interrupted_at(deadline: float) -> Iterator[None]:
    """Let Ctrl-C be pressed at a time, which ends a training so that it can go on."""
    timer = threading.Timer(max(1.0, deadline - time.monotonic()), os.kill, (os.getpid(), signal.SIGINT))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def command(place: Place, log: str, *words: object, may_fail: bool = False, **environment: str) -> bool:
    """Run a command to its end, with what it says in a file, and return whether it went well.

    Raises:
        CutOffError: the deadline came first.
        RuntimeError: it failed, where it may not.
    """
    with (place.results / log).open("a") as file:
        file.write(f"$ {' '.join(map(str, words))}\n")
        file.flush()
        try:
            done = subprocess.run(
                [str(word) for word in words],
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                env=os.environ | environment,
                timeout=max(1.0, place.deadline - time.monotonic()),
            )
        except subprocess.TimeoutExpired:
            raise CutOffError from None
    if done.returncode and not may_fail:
        raise RuntimeError(f"a command ended with {done.returncode}; see {log}")
    return not done.returncode


def equal(place: Place) -> Rows:
    """Run the tests that take a GPU where there is one, one file after the other."""
    for name in TESTS[:1] if place.small else TESTS:
        began = time.monotonic()
        words = [sys.executable, "-m", "pytest", "-q", HERE.parent / name, "-p", "no:cacheprovider"]
        words += ["-k", "share_a_byte"] if place.small else []
        passed = command(place, "equal.log", *words, may_fail=True)
        last = (place.results / "equal.log").read_text().strip().splitlines()[-1]
        yield {"tests": name, "passed": passed, "says": last, "seconds": since(began)}


def pooling(place: Place) -> Rows:
    """Measure the pair and a training step beside stock PyTorch."""
    batch, repeats = (1, 1) if place.small else (64, 30)
    for row in compare_pooling(
        batch_size=batch, repeats=repeats, device=str(place.device), training=not place.small
    ):
        yield asdict(row) | {"ratio": round(row.ratio, 4)}


def same(place: Place) -> Rows:
    """Train twice and compare the models' bytes, with PyTorch's deterministic algorithms and without."""
    data = dataset(place, "train")
    model, epochs = ("segnet-nano", 1) if place.small else ("segnet", 2)
    for deterministic in (False, True):
        digests, began = [], time.monotonic()
        for number in range(2):
            out = place.results / "runs" / f"same-{deterministic}-{number}"
            shutil.rmtree(out, ignore_errors=True)
            settings = {"data": str(data), "model": model, "recipe": "article", "epochs": epochs}
            code = (
                "import torch, segnet; from pathlib import Path; "
                f"torch.use_deterministic_algorithms({deterministic}); "
                f"segnet.train(segnet.TrainConfig(**{settings!r}, device={str(place.device)!r}, "
                f"out=Path({str(out)!r})))"
            )
            command(place, "same.log", sys.executable, "-c", code, CUBLAS_WORKSPACE_CONFIG=":4096:8")
            digests.append(hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest())
        yield {
            "deterministic": deterministic,
            "equal": digests[0] == digests[1],
            "digests": digests,
            "seconds": since(began),
        }


def epochs(place: Place) -> Rows:
    """Time epochs of the article's SegNet, its data repeated to 3,680 images."""
    data = dataset(place, "train", "extra", images=EPOCH_IMAGES)
    for precision in ("float32", "bfloat16"):
        for compiled in (False,) if place.small else (False, True):
            name = f"epochs-{precision}{'-compiled' if compiled else ''}"
            folder, began = place.results / "runs" / name, time.monotonic()
            whole = trained(
                place, folder, data=str(data), model="segnet", recipe="article", epochs=4,
                precision=precision, compile=compiled,
            )  # fmt: skip
            seconds = since(began)
            records = read_run(str(folder)).epochs
            in_epochs = sum((each.seconds or 0) + (each.validation_seconds or 0) for each in records)
            later = records[1:]  # the first compiles, and finds its algorithms
            yield {
                "variant": name,
                "first_epoch_s": records[0].seconds,
                "epoch_s": statistics.median(each.seconds or 0 for each in later),
                "images_per_second": statistics.median(each.images_per_second or 0 for each in later),
                "waiting_for_data": statistics.median(each.data_wait_share or 0 for each in later),
                "validation_s": statistics.median(each.validation_seconds or 0 for each in later),
                "beside_an_epoch_s": round((seconds - in_epochs) / len(records), 3) if whole else None,
                "peak_mib": records[-1].peak_memory_mib,
            }


def baseline(place: Place) -> Rows:
    """Measure the article's way of training beside ours, from photographs on."""
    if place.photographs is None:
        raise ValueError("baseline needs --photographs, with images/ and annotations/ of Oxford-IIIT Pet")
    table = place.results / "article_baseline.csv"
    size = ["--batch-size", 2, "--steps", 1, "--blocks", 1] if place.small else []
    command(
        place, "baseline.log", sys.executable, HERE / "article_baseline.py", place.photographs,
        "--csv", table, "--device", place.device, *size,
    )  # fmt: skip
    yield {"csv": table.name, "says": (place.results / "baseline.log").read_text().splitlines()[-4:]}


def profiled(place: Place) -> Rows:
    """Profile an epoch on 653 images, after one that warms up."""
    data = dataset(place, "train")
    kinds = [ProfilerActivity.CPU]
    kinds += [ProfilerActivity.CUDA] if place.device.type == "cuda" else []
    for precision in ("float32", "bfloat16"):
        settings = {"data": str(data), "model": "segnet", "recipe": "article", "precision": precision}
        found = profile(activities=kinds)
        for name, around in (("warm-up", nullcontext()), ("measured", found)):
            folder = place.results / "runs" / f"profile-{precision}-{name}"
            shutil.rmtree(folder, ignore_errors=True)
            with around:
                trained(place, folder, epochs=1, **settings)
        table = found.key_averages()
        record = read_run(str(folder)).epochs[0]
        for order in ("self_device_time_total", "self_cpu_time_total"):
            text = table.table(sort_by=order, row_limit=40, max_name_column_width=70)
            (place.results / f"profile-{precision}-{order}.txt").write_text(text)
        busy = sum(each.self_device_time_total for each in table) / 1e6
        yield {
            "precision": precision,
            "epoch_s": record.seconds,
            "validation_s": record.validation_seconds,
            "device_busy_s": round(busy, 3),
            "launches": sum(each.count for each in table if "LaunchKernel" in each.key),
        }


def recipes(place: Place) -> Rows:
    """Train the article's three recipes in full."""
    for parts in (("train",), ("train", "extra")):
        data = dataset(place, *parts)
        for model, length in (("segnet", 20), ("segnet-dsc", 20), ("vit", 50)):
            for seed in (0, 1, 2):
                folder = place.results / "runs" / f"{'-'.join(parts)}-{model}-{seed}"
                trained(
                    place, folder, data=str(data), model=model, recipe="article", epochs=length, seed=seed
                )
                run = read_run(str(folder))
                assert run.outcome is not None
                kept = run.epochs[run.outcome.best_epoch - 1]
                yield {
                    "parts": "+".join(parts),
                    "model": model,
                    "seed": seed,
                    "epochs": len(run.epochs),
                    "best_epoch": run.outcome.best_epoch,
                    "pixel_accuracy": round(kept.val.pixel_accuracy or 0, 4),
                    "mean_iou": round(kept.val.mean_iou or 0, 4),
                    "last_pixel_accuracy": round(run.epochs[-1].val.pixel_accuracy or 0, 4),
                    "epoch_s": statistics.median(each.seconds or 0 for each in run.epochs),
                }
            if place.small:
                return


def speedrun(place: Place) -> Rows:
    """Run the speed record's script, a seed at a time."""
    data = dataset(place, "train", "extra")
    size = ["--images", 8, "--batch-size", 4, "--no-compile"] if place.small else []
    for variant in ("plain", "fast"):
        for seed in range(1 if place.small else 5):
            table = place.results / f"speedrun-{variant}-{seed}.csv"
            if not table.exists():
                words = ["--plain"] if variant == "plain" else []
                command(
                    place, "speedrun.log", sys.executable, HERE / "speedrun.py", data, *words, *size,
                    "--seeds", seed, "--device", place.device, "--csv", table,
                )  # fmt: skip
            yield from read_rows(table)


STEPS: dict[str, Callable[[Place], Rows]] = {
    "equal": equal,
    "pooling": pooling,
    "same": same,
    "epochs": epochs,
    "baseline": baseline,
    "profile": profiled,
    "recipes": recipes,
    "speedrun": speedrun,
}


def since(began: float) -> float:
    return round(time.monotonic() - began, 1)


def take(name: str, place: Place, machine: str) -> bool:
    """Do one step and write what came of it, row by row; return whether it is done."""
    path = place.results / f"{name}.json"
    if path.exists() and json.loads(path.read_text())["state"] == "done":
        print(f"{name}: done before")
        return True
    began = time.monotonic()
    rows: list[dict[str, Any]] = []

    def write(state: str) -> None:
        said = {"step": name, "state": state, "machine": machine.removeprefix("# "), "command": sys.argv}
        path.write_text(json.dumps(said | {"seconds": since(began), "rows": rows}, indent=1) + "\n")

    write("begun")
    try:
        for row in STEPS[name](place):
            rows.append(row)
            print(f"{name}: {row}", flush=True)
            write("begun")
    except CutOffError:
        write("cut off")
        print(f"{name}: cut off; call it again to go on", flush=True)
        return False
    except Exception as error:  # whatever it is, the next step may work
        traceback.print_exc()
        write(f"failed: {type(error).__name__}: {error}")
        return False
    write("done")
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("steps", nargs="+", metavar="STEP", help=f"pack FROM TO, or of {', '.join(STEPS)}")
    parser.add_argument("--data", type=Path, default=Path("packed"), help="what pack has written")
    parser.add_argument("--photographs", type=Path, help="images/ and annotations/, for baseline")
    parser.add_argument("--results", type=Path, default=Path("gpu"))
    parser.add_argument("--minutes", type=float, default=8.0, help="after which all ends, to be gone on with")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="try the script itself: hardly any images")
    options = parser.parse_args()
    if options.steps[0] == "pack":
        if len(options.steps) != 3:
            parser.error("pack takes two folders: of the photographs, and of what is written")
        pack(Path(options.steps[1]), Path(options.steps[2]))
        return 0
    if unknown := [step for step in options.steps if step not in STEPS]:
        parser.error(f"there is no step {unknown[0]}; there are {', '.join(STEPS)}")
    device = pick_device(options.device)
    options.results.mkdir(parents=True, exist_ok=True)
    place = Place(
        options.data,
        options.results,
        options.photographs,
        device,
        time.monotonic() + 60 * options.minutes,
        options.small,
    )
    machine = describe_machine(torch.get_num_threads(), device)
    print(machine.removeprefix("# "))
    done = [take(step, place, machine) for step in options.steps]  # each, whatever another came to
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
