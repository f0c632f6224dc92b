"""A folder's dataset.yaml: its classes, and what the values of its masks mean.

::

    classes: [background, leaf, stem]      # names in the order of their ids, or with the masks' colours:
    classes: {background: [0, 0, 0], leaf: '#00ff00'}
    ignore: 255                            # neither trained on nor scored: a value, a colour, or a list
    values: {0: background, 255: leaf}     # what the masks store, where that is not the class id
    instances: leaf                        # every value that isn't named is one object of this class
"""

from __future__ import annotations

import re
import reprlib
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from segnet.base.classes import IGNORE_INDEX, ClassTable
from segnet.base.colours import Colour, unpack
from segnet.base.errors import SegnetError, did_you_mean
from segnet.base.files import write_text
from segnet.data.masks.mask_code import MaskCode
from segnet.data.masks.stored_values import HIGHEST_VALUE

_ENTRIES = ("classes", "ignore", "values", "instances")

Described = tuple[ClassTable, MaskCode]


def read_description(file: Path) -> Described:
    """Read a dataset.yaml.

    Raises:
        SegnetError: a file that can't be read, or an entry that is wrong; names both.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise _unreadable(str(file), error) from error
    return parse_description(text, str(file))


def parse_description(text: str, name: str) -> Described:
    """Read the text of a dataset.yaml, which errors call ``name``.

    Raises:
        SegnetError: as ``read_description``.
    """
    try:
        entries = yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:  # a date that there isn't is a ValueError
        raise _unreadable(name, error) from error
    try:
        return _parse(entries)
    except SegnetError as error:
        raise SegnetError(f"{name}: {error}") from None


def write_description(table: ClassTable, code: MaskCode, file: Path) -> None:
    """Write a dataset.yaml for masks of class ids that were read by this code; colours are kept."""
    entries: dict[str, object] = {"classes": list(table.names)}
    if code.colours:
        entries = {
            "classes": {name: list(colour) for name, colour in zip(table.names, table.colours, strict=True)},
            "values": dict(enumerate(table.names)),
        }
    write_text(file, yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, default_flow_style=None))


def _unreadable(name: str, error: Exception) -> SegnetError:
    return SegnetError(f"{name} can't be read as YAML: {' '.join(str(error).split())}")


def _check(entries: Any) -> None:
    """Check that every entry of a dataset.yaml has the right shape."""
    if not isinstance(entries, dict):
        raise SegnetError("needs entries such as 'classes: [background, object]'")
    for key in entries:
        if key not in _ENTRIES:
            raise SegnetError(f"unknown entry {key!r}{did_you_mean(str(key), _ENTRIES)}")
    stored = entries.get("values", {})
    if not isinstance(stored, dict) or not all(map(_is_value, stored)):
        raise SegnetError(
            f"values must map what masks store, 0 to {HIGHEST_VALUE}, to names: {{0: soil, 255: leaf}}"
        )
    objects = [entries["instances"]] if "instances" in entries else []
    named = entries.get("classes", [*stored, *objects])
    if not isinstance(named, list | dict) or not named:
        raise SegnetError("classes must list names, or map names to colours")
    for name in (*entries.get("classes", ()), *stored.values(), *objects):
        if not isinstance(name, str):
            raise SegnetError(f"the class name {reprlib.repr(name)} is no text to YAML; put it in quotes")


def _parse(entries: Any) -> Described:
    _check(entries)
    stored: dict[int, str] = entries.get("values", {})
    objects: str | None = entries.get("instances")
    named = entries.get("classes", _names_of(stored, objects))
    table = {name: _colour(colour, name) for name, colour in named.items()} if isinstance(named, dict) else {}
    names = tuple(named)
    classes = ClassTable(names, tuple(table.values())) if table else ClassTable.named(names)
    for key, given in (("values", stored.values()), ("instances", [objects] if objects else [])):
        for name in given:
            if name not in names:
                raise SegnetError(f"{key} names an unknown class {name!r}{did_you_mean(name, names)}")
    ids = {name: class_id for class_id, name in enumerate(names)}
    colours = {} if objects else {colour: ids[name] for name, colour in table.items()}
    if len(colours) < len(table) and not objects:
        raise SegnetError("two entries have the same colour")
    ignored, ignored_colours = _ignored(entries, has_colours=bool(colours))
    values = _values(ids, stored, objects, colours, ignored)
    for value in ignored:
        if value in values:
            raise SegnetError(f"the value {value} is both ignored and the class {names[values[value]]!r}")
    if any(colour in colours for colour in ignored_colours):
        raise SegnetError("two entries have the same colour")
    if not ignored and not objects:
        values.setdefault(IGNORE_INDEX, IGNORE_INDEX)
    values |= dict.fromkeys(ignored, IGNORE_INDEX)
    colours |= dict.fromkeys(ignored_colours, IGNORE_INDEX)
    others = None if objects is None else ids[objects]
    return classes, MaskCode(tuple(values.items()), tuple(colours.items()), others, names)


def _names_of(stored: dict[int, str], objects: str | None) -> list[str]:
    """Return the classes of a dataset.yaml that doesn't list them."""
    if objects is None:
        return [*dict.fromkeys(stored.values())]
    return [*dict.fromkeys([*(stored.values() or ["background"]), objects])]


def _values(
    ids: dict[str, int],
    stored: dict[int, str],
    objects: str | None,
    colours: dict[Colour, int],
    ignored: list[int],
) -> dict[int, int]:
    """Return the class id of each value."""
    if stored:
        return {value: ids[name] for value, name in stored.items()}
    if objects is not None:
        around = [class_id for name, class_id in ids.items() if name != objects]
        if not around and 0 not in ignored:
            raise SegnetError(f"classes must also name what 0 means, beside the instances of {objects!r}")
        return {} if 0 in ignored else {0: around[0]}
    if colours and all(red == green == blue for red, green, blue in colours):
        return {value: class_id for (value, _, _), class_id in colours.items()}  # what grey masks then hold
    return {class_id: class_id for class_id in ids.values()}


def _ignored(entries: dict[str, Any], *, has_colours: bool) -> tuple[list[int], list[Colour]]:
    """Return the values and the colours that are ignored, as far as the file says it."""
    if "ignore" not in entries:
        return [], []
    given = entries["ignore"]
    is_colour = has_colours and isinstance(given, list) and len(given) == 3 and all(map(_is_byte, given))
    listed = given if isinstance(given, list) and not is_colour else [given]
    values = [each for each in listed if _is_value(each)]
    if not listed or (len(values) < len(listed) and not has_colours):
        raise SegnetError(
            f"ignore must be a value from 0 to {HIGHEST_VALUE}, or a list of them, where classes have no "
            f"colours, got {reprlib.repr(given)}"
        )
    colours = [_colour(each, "ignore") for each in listed if not _is_value(each)]
    ((most, times),) = Counter([*values, *colours]).most_common(1)
    if times > 1:
        raise SegnetError(f"ignore names {most} twice")
    return values, colours


def _is_value(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= HIGHEST_VALUE


def _is_byte(value: object) -> bool:
    return _is_value(value) and isinstance(value, int) and value <= 255


def _colour(value: object, name: str) -> Colour:
    if isinstance(value, list) and len(value) == 3 and all(map(_is_byte, value)):
        return (value[0], value[1], value[2])
    if isinstance(value, str) and re.fullmatch("#[0-9a-fA-F]{6}", value):
        return unpack(int(value[1:], 16))
    raise SegnetError(
        f"{name} needs a colour, [red, green, blue] or '#rrggbb' in quotes, got {reprlib.repr(value)}"
    )
