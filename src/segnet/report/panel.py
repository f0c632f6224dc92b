"""The picture of an epoch in the arrangement of the article's figures.

A row of inputs stands above a row of ground truths above a row of predictions, for the same images at every
epoch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache

import numpy as np
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

from segnet.base.classes import ClassTable
from segnet.base.colours import Colour
from segnet.data.images.pixel_values import Pixels
from segnet.report.plots import INK, SOFT_INK

PREVIEW_IMAGES = 21
"""As many validation images as a run draws at each epoch, and as the article's figures show."""

BACKGROUND: Colour = (250, 250, 248)
"""The page colour of previews; off-white, so that white "ignore" tiles can be seen on it."""

_RULE: Colour = (206, 208, 210)

_ROWS = ("input", "ground truth", "prediction")
_LEFT_PX, _TOP_PX, _MARGIN_PX = 140, 104, 28  # the labels stand left of the tiles, title and scores above
_GAP_PX = 6
_BAND_GAP_PX = 26  # a band is a row of inputs over its truths and predictions
_TILES_PX = (1388, 880)  # what the tiles aim to fill
_MIN_WIDTH_PX = 640
_TEXT_PX = 14
_LEGEND_LIMIT, _LEGEND_LINE_PX = 24, 28


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
    """
    columns, tile_width, tile_height = _layout(*images.shape[:3])
    across, down = tile_width + _GAP_PX, tile_height + _GAP_PX
    band_px = 3 * down - _GAP_PX + _BAND_GAP_PX
    right = max(_MIN_WIDTH_PX - _MARGIN_PX, _LEFT_PX + columns * across - _GAP_PX)
    room = right - _LEFT_PX
    legend_top = _TOP_PX + math.ceil(len(images) / columns) * band_px
    legend = _legend(classes, truth)
    longest = legend_top + len(legend) * _LEGEND_LINE_PX + _MARGIN_PX
    panel = Image.new("RGB", (right + _MARGIN_PX, longest), BACKGROUND)
    draw = ImageDraw.Draw(panel)

    for text, baseline, largest_px, ink in ((title, 56, 26, INK), (scores, 84, 16, SOFT_INK)):
        fitting, font = _fitted(text, room, range(largest_px, 10, -1))
        draw.text((_LEFT_PX, baseline), fitting, font=font, fill=ink, anchor="ls")
    pictures = zip(images, classes.paint(truth), classes.paint(predicted), strict=True)
    for index, three in enumerate(pictures):
        band, column = divmod(index, columns)
        for row, pixels in enumerate(three):
            x, y = _LEFT_PX + column * across, _TOP_PX + band * band_px + row * down
            method = Image.Resampling.NEAREST if row else Image.Resampling.LANCZOS
            panel.paste(Image.fromarray(pixels).resize((tile_width, tile_height), method), (x, y))
            draw.rectangle((x - 1, y - 1, x + tile_width, y + tile_height), outline=_RULE)
            if column == 0:
                middle = (x - 14, y + tile_height // 2)
                draw.text(middle, _ROWS[row], font=_font(_TEXT_PX), fill=SOFT_INK, anchor="rm")
    bottom = _draw_legend(draw, legend, legend_top, room)
    return panel.crop((0, 0, panel.width, bottom + _MARGIN_PX))


def _layout(count: int, height: int, width: int) -> tuple[int, int, int]:
    """Return how many columns give the largest tiles on the page, and a tile's width and height in pixels.

    Tiles are whole multiples of the image where that nearly fits: then no mask pixel is wider than another.
    """

    def scale(bands: int) -> float:
        across = _TILES_PX[0] / math.ceil(count / bands) - _GAP_PX
        down = (_TILES_PX[1] / bands - _BAND_GAP_PX) / 3 - _GAP_PX
        return min(across / width, down / height)

    bands = max(range(1, count + 1), key=scale)
    best = max(scale(bands), 16 / max(width, height))
    best = math.floor(best + 0.2) or best
    return math.ceil(count / bands), max(4, round(width * best)), max(4, round(height * best))


def _legend(classes: ClassTable, truth: Pixels) -> list[tuple[str, Colour | None]]:
    """Every class; of a long table only what the ground truth shows, and a word on the rest."""
    ids = np.unique(truth).tolist()
    shown = list(range(len(classes)))
    if len(classes) > _LEGEND_LIMIT:
        shown = [class_id for class_id in ids if class_id < len(classes)][:_LEGEND_LIMIT]
    entries: list[tuple[str, Colour | None]] = [(classes.names[i], classes.colours[i]) for i in shown]
    if len(shown) < len(classes):
        entries.append((f"and {len(classes) - len(shown)} more", None))
    if classes.ignore_index in ids:
        entries.append(("ignore", (255, 255, 255)))
    return entries


def _draw_legend(
    draw: ImageDraw.ImageDraw, entries: Iterable[tuple[str, Colour | None]], top: int, room: int
) -> int:
    """Draw a swatch and a name for each entry, in as many lines as they need; return where the last ends."""
    x, y = 0, top
    for name, colour in entries:
        text, font = _fitted(name, room - 24, (_TEXT_PX,))
        width = 24 + math.ceil(font.getlength(text))
        if x + width > room:
            x, y = 0, y + _LEGEND_LINE_PX
        left = _LEFT_PX + x
        if colour:
            draw.rectangle((left, y, left + 16, y + 16), fill=colour, outline=_RULE)
        draw.text((left + 24, y + 8), text, font=font, fill=INK, anchor="lm")
        x += width + 24
    return y + 17


def _fitted(text: str, room: int, sizes_px: Iterable[int]) -> tuple[str, ImageFont.FreeTypeFont]:
    """Return the text on one line and the first font in which it fits, cut where it fits in none."""
    text = " ".join(text.split())
    for size_px in sizes_px:
        font = _font(size_px)
        if font.getlength(text) <= room:
            return text, font
    while text and font.getlength(f"{text}…") > room:
        text = text[:-1]
    return f"{text}…", font


@cache
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    # The charts' font: Pillow's own knows no accents and no script but the Latin one.
    return ImageFont.truetype(findfont("DejaVu Sans"), size_px)
