"""The liquidations of the last minute by instrument: what a cascade begins with."""

from collections import deque
from collections.abc import Iterable, Iterator

from liqtape.cascades.runningcascade import Placed
from liqtape.cascades.slidingminute import MINUTE_MS
from liqtape.engine.levels.returnperiods import StreamKey

__all__ = ["MOST_EVENTS", "RecentEvents"]

MOST_EVENTS = 200_000
"""How many liquidations are kept; of a minute with more the oldest are forgotten, and counted."""


class RecentEvents:
    """Keeps what came, by instrument, until a minute is over; `forgotten_total` did not fit."""

    def __init__(self, limit: int = MOST_EVENTS) -> None:
        self.forgotten_total = 0
        self._limit = limit
        self._size = 0
        self._by_instrument: dict[str, deque[Placed]] = {}

    def __len__(self) -> int:
        return self._size

    def add(self, placed: Placed) -> None:
        """Keep a liquidation."""
        name = placed[1].instrument
        kept = self._by_instrument.get(name)
        if kept is None:
            kept = self._by_instrument[name] = deque()
        kept.append(placed)
        self._size += 1

    def of(self, key: StreamKey, at_ms: int) -> list[Placed]:
        """Return those of a stream in the minute before a moment, and what came with a younger stamp, as they came."""
        return [placed for placed in self._candidates(key) if placed[0] > at_ms - MINUTE_MS]

    def _candidates(self, key: StreamKey) -> Iterator[Placed]:
        chosen: Iterable[deque[Placed]]
        if key.instrument is None:
            chosen = self._by_instrument.values()
        else:
            chosen = (self._by_instrument.get(key.instrument, deque()),)
        for kept in chosen:
            for placed in kept:
                if key.venue is None or placed[1].venue == key.venue:
                    yield placed

    def forget(self, now_ms: int) -> None:
        """Forget what is older than a minute; of one instrument, what came behind something younger stays with it."""
        for name in list(self._by_instrument):
            kept = self._by_instrument[name]
            while kept and kept[0][0] <= now_ms - MINUTE_MS:
                kept.popleft()
                self._size -= 1
            if not kept:
                del self._by_instrument[name]
        while self._size > self._limit:
            longest = max(self._by_instrument.values(), key=len)
            longest.popleft()
            self._size -= 1
            self.forgotten_total += 1
