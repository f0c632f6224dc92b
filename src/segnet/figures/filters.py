"""What a trained model looks for and finds, the article's Figure 3.

The kernels of its first layer, feature maps of one image there and in the depth, and the places in other
images that excite some channels of the deep layer most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from matplotlib import colormaps, patheffects
from matplotlib.axes import Axes
from PIL import Image
from rich.table import Table

from segnet.base.readable import counted, number_table
from segnet.data.images.pixel_values import Pixels, visible
from segnet.figures.figure import drawn, headline
from segnet.figures.subjects import ShownModel
from segnet.models.inspection.activations import (
    FirstKernels,
    feature_maps,
    first_kernels,
    map_shapes,
    most_telling,
    require_layer,
    strongest_places,
    usual_layers,
)
from segnet.models.inspection.receptive import layer_fields
from segnet.report.plots import INK, SOFT_INK

SHOWN_MAPS, SHOWN_CHANNELS, SHOWN_PATCHES = 24, 4, 11
_COLUMNS = 12
_TILE_PX, _LINE_PX = 96, 4  # of a picture of tiles: a tile, and the white between two

Numbers = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LayerMaps:
    """Feature maps of one image."""

    layer: str
    maps: Numbers
    """``(C, h, w)``."""
    shown: Sequence[int]
    """The channels that vary most over this image, by rising number."""

    @property
    def active(self) -> float:
        """The share of values above 0."""
        return float((self.maps > 0).mean())

    @property
    def silent(self) -> int:
        """How many channels are the same all over the image."""
        flat = self.maps.reshape(len(self.maps), -1)
        return int((flat.max(1) == flat.min(1)).sum())


@dataclass(frozen=True)
class StrongestPatch:
    """A place in an image that excites a channel, with what lies round it."""

    value: float
    image: int
    centre: tuple[int, int]
    """Row and column in the image, as the model gets it."""
    pixels: Pixels


@dataclass(frozen=True)
class FilterFigure:
    """What one model looks for, and what it finds in some images."""

    name: str
    picture: Pixels
    kernels: FirstKernels
    early: LayerMaps
    deep: LayerMaps
    patches: dict[int, list[StrongestPatch]]
    """By channel of the deep layer, the strongest place of each image, strongest first."""
    images: int
    sees_px: int | None
    """What a value of the deep layer sees; None for the whole image."""

    @property
    def kernel_channels(self) -> Sequence[int]:
        """The kernels that are shown: those that gave the maps shown, where each map has one."""
        count = len(self.kernels.weights)
        return self.early.shown if len(self.early.maps) == count else range(min(count, SHOWN_MAPS))


def look_inside(
    shown: ShownModel,
    pictures: Sequence[Image.Image | Pixels],
    layer: str | None = None,
    channel: int | None = None,
) -> FilterFigure:
    """Run a trained model on images and look at two of its layers.

    Args:
        shown: a trained model.
        pictures: at least one; maps are those of the first.
        layer: the second layer that is shown; by default the deepest maps.
        channel: whose strongest places are shown; by default those channels that vary most.

    Raises:
        SegnetError: a layer or channel that the model hasn't.
    """
    images = shown.batch(pictures)
    kernels = first_kernels(shown.model, shown.channels)
    shapes = map_shapes(shown.model, images)
    early, deepest = usual_layers(shapes, kernels.layer)
    layer = deepest if layer is None else layer
    require_layer(shapes, layer, channel)
    maps = feature_maps(shown.model, images[:1], layer)[0]
    chosen = [channel] if channel is not None else _strongest_apart(maps.numpy(), SHOWN_CHANNELS)
    fields = layer_fields(shown.model, shown.channels)
    sees = next((field.sees_px for field in reversed(fields) if field.name.startswith(layer)), None)
    places = strongest_places(shown.model, images, layer)
    pixels = [visible(shown.pixels(picture)) for picture in pictures]
    # what the value sees, or its middle where that is most of the image
    side = max(8, min(sees or max(shown.size), min(shown.size) * 3 // 8))
    (height, width), (_, rows, columns) = shown.size, shapes[layer]
    patches: dict[int, list[StrongestPatch]] = {}
    for each in chosen:
        order = places.values[:, each].argsort(descending=True, stable=True)[:SHOWN_PATCHES].tolist()
        patches[each] = []
        for image in order:
            at = int(places.rows[image, each]), int(places.columns[image, each])
            # the pixel in the middle of what the value stands for
            centre = int((at[0] + 0.5) * height / rows), int((at[1] + 0.5) * width / columns)
            patches[each].append(
                StrongestPatch(
                    float(places.values[image, each]), image, centre, _cut(pixels[image], centre, side)
                )
            )
    return FilterFigure(
        shown.name,
        pixels[0],
        kernels,
        _layer_maps(early, feature_maps(shown.model, images[:1], early)[0].numpy()),
        _layer_maps(layer, maps.numpy()),
        patches,
        len(pictures),
        sees,
    )


def _layer_maps(layer: str, maps: Numbers) -> LayerMaps:
    return LayerMaps(layer, maps, most_telling(torch.from_numpy(maps), SHOWN_MAPS))


def _strongest_apart(maps: Numbers, count: int) -> list[int]:
    """Return channels with much in them, each with its largest value at another place than those before."""
    flat = maps.reshape(len(maps), -1)
    order = np.argsort(-flat.std(1), kind="stable").tolist()
    chosen: list[int] = []
    taken: set[int] = set()
    for each in order:
        place = int(flat[each].argmax())
        if place not in taken and len(chosen) < count:
            chosen.append(each)
            taken.add(place)
    return sorted(chosen)


def _cut(pixels: Pixels, centre: tuple[int, int], side: int) -> Pixels:
    """Return a square of the image round a pixel, moved inside where it reaches over the edge."""
    top, left = (
        min(max(0, at - side // 2), whole - min(side, whole))
        for at, whole in zip(centre, pixels.shape[:2], strict=True)
    )
    return pixels[top : top + side, left : left + side]


def layers_table(figure: FilterFigure) -> Table:
    """Return the two layers: what they give for the first image, and how much of it is above 0."""
    rows = (
        (
            each.layer,
            str(len(each.maps)),
            "x".join(map(str, each.maps.shape[1:])),
            f"{100 * each.active:.1f} %",
            str(each.silent),
        )
        for each in (figure.early, figure.deep)
    )
    columns = ("layer", "channels", "map", "above 0", "silent channels")
    return number_table(columns, rows, title=f"{figure.name}: what it finds in the image")


def describe_filters(figure: FilterFigure) -> str:
    """Return what the table doesn't show: the first kernels, and where channels are excited most."""
    count, channels, side, _ = figure.kernels.weights.shape
    sees = "the whole image" if figure.sees_px is None else f"{figure.sees_px} px"
    lines = [
        f"first kernels: {figure.kernels.layer}, {count} of {channels}x{side}x{side}",
        f"{figure.deep.layer} sees {sees}; what excites it most in {counted(figure.images, 'image')}:",
    ]
    for channel, patches in figure.patches.items():
        best = ", ".join(f"{patch.value:.2f} (image {patch.image + 1})" for patch in patches[:4])
        lines.append(f"  channel {channel}: {best}")
    return "\n".join(lines)


def draw_filters(figure: FilterFigure, path: Path) -> None:
    """Draw kernels, maps and patches, as PNG or SVG by the file's name."""
    wide, tile = 10.4, 10.0 / _COLUMNS
    numbers = figure.kernel_channels
    kernel_tiles = _kernel_tiles(figure.kernels, numbers)
    sheets = [_map_tiles(each) for each in (figure.early, figure.deep)]
    heights = [math.ceil(len(tiles) / _COLUMNS) * tile + 0.5 for tiles in sheets]
    tall = 0.55 + 2.05 + sum(heights) + 0.45 + len(figure.patches) * tile
    with drawn(path, wide, tall) as canvas:
        axes = canvas.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, wide), ylim=(tall, 0))
        axes.axis("off")
        headline(canvas, f"What {figure.name} looks for, and what it finds")
        y = 0.55
        _title(axes, 0.2, y, "image")
        _place(axes, _resized(figure.picture, 240), 0.2, y + 0.3, 1.6)
        count, channels, side, _ = figure.kernels.weights.shape
        text = f"{figure.kernels.layer}: kernels, {channels}x{side}x{side}"
        _title(
            axes, 2.1, y, text + (f", {len(kernel_tiles)} of {count}" if len(kernel_tiles) < count else "")
        )
        _sheet(axes, kernel_tiles, 2.1, y + 0.3, 8.1 / _COLUMNS, numbers)
        y += 2.05
        for each, tiles, height in zip((figure.early, figure.deep), sheets, heights, strict=True):
            total, rows, columns = each.maps.shape
            text = f"{each.layer}: what it makes of the image, {rows}x{columns}"
            _title(axes, 0.2, y, text + (f", {len(tiles)} of {total} maps" if len(tiles) < total else ""))
            _sheet(axes, tiles, 0.2, y + 0.3, tile, each.shown)
            y += height
        _title(axes, 0.2, y, _patches_title(figure))
        for row, (channel, patches) in enumerate(figure.patches.items()):
            top = y + 0.3 + row * tile
            axes.text(0.2, top + tile / 2 - 0.04, f"channel\n{channel}", va="center", fontsize=9, color=INK)
            tiles = [_resized(patch.pixels, _TILE_PX) for patch in patches]
            _sheet(axes, tiles, 0.2 + tile, top, tile, ())


def _patches_title(figure: FilterFigure) -> str:
    side = len(next(iter(figure.patches.values()))[0].pixels)
    sees = figure.sees_px
    of = (
        f", the middle of the {'image' if sees is None else f'{sees} px'} that it sees"
        if side != sees
        else ""
    )
    images = counted(figure.images, "image")
    return f"{figure.deep.layer}: what excites a channel most in {images} ({side}x{side} px{of})"


def _title(axes: Axes, x: float, y: float, text: str) -> None:
    axes.text(x, y + 0.22, text, fontsize=10, color=INK, va="bottom")


def _kernel_tiles(kernels: FirstKernels, numbers: Sequence[int]) -> list[Pixels]:
    """Return kernels as colours, grey for 0; each by its own largest weight, since its form is what tells."""
    weights = kernels.weights[[*numbers]].float()
    largest = weights.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12)
    shades = (127.5 + 127.5 * weights / largest).round().byte().movedim(1, -1).numpy()
    if shades.shape[-1] != 3:
        shades = shades[..., :1].repeat(3, axis=-1)
    return [_resized(tile, _TILE_PX) for tile in shades]


def _map_tiles(layer: LayerMaps) -> list[Pixels]:
    """Return maps as pictures, each from its own smallest value to all but its largest 0.5 %."""
    tiles = []
    for channel in layer.shown:
        values = layer.maps[channel]
        low, high = float(values.min()), float(np.quantile(values, 0.995))
        share = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
        colours = (colormaps["viridis"](share)[..., :3] * 255).round().astype(np.uint8)
        tiles.append(_resized(colours, _TILE_PX))
    return tiles


def _resized(pixels: Pixels, side_px: int) -> Pixels:
    """Return a square picture with white beside what is no square; of what is small pixels stay visible."""
    scale = side_px / max(pixels.shape[:2])
    method = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    square = Image.new("RGB", (side_px, side_px), "white")
    square.paste(
        Image.fromarray(pixels).resize((width, height), method),
        ((side_px - width) // 2, (side_px - height) // 2),
    )
    return np.asarray(square)


def _sheet(
    axes: Axes, tiles: Sequence[Pixels], x: float, y: float, tile: float, numbers: Sequence[int]
) -> None:
    """Draw tiles in rows, with the numbers of their channels."""
    drawn_in = tile * _TILE_PX / (_TILE_PX + _LINE_PX)
    for place, pixels in enumerate(tiles):
        row, column = divmod(place, _COLUMNS)
        left, top = x + column * tile, y + row * tile
        _place(axes, pixels, left, top, drawn_in)
        if place < len(numbers):
            axes.text(
                left + 0.03, top + 0.02, str(numbers[place]), fontsize=7, color="white", va="top",
                path_effects=[patheffects.withStroke(linewidth=1.5, foreground=SOFT_INK)],
            )  # fmt: skip


def _place(axes: Axes, pixels: Pixels, left: float, top: float, side: float) -> None:
    axes.imshow(pixels, extent=(left, left + side, top + side, top), interpolation="nearest", aspect="auto")
