"""What a folder's masks mean where no dataset.yaml says it: numbered classes, or a question with its answers.

Masks of 0, 1, 2 .. are taken as they are. All else is a fault with a dataset.yaml to paste, since a guess
would be trained on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segnet.base.classes import IGNORE_INDEX, ClassTable
from segnet.base.colours import Colour, unpack
from segnet.data.faults import Fault
from segnet.data.images.embedded_files import File
from segnet.data.images.reading import decode
from segnet.data.masks.dataset_yaml import Described, parse_description
from segnet.data.masks.mask_code import MaskCode, as_entry, reach_both_ends, spell
from segnet.data.masks.nearest_class import NEEDED_GAP, Known, flat, look_at_unknown
from segnet.data.masks.stored_values import Numbers, Stored, channels_of, grey, stored_numbers

_FEW_VALUES = 16  # as classes; more are asked about where each is in few masks
_COLOURS_KEPT = 300  # of one mask
_LOOKED_AT = 8  # masks with the most values, and as many evenly spread
_SMALLEST_SHARE = 0.0005  # of the pixels, that a class fills where edges are soft
_OBJECTS = 5  # in one mask at least, where masks that number their objects are told by that


class Unclear(Fault):
    """Masks whose meaning isn't said; ``guess`` is what ``data check --fix`` takes it for, if it does."""

    def __init__(
        self, kind: str, file: File | str, detail: str, remedy: str, guess: Described | None = None
    ) -> None:
        super().__init__(kind, file, detail, remedy)
        self.guess = guess


class _Source(NamedTuple):
    """Where masks are from, and what messages call it."""

    where: Path | str
    description: Path | str
    """The dataset.yaml that isn't there."""

    def ask(
        self, kind: str, file: File | str, said: str, advice: str, *, more: str = "", soft: bool
    ) -> Unclear:
        """Return a fault that advises a dataset.yaml, which ``--fix`` takes itself where that is clear."""
        guess = parse_description(advice, "the advice")
        remedy = f"write to {self.description} what they mean: '{advice}'{more}"
        takes = soft or len(guess[0]) == 2
        if takes and isinstance(self.where, Path):
            command = f"segnet data check {self.where} --fix NEW"
            if soft:  # the copy alone gets rid of what lies between the classes
                remedy = f"{command} writes a copy, each pixel as the nearest class of '{advice}'; "
                remedy += f"where others are right, write those to {self.description} first"
            else:
                remedy += f"; or let {command} write a copy that is read so"
        return Unclear(kind, file, said, remedy, guess if takes else None)


@dataclass
class _Counted:
    """What all masks hold."""

    masks: list[tuple[File, Stored]]
    pixels: Counter[int] = field(default_factory=Counter)
    holders: Counter[int] = field(default_factory=Counter)
    """Masks that hold each value."""
    last_holder: dict[int, File] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for file, stored in self.masks:
            self.pixels.update(stored.counts)
            self.holders.update(stored.counts.keys())
            self.last_holder |= dict.fromkeys(stored.counts, file)

    @property
    def in_colour(self) -> bool:
        return self.masks[0][1].in_colour

    @property
    def lossy(self) -> bool:
        return any(stored.is_lossy for _, stored in self.masks)


def infer(masks: Iterable[tuple[File, Stored]], where: Path | str, description: Path | str) -> Described:
    """Count the classes by what all masks store; palette masks bring their colours along.

    Args:
        masks: every mask.
        where: the folder or dataset they are from, for messages.
        description: the dataset.yaml that isn't there, as messages call it.

    Raises:
        Fault: masks whose meaning isn't clear, or that hold nothing to learn.
    """
    source, found = _Source(where, description), [*masks]
    coloured = [(file, stored) for file, stored in found if stored.in_colour and not stored.is_grey]
    if coloured:
        raise _ask_for_colours(_Counted([(f, s.most_frequent(_COLOURS_KEPT)) for f, s in coloured]), source)
    counted = _Counted([(file, stored.as_values()) for file, stored in found])
    palette = _one_palette(counted, source)
    values = sorted(counted.pixels)
    if len(values) == 1:
        raise Fault("nothing-to-learn", where, f"has masks that hold nothing but {values[0]}")
    ids = [value for value in values if value != IGNORE_INDEX]
    numbered = len(ids) > 1 and ids == list(range(len(ids)))
    if not numbered or counted.lossy or len(ids) > _FEW_VALUES:
        _ask_about_soft_edges(counted, source)
    _ask_about_instances(counted, source)
    if not numbered:
        raise _ask_for_values(counted, source)
    names = tuple(f"class {value}" for value in ids)
    colours = tuple(palette[value] for value in ids if value in palette)
    told_apart = len(colours) == len(ids) and _are_apart(colours)
    classes = ClassTable(names, colours) if told_apart else ClassTable.named(names)
    return classes, MaskCode(tuple((value, value) for value in (*ids, IGNORE_INDEX)))


def _one_palette(counted: _Counted, source: _Source) -> dict[int, Colour]:
    """Return the colour of each value; raise Fault where masks have several palettes."""
    palette: dict[int, tuple[Colour, File]] = {}
    for file, stored in counted.masks:
        for value, colour in stored.palette.items():
            first, other = palette.setdefault(value, (colour, file))
            if colour != first:
                said = f"has another palette than {other}: {value} is {colour}, there it is {first}"
                colours = {each for _, stored in counted.masks for each in stored.palette.values()}
                advice = _table_of(sorted(colours))
                remedy = f"write to {source.description} which colour is which class: '{advice}'"
                raise Fault("mask-meaning", file, said, remedy)
    return {value: colour for value, (colour, _) in palette.items()}


def _are_apart(colours: Sequence[Colour]) -> bool:
    """Tell whether each colour shows which class is meant; a grey ramp 0, 1, 2 .. would look all black."""
    return all(
        max(abs(one - other) for one, other in zip(a, b, strict=True)) >= 16
        for a, b in combinations(colours, 2)
    )


# What is asked, in this order


def _ask_for_colours(counted: _Counted, source: _Source) -> Fault:
    file = counted.masks[0][0]
    said = "is a colour image and there is no dataset.yaml"
    if len(counted.pixels) > 2 or counted.lossy:
        centres = _soft_centres(counted)
        if centres is not None and len(centres) < 2:
            return Fault("blurred-ids", file, "is in a lossy format")
        if centres is not None:
            said += f"; its {len(counted.masks[0][1].counts)} colours lie around and between few"
            return source.ask("mask-meaning", file, said, _table_of([*map(unpack, centres)]), soft=True)
    _ask_about_instances(counted, source)
    advice = _table_of([*map(unpack, sorted(counted.pixels))])
    return source.ask("mask-meaning", file, said, advice, soft=False)


def _ask_about_soft_edges(counted: _Counted, source: _Source) -> None:
    centres = _soft_centres(counted)
    if centres is None:
        return
    most = max(len(stored.counts) for _, stored in counted.masks)
    if len(centres) < 2:
        lossy = [file for file, stored in counted.masks if stored.is_lossy]
        said = f"is in a lossy format{f', as {len(lossy)} masks are' if len(lossy) > 1 else ''}"
        raise Fault("blurred-ids", lossy[0], f"{said}, and masks hold {spell(sorted(counted.pixels))}")
    around = f"{', '.join(map(str, centres[:-1]))} and {centres[-1]}"
    said = f"has masks that hold up to {most} values, around and between {around}"
    kind = "mask-meaning" if counted.lossy else "soft-edges"
    raise source.ask(kind, source.where, said, _values_of(centres), soft=True)


def _ask_about_instances(counted: _Counted, source: _Source) -> None:
    """Raise Fault where masks seem to number objects and not classes."""
    values = counted.pixels.keys()
    void = not counted.in_colour and max(values) == IGNORE_INDEX and IGNORE_INDEX - 1 not in values
    objects = {*values} - ({0, IGNORE_INDEX} if void else {0})
    highest = []  # of the masks that number theirs from 1 up
    holders = 0
    for _, stored in counted.masks:
        here = stored.counts.keys() & objects
        holders += bool(here)
        if here and max(here) == len(here):
            highest.append(len(here))
    rare = 1 if len(counted.masks) < _LOOKED_AT else max(2, len(counted.masks) // 20)
    mostly_rare = 2 * sum(counted.holders[value] <= rare for value in objects) > len(objects)
    counts_up = len(highest) >= 0.9 * holders and len({*highest}) >= 3 and max(highest) >= _OBJECTS
    if not (counts_up or (len(objects) > _FEW_VALUES and mostly_rare) or len(objects) >= IGNORE_INDEX):
        return
    why = "numbered from 1 up in each" if counts_up else "most of them in few masks"
    what = "colours" if counted.in_colour else "values"
    said = f"has masks of {len(objects)} {what} beside {'black' if counted.in_colour else 0}, {why}; "
    advice = "{instances: object, ignore: 255}" if void else "instances: object"
    remedy = f"if so, write to {source.description} '{advice}'; if each is a class, name them all there"
    raise Fault(
        "instance-ids", source.where, f"{said}are these instances, one {what[:-1]} an object?", remedy
    )


def _ask_for_values(counted: _Counted, source: _Source) -> Fault:
    values = sorted(counted.pixels)
    ids = [value for value in values if value != IGNORE_INDEX]
    scaled = [round(i * IGNORE_INDEX / (len(values) - 1)) for i in range(len(values))]
    # 255 is ignored, except where values are spread evenly from 0 to 255, or it would leave a single class
    spread = all(abs(value - even) <= 1 for value, even in zip(values, scaled, strict=True))
    ignores = len(ids) < len(values) and len(ids) > 1 and not spread
    more = "; 255 is then ignored" if ignores else ""
    if ignores and IGNORE_INDEX - 1 in ids[2:]:
        more += "; if 254 means ignore too, write ignore: [254, 255] and leave out 254"
    elif spread and len(values) > 2:
        more = "; leave out 255 there if it means ignore"
    advice = _values_of(ids if ignores else values)
    strays = [value for value in ids if counted.holders[value] == 1]
    others = [value for value in ids if value not in strays]
    if strays and len(others) > 1 and others == list(range(len(others))):
        file, masks = counted.last_holder[strays[0]], len(counted.masks)
        said = f"holds {strays[0]}, which no other of the {masks} masks does; they hold {spell(others)}"
        remedy = f"mend it, or write to {source.description} what it means: '{_values_of(ids)}'{more}"
        return Fault("mask-meaning", file, said, remedy)
    said = f"has masks that hold {spell(values)}, which are no ids from 0 up (255 means ignore)"
    return source.ask("mask-meaning", source.where, said, advice, more=more, soft=False)


# Advice that can be pasted into a dataset.yaml


def _names(count: int) -> list[str]:
    return ["background", "object"] if count == 2 else [f"class {number}" for number in range(count)]


def _values_of(values: Sequence[int]) -> str:
    return as_entry("values", dict(zip(values, _names(len(values)), strict=True)))


def _table_of(colours: Sequence[Colour]) -> str:
    return as_entry("classes", dict(zip(_names(len(colours)), map(list, colours), strict=True)))


# Soft edges and lossy compression


def _soft_centres(counted: _Counted) -> list[int] | None:
    """Return the values that others lie around and between; None where that isn't what masks show.

    Fewer than two are returned where a lossy format leaves no two classes apart.
    """
    looks = [_numbers(file, in_colour=counted.in_colour) for file in _sample(counted)]
    centres = _centres(looks, in_colour=counted.in_colour)
    if not counted.in_colour and len(centres) < 2 and reach_both_ends(counted.pixels):
        centres = [0, IGNORE_INDEX]
    if counted.lossy:
        return centres
    if len(centres) < 2:
        return None
    known = Known({value: i for i, value in enumerate(centres)}, in_colour=counted.in_colour)
    judged = [
        look_at_unknown(numbers, known, unknown).is_soft
        for numbers in looks
        if len(unknown := [value for value in np.unique(numbers).tolist() if value not in centres]) > 2
    ]
    return centres if judged and 2 * sum(judged) > len(judged) else None


def _sample(counted: _Counted) -> list[File]:
    by_values = sorted(counted.masks, key=lambda mask: -len(mask[1].counts))[:_LOOKED_AT]
    step = -(-len(counted.masks) // _LOOKED_AT)
    return [*dict.fromkeys(file for file, _ in (*by_values, *counted.masks[::step]))]


def _numbers(file: File, *, in_colour: bool) -> Numbers:
    is_colour, numbers = stored_numbers(decode(file), by_colour=False)
    return numbers // grey(1) if is_colour and not in_colour else numbers


def _centres(looks: Sequence[Numbers], *, in_colour: bool) -> list[int]:
    """Return the values that fill areas, as good as alike, and are far from those that fill more.

    Near black and white lossy compression has moved them, so the ends themselves are returned.
    """
    found = np.concatenate([numbers[flat(numbers, in_colour=in_colour)] for numbers in looks])
    values, counts = np.unique(found, return_counts=True)
    places = channels_of(values.tolist(), in_colour=in_colour)
    needed = _SMALLEST_SHARE * sum(numbers.size for numbers in looks)
    centres: list[int] = []
    while counts.any():
        most = int(counts.argmax())
        around = np.abs(places - places[most]).max(1) < NEEDED_GAP
        if counts[around].sum() >= needed:
            centres.append(int(values[most]))
        counts[around] = 0
    if not in_colour:
        ends = {value: end for value in centres for end in (0, IGNORE_INDEX) if abs(value - end) < NEEDED_GAP}
        centres = [ends.get(value, value) for value in centres]
    return sorted(centres)
