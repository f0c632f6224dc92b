"""The page that a training run leaves: one HTML file that opens offline, with everything inside it.

It is made from what the run folder holds and from nothing else, so it can be made again at any time, and
while the run is still going.
"""

from __future__ import annotations

import base64
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from segnet.core.colours import Colour, distinct_colours
from segnet.core.duration import readable_time
from segnet.core.files import write_text
from segnet.report.plots import learning_curves
from segnet.runs.records import RunRecord, read_run
from segnet.runs.run_folder import RunFolder
from segnet.runs.scores import Scores, score_text

METRICS: dict[str, tuple[str, str]] = {
    "mean_iou": (
        "mean IoU",
        "the mean over classes of TP / (TP + FP + FN), from one confusion matrix of all the split's pixels; "
        "absent classes are left out",
    ),
    "pixel_accuracy": (
        "pixel accuracy",
        "the share of labelled pixels with the right class; high for any model where one class is most of it",
    ),
    "mean_dice": (
        "mean Dice",
        "the mean over classes of 2 TP / (2 TP + FP + FN); absent classes are left out",
    ),
    "loss": (
        "cross-entropy",
        "the mean over labelled pixels of the split's images as they are, whatever training made small; "
        "lower is better",
    ),
    "article_iou": (
        "article IoU",
        "the article's metric: IoU of all classes together, without the pixels whose truth is background. "
        "It can overstate: pet predicted on background costs nothing",
    ),
    "article_custom_iou": (
        "article custom IoU",
        "the article's metric: soft intersection over soft union, all classes and pixels together, mean over "
        "images. It can overstate: the many easy pixels outweigh the few hard ones",
    ),
}
"""Name and definition of each score, in the order in which the report shows them."""

CLASS_METRICS: dict[str, tuple[str, str]] = {
    "iou": ("IoU", "TP / (TP + FP + FN)"),
    "dice": ("Dice", "2 TP / (2 TP + FP + FN)"),
    "precision": ("precision", "of the pixels given this class, the share that is right"),
    "recall": ("recall", "of the class's pixels, the share that is found"),
}

_WIDEST_CONFUSION = 12
_HEADLINE = ("mean_iou", "pixel_accuracy", "mean_dice")


def write_report(run_folder: Path) -> Path:
    """Write ``report.html`` into the run folder and return its path.

    Whatever the folder lacks is left out, and a run that hasn't come to its end is called unfinished.

    Raises:
        SegnetError: no such folder, or a file in it that can't be read; names the file.
    """
    record = read_run(run_folder)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("segnet.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    folder = RunFolder(run_folder)
    write_text(folder.report, environment.get_template("report.html.jinja").render(_view(folder, record)))
    return folder.report


def _view(folder: RunFolder, record: RunRecord) -> dict[str, Any]:
    """Gather what the template shows, every number already in words."""
    config, outcome = record.config, record.outcome
    environment = {name: value for name, value in record.environment.items() if name != "colours"}
    finished = outcome is not None and outcome.finished
    best_epoch = outcome.best_epoch if outcome else None
    splits: dict[str, Scores] = {}
    if outcome:
        splits["Validation"] = outcome.val
    elif record.epochs:
        splits["Validation"] = record.epochs[-1].val
    if outcome and outcome.test:
        splits["Test"] = outcome.test
    colours = _class_colours(record, splits)
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
                [(METRICS[key][0], score_text(getattr(scores, key))) for key in _HEADLINE],
            )
            for name, scores in splits.items()
        ],
        "warnings": [
            f"{name} scores were taken on {scores.scored_on}"
            for name, scores in splits.items()
            if scores.scored_on is not None and scores.scored_on.warning
        ],
        "majority": (outcome.val.majority[0], score_text(outcome.val.majority[1])) if outcome else None,
        "facts": _facts(record),
        "command": environment.get("command"),
        "gif": _data_uri(folder.gif, "image/gif"),
        "panel": _panel(folder, best_epoch),
        "charts": [
            (title, _encode(svg.encode(), "image/svg+xml"), _loss_note(config) if title == "Loss" else "")
            for title, svg in learning_curves(record.epochs, colours, best_epoch=best_epoch)
        ],
        "split_names": list(splits),
        "metrics": _metric_table([*splits.values()]),
        "class_metrics": CLASS_METRICS,
        "class_tables": [
            (name, _class_table(scores, colours), _confusion_table(scores)) for name, scores in splits.items()
        ],
        "unreadable": record.unreadable,
        "tables": [
            (name, [(key, _plain(value)) for key, value in _flat(table)])
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
    uri = _data_uri(chosen, "image/png")
    number = chosen.stem.removeprefix("epoch_").lstrip("0")
    return (f"epoch {number}, the one that was kept" if kept else f"epoch {number}", uri) if uri else None


def _data_uri(path: Path, media_type: str) -> str | None:
    return _encode(path.read_bytes(), media_type) if path.is_file() else None


def _encode(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


# --- tables ---


def _metric_table(splits: Sequence[Scores]) -> list[tuple[str, str, list[str]]]:
    """Rows of name, definition and a value for each split: ours first, then any that has no definition."""
    if not splits:
        return []
    rows = [(*METRICS[key], [score_text(getattr(scores, key)) for scores in splits]) for key in METRICS]
    for key in dict.fromkeys(name for scores in splits for name in scores.others):
        rows.append((key.replace("_", " "), "", [score_text(scores.others.get(key)) for scores in splits]))
    return rows


def _class_table(scores: Scores, colours: Mapping[str, Colour]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "colour": "rgb({}, {}, {})".format(*colours[name]),
            "share": _share(entry.share),
            "iou_percent": f"{100 * (entry.iou or 0):.1f}",
            "scores": [score_text(getattr(entry, key)) for key in CLASS_METRICS],
        }
        for name, entry in scores.per_class.items()
    ]


def _confusion_table(scores: Scores) -> list[tuple[str, list[str]]]:
    """Rows of a class and the share of its pixels predicted as each class; none for many classes."""
    if not 2 <= len(scores.per_class) == len(scores.confusion) <= _WIDEST_CONFUSION:
        return []
    return [
        (name, [_share(count / sum(row)) if sum(row) else "absent" for count in row])
        for name, row in zip(scores.per_class, scores.confusion, strict=True)
    ]


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

    facts: list[tuple[str, str]] = []
    for key, label in (("parameters", "parameters"), ("macs", "multiply-adds")):
        if isinstance(count := record.model.get(key), int):
            facts.append((label, _count(count)))
    if seconds := column("seconds"):
        facts.append(("training time", readable_time(sum(seconds))))
    if speed := column("images_per_second"):
        facts.append(("images per second", f"{statistics.median(speed):.4g}"))
    if waiting := column("data_wait_share"):
        facts.append(("waiting for data", _share(statistics.median(waiting))))
    if memory := column("peak_memory_mib"):
        facts.append(("peak memory", f"{max(memory):,.0f} MiB"))
    return facts


# --- numbers in words ---


def _share(value: float | None) -> str:
    return "absent" if value is None else f"{100 * value:.1f} %"


def _count(value: float) -> str:
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _flat(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Turn nested mappings into dotted names: ``model.parameters``."""
    entries: list[tuple[str, Any]] = []
    for key, value in table.items():
        name = f"{prefix}{key}"
        entries += _flat(value, f"{name}.") if isinstance(value, Mapping) and value else [(name, value)]
    return entries
