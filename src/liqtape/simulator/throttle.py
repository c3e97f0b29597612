"""The snapshot throttle of Binance and OKX: of each symbol at most one liquidation of a second is printed."""

from bisect import bisect_left, insort

from msgspec import Struct

from liqtape.simulator.wire import Arrival

__all__ = ["WINDOW_MS", "Printed", "Throttle"]

WINDOW_MS = 1_000
# The longest lateness of a fault and some more: what was printed before cannot be near to what comes now.
_MEMORY_MS = 600_000


class Printed(Struct, frozen=True):
    """A liquidation the venue prints, and when."""

    arrival: Arrival
    push_ms: int


class _Symbol:
    """One symbol: the newest liquidation of the running second and when it printed before."""

    __slots__ = ("newest", "printed_ms")

    def __init__(self) -> None:
        self.newest: Arrival | None = None
        self.printed_ms: list[int] = []

    def too_close(self, event_ms: int) -> bool:
        place = bisect_left(self.printed_ms, event_ms)
        return any(abs(event_ms - at_ms) < WINDOW_MS for at_ms in self.printed_ms[max(place - 1, 0) : place + 1])

    def print(self, arrival: Arrival, push_ms: int) -> Printed:
        insort(self.printed_ms, arrival.event_ms)
        while self.printed_ms[0] < arrival.arrived_ms - _MEMORY_MS:
            del self.printed_ms[0]
        return Printed(arrival, push_ms)


class Throttle:
    """Windows are seconds of the clock, by event time: the newest of one is printed a second after it happened.

    Two prints of a symbol are never closer than 1,000 ms: of 5,313 recorded prints none is. What happens within a
    second of the last print is lost, as it is at the venue.
    """

    def __init__(self) -> None:
        self._symbols: dict[str, _Symbol] = {}
        self._chosen: list[Printed] = []

    def add(self, arrival: Arrival) -> None:
        symbol = self._symbols.setdefault(arrival.liquidation.listing.symbol, _Symbol())
        newest = symbol.newest
        if newest is not None and _second(arrival) > _second(newest):
            self._choose(symbol)
            newest = None
        if symbol.too_close(arrival.event_ms):
            return
        late = arrival.arrived_ms // WINDOW_MS > _second(arrival)
        if late or (newest is not None and _second(arrival) < _second(newest)):
            # Its second is over. It is printed at once where it is far enough from what waits to be printed.
            if newest is None or abs(newest.event_ms - arrival.event_ms) >= WINDOW_MS:
                self._chosen.append(symbol.print(arrival, arrival.arrived_ms))
        elif newest is None or arrival.event_ms >= newest.event_ms:
            symbol.newest = arrival

    def due(self, now_ms: int) -> list[Printed]:
        """What is printed up to now, in that order."""
        for symbol in self._symbols.values():
            if symbol.newest is not None and symbol.newest.event_ms + WINDOW_MS <= now_ms:
                self._choose(symbol)
        due = sorted((item for item in self._chosen if item.push_ms <= now_ms), key=lambda item: item.push_ms)
        self._chosen = [item for item in self._chosen if item.push_ms > now_ms]
        return due

    def flush(self) -> list[Printed]:
        """What waits, before its time."""
        for symbol in self._symbols.values():
            self._choose(symbol)
        waiting, self._chosen = sorted(self._chosen, key=lambda item: item.push_ms), []
        return waiting

    def _choose(self, symbol: _Symbol) -> None:
        if symbol.newest is not None:
            self._chosen.append(symbol.print(symbol.newest, symbol.newest.event_ms + WINDOW_MS))
            symbol.newest = None


def _second(arrival: Arrival) -> int:
    return arrival.event_ms // WINDOW_MS
