"""Measure what `pip install segnet` takes on the disk for prediction alone, and that it predicts.

Makes a fresh virtual environment, installs the package of this checkout into it with the versions that are
tested, lists the size of every package, and runs one prediction with an exported model: without ``--model``
the bundled one, which then must be there as ``.onnx``. Usage::

    python benchmarks/install_size.py --csv install_size.csv
    python benchmarks/install_size.py --model my/model.onnx
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

from PIL import Image

ROOT = Path(__file__).parents[1]
MIB = 2**20

# Runs inside the new environment: bytes of each package's files there, those of compiled Python included.
SIZES = """
import json
from importlib.metadata import distributions
sizes = {}
for package in distributions():
    paths = {file.locate() for file in package.files or ()}
    sizes[package.name] = sum(path.stat().st_size for path in paths if path.is_file())
print(json.dumps(sizes))
"""


def install(folder: Path, pip_options: list[str]) -> Path:
    """Make the environment, install prediction alone, and return its folder of programs."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    programs = folder / ("Scripts" if sys.platform == "win32" else "bin")
    command = [
        programs / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        *pip_options,
        "-c",
        "constraints.txt",
        ".",
    ]
    subprocess.run(command, check=True, cwd=ROOT)
    return programs


def sizes_of_packages(programs: Path) -> dict[str, int]:
    """Return bytes by package, the largest first."""
    printed = subprocess.run([programs / "python", "-c", SIZES], check=True, capture_output=True, text=True)
    sizes: dict[str, int] = json.loads(printed.stdout)
    return dict(sorted(sizes.items(), key=lambda entry: -entry[1]))


def predict(programs: Path, folder: Path, model: str) -> tuple[float, str]:
    """Segment one drawn photo; return the seconds, start-up included, and the line of JSON."""
    Image.radial_gradient("L").resize((500, 375)).convert("RGB").save(folder / "photo.jpg")
    command = [programs / "segnet", "predict", "photo.jpg", "--model", model]
    started = time.perf_counter()
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    return seconds, (ended.stdout or ended.stderr).strip()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="pets-lite", help="an exported model, or a bundled name")
    parser.add_argument("--csv", type=Path, help="write the sizes to this file")
    parser.add_argument("--pip-option", action="append", default=[], help="handed to pip; may be given often")
    options = parser.parse_args()
    model = str(Path(options.model).resolve()) if Path(options.model).exists() else options.model
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs = install(folder / "venv", options.pip_option)
        whole = sum(
            path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()
        )
        sizes = sizes_of_packages(programs)
        sizes["everything else in the environment"] = whole - sum(sizes.values())
        for package, size in sizes.items():
            print(f"{package:40}{size / MIB:9.1f} MiB")
        print(f"{'in total':40}{whole / MIB:9.1f} MiB")
        for attempt in ("first", "second"):  # the first one writes what Python compiles
            seconds, said = predict(programs, folder, model)
            print(f"{attempt} prediction, start-up included: {seconds:.2f} s: {said}")
    if options.csv:
        with options.csv.open("w", newline="") as file:
            csv.writer(file).writerows([("package", "bytes"), *sizes.items(), ("in total", whole)])


if __name__ == "__main__":
    main()
