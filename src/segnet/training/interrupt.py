"""Ctrl-C that waits for a piece of work to be whole."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# a closed terminal sends SIGHUP, which Windows doesn't know
_STOPS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

INTERRUPTED = 130
"""The exit code of a program that was stopped like this."""

_noted: threading.Event | None = None


def stop_like_ctrl_c() -> None:
    """Let SIGTERM, as schedulers and containers send it, and SIGHUP end a program as cleanly as Ctrl-C does.

    What whoever started the program has told it to ignore, as ``nohup`` does with SIGHUP, stays ignored.
    While a library is imported any of the three ends the program at once: there an exception may be
    swallowed, or leave a module half made for who imports it next.
    """
    for number in _STOPS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    outer = frame
    while outer is not None:
        if outer.f_code.co_filename == "<frozen importlib._bootstrap>":
            os._exit(INTERRUPTED)
        outer = outer.f_back
    signal.default_int_handler(number, frame)


@contextmanager
def interrupts_wait() -> Iterator[Callable[[], bool]]:
    """Hold back what would raise KeyboardInterrupt until the block is done, then raise it.

    A block that has places where it may be stopped asks the function it gets whether it should be, and raises
    KeyboardInterrupt there itself. Only Python's main thread gets signals; in others this does nothing.
    """
    if _noted is not None:
        yield _noted.is_set
        return
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    noted = threading.Event()
    with _stops_call(lambda *_: noted.set()):
        yield noted.is_set
    if noted.is_set():
        raise KeyboardInterrupt


@contextmanager
def only_noted() -> Iterator[None]:
    """Inside, what would raise KeyboardInterrupt is only noted, for who asks in ``interrupts_wait``.

    For one of many processes, which must stop where the others do.
    """
    global _noted
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    noted = _noted = threading.Event()
    try:
        with _stops_call(lambda *_: noted.set()):
            yield
    finally:
        _noted = None


@contextmanager
def _stops_call(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Inside, a handler is called where KeyboardInterrupt would be raised."""
    before = {number: signal.getsignal(number) for number in _STOPS}
    ours = [number for number in _STOPS if before[number] in (signal.default_int_handler, _stop)]
    for number in ours:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])
