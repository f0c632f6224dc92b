"""What a SegNet loses without its pooling indices: one model, or one trained for each way, scored in each.

The claim of the article's Part 2 and of the paper (arXiv 1511.00561, sections 3 and 4) as an experiment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import nn

from segnet.base.classes import ClassTable
from segnet.base.readable import number_table
from segnet.data.by_name import in_order_of
from segnet.data.dataset import Mask
from segnet.data.images.pixel_values import Pixels, visible
from segnet.data.pets import PET_CLASSES
from segnet.data.store.split import Split
from segnet.figures.figure import class_colours, colour_legend, drawn, headline, tile
from segnet.figures.subjects import open_trained
from segnet.models.inspection.unpooling import INDICES, unpooling, unpooling_stages
from segnet.runs.identity import ImageRecord
from segnet.runs.remarks import tolerance_line
from segnet.runs.scores import ScoredOn, Scores, score_text, share_text
from segnet.scoring.boundary import BAND_PX
from segnet.scoring.data_to_score import choose_samples, open_data
from segnet.scoring.evaluate import open_chosen
from segnet.scoring.score_split import evaluate_images, predict_split, predictor

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class WayScored:
    """One way to un-pool."""

    way: str
    scores: Scores
    predicted: Mask
    """Class ids of the image that is shown."""

    @property
    def error_at_edges(self) -> float | None:
        """The share of the pixels near a true edge that are wrong; see ``edge_band``."""
        accuracy = self.scores.band_accuracy
        return None if accuracy is None else 1 - accuracy


@dataclass(frozen=True)
class UnpoolingFigure:
    """A model, or models trained alike, un-pooled in several ways."""

    name: str
    scored_on: ScoredOn
    classes: ClassTable
    shown: str
    """The name of the image that is shown."""
    image: Pixels
    truth: Mask
    results: tuple[WayScored, ...]
    """By the indices first."""
    note: str
    """What the numbers say, and what they don't."""


SWAPPED = (
    "The weights learnt with indices, so this is what they lose when these are taken away, not what a model "
    "would score that has learnt without: --retrain compares such models."
)


def score_swapped(name: str, ways: Sequence[str], given: Mapping[str, Any]) -> UnpoolingFigure:
    """Score a trained model as it is and with other ways to un-pool put into it.

    Args:
        name: a run folder, a file or a bundled name.
        ways: names of ``WAYS``.
        given: fields of ``DataOptions`` that the user has named; without any the drawn pets, or the model's
            own data where it has other classes. Scored is what ``choose_samples`` chooses: nothing that the
            model was trained on.

    Raises:
        SegnetError: no such model, one without weights or pooling indices, or data it can't be scored on.
    """
    short, segmenter = open_trained(name)
    unpooling_stages(segmenter.model)  # a model without indices is found before any data is read
    if not given and segmenter.classes.names == PET_CLASSES.names:
        given = {"data": "synthetic"}
    dataset = open_data(name, segmenter, given, download=bool(given))
    dataset = in_order_of(segmenter.classes, dataset)
    samples, records, scored_on = choose_samples(segmenter, dataset)
    _, split, _ = open_chosen(segmenter, dataset, samples)
    return compare_ways(
        short,
        lambda way: segmenter.model,
        split,
        dataset.classes,
        scored_on,
        records,
        ways,
        f"{dataset.matched}. {SWAPPED}" if dataset.matched else SWAPPED,
    )


def compare_ways(
    name: str,
    model_for: Callable[[str], nn.Module],
    split: Split,
    classes: ClassTable,
    scored_on: ScoredOn,
    records: Sequence[ImageRecord],
    ways: Sequence[str],
    note: str = SWAPPED,
) -> UnpoolingFigure:
    """Score by the indices and in other ways, on the same images.

    The image that is shown is the one whose mean IoU by the indices is the median of all.

    Args:
        name: what the model is called.
        model_for: gives the model to score in a way; the same for all, or one that has learnt in that way.
        split: the images.
        classes: their classes, the model's.
        scored_on: what the images are.
        records: how each is known again, in the split's order.
        ways: names of ``WAYS``.
        note: what the numbers say, and what they don't.

    Raises:
        SegnetError: a model without pooling indices.
    """
    results: list[WayScored] = []
    shown = 0
    for way in (INDICES, *ways):
        model = model_for(way)
        with unpooling(model, way):
            predict = predictor(model)
            torch.manual_seed(0)  # where maxima are put at random
            scores, images = evaluate_images(predict, split, classes, _CPU, scored_on, records)
            order = sorted(range(len(images)), key=lambda i: images[i].mean_iou or 0.0)
            shown = shown if results else order[(len(order) - 1) // 2]  # of an even count the worse of two
            logits, masks = next(predict_split(predict, split, _CPU, [shown]))
        results.append(WayScored(way, scores, logits[0].argmax(0).byte().numpy()))
    return UnpoolingFigure(
        name, scored_on, classes, split.names[shown], visible(np.array(split.images[shown])),
        masks[0].numpy(), tuple(results), note,
    )  # fmt: skip


def ways_table(figure: UnpoolingFigure) -> Table:
    """Return a row for each way: its scores, and how they differ from those by the indices."""
    first = figure.results[0].scores
    rows = (
        (
            result.way,
            score_text(result.scores.mean_iou),
            _change(first.mean_iou, result.scores.mean_iou),
            score_text(result.scores.boundary_f1),
            _change(first.boundary_f1, result.scores.boundary_f1),
            share_text(result.error_at_edges),
        )
        for result in figure.results
    )
    at_edges = f"wrong within {BAND_PX} px of an edge"
    return number_table(
        ("un-pooled by", "mean IoU", "change", "boundary F1", "change", at_edges),
        rows,
        title=f"{figure.name}, {figure.scored_on}",
        caption=tolerance_line(first) or None,
        caption_justify="left",
        pad_edge=False,
    )


def _change(before: float | None, after: float | None) -> str:
    """Return what a score changes by, with its sign."""
    if before is None or after is None or before == after:
        return ""
    return f"{after - before:+.3f}".replace("-", "−")


def draw_ways(figure: UnpoolingFigure, path: Path) -> None:
    """Draw input, truth and the prediction of each way with its scores; PNG or SVG by the file's name."""
    classes = figure.classes
    count = 2 + len(figure.results)
    height, width = figure.truth.shape
    tile_in = 2.0
    tall = tile_in * min(2.0, height / width)
    with drawn(path, tile_in * count, tall + 1.5, layout="constrained") as canvas:
        axes = iter(canvas.subplots(1, count))
        tile(next(axes), figure.image, "input", figure.shown)
        tile(next(axes), classes.paint(figure.truth), "truth")
        for result in figure.results:
            below = (
                f"mean IoU {score_text(result.scores.mean_iou)}\n"
                f"boundary F1 {score_text(result.scores.boundary_f1)}\n"
                f"wrong at edges {share_text(result.error_at_edges)}"
            )
            tile(next(axes), classes.paint(result.predicted), result.way, below)
        headline(canvas, f"{figure.name}: with pooling indices and without\nscores of {figure.scored_on}")
        colour_legend(canvas, class_colours(classes))
