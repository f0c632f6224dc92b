"""The one exception for mistakes a user can correct; the command line prints it as one line, exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any


class SegnetError(Exception):
    """What is wrong, where, and what to do, in one line written for the person who can fix it."""


class ProcessLostError(SegnetError):
    """Another process of the run has died, or hangs."""


class EndedElsewhereError(SegnetError):
    """Another process ends the run, and says why."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"``, or the list of what exists where nothing comes near."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there is {', '.join(known)}"


def first_line(error: BaseException) -> str:
    """Return the first line of what a library's error says, or its type where it says nothing."""
    return next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)


def refuse(*cases: tuple[object, str]) -> None:
    """Raise SegnetError with what stands beside the first condition that holds, if one does."""
    for wrong, says in cases:
        if wrong:
            raise SegnetError(says)


def require_all(*checks: Callable[[], Any]) -> list[Any]:
    """Run every check and return what each returns, or raise what all of them found as one error.

    Raises:
        SegnetError: one check or more raised it.
    """
    results, found = [], []
    for check in checks:
        try:
            results.append(check())
        except SegnetError as error:
            found.append(str(error))
    if len(found) == 1:
        raise SegnetError(found[0])
    if found:
        listed = "; ".join(f"({number}) {line}" for number, line in enumerate(found, 1))
        raise SegnetError(f"{len(found)} things are wrong: {listed}")
    return results
