"""Which mask is probably meant for an image, where their names differ; and how to show names that look alike.

What is found here is a hint, or what ``data/labels/loose_pairs.py`` copies into a new folder: nothing is
paired by it in silence.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

IMAGE_WORDS = frozenset({
    "image", "images", "img", "imgs", "photo", "photos", "picture", "pictures", "pic", "pics", "original",
    "originals", "orig", "input", "inputs", "rgb", "sat", "jpegimages",
})  # fmt: skip
MASK_WORDS = frozenset({
    "mask", "masks", "label", "labels", "lbl", "lbls", "annot", "annots", "ann", "anno", "annos",
    "annotation", "annotations", "gt", "truth", "groundtruth", "target", "targets", "trimap", "trimaps",
    "seg", "segs", "segm", "segmentation", "segmentations", "segmentationclass", "manual", "ho", "labelids",
})  # fmt: skip
VIEW_WORDS = frozenset({"fov"})
"""Of a picture of the field of view: which pixels the camera shows, and no class."""
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_SUFFIX_WORDS = frozenset({"jpg", "jpeg", "png", "tif", "tiff", "bmp", "gif", "webp"})
_ORDINAL = re.compile(r"\d+(st|nd|rd|th)")
# ordinals, numbers, and words, of which a capital begins a new one
_WORD = re.compile(r"\d+(?:st|nd|rd|th)(?![a-z])|\d+|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+")
_GLUED = re.compile(rf"^({'|'.join(SPLIT_WORDS)})({'|'.join(MASK_WORDS | IMAGE_WORDS)})$")


def same_form(name: str) -> str:
    """Return a name in the Unicode form NFC: macOS writes others, which look the same."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def shown_apart(*names: str) -> tuple[str, ...]:
    """Return names as they are, or with their characters' codes where they would look alike."""
    if len({"".join(unicodedata.normalize("NFKC", name).split()) for name in names}) == len(names):
        return names
    return tuple(ascii(name)[1:-1].replace(" ", "\\x20") for name in names)


def words_of(name: str) -> list[str]:
    """Return the words and numbers of a file's or folder's name, in small letters.

    ``Image_01L_1stHO`` gives image, 01, l, 1st, ho, and ``trainannot`` gives train, annot.
    """
    found = [word.lower() for word in _WORD.findall(unicodedata.normalize("NFKC", name))]
    return [part for word in found for part in _GLUED.sub(r"\1 \2", word).split()]


def _joined(words: Iterable[str]) -> str:
    """Return words as one text; numbers count without leading zeros, and stay apart from each other."""
    text = ""
    for word in words:
        number = word.isdecimal()
        text += ("." if number and text[-1:].isdecimal() else "") + (str(int(word)) if number else word)
    return text


def _is_role(word: str) -> bool:
    known = word in IMAGE_WORDS or word in MASK_WORDS or word in VIEW_WORDS or word in SPLIT_WORDS
    return known or word in _SUFFIX_WORDS or _ORDINAL.fullmatch(word) is not None


def _without_picture_suffix(stem: str) -> str:
    first, dot, last = stem.rpartition(".")
    return _joined(words_of(first if dot and last.lower() in _SUFFIX_WORDS else stem))


def _without_readers(stem: str) -> str:
    """Leave out the number of whoever drew a mask too: ``21_manual1`` gives 21."""
    words = words_of(stem)
    before = dict(enumerate(words, 1))
    return _joined(
        word
        for place, word in enumerate(words)
        if not _is_role(word) and not (word.isdecimal() and before.get(place) in MASK_WORDS)
    )


class Rule(NamedTuple):
    """A way to compare names."""

    how: str
    """In what names that it finds equal differ."""
    key: Callable[[str], str]
    """Equal for names that are."""


RULES = (
    Rule("their Unicode form", same_form),
    Rule("capitals, separators or leading zeros", lambda stem: _joined(words_of(stem))),
    Rule("a second suffix", _without_picture_suffix),
    Rule(
        "words such as mask or image",
        lambda stem: _joined(word for word in words_of(stem) if not _is_role(word)),
    ),
    Rule("words such as manual1", _without_readers),
)
"""The strictest first."""


class Near(NamedTuple):
    """The name that was probably meant."""

    name: str
    how: str
    """In what it differs."""


def near_names(names: Iterable[str], others: Iterable[str]) -> dict[str, Near]:
    """Return, for each name that has just one among the others that is equal by a rule, that one.

    Of paths only the last part may differ.

    Args:
        names: paths with /, without suffix.
        others: paths of the same kind.
    """
    left, right = set(names), set(others)
    found: dict[str, Near] = {}
    for rule in RULES:
        keyed = {name: _keyed(rule, name) for name in left | right}
        ours, theirs = Counter(keyed[name] for name in left), Counter(keyed[name] for name in right)
        meant = {keyed[other]: other for other in right}
        for name in sorted(left):
            key = keyed[name]
            if key[1] and ours[key] == theirs[key] == 1:
                found[name] = Near(meant[key], rule.how)
        left -= found.keys()
        right -= {near.name for near in found.values()}
    return found | _longer(left, right)


def _longer(names: set[str], others: set[str]) -> dict[str, Near]:
    """Return, for each name, the only other one that has it whole and goes on before or behind it."""
    parts: dict[str, list[str]] = {}
    for other in others:
        above, _, last = other.rpartition("/")
        for separator in re.finditer(r"[\W_]", last):
            for part in (last[: separator.start()], last[separator.end() :]):
                parts.setdefault(f"{above}/{part}".lstrip("/"), []).append(other)
    return {name: Near(parts[name][0], "more words") for name in names if len(parts.get(name, ())) == 1}


def _keyed(rule: Rule, name: str) -> tuple[str, str]:
    above, _, last = name.rpartition("/")
    return same_form(above), rule.key(last)


def same_extra(stems: Iterable[str]) -> dict[str, str]:
    """Return, by longer stem, the shorter one that it goes on from, where all go on by the same words.

    ``0001_L`` goes on from ``0001``. Empty where any stem would be left over.
    """
    known = set(stems)
    begun: dict[str, dict[str, str]] = {}
    for stem in known:
        for separator in re.finditer(r"[\W_]", stem):
            shorter, extra = stem[: separator.start()], stem[separator.start() :]
            if shorter in known:
                begun.setdefault(extra, {})[stem] = shorter
    for longer in begun.values():
        if set(longer.values()) == known - longer.keys() and 2 * len(longer) == len(known):
            return longer
    return {}
