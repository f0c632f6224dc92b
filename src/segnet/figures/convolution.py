"""What a convolution does to a picture, the article's Figure 2: four kernels, and one window worked out.

As in every deep-learning library the kernel is laid on the window as it is written, not turned round first:
what mathematics calls cross-correlation. The maps come from ``conv2d``, which the models run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image
from torch.nn import functional as F

from segnet.base.colours import BLUE, VERMILION, hex_code
from segnet.base.errors import SegnetError, did_you_mean, refuse
from segnet.figures.figure import blend, drawn, headline, number_grid, tile
from segnet.report.plots import INK, SOFT_INK

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Kernel:
    """A square of weights, each to be divided by ``divisor``: so that a ninth stays a whole number."""

    name: str
    weights: tuple[tuple[float, ...], ...]
    divisor: int = 1

    @property
    def keeps_brightness(self) -> bool:
        """Whether even areas stay as bright as they are; if not they become 0, as with an edge detector."""
        return abs(sum(map(sum, self.weights))) > 1e-9


KERNELS = {
    kernel.name: kernel
    for kernel in (
        Kernel("edge", ((-1, -1, -1), (-1, 8, -1), (-1, -1, -1))),
        Kernel("blur", ((1, 1, 1), (1, 1, 1), (1, 1, 1)), 9),
        Kernel("sharpen", ((0, -1, 0), (-1, 5, -1), (0, -1, 0))),
        Kernel("emboss", ((-2, -1, 0), (-1, 1, 1), (0, 1, 2))),
    )
}
_SIDES = (1, 3, 5, 7)  # of a kernel that is given as numbers


@dataclass(frozen=True)
class Convolved:
    """The map that one kernel gives, and the one window of it that is worked out."""

    kernel: Kernel
    values: Numbers
    """``(H', W')``, grey values as they come: below 0 and above 255 too."""
    products: Numbers
    """Window times weights, before the divisor."""

    @property
    def total(self) -> float:
        """The one number that the window becomes."""
        return float(self.products.sum()) / self.kernel.divisor

    def shown(self) -> npt.NDArray[np.uint8]:
        """Return what can be shown of the map: 0 to 255; of a kernel whose weights sum to 0 without signs."""
        values = self.values if self.kernel.keeps_brightness else abs(self.values)
        return np.clip(values + 0.5, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class ConvolutionExample:
    """A grey picture ``(H, W)``, 0 to 255, and what the kernels make of it."""

    name: str
    picture: npt.NDArray[np.uint8]
    stride: int
    padding: int
    place: tuple[int, int]
    """Row and column, in the maps, of the window that is worked out."""
    window: Numbers
    results: tuple[Convolved, ...]

    @property
    def corner(self) -> tuple[int, int]:
        """Row and column, in the picture, of the window's upper left pixel."""
        row, column = (each * self.stride - self.padding for each in self.place)
        return row, column


def parse_kernel(text: str) -> Kernel:
    """Return a kernel by its name, or of 1, 9, 25 or 49 numbers row by row with commas between.

    Raises:
        SegnetError: an unknown name, numbers that make no square, or none.
    """
    if text in KERNELS:
        return KERNELS[text]
    parts = text.split(",")
    if len(parts) == 1 and not text.strip("+-").replace(".", "", 1).isdigit():
        raise SegnetError(
            f"there is no kernel {text!r}{did_you_mean(text, KERNELS)}; or give nine numbers, row by row, "
            "such as --kernel=1,0,-1,2,0,-2,1,0,-1"
        )
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        raise SegnetError(f"--kernel {text}: not all of these are numbers; write 0.5 for a half") from None
    side = round(len(numbers) ** 0.5)
    if side**2 != len(numbers) or side not in _SIDES or not all(abs(each) <= 1000 for each in numbers):
        raise SegnetError(
            f"--kernel takes 1, 9, 25 or 49 numbers between -1000 and 1000, row by row, "
            f"not {len(numbers)}: {text}"
        )
    rows = tuple(tuple(numbers[start : start + side]) for start in range(0, side * side, side))
    return Kernel("your kernel", rows)


def convolution_example(
    name: str, picture: Image.Image, kernels: Sequence[Kernel], *, stride: int = 1, padding: int | None = None
) -> ConvolutionExample:
    """Convolve a picture's grey values, and work out the window inside it that has the most contrast.

    Args:
        name: what the picture is called.
        picture: of any mode and size.
        kernels: all of one size.
        stride: pixels from one window to the next.
        padding: zeros around the picture, on each side; by default so many that maps keep its size.

    Raises:
        SegnetError: a stride below 1, a padding of whole kernels, or a picture too small for one window.
    """
    grey = np.asarray(picture.convert("L"))
    side = len(kernels[0].weights)
    padding = side // 2 if padding is None else padding
    largest = min(grey.shape) + 2 * padding - side + 1
    refuse(
        (
            not 0 <= padding < side,
            f"--padding is 0 to {side - 1} for a {side}x{side} kernel: with more, windows see zeros alone; "
            f"got {padding}",
        ),
        (
            largest < 1,
            f"{name} is {grey.shape[0]}x{grey.shape[1]} px, too small for a {side}x{side} window; "
            "take a larger image or more --padding",
        ),
        (not 1 <= stride <= largest, f"--stride is 1 to {largest} for this image, got {stride}"),
    )
    image = torch.from_numpy(grey.astype(np.float64))[None, None]
    maps = []
    for kernel in kernels:
        weights = torch.tensor(kernel.weights, dtype=torch.float64)[None, None] / kernel.divisor
        maps.append(F.conv2d(image, weights, stride=stride, padding=padding)[0, 0].numpy())
    windows = F.unfold(image, side, padding=padding, stride=stride)[0].T.view(-1, side, side).numpy()
    place = _worth_working_out(windows, kernels, maps, padding, stride, grey.shape)
    window = windows[place[0] * maps[0].shape[1] + place[1]]
    results = tuple(
        Convolved(kernel, values, window * np.array(kernel.weights))
        for kernel, values in zip(kernels, maps, strict=True)
    )
    return ConvolutionExample(name, grey, stride, padding, place, window, results)


def _worth_working_out(
    windows: Numbers,
    kernels: Sequence[Kernel],
    maps: Sequence[Numbers],
    padding: int,
    stride: int,
    size: tuple[int, ...],
) -> tuple[int, int]:
    """Return row and column of a window that says much: inside the picture, and its results can be shown.

    Of these the one with the strongest edge, where an edge is sought, and else with the most contrast.
    """
    rows, columns = maps[0].shape
    side = windows.shape[-1]
    worth = windows.std((1, 2)).reshape(rows, columns)
    inside = np.ones((rows, columns), bool)
    for axis, (count, sides) in enumerate(zip((rows, columns), size, strict=True)):
        start = np.arange(count) * stride - padding
        fits = (start >= 0) & (start + side <= sides)
        inside &= fits[:, None] if axis == 0 else fits
    shown = inside.copy()
    for kernel, values in zip(kernels, maps, strict=True):
        size_of = values if kernel.keeps_brightness else abs(values)
        shown &= (size_of >= 0) & (size_of <= 255)
    if not kernels[0].keeps_brightness:
        worth = abs(maps[0])
    among = next(each for each in (shown, inside, np.ones_like(inside)) if each.any())
    row, column = divmod(int(np.where(among, worth, -1).argmax()), columns)
    return row, column


def describe_convolution(example: ConvolutionExample) -> str:
    """Return the worked window as text: window, kernel, products and their sum, for each kernel."""
    height, width = example.picture.shape
    side = len(example.window)
    rows, columns = example.results[0].values.shape
    lines = [
        f"{example.name}, {height}x{width}, grey values 0 to 255",
        f"kernel {side}, stride {example.stride}, padding {example.padding}: "
        f"({height} + 2·{example.padding} - {side}) / {example.stride} + 1 = {rows} rows, "
        f"({width} + 2·{example.padding} - {side}) / {example.stride} + 1 = {columns} columns, rounded down",
        f"the window that becomes row {example.place[0]}, column {example.place[1]}:",
    ]
    for result in example.results:
        kernel = result.kernel
        per = f" / {kernel.divisor}" if kernel.divisor > 1 else ""
        grids = (example.window, np.array(kernel.weights), result.products)
        texts = [[[_number(value) for value in row] for row in grid] for grid in grids]
        widths = [max(len(text) for row in grid for text in row) + 1 for grid in texts]
        lines += ["", kernel.name]
        for y in range(side):
            cells = [
                "".join(text.rjust(w) for text in grid[y]) for grid, w in zip(texts, widths, strict=True)
            ]
            middle = y == side // 2
            end = f"   sum{per} = {_number(result.total)}" if middle else ""
            signs = ("  ×  ", "  =  ") if middle else ("     ", "     ")
            lines.append(f"  {cells[0]}{signs[0]}{cells[1]}{signs[1]}{cells[2]}{end}")
    return "\n".join(lines)


def draw_convolution(example: ConvolutionExample, path: Path) -> None:
    """Draw the maps, the kernels and the worked window, as PNG or SVG by the file's name."""
    several = len(example.results) > 1
    columns = 1 + len(example.results)
    height, width = example.picture.shape
    cell_in, grid_in = (2.2, 1.75) if several else (3.9, 2.3)
    picture_in = cell_in * min(1.6, max(0.3, height / width))
    rows_in = (picture_in, grid_in, grid_in) if several else (picture_in, grid_in)
    with drawn(path, columns * cell_in, sum(rows_in) + 0.35 * columns, layout="constrained") as figure:
        # One kernel: the picture beside the map, below them window, kernel and products side by side.
        grid = figure.add_gridspec(len(rows_in), columns if several else 6, height_ratios=rows_in)
        (row, column), (rows, across) = example.corner, example.results[0].values.shape
        first, second = (grid[0, 0], grid[1, 0]) if several else (grid[0, :3], grid[1, :2])
        mark, title = (row, column, len(example.window)), f"{example.name}, {height}x{width}"
        _picture(figure.add_subplot(first), example.picture, title, mark)
        greys = [[hex_code((int(v), int(v), int(v))) for v in line] for line in example.window]
        _numbers(figure.add_subplot(second), example.window, greys, "window, in the square above")
        if several:
            axes = figure.add_subplot(grid[2, 0])
            axes.axis("off")
            axes.text(
                0.5, 0.5, "window × kernel,\nnumber by number;\ntheir sum is\none pixel of the map",
                ha="center", va="center", fontsize=9.5, color=SOFT_INK, linespacing=1.5,
            )  # fmt: skip
        for place, result in enumerate(example.results, 1):
            first, second = (grid[0, place], grid[1, place]) if several else (grid[0, 3:], grid[1, 2:4])
            title = f"{result.kernel.name}, {rows}x{across}"
            _picture(figure.add_subplot(first), result.shown(), title, (*example.place, 1))
            weights = np.array(result.kernel.weights)
            _numbers(figure.add_subplot(second), weights, _signs(weights), "× kernel")
            axes = figure.add_subplot(grid[2, place] if several else grid[1, 4:])
            _numbers(axes, result.products, _signs(result.products), "= products")
            per = f" / {result.kernel.divisor}" if result.kernel.divisor > 1 else ""
            axes.text(
                0.5, -0.03, _minus(f"sum{per} = {_number(result.total)}"), transform=axes.transAxes,
                ha="center", va="top", fontsize=11, weight="bold", color=INK,
            )  # fmt: skip
        headline(figure, "A convolution: each window times the kernel gives one number")


def _numbers(axes: Axes, values: Numbers, colours: list[list[str]], title: str) -> None:
    texts = [[_minus(_number(value)) for value in row] for row in values]
    number_grid(axes, texts, colours, size_pt=min(10, 34 / len(texts)))
    axes.set_title(title, fontsize=9.5, color=INK)


def _picture(axes: Axes, pixels: npt.NDArray[np.uint8], title: str, mark: tuple[int, int, int]) -> None:
    """Draw a picture, and in it a square round some pixels, given by row, column and side."""
    tile(axes, pixels, title, size_pt=9.5)
    row, column, side = mark
    apart = min(1.5, max(pixels.shape) / 60)  # so that a single pixel is still seen
    axes.add_patch(
        Rectangle(
            (column - 0.5 - apart, row - 0.5 - apart),
            side + 2 * apart,
            side + 2 * apart,
            fill=False,
            edgecolor=hex_code(VERMILION),
            linewidth=1.8,
            clip_on=False,
        )
    )


def _signs(values: Numbers) -> list[list[str]]:
    """Colours by sign, deeper where a number is larger: vermilion above 0, blue below."""
    most = abs(values).max() or 1.0
    return [[blend(VERMILION if v > 0 else BLUE, 0.75 * abs(v) / most) for v in row] for row in values]


def _number(value: float) -> str:
    """Write a number without a point where it is whole."""
    return f"{value:.0f}" if abs(value - round(value)) < 1e-6 else f"{value:.2f}"


def _minus(text: str) -> str:
    return text.replace("-", "−")
