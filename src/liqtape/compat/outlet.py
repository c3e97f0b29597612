"""A function of the user's behind a queue, which may come, change and go at any time."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from liqtape.sinks.callback import QUEUE_LIMIT, Tap
from liqtape.tracker import Tracker

__all__ = ["Outlet"]


class Outlet:
    """`function` gets what is offered, behind a tap that is made with the first item and ends with the tracker.

    A function that is replaced still gets what was offered before. Counts outlive the tracker, which runs once.
    """

    def __init__(self, name: str, limit: int = QUEUE_LIMIT) -> None:
        self.name = name
        self._limit = limit
        self._function: Callable[[Any], Any] | None = None
        self._tap: Tap[Any] | None = None
        self._taps: list[Tap[Any]] = []  # the current one last, the others drain
        self._past: Counter[str] = Counter()
        self._past_errors: Counter[str] = Counter()

    @property
    def function(self) -> Callable[[Any], Any] | None:
        """What is called; None for nothing."""
        return self._function

    @function.setter
    def function(self, function: Callable[[Any], Any] | None) -> None:
        self._function, self._tap = function, None

    def offer(self, item: Any, tracker: Tracker | None) -> None:
        """Queue one item; without a tracker the tap lives by itself."""
        if self._tap is None:
            if self._function is None:
                return
            self._tap = Tap(self._function, self.name, self._limit)
            self._taps.append(self._tap)
            if tracker is not None:
                tracker.add_callback(self._tap)
        if tracker is None:
            with suppress(RuntimeError):  # no running loop yet: what is queued waits for one
                self._tap.start()
        self._tap.offer(item)

    def join(self, tracker: Tracker) -> None:
        """Let what lived by itself end with this tracker."""
        for tap in self._taps:
            tracker.add_callback(tap)

    async def stop(self) -> None:
        """End what lives by itself, within about two seconds."""
        await asyncio.gather(*(tap.stop() for tap in self._taps))

    def retire(self) -> None:
        """After the end: keep the counts; the next item begins anew."""
        for tap in self._taps:
            self._past += _counts(tap)
            self._past["dropped"] += len(tap)
            self._past["waiting"] -= len(tap)
            self._past_errors += tap.errors
        self._taps, self._tap = [], None

    def stats(self) -> dict[str, Any]:
        """What became of the items, and the errors by cause."""
        counts = sum((_counts(tap) for tap in self._taps), self._past)
        errors = sum((tap.errors for tap in self._taps), self._past_errors)
        return {name: counts[name] for name in ("called", "waiting", "dropped", "blocked_loop")} | {
            "errors": dict(errors)
        }


def _counts(tap: Tap[Any]) -> Counter[str]:
    return Counter(called=tap.called_total, waiting=len(tap), dropped=tap.dropped_total, blocked_loop=tap.blocked_total)
