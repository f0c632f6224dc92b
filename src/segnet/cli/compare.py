"""``compare``: runs beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from segnet.base.errors import SegnetError
from segnet.base.files import expand_home
from segnet.cli.app import SOME_FAILED, Flag, OptionalPath, app, print_folded, require_drawable, say_error

if TYPE_CHECKING:
    from segnet.runs.seeds import SeedRuns


@app.command
def compare(
    *runs: Path,
    out: OptionalPath = None,
    score: str = "mean_iou",
    assert_equal: Flag = False,
) -> int:
    """Put runs side by side: cost, the best epoch's validation scores, and the settings in which they differ.

    Of two runs that have ended it says whether their difference is more than other test images would make:
    the 95 % interval of the difference in mean IoU, by paired bootstrap. Folders of --seeds are compared by
    the spread of their seeds, each with the first.

    Args:
        runs: run folders, finished or not; or folders that segnet train --seeds has left.
        out: also draw a score over the epochs, as .png or .svg.
        score: which one: mean_iou, pixel_accuracy, mean_dice, or a class for its IoU.
        assert_equal: in place of all this, compare the losses of two runs' first steps to the last digit: a
            change that should change no number must leave them equal. Ends with 1 where a step differs.
    """
    from segnet.report.spread import read_groups

    if assert_equal:
        if out is not None:
            raise SegnetError("--assert-equal draws nothing; leave --out out")
        return _compare_steps(runs)
    if not runs:
        raise SegnetError("no run given; name the run folders to compare")
    groups = read_groups(runs)
    if groups is None:
        _compare_runs(runs, out, score)
    elif out is not None:
        raise SegnetError("--out draws single runs over their epochs; name runs in the folders of seeds")
    else:
        _compare_seeds(groups)
    return 0


def _compare_runs(runs: Sequence[Path], out: Path | None, score: str) -> None:
    from segnet.report.compare import draw_runs, read_runs, require_score, runs_and_settings, warnings_of
    from segnet.report.spread import has_images, verdict_of_images

    require_drawable(out)
    records = read_runs(runs)
    if out is not None or score != "mean_iou":
        require_score(records, score)
    for table in runs_and_settings(records, Console().width):
        print_folded(table)
    is_pair = len(records) == 2 and all(record.outcome and record.outcome.finished for record in records)
    verdict = verdict_of_images(*records) if is_pair and all(map(has_images, records)) else ""
    for line in warnings_of(records, need_images=is_pair):
        say_error(line)
    if out is not None:
        draw_runs(records, expand_home(out), score=score)
        print(f"drawn in {out}")
    if verdict:
        print(verdict)


def _compare_seeds(groups: Sequence[SeedRuns]) -> None:
    from segnet.report.spread import difference_table, require_alike, spread_table, verdict_of_seeds

    require_alike(groups)
    first, *others = groups
    for other in others:
        print_folded(difference_table(first, other))
        print(verdict_of_seeds(first, other))
    if not others:
        print_folded(spread_table(first))


def _compare_steps(runs: Sequence[Path]) -> int:
    from segnet.runs.steps import first_difference, read_steps

    if len(runs) != 2:
        raise SegnetError(f"--assert-equal compares two runs with each other, got {len(runs)}; name two")
    one, other = (read_steps(run) for run in runs)
    if (found := first_difference(one, other)) is not None:
        print(f"not equal: {runs[0]} has {found[0]}, {runs[1]} has {found[1]}")
        return SOME_FAILED
    steps = min(len(one), len(other))
    print(f"equal: the losses of the first {'step' if steps == 1 else f'{steps} steps'}, to the last digit")
    return 0
