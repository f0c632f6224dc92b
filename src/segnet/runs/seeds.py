"""Runs that differ by their seed alone, in one folder: how far chance moves their scores."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segnet.base.errors import SegnetError, refuse
from segnet.base.files import write_text
from segnet.runs.records import RunRecord, read_mapping, read_run
from segnet.runs.run_folder import PathIn
from segnet.runs.scores import Scores, score_text

NUMBERS = {
    "mean_iou": "mean IoU",
    "pixel_accuracy": "pixel accuracy",
    "mean_dice": "mean Dice",
    "mean_class_accuracy": "mean class accuracy",
    "boundary_f1": "boundary F1",
    "band_accuracy": "accuracy at edges",
}
"""The scores that are summed up and their names, before the IoU and the boundary F1 of every class."""


_MOST = 100  # more are rather one seed, mistyped


@dataclass(frozen=True)
class SeedFolder:
    """The places in a folder of such runs."""

    path: Path

    group = PathIn("seeds.json", "Which seeds it is of; what tells such a folder from others.")
    lock = PathIn("lock", "What a process holds that trains in it.")
    summary = PathIn("summary.json", "Mean and standard deviation of the scores of all seeds.")

    def run(self, seed: int) -> Path:
        """The run folder of a seed."""
        return self.path / f"seed-{seed}"

    @property
    def exists(self) -> bool:
        """Say whether it is one."""
        return self.group.is_file()

    def seeds(self) -> tuple[int, ...]:
        """Return the seeds that it is to have, finished or not.

        Raises:
            SegnetError: a damaged file.
        """
        seeds = read_mapping(self.group).get("seeds")
        if not isinstance(seeds, list) or not all(isinstance(seed, int) for seed in seeds):
            raise SegnetError(f"{self.group} is damaged: it should name the seeds; train anew")
        return tuple(seeds)


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds that ``3``, the first three, or ``0,1,2`` stands for.

    Raises:
        SegnetError: something else, fewer than two, or one twice.
    """
    if not re.fullmatch(r"\s*\d+\s*(,\s*\d+\s*)*", text):
        raise SegnetError(f"--seeds must be how many, such as 3, or which, such as 0,1,2, got {text}")
    seeds = tuple(int(seed) for seed in text.split(","))
    alone = len(seeds) == 1
    refuse(
        (
            alone and seeds[0] > _MOST,
            f"--seeds {text} would be {text} runs; name the seeds, as in 0,1,2",
        ),
        (
            alone and seeds[0] < 2,
            f"--seeds {text}: a spread takes two seeds or more; for one there is --seed",
        ),
        (
            len(set(seeds)) < len(seeds),
            f"--seeds {text} names a seed twice; it would be the same run",
        ),
    )
    return tuple(range(seeds[0])) if alone else seeds


@dataclass(frozen=True)
class SeedRuns:
    """Finished runs of several seeds."""

    name: str
    seeds: tuple[int, ...]
    runs: tuple[RunRecord, ...]

    @property
    def reported(self) -> tuple[Scores, ...]:
        """Each run's scores on the split that it is reported on: test where there is one."""
        outcomes = [run.outcome for run in self.runs if run.outcome is not None]
        return tuple(outcome.test or outcome.val for outcome in outcomes)

    @property
    def split(self) -> str:
        """Which split that is."""
        return "test" if all(run.outcome and run.outcome.test for run in self.runs) else "val"

    def sentence(self) -> str:
        """Return the spread of mean IoU in words."""
        spread = spread_text(self.values()["mean IoU"])
        return f"mean IoU {spread} over {len(self.seeds)} seeds, on the {self.split} split"

    def values(self) -> dict[str, list[float]]:
        """Return each score's value for every seed; without those that a run lacks."""
        rows = [_flat(scores) for scores in self.reported]
        return {name: [row[name] for row in rows] for name in rows[0] if all(name in row for row in rows)}


def _flat(scores: Scores) -> dict[str, float]:
    """Return the scores that have a value, by names for people."""
    named: dict[str, float | None] = {title: getattr(scores, name) for name, title in NUMBERS.items()}
    for title, key in (("IoU", "iou"), ("boundary F1", "boundary_f1")):
        for name, entry in scores.per_class.items():
            own = f"{name} {title}"
            while own in named:  # a class that is called mean
                own = f"class {own}"
            named[own] = getattr(entry, key)
    return {name: value for name, value in named.items() if value is not None}


def read_seeds(path: Path) -> SeedRuns:
    """Read the runs of a folder of seeds, all of which must have come to their end.

    Raises:
        SegnetError: one that hasn't, or a file that is damaged.
    """
    folder = SeedFolder(path)
    seeds = folder.seeds()
    runs = tuple(read_run(folder.run(seed)) for seed in seeds if folder.run(seed).is_dir())
    done = sum(run.outcome is not None and run.outcome.finished for run in runs)
    if done < len(seeds):
        raise SegnetError(
            f"{path} has {done} of its {len(seeds)} seeds; the others come with: segnet resume {path}"
        )
    return SeedRuns(str(path), seeds, runs)


def write_summary(path: Path) -> SeedRuns:
    """Write summary.json into a folder of seeds that is complete, and return what it sums up.

    Raises:
        SegnetError: as ``read_seeds``.
    """
    found = read_seeds(path)
    scores = {
        name: {"mean": statistics.fmean(values), "sd": statistics.stdev(values), "values": values}
        for name, values in found.values().items()
    }
    plain = {"seeds": list(found.seeds), "split": found.split, "scores": scores}
    write_text(SeedFolder(path).summary, json.dumps(plain, indent=2) + "\n")
    return found


def spread_text(values: Sequence[float], digits: int = 4) -> str:
    """Return mean and standard deviation for people."""
    return f"{score_text(statistics.fmean(values), digits)} ± {statistics.stdev(values):.{digits}f}"
