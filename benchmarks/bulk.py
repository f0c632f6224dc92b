"""What ``segnet predict --engine ray`` takes beside the ordinary command, and what a killed worker costs.

Small drawn images, segmented by the bundled model: by the ordinary command, by two workers of a local
cluster, and by two of which one is killed (SIGKILL) when a third of the pieces is done. Each bulk prediction
is then looked at: as many results as images, each image once in the manifest, and every file equal to the
ordinary command's, byte for byte.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import ray
from PIL import Image

from segnet.bench.machine import describe_machine

COMMAND = (sys.executable, "-m", "segnet", "predict")


def draw(folder: Path, images: int, size: int) -> None:
    """Write JPEGs that no other looks like."""
    random = np.random.default_rng(0)
    for number in range(images):
        file = folder / f"{number // 500:03}" / f"{number:06}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        blocks = Image.fromarray(random.integers(0, 256, (6, 6, 3), np.uint8))
        blocks.resize((size, size * 3 // 4), Image.Resampling.BICUBIC).save(file)


def run(arguments: list[str], kill_after: int | None, out: Path) -> tuple[float, int]:
    """Run the command; return its seconds and how many workers were killed in it."""
    started = time.perf_counter()
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.DEVNULL) as process:
        killed = 0
        while process.poll() is None:
            time.sleep(0.1)
            if kill_after is None or killed or len([*out.glob("manifest/part-*")]) < kill_after:
                continue
            family = psutil.Process(process.pid).children(recursive=True)
            next(each for each in family if "MapWorker" in "".join(each.cmdline())).kill()
            killed = 1
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}")
    return time.perf_counter() - started, killed


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the content of each result."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*.png")
        if file.is_file()
    }


def main() -> None:
    """Measure and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--size", type=int, default=160, help="pixels of an image's width")
    parser.add_argument("--csv", type=Path)
    args = parser.parse_args()
    machine = describe_machine(2)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        draw(place / "in", args.images, args.size)
        expected: dict[str, bytes] = {}
        bulk = ["--engine", "ray", "--workers", "2"]
        for name, more, kill_after in (
            ("ordinary", [], None),
            ("two workers", bulk, None),
            ("two workers, one killed", bulk, args.images // 16 // 3),
        ):
            out = place / name.replace(" ", "-")
            seconds, killed = run([str(place / "in"), "--out", str(out), *more], kill_after, out)
            found = files_of(out)
            expected = expected or found
            parts = sorted(out.glob("manifest/part-*"))
            said = [json.loads(line)["image"] for part in parts for line in part.read_text().splitlines()]
            rows.append(
                {
                    "what": name,
                    "images": args.images,
                    "seconds": round(seconds, 1),
                    "workers killed": killed,
                    "masks": sum(file.endswith(".mask.png") for file in found),
                    "lines in the manifest": len(said),
                    "images in the manifest": len({*said}),
                    "files equal to the ordinary ones": sum(
                        found.get(key) == expected[key] for key in expected
                    ),
                    "files": len(found),
                }
            )
            print(rows[-1], flush=True)
    if args.csv:
        with args.csv.open("w", newline="") as file:
            file.write(f"{machine}, ray {ray.__version__}\n")
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
