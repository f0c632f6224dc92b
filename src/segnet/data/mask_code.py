"""What the pixels of a folder's masks mean: from its dataset.yaml, and without one from the masks themselves.

::

    classes: [background, leaf, stem]      # names in the order of their ids, or with the masks' colours:
    classes: {background: [0, 0, 0], leaf: '#00ff00'}
    ignore: 255                            # an id or a colour that is neither trained on nor scored
    values: {0: background, 255: leaf}     # what the masks store, where that is not the class id
"""

from __future__ import annotations

import re
import reprlib
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from PIL import Image

from segnet.core.ahead import in_threads
from segnet.core.classes import IGNORE_INDEX, ClassTable
from segnet.core.colours import Colour, pack, unpack
from segnet.core.errors import SegnetError, did_you_mean
from segnet.data.blobs import Blob, File
from segnet.data.dataset import Mask
from segnet.data.faults import Fault, raise_errors
from segnet.data.images import decode, read_index_mask
from segnet.data.remembered import is_seen, recall

_ENTRIES = ("classes", "ignore", "values")  # of a dataset.yaml
_NO_CLASS = -1
COLOUR_MODES = ("RGB", "RGBA")
_SMOOTHED = 16  # more unknown values than this come from smoothing


@dataclass(frozen=True)
class Stored:
    """What a mask file stores, whatever that means."""

    in_colour: bool
    """Whether it is read by its colours: ``counts`` then has them packed."""

    counts: dict[int, int]
    """Pixels of each value or colour."""

    palette: dict[int, Colour]
    """The colour of each value, where the file has a palette."""

    @classmethod
    def of(cls, image: Image.Image, *, by_colour: bool = False) -> Stored:
        """Count what a decoded mask stores.

        Args:
            image: the mask.
            by_colour: read a palette mask by its colours too.

        Raises:
            Fault: no map of class ids, as ``read_index_mask``.
        """
        if image.mode in COLOUR_MODES or (image.mode == "P" and by_colour):
            numbers = _packed(image)
            return cls(True, dict(zip(*_counted(numbers), strict=True)), {})
        values, counts = _counted(read_index_mask(image))
        palette = {}
        if image.mode == "P":
            stored = [
                *(image.getpalette("RGB") or ()),
                *[0] * 768,
            ]  # a file may use values beyond its palette
            palette = {
                value: (stored[3 * value], stored[3 * value + 1], stored[3 * value + 2]) for value in values
            }
        return cls(False, dict(zip(values, counts, strict=True)), palette)

    @classmethod
    def of_file(cls, file: File) -> Stored:
        """Count what a mask file stores, colours as colours and palette masks by their values.

        Raises:
            Fault: it can't be read, or is no map of class ids.
        """
        if isinstance(file, Blob):
            return cls.of(decode(file))
        with suppress(OSError):
            return cls._from_bytes(recall(file, "stored", lambda: cls.of(decode(file))._to_bytes()))
        return cls.of(decode(file))  # which says what is wrong with the file

    def _to_bytes(self) -> bytes:
        palette = {value: int(pack(np.array(colour, np.uint8))) for value, colour in self.palette.items()}
        numbers = [*self.counts, *self.counts.values(), *palette.values()]
        return b"%d %d " % (self.in_colour, len(self.counts)) + " ".join(map(str, numbers)).encode()

    @classmethod
    def _from_bytes(cls, remembered: bytes) -> Stored:
        in_colour, count, *numbers = map(int, remembered.split())
        values, counts, palette = numbers[:count], numbers[count : 2 * count], numbers[2 * count :]
        return cls(
            bool(in_colour),
            dict(zip(values, counts, strict=True)),
            {value: unpack(colour) for value, colour in zip(values, palette, strict=False)},
        )


@dataclass(frozen=True)
class MaskCode:
    """What the stored pixels of a mask mean: ``(value, class id)`` and ``(colour, class id)``, 255 = ignore.

    Where there are colours, they decide for palette masks too: the order of a palette changes when a tool
    saves the picture anew, its colours don't.
    """

    values: tuple[tuple[int, int], ...]
    colours: tuple[tuple[Colour, int], ...] = ()

    @cached_property
    def meaning(self) -> str:
        """All of it as a text, which many fingerprints are made of."""
        return str(self)

    def read(self, file: File) -> Mask:
        """Read a mask ``(H, W)`` of class ids.

        Raises:
            Fault: not readable as a mask, or a value or colour that stands for no class.
        """
        image = decode(file)
        if image.mode in COLOUR_MODES or (image.mode == "P" and self.colours):
            pixels = _packed(image)
            mask = np.full(pixels.shape, _NO_CLASS, np.int16)
            for colour, class_id in self.ids(in_colour=True).items():
                mask[pixels == colour] = class_id
        else:
            class_of = np.full(256, _NO_CLASS, np.int16)
            for value, class_id in self.values:
                class_of[value] = class_id
            mask = class_of[read_index_mask(image)]
        if (mask == _NO_CLASS).any():
            self.count_classes(Stored.of(image, by_colour=bool(self.colours)), file)
        return mask.astype(np.uint8)

    def ids(self, *, in_colour: bool) -> dict[int, int]:
        """Return the class id of each value, or of each packed colour."""
        if not in_colour:
            return dict(self.values)
        return {int(pack(np.array(colour, np.uint8))): class_id for colour, class_id in self.colours}

    def count_classes(self, stored: Stored, file: File) -> dict[int, int]:
        """Return the pixels of each class id, 255 = ignore, in a mask of which the pixels are counted.

        Raises:
            Fault: a value or colour that stands for no class; names the file.
        """
        ids = self.ids(in_colour=stored.in_colour)
        if stored.in_colour and not ids:
            said = "is a colour image, dataset.yaml gives no colours"
            raise Fault("mask-meaning", file, said, _name_colours(stored))
        unknown = {value: count for value, count in stored.counts.items() if value not in ids}
        if unknown:
            value = max(unknown, key=lambda each: unknown[each])
            what = f"the colour {unpack(value)}" if stored.in_colour else f"the value {value}"
            if len(unknown) > _SMOOTHED:  # forgotten classes leave a few stray values, smoothing leaves many
                more = f"{len(unknown)} values that are no class, {what} among them"
                raise Fault("soft-edges", file, f"holds {more} ({sum(unknown.values())} pixels)")
            there = "" if stored.in_colour else f": there is {_spell(ids)}"
            raise Fault(
                "unknown-value", file, f"holds {what} ({unknown[value]} pixels), which is no class{there}"
            )
        counts: dict[int, int] = {}
        for value, count in stored.counts.items():
            counts[ids[value]] = counts.get(ids[value], 0) + count
        return counts


def read_description(file: Path) -> tuple[ClassTable, MaskCode]:
    """Read a dataset.yaml.

    Raises:
        SegnetError: a file that can't be read, or an entry that is wrong; names both.
    """
    try:
        entries = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:  # a date that there isn't is a ValueError
        raise SegnetError(f"{file} can't be read as YAML: {' '.join(str(error).split())}") from error
    try:
        return _parse(entries)
    except SegnetError as error:
        raise SegnetError(f"{file}: {error}") from None


def _check(entries: Any) -> None:
    """Check that every entry of a dataset.yaml has the right shape."""
    if not isinstance(entries, dict):
        raise SegnetError("needs entries such as 'classes: [background, object]'")
    for key in entries:
        if key not in _ENTRIES:
            raise SegnetError(f"unknown entry {key!r}{did_you_mean(str(key), _ENTRIES)}")
    stored = entries.get("values", {})
    if not isinstance(stored, dict) or not all(map(_is_byte, stored)):
        raise SegnetError("values must map what masks store, 0 to 255, to names: {0: soil, 255: leaf}")
    named = entries.get("classes", stored)
    if not isinstance(named, list | dict) or not named:
        raise SegnetError("classes must list names, or map names to colours")
    for name in (*entries.get("classes", ()), *stored.values()):
        if not isinstance(name, str):
            raise SegnetError(f"the class name {reprlib.repr(name)} is no text to YAML; put it in quotes")


def _parse(entries: Any) -> tuple[ClassTable, MaskCode]:
    _check(entries)
    stored = entries.get("values", {})
    named = entries.get("classes", list(dict.fromkeys(stored.values())))
    table = {name: _colour(colour, name) for name, colour in named.items()} if isinstance(named, dict) else {}
    names = tuple(named)
    classes = ClassTable(names, tuple(table.values())) if table else ClassTable.named(names)
    for name in stored.values():
        if name not in names:
            raise SegnetError(f"values names an unknown class {name!r}{did_you_mean(name, names)}")

    ids = {name: class_id for class_id, name in enumerate(names)}
    colours = {colour: ids[name] for name, colour in table.items()}
    if stored:
        values = {value: ids[name] for value, name in stored.items()}
    elif table and all(red == green == blue for red, green, blue in colours):
        values = {grey: class_id for (grey, _, _), class_id in colours.items()}  # what grey masks then hold
    else:
        values = {class_id: class_id for class_id in ids.values()}

    ignore = entries.get("ignore", IGNORE_INDEX)
    if _is_byte(ignore):
        if "ignore" in entries and ignore in values:
            raise SegnetError(f"the value {ignore} is both ignored and the class {names[values[ignore]]!r}")
        values.setdefault(ignore, IGNORE_INDEX)
    elif table:
        colours.setdefault(_colour(ignore, "ignore"), IGNORE_INDEX)
        values.setdefault(IGNORE_INDEX, IGNORE_INDEX)
    else:
        raise SegnetError(
            f"ignore must be a value from 0 to 255 where classes have no colours, got {reprlib.repr(ignore)}"
        )
    if len(colours) < len(table) + (not _is_byte(ignore)):
        raise SegnetError("two entries have the same colour")
    return classes, MaskCode(tuple(values.items()), tuple(colours.items()))


def _is_byte(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255


def _colour(value: object, name: str) -> Colour:
    if isinstance(value, list) and len(value) == 3 and all(map(_is_byte, value)):
        return (value[0], value[1], value[2])
    if isinstance(value, str) and re.fullmatch("#[0-9a-fA-F]{6}", value):
        return unpack(int(value[1:], 16))
    raise SegnetError(
        f"{name} needs a colour, [red, green, blue] or '#rrggbb' in quotes, got {reprlib.repr(value)}"
    )


# Without a dataset.yaml


def count_masks(masks: Sequence[File]) -> list[Stored]:
    """Decode masks in a few threads and count what each stores.

    Raises:
        Fault: one that can't be read as a mask; all that are wrong, in one.
    """
    faults: list[Fault] = []

    def count(file: File) -> Stored | None:
        try:
            return Stored.of_file(file)
        except Fault as fault:
            faults.append(fault)
            return None

    stored = in_threads(count, masks, lambda mask: is_seen(mask, "stored"))
    raise_errors(sorted(faults, key=lambda fault: str(fault.file)), "the masks")
    return [each for each in stored if each is not None]


def infer(
    masks: Iterable[tuple[File, Stored]], where: Path | str, description: Path | str
) -> tuple[ClassTable, MaskCode]:
    """Count the classes by what all masks store; palette masks bring their colours along.

    Args:
        masks: every mask.
        where: the folder or dataset they are from, for messages.
        description: the dataset.yaml that isn't there, as messages call it.

    Raises:
        Fault: masks whose meaning isn't clear, or that hold nothing to learn.
    """
    counts: Counter[int] = Counter()
    palette: dict[int, tuple[Colour, File]] = {}
    largest: tuple[int, File | str] = (0, where)
    holders: Counter[int] = Counter()
    last_holder: dict[int, File] = {}
    count = 0
    for file, stored in masks:
        count += 1
        if stored.in_colour:
            said = "is a colour image and there is no dataset.yaml"
            raise Fault("mask-meaning", file, said, _name_colours(stored, f"write to {description}"))
        counts.update(stored.counts)
        holders.update(stored.counts.keys())
        last_holder |= dict.fromkeys(stored.counts, file)
        largest = max(largest, (len(stored.counts), file), key=lambda each: each[0])
        for value, colour in stored.palette.items():
            first, other = palette.setdefault(value, (colour, file))
            if colour != first:
                raise Fault(
                    "mask-meaning",
                    file,
                    f"has another palette than {other}: {value} is {colour}, there it is {first}",
                    f"write to {description} which colour is which class, 'classes: {{NAME: [R, G, B], ..}}'",
                )
    values = sorted(counts)
    ids = [value for value in values if value != IGNORE_INDEX]
    if len(values) == 1:
        raise Fault("nothing-to-learn", where, f"has masks that hold nothing but {values[0]}")
    frequent = sorted(value for value in values if counts[value] * 200 >= counts.total())
    # a mask of many classes holds some of them, one that was smoothed all that lie between a few; where not
    # even one is frequent there is nothing that they could lie between
    smoothed = largest[0] > 2 * _SMOOTHED and 0 < len(frequent) <= largest[0] // 4
    if smoothed or len(ids) == 1 or ids != list(range(len(ids))):
        meant = frequent if smoothed and len(frequent) > 1 else values
        names = ("background", "object") if len(meant) == 2 else [f"class {i}" for i in range(len(meant))]
        meaning = _spell(f"{value}: {name}" for value, name in zip(meant, names, strict=True))
        if smoothed:
            raise Fault(
                "soft-edges",
                largest[1],
                f"holds {largest[0]} values, where {_spell(frequent)} are frequent and the others come from "
                "a lossy format or from smoothing",
                f"save masks as PNG without anti-aliasing, or write to {description} 'values: {{{meaning}}}' "
                "and let segnet data check --fix move each pixel to the nearest class",
            )
        strays = [value for value in ids if holders[value] == 1]
        others = [value for value in ids if value not in strays]
        if strays and len(others) > 1 and others == list(range(len(others))):
            raise Fault(
                "mask-meaning",
                last_holder[strays[0]],
                f"holds {strays[0]}, which no other of the {count} masks does; they hold {_spell(others)}",
                f"mend it, or write to {description} what it means: 'values: {{{meaning}}}'",
            )
        raise Fault(
            "mask-meaning",
            where,
            f"has masks that hold {_spell(values)}, which are no ids from 0 up (255 means ignore)",
            f"write to {description} what they mean: 'values: {{{meaning}}}'",
        )
    inferred = tuple(f"class {value}" for value in ids)
    colours = tuple(palette[value][0] for value in ids if value in palette)
    told_apart = len(colours) == len(ids) and _are_apart(colours)
    classes = ClassTable(inferred, colours) if told_apart else ClassTable.named(inferred)
    return classes, MaskCode(tuple((value, value) for value in (*ids, IGNORE_INDEX)))


def _are_apart(colours: Sequence[Colour]) -> bool:
    """Tell whether each colour shows which class is meant; a grey ramp 0, 1, 2 .. would look all black."""
    return all(
        max(abs(one - other) for one, other in zip(a, b, strict=True)) >= 16
        for a, b in combinations(colours, 2)
    )


# What masks hold, and how to say it


def _packed(image: Image.Image) -> npt.NDArray[np.uint32]:
    return pack(np.asarray(image.convert("RGB")))


def _counted(values: npt.NDArray[np.integer[Any]]) -> tuple[list[int], list[int]]:
    found, counts = np.unique(values, return_counts=True)
    return found.tolist(), counts.tolist()


def _name_colours(stored: Stored, place: str = "say there") -> str:
    """Say how dataset.yaml would name the colours of this mask."""
    table = _spell(f"class {index}: {list(unpack(number))}" for index, number in enumerate(stored.counts))
    return f"{place} which colour is which class: 'classes: {{{table}}}'"


def _spell(things: Iterable[object]) -> str:
    """Join with commas, but no more than fit on a line."""
    words = [str(thing) for thing in things]
    return ", ".join(words if len(words) <= 8 else [*words[:8], ".."])
