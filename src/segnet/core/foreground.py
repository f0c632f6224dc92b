"""Which class lies around the others, and which of two is looked for; by their names alone."""

from __future__ import annotations

from collections.abc import Iterable

BACKGROUND = "background"
"""A class of this name is what lies around the others: overlays leave it bare, and it has no regions."""


def foreground_of(names: Iterable[str]) -> str | None:
    """Return which of two classes is looked for: the one that isn't called background, else the second.

    None where there are more or fewer.
    """
    known = [*names]
    if len(known) != 2:
        return None
    return known[0] if known[1] == BACKGROUND else known[1]
