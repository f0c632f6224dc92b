"""Images and mask files that lie in other folders, or under other names, than a dataset here has them.

Such as ``train/`` beside ``trainannot/``, ``training/images/21_training.tif`` with
``training/1st_manual/21_manual1.gif``, or ``a.jpg`` with ``a_mask.png`` in one folder. What belongs together
is told by words of the folders and names (``near_names.py``), and only where each image has just one mask.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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


@dataclass
class LoosePairs:
    """What a folder holds besides datasets of the layout that training takes."""

    root: Path
    pairs: list[Labelled] = field(default_factory=list)
    alone: list[Labelled] = field(default_factory=list)
    """Images that are left out."""
    faults: list[Fault] = field(default_factory=list)
    images_in: list[str] = field(default_factory=list)
    """Folders below the root; the root itself is empty."""
    masks_in: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Pictures that are neither, in words."""

    @property
    def is_whole(self) -> bool:
        """Whether each image has one mask and each mask its image."""
        return bool(self.pairs) and not any(fault.is_error for fault in self.faults)

    @property
    def places(self) -> str:
        """Where images and masks are, in words."""
        if self.images_in == self.masks_in and self.pairs:
            first = self.pairs[0]
            where = _listed(self.images_in)
            names = ", ".join(Path(str(file)).name for file in (first.image, first.mask_file))
            return f"images and masks together in {where} ({names})"
        return f"images in {_listed(self.images_in)} and masks in {_listed(self.masks_in)}"


def _listed(folders: Sequence[str]) -> str:
    more = len(folders) - 4
    named = [f"{folder}/" if folder else "the folder itself" for folder in folders[:4]]
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def read_loose_pairs(root: Path) -> Labels | None:
    """Read images with their masks as labels, masks as they are; None where a folder has no masks.

    A ``dataset.yaml`` beside them goes along. An image without a mask, or with two, is an error of its own.

    Raises:
        SegnetError: a folder that needs no converting.
    """
    pairs = find_pairs(root)
    if pairs.pairs and not any(fault.is_error for fault in pairs.faults):
        raise SegnetError(f"{root} holds images and masks as training takes them; segnet data check {root}")
    found = find_loose_pairs(root)
    if not found.pairs:
        return None
    description = root / DESCRIPTION
    if found.left_out:
        said = f"holds other pictures too: {', '.join(found.left_out)}"
        found.faults.append(Fault("left-out", root, said))
    return Labels(
        found.places,
        [],
        [*found.pairs, *found.alone],
        found.faults,
        description=description if description.is_file() else None,
    )


def find_loose_pairs(root: Path) -> LoosePairs:
    """Find which images of a folder go with which masks."""
    found = LoosePairs(root)
    pictures = _pictures(root)
    images, masks = _told_by_folders(found, pictures) or _told_by_names(found, pictures)
    images = _with_masks(found, images, masks)
    if not images or not masks:
        return LoosePairs(root)
    rules = [*RULES, _shared_words(images, masks)]
    by_split = all(any(each.split for each in side) for side in (images, masks))
    best = max(
        (
            _match(images, masks, rule, by_split=by_split, with_folders=with_folders)
            for with_folders in (True, False)
            for rule in rules
        ),
        key=_count,  # of several that find as many, the first is the strictest
    )
    _take(found, best, masks)
    if len({bool(each.split) for each in found.pairs}) > 1:  # nobody can tell which of them are meant
        return LoosePairs(root)
    found.images_in = sorted({image.folder for image, _ in best})
    found.masks_in = sorted({mask.folder for _, some in best for mask in some})
    return found


def _pictures(root: Path) -> list[_Picture]:
    suffixes = {*IMAGE_SUFFIXES, *MASK_SUFFIXES}
    files = [file for file in files_below(root) if file.suffix.lower() in suffixes]
    folders: dict[Path, tuple[str, str, int, tuple[str, ...]]] = {}
    found = []
    for file in files:
        if file.parent not in folders:
            folders[file.parent] = _told_by_folder(file.parent.relative_to(root).parts)
        split, role, reader, kept = folders[file.parent]
        where = file.parent.relative_to(root).as_posix()
        reader = reader or _reader(words_of(file.stem))
        found.append(_Picture(file, "" if where == "." else where, split, role, reader, kept))
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


def _told_by_folders(found: LoosePairs, pictures: Sequence[_Picture]) -> _Sides | None:
    """Return images and masks where some folders are of masks by their names, else None."""
    masks = [each for each in pictures if each.role == "mask"]
    images = [each for each in pictures if each.role == "image"]
    others = [each for each in pictures if not each.role]
    if not masks or not (images or others):
        return None
    _leave_out(found, [each for each in pictures if each.role == "view"], "of the field of view")
    _leave_out(found, [each for each in pictures if each.role == "drawn"], "drawn for people")
    if images:
        _leave_out(found, others, "that are neither images nor masks by their folder")
    return images or others, masks


def _told_by_names(found: LoosePairs, pictures: Sequence[_Picture]) -> _Sides:
    """Return images and masks that lie in the same folders."""
    by_stem: dict[tuple[str, str], list[_Picture]] = defaultdict(list)
    for each in pictures:
        by_stem[each.folder, each.stem].append(each)
    if by_stem and all(_is_photo_with_mask(some) for some in by_stem.values()):
        return (
            [each for each in pictures if each.file.suffix.lower() in _LOSSY],
            [each for each in pictures if each.file.suffix.lower() not in _LOSSY],
        )
    roles = {each.file: _role(words_of(each.stem)) for each in pictures}
    masks = [each for each in pictures if roles[each.file] == "mask"]
    images = [each for each in pictures if roles[each.file] in ("image", "")]
    if masks and images:
        _leave_out(found, [each for each in pictures if roles[each.file] == "drawn"], "drawn for people")
        _leave_out(found, [each for each in pictures if roles[each.file] == "view"], "of the field of view")
        return images, masks
    longer = {
        (folder, stem)
        for folder in {each.folder for each in pictures}
        for stem in same_extra(each.stem for each in pictures if each.folder == folder)
    }
    masks = [each for each in pictures if (each.folder, each.stem) in longer]
    return [each for each in pictures if (each.folder, each.stem) not in longer], masks


def _is_photo_with_mask(some: Sequence[_Picture]) -> bool:
    lossy = [each.file.suffix.lower() in _LOSSY for each in some]
    return sorted(lossy) == [False, True]


def _with_masks(found: LoosePairs, images: Sequence[_Picture], masks: Sequence[_Picture]) -> list[_Picture]:
    """Leave out the splits that have images alone, as test parts whose labels are kept back."""
    if not any(each.split for each in masks):
        return [*images]
    labelled = {each.split for each in masks}
    _leave_out(found, [each for each in images if each.split not in labelled], "without any mask")
    return [each for each in images if each.split in labelled]


def _leave_out(found: LoosePairs, pictures: Sequence[_Picture], what: str) -> None:
    if pictures:
        folders = sorted({each.folder for each in pictures})
        found.left_out.append(f"{len(pictures):,} {what} in {_listed(folders)}")


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
) -> list[tuple[_Picture, list[_Picture]]]:
    """Return each image with the masks of its name by a rule; of several readers the first one's."""

    def key(each: _Picture) -> tuple[str, tuple[str, ...], str]:
        return each.split if by_split else "", each.kept if with_folders else (), rule.key(each.stem)

    of_key: dict[tuple[str, tuple[str, ...], str], list[_Picture]] = defaultdict(list)
    for mask in masks:
        of_key[key(mask)].append(mask)
    images_of = Counter(key(image) for image in images)
    matched = []
    for image in images:
        some = of_key.get(key(image), [])
        first = min((mask.reader for mask in some), default=0)
        one_readers = [mask for mask in some if mask.reader == first]
        matched.append((image, one_readers if images_of[key(image)] == 1 else []))
    return matched


def _count(matched: Sequence[tuple[_Picture, list[_Picture]]]) -> int:
    return sum(len(masks) == 1 for _, masks in matched)


def _take(
    found: LoosePairs, matched: Sequence[tuple[_Picture, list[_Picture]]], masks: Sequence[_Picture]
) -> None:
    """Take each image with its one mask; the rest are errors, but for the masks of later readers."""
    used: set[Path] = set()
    for image, some in matched:
        used |= {mask.file for mask in some}
        if len(some) == 1:
            split = image.split or some[0].split
            where = str(some[0].file)
            found.pairs.append(Labelled(image.file, image.name, where, split, mask_file=some[0].file))
            if some[0].file.suffix.lower() not in MASK_SUFFIXES:
                said = f"is a mask that is no {' '.join(MASK_SUFFIXES)}, so its values may have changed"
                found.faults.append(Fault("lossy-mask", some[0].file, said, "export it anew as PNG"))
            continue
        left_out = "several masks" if some else "no mask"
        found.alone.append(Labelled(None, image.name, str(image.file), image.split, left_out=left_out))
        if some:
            said = f"has {len(some)} masks: {', '.join(mask.file.name for mask in some[:3])}"
            found.faults.append(Fault("two-masks", image.file, said, "take out all but the right one"))
        else:
            found.faults.append(Fault("no-mask", image.file, "has no mask that its name tells"))
    later = [mask for mask in masks if mask.reader > 1 and mask.file not in used]
    _leave_out(found, later, "masks of another reader")
    used |= {mask.file for mask in later}
    for mask in masks:
        if mask.file not in used:
            found.faults.append(Fault("no-image", mask.file, "has no image that its name tells"))
