"""The articles' figures of how a SegNet works, each drawn from the code that the models run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from segnet.base.colours import BLUISH_GREEN, ORANGE, REDDISH_PURPLE, SKY_BLUE, hex_code
from segnet.core.kernels.plain import unpack
from segnet.core.pooling import max_pool_2x2, max_unpool_2x2
from segnet.figures.figure import drawn, headline
from segnet.report.plots import INK, SOFT_INK

# Each position in a window, in the order of its code, in a colour that dark text reads well on.
POSITIONS = {
    "00 top left": hex_code(SKY_BLUE),
    "01 top right": hex_code(ORANGE),
    "10 below left": hex_code(BLUISH_GREEN),
    "11 below right": hex_code(REDDISH_PURPLE),
}
_COLOURS = tuple(POSITIONS.values())
_PALE = "#f1f2f4"


@dataclass(frozen=True)
class PoolingExample:
    """A small map on its way through pool and un-pool; whole numbers, rows from the top."""

    before: list[list[int]]
    maxima: list[list[int]]
    codes: list[list[int]]
    """0 to 3, one for each window."""
    packed: list[int]
    """One byte for each column of four windows."""
    restored: list[list[int]]

    def won(self, y: int, x: int) -> bool:
        """Say whether the value in this row and column is its window's maximum."""
        return self.codes[y // 2][x // 2] == y % 2 * 2 + x % 2


def pooling_example(seed: int = 0) -> PoolingExample:
    """Send an 8x4 map of digits through ``max_pool_2x2`` and ``max_unpool_2x2``."""
    x = torch.randint(10, (1, 1, 8, 4), generator=torch.Generator().manual_seed(seed)).float()
    values, codes = max_pool_2x2(x)
    restored = max_unpool_2x2(values, codes, (8, 4))
    rows = [[[int(v) for v in row] for row in m[0, 0]] for m in (x, values, unpack(codes, 4), restored)]
    return PoolingExample(rows[0], rows[1], rows[2], [int(byte) for byte in codes[0, 0, 0]], rows[3])


def describe_pooling(example: PoolingExample) -> str:
    """Return the example as text: the article's Figure 5 for a terminal."""
    lines = [
        "input 8x4, the maximum of each 2x2 window in brackets        maxima     codes      un-pooled",
        "",
    ]
    for y, row in enumerate(example.before):
        cells = []
        for x, value in enumerate(row):
            cells.append(f"[{value}]" if example.won(y, x) else f" {value} ")
        left = "".join(cells[:2]) + " │ " + "".join(cells[2:])
        restored = " ".join(str(value) for value in example.restored[y])
        pooled = codes = ""
        if y % 2 == 0:
            pooled = "  ".join(str(value) for value in example.maxima[y // 2])
            codes = "  ".join(f"{code:02b}" for code in example.codes[y // 2])
        lines.append(f"    {left:<57}{pooled:<11}{codes:<11}{restored}".rstrip())
        if y % 2 and y < 7:
            lines.append("    ───────┼───────")
    lines.append("")
    lines.append(f"a code is the position in its window: {', '.join(POSITIONS)}")
    lines.append("four windows below each other share a byte, the uppermost in its lowest bits:")
    for column, byte in enumerate(example.packed):
        bits = " ".join(f"{byte >> shift & 3:02b}" for shift in (6, 4, 2, 0))
        lines.append(f"    column {column} of windows: {bits} = {byte}")
    windows = len(example.codes) * len(example.codes[0])
    ours, stock = len(example.packed), 8 * windows
    lines.append(f"{windows} windows: {ours} bytes here, {stock} as the int64 indices of stock PyTorch")
    return "\n".join(lines)


def draw_pooling(example: PoolingExample, path: Path) -> None:
    """Draw the example as the article's Figure 5, as PNG or SVG by the file's name."""
    small = [[_COLOURS[code] for code in row] for row in example.codes]
    full = [[small[y // 2][x // 2] if example.won(y, x) else _PALE for x in range(4)] for y in range(8)]
    with drawn(path, 11, 5.6, layout="constrained") as figure:
        grids = figure.subplots(1, 4, width_ratios=(4, 2.2, 2.2, 4))
        _grid(grids[0], example.before, full, "1  the map, cut into 2x2 windows", window=2)
        _grid(grids[1], example.maxima, small, "2  maxima")
        _grid(grids[2], example.codes, small, "3  codes", number="{:02b}")
        _grid(grids[3], example.restored, full, "4  un-pooled", window=2)
        for column, byte in enumerate(example.packed):
            text = f"byte\n{byte >> 4:04b}\n{byte & 15:04b}\n= {byte}"
            grids[2].text(column + 0.5, 4.45, text, ha="center", va="top", fontsize=9, family="monospace")
        for place, (name, colour) in enumerate(POSITIONS.items()):
            grids[1].add_patch(Rectangle((0, 4.5 + 0.5 * place), 0.36, 0.36, facecolor=colour))
            grids[1].text(0.46, 4.68 + 0.5 * place, name, va="center", fontsize=8.5, color=INK)
        headline(figure, "Max-pooling keeps each maximum and two bits: where it was")


def _grid(
    axes: Axes,
    values: list[list[int]],
    colours: list[list[str]],
    title: str,
    *,
    window: int = 1,
    number: str = "{}",
) -> None:
    height, width = len(values), len(values[0])
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            axes.add_patch(Rectangle((x, y), 1, 1, facecolor=colours[y][x], edgecolor="white", linewidth=1.5))
            faint = colours[y][x] == _PALE
            axes.text(
                x + 0.5, y + 0.5, number.format(value), ha="center", va="center", fontsize=12,
                color=SOFT_INK if faint else INK, weight="normal" if faint else "bold",
            )  # fmt: skip
    for y in range(0, height, window):
        for x in range(0, width, window):
            axes.add_patch(Rectangle((x, y), window, window, fill=False, edgecolor=SOFT_INK, linewidth=1.2))
    axes.set_xlim(-0.05, width + 0.05)
    axes.set_ylim(8.1, -0.1)
    axes.set_aspect("equal", anchor="NW")
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.axis("off")
