"""Work that threads do before its turn, while what comes before it is still being taken."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Made = TypeVar("Made")


def made_ahead(calls: Iterable[Callable[[], Made]], at_work: int) -> Iterator[Made]:
    """What `calls` return, in their order; `at_work` threads make the next ones, and no more than these wait."""
    with ThreadPoolExecutor(at_work) as pool:
        waiting: deque[Future[Made]] = deque()
        for call in calls:
            waiting.append(pool.submit(call))
            if len(waiting) > at_work:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
