"""What the pixels of a folder's masks mean: from its dataset.yaml, and without one from the masks themselves.

::

    classes: [background, leaf, stem]      # names in the order of their ids, or with the masks' colours:
    classes: {background: [0, 0, 0], leaf: '#00ff00'}
    ignore: 255                            # an id or a colour that is neither trained on nor scored
    values: {0: background, 255: leaf}     # what the masks store, where that is not the class id
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from PIL import Image

from segnet.core.classes import IGNORE_INDEX, ClassTable
from segnet.core.colours import Colour, distinct_colours, pack, unpack
from segnet.core.errors import SegnetError, did_you_mean
from segnet.data.dataset import Mask
from segnet.data.images import decode, read_index_mask

_ENTRIES = ("classes", "ignore", "values")  # of a dataset.yaml
_NO_CLASS = -1
_COLOUR_MODES = ("RGB", "RGBA")


@dataclass(frozen=True)
class MaskCode:
    """What the stored pixels of a mask mean: ``(value, class id)`` and ``(colour, class id)``, 255 = ignore.

    Where there are colours, they decide for palette masks too: the order of a palette changes when a tool
    saves the picture anew, its colours don't.
    """

    values: tuple[tuple[int, int], ...]
    colours: tuple[tuple[Colour, int], ...] = ()

    def read(self, file: Path) -> Mask:
        """Read a mask ``(H, W)`` of class ids.

        Raises:
            SegnetError: not readable as a mask, or a value or colour that stands for no class.
        """
        stored = decode(file)
        if stored.mode in _COLOUR_MODES or (stored.mode == "P" and self.colours):
            if not self.colours:
                raise SegnetError(
                    f"mask {file} is a colour image, dataset.yaml gives no colours; {_name_colours(stored)}"
                )
            return self._by_colour(_packed(stored), file)
        return self._by_value(read_index_mask(stored), file)

    def _by_value(self, values: Mask, file: Path) -> Mask:
        class_of = np.full(256, _NO_CLASS, np.int16)
        for value, class_id in self.values:
            class_of[value] = class_id
        mask = class_of[values]
        if (unknown := values[mask == _NO_CLASS]).size:
            value, count = _most_frequent(unknown)
            raise SegnetError(
                f"mask {file} holds the value {value} ({count} pixels), which is no class: there is "
                f"{_spell(value for value, _ in self.values)}; correct it or add it to dataset.yaml"
            )
        return mask.astype(np.uint8)

    def _by_colour(self, pixels: npt.NDArray[np.uint32], file: Path) -> Mask:
        mask = np.full(pixels.shape, _NO_CLASS, np.int16)
        for colour, class_id in self.colours:
            mask[pixels == pack(np.array(colour, np.uint8))] = class_id
        if (unknown := pixels[mask == _NO_CLASS]).size:
            number, count = _most_frequent(unknown)
            # Forgotten classes leave a few stray colours, smoothing leaves many.
            smoothed = len(np.unique(unknown)) > 16
            raise SegnetError(
                f"mask {file} holds the colour {unpack(number)} ({count} pixels), which is no class; "
                + ("save masks without anti-aliasing" if smoothed else "correct it or add it to dataset.yaml")
            )
        return mask.astype(np.uint8)


def read_description(file: Path) -> tuple[ClassTable, MaskCode]:
    """Read a dataset.yaml.

    Raises:
        SegnetError: a file that can't be read, or an entry that is wrong; names both.
    """
    try:
        entries = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
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
            raise SegnetError(f"the class name {name!r} is no text to YAML; put it in quotes")


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
            f"ignore must be a value from 0 to 255 where classes have no colours, got {ignore!r}"
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
    raise SegnetError(f"{name} needs a colour, [red, green, blue] or '#rrggbb' in quotes, got {value!r}")


# Without a dataset.yaml


def infer(masks: Sequence[Path], description: Path) -> tuple[ClassTable, MaskCode]:
    """Count the classes by the values of all masks; palette masks bring their colours along.

    Args:
        masks: every mask of the folder.
        description: the dataset.yaml that isn't there, for messages.

    Raises:
        SegnetError: masks whose meaning isn't clear, or that hold nothing to learn.
    """
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        contents = list(pool.map(_values, masks))

    values: set[int] = set()
    palette: dict[int, tuple[Colour, Path]] = {}
    for file, content in zip(masks, contents, strict=True):
        values |= content.keys()
        for value, colour in content.items():
            if colour is None:
                continue
            first, where = palette.setdefault(value, (colour, file))
            if colour != first:
                raise SegnetError(
                    f"palettes differ: {value} is {first} in {where} but {colour} in {file}; "
                    f"write to {description} which colour is which class, 'classes: {{NAME: [R, G, B], ..}}'"
                )

    ids = sorted(values - {IGNORE_INDEX})
    if len(values) == 1:
        raise SegnetError(
            f"all masks of {description.parent} hold nothing but {values.pop()}: nothing to learn"
        )
    if len(ids) == 1 or ids != list(range(len(ids))):
        names = ("background", "object") if len(values) == 2 else [f"class {i}" for i in range(len(values))]
        meaning = _spell(f"{value}: {name}" for value, name in zip(sorted(values), names, strict=True))
        raise SegnetError(
            f"the masks of {description.parent} hold {_spell(sorted(values))}, which are no ids from 0 up "
            f"(255 means ignore); write to {description} what they mean: 'values: {{{meaning}}}'"
        )
    colours = tuple(palette[value][0] for value in ids if value in palette)
    if len(colours) < len(ids) or not _are_apart(colours):
        colours = distinct_colours(len(ids))
    classes = ClassTable(tuple(f"class {value}" for value in ids), colours)
    return classes, MaskCode(tuple((value, value) for value in (*ids, IGNORE_INDEX)))


def _values(file: Path) -> dict[int, Colour | None]:
    """Return the values that a mask holds, with their colours where it has a palette."""
    stored = decode(file)
    if stored.mode in _COLOUR_MODES:
        raise SegnetError(
            f"mask {file} is a colour image and there is no dataset.yaml; {_name_colours(stored)}"
        )
    values: list[int] = np.unique(read_index_mask(stored)).tolist()
    if stored.mode != "P":
        return dict.fromkeys(values)
    palette = [*(stored.getpalette("RGB") or ()), *[0] * 768]  # a file may use values beyond its palette
    return {value: (palette[3 * value], palette[3 * value + 1], palette[3 * value + 2]) for value in values}


def _are_apart(colours: Sequence[Colour]) -> bool:
    """Tell whether each colour shows which class is meant; a grey ramp 0, 1, 2 .. would look all black."""
    return all(
        max(abs(one - other) for one, other in zip(a, b, strict=True)) >= 16
        for a, b in combinations(colours, 2)
    )


# What masks hold, and how to say it


def _packed(image: Image.Image) -> npt.NDArray[np.uint32]:
    return pack(np.asarray(image.convert("RGB")))


def _most_frequent(values: npt.NDArray[np.integer[Any]]) -> tuple[int, int]:
    """Return the value that occurs most often, and how often."""
    found, counts = np.unique(values, return_counts=True)
    return int(found[counts.argmax()]), int(counts.max())


def _name_colours(mask: Image.Image) -> str:
    """Say how dataset.yaml would name the colours of this mask."""
    found = np.unique(_packed(mask)).tolist()
    table = _spell(f"class {index}: {list(unpack(number))}" for index, number in enumerate(found))
    return f"say there which colour is which class: 'classes: {{{table}}}'"


def _spell(things: Iterable[object]) -> str:
    """Join with commas, but no more than fit on a line."""
    words = [str(thing) for thing in things]
    return ", ".join(words if len(words) <= 8 else [*words[:8], ".."])
