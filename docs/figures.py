"""Make the pictures in ``docs/images`` by the commands in ``docs/figures.toml``.

Commands run one after the other in the repository's root; one that fails ends it. The same commands on
the same machine with the same versions of all packages make the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import shlex
import string
import subprocess
import sys
import tomllib
from pathlib import Path

from PIL import Image

from segnet.core.files import replacing

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
RUNS = ROOT / "build" / "figures"


def read_table() -> tuple[dict[str, str], dict[str, str]]:
    """Return the commands of the runs and those of the pictures."""
    table = tomllib.loads((ROOT / "docs" / "figures.toml").read_text(encoding="utf-8"))
    return table["runs"], table["pictures"]


def fields(command: str) -> list[str]:
    """Return the names in braces."""
    return [name for _, name, _, _ in string.Formatter().parse(command) if name]


def needs_data(command: str, runs: dict[str, str]) -> bool:
    """Whether a command, or a run that it names, reads what only its user has."""
    return any(name == "data" or (name in runs and needs_data(runs[name], runs)) for name in fields(command))


def make_picture(name: str, data: str) -> None:
    """Train the runs that a picture needs and draw it."""
    runs, pictures = read_table()
    for run in fields(pictures[name]):
        folder = RUNS / run
        if run not in runs:
            continue
        if (folder / "scores.json").exists():
            print(f"{folder.relative_to(ROOT)} is there, and used again")
        else:
            execute(f"{runs[run]} --out {{folder}}", data=data, folder=folder)
    execute(pictures[name], data=data, file=IMAGES / name, **{run: RUNS / run for run in runs})


def execute(command: str, **places: str | Path) -> None:
    """Run a command of the table with what its names in braces stand for."""
    words = [word.format(**places) for word in shlex.split(command)]
    print("+", shlex.join(words), flush=True)
    if words[0] == "segnet":
        subprocess.run([sys.executable, "-m", *words], cwd=ROOT, check=True)
    else:
        {"preview": copy_preview, "pooling-benchmark": draw_pooling_benchmark}[words[0]](*words[1:])


def copy_preview(run: str, epoch: str, width: str, file: str) -> None:
    """Copy the picture of an epoch, smaller and in 256 colours: a page is read on phones too."""
    picture = Image.open(Path(run, "previews", f"epoch_{int(epoch):03}.png")).convert("RGB")
    if picture.width > int(width):
        height = round(picture.height * int(width) / picture.width)
        picture = picture.resize((int(width), height), Image.Resampling.LANCZOS)
    with replacing(Path(file)) as temporary:
        picture.quantize(256, dither=Image.Dither.NONE).save(temporary, "png", optimize=True)


def draw_pooling_benchmark(measured: str, file: str) -> None:
    """Draw what ``segnet bench pooling`` wrote: measured again, the numbers on the page would be others."""
    from segnet.bench.pooling import Comparison, draw

    machine, *lines = (ROOT / measured).read_text(encoding="utf-8").splitlines()
    rows = [
        Comparison(row["quantity"], row["case"], row["unit"], float(row["stock"]), float(row["ours"]))
        for row in csv.DictReader(lines)
    ]
    draw(Path(file), rows, machine)


def main() -> None:
    """Make the pictures that are named, or all."""
    runs, pictures = read_table()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", nargs="*", metavar="PICTURE", help="such as pooling.png; all without")
    parser.add_argument("--data-root", default="", help="Oxford-IIIT Pet, for the pictures that need it")
    args = parser.parse_args()
    unknown = [name for name in args.pictures if name not in pictures]
    if unknown:
        parser.error(f"no such picture: {unknown[0]}; there are {', '.join(pictures)}")
    for name in args.pictures or pictures:
        if needs_data(pictures[name], runs) and not args.data_root:
            print(f"{name} skipped: it takes Oxford-IIIT Pet; say where that is by --data-root or DATA_ROOT=")
        else:
            make_picture(name, str(Path(args.data_root).resolve()))


if __name__ == "__main__":
    main()
