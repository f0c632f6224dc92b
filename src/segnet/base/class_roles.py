"""Which class lies around the others, and which of two is looked for; by their names alone."""

from __future__ import annotations

from collections.abc import Iterable

BACKGROUND = "background"
"""A class of this name is what lies around the others."""


def foreground_of(names: Iterable[str]) -> str | None:
    """Return which of two classes is looked for: the one that isn't called background, else the second.

    None where there are more or fewer.
    """
    known = [*names]
    if len(known) != 2:
        return None
    return known[0] if is_background(known[1]) else known[1]


def background_of(names: Iterable[str]) -> str | None:
    """Return the class that overlays leave bare and that has no regions: what lies around the others.

    That is the one called background, or of two classes the one that isn't looked for; None where no name
    tells.
    """
    known = [*names]
    for name in known:
        if is_background(name):
            return name
    return known[0] if len(known) == 2 else None


def is_background(name: str) -> bool:
    """Tell Background, _background_ and bg too: formats and people spell it in their own way."""
    return name.casefold().strip("_ ") in (BACKGROUND, "bg")
