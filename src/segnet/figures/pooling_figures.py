"""What max-pooling keeps, from the code that models run: two bits of each window, in numbers and pictures.

Boundary error, as it is counted here for a picture whose grey values are pooled once: a window's maximum is
off by the distance in pixels from where a restored map has its largest value in that window to the nearest
pixel where the picture had its own. It is 0 where the maximum came back to its place, at most √2. It is
counted in all windows that aren't flat, and at boundaries: in the tenth of the windows with the widest range
of values. That is what the indices keep.

It says nothing of the pixels between the maxima, which un-pooling leaves at 0 for convolutions to fill; so
the mean error of all pixels, which stands beside it, is smaller for bilinear upsampling. What both cost a
trained network, ``segnet show pooling --break bilinear`` counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image
from rich.table import Table
from torch import Tensor

from segnet.base.colours import BLUISH_GREEN, ORANGE, REDDISH_PURPLE, SKY_BLUE, VERMILION, hex_code
from segnet.base.errors import SegnetError
from segnet.base.readable import number_table
from segnet.core.kernels.plain import unpack, windows
from segnet.core.pooling import max_pool_2x2, max_unpool_2x2
from segnet.figures.figure import colour_legend, drawn, headline, tile
from segnet.models.inspection.unpooling import INDICES, WAYS
from segnet.report.plots import INK, SOFT_INK
from segnet.scoring.mistakes import densest_corner

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
        cells = [f"[{value}]" if example.won(y, x) else f" {value} " for x, value in enumerate(row)]
        left = "".join(cells[:2]) + " │ " + "".join(cells[2:])
        restored = " ".join(str(value) for value in example.restored[y])
        pooled = codes = ""
        if y % 2 == 0:
            pooled = "  ".join(str(value) for value in example.maxima[y // 2])
            codes = "  ".join(f"{code:02b}" for code in example.codes[y // 2])
        lines.append(f"    {left:<57}{pooled:<11}{codes:<11}{restored}".rstrip())
        if y % 2 and y < 7:
            lines.append("    ───────┼───────")
    lines += [
        "",
        f"a code is the position in its window: {', '.join(POSITIONS)}",
        "four windows below each other share a byte, the uppermost in its lowest bits:",
    ]
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


EDGE_SHARE = 0.1
"""Of the windows, those of widest range: at boundaries."""

_SHOWN = (INDICES, "bilinear", "first-corner")
_ZOOM = 8  # windows a side

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class BoundaryError:
    """How far maxima come out from where they were, in some of the windows."""

    moved: float
    """The share of the maxima that come out at another pixel."""
    distance_px: float
    """The mean distance over all these maxima, 0 for those that stay."""


@dataclass(frozen=True)
class Restored:
    """A way back to the picture's size."""

    way: str
    values: Floats
    """``(H, W)`` grey values."""
    everywhere: BoundaryError
    at_edges: BoundaryError
    pixel_error: float
    """Mean absolute error over all pixels, in grey levels of 255."""


@dataclass(frozen=True)
class PooledPicture:
    """A picture's grey values after one pool, and what comes back."""

    name: str
    grey: Floats
    """``(H, W)``, 0 to 255."""
    codes: npt.NDArray[np.uint8]
    """``(H // 2, W // 2)``, 0 to 3."""
    flat: npt.NDArray[np.bool_]
    """Windows whose four values are equal: their code 0 says nothing."""
    edge_windows: int
    restored: Mapping[str, Restored]
    zoom: tuple[int, int]
    """Row and column of the window that the enlarged part begins with."""


def pooled_picture(name: str, picture: Image.Image) -> PooledPicture:
    """Pool a picture's grey values and restore them by the indices and without.

    A last odd row or column belongs to no window and is left out.

    Raises:
        SegnetError: a picture smaller than a window, or of one colour.
    """
    size = picture.height // 2 * 2, picture.width // 2 * 2
    if min(size) < 2:
        raise SegnetError(
            f"{name} is {picture.height}x{picture.width} px, smaller than a 2x2 window; take a larger image"
        )
    pixels = np.asarray(picture.convert("L"), dtype=np.float32)[: size[0], : size[1]]
    grey = torch.from_numpy(pixels)[None, None]
    values, codes = max_pool_2x2(grey)
    quarters = torch.stack(windows(grey), 2)[0, 0]
    ranges = quarters.amax(0) - quarters.amin(0)
    flat = ranges == 0
    if flat.all():
        raise SegnetError(f"{name} has nothing to keep the place of: in each 2x2 window its greys are equal")
    # the tenth of the windows of widest range, and all that equal the last of them
    count = max(1, round(EDGE_SHARE * ranges.numel()))
    at_edges = (ranges >= ranges.flatten().sort(descending=True).values[count - 1]) & ~flat
    ways = {INDICES: max_unpool_2x2, **WAYS}
    restored = {}
    for way in _SHOWN:
        full = ways[way](values, codes, size)
        off = _distances(quarters, torch.stack(windows(full), 2)[0, 0])
        of_pixels = float((full - grey).abs().mean())
        restored[way] = Restored(
            way, full[0, 0].numpy(), _error(off[~flat]), _error(off[at_edges]), of_pixels
        )
    return PooledPicture(
        name,
        pixels,
        unpack(codes, values.shape[2])[0, 0].numpy(),
        flat.numpy(),
        int(at_edges.sum()),
        restored,
        densest_corner(at_edges.numpy(), (_ZOOM, _ZOOM)),
    )


def _distances(before: Tensor, after: Tensor) -> Tensor:
    """Return for each window ``(h, w)`` how far its maximum moved; four values a window ``(4, h, w)``."""
    row, column = torch.tensor([0.0, 0.0, 1.0, 1.0]), torch.tensor([0.0, 1.0, 0.0, 1.0])
    place = after.argmax(0)
    apart = torch.hypot(row[:, None] - row, column[:, None] - column)[place].movedim(-1, 0)
    return apart.masked_fill(before < before.amax(0), torch.inf).amin(0)  # of equal maxima the nearest


def _error(distances: Tensor) -> BoundaryError:
    return BoundaryError(float((distances > 0).float().mean()), float(distances.mean()))


def errors_table(figure: PooledPicture) -> Table:
    """Return a row for each way back: its boundary error at edges and everywhere, and its error per pixel."""
    height, width = figure.grey.shape
    moves = ("maxima moved at edges", "by", "moved anywhere", "by")
    rows = (
        (
            restored.way,
            *(
                text
                for error in (restored.at_edges, restored.everywhere)
                for text in (f"{100 * error.moved:.1f} %", f"{error.distance_px:.2f} px")
            ),
            f"{restored.pixel_error:.1f} of 255",
        )
        for restored in figure.restored.values()
    )
    title = (
        f"{figure.name}, {height}x{width}: {figure.codes.size} windows, {figure.flat.sum()} of them flat, "
        f"{figure.edge_windows} at edges"
    )
    columns = ("restored by", *moves, "mean error of all pixels")
    return number_table(columns, rows, title=title, pad_edge=False)


NOTE = (
    "moved: the largest value of a 2x2 window comes out at another pixel than it was, by so many pixels in\n"
    "the mean; at edges: in the tenth of the windows with the widest range. Un-pooling by indices leaves\n"
    "three of four pixels 0 for convolutions to fill: that is its error over all pixels. What both cost a\n"
    "trained network, segnet show pooling --break bilinear counts."
)


def draw_pooled_picture(figure: PooledPicture, path: Path) -> None:
    """Draw picture, codes and two ways back, and a part of each enlarged; PNG or SVG by the file's name."""
    height, width = figure.grey.shape
    tile_in = 2.9
    tall = tile_in * min(1.6, max(0.3, height / width))
    codes = _painted(figure)
    shown: list[tuple[npt.NDArray[Any], str, str]] = [
        (figure.grey, f"{figure.name}, {height}x{width}", ""),
        (codes, "two-bit codes of its 2x2 maxima", ""),
    ]
    for way, title in ((INDICES, "un-pooled by the indices"), ("bilinear", "bilinear, without them")):
        error = figure.restored[way].at_edges
        below = (
            f"at edges {100 * error.moved:.0f} % of the maxima moved,\n{error.distance_px:.2f} px in the mean"
        )
        shown.append((figure.restored[way].values, title, below))
    row, column = (2 * place for place in figure.zoom)
    side = 2 * _ZOOM
    with drawn(path, tile_in * 4, tall + tile_in + 1.1, layout="constrained") as canvas:
        above, enlarged = canvas.subplots(2, 4, height_ratios=(tall, tile_in))
        for axes, zoomed, (pixels, title, below) in zip(above, enlarged, shown, strict=True):
            tile(axes, pixels, title)
            part = pixels[row : row + side, column : column + side]
            tile(zoomed, part, "", below)
            axes.add_patch(
                Rectangle(
                    (column - 0.5, row - 0.5),
                    part.shape[1],
                    part.shape[0],
                    fill=False,
                    edgecolor=hex_code(VERMILION),
                    linewidth=1.6,
                )
            )
            for place in range(2, max(part.shape[:2]), 2):
                zoomed.axhline(place - 0.5, color="#8a8d92", linewidth=0.4)
                zoomed.axvline(place - 0.5, color="#8a8d92", linewidth=0.4)
        enlarged[0].set_xlabel("the square enlarged,\nwith its 2x2 windows", fontsize=9.5, color=SOFT_INK)
        headline(canvas, "Two bits a window say where its maximum was; upsampling without them moves it")
        colour_legend(canvas, POSITIONS | {"flat: all four equal": _PALE})


def _painted(figure: PooledPicture) -> npt.NDArray[np.uint8]:
    """Return the codes at the picture's size, ``(H, W, 3)``, each window in one colour."""
    colours = [*POSITIONS.values(), _PALE]
    palette = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colours], np.uint8)
    return palette[np.where(figure.flat, 4, figure.codes)].repeat(2, 0).repeat(2, 1)
