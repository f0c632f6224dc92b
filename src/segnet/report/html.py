"""The page that a training run leaves: one HTML file that opens offline, with everything inside it.

It is made from what the run folder holds and from nothing else, so it can be made again at any time, and
while the run is still going.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from segnet.base.colours import Colour, distinct_colours
from segnet.base.readable import COUNT, dotted, readable_size, readable_time
from segnet.report.plots import learning_curves
from segnet.report.sections import (
    calibration_chart,
    class_metrics,
    class_section,
    encode,
    headline,
    metric_table,
    worst_section,
    write_page,
)
from segnet.runs.image_scores import rank_worst, read_image_scores
from segnet.runs.records import Outcome, RunRecord, read_run
from segnet.runs.remarks import warnings_of
from segnet.runs.run_folder import RunFolder
from segnet.runs.scores import Scores, score_text, share_text

_HEADLINE = ("mean_iou", "pixel_accuracy", "mean_dice")


def write_report(run_folder: Path) -> Path:
    """Write ``report.html`` into the run folder and return its path.

    Whatever the folder lacks is left out, and a run that hasn't come to its end is called unfinished.

    Raises:
        SegnetError: no such folder, or a file in it that can't be read; names the file.
    """
    folder = RunFolder(run_folder)
    write_page(folder.report, "report.html.jinja", _view(folder, read_run(run_folder)))
    return folder.report


def _view(folder: RunFolder, record: RunRecord) -> dict[str, Any]:
    """Gather what the template shows, every number already in words."""
    config, outcome = record.config, record.outcome
    environment = {name: value for name, value in record.environment.items() if name != "colours"}
    finished = outcome is not None and outcome.finished
    best_epoch = outcome.best_epoch if outcome else None
    last = record.epochs[-1].val if record.epochs else None
    shown = {"Validation": outcome.val, "Test": outcome.test} if outcome else {"Validation": last}
    splits = {name: scores for name, scores in shown.items() if scores is not None}
    colours, metrics = _class_colours(record, splits), class_metrics([*splits.values()])
    return {
        "model": config.get("model") or record.model.get("name") or folder.path.resolve().name,
        "data": record.manifest.name if record.manifest else config.get("data"),
        "finished": finished,
        "epochs_done": len(record.epochs),
        "epochs_planned": config.get("epochs"),
        "best_epoch": best_epoch,
        "val_is": outcome.val_is if outcome else "",
        "split_sizes": {name: f"{size:,}" for name, size in outcome.splits.items() if size}
        if outcome
        else {},
        "headline": [
            (
                name,
                str(scores.scored_on or ""),
                headline(scores, _HEADLINE),
            )
            for name, scores in splits.items()
        ],
        "warnings": [
            f"{name} scores were taken on {scores.scored_on}"
            for name, scores in splits.items()
            if scores.scored_on is not None and scores.scored_on.warning
        ]
        + [f"{name}: {line}" for name, scores in splits.items() for line in warnings_of(scores)],
        "majority": (outcome.val.majority[0], score_text(outcome.val.majority[1])) if outcome else None,
        "facts": _facts(record),
        "command": environment.get("command"),
        "gif": encode(folder.gif.read_bytes(), "image/gif") if folder.gif.is_file() else None,
        "panel": _panel(folder, best_epoch),
        "charts": [
            (title, encode(svg.encode(), "image/svg+xml"), _loss_note(config) if title == "Loss" else "")
            for title, svg in learning_curves(record.epochs, colours, best_epoch=best_epoch)
        ],
        "split_names": list(splits),
        "metrics": metric_table([*splits.values()]),
        "class_metrics": metrics,
        "class_tables": [class_section(name, scores, colours, metrics) for name, scores in splits.items()],
        "unreadable": record.unreadable,
        "calibration": calibration_chart(next(reversed(splits.values()))) if splits else None,
        "worst": _worst(folder, outcome, colours),
        "tables": [
            (name, [(key, _plain(value)) for key, value in dotted(table)])
            for name, table in (("Configuration", config), ("Environment", environment))
            if table
        ],
        "version": environment.get("segnet"),
    }


# --- reading the folder ---


def _panel(folder: RunFolder, best_epoch: int | None) -> tuple[str, str] | None:
    """Return the epoch's name and picture: the best epoch's, whose weights were kept, else the last's."""
    pictures = folder.previews()
    if not pictures:
        return None
    kept = best_epoch is not None and folder.preview(best_epoch) in pictures
    chosen = folder.preview(best_epoch) if kept and best_epoch else pictures[-1]
    number = chosen.stem.removeprefix("epoch_").lstrip("0")
    name = f"epoch {number}, the one that was kept" if kept else f"epoch {number}"
    return name, encode(chosen.read_bytes(), "image/png")


def _worst(
    folder: RunFolder, outcome: Outcome | None, colours: Mapping[str, Colour]
) -> dict[str, Any] | None:
    """Return the images that the run left as the worst ones of the split it is reported on."""
    if outcome is None or not folder.images.is_file():
        return None
    split = "test" if outcome.test else "val"
    images = [image for image in read_image_scores(folder.images)[1] if image.split == split]
    ranked = rank_worst(images, "iou", len(images))
    pictures = [(images[i], folder.worst(rank)) for rank, i in enumerate(ranked, 1)]
    shown = [(image, picture.read_bytes()) for image, picture in pictures if picture.is_file()]
    return worst_section(shown, "iou", f"the {split} split", colours) if shown else None


def _class_colours(record: RunRecord, splits: Mapping[str, Scores]) -> dict[str, Colour]:
    """Colours of all classes that have scores: the run's own, else the ones a new class table gets."""
    every = (*splits.values(), *(epoch.val for epoch in record.epochs[-1:]))
    names = list(dict.fromkeys(name for scores in every for name in scores.per_class))
    colours = dict(zip(names, distinct_colours(len(names)), strict=True))
    given = record.environment.get("colours")
    for name, colour in given.items() if isinstance(given, Mapping) else ():
        if name in colours and isinstance(colour, list) and len(colour) == 3:
            red, green, blue = (min(255, max(0, int(channel))) for channel in colour)
            colours[name] = (red, green, blue)
    return colours


def _loss_note(config: Mapping[str, Any]) -> str:
    """Return a sentence where the two curves of the loss are of different kinds; "" where they are one."""
    loss = config.get("loss") or "cross-entropy"
    weighted = config.get("class_weights") is not None
    if loss == "cross-entropy" and not weighted:
        return ""
    name = loss if loss == "cross-entropy" else f"the {loss} loss"
    return (
        f"The training curve is {name}{' with class weights' if weighted else ''}, the validation curve "
        "always cross-entropy without weights: compare each with itself, not with the other."
    )


def _facts(record: RunRecord) -> list[tuple[str, str]]:
    """Size and cost of the run; what was not measured is left out."""

    def column(key: str) -> list[float]:
        return [value for epoch in record.epochs if (value := getattr(epoch, key)) is not None]

    counts = (("parameters", "parameters"), ("macs", "multiply-adds"))
    measured: tuple[tuple[str, str, Callable[[list[float]], str]], ...] = (
        ("training time", "seconds", lambda values: readable_time(sum(values))),
        ("images per second", "images_per_second", lambda values: f"{statistics.median(values):.4g}"),
        ("waiting for data", "data_wait_share", lambda values: share_text(statistics.median(values))),
        ("peak memory", "peak_memory_mib", lambda values: f"{max(values):,.0f} MiB"),
    )
    return [
        (label, readable_size(count, COUNT))
        for key, label in counts
        if isinstance(count := record.model.get(key), int)
    ] + [(label, in_words(values)) for label, key, in_words in measured if (values := column(key))]


# --- numbers in words ---


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
