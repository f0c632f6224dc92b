"""What batch norm and ReLU do to the maps of one layer of a trained model, in numbers and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from PIL import Image
from rich.table import Table

from segnet.base.colours import BLUE, ORANGE, hex_code
from segnet.base.readable import counted, number_table
from segnet.data.images.pixel_values import Pixels
from segnet.figures.figure import drawn, headline
from segnet.figures.subjects import ShownModel
from segnet.models.inspection.activations import most_telling, unit_steps
from segnet.report.plots import INK, SOFT_INK, bare

_CHANNELS, _MAPS = 24, 3
_RANGE = (5, 95)  # percentiles

Numbers = npt.NDArray[np.float32]


@dataclass(frozen=True)
class MapStep:
    """The maps of all images after one step."""

    title: str
    values: Numbers
    """``(N, C, h, w)``."""

    @property
    def means(self) -> Numbers:
        """The mean of each channel."""
        return np.asarray(self.values.mean((0, 2, 3)))

    @property
    def standard_deviations(self) -> Numbers:
        """The standard deviation of each channel."""
        return np.asarray(self.values.std((0, 2, 3)))

    @property
    def above_zero(self) -> float:
        """The share of values above 0."""
        return float((self.values > 0).mean())


@dataclass(frozen=True)
class ActivationsFigure:
    """One unit of a model, step by step."""

    name: str
    unit: str
    steps: tuple[MapStep, ...]
    channels: Sequence[int]
    """Those that are drawn, by rising number."""
    images: int


def step_by_step(
    shown: ShownModel, pictures: Sequence[Image.Image | Pixels], unit: str | None = None
) -> ActivationsFigure:
    """Run a trained model on images and return what one of its units does.

    Raises:
        SegnetError: no such unit.
    """
    found = unit_steps(shown.model, shown.batch(pictures), unit)
    is_relu = torch.equal(found.given, found.normed.relu())  # and nothing added before it
    last = "after ReLU" if is_relu else "what the unit gives"
    steps = tuple(
        MapStep(title, maps.numpy())
        for title, maps in (
            ("after the convolution", found.convolved),
            ("after batch norm", found.normed),
            (last, found.given),
        )
    )
    return ActivationsFigure(
        shown.name, found.unit, steps, most_telling(found.given[0], _CHANNELS), len(pictures)
    )


def steps_table(figure: ActivationsFigure) -> Table:
    """Return a row a step: ranges of the channels' means and standard deviations, and the share above 0."""
    rows = (
        (
            step.title,
            f"{step.means.min():.2f} to {step.means.max():.2f}",
            f"{step.standard_deviations.min():.2f} to {step.standard_deviations.max():.2f}",
            f"{100 * step.above_zero:.1f} %",
        )
        for step in figure.steps
    )
    channels = figure.steps[0].values.shape[1]
    title = f"{figure.name}, {figure.unit}: {channels} channels, {counted(figure.images, 'image')}"
    columns = ("step", "mean of a channel", "standard deviation of a channel", "above 0")
    return number_table(columns, rows, title=title)


def draw_activations(figure: ActivationsFigure, path: Path) -> None:
    """Draw how far channels reach after each step, and some of their maps; PNG or SVG by the file's name."""
    _, _, height, width = figure.steps[0].values.shape
    columns = len(figure.steps)
    tile_in = 3.5 / _MAPS * min(1.5, height / width)
    with drawn(path, 3.7 * columns, 4.0 + tile_in, layout="constrained") as canvas:
        grid = canvas.add_gridspec(2, columns * _MAPS, height_ratios=(3.0, tile_in))
        few = figure.channels[:: max(1, len(figure.channels) // _MAPS)][:_MAPS]
        first: Axes | None = None
        for column, step in enumerate(figure.steps):
            # one scale for all, since it is the ranges that change
            axes = canvas.add_subplot(grid[0, column * _MAPS : (column + 1) * _MAPS], sharey=first)
            first = first or axes
            _draw_ranges(axes, step, figure.channels)
            for place, channel in enumerate(few):
                axes = canvas.add_subplot(grid[1, column * _MAPS + place])
                axes.imshow(step.values[0, channel], cmap="viridis", interpolation="nearest")
                axes.set_title(f"channel {channel}", fontsize=8.5, color=SOFT_INK)
                axes.axis("off")
        headline(canvas, f"{figure.name}, {figure.unit}: what batch norm and ReLU do")


def _draw_ranges(axes: Axes, step: MapStep, channels: Sequence[int]) -> None:
    """Draw a bar for each channel, from its 5th to its 95th percentile, and its mean."""
    values = step.values[:, [*channels]].transpose(1, 0, 2, 3).reshape(len(channels), -1)
    low, high = np.percentile(values, _RANGE, axis=1)
    places = np.arange(len(channels))
    axes.bar(places, high - low, 0.7, bottom=low, color=hex_code(BLUE), alpha=0.55)
    axes.plot(
        places,
        values.mean(1),
        "o",
        color=hex_code(ORANGE),
        markersize=4,
        markeredgecolor=INK,
        markeredgewidth=0.5,
    )
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_title(step.title, loc="left", fontsize=10, color=INK)
    axes.set_xlabel("channel; bar: 5th to 95th percentile, dot: mean", fontsize=8.5, color=SOFT_INK)
    shown = places[:: max(1, len(places) // 8)]
    axes.set_xticks(shown, [str(channels[place]) for place in shown])
    bare(axes)
    axes.tick_params(labelsize=8.5)
    axes.spines["bottom"].set_visible(False)
    axes.text(
        0.98, 0.97, f"{100 * step.above_zero:.0f} % above 0", transform=axes.transAxes, ha="right", va="top",
        fontsize=9, color=INK,
    )  # fmt: skip
