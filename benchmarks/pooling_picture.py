"""The picture of what ``segnet bench pooling --csv`` measured: ours as a share of stock PyTorch.

Measured again, the numbers would be others, so it is drawn from the file. Usage::

    python benchmarks/pooling_picture.py picture --csv pooling.csv --out pooling.png
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from segnet.base.colours import BLUE, VERMILION
from segnet.base.files import replacing
from segnet.bench.pooling import Comparison
from segnet.report.plots import INK, SOFT_INK


def draw(path: Path, rows: Sequence[Comparison], machine: str) -> None:
    """Draw ours as a share of stock, one bar for each comparison, as PNG or SVG by the file's name."""
    figure = Figure(figsize=(8, 1.4 + 0.34 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    labels = [f"{row.quantity}, {row.case}" for row in rows]
    colours = [[value / 255 for value in (BLUE if row.ratio <= 1 else VERMILION)] for row in rows]
    axes.barh(labels, [row.ratio for row in rows], color=colours, height=0.62)
    axes.axvline(1, color=SOFT_INK, linewidth=1)
    for place, row in enumerate(rows):
        text = f"{row.ratio:.2f}x   {row.stock:.4g} → {row.ours:.4g} {row.unit}"
        axes.text(row.ratio + 0.015, place, text, va="center", fontsize=8, color=INK, backgroundcolor="white")
    axes.invert_yaxis()
    axes.set_xlim(0, max(1.55, *(row.ratio + 0.45 for row in rows)))
    axes.set_xlabel("ours / stock PyTorch, lower is better", color=SOFT_INK)
    axes.set_title("Two-bit pooling beside stock PyTorch", loc="left", fontsize=11)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0, labelsize=8)
    figure.supxlabel(machine.removeprefix("# "), fontsize=7, color=SOFT_INK, x=0.01, ha="left")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)


def read(path: Path) -> tuple[str, list[Comparison]]:
    """Return the machine's line and what was measured on it."""
    machine, *lines = path.read_text(encoding="utf-8").splitlines()
    return machine, [
        Comparison(row["quantity"], row["case"], row["unit"], float(row["stock"]), float(row["ours"]))
        for row in csv.DictReader(lines)
    ]


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=("picture",))
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    machine, rows = read(options.csv)
    draw(options.out, rows, machine)


if __name__ == "__main__":
    main()
