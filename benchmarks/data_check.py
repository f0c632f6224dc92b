"""What ``segnet data check`` takes for very many pairs: time, and memory beside that for a tenth of them.

Pairs of small drawn PNGs, so that what is measured is what the check itself does for each pair and keeps of
it. Each number of pairs is checked in a process of its own, whose highest resident memory is read at its end.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

CHECK = """
import resource, sys, time
from pathlib import Path
from segnet.data.check.inspect_folder import inspect_folder
started = time.perf_counter()
found = inspect_folder(Path(sys.argv[1]))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
print(len(found.surveyed), len(found.faults), time.perf_counter() - started, peak)
"""


def draw(folder: Path, pairs: int, size: int) -> None:
    """Write pairs that no other looks like."""
    random = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(pairs):
        blocks = random.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(np.kron(blocks, np.ones((size // 8, size // 8, 1), np.uint8))).save(
            folder / f"images/{number:06}.png"
        )
        Image.fromarray((blocks[..., 0] > 128).astype(np.uint8)).resize((size, size), 0).save(
            folder / f"masks/{number:06}.png"
        )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=64, help="pixels of a side, a multiple of 8")
    args = parser.parse_args()
    peaks = []
    for pairs in (args.pairs // 10, args.pairs):
        with tempfile.TemporaryDirectory() as place:
            draw(Path(place) / "data", pairs, args.size)
            command = [sys.executable, "-c", CHECK, str(Path(place) / "data")]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        checked, faults, seconds, peak = map(float, done.stdout.split())
        peaks.append(peak)
        print(
            f"{checked:,.0f} pairs: {seconds:.1f} s, {checked / seconds:,.0f} pairs/s, {peak:.0f} MiB at "
            f"most, {faults:.0f} faults",
            flush=True,
        )
    print(f"memory of ten times as many: {peaks[1] / peaks[0]:.2f} times")


if __name__ == "__main__":
    main()
