"""Which training images are held out for validation: by their content, by scene, by fold, or by a list.

An image is held out or not by a hash of its own content (or its scene's name) and the seed alone. So a file
that is added or deleted moves no other, and copies of one picture are always on the same side.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from segnet.base.errors import SegnetError, did_you_mean
from segnet.data.check.near_names import same_form
from segnet.data.dataset import Sample
from segnet.data.options import DataOptions


class HeldOut(NamedTuple):
    """Training samples in two, both in their first order."""

    train: list[Sample]
    val: list[Sample]
    how: str
    """In words, for reports."""


def hold_out(samples: Sequence[Sample], options: DataOptions, share: float) -> HeldOut:
    """Cut a part off for validation as the options say: a list, a fold, or else about ``share`` of all.

    Where chance would leave a side empty, the image that came nearest to it is put there; of a single image
    none is held out.

    Raises:
        SegnetError: a list that names no such images, or groups that a name hasn't or that are one.
    """
    if options.val_list is not None:
        return _by_list(samples, options.val_list)
    low, high = 0.0, share
    amount, by = f"about {share:g}", "by their content"
    if options.fold is not None:
        part, parts = options.fold_of()
        low, high = (part - 1) / parts, part / parts
        amount = f"fold {options.fold}"
    if options.group_by is not None:
        by = f"kept together by {options.group_by}"
    how = f"{amount} of the training images, {by} with seed {options.seed}"
    keys = [_key(sample, options.group_by) for sample in samples]
    distinct = {*keys}
    if len(distinct) < 2 and options.group_by is not None:
        raise SegnetError(f"--group-by {options.group_by!r} puts all images into one group; correct it")
    if len(distinct) < 2:  # to score, one image is enough; training says that it has none to validate on
        return HeldOut(list(samples), [], how)
    places = {key: _place(key, options.seed) for key in distinct}
    chosen = {key for key, place in places.items() if low <= place < high}
    middle = (low + high) / 2
    if not chosen and options.fold is not None:
        raise SegnetError(f"--fold {options.fold} is empty here; take fewer folds, or another --seed")
    if not chosen:
        chosen = {min(places, key=lambda key: abs(places[key] - middle))}
    elif len(chosen) == len(places):
        chosen.remove(max(places, key=lambda key: abs(places[key] - middle)))
    return _cut(samples, [key in chosen for key in keys], how)


def _key(sample: Sample, group_by: str | None) -> bytes:
    if group_by is None:
        return sample.image_ids()[0]
    found = re.search(group_by, sample.name)
    if found is None:
        raise SegnetError(
            f"--group-by {group_by!r} finds nothing in the name {sample.name!r}; correct one of them"
        )
    return (found[1] if found.re.groups and found[1] is not None else found[0]).encode(
        errors="surrogateescape"
    )


def _place(key: bytes, seed: int) -> float:
    """Return where in [0, 1) an image or group lies, evenly by chance."""
    return int.from_bytes(hashlib.sha256(b"%d/" % seed + key).digest()[:8]) / 2**64


def _by_list(samples: Sequence[Sample], file: Path) -> HeldOut:
    try:
        lines = file.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
    except OSError as error:
        raise SegnetError(f"can't read the list {file} of --val-list: {error.strerror}") from error
    wanted = {same_form(entry) for line in lines if (entry := line.strip()) and not entry.startswith("#")}
    names = {same_form(sample.name) for sample in samples}
    chosen_names = {entry if entry in names else _without_suffix(entry, names) for entry in wanted}
    unknown = sorted(chosen_names - names)
    if unknown:
        raise SegnetError(
            f"{file} names {unknown[0]!r}, which is none of the {len(names)} training images"
            f"{did_you_mean(unknown[0], names) if len(names) < 20 else ''}"
        )
    chosen = [same_form(sample.name) in chosen_names for sample in samples]
    if not any(chosen) or all(chosen):
        what = "no" if not any(chosen) else "every"
        raise SegnetError(f"{file} names {what} training image; name those to validate on, one a line")
    return _cut(samples, chosen, f"the training images that {file.name} names")


def _without_suffix(entry: str, names: Container[str]) -> str:
    path = PurePosixPath(entry)
    whole = path.with_suffix("").as_posix() if path.name else entry
    return whole if whole in names else path.stem


def _cut(samples: Sequence[Sample], chosen: Sequence[bool], how: str) -> HeldOut:
    sides: tuple[list[Sample], list[Sample]] = ([], [])
    for sample, held in zip(samples, chosen, strict=True):
        sides[held].append(sample)
    return HeldOut(*sides, how)
