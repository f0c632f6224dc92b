"""Work done ahead in threads: results come in order, and no more is held than a bound allows."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


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
    pool = ThreadPoolExecutor(max(2, os.cpu_count() or 1), thread_name_prefix="ahead")
    waiting: deque[tuple[int, Future[Result]]] = deque()
    held = 0
    try:
        for item in items:
            weight = weigh(item)
            while waiting and (len(waiting) >= most or held + weight > budget):
                freed, first = waiting.popleft()
                yield first.result()
                held -= freed
            waiting.append((weight, pool.submit(function, item)))
            held += weight
        while waiting:
            yield waiting.popleft()[1].result()
    finally:
        pool.shutdown(cancel_futures=True)
