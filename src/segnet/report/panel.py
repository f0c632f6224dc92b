"""The picture of an epoch in the arrangement of the article's figures.

A row of inputs stands above a row of ground truths above a row of predictions, for the same images at every
epoch.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from segnet.core.classes import ClassTable
from segnet.core.colours import Colour
from segnet.report.plots import INK, SOFT_INK

Pixels = npt.NDArray[np.uint8]

BACKGROUND: Colour = (250, 250, 248)
"""The page colour of previews; off-white, so that white "ignore" tiles can be seen on it."""

_RULE: Colour = (206, 208, 210)

_ROWS = ("input", "ground truth", "prediction")
_MARGIN_PX = 28
_LABEL_PX = 112
_GAP_PX = 6
_BAND_GAP_PX = 26
_TITLE_PX, _TEXT_PX = 28, 17
_PAGE_PX = (1500, 880)  # what the tiles aim to fill
_MIN_WIDTH_PX = 640
_LEGEND_LIMIT = 24


def preview_panel(
    images: Pixels, truth: Pixels, predicted: Pixels, classes: ClassTable, *, title: str, scores: str
) -> Image.Image:
    """Draw inputs, ground truths and predictions in labelled rows, with title, scores and legend.

    The size depends on the number and size of the images and on ``classes`` and ``truth`` only, so that
    the panels of one run fit on top of each other.

    Args:
        images: ``(N, H, W, 3)`` RGB, 0 to 255, at least one; any H and W.
        truth: ``(N, H, W)`` class ids, ``classes.ignore_index`` is drawn white.
        predicted: ``(N, H, W)`` class ids.
        classes: names and colours.
        title: the headline, "Epoch 3 of 20" say; made smaller until it fits.
        scores: the line under it; made smaller until it fits.

    Raises:
        ValueError: no image, or shapes that don't belong together.
    """
    if images.ndim != 4 or images.shape[-1] != 3 or not len(images):
        raise ValueError(f"images must be (N, H, W, 3) with N of at least 1, got {images.shape}")
    if not truth.shape == predicted.shape == images.shape[:3]:
        raise ValueError(f"masks must be {images.shape[:3]}, got {truth.shape} and {predicted.shape}")
    grid = _grid(*images.shape[:3])
    legend = _legend(classes, truth)
    legend_lines = _legend_lines(legend, grid.width - 2 * _MARGIN_PX - _LABEL_PX)
    top = _MARGIN_PX + _TITLE_PX + _TEXT_PX + 30
    legend_top = top + grid.tiles_height + 22
    panel = Image.new("RGB", (grid.width, legend_top + 28 * len(legend_lines) - 6 + _MARGIN_PX), BACKGROUND)
    draw = ImageDraw.Draw(panel)

    left = _MARGIN_PX + _LABEL_PX
    room = grid.width - left - _MARGIN_PX
    _write(draw, (left, _MARGIN_PX + _TITLE_PX), title, _TITLE_PX, INK, room)
    _write(draw, (left, _MARGIN_PX + _TITLE_PX + _TEXT_PX + 10), scores, _TEXT_PX, SOFT_INK, room)
    size = (grid.tile_width, grid.tile_height)
    for band in range(grid.bands):
        for row, label in enumerate(_ROWS):
            y = top + grid.row_top(band, row)
            middle = (left - 14, y + grid.tile_height // 2)
            draw.text(middle, label, font=_font(15), fill=SOFT_INK, anchor="rm")
    for index in range(len(images)):
        band, column = divmod(index, grid.columns)
        x = left + column * (grid.tile_width + _GAP_PX)
        pictures = (images[index], classes.paint(truth[index]), classes.paint(predicted[index]))
        for row, pixels in enumerate(pictures):
            y = top + grid.row_top(band, row)
            method = Image.Resampling.NEAREST if row else Image.Resampling.LANCZOS
            panel.paste(Image.fromarray(pixels).resize(size, method), (x, y))
            draw.rectangle((x - 1, y - 1, x + size[0], y + size[1]), outline=_RULE)
    _draw_legend(draw, legend_lines, (left, legend_top))
    return panel


@dataclass(frozen=True)
class _Grid:
    """Where the tiles of a panel go; one band is a row of inputs over its truths and predictions."""

    bands: int
    columns: int
    tile_width: int
    tile_height: int

    def row_top(self, band: int, row: int) -> int:
        band_height = 3 * (self.tile_height + _GAP_PX) - _GAP_PX + _BAND_GAP_PX
        return band * band_height + row * (self.tile_height + _GAP_PX)

    @property
    def tiles_height(self) -> int:
        return self.row_top(self.bands, 0) - _BAND_GAP_PX

    @property
    def width(self) -> int:
        tiles = self.columns * (self.tile_width + _GAP_PX) - _GAP_PX
        return max(_MIN_WIDTH_PX, 2 * _MARGIN_PX + _LABEL_PX + tiles)


def _grid(count: int, height: int, width: int) -> _Grid:
    """Choose the number of bands that gives the largest tiles on the page, the fewest where they tie.

    Tiles are whole multiples of the image where that nearly fits: then no mask pixel is wider than another.
    """

    def scale(bands: int) -> float:
        columns = math.ceil(count / bands)
        across = (_PAGE_PX[0] - _LABEL_PX) / columns - _GAP_PX
        down = (_PAGE_PX[1] - bands * _BAND_GAP_PX) / (3 * bands) - _GAP_PX
        return min(across / width, down / height)

    bands = max(range(1, count + 1), key=lambda bands: (scale(bands), -bands))
    best = max(scale(bands), 16 / max(width, height))
    best = math.floor(best + 0.2) or best
    return _Grid(bands, math.ceil(count / bands), max(4, round(width * best)), max(4, round(height * best)))


def _legend(classes: ClassTable, truth: Pixels) -> list[tuple[str, Colour]]:
    """Every class; of a long table only what the ground truth shows, and a word on the rest."""
    ids = np.unique(truth)
    shown = range(len(classes))
    if len(classes) > _LEGEND_LIMIT:
        shown_ids = [int(i) for i in ids if i < len(classes)][:_LEGEND_LIMIT]
        entries = [(classes.names[i], classes.colours[i]) for i in shown_ids]
        entries.append((f"and {len(classes) - len(entries)} more", BACKGROUND))
    else:
        entries = [(classes.names[i], classes.colours[i]) for i in shown]
    if classes.ignore_index in ids:
        entries.append(("ignore", (255, 255, 255)))
    return entries


def _legend_lines(entries: Sequence[tuple[str, Colour]], room: int) -> list[list[tuple[int, str, Colour]]]:
    """Break the legend into lines of ``(x, name, colour)`` that fit into ``room`` pixels."""
    lines: list[list[tuple[int, str, Colour]]] = [[]]
    x = 0
    for name, colour in entries:
        text = _fitting(name, _font(15), room - 24)
        width = 24 + math.ceil(_font(15).getlength(text))
        if x and x + width > room:
            lines.append([])
            x = 0
        lines[-1].append((x, text, colour))
        x += width + 24
    return lines


def _draw_legend(
    draw: ImageDraw.ImageDraw, lines: Sequence[Sequence[tuple[int, str, Colour]]], origin: tuple[int, int]
) -> None:
    for row, line in enumerate(lines):
        y = origin[1] + row * 28
        for x, text, colour in line:
            left = origin[0] + x
            if colour != BACKGROUND:
                draw.rectangle((left, y, left + 16, y + 16), fill=colour, outline=_RULE)
            draw.text((left + 24, y + 8), text, font=_font(15), fill=INK, anchor="lm")


def _write(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size_px: int, ink: str, room: int
) -> None:
    """Write one line on the baseline ``at``, smaller where it is too wide, cut where that isn't enough."""
    text = _drawable(text)
    while size_px > 11 and _font(size_px).getlength(text) > room:
        size_px -= 1
    draw.text(at, _fitting(text, _font(size_px), room), font=_font(size_px), fill=ink, anchor="ls")


def _fitting(text: str, font: ImageFont.FreeTypeFont, room: int) -> str:
    text = _drawable(text)
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "…") > room:
        text = text[:-1]
    return text + "…"


@cache
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size_px)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font


@cache
def _drawable(text: str) -> str:
    """Return ``text`` on one line in characters of Pillow's own font: accents fall off, the rest is ?."""
    blank = bytes(_font(20).getmask("\uffff"))
    kept = []
    for character in " ".join(text.split()).replace("×", "x").replace("–", "-"):
        options = (character, *unicodedata.normalize("NFKD", character)[:1], "?")
        kept.append(next(c for c in options if c in " ?" or bytes(_font(20).getmask(c)) != blank))
    return "".join(kept)
