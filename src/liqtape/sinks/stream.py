"""A program's own view of the stream: an async iterator behind a bounded queue."""

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

from liqtape.sinks.callback import QUEUE_LIMIT

__all__ = ["Subscription"]

T = TypeVar("T")


class _Inbox(Generic[T]):
    """What the stream knows of a subscription, so that one that nobody reads any more can go."""

    def __init__(self, limit: int) -> None:
        self.queue: deque[T] = deque()
        self.dropped_total = 0
        self.wake = asyncio.Event()
        self._limit = limit

    def offer(self, item: T) -> None:
        if len(self.queue) >= self._limit:
            self.dropped_total += 1
            return
        self.queue.append(item)
        self.wake.set()


class Subscription(AsyncIterator[T], Generic[T]):
    """Items from now on; what does not fit into the queue is dropped and counted.

    `join` lets a function get the items, and returns what ends that. `async for` tells nobody that it was left with
    `break`: a subscription that is forgotten leaves the stream by itself.
    """

    def __init__(self, join: Callable[[Callable[[T], None]], Callable[[], object]], limit: int = QUEUE_LIMIT) -> None:
        self._inbox: _Inbox[T] = _Inbox(limit)
        self._leave = weakref.finalize(self, join(self._inbox.offer))
        self._leave.atexit = False

    def __repr__(self) -> str:
        return f"<Subscription: {len(self._inbox.queue)} waiting, {self._inbox.dropped_total} dropped>"

    @property
    def dropped_total(self) -> int:
        """Items that did not fit."""
        return self._inbox.dropped_total

    def take(self) -> list[T]:
        """Return what waits, at once: for who looks now and then instead of iterating."""
        items = list(self._inbox.queue)
        self._inbox.queue.clear()
        return items

    def end(self) -> None:
        """Take no more items; the iteration stops after those queued."""
        self._leave()
        self._inbox.wake.set()

    async def __anext__(self) -> T:
        inbox = self._inbox
        while not inbox.queue:
            if not self._leave.alive:
                raise StopAsyncIteration
            inbox.wake.clear()
            await inbox.wake.wait()
        return inbox.queue.popleft()

    async def aclose(self) -> None:
        """Leave the stream."""
        self.end()
