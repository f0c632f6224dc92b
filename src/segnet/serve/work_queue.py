"""Images that are computed in threads, and a bounded number that wait for one."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from segnet.serve.refusals import RefusedError

T = TypeVar("T")

_NEWEST = 0.1  # how much the last image counts in the mean time of one


class WorkQueue:
    """Runs functions in ``workers`` threads; at most ``queue`` wait, and more are refused.

    What was accepted is run, also while the server shuts down.
    """

    def __init__(self, workers: int, queue: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="segment")
        self._workers = workers
        self._most = workers + queue
        self._lock = threading.Lock()
        self._held = 0
        self._mean_s = 0.0

    @property
    def held(self) -> int:
        """How many are computed or wait."""
        return self._held

    def require_room(self) -> None:
        """Check that one more can be taken.

        Raises:
            RefusedError: 429, with the seconds after which there should be room.
        """
        if self._held >= self._most:
            seconds = max(1, math.ceil(self._held * self._mean_s / self._workers))
            raise RefusedError(429, f"the queue is full; send the image again in {seconds} s", seconds)

    async def run(self, function: Callable[[], T]) -> T:
        """Return what a function returns; one that is no longer waited for is not begun.

        Raises:
            RefusedError: 429, the queue is full.
        """
        with self._lock:
            self.require_room()
            self._held += 1
        future = self._pool.submit(self._timed, function)
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def _timed(self, function: Callable[[], T]) -> T:
        begin = time.perf_counter()
        try:
            return function()
        finally:
            took = time.perf_counter() - begin
            with self._lock:
                self._mean_s += (took - self._mean_s) * (_NEWEST if self._mean_s else 1)

    def _leave(self, future: Future[T]) -> None:
        with self._lock:
            self._held -= 1

    def close(self) -> None:
        """Wait for what is being computed."""
        self._pool.shutdown(cancel_futures=True)
