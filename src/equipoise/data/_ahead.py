"""Work that threads do ahead of the one who takes its results, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


def done_ahead(
    items: Iterable[_Item], work: Callable[[_Item], _Made], *, threads: int, begun: int, name: str = ""
) -> Iterator[_Made]:
    """Yield ``work(item)`` of each item in order, with at most `begun` of them begun and not yet taken.

    Closing the generator early ends the threads; what the work raises is raised here, at its item.
    """
    waiting: deque[Future[_Made]] = deque()
    with ThreadPoolExecutor(threads, name) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= begun:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
