"""The scores of a model as text for a terminal: what ``segnet eval`` and ``segnet train`` print."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from rich.box import HEAVY_HEAD
from rich.table import Table

from segnet.base.class_roles import foreground_of
from segnet.base.readable import number_table
from segnet.runs.image_scores import GroupScores
from segnet.runs.remarks import misleading, tolerance_line
from segnet.runs.scores import Scores, score_text

_shown = partial(score_text, digits=4)


def classes_table(scores: Scores) -> Table:
    """Return a row for each class; of images that the model was trained on every column says so."""
    below = "\nTRAINED ON" if scores.scored_on is not None and scores.scored_on.trained_on else ""
    columns = ["iou", "dice", "precision", "recall", "share", *["boundary_f1"] * bool(scores.calibration)]
    titles = [column.replace("_f1", " F1") + below for column in columns]
    rows = (
        (name, *(_shown(getattr(entry, column)) for column in columns)) for name, entry in scores.classes()
    )
    return number_table(("class", *titles), rows, box=HEAVY_HEAD)


def groups_table(by: str, groups: Sequence[GroupScores]) -> Table:
    """Return a row for each group of images; ``by`` is what groups them."""
    rows = (
        (
            group.group,
            f"{group.images:,}",
            *(_shown(each) for each in (group.mean_iou, group.pixel_accuracy, group.boundary_f1)),
        )
        for group in groups
    )
    return number_table((by, "images", "mean IoU", "pixel accuracy", "boundary F1"), rows, box=HEAVY_HEAD)


def score_lines(scores: Scores) -> Iterator[str]:
    """Yield the scores of all classes together, line by line, and what is misleading about them."""
    warning = scores.scored_on.warning if scores.scored_on else ""
    if scores.threshold is not None:
        yield (
            f"{foreground_of(scores.per_class)} IoU {_shown(scores.foreground_iou)}, "
            f"{_shown(scores.foreground_iou_at_threshold)} above a probability of {scores.threshold:g}, "
            f"which was chosen on validation images{warning}"
        )
    yield (
        f"pixel accuracy {_shown(scores.pixel_accuracy)} · mean IoU {_shown(scores.mean_iou)} · "
        f"mean Dice {_shown(scores.mean_dice)} · cross-entropy {_shown(scores.loss)}{warning}"
    )
    if scores.calibration:
        yield (
            f"mean class accuracy {_shown(scores.mean_class_accuracy)} · "
            f"boundary F1 {_shown(scores.boundary_f1)} · "
            f"accuracy at edges {_shown(scores.band_accuracy)} · "
            f"calibration error {_shown(scores.calibration_error)}{warning}"
        )
        yield tolerance_line(scores)
    if scores.mean_iou_without_border is not None:
        yield f"mean IoU without border {_shown(scores.mean_iou_without_border)}{warning}"
    if scores.article_iou is not None:
        yield (
            f"the article's IoU {_shown(scores.article_iou)} and custom IoU "
            f"{_shown(scores.article_custom_iou)}: neither compares with mean IoU, see the report{warning}"
        )
    yield from (f"warning: {line}" for line in misleading(scores))
