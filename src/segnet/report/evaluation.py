"""What ``segnet eval --out`` leaves: scores as JSON and CSV, and one page that opens offline."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import segnet
from segnet.base.classes import ClassTable
from segnet.base.errors import SegnetError
from segnet.base.files import write_text
from segnet.report.sections import (
    calibration_chart,
    class_metrics,
    class_section,
    headline,
    metric_table,
    worst_section,
    write_page,
)
from segnet.runs.image_scores import GroupScores, ImageScores, Worst, write_image_scores
from segnet.runs.remarks import tolerance_text, warnings_of
from segnet.runs.run_folder import RunFolder
from segnet.runs.scores import Scores, score_text

_HEADLINE = ("mean_iou", "pixel_accuracy", "boundary_f1")


@dataclass(frozen=True)
class EvaluationPage:
    """All that the page shows."""

    model: str
    scores: Scores
    images: Sequence[ImageScores]
    classes: ClassTable
    how: str = ""
    """In which way the model was asked, where it isn't the usual one."""
    worst_by: Worst = "iou"
    worst: Sequence[tuple[ImageScores, bytes]] = ()
    """Each with its picture as PNG, worst first."""
    group_by: str = ""
    groups: Sequence[GroupScores] = ()


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


def write_evaluation(out: Path, page: EvaluationPage) -> Path:
    """Write scores.json, images.csv, the confusion matrix, groups.csv and report.html; return the last."""
    names, confusion = page.classes.names, page.scores.confusion
    plain = page.scores.to_dict() | {"warnings": warnings_of(page.scores)}
    if page.groups:
        plain["groups"] = {"by": page.group_by, "scores": [_plain(group, names) for group in page.groups]}
    write_text(out / "scores.json", json.dumps(plain, indent=2, allow_nan=False) + "\n")
    write_image_scores(out / "images.csv", page.images, names)
    head = ["truth \\ predicted", *names]
    _write_csv(
        out / "confusion.csv", [head, *([name, *row] for name, row in zip(names, confusion, strict=True))]
    )
    shares = [[f"{count / sum(row):.6g}" if sum(row) else "" for count in row] for row in confusion]
    _write_csv(
        out / "confusion_by_row.csv", [head, *([name, *row] for name, row in zip(names, shares, strict=True))]
    )
    if page.groups:
        rows = [_plain(group, names) for group in page.groups]
        _write_csv(out / "groups.csv", [list(rows[0]), *(list(row.values()) for row in rows)])
    report = out / "report.html"
    write_page(report, "evaluation.html.jinja", _view(page))
    return report


def _view(page: EvaluationPage) -> dict[str, Any]:
    scores, scored_on = page.scores, page.scores.scored_on
    split = scored_on.split if scored_on else ""
    colours = dict(zip(page.classes.names, page.classes.colours, strict=True))
    metrics = class_metrics([scores])
    return {
        "model": page.model,
        "data": scored_on.data if scored_on else "",
        "scored_on": str(scored_on or ""),
        "warnings": [
            *([f"Scored on {scored_on}."] if scored_on and scored_on.warning else []),
            *warnings_of(scores),
        ],
        "note": scored_on.note if scored_on else "",
        "how": page.how and f", {page.how}",
        "split": split,
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
            for group in page.groups
        ],
        "group_by": page.group_by,
        "boundary_at": tolerance_text([scores]),
        "calibration": calibration_chart(scores),
        "worst": worst_section(page.worst, page.worst_by, f"the {len(page.images):,} images", colours)
        if page.worst
        else None,
        "version": segnet.__version__,
    }


def _plain(group: GroupScores, names: Sequence[str]) -> dict[str, Any]:
    plain = {name: value for name, value in vars(group).items() if name != "iou"}
    return plain | {f"iou {name}": value for name, value in zip(names, group.iou, strict=True)}


def _write_csv(path: Path, rows: Sequence[Sequence[object]]) -> None:
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(rows)
    write_text(path, table.getvalue())
