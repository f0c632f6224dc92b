"""Work done in threads, whose results come in order; done ahead, no more is held than a bound allows."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import chain
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST_THREADS = 32
_TOGETHER = 64  # handing one item to a thread takes longer than what is done with many of them


def count_cores() -> int:
    """Return how many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def in_threads(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    is_quick: Callable[[Item], bool] = lambda item: False,
) -> list[Result]:
    """Return ``function(item)`` for each item; what is quick is done last, in the caller's thread."""
    slow = [place for place, item in enumerate(items) if not is_quick(item)]
    together = max(1, min(_TOGETHER, len(slow) // (4 * count_cores())))
    parts = [slow[first : first + together] for first in range(0, len(slow), together)]
    if not parts:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(_MOST_THREADS, count_cores() + 4)) as pool:  # some wait for the disk
        context = copy_context()  # what is set for the caller holds in its threads
        found = pool.map(
            lambda part: context.copy().run(lambda: [function(items[place]) for place in part]), parts
        )
        done = dict(zip(slow, chain.from_iterable(found), strict=True))
    return [done[place] if place in done else function(item) for place, item in enumerate(items)]


def in_order(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    most: int,
    weigh: Callable[[Item], int],
    budget: int,
) -> Generator[Result, None, None]:
    """Yield ``function(item)`` for each item, in the items' order, while threads work on the next ones.

    As many are under way, or done and not yet taken, as together weigh no more than the budget, and at most
    ``most``; one alone may weigh anything. ``items`` are asked for in the caller's thread. When the caller
    stops early, what has begun is finished and the rest is dropped.

    Args:
        function: what to do; what it raises is raised where its result would come.
        items: what to do it with.
        most: how many at a time.
        weigh: what one takes of the budget, such as its pixels.
        budget: how much at a time.
    """
    pool = ThreadPoolExecutor(max(2, count_cores()), thread_name_prefix="ahead")
    waiting: deque[tuple[int, Future[Result]]] = deque()
    held = 0
    try:
        for item in items:
            weight = weigh(item)
            while waiting and (len(waiting) >= most or held + weight > budget):
                freed, first = waiting.popleft()
                yield first.result()
                held -= freed
            # what is set for the caller, such as a limit of pixels, holds in its threads
            waiting.append((weight, pool.submit(copy_context().run, function, item)))
            held += weight
        while waiting:
            yield waiting.popleft()[1].result()
    finally:
        pool.shutdown(cancel_futures=True)
