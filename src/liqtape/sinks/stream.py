"""A program's own view of the stream: an async iterator behind a bounded queue."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

from liqtape.sinks.callback import QUEUE_LIMIT

__all__ = ["Subscription"]

T = TypeVar("T")


class Subscription(AsyncIterator[T], Generic[T]):
    """Items from now on; what does not fit into the queue is dropped and counted."""

    def __init__(self, taps: list[Callable[[T], None]], limit: int = QUEUE_LIMIT) -> None:
        self.dropped_total = 0
        self._taps = taps
        self._limit = limit
        self._queue: deque[T] = deque()
        self._wake = asyncio.Event()
        self._ended = False
        taps.append(self._offer)

    def _offer(self, item: T) -> None:
        if len(self._queue) >= self._limit:
            self.dropped_total += 1
            return
        self._queue.append(item)
        self._wake.set()

    def end(self) -> None:
        """No more items; the iteration stops after those queued."""
        if not self._ended:
            self._ended = True
            self._taps.remove(self._offer)
            self._wake.set()

    async def __anext__(self) -> T:
        while not self._queue:
            if self._ended:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._queue.popleft()

    async def aclose(self) -> None:
        """Leave the stream."""
        self.end()
