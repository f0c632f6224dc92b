"""Any model in words and as a drawing, the article's Figure 6: its stages and what passes between.

In the drawing the encoder goes down on the left and the decoder up on the right, a row for each map size;
between the two stands what passes: two bits a window, whole maps, or nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Rectangle
from rich.table import Table

from segnet.base.colours import BLUE, BLUISH_GREEN, ORANGE, REDDISH_PURPLE, SKY_BLUE, VERMILION, hex_code
from segnet.base.readable import BINARY_BYTES, number_table, readable_size
from segnet.core.pooling import Size
from segnet.figures.figure import drawn, headline, ink_on
from segnet.models.inspection.costs import Layer
from segnet.models.inspection.structure import ModelPart, Passed, Side, Structure, channels_of
from segnet.report.plots import INK, SOFT_INK


def describe_architecture(name: str, structure: Structure) -> str:
    """Return in a line or two what passes from encoder to decoder, and how large the model is."""
    return f"{name}: {structure.parameters:,} parameters; {sum_in_words(structure.passed)}"


def sum_in_words(passed: Sequence[Passed]) -> str:
    """Return how much passes from encoder to decoder, of codes and of whole maps."""
    if not passed:
        return "nothing passes from encoder to decoder but the deepest map"
    words = []
    for kind, what in (("codes", "two-bit codes"), ("maps", "whole maps (float32)")):
        size = sum(each.bytes for each in passed if each.kind == kind)
        if size:
            words.append(f"{readable_size(size, BINARY_BYTES)} of {what}")
    return f"{' and '.join(words)} pass from encoder to decoder for one image"


def parts_table(structure: Structure, size: Size) -> Table:
    """Return a row for each part: its layers, its maps, its parameters, and what it hands past the others."""
    rows = []
    for part in structure.parts:
        passed = [each for each in structure.passed if each.source == part.name]
        last = (part.multiplying or part.layers)[-1]
        rows.append(
            (
                part.name,
                "; ".join(_layers(part)) or part.layers[0].kind,
                f"{channels_of(last)} of {'x'.join(map(str, part.places))}",
                f"{part.parameters:,}",
                "; ".join(f"{in_words(each)} to {each.target}" for each in passed),
            )
        )
    return number_table(
        ("part", "layers", "maps", "parameters", "passes on"),
        rows,
        texts=(0, 1, 2, 4),
        sums=("sum", "", "", f"{structure.parameters:,}", ""),
        title=f"one image of {size[0]}x{size[1]}",
    )


def _layers(part: ModelPart) -> list[str]:
    """Return each kind of layer with the channels that its layers give: "conv 3x3 → 64, 64"."""
    channels: dict[str, list[int]] = {}
    for layer in part.multiplying:
        channels.setdefault(layer.kind, []).append(channels_of(layer))
    lines = []
    for kind, each in channels.items():
        alike = len({*each}) == 1 and len(each) > 2
        gives = f"{len(each)} x {each[0]}" if alike else ", ".join(map(str, each))
        lines.append(f"{kind} → {gives}")
    return lines


def in_words(passed: Passed) -> str:
    """Return what passes, and how much of it: "2 bits for each window: 64 KiB"."""
    channels, height, width = passed.shape
    if passed.kind == "codes":
        return f"2 bits for each window: {readable_size(passed.bytes, BINARY_BYTES)}"
    return f"{channels} maps of {height}x{width}: {readable_size(passed.bytes, BINARY_BYTES)}"


# Inches.
_GAP = 2.9  # between encoder and decoder, for what passes
_SPACE = 0.04  # between two layers
_BETWEEN = 0.3  # between two parts of a row
_APART = 0.13  # codes and maps that go the same way, from its middle
_TALLEST, _LOWEST = 0.78, 0.42  # a layer's height, of the largest and the smallest maps
_CAPTION = 0.62  # from a row of layers to the next
_LETTER = 0.066  # width of a caption's letter

# What a layer is drawn in, by what its kind begins or ends with; the first that fits.
_KINDS = (
    ("depthwise conv", ORANGE, "depthwise convolution"),
    ("transposed conv", REDDISH_PURPLE, "transposed convolution"),
    ("conv 1x1", SKY_BLUE, "1x1 convolution"),
    ("conv", BLUE, "convolution"),
    ("linear", BLUISH_GREEN, "linear layer"),
)


@dataclass(frozen=True)
class _Block:
    """What is drawn as one: a part, or several alike that follow each other."""

    part: ModelPart
    times: int = 1

    @property
    def name(self) -> str:
        first = self.part.name.partition(".")[0]
        return f"{self.times} × {first}" if self.times > 1 else self.part.name

    @property
    def caption(self) -> str:
        return f"{self.name}\n{self.times * self.part.parameters:,}"

    @property
    def layers_in(self) -> float:
        return sum(_width(layer) + _SPACE for layer in self.part.multiplying) - _SPACE

    @property
    def width_in(self) -> float:
        longest = max(map(len, self.caption.split("\n")))
        return max(self.layers_in, longest * _LETTER + 0.24)


def draw_architecture(name: str, size: Size, structure: Structure, path: Path) -> None:
    """Draw a model, as PNG or SVG by the file's name."""
    blocks = _blocks(structure)
    starts_low = all(block.part.side != "down" for block in blocks)
    rows = sorted({part.places for part in structure.parts if part.multiplying}, key=math.prod, reverse=True)
    if starts_low and math.prod(rows[0]) < math.prod(size):
        rows.insert(0, size)  # for the image and the logits, which have no other row
    heights = [_TALLEST - (_TALLEST - _LOWEST) * place / max(1, len(rows) - 1) for place in range(len(rows))]
    tops = [sum(heights[:place]) + _CAPTION * place for place in range(len(rows))]
    kinds: tuple[Side, ...] = ("down", "bottom", "up")
    sides = {side: [block for block in blocks if block.part.side == side] for side in kinds}
    wides = {
        side: max((_row_width([b for b in found if b.part.places == row]) for row in rows), default=0.0)
        for side, found in sides.items()
    }
    left = max(wides["down"] + _GAP / 2, wides["bottom"] / 2) + 1.6
    right = max(wides["up"] + _GAP / 2, wides["bottom"] / 2) + 0.75
    ends_low = not sides["bottom"]
    bottom = tops[-1] + heights[-1] + (1.0 if ends_low else 0.55)
    with drawn(path, left + right, bottom + 1.3) as figure:
        axes = figure.add_axes((0, 0.0, 1, 1 - 0.62 / (bottom + 1.3)))
        axes.set(xlim=(-left, right), ylim=(bottom + 0.5, -0.18))
        axes.axis("off")
        for row, top, height in zip(rows, tops, heights, strict=True):
            text = "x".join(map(str, row)) if len(row) == 2 else f"{row[0]} tokens"
            axes.text(-left + 0.12, top + height / 2, text, va="center", fontsize=9.5, color=SOFT_INK)
        at = _Drawing(axes, rows, tops, heights)
        for side, found in sides.items():
            at.draw_side(side, found)
        at.draw_way(structure, bottom)
        at.draw_passed(structure)
        _draw_legend(axes, structure, -left + 0.12, bottom + 0.22)
        headline(figure, f"{name}: {structure.parameters:,} parameters")
        figure.text(
            0.01, 1 - 0.5 / (bottom + 1.3), sum_in_words(structure.passed), fontsize=10, color=SOFT_INK
        )


def _blocks(structure: Structure) -> list[_Block]:
    """Return what is drawn: parts that multiply; equal ones that follow each other as one."""
    blocks: list[_Block] = []
    for part in structure.parts:
        if not part.multiplying:
            continue
        if blocks and _looks(blocks[-1].part) == _looks(part):
            blocks[-1] = replace(blocks[-1], times=blocks[-1].times + 1)
        else:
            blocks.append(_Block(part))
    return blocks


def _looks(part: ModelPart) -> tuple[object, ...]:
    layers = tuple((layer.kind, layer.shape, layer.parameters) for layer in part.layers)
    return part.name.partition(".")[0], layers


def _row_width(blocks: Sequence[_Block]) -> float:
    return sum(block.width_in for block in blocks) + _BETWEEN * max(0, len(blocks) - 1)


def _width(layer: Layer) -> float:
    return 0.12 + 0.022 * math.log2(channels_of(layer))


def _colour(kind: str) -> str:
    return next(hex_code(colour) for known, colour, _ in _KINDS if known in kind)


class _Drawing:
    """Where rows are, in inches, and what is drawn into them."""

    def __init__(
        self, axes: Axes, rows: list[tuple[int, ...]], tops: list[float], heights: list[float]
    ) -> None:
        self.axes = axes
        self.rows, self.tops, self.heights = rows, tops, heights
        self.ends: dict[str, tuple[float, float]] = {}
        """Of each part, by its name, where its layers begin and end."""
        self.sides: dict[Side, dict[int, list[_Block]]] = {"down": {}, "bottom": {}, "up": {}}
        """What is drawn on each side, by row."""

    def middle(self, row: int) -> float:
        return self.tops[row] + self.heights[row] / 2

    def foot(self, row: int) -> float:
        return self.tops[row] + self.heights[row]

    def draw_side(self, side: Side, blocks: Sequence[_Block]) -> None:
        """Draw the blocks of one side: in each row those of its size, the encoder's up to the gap."""
        for row, places in enumerate(self.rows):
            here = [block for block in blocks if block.part.places == places]
            if not here:
                continue
            self.sides[side][row] = here
            wide = _row_width(here)
            start = {"down": -_GAP / 2 - wide, "bottom": -wide / 2, "up": _GAP / 2}[side]
            for block in here:
                x = start
                if side == "down":  # so that the last layer stands at the gap
                    x += block.width_in - block.layers_in
                self._draw_block(block, x, start, row, indent=side == "up" and block is here[0])
                start += block.width_in + _BETWEEN

    def _draw_block(self, block: _Block, x: float, caption: float, row: int, *, indent: bool) -> None:
        top, height = self.tops[row], self.heights[row]
        self.ends[block.part.name] = (x, x + block.layers_in)
        for layer in block.part.multiplying:
            wide, colour = _width(layer), _colour(layer.kind)
            self.axes.add_patch(
                Rectangle(
                    (x, top), wide, height, facecolor=colour, edgecolor="white", linewidth=0.8, zorder=3
                )
            )
            self.axes.text(
                x + wide / 2, top + height / 2, str(channels_of(layer)), rotation=90, ha="center",
                va="center", fontsize=8, color=ink_on(colour), zorder=4,
            )  # fmt: skip
            x += wide + _SPACE
        self.axes.text(
            caption + (0.26 if indent else 0), top + height + 0.05, block.caption, va="top", fontsize=8,
            color=SOFT_INK, linespacing=1.25,
        )  # fmt: skip

    def draw_way(self, structure: Structure, bottom: float) -> None:
        """Draw the way that maps take: down, along the bottom and up, to the logits."""
        down, low, up = self.sides["down"], self.sides["bottom"], self.sides["up"]
        for above, below in pairwise(sorted(down)):
            self._step(self._last(down[above]), self.foot(above), self._first(down[below]), self.tops[below])
        for below, above in pairwise(sorted(up, reverse=True)):
            self._step(self._last(up[below]), self.tops[below], self._first(up[above]), self.foot(above))
        self._draw_ends(structure)
        if not low:
            start, end = self._last(down[max(down)]), self._first(up[max(up)])
            y = bottom - 0.3
            self._arrow([(start, self.foot(max(down))), (start, y), (end, y), (end, self.foot(max(up)))])
            deepest = down[max(down)][-1].part.layers[-1]
            text = f"{channels_of(deepest)} maps of {'x'.join(map(str, deepest.shape[1:]))}"
            self.axes.text(0, y - 0.05, text, ha="center", va="bottom", fontsize=9, color=INK)
            return
        row = max(low)
        for before, after in pairwise(low[row]):
            ends = self.ends[before.part.name][1], self.ends[after.part.name][0]
            self._arrow([(x, self.middle(row)) for x in ends])
        start, end = self.ends[low[row][0].part.name][0], self.ends[low[row][-1].part.name][1]
        first, last = self._first(low[row]), self._last(low[row])
        if down:
            x, foot = self._last(down[max(down)]), self.foot(max(down))
            if x < start:
                self._arrow([(x, foot), (x, self.middle(row)), (start, self.middle(row))])
            else:
                self._step(x, foot, first, self.tops[row])
        if up:
            x, foot = self._first(up[max(up)]), self.foot(max(up))
            if x > end:
                self._arrow([(end, self.middle(row)), (x, self.middle(row)), (x, foot)])
            else:
                self._step(last, self.tops[row], x, foot)

    def _draw_ends(self, structure: Structure) -> None:
        """Draw the image on its way in, the logits on their way out, and what stands beside each other."""
        down, low, up = self.sides["down"], self.sides["bottom"], self.sides["up"]
        words: dict[str, Any] = {"va": "center", "fontsize": 9, "color": INK}
        y = self.middle(0)
        if down:
            y = self.middle(min(down))
            x = self.ends[down[min(down)][0].part.name][0]
            self._arrow([(x - 0.24, y), (x, y)])
            self.axes.text(x - 0.28, y, "image", ha="right", **words)
        else:
            x = self._first(low[max(low)])
            self._arrow([(x, y + 0.12), (x, self.tops[max(low)])])
            self.axes.text(x, y, "image", ha="center", **words)
        if up:
            y = self.middle(min(up))
            x = self.ends[up[min(up)][-1].part.name][1]
            self._arrow([(x, y), (x + 0.24, y)])
            self.axes.text(x + 0.28, y, "logits", **words)
        else:
            x = self._last(low[max(low)])
            self._arrow([(x, self.tops[max(low)]), (x, y + 0.12)])
            self.axes.text(x, y, "logits", ha="center", **words)
        joined = {each.target: each.is_alone for each in structure.passed if each.kind == "maps"}
        for row, blocks in up.items():
            for before, after in pairwise(blocks):
                ends = self.ends[before.part.name][1], self.ends[after.part.name][0]
                if joined.get(after.part.name):  # it has its maps from elsewhere: the two are added
                    self.axes.text(sum(ends) / 2, self.middle(row), "+", ha="center", zorder=5, **words)
                else:  # beside what passes where there is some
                    aside = 0.3 * self.heights[row] if after.part.name in joined else 0
                    self._arrow([(x, self.middle(row) + aside) for x in ends])

    def _first(self, blocks: Sequence[_Block]) -> float:
        """Return the middle of the first layer of a row."""
        part = blocks[0].part
        return self.ends[part.name][0] + _width(part.multiplying[0]) / 2

    def _last(self, blocks: Sequence[_Block]) -> float:
        """Return the middle of the last layer of a row."""
        part = blocks[-1].part
        return self.ends[part.name][1] - _width(part.multiplying[-1]) / 2

    def _step(self, x: float, y: float, to_x: float, to_y: float) -> None:
        """Draw an arrow from row to row, sideways just above the lower one, where no caption is."""
        between = max(y, to_y) - 0.13
        self._arrow([(x, y), (x, between), (to_x, between), (to_x, to_y)])

    def _arrow(self, way: list[tuple[float, float]]) -> None:
        across, along = zip(*way[:-1], strict=True)
        self.axes.plot(across, along, color=INK, linewidth=1.2, solid_capstyle="butt", zorder=2)
        self.axes.annotate("", way[-1], xytext=way[-2], arrowprops=_ARROW, zorder=2)

    def draw_passed(self, structure: Structure) -> None:
        """Draw what passes between encoder and decoder, behind what it passes by."""
        rows = {part.name: self.rows.index(part.places) for part in structure.parts if part.multiplying}
        if not structure.passed:
            self.axes.text(
                0, self.middle(0), "nothing passes here", fontsize=9.5, ha="center", va="center",
                color=SOFT_INK,
            )  # fmt: skip
        ways = [(each.source, each.target) for each in structure.passed]
        for each in structure.passed:
            aside = _APART if ways.count((each.source, each.target)) > 1 else 0.0
            aside = -aside if each.kind == "codes" else aside
            from_y, to_y = (self.middle(rows[name]) + aside for name in (each.source, each.target))
            from_x, to_x = self.ends[each.source][1] + 0.05, self.ends[each.target][0] - 0.03
            whole = each.kind == "maps"
            self.axes.add_patch(
                FancyArrowPatch(
                    (from_x, from_y),
                    (to_x, to_y),
                    arrowstyle="-|>",
                    mutation_scale=13 if whole else 10,
                    linewidth=4 if whole else 1.6,
                    linestyle="-" if whole else (0, (3, 1.5)),
                    color=hex_code(VERMILION),
                    shrinkA=0,
                    shrinkB=0,
                    zorder=1,
                )
            )
            y = from_y + (to_y - from_y) * (0 - from_x) / (to_x - from_x)
            self.axes.text(
                0, y - 0.07, in_words(each), ha="center", va="bottom", fontsize=9, color=INK,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
            )  # fmt: skip


_ARROW: dict[str, Any] = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}


def _draw_legend(axes: Axes, structure: Structure, x: float, y: float) -> None:
    """Name the colours that occur, and what the numbers are."""
    kinds = [layer.kind for part in structure.parts for layer in part.multiplying]
    found = {next(entry for entry in _KINDS if entry[0] in kind) for kind in kinds}
    for known, colour, text in _KINDS:
        if (known, colour, text) in found:
            axes.add_patch(Rectangle((x, y - 0.07), 0.14, 0.14, facecolor=hex_code(colour)))
            axes.text(x + 0.2, y, text, va="center", fontsize=8.5, color=INK)
            x += 0.42 + len(text) * 0.072
    axes.text(
        x, y, "in a layer: its channels; below: the part and its parameters", va="center", fontsize=8.5,
        color=SOFT_INK,
    )  # fmt: skip
