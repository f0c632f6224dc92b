"""What a library opened, and what happens to it where the process is forked (``os.fork``, gunicorn).

No thread but the one that forks is there in the child, and libraries go on counting on theirs: what they
opened before may neither be used nor closed in the child, where it would wait for ever.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from threading import Lock
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from segnet.base.errors import SegnetError

T = TypeVar("T")

_loaded_before: frozenset[str] = frozenset()


def forked_after(package: str) -> bool:
    """Say whether this process was forked from one that had loaded a package, as far as segnet was there."""
    return package in _loaded_before


def require_cpu(device: str) -> None:
    """Check the device that a model computes on in a forked process.

    Raises:
        SegnetError: another one than a CPU: what its driver keeps doesn't survive a fork.
    """
    if device.partition(":")[0] != "cpu":
        raise SegnetError(
            f"a forked process can't use the device {device!r} that its parent uses; start processes with "
            "multiprocessing's spawn, or load the model in each"
        )


class PerProcess(Generic[T]):
    """What a library opened, and in a forked process the same opened anew when it is first needed.

    Args:
        opened: what is open in this process.
        open_again: opens it in a forked one.
    """

    def __init__(self, opened: T, open_again: Callable[[], T]) -> None:
        self._opened: T | None = opened
        self._open_again = open_again
        self._lock = Lock()
        _ALL.add(self)

    def get(self) -> T:
        """Return what is open in this process; threads that ask at the same time get the same.

        Raises:
            SegnetError: it can't be opened again.
        """
        opened = self._opened
        if opened is None:
            with self._lock:
                opened = self._opened = self._open_again() if self._opened is None else self._opened
        return opened

    def abandon(self) -> None:
        """Forget in a forked process what its parent opened, without ever closing it."""
        if self._opened is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._opened))
        self._opened, self._lock = None, Lock()


_ALL: WeakSet[PerProcess[Any]] = WeakSet()


def _in_child() -> None:
    global _loaded_before
    _loaded_before |= frozenset(sys.modules)
    for each in list(_ALL):
        each.abandon()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_in_child)
