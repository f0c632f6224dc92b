"""What of a bulk prediction is done, kept beside its results, so that a second start does the rest.

``manifest/settings.json`` says what was asked for. For each piece, so many files in their order, one
``manifest/part-NUMBER.jsonl`` is written after its results are: what it lists is there.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from segnet.base.errors import SegnetError
from segnet.inference.bulk.places import MANIFEST, Address

_SETTINGS = f"{MANIFEST}/settings.json"
_PART = re.compile(r"part-(\d{8})\.jsonl")

Line = dict[str, Any]
"""What is said of an image, or its ``error``."""


def begin(place: Address, settings: Mapping[str, Any]) -> set[int]:
    """Return the numbers of the pieces that are done; of none, write down what is asked for.

    Args:
        place: where the results are, or will be.
        settings: what decides them, as JSON takes it; ``images`` counts them, ``list`` and ``model`` are
            digests.

    Raises:
        SegnetError: there is something else, or the results of other settings, or it can't be written to.
    """
    before = place.read(_SETTINGS)
    has_results = any(name != MANIFEST for name in place.names())
    if before is None and has_results:
        raise SegnetError(f"{place.shown} holds files, and not of a bulk prediction; give --out a new folder")
    place.require_writable()
    text = json.dumps(settings, indent=2) + "\n"
    numbers = (_PART.fullmatch(name) for name in place.names(MANIFEST))
    done = {int(number[1]) for number in numbers if number}
    if before is not None and (done or has_results):
        _require_same(place, before, settings)
    elif before != text.encode():  # of an earlier start that came to nothing
        place.remove(_SETTINGS)
        publish_text(place, _SETTINGS, text)
    return done


def part_name(number: int) -> str:
    """Return where a piece's lines are."""
    return f"{MANIFEST}/part-{number:08}.jsonl"


def read_part(place: Address, number: int) -> list[Line] | None:
    """Return a piece's lines, or None where it isn't done."""
    content = place.read(part_name(number))
    return None if content is None else [json.loads(line) for line in content.splitlines()]


def write_part(place: Address, number: int, lines: list[Line]) -> None:
    """Say that a piece is done."""
    publish_text(place, part_name(number), "".join(f"{json.dumps(line)}\n" for line in lines))


def publish_text(place: Address, name: str, text: str) -> None:
    """Write a text to a place, whole or not at all."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "text"
        file.write_text(text, encoding="utf-8")
        place.publish(file, name)


def _require_same(place: Address, before: bytes, settings: Mapping[str, Any]) -> None:
    try:
        theirs = dict(json.loads(before))
    except ValueError as error:
        raise SegnetError(f"{place.show(_SETTINGS)} is damaged; give --out a new folder") from error
    for key in (*settings, *theirs):
        if theirs.get(key) != settings.get(key):
            said = "; ".join(_difference(key, theirs, settings))
            raise SegnetError(f"{place.shown} was begun with {said}; go on so, or give another --out")


def _difference(key: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    if key in ("images", "list"):
        count = theirs.get("images"), ours.get("images")
        yield "other images" + (f", {count[0]} and not {count[1]}" if count[0] != count[1] else "")
    elif key == "model":
        yield "another model"
    else:
        yield f"{key} {_said(theirs.get(key))} and not {_said(ours.get(key))}"


def _said(value: Any) -> str:
    if isinstance(value, bool):  # 0 and 1 are numbers, though equal to these
        return "on" if value else "off"
    return "left out" if value is None else str(value)
