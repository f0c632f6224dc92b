"""The two bits of a real picture: its grey values pooled once, and where each way back puts the maxima.

Boundary error, as it is counted here: a window's maximum is off by the distance in pixels from where a
restored map has its largest value in that window to the nearest pixel where the picture had its own. It is 0
where the maximum came back to its place, at most √2. It is counted in all windows that aren't flat, and at
boundaries: in the tenth of the windows with the widest range of values. That is what the indices keep.

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
from matplotlib.patches import Rectangle
from PIL import Image
from rich.table import Table
from torch import Tensor

from segnet.base.colours import VERMILION, hex_code
from segnet.base.errors import SegnetError
from segnet.base.readable import number_table
from segnet.core.kernels.plain import unpack, windows
from segnet.core.pooling import max_pool_2x2, max_unpool_2x2
from segnet.figures.concepts import POSITIONS
from segnet.figures.figure import colour_legend, drawn, headline, tile
from segnet.models.inspection.unpooling import INDICES, WAYS
from segnet.report.plots import SOFT_INK

EDGE_SHARE = 0.1
"""Of the windows, those of widest range: at boundaries."""

_SHOWN = (INDICES, "bilinear", "first-corner")
_ZOOM = 8  # windows a side
_FLAT = "#f1f2f4"

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
    at_edges = _widest(ranges)
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
        _busiest(at_edges),
    )


def _widest(ranges: Tensor) -> Tensor:
    """Return the tenth of the windows ``(h, w)`` of widest range, and all that equal the last of them."""
    count = max(1, round(EDGE_SHARE * ranges.numel()))
    least = ranges.flatten().sort(descending=True).values[count - 1]
    return (ranges >= least) & (ranges > 0)


def _distances(before: Tensor, after: Tensor) -> Tensor:
    """Return for each window ``(h, w)`` how far its maximum moved; four values a window ``(4, h, w)``."""
    row, column = torch.tensor([0.0, 0.0, 1.0, 1.0]), torch.tensor([0.0, 1.0, 0.0, 1.0])
    place = after.argmax(0)
    apart = torch.hypot(row[:, None] - row, column[:, None] - column)[place].movedim(-1, 0)
    return apart.masked_fill(before < before.amax(0), torch.inf).amin(0)  # of equal maxima the nearest


def _error(distances: Tensor) -> BoundaryError:
    return BoundaryError(float((distances > 0).float().mean()), float(distances.mean()))


def _busiest(at_edges: Tensor) -> tuple[int, int]:
    """Return the first window of the square with most windows at edges."""
    rows, columns = (max(1, side - _ZOOM + 1) for side in at_edges.shape)
    sums = torch.nn.functional.pad(at_edges.long().cumsum(0).cumsum(1), (1, 0, 1, 0))
    height, width = min(_ZOOM, at_edges.shape[0]), min(_ZOOM, at_edges.shape[1])
    counts = (
        sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    )[:rows, :columns]
    row, column = divmod(int(counts.argmax()), counts.shape[1])
    return row, column


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
        colour_legend(canvas, POSITIONS | {"flat: all four equal": _FLAT})


def _painted(figure: PooledPicture) -> npt.NDArray[np.uint8]:
    """Return the codes at the picture's size, ``(H, W, 3)``, each window in one colour."""
    colours = [*POSITIONS.values(), _FLAT]
    palette = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colours], np.uint8)
    return palette[np.where(figure.flat, 4, figure.codes)].repeat(2, 0).repeat(2, 1)
