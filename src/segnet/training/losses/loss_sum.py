"""What ``--loss`` may say: one loss, or a sum of several with weights. Imports nothing heavy."""

from __future__ import annotations

from typing import NamedTuple

from segnet.base.errors import SegnetError, did_you_mean

NAMES = ("cross-entropy", "label-smoothing", "boundary", "focal", "iou", "dice", "tversky")
"""The losses that there are; ``training/losses/losses.py`` has their formulas."""

WITHOUT_WEIGHTS = ("iou",)
"""Those that take no class weights."""


class Term(NamedTuple):
    """A summand: ``weight * name``."""

    weight: float
    name: str

    def __str__(self) -> str:
        return self.name if self.weight == 1 else f"{self.weight:g}*{self.name}"


def parse_loss(text: str) -> tuple[Term, ...]:
    """Return the terms of a loss such as ``cross-entropy+0.5*dice``, in which spaces don't count.

    Raises:
        SegnetError: a term that is empty, unknown or there twice, or a weight that is no positive number.
    """
    terms = tuple(_parse_term(part, text) for part in text.split("+"))
    names = [term.name for term in terms]
    twice = [name for name in NAMES if names.count(name) > 1]
    if twice:
        raise SegnetError(f"--loss {text} has {twice[0]} twice; give it once, with the sum of the weights")
    return terms


def _parse_term(part: str, text: str) -> Term:
    weight, star, name = part.rpartition("*")
    name = name.strip()
    if name not in NAMES:
        lacks = "lacks a term; a sum is written as in cross-entropy+0.5*dice"
        what = f"has no loss {name!r}{did_you_mean(name, NAMES)}" if name else lacks
        raise SegnetError(f"--loss {text} {what}")
    try:
        number = float(weight) if star else 1.0
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise SegnetError(
            f"--loss {text}: {weight.strip()!r} is no weight; give a number above 0, as in 0.5*dice"
        )
    return Term(number, name)
