"""What the articles' figures share: the file they are written to, grids of numbers, tiles and legends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from segnet.base.classes import ClassTable
from segnet.base.colours import hex_code
from segnet.report.plots import INK, SOFT_INK, own_style, save

_DPI = 130
_LEGEND_LIMIT = 8
CELL_RULE = "#c9ccd0"  # so that a white cell is a cell


@contextmanager
def drawn(path: Path, width_in: float, height_in: float, **layout: Any) -> Iterator[Figure]:
    """Give an empty figure to draw on, and write it as PNG or SVG by the file's name.

    The same drawing gives the same bytes.

    Raises:
        SegnetError: the file can't be written.
    """
    with own_style():
        figure = Figure(figsize=(width_in, height_in), facecolor="white", **layout)
        FigureCanvasAgg(figure)
        yield figure
        save(figure, path, dpi=_DPI)


def headline(figure: Figure, text: str) -> None:
    """Write what the figure says above it."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=13, color=INK)


def number_grid(
    axes: Axes, texts: Sequence[Sequence[str]], colours: Sequence[Sequence[str]], *, size_pt: float = 10
) -> None:
    """Draw rows of short texts in coloured cells, dark on light or light on dark; first row on top."""
    for y, row in enumerate(texts):
        for x, text in enumerate(row):
            colour = colours[y][x]
            axes.add_patch(Rectangle((x, y), 1, 1, facecolor=colour, edgecolor=CELL_RULE, linewidth=0.8))
            axes.text(
                x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=size_pt, color=ink_on(colour)
            )
    axes.set(xlim=(-0.05, len(texts[0]) + 0.05), ylim=(len(texts) + 0.05, -0.05))
    axes.set_aspect("equal")
    axes.axis("off")


def ink_on(colour: str) -> str:
    """Return dark or white, whichever is read better on ``#rrggbb`` (W3C's relative luminance)."""
    linear = [(int(colour[place : place + 2], 16) / 255) ** 2.2 for place in (1, 3, 5)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return INK if luminance > 0.18 else "#ffffff"


def blend(colour: tuple[int, int, int], share: float) -> str:
    """Return a colour over white, as ``#rrggbb``; a share of 0 is white."""
    red, green, blue = (round(255 + (channel - 255) * share) for channel in colour)
    return hex_code((red, green, blue))


def tile(axes: Axes, pixels: npt.NDArray[Any], title: str, below: str = "", *, size_pt: float = 10) -> None:
    """Show a picture ``(H, W, 3)``, or grey values ``(H, W)`` of 0 to 255, with a title and words below."""
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_title(title, fontsize=size_pt, color=INK)
    axes.set(xticks=(), yticks=())
    axes.spines[:].set_color(CELL_RULE)  # a white edge would be taken for the page
    if below:
        axes.set_xlabel(below, fontsize=9.5, color=SOFT_INK, linespacing=1.4)


def class_colours(classes: ClassTable) -> dict[str, str]:
    """Return the colour of each class by its name, ``#rrggbb``."""
    return {name: hex_code(colour) for name, colour in zip(classes.names, classes.colours, strict=True)}


def colour_legend(figure: Figure, colours: Mapping[str, str]) -> None:
    """Name colours below everything else, a swatch for each ``#rrggbb``; the first eight, in a row."""
    first = islice(colours.items(), _LEGEND_LIMIT)
    swatches = [Patch(facecolor=colour, edgecolor=CELL_RULE, label=name) for name, colour in first]
    figure.legend(
        handles=swatches,
        loc="outside lower left",
        ncols=len(swatches),
        frameon=False,
        fontsize=9.5,
        labelcolor=INK,
        handlelength=1.2,
    )
