"""Ctrl-C that waits for a short piece of work to be whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_STOPS = (signal.SIGINT, signal.SIGTERM)


def stop_like_ctrl_c() -> None:
    """Let SIGTERM, which schedulers and containers send, end a program as cleanly as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Hold back what would raise KeyboardInterrupt until the block is done, then raise it.

    Only Python's main thread gets signals; in others this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True

    ours = [number for number in _STOPS if signal.getsignal(number) is signal.default_int_handler]
    for number in ours:
        signal.signal(number, remember)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.default_int_handler)
    if came:
        raise KeyboardInterrupt
