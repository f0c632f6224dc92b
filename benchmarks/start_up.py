"""How long a start takes with very many images, the first time and the next, and what memory training needs.

Pairs of tiny drawn PNGs, so that what is measured is what is done for each file. Every start is a process of
its own: the first reads every file, the second finds them unchanged. With ``--epochs`` a training follows,
whose resident memory is printed as it goes: its own (anonymous) pages, which nobody can take back, beside
pages of the cache's files, which the kernel keeps as long as nothing else needs the room.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image

PHASES: dict[str, tuple[float, float]] = {}


def draw(folder: Path, pairs: int, size: int) -> None:
    """Write pairs that are all different: a bright rectangle, its mask, and the number in the corner."""
    random = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(pairs):
        top, left = random.integers(0, size // 2, 2)
        mask = np.zeros((size, size), np.uint8)
        mask[top : top + size // 2, left : left + size // 2] = 1
        image = np.repeat((60 + 120 * mask)[..., None], 3, 2).astype(np.uint8)
        image[0, :2] = np.frombuffer((number * 256).to_bytes(6, "little"), np.uint8).reshape(2, 3)
        Image.fromarray(image).save(folder / f"images/{number:06}.png", compress_level=1)
        Image.fromarray(mask).save(folder / f"masks/{number:06}.png", compress_level=1)


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Note how long a part of the start takes, and of it the processor: less, where others use it too."""
    started, worked = time.perf_counter(), time.process_time()
    yield
    PHASES[name] = time.perf_counter() - started, time.process_time() - worked


def resident_mib(process: int | str = "self") -> tuple[float, float]:
    """Return a process's own resident memory, and that of files it has mapped (Linux)."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    anonymous, of_files = (int(lines[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile"))
    return anonymous, of_files


def start(folder: Path, size: int) -> None:
    """Do what ``segnet train`` does with data up to its first step, then train some steps."""
    with phase("import"):
        from rich.console import Console

        from segnet import TrainConfig
        from segnet.data.check.balance import count_values
        from segnet.data.identify import manifest_of
        from segnet.data.images.file_records import one_look
        from segnet.data.sources import load_dataset
        from segnet.training import setup
        from segnet.training.epoch import epoch_batches

    config = TrainConfig(data=str(folder), model="segnet-lite", size=(size, size), device="cpu")
    console = Console(file=sys.stderr, quiet=True)
    with one_look():  # as ``setup.build`` does
        with phase("look at the files"):
            dataset = load_dataset(config)
        with phase("identify each image"):
            manifest_of(dataset, config.data_dict())
        with phase("open the cache"):
            train = setup.open_split(dataset.train, dataset, config, console, "training images")
            val = setup.open_split(dataset.val, dataset, config, console, "validation images")
        with phase("count the classes"):
            count_values(train), count_values(val)
        with phase("first batch"):
            train.take(epoch_batches(config, train, 0)[0])
    of_data = [seconds for name, seconds in PHASES.items() if name != "import"]
    PHASES["all of the data"] = sum(wall for wall, _ in of_data), sum(worked for _, worked in of_data)
    for name, (wall, worked) in PHASES.items():
        print(f"{name},{wall:.2f},{worked:.2f}")
    print("memory in MiB,{:.0f},{:.0f}".format(*resident_mib()), flush=True)


def train(
    folder: Path, size: int, epochs: int, environment: dict[str, str]
) -> Iterator[tuple[str, float, float]]:
    """Train a tiny network with the command, and yield its resident memory every five seconds."""
    with tempfile.TemporaryDirectory() as place:
        options = '{"stages": [[4, 1], [4, 1]], "bottleneck": [4, 0, 3]}'
        command = [sys.executable, "-m", "segnet", "train", "--data", str(folder), "--size", str(size)]
        command += ["--model", "segnet-lite", "--model-options", options, "--batch-size", "64"]
        command += ["--epochs", str(epochs), "--device", "cpu", "--out", str(Path(place) / "run")]
        began = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:
            while process.poll() is None:
                time.sleep(5)
                with suppress(OSError, KeyError):  # it has ended
                    yield f"training {time.perf_counter() - began:.0f} s", *resident_mib(process.pid)
            if process.returncode:
                sys.exit(process.returncode)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=50_000)
    parser.add_argument("--size", type=int, default=32, help="pixels of a side")
    parser.add_argument("--folder", type=Path, help="where to draw, or what was drawn there")
    parser.add_argument("--starts", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=0, help="to train after the starts")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        start(args.folder, args.size)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = args.folder or Path(place) / "data"
        if not folder.exists():
            draw(folder, args.pairs, args.size)
            time.sleep(2.5)  # a file younger than two seconds isn't remembered
        environment = os.environ | {"SEGNET_CACHE": str(Path(place) / "cache")}
        rows = []
        for number in range(1, args.starts + 1):
            command = [sys.executable, __file__, "--one", "--folder", str(folder)]
            command += ["--size", str(args.size)]
            done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            for line in done.stdout.splitlines():
                name, *values = line.split(",")
                rows.append([number, name, *values])
                what = "MiB of its own, and of files" if "memory" in name else "s, and of the processor"
                print(f"start {number}: {name}: {' '.join(values)} {what}", flush=True)
        for name, own, of_files in train(folder, args.size, args.epochs, environment) if args.epochs else ():
            rows.append(["", name, f"{own:.0f}", f"{of_files:.0f}"])
            print(f"{name}: {own:.0f} MiB of its own, {of_files:.0f} of files", flush=True)
    if args.csv:
        with args.csv.open("w", newline="") as file:
            csv.writer(file).writerows(
                [["start", "phase", "seconds or MiB of its own", "processor seconds or MiB of files"], *rows]
            )


if __name__ == "__main__":
    main()
