"""Which images tell of one scene on both sides of a split, and the option that keeps scenes together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segnet.data.check.inspect_pair import Surveyed
from segnet.data.check.pairing import Pair, Pairs
from segnet.data.check.scenes import MOST_IMAGES, counted_scenes, group_by_names, same_scenes
from segnet.data.faults import Fault
from segnet.data.images.file_records import file_digest

_SIDES = {"train": 0, "val": 1, "test": 2}


def leaks(surveyed: Sequence[Surveyed], found: Pairs, root: Path) -> list[Fault]:
    """Return a fault for each image whose scene is on another side of a split, by its pixels or its name."""
    held_out = "val" not in found.splits
    pairs = [each.pair for each in surveyed]
    sides = [_SIDES[pair.split] if pair.split != "train" or not held_out else -1 for pair in pairs]
    shown = [*same_scenes([each.view for each in surveyed], sides)]
    names = [pair.name for pair in pairs]
    told = {second for _, second in shown}
    counted = counted_scenes(names, sides)
    by_name = [(other, number) for number, other in counted.items() if number not in told]
    pattern = group_by_names(names, shown + by_name)
    remedy = _how_to_keep_together(pattern, held_out)
    faults = []
    if len(pairs) > MOST_IMAGES:
        said = (
            f"holds {len(pairs):,} images, of which an even choice of {MOST_IMAGES:,} at most were compared"
        )
        faults.append(Fault("alike", root, said, remedy))
    for kind, said, ones in (
        ("alike", "shows the scene of", shown),
        ("one-name", "differs by a counter alone from", by_name),
    ):
        for one, other in ones:
            a, b = pairs[one], pairs[other]
            where = "and either may be held out" if a.split == b.split else f"of the split {a.split}"
            if not _same_bytes(a, b):
                faults.append(Fault(kind, b.image, f"{said} {a.image}, {where}", remedy))
    return faults


def _how_to_keep_together(pattern: str, held_out: bool) -> str:
    if not pattern:
        return ""
    option = f"--group-by '{pattern}'"
    if held_out:
        return f"hold whole scenes out: segnet train {option}"
    return f"put all pairs into one images/ and one masks/, and hold whole scenes out: segnet train {option}"


def _same_bytes(a: Pair, b: Pair) -> bool:
    """Whether two images are copies, which is a fault of its own."""
    return file_digest(a.image) == file_digest(b.image)
