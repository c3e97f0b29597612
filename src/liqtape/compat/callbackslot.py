"""A function of the user's behind a queue, which may come, change and go at any time."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from liqtape.sinks.callback import QUEUE_LIMIT, CallbackQueue
from liqtape.tracker import Tracker

__all__ = ["CallbackSlot"]


class CallbackSlot:
    """`function` gets what is offered, behind a queue that is made with the first item and ends with the tracker.

    A function that is replaced still gets what was offered before. Counts outlive the tracker, which runs once.
    """

    def __init__(self, name: str, limit: int = QUEUE_LIMIT) -> None:
        self.name = name
        self._limit = limit
        self._function: Callable[[Any], Any] | None = None
        self._queue: CallbackQueue[Any] | None = None
        self._queues: list[CallbackQueue[Any]] = []  # the current one last, the others drain
        self._past: Counter[str] = Counter()
        self._past_errors: Counter[str] = Counter()

    @property
    def function(self) -> Callable[[Any], Any] | None:
        """What is called; None for nothing."""
        return self._function

    @function.setter
    def function(self, function: Callable[[Any], Any] | None) -> None:
        self._function, self._queue = function, None

    def offer(self, item: Any, tracker: Tracker | None) -> None:
        """Queue one item; without a tracker the queue lives by itself."""
        if self._queue is None:
            if self._function is None:
                return
            self._queue = CallbackQueue(self._function, self.name, self._limit)
            self._queues.append(self._queue)
            if tracker is not None:
                tracker.add_callback(self._queue)
        if tracker is None:
            with suppress(RuntimeError):  # no running loop yet: what is queued waits for one
                self._queue.start()
        self._queue.offer(item)

    def join(self, tracker: Tracker) -> None:
        """Let what lived by itself end with this tracker."""
        for queue in self._queues:
            tracker.add_callback(queue)

    async def stop(self) -> None:
        """End what lives by itself, within about two seconds."""
        await asyncio.gather(*(queue.stop() for queue in self._queues))

    def retire(self) -> None:
        """After the end: keep the counts; the next item begins anew."""
        for queue in self._queues:
            self._past += _counts(queue)
            self._past["dropped"] += len(queue)
            self._past["waiting"] -= len(queue)
            self._past_errors += queue.errors
        self._queues, self._queue = [], None

    def stats(self) -> dict[str, Any]:
        """What became of the items, and the errors by cause."""
        counts = sum((_counts(queue) for queue in self._queues), self._past)
        errors = sum((queue.errors for queue in self._queues), self._past_errors)
        return {name: counts[name] for name in ("called", "waiting", "dropped", "blocked_loop")} | {
            "errors": dict(errors)
        }


def _counts(queue: CallbackQueue[Any]) -> Counter[str]:
    return Counter(
        called=queue.called_total, waiting=len(queue), dropped=queue.dropped_total, blocked_loop=queue.blocked_total
    )
