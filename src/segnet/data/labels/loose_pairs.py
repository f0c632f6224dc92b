"""Images and mask files that lie in other folders, or under other names, than a dataset here has them.

Such as ``train/`` beside ``trainannot/``, ``training/images/21_training.tif`` with
``training/1st_manual/21_manual1.gif``, or ``a.jpg`` with ``a_mask.png`` in one folder. What belongs together
is told by words of the folders and names (``near_names.py``), and only where each image has just one mask.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from segnet.base.errors import SegnetError
from segnet.data.check.near_names import (
    IMAGE_WORDS,
    MASK_WORDS,
    RULES,
    SPLIT_WORDS,
    VIEW_WORDS,
    Rule,
    same_extra,
    same_form,
    words_of,
)
from segnet.data.check.pairing import DESCRIPTION, MASK_SUFFIXES, find_pairs
from segnet.data.faults import Fault
from segnet.data.images.suffixes import IMAGE_SUFFIXES
from segnet.data.labels.finding import files_below
from segnet.data.labels.shapes import Labelled, Labels

_LOSSY = (".jpg", ".jpeg", ".webp")
_DRAWN_WORDS = frozenset({"viz", "vis", "overlay", "overlays", "preview", "previews", "bbox"})


@dataclass(frozen=True)
class _Picture:
    """A file and what its folders and its name say of it."""

    file: Path
    folder: str
    """Below the root, with /; empty for the root itself."""
    split: str
    role: str
    """``image``, ``mask``, ``view`` or ``drawn`` where its folders tell, else empty."""
    reader: int
    """Which of several people has drawn this mask; 0 where it isn't said."""
    kept: tuple[str, ...]
    """Its folders that say neither split nor role."""

    @property
    def stem(self) -> str:
        return self.file.stem

    @property
    def name(self) -> str:
        """What it is called in the new folder."""
        return "/".join((*self.kept, same_form(self.stem)))


Matched = Sequence[tuple[_Picture, list[_Picture]]]
"""Each image with the masks of its name."""


def read_loose_pairs(root: Path) -> Labels | None:
    """Read images with their masks as labels, masks as they are; None where a folder has no masks.

    A ``dataset.yaml`` beside them goes along. An image without a mask, or with two, is an error of its own.

    Raises:
        SegnetError: a folder that needs no converting.
    """
    pairs = find_pairs(root)
    if pairs.pairs and not any(fault.is_error for fault in pairs.faults):
        raise SegnetError(f"{root} holds images and masks as training takes them; segnet data check {root}")
    return find_loose_pairs(root)


def find_loose_pairs(root: Path) -> Labels | None:
    """Find which images of a folder go with which masks; None where nothing tells, or nobody can tell.

    The format of the labels says where images and masks are, and a fault ``left-out`` what else is there.
    """
    left_out: list[str] = []
    images, masks = _with_masks(left_out, *_sides(left_out, _pictures(root)))
    if not images or not masks:
        return None
    rules = [*RULES, _shared_words(images, masks)]
    by_split = all(any(each.split for each in side) for side in (images, masks))
    best = max(
        (
            _match(images, masks, rule, by_split=by_split, with_folders=with_folders)
            for with_folders in (True, False)
            for rule in rules
        ),
        key=lambda matched: sum(len(some) == 1 for _, some in matched),
    )  # of several that find as many, the first is the strictest
    labels = Labels("")
    _take(labels, left_out, best, masks)
    pairs = [each for each in labels.images if each.mask_file]
    if len({bool(each.split) for each in pairs}) != 1:  # none, or nobody can tell which of them are meant
        return None
    labels.format = _places(best, pairs[0])
    if left_out:
        labels.faults.append(Fault("left-out", root, f"holds other pictures too: {', '.join(left_out)}"))
    description = root / DESCRIPTION
    labels.description = description if description.is_file() else None
    return labels


def _places(matched: Matched, first: Labelled) -> str:
    """Say where images and masks are."""
    images_in = sorted({image.folder for image, _ in matched})
    masks_in = sorted({mask.folder for _, some in matched for mask in some})
    if images_in == masks_in:
        names = ", ".join(Path(str(file)).name for file in (first.image, first.mask_file))
        return f"images and masks together in {_listed(images_in)} ({names})"
    return f"images in {_listed(images_in)} and masks in {_listed(masks_in)}"


def _listed(folders: Sequence[str]) -> str:
    more = len(folders) - 4
    named = [f"{folder}/" if folder else "the folder itself" for folder in folders[:4]]
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def _pictures(root: Path) -> list[_Picture]:
    told = cache(_told_by_folder)
    found = []
    for file in files_below(root):
        if file.suffix.lower() in (*IMAGE_SUFFIXES, *MASK_SUFFIXES):
            above = file.parent.relative_to(root)
            split, role, reader, kept = told(above.parts)
            reader = reader or _reader(words_of(file.stem))
            folder = above.as_posix() if above.parts else ""
            found.append(_Picture(file, folder, split, role, reader, kept))
    return _without_views(found)


def _told_by_folder(parts: Sequence[str]) -> tuple[str, str, int, tuple[str, ...]]:
    """Return the split, role, reader and other folders of a path."""
    split, role, reader = "", "", 0
    kept = []
    for part in parts:
        words = words_of(part)
        of_split = next((SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS), "")
        of_role = _role(words)
        split, role = split or of_split, of_role or role
        reader = _reader(words) or reader
        if not of_split and not of_role:
            kept.append(same_form(part))
    return split, role, reader, tuple(kept)


def _role(words: Sequence[str]) -> str:
    for known, role in ((_DRAWN_WORDS, "drawn"), (VIEW_WORDS, "view"), (MASK_WORDS, "mask")):
        if not known.isdisjoint(words):
            return role
    if {"ground", "truth"} <= set(words):
        return "mask"
    return "image" if not IMAGE_WORDS.isdisjoint(words) else ""


def _reader(words: Sequence[str]) -> int:
    """Return who has drawn a mask: 2 for ``2nd_manual`` and for ``manual2``."""
    for before, word in zip(["", *words], words, strict=False):
        if match := re.fullmatch(r"(\d+)(st|nd|rd|th)", word):
            return int(match[1])
        if word.isdecimal() and before == "manual":
            return int(word)
    return 0


def _without_views(pictures: list[_Picture]) -> list[_Picture]:
    """Beside masks drawn by hand (``1st_manual/``), a folder ``mask/`` holds the field of view."""
    by_hand = {
        each.folder.rpartition("/")[0]
        for each in pictures
        if each.role == "mask" and "manual" in words_of(each.folder.rpartition("/")[2])
    }
    return [
        replace(each, role="view")
        if each.role == "mask"
        and each.folder.rpartition("/")[0] in by_hand
        and words_of(each.folder.rpartition("/")[2]) in (["mask"], ["masks"])
        else each
        for each in pictures
    ]


_Sides = tuple[list[_Picture], list[_Picture]]
"""Images and masks."""


def _sides(left_out: list[str], pictures: Sequence[_Picture]) -> _Sides:
    """Return images and masks as their folders tell them, or else their names."""
    by_stem: dict[tuple[str, str], list[bool]] = defaultdict(list)
    is_lossy = {each.file: each.file.suffix.lower() in _LOSSY for each in pictures}
    for each in pictures:
        by_stem[each.folder, each.stem].append(is_lossy[each.file])
    if sides := _by_roles(left_out, pictures, [each.role for each in pictures]):
        return sides
    if by_stem and all(sorted(lossy) == [False, True] for lossy in by_stem.values()):  # a photo with a mask
        return _cut(pictures, [not is_lossy[each.file] for each in pictures])
    by_name = [_role(words_of(each.stem)) or "image" for each in pictures]
    if sides := _by_roles(left_out, pictures, by_name):
        return sides
    stems: dict[str, list[str]] = defaultdict(list)
    for each in pictures:
        stems[each.folder].append(each.stem)
    longer = {folder: same_extra(some) for folder, some in stems.items()}
    return _cut(pictures, [each.stem in longer[each.folder] for each in pictures])


def _by_roles(left_out: list[str], pictures: Sequence[_Picture], roles: Sequence[str]) -> _Sides | None:
    """Return images and masks where there are masks by these roles, else None."""
    of_role: dict[str, list[_Picture]] = defaultdict(list)
    for each, role in zip(pictures, roles, strict=True):
        of_role[role].append(each)
    images, others = of_role["image"], of_role[""]
    if not of_role["mask"] or not (images or others):
        return None
    _leave_out(left_out, of_role["view"], "of the field of view")
    _leave_out(left_out, of_role["drawn"], "drawn for people")
    if images:
        _leave_out(left_out, others, "that are neither images nor masks by their folder")
    return images or others, of_role["mask"]


def _cut(pictures: Sequence[_Picture], is_mask: Sequence[bool]) -> _Sides:
    both = [*zip(pictures, is_mask, strict=True)]
    return [each for each, mask in both if not mask], [each for each, mask in both if mask]


def _with_masks(left_out: list[str], images: list[_Picture], masks: list[_Picture]) -> _Sides:
    """Leave out the splits that have images alone, as test parts whose labels are kept back."""
    labelled = {each.split for each in masks}
    if labelled <= {""}:
        return images, masks
    _leave_out(left_out, [each for each in images if each.split not in labelled], "without any mask")
    return [each for each in images if each.split in labelled], masks


def _leave_out(left_out: list[str], pictures: Sequence[_Picture], what: str) -> None:
    if pictures:
        folders = sorted({each.folder for each in pictures})
        left_out.append(f"{len(pictures):,} {what} in {_listed(folders)}")


def _shared_words(images: Sequence[_Picture], masks: Sequence[_Picture]) -> Rule:
    """Return a rule that leaves out the words which all images have, or all masks, such as ``_L``."""
    shared = [set.intersection(*(set(words_of(each.stem)) for each in side)) for side in (images, masks)]
    extra = {word for word in shared[0] ^ shared[1] if not word.isdecimal()}
    *_, last = RULES

    def key(stem: str) -> str:
        return last.key(" ".join(word for word in words_of(stem) if word not in extra))

    return Rule("words that all masks have", key)


def _match(
    images: Sequence[_Picture],
    masks: Sequence[_Picture],
    rule: Rule,
    *,
    by_split: bool,
    with_folders: bool,
) -> Matched:
    """Return each image with the masks of its name by a rule; of several readers the first one's."""

    def key(each: _Picture) -> tuple[str, tuple[str, ...], str]:
        return each.split if by_split else "", each.kept if with_folders else (), rule.key(each.stem)

    of_key: dict[tuple[str, tuple[str, ...], str], list[_Picture]] = defaultdict(list)
    for mask in masks:
        of_key[key(mask)].append(mask)
    images_of = Counter(map(key, images))
    matched = []
    for image in images:
        some = of_key.get(key(image), []) if images_of[key(image)] == 1 else []
        first = min((mask.reader for mask in some), default=0)
        matched.append((image, [mask for mask in some if mask.reader == first]))
    return matched


def _take(labels: Labels, left_out: list[str], matched: Matched, masks: Sequence[_Picture]) -> None:
    """Take each image with its one mask; the rest are errors, but for the masks of later readers."""
    faults = labels.faults
    for image, some in matched:
        if len(some) == 1:
            (mask,) = some
            split, where = image.split or mask.split, str(mask.file)
            labels.images.append(Labelled(image.file, image.name, where, split, mask_file=mask.file))
            if mask.file.suffix.lower() not in MASK_SUFFIXES:
                said = f"is a mask that is no {' '.join(MASK_SUFFIXES)}, so its values may have changed"
                faults.append(Fault("lossy-mask", mask.file, said, "export it anew as PNG"))
            continue
        reason = "several masks" if some else "no mask"
        labels.images.append(Labelled(None, image.name, str(image.file), image.split, left_out=reason))
        if some:
            said = f"has {len(some)} masks: {', '.join(mask.file.name for mask in some[:3])}"
            faults.append(Fault("two-masks", image.file, said, "take out all but the right one"))
        else:
            faults.append(Fault("no-mask", image.file, "has no mask that its name tells"))
    used = {mask.file for _, some in matched for mask in some}
    unused = [mask for mask in masks if mask.file not in used]
    _leave_out(left_out, [mask for mask in unused if mask.reader > 1], "masks of another reader")
    for mask in unused:
        if mask.reader <= 1:
            faults.append(Fault("no-image", mask.file, "has no image that its name tells"))
