"""How far a model sees, the article's Figure 4: computed layer by layer, and measured by gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from PIL import Image
from rich.table import Table

from segnet.base.colours import BLUISH_GREEN, ORANGE, VERMILION, hex_code
from segnet.base.readable import counted, number_table
from segnet.data.images.pixel_values import Pixels, visible
from segnet.figures.figure import drawn, headline, ink_on
from segnet.figures.subjects import ShownModel
from segnet.models import require_image_size
from segnet.models.inspection.receptive import LayerField, Shares, effective_field, layer_fields, square_with
from segnet.report.plots import INK, SOFT_INK, bare

SHARES = (0.5, 0.95)
"""Of the influence on a logit: the squares that hold so much of it are measured."""


@dataclass(frozen=True)
class FieldFigure:
    """What one model sees of images of one size."""

    name: str
    picture: Pixels
    """``(H, W, 3)``, the first of the images, as the model gets it: of other channels what can be seen."""
    fields: Sequence[LayerField]
    images: int = 0
    """How many the measured field is the mean of; 0 for an untrained model."""
    effective: Shares | None = None
    """``(H, W)``, sums to 1."""

    @property
    def growing(self) -> list[LayerField]:
        """The layers that see further than the one before: no 1x1 convolutions."""
        before, grown = 1, []
        for field in self.fields:
            if field.sees_px != before:
                grown.append(field)
                before = field.sees_px or 0
        return grown

    def side_with(self, share: float) -> int:
        """Return the side of the square round the centre that holds this share of the influence."""
        assert self.effective is not None
        return square_with(self.effective, share)


def measure_fields(shown: ShownModel, pictures: Sequence[Image.Image | Pixels]) -> FieldFigure:
    """Compute what each layer sees; of a trained model measure also what sways the centre's logit.

    Raises:
        SegnetError: an image size that the model can't take.
    """
    require_image_size(shown.name, shown.model, shown.size)
    fields = layer_fields(shown.model, shown.channels)
    picture = visible(shown.pixels(pictures[0]))
    if not shown.is_trained:
        return FieldFigure(shown.name, picture, fields)
    effective = effective_field(shown.model, shown.batch(pictures))
    return FieldFigure(shown.name, picture, fields, len(pictures), effective)


def fields_table(figure: FieldFigure) -> Table:
    """Return a row for each layer that sees further than the one before it."""
    rows = (
        (
            field.name,
            field.kind,
            str(field.step_px),
            "whole image" if field.sees_px is None else str(field.sees_px),
        )
        for field in figure.growing
    )
    columns = ("layer", "kind", "step, px", "sees, px")
    return number_table(columns, rows, texts=(0, 1), title=f"{figure.name}: what one value sees")


def describe_fields(figure: FieldFigure) -> str:
    """Return what the table doesn't show: what was measured, and how it is counted."""
    height, width = figure.picture.shape[:2]
    text = "computed: each layer adds (kernel - 1) x the step of the map it reads, in pixels\n"
    if figure.effective is None:
        return text + "measured: nothing, since this model is untrained; give a run, a file or pets-lite"
    half, most = (figure.side_with(share) for share in SHARES)
    return (
        f"{text}measured: of all that sways the logit in the centre of {height}x{width} px, half comes from "
        f"{half}x{half} px round it and 95 % from {most}x{most}\n"
        f"          (gradient of the winning class's logit, mean of {counted(figure.images, 'image')})"
    )


def draw_fields(figure: FieldFigure, path: Path) -> None:
    """Draw the squares on the picture, their growth, and what was measured; PNG or SVG by the file's name."""
    is_measured = figure.effective is not None
    widths = (3.9, 4.4, 3.9) if is_measured else (3.9, 4.9)
    with drawn(path, sum(widths) + 0.3, 4.9, layout="constrained") as canvas:
        axes = canvas.subplots(1, len(widths), width_ratios=widths)
        _draw_squares(axes[0], figure)
        _draw_growth(axes[1], figure)
        if is_measured:
            _draw_measured(axes[2], figure)
        headline(canvas, f"How far {figure.name} sees")


def _by_step(figure: FieldFigure) -> list[LayerField]:
    """Return the last layer of each map size, the largest map first; what sees the whole image apart."""
    last = {(field.step_px, field.sees_px is None): field for field in figure.growing}
    return list(last.values())


def _colour(place: int, count: int) -> str:
    return to_hex(colormaps["viridis"](0.92 - 0.86 * place / max(1, count - 1)))


def _draw_squares(axes: Axes, figure: FieldFigure) -> None:
    height, width = figure.picture.shape[:2]
    ends = _by_step(figure)
    finite = [field.sees_px for field in ends if field.sees_px is not None]
    side = max(height, width, *(sees for sees in finite if sees <= 1.7 * max(height, width)), 1) * 1.03
    axes.imshow(figure.picture, extent=(-width / 2, width / 2, height / 2, -height / 2))
    for place, field in enumerate(ends):
        if field.sees_px is None or field.sees_px > side:
            continue
        half = field.sees_px / 2
        colour = _colour(place, len(ends))
        for line, ink in ((3.6, "#ffffff"), (2, colour)):
            axes.add_patch(
                Rectangle((-half, -half), 2 * half, 2 * half, fill=False, edgecolor=ink, linewidth=line)
            )
        if field.sees_px >= side / 9:
            corner, ha, va = (half, "right", "bottom") if place % 2 else (-half, "left", "top")
            axes.text(  # in turns at two corners, since two squares may be nearly alike
                corner, corner, f"{field.sees_px}", ha=ha, va=va, fontsize=9, color=ink_on(colour),
                bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.5},
            )  # fmt: skip
    axes.set(
        xlim=(-side / 2, side / 2), ylim=(side / 2, -side / 2), xticks=(), yticks=(), facecolor="#f1f2f4"
    )
    axes.spines[:].set_visible(False)
    axes.set_title("computed: what one value sees, px", loc="left", fontsize=10, color=INK)
    beyond = [
        "the whole image" if field.sees_px is None else f"{field.sees_px} px"
        for field in ends
        if field.sees_px is None or field.sees_px > side
    ]
    if beyond:
        axes.set_xlabel(f"not drawn: deepest, {', '.join(beyond)}", fontsize=9, color=SOFT_INK, loc="left")


def _draw_growth(axes: Axes, figure: FieldFigure) -> None:
    layers, ends = figure.growing, _by_step(figure)
    image_px = max(figure.picture.shape[:2])
    finite = [field.sees_px for field in layers if field.sees_px is not None]
    top = 2 * max(*finite, image_px)
    places = range(1, len(layers) + 1)
    heights = [top / 1.15 if field.sees_px is None else field.sees_px for field in layers]
    axes.step(places, heights, where="mid", color="#b5b9be", linewidth=1.5, zorder=1)
    steps = [field.step_px for field in ends]
    for pool in (False, True):
        chosen = [
            (p, h, f) for p, h, f in zip(places, heights, layers, strict=True) if ("pool" in f.kind) is pool
        ]
        axes.scatter(
            [p for p, _, _ in chosen],
            [h for _, h, _ in chosen],
            s=46,
            marker="s" if pool else "o",
            c=[_colour(steps.index(f.step_px), len(ends)) for _, _, f in chosen],
            edgecolors=INK,
            linewidths=0.6,
            zorder=2,
        )
    for place, height, field in zip(places, heights, layers, strict=True):
        if field in ends:
            text = "whole image" if field.sees_px is None else f"{field.sees_px} px"
            above = ends.index(field) % 2 == 0 and place > 1
            axes.annotate(
                text, (place, height), xytext=(-3, 7) if above else (3, -15), textcoords="offset points",
                ha="right" if above else "left", fontsize=9, color=INK,
            )  # fmt: skip
    axes.axhline(image_px, color=hex_code(VERMILION), linewidth=1, linestyle="--")
    axes.text(0.4, image_px, f"image: {image_px} px", va="bottom", fontsize=8.5, color=hex_code(VERMILION))
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set(xlim=(0.4, len(layers) + 0.9), ylim=(2, top))
    starts = [place for place in places if place == 1 or layers[place - 1].part != layers[place - 2].part]
    axes.set_xticks(starts, [layers[start - 1].part for start in starts], rotation=30, ha="left", va="top")
    bare(axes)
    axes.tick_params(labelsize=8.5)
    axes.tick_params(axis="x", rotation=-30, pad=2)
    pools = " (squares: pools)" if any("pool" in field.kind for field in layers) else ""
    axes.set_title(f"layer by layer{pools}", loc="left", fontsize=10, color=INK)


def _draw_measured(axes: Axes, figure: FieldFigure) -> None:
    assert figure.effective is not None
    height, width = figure.picture.shape[:2]
    grey = np.asarray(Image.fromarray(figure.picture).convert("L"), float) / 255
    strength = np.sqrt(figure.effective / max(figure.effective.max(), 1e-300))
    heat = colormaps["magma"](strength)[..., :3]
    share = (0.2 + 0.8 * strength)[..., None]
    axes.imshow(np.clip(0.75 * grey[..., None] * (1 - share) + heat * share, 0, 1))
    for share, colour in zip(SHARES, (BLUISH_GREEN, ORANGE), strict=True):
        side = figure.side_with(share)
        left, top = width // 2 - side / 2, height // 2 - side / 2
        axes.add_patch(
            Rectangle((left, top), side, side, fill=False, edgecolor=hex_code(colour), linewidth=2)
        )
        axes.text(
            max(left, -0.5), max(top, -0.5), f"{100 * share:.0f} %: {side} px", va="top", fontsize=9,
            color=INK, bbox={"facecolor": hex_code(colour), "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
    axes.plot(width // 2, height // 2, marker="+", color="white", markersize=9)
    axes.set(xticks=(), yticks=(), xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axes.spines[:].set_visible(False)
    axes.set_title("measured: what sways the centre's logit", loc="left", fontsize=10, color=INK)
    axes.set_xlabel(
        f"mean of {counted(figure.images, 'image')}; brighter sways more",
        fontsize=9,
        color=SOFT_INK,
        loc="left",
    )
