"""Runs side by side, from what they left in their folders: ``segnet compare``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from segnet.core.colours import BLACK, BLUE, BLUISH_GREEN, ORANGE, REDDISH_PURPLE, SKY_BLUE, VERMILION
from segnet.core.errors import SegnetError
from segnet.objectives.metrics import score_text
from segnet.report.plots import Chart, Curve, write_chart
from segnet.report.run_files import read_mapping, read_metrics

# Those furthest apart first.
_COLOURS = (BLUE, VERMILION, BLUISH_GREEN, REDDISH_PURPLE, ORANGE, SKY_BLUE, BLACK)
SCORES = ("mean_iou", "pixel_accuracy", "mean_dice")


@dataclass(frozen=True)
class RunRecord:
    """What a run says of itself."""

    name: str
    """Its folder as it was given."""
    config: Mapping[str, Any]
    model: Mapping[str, Any]
    """name, parameters and macs."""
    epochs: Sequence[Mapping[str, Any]]
    """The lines of metrics.jsonl, by rising epoch; at least one."""

    @property
    def best(self) -> Mapping[str, Any]:
        """The first epoch with the highest mean IoU on the validation images: the one that was kept."""
        return max(self.epochs, key=lambda row: row["val"]["mean_iou"] or 0.0)


def read_run(folder: Path) -> RunRecord:
    """Read a run folder, of a run that may still go on.

    Raises:
        SegnetError: no run folder, no epoch in it yet, or a file that is damaged.
    """
    if not (folder / "config.yaml").is_file():
        raise SegnetError(
            f"{folder} is no run folder: it has no config.yaml; give one that segnet train wrote"
        )
    rows, _ = read_metrics(folder / "metrics.jsonl")
    rows = [row for row in rows if _is_scored(row.get("val"))]
    if not rows:
        raise SegnetError(f"{folder} has no epoch to show yet; wait until its first epoch is done")
    model = read_mapping(folder / "environment.json").get("model")
    config = read_mapping(folder / "config.yaml")
    return RunRecord(str(folder), config, model if isinstance(model, dict) else {}, rows)


def _is_scored(val: object) -> bool:
    return isinstance(val, dict) and {"mean_iou", "pixel_accuracy", "per_class"} <= val.keys()


def differences(runs: Sequence[RunRecord]) -> dict[str, list[str]]:
    """Return the settings in which runs were scored on other pixels, each with the value of every run."""
    found = {}
    for setting in ("data", "border", "size", "holdout", "seed"):
        values = [str(run.config.get(setting)) for run in runs if _decides_pixels(setting, run.config)]
        if len(set(values)) > 1:
            found[setting] = [str(run.config.get(setting)) for run in runs]
    return found


def _decides_pixels(setting: str, config: Mapping[str, Any]) -> bool:
    """Say whether a setting has a say in which pixels the scores of a run are counted on."""
    if setting == "border":
        return config.get("data") == "oxford-pets"
    if setting == "holdout":  # the drawn images have a validation split of their own
        return config.get("data") != "synthetic"
    if setting == "seed":  # it draws the synthetic images, and the part that is held out of others
        return config.get("data") == "synthetic" or bool(config.get("holdout"))
    return True


def runs_table(runs: Sequence[RunRecord]) -> Table:
    """Return a row for each run: its model, its cost and its best epoch's scores on the validation images."""
    classes = list(dict.fromkeys(name for run in runs for name in run.best["val"]["per_class"]))
    table = Table(box=SIMPLE_HEAD)
    for name in ("run", "model"):
        table.add_column(name)
    columns = (
        "parameters",
        "epochs",
        "best",
        "pixels",
        "mIoU",
        *(f"{name} IoU" for name in classes),
        "minutes",
    )
    for name in columns:
        table.add_column(name, justify="right")
    for run in runs:
        best = run.best["val"]
        ious = [best["per_class"].get(name, {}).get("iou") for name in classes]
        seconds = sum(row.get("seconds", 0.0) for row in run.epochs)
        table.add_row(
            run.name,
            str(run.config.get("model")),
            f"{run.model['parameters']:,}" if "parameters" in run.model else "–",
            str(len(run.epochs)),
            str(run.best["epoch"]),
            *(score_text(value, 4) for value in (best["pixel_accuracy"], best["mean_iou"], *ious)),
            f"{seconds / 60:.1f}",
        )
    return table


def require_score(runs: Sequence[RunRecord], score: str) -> None:
    """Check that a score can be drawn.

    Raises:
        SegnetError: neither a key of ``SCORES`` nor a class of any run.
    """
    classes = list(dict.fromkeys(name for run in runs for name in run.best["val"]["per_class"]))
    if score not in (*SCORES, *classes):
        raise SegnetError(f"no run has a score {score!r}; there is {', '.join((*SCORES, *classes))}")


def draw_runs(runs: Sequence[RunRecord], path: Path, *, score: str = "mean_iou") -> None:
    """Draw one score of every run over its epochs, as PNG or SVG by the file's name.

    Args:
        runs: up to seven.
        path: the picture.
        score: a key of ``SCORES``, or the name of a class for its IoU.

    Raises:
        SegnetError: more runs than colours can tell apart, or a score that no run has.
    """
    require_score(runs, score)
    if len(runs) > len(_COLOURS):
        raise SegnetError(f"a picture shows up to {len(_COLOURS)} runs, got {len(runs)}; draw fewer at once")
    values = [[_value(row["val"], score) for row in run.epochs] for run in runs]
    last = max(int(run.epochs[-1]["epoch"]) for run in runs)
    curves = []
    names = _told_apart([Path(run.name).name for run in runs])
    for run, name, row, colour in zip(runs, names, values, _COLOURS, strict=False):
        by_epoch = {int(entry["epoch"]): value for entry, value in zip(run.epochs, row, strict=True)}
        curves.append(Curve(name, [by_epoch.get(epoch) for epoch in range(1, last + 1)], colour))
    titles = {"mean_iou": "Mean IoU", "pixel_accuracy": "Pixel accuracy", "mean_dice": "Mean Dice"}
    title = f"{titles.get(score, f'IoU of {score}')} on the validation images"
    write_chart(Chart(title, range(1, last + 1), curves), path)


def _told_apart(names: Sequence[str]) -> list[str]:
    """Return names without the parts between hyphens that all of them begin or end with."""
    parts = [name.split("-") for name in names]
    for end in (0, -1):
        while len({each[end] for each in parts}) == 1 and len(parts) > 1 and min(map(len, parts)) > 1:
            for each in parts:
                del each[end]
    return ["-".join(each) for each in parts]


def _value(val: Mapping[str, Any], score: str) -> float | None:
    if score in SCORES:
        return val.get(score)
    value: float | None = val["per_class"].get(score, {}).get("iou")
    return value
