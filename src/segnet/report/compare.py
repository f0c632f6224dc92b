"""Runs side by side, from what they left in their folders: ``segnet compare``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from segnet.base.colours import BLACK, BLUE, BLUISH_GREEN, ORANGE, REDDISH_PURPLE, SKY_BLUE, VERMILION
from segnet.base.errors import refuse
from segnet.base.readable import number_table
from segnet.report.plots import Chart, Curve, write_chart
from segnet.report.spread import has_images
from segnet.runs.identity import digest
from segnet.runs.records import RunRecord, read_run
from segnet.runs.scores import ClassScores, Scores, score_text

# Those furthest apart first.
_COLOURS = (BLUE, VERMILION, BLUISH_GREEN, REDDISH_PURPLE, ORANGE, SKY_BLUE, BLACK)
SCORES = {"mean_iou": "Mean IoU", "pixel_accuracy": "Pixel accuracy", "mean_dice": "Mean Dice"}
_MOST_CLASSES = 24  # of more a table shows those that differ most
_LABEL, _VALUE = 20, 12  # characters of a row's name and of a value that are never folded


def read_runs(folders: Sequence[Path]) -> list[RunRecord]:
    """Read run folders, of runs that may still go on.

    Raises:
        SegnetError: no run folder, no epoch in it yet, or a file that is damaged.
    """
    runs = [read_run(folder) for folder in folders]
    for run in runs:
        refuse(
            (
                not run.config,
                f"{run.name} is no run folder: it has no config.yaml; give one that segnet train wrote",
            ),
            (not run.epochs, f"{run.name} has no epoch to show yet; wait until its first epoch is done"),
        )
    return runs


def differences(runs: Sequence[RunRecord]) -> dict[str, list[str]]:
    """Return what makes scores incomparable: other validation images or pixels, with the value of every run.

    Images are told by their content. Runs of older versions don't say theirs: their settings decide then.
    """
    found = {}
    if all(run.manifest is not None for run in runs):
        manifests = [run.manifest for run in runs if run.manifest]
        if len({digest(each.splits["val"]) for each in manifests}) > 1:
            found["validation images"] = [f"{len(each.splits['val'])} of {each.name}" for each in manifests]
    else:
        for setting in ("data", "border", "holdout", "seed"):
            values = [_text(run.config.get(setting)) for run in runs if _decides_pixels(setting, run.config)]
            if len(set(values)) > 1:
                found[setting] = [_text(run.config.get(setting)) for run in runs]
    sizes = [_text(run.config.get("size")) for run in runs]
    return found | ({"size": sizes} if len(set(sizes)) > 1 else {})


def _decides_pixels(setting: str, config: Mapping[str, Any]) -> bool:
    """Say whether a setting has a say in which pixels the scores of a run are counted on."""
    data = config.get("data")
    decides = {
        "border": data == "oxford-pets",
        "holdout": data != "synthetic",  # the drawn images have a validation split of their own
        # it draws the synthetic images, and the part that is held out of others
        "seed": data == "synthetic" or bool(config.get("holdout")),
    }
    return decides.get(setting, True)


def runs_table(runs: Sequence[RunRecord]) -> Table:
    """Return a column for each run: its model, its cost and its best epoch's scores on the validation images.

    Rows are what is compared, so that many classes make the table long rather than wide. Of very many classes
    those are shown in which the runs differ most.
    """
    rows: dict[str, list[str]] = {
        "model": [str(run.config.get("model")) for run in runs],
        "parameters": [f"{run.model['parameters']:,}" if "parameters" in run.model else "–" for run in runs],
        "epochs": [str(len(run.epochs)) for run in runs],
        "best epoch": [str(run.best.epoch) for run in runs],
        "minutes": [f"{sum(epoch.seconds or 0.0 for epoch in run.epochs) / 60:.1f}" for run in runs],
        "pixel accuracy": [score_text(run.best.val.pixel_accuracy, 4) for run in runs],
        "mean IoU": [score_text(run.best.val.mean_iou, 4) for run in runs],
    }
    ious = {
        name: [run.best.val.per_class.get(name, ClassScores()).iou for run in runs] for name in _classes(runs)
    }
    shown = sorted(ious, key=lambda name: -_spread(ious[name]))[:_MOST_CLASSES]
    for name in ious:
        if name in shown:
            rows[f"IoU {name}"] = [score_text(value, 4) for value in ious[name]]
    said = "scores of the best epoch on the validation images"
    if len(ious) > len(shown):
        most = f"of {len(ious)} classes the {len(shown)} that differ most"
        said = f"{said}; {most}, metrics.jsonl of each run has the others"
    table = _narrow_table("", runs, rows)
    table.caption = said
    return table


def _spread(values: Sequence[float | None]) -> float:
    """Return how far apart values are; a class that only some have is as far apart as can be."""
    present = [value for value in values if value is not None]
    return max(present) - min(present) if len(present) == len(values) else 1.0


def settings_table(some: Sequence[RunRecord], of: Sequence[RunRecord]) -> Table | None:
    """Return a row for each setting in which runs differ, besides their model; None where there is none.

    Args:
        some: the runs in the table.
        of: all the runs that are compared.
    """
    differing = {
        name: [_text(run.config.get(name)) for run in some]
        for name in dict.fromkeys(name for run in of for name in run.config)
        if name not in ("model", "out", "derived") and len({_text(run.config.get(name)) for run in of}) > 1
    }
    return _narrow_table("setting", some, differing) if differing else None


def runs_and_settings(runs: Sequence[RunRecord], width: int) -> Iterator[Table]:
    """Yield the tables of runs and then those of their settings, each with as many runs as fit in its width.

    Args:
        runs: all that are compared.
        width: of the terminal, in characters.
    """
    most = max(1, (width - _LABEL - 4) // (_VALUE + 2))
    tables = math.ceil(len(runs) / most)
    each = math.ceil(len(runs) / tables)
    groups = [runs[start : start + each] for start in range(0, len(runs), each)]
    yield from map(runs_table, groups)
    yield from filter(None, (settings_table(some, of=runs) for some in groups))


def warnings_of(runs: Sequence[RunRecord], *, need_images: bool) -> Iterator[str]:
    """Yield what to know before believing the scores of runs that stand beside each other.

    Args:
        runs: the runs.
        need_images: whether they were to be compared image by image.
    """
    older = [run.name for run in runs if need_images and not has_images(run)]
    if older:
        yield f"{older[0]}, of an older segnet, has no images.csv, so chance can't be told apart"
    for run in runs:
        if run.best.val.scored_on is not None and run.best.val.scored_on.warning:
            yield f"the scores of {run.name} were taken on {run.best.val.scored_on}"
    found = [f"{setting} ({', '.join(values)})" for setting, values in differences(runs).items()]
    if found:
        yield f"these scores don't compare: the runs differ in {', '.join(found)}"


def _narrow_table(title: str, runs: Sequence[RunRecord], rows: Mapping[str, Sequence[str]]) -> Table:
    """Return a table with a column for each run that fits a terminal: names and long values are folded."""
    longest = [max(map(len, column)) for column in zip(*rows.values(), strict=True)]
    least = min(_LABEL, max(map(len, rows))), *(min(_VALUE, each) for each in longest)
    lines = ((name, *values) for name, values in rows.items())
    return number_table((title, *(run.name for run in runs)), lines, least=least, pad_edge=False)


def _classes(runs: Sequence[RunRecord]) -> list[str]:
    """Return the classes that any run has scores of."""
    return list(dict.fromkeys(name for run in runs for name in run.best.val.per_class))


def require_score(runs: Sequence[RunRecord], score: str) -> None:
    """Check that a score of these runs can be drawn.

    Raises:
        SegnetError: more runs than colours can tell apart, or no key of ``SCORES`` and no class of a run.
    """
    known = (*SCORES, *_classes(runs))
    refuse(
        (score not in known, f"no run has a score {score!r}; there is {', '.join(known)}"),
        (
            len(runs) > len(_COLOURS),
            f"a picture shows up to {len(_COLOURS)} runs, got {len(runs)}; draw fewer at once",
        ),
    )


def draw_runs(runs: Sequence[RunRecord], path: Path, *, score: str = "mean_iou") -> None:
    """Draw one score of every run over its epochs, as PNG or SVG by the file's name.

    Args:
        runs: up to seven.
        path: the picture.
        score: a key of ``SCORES``, or the name of a class for its IoU.

    Raises:
        SegnetError: as ``require_score``.
    """
    require_score(runs, score)
    last = max(run.epochs[-1].epoch for run in runs)
    by_epoch = [{epoch.epoch: _value(epoch.val, score) for epoch in run.epochs} for run in runs]
    names = _told_apart([Path(run.name).name for run in runs])
    curves = [
        Curve(name, [values.get(epoch) for epoch in range(1, last + 1)], colour)
        for name, values, colour in zip(names, by_epoch, _COLOURS, strict=False)
    ]
    title = f"{SCORES.get(score, f'IoU of {score}')} on the validation images"
    write_chart(Chart(title, range(1, last + 1), curves), path)


def _told_apart(names: Sequence[str]) -> list[str]:
    """Return names without the parts between hyphens that all of them begin or end with."""
    parts = [name.split("-") for name in names]
    for end in (0, -1):
        while len({each[end] for each in parts}) == 1 and len(parts) > 1 and min(map(len, parts)) > 1:
            for each in parts:
                del each[end]
    return ["-".join(each) for each in parts]


def _value(val: Scores, score: str) -> float | None:
    if score in SCORES:
        return getattr(val, score)
    return val.per_class.get(score, ClassScores()).iou


def _text(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)
