"""Learning curves: loss, scores, IoU of every class and learning rate for the report, or runs side by side.

Each line carries its name and last value at its end, so that no legend has to be matched by colour.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from segnet.base.colours import BLACK, BLUE, VERMILION, Colour, hex_code
from segnet.base.files import replacing
from segnet.runs.records import EpochRecord
from segnet.runs.scores import CalibrationBin, ClassScores, Scores

INK, SOFT_INK, _RULE = hex_code(BLACK), "#60646a", "#d9dbde"
_LABEL_LIMIT, _EXTREMES = 12, 4
_UNDATED = {"Date": None, "Creator": None}  # of an SVG, whose bytes would else differ from day to day


@dataclass(frozen=True)
class Curve:
    """One line: a value for each epoch, None where there is none."""

    name: str
    values: Sequence[float | None]
    colour: Colour
    dashed: bool = False
    steps: bool = False
    pale: bool = False
    """One of many that stand behind those with a name."""


@dataclass(frozen=True)
class Chart:
    """One figure of the report over the epochs ``epochs``."""

    title: str
    epochs: Sequence[int]
    curves: Sequence[Curve]
    scale: Literal["score", "from zero"] = "from zero"
    number: str = "{:.3f}"
    marked_epoch: int | None = None
    changes: Mapping[int, str] = field(default_factory=dict)  # first epoch of a new setting: its label


def learning_curves(
    records: Sequence[EpochRecord], colours: Mapping[str, Colour], *, best_epoch: int | None = None
) -> list[tuple[str, str]]:
    """Draw the learning curves of a run as ``(title, SVG document)`` pairs; none for no epochs.

    Args:
        records: by rising epoch; whatever one lacks is a gap in its line.
        colours: class names in the order of their ids, each with its colour.
        best_epoch: marked in the charts of scores.
    """
    if not records:
        return []
    epochs = [record.epoch for record in records]
    val = [record.val for record in records]
    # where training went on with another image size curves jump
    sizes = {
        record.epoch: " × ".join(map(str, record.size)) + " px"
        for before, record in pairwise(records)
        if record.size and before.size and record.size != before.size
    }
    charts = [
        Chart(
            "Loss",
            epochs,
            [
                Curve("train", [record.train_loss for record in records], VERMILION, dashed=True),
                Curve("val", [scores.loss for scores in val], BLUE),
            ],
            marked_epoch=best_epoch,
            changes=sizes,
        ),
        Chart(
            "Validation scores",
            epochs,
            [
                Curve("pixel accuracy", [scores.pixel_accuracy for scores in val], VERMILION),
                Curve("mean IoU", [scores.mean_iou for scores in val], BLUE),
            ],
            scale="score",
            marked_epoch=best_epoch,
            changes=sizes,
        ),
        Chart(
            "Validation IoU of each class",
            epochs,
            _class_curves(val, colours),
            scale="score",
            marked_epoch=best_epoch,
            changes=sizes,
        ),
        Chart(
            "Learning rate",
            epochs,
            [Curve("", [record.lr for record in records], BLUE, steps=True)],
            number="{:.2g}",
        ),
    ]
    return [(chart.title, draw_svg(chart)) for chart in charts]


def _class_curves(val: Sequence[Scores], colours: Mapping[str, Colour]) -> list[Curve]:
    """Return a curve for each class; of more than can be labelled the worst and the best stand out."""
    last = {name: val[-1].per_class.get(name, ClassScores()).iou for name in colours}
    ranked = sorted(
        (name for name, iou in last.items() if iou is not None), key=lambda name: last[name] or 0.0
    )
    shown = {*colours} if len(colours) <= _LABEL_LIMIT else {*ranked[:_EXTREMES], *ranked[-_EXTREMES:]}
    curves = [
        Curve(
            name,
            [scores.per_class.get(name, ClassScores()).iou for scores in val],
            colour,
            pale=name not in shown,
        )
        for name, colour in colours.items()
    ]
    return sorted(curves, key=lambda curve: not curve.pale)  # the pale ones are drawn first


def draw_svg(chart: Chart) -> str:
    """Draw a chart as an SVG document; the same chart gives the same bytes."""
    with own_style():
        return _as_svg(_draw(chart))


def write_chart(chart: Chart, path: Path) -> None:
    """Write a chart as ``.svg`` or, for the eye alone, ``.png``, by the file's name."""
    with own_style():
        save(_draw(chart), path, dpi=160)


def draw_calibration(bins: Sequence[CalibrationBin]) -> str:
    """Draw accuracy over confidence, and below it the share of pixels in each bin, as an SVG document."""
    with own_style():
        figure = Figure(figsize=(5.6, 3.9), facecolor="white")
        FigureCanvasAgg(figure)
        above, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
        figure.subplots_adjust(left=0.12, right=0.97, bottom=0.12, top=0.92, hspace=0.12)
        for axes in (above, below):
            bare(axes)
            axes.set(xlim=(0, 1), ylim=(0, 1))
        above.set_title("Accuracy over confidence", loc="left", fontsize=11, color=INK, pad=10)
        above.plot((0, 1), (0, 1), color=SOFT_INK, linewidth=0.8, linestyle=":")
        full = [each for each in bins if each.confidence is not None and each.accuracy is not None]
        confidence = [_number(each.confidence) for each in full]
        accuracy = [_number(each.accuracy) for each in full]
        above.plot(confidence, accuracy, color=hex_code(BLUE), linewidth=2, marker="o", markersize=4)
        total = sum(each.pixels for each in bins) or 1
        shares = [each.pixels / total for each in bins]
        width = 1 / max(1, len(bins))
        places = [(index + 0.5) * width for index in range(len(bins))]
        below.bar(places, shares, 0.9 * width, color=hex_code(BLUE), alpha=0.5)
        below.set_ylabel("share", color=SOFT_INK)
        below.set_xlabel("confidence: probability of the predicted class", color=SOFT_INK, loc="left")
        return _as_svg(figure)


def save(figure: Figure, path: Path, *, dpi: int) -> None:
    """Write a figure as PNG or SVG by the file's name; the same drawing gives the same bytes.

    Raises:
        SegnetError: the file can't be written.
    """
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=dpi, metadata=_UNDATED if path.suffix == ".svg" else None)


def _as_svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata=_UNDATED)
    return text.getvalue()


@contextmanager
def own_style() -> Iterator[None]:
    """Draw alike on every machine, whatever the reader's own style file says."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the report's table has the name
        matplotlib.rcdefaults()
        matplotlib.rcParams["svg.hashsalt"] = "segnet"  # element ids are random without one
        matplotlib.rcParams["svg.fonttype"] = "path"  # letters look the same on every machine
        matplotlib.rcParams["font.size"] = 9.5
        yield


def _draw(chart: Chart) -> Figure:
    figure = Figure(figsize=(5.6, 3.1), facecolor="white")
    figure.subplots_adjust(left=0.1, right=0.69, bottom=0.15, top=0.87)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(chart.title, loc="left", fontsize=11, color=INK, pad=10)
    bare(axes)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("epoch", color=SOFT_INK, loc="left")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))

    first, last = (chart.epochs[0], chart.epochs[-1]) if chart.epochs else (1, 1)
    axes.set_xlim(first - 0.5, last + 0.5)
    for curve in chart.curves:
        values = [_number(value) for value in curve.values]
        alone = sum(map(math.isfinite, values)) == 1
        axes.plot(
            chart.epochs,
            values,
            color=_RULE if curve.pale else _on_white(curve.colour),
            linewidth=0.7 if curve.pale else 2,
            linestyle="--" if curve.dashed else "-",
            drawstyle="steps-mid" if curve.steps else "default",
            marker="o" if alone or (len(values) <= 12 and not curve.pale) else None,
            markersize=6 if alone else 3.5,
            clip_on=False,
        )
    finite = [v for curve in chart.curves for v in map(_number, curve.values) if math.isfinite(v)]
    whole = min(0.0, 1.1 * min(finite, default=0.0)), max(1.1 * max(finite, default=1.0), 1e-12)
    axes.set_ylim((0, 1) if chart.scale == "score" else whole)
    small: dict[str, Any] = {
        "transform": axes.get_xaxis_transform(),
        "va": "bottom",
        "color": SOFT_INK,
        "fontsize": 8,
    }
    for epoch, label in chart.changes.items():
        axes.axvline(epoch - 0.5, color=SOFT_INK, linewidth=0.8, linestyle=":")
        axes.text(epoch - 0.5, 0.02, f" {label}", **small)
    if chart.marked_epoch is not None and chart.marked_epoch in chart.epochs:
        axes.axvline(chart.marked_epoch, color=_RULE, linewidth=5, zorder=0)
        axes.text(chart.marked_epoch, 1.0, "best", ha="center", **small)
    _label_ends(axes, chart)
    return figure


def bare(axes: Axes) -> None:
    """Leave of a chart's frame the line below and pale lines across."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_RULE)
    axes.tick_params(colors=SOFT_INK, length=0)
    axes.grid(axis="y", color=_RULE, linewidth=0.6)
    axes.set_axisbelow(True)


def _label_ends(axes: Axes, chart: Chart) -> None:
    """Write names and last values beside the line ends, moved apart where they would overlap."""
    ends = []
    for curve in (each for each in chart.curves if not each.pale):
        finite = [value for value in map(_number, curve.values) if math.isfinite(value)]
        if finite:
            height = axes.transAxes.inverted().transform(axes.transData.transform((1, finite[-1])))[1]
            ends.append(
                (
                    float(height),
                    f"{_short(curve.name)}  {chart.number.format(finite[-1])}".strip(),
                    curve.colour,
                )
            )
    ends.sort(key=lambda end: end[0])
    for height, (_, text, colour) in zip(_apart([end[0] for end in ends], 0.075), ends, strict=True):
        axes.annotate(
            text,
            (1, height),
            xycoords="axes fraction",
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=_on_white(colour),
            parse_math=False,
        )


def _apart(heights: Sequence[float], distance: float) -> list[float]:
    """Move sorted heights up, then the top ones back down, until neighbours are ``distance`` apart."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + distance) if placed else height)
    top = max(1.0, (len(heights) - 1) * distance)
    for index in range(len(placed) - 1, -1, -1):
        placed[index] = min(placed[index], top)
        top = placed[index] - distance
    return placed


def _short(name: str) -> str:
    return name if len(name) <= 14 else f"{name[:13]}…"


def _number(value: float | None) -> float:
    return math.nan if value is None or not math.isfinite(value) else float(value)


def _on_white(colour: Colour) -> str:
    """Darken a light colour until it can be read on white (relative luminance below 0.42)."""
    red, green, blue = (channel / 255 for channel in colour)
    while 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 > 0.42:
        red, green, blue = 0.93 * red, 0.93 * green, 0.93 * blue
    return hex_code((round(red * 255), round(green * 255), round(blue * 255)))
