"""Make the pictures in ``docs/images`` by the commands in ``docs/figures.toml``.

Commands run one after the other in the repository's root; one that fails ends it. The same commands on
the same machine with the same versions of all packages make the same bytes.
"""

from __future__ import annotations

import argparse
import re
import shlex
import string
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from PIL import Image

from segnet.base.files import replacing

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
    width = None
    if words[0] == "small":
        _, width, *words = words
    if words[0] == "segnet":
        subprocess.run([sys.executable, "-m", *words], cwd=ROOT, check=True)
    else:
        OUR_OWN[words[0]](*words[1:])
    if width is not None:
        save_small(Image.open(places["file"]), width, places["file"])


def copy_preview(run: str, epoch: str, width: str, file: str) -> None:
    """Copy the picture of an epoch, smaller and in 256 colours: a page is read on phones too."""
    save_small(Image.open(Path(run, "previews", f"epoch_{int(epoch):03}.png")), width, file)


def save_small(picture: Image.Image, width: str | int, file: str | Path) -> None:
    """Save a picture at most so wide, in 256 colours."""
    picture = picture.convert("RGB")
    if picture.width > int(width):
        height = round(picture.height * int(width) / picture.width)
        picture = picture.resize((int(width), height), Image.Resampling.LANCZOS)
    with replacing(Path(file)) as temporary:
        picture.quantize(256, dither=Image.Dither.NONE).save(temporary, "png", optimize=True)


def draw_benchmark(script: str, *words: str) -> None:
    """Let a script of benchmarks draw what it measured once."""
    subprocess.run([sys.executable, f"benchmarks/{script}", "picture", *words], cwd=ROOT, check=True)


def run_page(page: str, saved: str, file: str) -> None:
    """Run the Python of a page in an empty folder, and take what it saves under a name."""
    blocks = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", "\n".join(blocks)], cwd=folder, check=True)
        save_small(Image.open(Path(folder, saved)), 1200, file)


def draw_prediction(run: str, file: str) -> None:
    """Draw what a model finds in the pet that the tutorial keeps: picture, mask and overlay."""
    import segnet

    picture, _ = segnet.load_dataset(segnet.DataOptions(data="synthetic")).val[2].read()
    found = segnet.load(run).predict(picture)
    tiles = (picture, found.index_image().convert("RGB"), found.overlay())
    width, height = picture.width * 2, picture.height * 2
    sheet = Image.new("RGB", (3 * (width + 8) - 8, height), "white")
    for column, tile in enumerate(tiles):
        sheet.paste(tile.resize((width, height), Image.Resampling.NEAREST), (column * (width + 8), 0))
    save_small(sheet, 1200, file)


def draw_house(file: str) -> None:
    """Draw the packages of the source on their floors."""
    subprocess.run([sys.executable, "docs/house.py", file], cwd=ROOT, check=True)


OUR_OWN = {
    "house": draw_house,
    "preview": copy_preview,
    "benchmark": draw_benchmark,
    "python": run_page,
    "prediction": draw_prediction,
}


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
