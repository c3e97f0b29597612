"""Frames that come in one go: the first is passed on at once, the rest together."""

import asyncio
from collections.abc import Callable

from liqtape.events import Event, RawLiquidation

__all__ = ["Burst"]

_MOST = 1_000


class Burst:
    """Between the frames of a connection and whoever takes their events.

    One frame at a time, half of the cost of an event is what is done once a call (levels, marks of publishers). In a
    flood one read of the socket brings a hundred frames: the first goes through at once, so that a single event is as
    quick as can be; those that follow in the same turn of the loop wait for its end, at most `_MOST` events of them.
    Replayed events stay among themselves: they are no news. `failed` gets what `deliver` raised at the end of a turn;
    what it raises before that is the caller's.
    """

    __slots__ = ("_deliver", "_failed", "_held", "_is_first", "is_open")

    def __init__(self, deliver: Callable[[list[Event]], None], failed: Callable[[Exception], None]) -> None:
        self.is_open = False
        self._deliver = deliver
        self._failed = failed
        self._held: list[Event] = []
        self._is_first = True

    def open(self) -> None:
        """A turn of the running loop begins."""
        self.is_open = self._is_first = True
        asyncio.get_running_loop().call_soon(self._end_turn)

    def add(self, events: list[Event]) -> None:
        """Take the events of one frame of the turn."""
        if self._is_first:
            self._is_first = False
            self._deliver(events)
            return
        first = events[0]
        if type(first) is RawLiquidation and first.replayed:
            self.flush()
            self._deliver(events)
            return
        self._held += events
        if len(self._held) >= _MOST:
            self.flush()

    def flush(self) -> None:
        """Pass on what is held, now."""
        if self._held:
            held, self._held = self._held, []
            self._deliver(held)

    def _end_turn(self) -> None:
        self.is_open = False
        try:
            self.flush()
        except Exception as error:  # noqa: BLE001 - the callback guard: the connection ends as if it had been its own
            self._failed(error)
