"""The losses of a run's first steps, to full digits: by them two runs show that they compute the same."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from segnet.base.errors import SegnetError, refuse
from segnet.base.files import expand_home, write_text
from segnet.runs.run_folder import RunFolder
from segnet.runs.seeds import SeedFolder

FIRST_STEPS = 100
"""So many are kept."""


@dataclass(frozen=True)
class StepRecord:
    """One step: a line of steps.jsonl."""

    epoch: int
    """Counted from 1."""
    step: int
    """Of its epoch, counted from 1."""
    loss: float | None
    """As it was computed, every digit; None where it wasn't finite and the step was dropped."""

    def __str__(self) -> str:
        loss = "a loss that isn't finite" if self.loss is None else f"the loss {self.loss!r}"
        return f"{loss} in epoch {self.epoch}, step {self.step}"


def write_steps(folder: RunFolder, steps: Iterable[StepRecord]) -> None:
    """Write steps.jsonl, whole or not at all; a float is written so that it is read as the same bits.

    Raises:
        SegnetError: the folder can't be written to, or the disk is full.
    """
    write_text(folder.steps, "".join(json.dumps(vars(step)) + "\n" for step in steps))


def read_steps(path: str | Path) -> list[StepRecord]:
    """Read the first steps of a run.

    Raises:
        SegnetError: no run folder, none of its steps are kept, or the file is damaged.
    """
    folder = RunFolder(expand_home(path))
    if not folder.config.is_file():
        raise SegnetError(f"{path} is no run folder: it has no config.yaml; give one that segnet train wrote")
    try:
        lines = folder.steps.read_text(encoding="utf-8").splitlines()
        steps = [_step_of(line) for line in lines]
    except FileNotFoundError:
        steps = []
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SegnetError(f"{folder.steps} is damaged ({error!r}); train that run again") from None
    refuse(
        (
            not steps and SeedFolder(folder.path).exists,
            f"{path} holds several runs; name one of those in it",
        ),
        (
            not steps,
            f"{path} has no losses of its first steps: it has not been saved yet, or an older segnet "
            "began it; train it again, one epoch is enough",
        ),
    )
    return steps


def first_difference(
    one: Sequence[StepRecord], other: Sequence[StepRecord]
) -> tuple[StepRecord, StepRecord] | None:
    """Return the first steps of two runs that differ in any digit; None where all both have are equal."""
    pairs = zip(one, other, strict=False)  # one of them may have been stopped sooner
    return next(((a, b) for a, b in pairs if a != b), None)


def _step_of(line: str) -> StepRecord:
    plain = json.loads(line)
    loss = plain["loss"]
    return StepRecord(int(plain["epoch"]), int(plain["step"]), None if loss is None else float(loss))
