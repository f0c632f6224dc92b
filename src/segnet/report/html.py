"""The page that a training run leaves: one HTML file that opens offline, with everything inside it.

It is made from what the run folder holds and from nothing else, so it can be made again at any time, and
while the run is still going.
"""

from __future__ import annotations

import base64
import json
import math
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from segnet.core.colours import Colour, distinct_colours
from segnet.core.errors import SegnetError
from segnet.report.plots import learning_curves
from segnet.report.run_files import read_mapping, read_metrics

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
        "loss",
        "mean cross-entropy on the split's images as they are, whatever training made small; lower is better",
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

_TABLES = {"per_class", "confusion"}  # scores that are tables of their own
_WIDEST_CONFUSION = 12
_HEADLINE = ("mean_iou", "pixel_accuracy", "mean_dice")


def write_report(run_folder: Path) -> Path:
    """Write ``report.html`` into the run folder and return its path.

    Reads ``config.yaml``, ``metrics.jsonl``, ``scores.json``, ``environment.json``, ``previews/`` and
    ``learning.gif``; whatever is missing is left out, and a run without ``scores.json`` is called unfinished.

    Raises:
        SegnetError: no such folder, or a file in it that can't be read; names the file.
    """
    if not run_folder.is_dir():
        raise SegnetError(f"there is no run folder {run_folder}; give the folder that `segnet train` wrote")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("segnet.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.jinja").render(_view(run_folder))
    target = run_folder / "report.html"
    unfinished = run_folder / f".report.html.{os.getpid()}.tmp"
    try:
        unfinished.write_text(page, encoding="utf-8")
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def _view(folder: Path) -> dict[str, Any]:
    """Gather what the template shows, every number already in words."""
    config = read_mapping(folder / "config.yaml")
    environment = read_mapping(folder / "environment.json")
    scores = read_mapping(folder / "scores.json")
    rows, unreadable = read_metrics(folder / "metrics.jsonl")
    model = _mapping(environment.get("model"))
    last_val = _mapping(rows[-1].get("val")) if rows else {}
    splits = {"Validation": _mapping(scores.get("val")) or last_val, "Test": _mapping(scores.get("test"))}
    splits = {name: split for name, split in splits.items() if split}
    colours = _class_colours(environment.pop("colours", None), splits, last_val)
    best_epoch = scores.get("best_epoch")
    return {
        "model": config.get("model") or model.get("name") or folder.resolve().name,
        "data": config.get("data"),
        "finished": bool(scores),
        "epochs_done": len(rows),
        "epochs_planned": config.get("epochs"),
        "best_epoch": best_epoch,
        "selected_by": METRICS.get(scores.get("selected_by", ""), (scores.get("selected_by"),))[0],
        "val_is": scores.get("val_is"),
        "split_sizes": {name: f"{size:,}" for name, size in _mapping(scores.get("splits")).items() if size},
        "headline": [
            (name, [(METRICS[key][0], _score(split.get(key))) for key in _HEADLINE])
            for name, split in splits.items()
        ],
        "majority": _majority(scores),
        "facts": _facts(rows, model),
        "command": environment.get("command"),
        "gif": _data_uri(folder / "learning.gif", "image/gif"),
        "panel": _panel(folder / "previews", best_epoch),
        "charts": [
            (title, _encode(svg.encode(), "image/svg+xml"), _loss_note(config) if title == "Loss" else "")
            for title, svg in learning_curves(rows, colours, best_epoch=best_epoch)
        ],
        "split_names": list(splits),
        "metrics": _metric_table(splits),
        "class_metrics": CLASS_METRICS,
        "class_tables": [
            (name, _class_table(split, colours), _confusion_table(split)) for name, split in splits.items()
        ],
        "unreadable": unreadable,
        "tables": [
            (name, [(key, _plain(value)) for key, value in _flat(table)])
            for name, table in (("Configuration", config), ("Environment", environment))
            if table
        ],
        "version": environment.get("segnet"),
    }


# --- reading the folder ---


def _panel(previews: Path, best_epoch: int | None) -> tuple[str, str] | None:
    """Return the epoch's name and picture: the best epoch's, whose weights were kept, else the last's."""
    pictures = sorted(previews.glob("epoch_*.png"), key=lambda path: (len(path.name), path.name))
    if not pictures:
        return None
    best = [
        picture for picture in pictures if picture.stem.removeprefix("epoch_") == f"{best_epoch or 0:03d}"
    ]
    chosen = (best or pictures)[-1]
    uri = _data_uri(chosen, "image/png")
    number = chosen.stem.removeprefix("epoch_").lstrip("0")
    return (f"epoch {number}, the one that was kept" if best else f"epoch {number}", uri) if uri else None


def _data_uri(path: Path, media_type: str) -> str | None:
    return _encode(path.read_bytes(), media_type) if path.is_file() else None


def _encode(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


# --- tables ---


def _metric_table(splits: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, list[str]]]:
    """Rows of name, definition and a value for each split: ours first, then any that has no definition."""
    present = {key for split in splits.values() for key in split if key not in _TABLES}
    keys = [key for key in METRICS if key in present] + sorted(present - METRICS.keys())
    return [
        (*METRICS.get(key, (key.replace("_", " "), "")), [_score(s.get(key)) for s in splits.values()])
        for key in keys
    ]


def _class_table(split: Mapping[str, Any], colours: Mapping[str, Colour]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "colour": "rgb({}, {}, {})".format(*colours[name]),
            "share": _share(_mapping(scores).get("share")),
            "iou_percent": f"{100 * (_finite(_mapping(scores).get('iou')) or 0):.1f}",
            "scores": [_score(_mapping(scores).get(key)) for key in CLASS_METRICS],
        }
        for name, scores in _mapping(split.get("per_class")).items()
    ]


def _confusion_table(split: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Rows of a class and the share of its pixels predicted as each class; none for many classes."""
    names, counts = list(_mapping(split.get("per_class"))), split.get("confusion")
    if not isinstance(counts, list) or not 2 <= len(names) == len(counts) <= _WIDEST_CONFUSION:
        return []
    return [
        (name, [_share(count / sum(row)) if sum(row) else "absent" for count in row])
        for name, row in zip(names, counts, strict=True)
    ]


def _class_colours(
    given: object, splits: Mapping[str, Mapping[str, Any]], last_val: Mapping[str, Any]
) -> dict[str, Colour]:
    """Colours of all classes that have scores: the run's own, else the ones a new class table gets."""
    tables = [_mapping(split.get("per_class")) for split in (*splits.values(), last_val)]
    names = list(dict.fromkeys(name for table in tables for name in table))
    colours = dict(zip(names, distinct_colours(len(names)), strict=True))
    for name, colour in _mapping(given).items():
        if name in colours and isinstance(colour, list) and len(colour) == 3:
            red, green, blue = (min(255, max(0, int(channel))) for channel in colour)
            colours[name] = (red, green, blue)
    return colours


def _majority(scores: Mapping[str, Any]) -> tuple[str, str] | None:
    majority = _mapping(scores.get("majority"))
    if _finite(majority.get("pixel_accuracy")) is None:
        return None
    return str(majority.get("class")), _score(majority["pixel_accuracy"])


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


def _facts(rows: Sequence[Mapping[str, Any]], model: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Size and cost of the run; what was not measured is left out."""

    def column(key: str) -> list[float]:
        return [value for row in rows if (value := _finite(row.get(key))) is not None]

    facts: list[tuple[str, str]] = []
    for key, label in (("parameters", "parameters"), ("macs", "multiply-adds")):
        if (count := _finite(model.get(key))) is not None:
            facts.append((label, _count(count)))
    if seconds := column("seconds"):
        facts.append(("training time", _duration(sum(seconds))))
    if speed := column("images_per_second"):
        facts.append(("images per second", f"{statistics.median(speed):.4g}"))
    if waiting := column("data_wait_share"):
        facts.append(("waiting for data", _share(statistics.median(waiting))))
    if memory := column("peak_memory_mib"):
        facts.append(("peak memory", f"{max(memory):,.0f} MiB"))
    return facts


# --- numbers in words ---


def _score(value: object) -> str:
    """Three decimals; a class or score that has no value is called absent, never 0."""
    if value is None:
        return "absent"
    number = _finite(value)
    return str(value) if number is None else f"{number:.3f}"


def _share(value: object) -> str:
    number = _finite(value)
    return "absent" if number is None else f"{100 * number:.1f} %"


def _count(value: float) -> str:
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


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


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
