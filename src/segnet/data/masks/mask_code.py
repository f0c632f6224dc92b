"""What the values of a mask mean, as its dataset.yaml says or as they are numbered, and reading it so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import yaml
from PIL import Image

from segnet.base.classes import IGNORE_INDEX
from segnet.base.colours import Colour, pack, unpack
from segnet.data.dataset import Mask
from segnet.data.faults import Fault
from segnet.data.images.embedded_files import File
from segnet.data.images.reading import decode
from segnet.data.masks.nearest_class import DISTANCE, NEEDED_GAP, Known, look_at_unknown, nearest_classes
from segnet.data.masks.stored_values import HIGHEST_VALUE, Numbers, Stored, grey, stored_numbers

NO_CLASS = -1
"""In place of the class id of a pixel whose value or colour stands for none."""

_ONE_LINE = 1 << 20  # characters
_OBJECTS = 8  # more values that are no class and fill areas look like instances
_OBJECTS_OF_TWO = 2  # where two classes are named


class Reading(NamedTuple):
    """What a mask holds."""

    ids: dict[int, int]
    """The class id of each value or packed colour that it stores, 255 = ignore."""
    counts: dict[int, int]
    """Pixels of each class id."""
    moved: int
    """Pixels whose value is no class's own, but near enough to one in a lossy file."""


@dataclass(frozen=True)
class MaskCode:
    """What the stored pixels of a mask mean: ``(value, class id)`` and ``(colour, class id)``, 255 = ignore.

    Where there are colours, they decide for palette masks too: the order of a palette changes when a tool
    saves the picture anew, its colours don't.
    """

    values: tuple[tuple[int, int], ...]
    colours: tuple[tuple[Colour, int], ...] = ()
    others: int | None = None
    """The class id of every other value and colour, of which each is an instance of it; None for no class."""
    names: tuple[str, ...] = ()
    """Of the classes, for messages; empty where they don't matter."""

    @cached_property
    def meaning(self) -> str:
        """All of it as a text, which many fingerprints are made of."""
        others = "" if self.others is None else f", others={self.others}"
        return f"MaskCode(values={self.values}, colours={self.colours}{others})"

    def read(self, file: File) -> Mask:
        """Read a mask ``(H, W)`` of class ids.

        Raises:
            Fault: not readable as a mask, or a value or colour that stands for no class.
        """
        image = decode(file)
        _, numbers, mask = self.exactly(image)
        if (mask == NO_CLASS).any():
            ids = self.reading(Stored.of(image, by_colour=bool(self.colours), file=file), file).ids
            values, back = np.unique(numbers, return_inverse=True)
            mask = np.array([ids[value] for value in values.tolist()])[back].reshape(mask.shape)
        return mask.astype(np.uint8)

    def read_nearest(self, file: File) -> Mask:
        """Read a mask ``(H, W)`` of class ids; pixels of other values become the nearest class.

        Raises:
            Fault: not readable as a mask.
        """
        in_colour, numbers, mask = self.exactly(decode(file))
        if (mask == NO_CLASS).any():
            return nearest_classes(numbers, Known(self.ids(in_colour=in_colour), in_colour=in_colour))
        return mask.astype(np.uint8)

    def exactly(self, image: Image.Image) -> tuple[bool, Numbers, npt.NDArray[np.int16]]:
        """Return whether a mask is read by colours, what it stores, and its class ids, -1 for none."""
        in_colour, numbers = stored_numbers(image, by_colour=bool(self.colours))
        unnamed = NO_CLASS if self.others is None else self.others
        ids = self.ids(in_colour=in_colour)
        if in_colour:
            mask = np.full(numbers.shape, unnamed, np.int16)
            for colour, class_id in ids.items():
                mask[numbers == colour] = class_id
            return in_colour, numbers, mask
        class_of = np.full(HIGHEST_VALUE + 1, unnamed, np.int16)
        class_of[[*ids]] = [*ids.values()]
        return in_colour, numbers, class_of[numbers]

    def ids(self, *, in_colour: bool) -> dict[int, int]:
        """Return the class id of each value, or of each packed colour: greys, where no class has a colour."""
        if not in_colour:
            return dict(self.values)
        if self.colours:
            return {int(pack(np.array(colour, np.uint8))): class_id for colour, class_id in self.colours}
        return {grey(value): class_id for value, class_id in self.values if value <= 255}

    def reading(self, stored: Stored, file: File) -> Reading:
        """Return what a mask holds of which the pixels are counted.

        A value that is no class's own is taken for the nearest one where the file's format changes values, as
        JPEG does, and the value is at most ``DISTANCE`` grey levels away.

        Raises:
            Fault: a value or colour that stands for no class; names the file.
        """
        if not stored.is_whole:
            stored = Stored.of(decode(file), by_colour=bool(self.colours), file=file)
        ids = self.ids(in_colour=stored.in_colour)
        if stored.in_colour and not (self.colours or self.others is not None or stored.is_grey):
            said = "is a colour image, dataset.yaml gives no colours"
            raise Fault("mask-meaning", file, said, self._which_colours(stored))
        known = Known(ids, in_colour=stored.in_colour)
        if stored.is_lossy and (self.others is not None or known.smallest_gap < NEEDED_GAP):
            raise self._blurred(file, "is in a lossy format", stored)
        found = {value: ids.get(value, self.others) for value in stored.counts}
        unknown = [value for value, class_id in found.items() if class_id is None]
        if unknown and stored.is_lossy:
            for value, k in zip(unknown, known.within_reach(unknown).tolist(), strict=True):
                found[value] = int(known.ids[k]) if k >= 0 else None
        beyond = {value: stored.counts[value] for value, class_id in found.items() if class_id is None}
        if beyond:
            raise self._why_unknown(beyond, known, stored, file)
        read = {value: class_id for value, class_id in found.items() if class_id is not None}
        counts: dict[int, int] = {}
        for value, class_id in read.items():
            counts[class_id] = counts.get(class_id, 0) + stored.counts[value]
        return Reading(read, counts, sum(stored.counts[value] for value in unknown))

    def _why_unknown(self, unknown: dict[int, int], known: Known, stored: Stored, file: File) -> Fault:
        """Return what is wrong with a mask that holds values of no class: ``unknown`` has their pixels."""
        _, numbers = stored_numbers(decode(file), by_colour=bool(self.colours))
        look = look_at_unknown(numbers, known, [*unknown], is_lossy=stored.is_lossy)
        pixels = sum(unknown.values())
        share = f"{pixels:,} pixels, {pixels / numbers.size:.1%}"
        if look.is_soft:
            if known.smallest_gap < NEEDED_GAP:
                said = f"holds {len(unknown)} values that are no class ({share})"
                return self._blurred(file, said, stored)
            said = f"holds {len(unknown)} values that are no class but between or near classes ({share})"
            return Fault("soft-edges", file, said)
        if len(look.areas) > (_OBJECTS_OF_TWO if len(self.names) == 2 else _OBJECTS):
            said = f"holds {len(look.areas)} values that are no class ({share})"
            remedy = (
                f"where each is an object, write to dataset.yaml '{as_entry('instances', self.names[-1])}'"
            )
            remedy += "; where each is a class, name them all there"
            return Fault("instance-ids", file, said, remedy if len(self.names) == 2 else "")
        value = look.areas[0] if look.areas else max(unknown, key=lambda each: unknown[each])
        what = f"the colour {unpack(value)}" if stored.in_colour else f"the value {value}"
        there = "" if stored.in_colour else f": there is {spell(known.numbers.tolist())}"
        more = f", and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        said = f"holds {what} ({unknown[value]} pixels){more}, which is no class{there}"
        return Fault("unknown-value", file, said, self._how_to_ignore(look.areas or [*unknown], stored))

    def _which_colours(self, stored: Stored) -> str:
        """Return what to do about colours without a table, with a line to paste where they are few."""
        colours = [list(unpack(number)) for number in sorted(stored.counts)]
        if len(colours) > len(self.names):
            return (
                "write to dataset.yaml which colour is which class, classes: {NAME: [red, green, blue], ..}"
            )
        entry = as_entry("classes", dict(zip(self.names, colours, strict=False)))
        return f"write to dataset.yaml which colour is which class, such as '{entry}'"

    def _blurred(self, file: File, what: str, stored: Stored) -> Fault:
        """Return a fault of a mask whose ids are too near each other for what was done to it."""
        said = f"{what}, but classes less than {NEEDED_GAP} values apart"
        if len(self.names) != 2 or not reach_both_ends(stored.as_values().counts):
            return Fault("blurred-ids", file, said)
        entry = as_entry("values", {0: self.names[0], IGNORE_INDEX: self.names[1]})
        return Fault("blurred-ids", file, said, f"it reaches from 0 to 255: write to dataset.yaml '{entry}'")

    def _how_to_ignore(self, unknown: list[int], stored: Stored) -> str:
        """Return what to do about values of no class, with a line to paste where they are few."""
        if len(unknown) > _OBJECTS or (stored.in_colour and not self.colours):
            return ""
        entries: tuple[tuple[object, int], ...] = self.colours if stored.in_colour else self.values
        ignored = [entry for entry, class_id in entries if class_id == IGNORE_INDEX]
        new = [unpack(value) for value in unknown] if stored.in_colour else sorted(unknown)
        listed = [list(each) if isinstance(each, tuple) else each for each in (*new, *ignored)]
        return f"correct it, or say in dataset.yaml which class it is, or ignore it there: 'ignore: {listed}'"


def lossy_fault(reading: Reading, file: File) -> Fault | None:
    """Return what to say of a lossy mask of which pixels were moved to the nearest class."""
    if not reading.moved:
        return None
    share = reading.moved / sum(reading.counts.values())
    said = f"has {reading.moved:,} pixels ({share:.1%}) of values that are no class's own; each is taken for "
    return Fault("lossy-mask", file, f"{said}the class within {DISTANCE} grey levels")


def as_entry(key: str, entry: Mapping[Any, Any] | str) -> str:
    """Return a line of a dataset.yaml, as messages print it to be pasted."""
    flow = yaml.safe_dump(
        [entry], default_flow_style=True, sort_keys=False, allow_unicode=True, width=_ONE_LINE
    )
    return f"{key}: {flow.strip()[1:-1]}"


def reach_both_ends(values: Iterable[int]) -> bool:
    """Whether values come near 0 and near 255, as those of two classes do that were smoothed."""
    found = [*values]
    return min(found) < NEEDED_GAP and IGNORE_INDEX - NEEDED_GAP < max(found) <= IGNORE_INDEX


def spell(things: Iterable[object]) -> str:
    """Join with commas, but no more than fit on a line."""
    words = [str(thing) for thing in things]
    return ", ".join(words if len(words) <= 8 else [*words[:8], ".."])
