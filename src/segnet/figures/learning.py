"""How a network learns: what it makes of one image, epoch after epoch, with the mean IoU it had by then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image
from rich.table import Table

from segnet.base.colours import BLUE, VERMILION, hex_code
from segnet.base.errors import SegnetError, did_you_mean
from segnet.base.files import expand_home
from segnet.base.readable import number_table
from segnet.data.images.pixel_values import Pixels
from segnet.data.store.batches import evenly_spread
from segnet.figures.figure import class_colours, colour_legend, drawn, headline, tile
from segnet.inference.model_file import read_description
from segnet.report.gif import write_learning_gif
from segnet.report.plots import INK, SOFT_INK, bare, own_style
from segnet.runs.records import read_run
from segnet.runs.run_folder import RunFolder
from segnet.runs.scores import score_text

IN_STRIP, IN_GIF = 6, 24
"""How many epochs are shown unless someone asks for more or fewer."""

_TILES_A_ROW = 8
_PALE = "#d9dbde"
_GIF_DPI = 100
_GIF_MS, _FRAME_MS = 6000, (120, 700)  # of all frames but the last, and what one may take


@dataclass(frozen=True)
class LearnedBy:
    """Where a network was after an epoch."""

    epoch: int
    """Counted from 1."""
    mean_iou: float | None
    """Over all validation images."""
    train_loss: float | None
    prediction: Pixels
    """Of the image that is shown, painted, ``(H, W, 3)``."""


@dataclass(frozen=True)
class LearningFigure:
    """One image over the epochs of a training."""

    name: str
    image_name: str
    validated_on: str
    """In words: what the mean IoU was taken on."""
    image: Pixels
    truth: Pixels
    """Both ``(H, W, 3)``, as large as the predictions."""
    epochs: tuple[LearnedBy, ...]
    """Those that are shown."""
    curve: Mapping[int, float | None]
    """The mean IoU after every epoch, shown or not."""
    colours: Mapping[str, str]
    """Of each class, ``#rrggbb``."""

    @property
    def title(self) -> str:
        """What is shown, and what its numbers were taken on."""
        return f"{self.name} learns: {self.image_name}; mean IoU of {self.validated_on}"

    @property
    def shape(self) -> float:
        """How tall a tile is for its width."""
        return min(2.0, max(0.3, len(self.image) / len(self.image[0])))


def learning_of_run(run: str, image: str | None = None, most: int = IN_STRIP) -> LearningFigure:
    """Read what a run's network predicted for one image at its epochs.

    Args:
        run: the folder, of a run that may still go on.
        image: which of its validation images: a name, or a number counted from 1; None is the first.
        most: how many epochs, evenly spread, with the first and the last.

    Raises:
        SegnetError: no run folder, one without predictions or a model yet, a file that can't be read, or no
            such image.
    """
    record, folder = read_run(run), RunFolder(expand_home(run))
    kept = [each for each in record.epochs if folder.predictions(each.epoch).is_file()]
    if not kept or record.manifest is None:
        raise SegnetError(
            f"{run} holds no predictions of its epochs; give the folder of one run with at least one epoch "
            "done. Runs of an older segnet have only pictures of them: train anew to draw how it learns"
        )
    shown = _read(folder.preview_images)
    number = choose_image(image, [*map(str, shown["names"])])
    classes = read_description(folder.model).classes
    epochs = []
    for each in (kept[row] for row in evenly_spread(len(kept), most)):
        predicted = _read(folder.predictions(each.epoch))["predicted"][number]
        epochs.append(LearnedBy(each.epoch, each.val.mean_iou, each.train_loss, classes.paint(predicted)))
    return LearningFigure(
        folder.path.absolute().name,
        str(shown["names"][number]),
        f"{len(record.manifest.splits['val']):,} validation images",
        shown["images"][number],
        classes.paint(shown["masks"][number]),
        tuple(epochs),
        {each.epoch: each.val.mean_iou for each in record.epochs},
        class_colours(classes),
    )


def names_of_pictures(run: str) -> list[str]:
    """Return the names of the validation images whose predictions a run keeps; none where it keeps none."""
    kept = RunFolder(expand_home(run)).preview_images
    return [*map(str, _read(kept)["names"])] if kept.is_file() else []


def _read(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with np.load(path) as arrays:
            return dict(arrays)
    except (OSError, ValueError, BadZipFile) as error:
        raise SegnetError(f"can't read {path}: {error}; train the run anew") from error


def choose_image(image: str | None, names: Sequence[str]) -> int:
    """Return the number, from 0, of an image that is given by its name, or by a number counted from 1.

    Raises:
        SegnetError: no such image.
    """
    if image is None:
        return 0
    if image in names:
        return names.index(image)
    if image.isdecimal():
        if 1 <= int(image) <= len(names):
            return int(image) - 1
        raise SegnetError(f"--image is 1 to {len(names)}, got {image}")
    raise SegnetError(f"--image {image}: no image of that name is shown{did_you_mean(image, names)}")


def learning_table(figure: LearningFigure) -> Table:
    """Return a row for each epoch that is shown."""
    rows = (
        (str(each.epoch), score_text(each.train_loss), score_text(each.mean_iou)) for each in figure.epochs
    )
    return number_table(("epoch", "training loss", "mean IoU"), rows, texts=(), pad_edge=False)


def draw_learning(figure: LearningFigure, path: Path) -> None:
    """Draw the epochs side by side as PNG or SVG, or one after the other as a GIF, by the file's name."""
    if path.suffix == ".gif":
        _draw_gif(figure, path)
    else:
        _draw_strip(figure, path)


def _draw_strip(figure: LearningFigure, path: Path) -> None:
    count = 2 + len(figure.epochs)
    columns = min(count, _TILES_A_ROW)
    rows = -(-count // columns)
    tile_in = 1.75
    tall = tile_in * figure.shape + 0.5
    with drawn(path, tile_in * columns, rows * tall + 0.8, layout="constrained") as canvas:
        axes = canvas.subplots(rows, columns, squeeze=False).ravel()
        tile(axes[0], figure.image, "input")
        tile(axes[1], figure.truth, "truth")
        for place, each in zip(axes[2:], figure.epochs, strict=False):
            tile(place, each.prediction, f"epoch {each.epoch}", f"mean IoU {score_text(each.mean_iou)}")
        for place in axes[count:]:
            place.axis("off")
        headline(canvas, figure.title)
        colour_legend(canvas, figure.colours)


def _draw_gif(figure: LearningFigure, path: Path) -> None:
    with TemporaryDirectory() as folder, own_style():
        frames = []
        for each, canvas in _frames(figure):
            frames.append(Path(folder) / f"{each.epoch}.png")
            canvas.draw()  # savefig would draw twice
            Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").save(frames[-1])
        frame_ms = min(max(_GIF_MS // len(frames), _FRAME_MS[0]), _FRAME_MS[1])
        write_learning_gif(frames, path, max_frames=max(2, len(frames)), frame_ms=frame_ms)


def _frames(figure: LearningFigure) -> Iterator[tuple[LearnedBy, FigureCanvasAgg]]:
    """Draw one epoch after the other on one figure, laid out once: that is what takes time."""
    tile_in = 2.3
    canvas = Figure(
        figsize=(tile_in * 4.5, tile_in * figure.shape + 1.2),
        dpi=_GIF_DPI,
        facecolor="white",
        layout="constrained",
    )
    rendered = FigureCanvasAgg(canvas)
    picture, truth, prediction, curve = canvas.subplots(1, 4, width_ratios=(1, 1, 1, 1.4))
    tile(picture, figure.image, "input")
    tile(truth, figure.truth, "truth")
    tile(prediction, figure.epochs[-1].prediction, f"epoch {figure.epochs[-1].epoch}")
    headline(canvas, figure.title)
    colour_legend(canvas, figure.colours)
    points = [(epoch, score) for epoch, score in figure.curve.items() if score is not None]
    curve.plot([epoch for epoch, _ in points], [score for _, score in points], color=_PALE, linewidth=1.8)
    (so_far,) = curve.plot([], [], color=hex_code(BLUE), linewidth=1.8)
    (now,) = curve.plot([], [], "o", color=hex_code(VERMILION), markersize=6)
    curve.set_title("mean IoU 0.000", fontsize=10, color=INK)
    curve.set(ylim=(0, 1), xlabel="epoch")
    curve.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    curve.xaxis.label.set_color(SOFT_INK)
    bare(curve)
    curve.tick_params(labelsize=8.5)
    canvas.draw_without_rendering()
    canvas.set_layout_engine("none")
    for each in figure.epochs:
        prediction.images[0].set_data(each.prediction)
        prediction.set_title(f"epoch {each.epoch}", fontsize=10, color=INK)
        curve.set_title(f"mean IoU {score_text(each.mean_iou)}", fontsize=10, color=INK)
        passed = [point for point in points if point[0] <= each.epoch]
        so_far.set_data([epoch for epoch, _ in passed], [score for _, score in passed])
        at = [] if each.mean_iou is None else [(each.epoch, each.mean_iou)]
        now.set_data([epoch for epoch, _ in at], [score for _, score in at])
        yield each, rendered
