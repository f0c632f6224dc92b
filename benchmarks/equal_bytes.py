"""Compare what two checkouts of the package write, by digests of every file.

    python benchmarks/equal_bytes.py make before.json            with one checkout installed
    python benchmarks/equal_bytes.py make after.json             with the other one
    python benchmarks/equal_bytes.py compare before.json after.json

Each model trains ten steps on 24 drawn images; digests are of its weights, losses, scores, report, masks,
overlays and ONNX file. Of texts, times and sizes in memory are left out. Make both on one machine with
the same packages: elsewhere sums round in another way. All models take some ten minutes of one core.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

# what each run trains with
RUNS = {
    "segnet": ["--model", "segnet"],
    "segnet-modern": ["--model", "segnet", "--recipe", "modern"],
    "segnet-dsc": ["--model", "segnet-dsc"],
    "segnet-nano": ["--model", "segnet-nano", "--recipe", "modern"],
    "segnet-lite": ["--model", "segnet-lite", "--recipe", "modern"],
    "segnet-lite-patches": ["--model", "segnet-lite", "--patch", "48"],
    "segnet-lite-all": [
        *["--model", "segnet-lite", "--recipe", "modern", "--loss", "boundary+0.5*dice", "--dihedral"],
        *["--rotate", "10", "--zoom-out", "0.8", "--blur", "0.2", "--grayscale", "0.2", "--accumulate", "2"],
        *["--keep-aspect", "--class-weights", "median-frequency", "--recompute-statistics"],
    ],
    "segnet-plus": ["--model", "segnet-plus"],
    "segnet-basic": ["--model", "segnet-basic"],
    "segnet-vgg16": ["--model", "segnet-vgg16"],
    "unet": ["--model", "unet"],
    "fcn": ["--model", "fcn"],
    "vit": ["--model", "vit"],
}
LARGE = ("vit", "fcn", "segnet-vgg16")  # not exported: it takes long and is done as for the others
TIMES = re.compile(
    r"""("?\w*(seconds|per_second|wait_share|memory_mib|latency_ms\w*|started|bytes)"?[:=] ?[^,}\n]+)"""
    r"""|\b[\d.,]+\s?(s|ms|min|minutes|img/s|images/s|MiB|GiB)\b"""
    r"""|(images\ per\ second|waiting\ for\ data|started)</\w+><\w+>[^<]+<""",
    re.VERBOSE,
)


def draw(folder: Path) -> None:
    """Draw images of two kinds of discs, and their masks."""
    generator = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for number in range(24):
        height, width = generator.integers(70, 100, 2)
        rows, columns = np.mgrid[:height, :width]
        mask = np.zeros((height, width), np.uint8)
        for label in (1, 2):
            row, column, radius = (
                generator.integers(10, 60),
                generator.integers(10, 60),
                generator.integers(8, 25),
            )
            mask[(rows - row) ** 2 + (columns - column) ** 2 < radius**2] = label
        image = generator.integers(0, 40, (height, width, 3)) + mask[..., None] * 80
        Image.fromarray(image.astype(np.uint8)).save(folder / "images" / f"{number:03}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number:03}.png")


def segnet(*arguments: str, cwd: Path) -> str:
    """Run a command with one thread and a cache of its own; return what it printed, without times."""
    settings = {"OMP_NUM_THREADS": "1", "SEGNET_CACHE": str(cwd / "cache")}
    command = [sys.executable, "-m", "segnet", *arguments]
    result = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return f"exit {result.returncode}\n" + TIMES.sub("", result.stdout)


def digest(file: Path) -> str:
    """Return the first digits of the sha256 of a file; of a text, without its times."""
    content = file.read_bytes()
    if file.suffix == ".csv" and file.name == "metrics.csv":
        rows = [line.split(",") for line in content.decode().splitlines()]
        kept = [i for i, name in enumerate(rows[0]) if not TIMES.match(f"{name}: 0")]
        content = "\n".join(",".join(row[i] for i in kept) for row in rows).encode()
    elif file.suffix in (".json", ".jsonl", ".csv", ".yaml", ".txt"):
        content = TIMES.sub("", content.decode()).encode()
    elif file.suffix == ".html":
        content = TIMES.sub("", re.sub(r"data:[\w/+]+;base64,[\w+/=]+", "", content.decode())).encode()
    return hashlib.sha256(content).hexdigest()[:16]


def make(models: list[str], keep: Path | None) -> dict[str, str]:
    """Return digests of all that the runs leave, in a folder of one name, so that paths are equal."""
    work = Path(tempfile.gettempdir()) / "segnet-equal-bytes"
    shutil.rmtree(work, ignore_errors=True)
    draw(work / "data")
    digests = {}
    try:
        for name in models:
            run, predicted = work / name, f"{name}/predicted"
            size = [] if "--patch" in RUNS[name] else ["--size", "64"]
            common = ["--data", "data", "--epochs", "2", "--batch-size", "4", "--out", name]
            printed = [segnet("train", *RUNS[name], *size, *common, cwd=work)]
            printed.append(
                segnet("predict", "data/images/000.png", "--model", name, "--out", predicted, cwd=work)
            )
            printed.append(segnet("eval", name, "--out", f"{name}/eval", "--worst", "2", cwd=work))
            if name not in LARGE:
                printed.append(segnet("export", name, "--out", f"{name}/model.onnx", cwd=work))
            (run / "printed.txt").write_text("\n".join(printed), encoding="utf-8")
            for file in sorted(run.rglob("*")):
                if file.is_file() and file.name not in ("environment.json", "lock") and file.suffix != ".pt":
                    digests[file.relative_to(work).as_posix()] = digest(file)
            print(name, "done", flush=True)
            if keep is not None:
                shutil.copytree(run, keep / name, dirs_exist_ok=True)
            shutil.rmtree(run)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return digests


def main() -> int:
    """Make digests, or say which differ."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(dest="part", required=True)
    making = parts.add_parser("make")
    making.add_argument("out", type=Path)
    making.add_argument("--keep", type=Path, help="keep the runs here, to see what differs")
    making.add_argument("--models", nargs="+", choices=RUNS, default=list(RUNS))
    comparing = parts.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    options = parser.parse_args()
    if options.part == "make":
        options.out.write_text(json.dumps(make(options.models, options.keep), indent=1) + "\n")
        return 0
    before, after = (json.loads(path.read_text()) for path in (options.before, options.after))
    different = sorted(name for name in before.keys() & after.keys() if before[name] != after[name])
    missing = sorted(before.keys() ^ after.keys())
    both = len(before.keys() & after.keys())
    print(f"{both - len(different)} equal, {len(different)} different, {len(missing)} in one of them")
    for name in [*different, *missing]:
        print(name)
    return int(bool(different or missing))


if __name__ == "__main__":
    sys.exit(main())
