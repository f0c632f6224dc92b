"""Whether a difference is real: groups of seeds side by side, and two runs by bootstrap; in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.table import Table

from segnet.base.errors import SegnetError, refuse
from segnet.base.files import expand_home
from segnet.base.readable import number_table
from segnet.runs.identity import digest
from segnet.runs.image_scores import COUNTS, ImageScores, read_image_scores
from segnet.runs.records import RunRecord
from segnet.runs.remarks import tolerance_text
from segnet.runs.run_folder import RunFolder
from segnet.runs.scores import Scores, score_text
from segnet.runs.seeds import NUMBERS, SeedFolder, SeedRuns, read_seeds, spread_text
from segnet.scoring.significance import Interval, bootstrap_difference, welch_difference

_LEAST = 9  # characters of a column, so that no number is cut in a narrow terminal
_MOST_CLASSES = 12  # a table of more has no class of its own; summary.json has them all


def read_groups(paths: Sequence[Path]) -> list[SeedRuns] | None:
    """Return folders of seeds; None where none of the paths is one.

    Raises:
        SegnetError: some are and some aren't, or one hasn't come to its end.
    """
    of_seeds = [SeedFolder(expand_home(path)).exists for path in paths]
    if not any(of_seeds):
        return None
    if not all(of_seeds):
        single = paths[of_seeds.index(False)]
        is_run = expand_home(single).is_dir()
        refuse(
            (not is_run, f"there is no folder {single}"),
            (
                is_run,
                f"{single} is one run, and one seed has no spread to compare; train it with --seeds 3, or "
                f"compare it with one run of {paths[of_seeds.index(True)]}",
            ),
        )
    return [read_seeds(expand_home(path)) for path in paths]


def require_alike(groups: Sequence[SeedRuns]) -> None:
    """Check that the scores of groups compare.

    Raises:
        SegnetError: other classes, another split, or other images.
    """
    first = groups[0]
    for other in groups[1:]:
        pair = f"{first.name} and {other.name} don't compare:"
        refuse(
            (
                first.reported[0].per_class.keys() != other.reported[0].per_class.keys(),
                f"{pair} they have other classes",
            ),
            (
                first.split != other.split,
                f"{pair} one is scored on {first.split}, the other on {other.split}",
            ),
            (
                first.runs[0].config.get("size") != other.runs[0].config.get("size"),
                f"{pair} they were scored at other sizes",
            ),
        )
        for one, two in zip(first.runs, other.runs, strict=False):
            # the seed may decide which images are held out, but never which are for the test
            if one.config.get("seed") == two.config.get("seed") or first.split == "test":
                splits = [run.manifest.splits[first.split] for run in (one, two) if run.manifest]
                if len({digest(records) for records in splits}) > 1:
                    raise SegnetError(
                        f"{one.name} and {two.name} don't compare: their {first.split} images differ"
                    )


def spread_table(group: SeedRuns) -> Table:
    """Return a row for each score with its mean, its standard deviation and every seed's value."""
    columns = (f"score, {group.split} split", "mean ± sd", *(f"seed {seed}" for seed in group.seeds))
    rows = (
        (name, spread_text(values), *(score_text(value, 4) for value in values))
        for name, values in _shown(group).items()
    )
    said = _on_outlines(group.reported)
    return number_table(columns, rows, least=(_LEAST,), pad_edge=False, caption=said)


def difference_table(first: SeedRuns, second: SeedRuns) -> Table:
    """Return a row for each score: both spreads, the difference of the means and what chance gives."""
    columns = (f"score, {first.split} split", first.name, second.name, "difference", "95 % interval", "")
    rows, others = [], _shown(second)
    for name, values in _shown(first).items():
        if name in others:
            found = welch_difference(values, others[name])
            rows.append(
                (
                    name,
                    spread_text(values),
                    spread_text(others[name]),
                    f"{found.difference:+.4f}",
                    f"{found.low:+.4f} to {found.high:+.4f}",
                    "beyond chance" if found.beyond_chance else "within chance",
                )
            )
    least, said = (*[_LEAST] * 5, len("beyond chance")), _on_outlines([*first.reported, *second.reported])
    return number_table(columns, rows, texts=(0, 5), least=least, pad_edge=False, caption=said)


def _on_outlines(reported: Sequence[Scores]) -> str | None:
    """Return how boundary F1 was taken; None where it wasn't."""
    tolerance = tolerance_text(reported)
    return f"boundary F1 at {tolerance}" if tolerance else None


def verdict_of_seeds(first: SeedRuns, second: SeedRuns) -> str:
    """Return in words whether two groups differ in mean IoU by more than their seeds do."""
    found = welch_difference(first.values()["mean IoU"], second.values()["mean IoU"])
    return (
        f"{_sentence(first.name, second.name, found)}: {_beyond(found)} what the choice of "
        f"{len(first.seeds)} and {len(second.seeds)} seeds gives"
    )


def has_images(run: RunRecord) -> bool:
    """Say whether a run has left the scores of each image, as those of older versions haven't."""
    return RunFolder(expand_home(run.name)).images.is_file()


def verdict_of_images(first: RunRecord, second: RunRecord) -> str:
    """Return in words whether two runs differ in mean IoU by more than other images would make them.

    Raises:
        SegnetError: a run without images.csv, other classes or other images.
    """
    tables = [read_image_scores(RunFolder(expand_home(run.name)).images) for run in (first, second)]
    pair = f"{first.name} and {second.name} don't compare:"
    if {*tables[0][0]} != {*tables[1][0]}:
        raise SegnetError(
            f"{pair} one has the classes {', '.join(tables[0][0])}, the other {', '.join(tables[1][0])}"
        )
    if tables[0][0] != tables[1][0]:
        tables[1] = (tables[0][0], [_in_order(tables[0][0], tables[1][0], each) for each in tables[1][1]])
    splits = [{image.split for image in images} for _, images in tables]
    split = "test" if all("test" in each for each in splits) else "val"
    chosen = [{each.content: each for each in images if each.split == split} for _, images in tables]
    if chosen[0].keys() != chosen[1].keys() or not chosen[0]:
        shared = len(chosen[0].keys() & chosen[1].keys())
        raise SegnetError(
            f"{pair} of their {split} images, {len(chosen[0])} and {len(chosen[1])}, they share {shared}"
        )
    order = sorted(chosen[0])
    refuse(
        (
            len(order) < 2,
            f"{pair} they were scored on a single {split} image, which shows no spread",
        ),
        (
            any(chosen[0][content].truth != chosen[1][content].truth for content in order),
            f"{pair} the same images were scored at other sizes or against other masks",
        ),
    )
    found = bootstrap_difference(*([each[content] for content in order] for each in chosen))
    images = f"the {len(order):,} {split} images"
    return (
        f"on {images} {_sentence(first.name, second.name, found)}: {_beyond(found)} what the choice "
        "of images gives (paired bootstrap). It says nothing of other seeds: those take --seeds"
    )


def _in_order(names: Sequence[str], own: Sequence[str], image: ImageScores) -> ImageScores:
    """Return an image's scores with the pixels of its classes in the order of other ones' names."""
    counts: dict[str, tuple[int, ...]] = {
        kind: tuple(getattr(image, kind)[own.index(name)] for name in names) for kind in COUNTS
    }
    return replace(image, right=counts["right"], truth=counts["truth"], predicted=counts["predicted"])


def _sentence(first: str, second: str, found: Interval) -> str:
    points, side = 100 * found.difference, "below" if found.difference < 0 else "above"
    return (
        f"mean IoU of {second} is {abs(points):.2f} points {side} that of {first}, "
        f"95 % interval {100 * found.low:+.2f} to {100 * found.high:+.2f}"
    )


def _beyond(found: Interval) -> str:
    return "that is beyond" if found.beyond_chance else "that is within"


def _shown(group: SeedRuns) -> dict[str, list[float]]:
    values = group.values()
    if len(group.reported[0].per_class) <= _MOST_CLASSES:
        return values
    return {title: values[title] for title in NUMBERS.values() if title in values}
