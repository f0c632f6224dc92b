"""What an evaluation prints, and what ``segnet eval --out`` leaves: JSON, CSV and an offline page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.box import HEAVY_HEAD
from rich.table import Table

import segnet
from segnet.base.class_roles import foreground_of
from segnet.base.errors import SegnetError
from segnet.base.files import write_csv, write_text
from segnet.base.readable import number_table
from segnet.report.sections import (
    as_png,
    calibration_chart,
    class_metrics,
    class_section,
    headline,
    metric_table,
    worst_section,
    write_page,
)
from segnet.runs.image_scores import GroupScores, Worst, write_image_scores
from segnet.runs.remarks import misleading, tolerance_line, tolerance_text, warnings_of
from segnet.runs.run_folder import RunFolder
from segnet.runs.scores import Scores, score_text
from segnet.scoring.evaluate import ModelScores

_HEADLINE = ("mean_iou", "pixel_accuracy", "boundary_f1")
_shown = partial(score_text, digits=4)


def require_no_run(out: Path) -> None:
    """Check, before any work is done for it, that an evaluation may be written to a folder.

    Raises:
        SegnetError: it is a run folder, whose own files have the same names, or it can't be made.
    """
    if RunFolder(out).config.exists() or RunFolder(out).data.exists():
        raise SegnetError(f"{out} is a run folder; give --out a folder of its own, {out / 'eval'} say")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SegnetError(f"can't make the folder {out}: {error.strerror}; choose another --out") from error


def to_plain(found: ModelScores, ranked: Sequence[int], group_by: str | None) -> dict[str, Any]:
    """Return what JSON holds of an evaluation.

    Args:
        found: the evaluation.
        ranked: numbers of the worst images, worst first.
        group_by: what groups the images, if anything.
    """
    plain = found.scores.to_dict() | {"warnings": warnings_of(found.scores)}
    if found.groups:
        plain["groups"] = {"by": group_by, "scores": [dict(vars(group)) for group in found.groups]}
    if ranked:
        plain["worst"] = [found.images[i].image for i in ranked]
    return plain


def write_evaluation(
    out: Path,
    model: str,
    found: ModelScores,
    ranked: Sequence[int],
    *,
    by: Worst = "iou",
    group_by: str | None = None,
    flip: bool = False,
) -> Path:
    """Write scores.json, images.csv, the confusion matrix, groups.csv and report.html; return the last.

    Args:
        out: the folder.
        model: what the page calls the model.
        found: what it scored.
        ranked: numbers of the worst images, worst first, which the page shows.
        by: what ranks them.
        group_by: what groups the images.
        flip: whether each was predicted with its mirror image.
    """
    names, confusion = found.classes.names, found.scores.confusion
    groups = [_with_names(group, names) for group in found.groups]
    plain = to_plain(found, (), group_by) | ({"groups": {"by": group_by, "scores": groups}} if groups else {})
    write_text(out / "scores.json", json.dumps(plain, indent=2, allow_nan=False) + "\n")
    write_image_scores(out / "images.csv", found.images, names)
    shares = [[f"{count / sum(row):.6g}" if sum(row) else "" for count in row] for row in confusion]
    for file, rows in (("confusion.csv", confusion), ("confusion_by_row.csv", shares)):
        named = ((name, *row) for name, row in zip(names, rows, strict=True))
        write_csv(out / file, [("truth \\ predicted", *names), *named])
    if groups:
        write_csv(out / "groups.csv", [[*groups[0]], *([*group.values()] for group in groups)])
    view = _view(model, found) | {"how": ", each with its mirror image" if flip else "", "group_by": group_by}
    if ranked:
        pictures = zip(ranked, found.draw(ranked), strict=True)
        worst = [(found.images[i], as_png(picture)) for i, picture in pictures]
        colours = dict(zip(names, found.classes.colours, strict=True))
        view["worst"] = worst_section(worst, by, f"the {len(found.images):,} images", colours)
    write_page(out / "report.html", "evaluation.html.jinja", view)
    return out / "report.html"


def _view(model: str, found: ModelScores) -> dict[str, Any]:
    scores, scored_on = found.scores, found.scores.scored_on
    colours = dict(zip(found.classes.names, found.classes.colours, strict=True))
    metrics = class_metrics([scores])
    on_training = [f"Scored on {scored_on}."] if scored_on and scored_on.warning else []
    return {
        "model": model,
        "data": scored_on.data if scored_on else "",
        "scored_on": str(scored_on or ""),
        "warnings": [*on_training, *warnings_of(scores)],
        "note": scored_on.note if scored_on else "",
        "split": scored_on.split if scored_on else "",
        "headline": headline(scores, _HEADLINE),
        "metrics": metric_table([scores]),
        "class_metrics": metrics,
        "class_tables": [class_section("All images", scores, colours, metrics)],
        "groups": [
            (
                group.group,
                f"{group.images:,}",
                *(score_text(each) for each in (group.mean_iou, group.pixel_accuracy, group.boundary_f1)),
            )
            for group in found.groups
        ],
        "boundary_at": tolerance_text([scores]),
        "calibration": calibration_chart(scores),
        "worst": None,
        "version": segnet.__version__,
    }


def _with_names(group: GroupScores, names: Sequence[str]) -> dict[str, Any]:
    plain = {name: value for name, value in vars(group).items() if name != "iou"}
    return plain | {f"iou {name}": value for name, value in zip(names, group.iou, strict=True)}


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
