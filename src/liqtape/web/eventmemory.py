"""The last liquidations as columns of numbers, by instrument: what charts, price levels and sparklines are made of."""

from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from math import fsum, isnan, nan
from operator import attrgetter
from typing import Any

from msgspec import Struct

from liqtape.cascades.cascade import Share
from liqtape.engine.velocity import MARKET
from liqtape.events import Liquidation, PriceKind, Side

__all__ = ["MOST_EVENTS", "EventColumns", "EventMemory"]

MOST_EVENTS = 400_000
"""How many liquidations are kept: about 90 bytes each, all instruments together."""

SIDES: tuple[Side | None, ...] = (None, "long", "short")
KINDS: tuple[PriceKind, ...] = ("fill", "bankruptcy")
_SIDE_CODES = {side: code for code, side in enumerate(SIDES)}
_KIND_CODES = {kind: code for code, kind in enumerate(KINDS)}
_event_ms = attrgetter("event_ms")
_MOST_NAMES = 10_000  # with rows: more are names of strangers, and the older half of all rows goes
_TRIM = 4_096
_WAITING = 64
_PRICE_AGE_MS = 300_000


class EventColumns(Struct, frozen=True):
    """Liquidations by time: USD is NaN where unsized; sides, kinds, venues are places in `SIDES`, `KINDS`, `names`."""

    times_ms: "array[int]"
    usd: "array[float]"
    prices: "array[float]"
    sides: "array[int]"
    kinds: "array[int]"
    venues: "array[int]"
    names: list[str]

    def __len__(self) -> int:
        return len(self.times_ms)

    @classmethod
    def empty(cls, names: list[str]) -> "EventColumns":
        """Return columns without a row; `names` grows with the venues."""
        return cls(array("q"), array("d"), array("d"), array("b"), array("b"), array("H"), names)

    def extend(self, rows: "EventColumns") -> None:
        """Put rows, which are in order of time, where their time belongs: mostly at the end."""
        late = bisect_left(rows.times_ms, self.times_ms[-1]) if self.times_ms else 0
        if late:
            self._insert(rows, [bisect_right(self.times_ms, at_ms) for at_ms in rows.times_ms[:late]])
        for column, added in zip(self._columns(), rows._columns(), strict=True):
            column.extend(added[late:] if late else added)

    def _insert(self, rows: "EventColumns", places: Sequence[int]) -> None:
        """Put in as many rows before these places, all at once: each by itself moves all that is newer."""
        for column, added in zip(self._columns(), rows._columns(), strict=True):
            newer, done = column[:0], places[0]
            for place, value in zip(places, added, strict=False):
                newer += column[done:place]
                newer.append(value)
                done = place
            column[places[0] :] = newer + column[done:]

    def _columns(self) -> "tuple[array[Any], ...]":
        return self.times_ms, self.usd, self.prices, self.sides, self.kinds, self.venues

    def between(self, from_ms: int, until_ms: int) -> "EventColumns":
        """Return a copy of the rows in (from, until]."""
        return self._part(bisect_right(self.times_ms, from_ms), bisect_right(self.times_ms, until_ms))

    def _part(self, first: int, last: int) -> "EventColumns":
        return EventColumns(
            self.times_ms[first:last],
            self.usd[first:last],
            self.prices[first:last],
            self.sides[first:last],
            self.kinds[first:last],
            self.venues[first:last],
            self.names,
        )

    def as_in(self, names: list[str]) -> "EventColumns":
        """Return the rows with venues as places in other `names`, which grow where one is missing."""
        for name in self.names:
            if name not in names:
                names.append(name)
        places = [names.index(name) for name in self.names]
        venues = array("H", [places[venue] for venue in self.venues])
        return EventColumns(self.times_ms, self.usd, self.prices, self.sides, self.kinds, venues, names)

    def forget(self, count: int) -> None:
        """Remove the oldest rows."""
        for column in self._columns():
            del column[:count]

    def count(self, from_ms: int, until_ms: int) -> int:
        """Return how many rows lie in (from, until]."""
        return bisect_right(self.times_ms, until_ms) - bisect_right(self.times_ms, from_ms)

    def spark(self, until_ms: int, step_ms: int, steps: int) -> list[int]:
        """Return the counts of the last `steps` steps, the newest last."""
        edges = [bisect_right(self.times_ms, until_ms - k * step_ms) for k in range(steps, -1, -1)]
        return [after - before for before, after in pairwise(edges)]

    def venues_since(self, from_ms: int) -> list[str]:
        """Return the venues with a row after a moment, by name."""
        codes = set(self.venues[bisect_right(self.times_ms, from_ms) :])
        return sorted(self.names[code] for code in codes)

    def price_at(self, at_ms: int) -> float | None:
        """Return the price of the last liquidation then, at most five minutes old."""
        place = bisect_right(self.times_ms, at_ms) - 1
        if place < 0 or at_ms - self.times_ms[place] > _PRICE_AGE_MS:
            return None
        return self.prices[place]

    def by_venue(self) -> list[Share]:
        """Return each venue's part, the most USD first."""
        counts, sums = [0] * len(self.names), [0.0] * len(self.names)
        for venue, usd in zip(self.venues, self.usd, strict=True):
            counts[venue] += 1
            sums[venue] += 0.0 if isnan(usd) else usd
        shares = [
            Share(name, count, round(total, 6)) for name, count, total in zip(self.names, counts, sums, strict=True)
        ]
        return sorted((one for one in shares if one.count), key=lambda share: (-share.usd, share.name))

    def known_usd(self, place: int) -> float | None:
        """Return the USD of a row, None where it is not known."""
        usd = self.usd[place]
        return None if isnan(usd) else usd


class EventMemory:
    """The newest liquidations, at most `limit`; the first to come is the first to go.

    `kept_from_ms` is the moment from which everything that was told is here. Under `MARKET` are those of all.
    """

    def __init__(self, began_ms: int, limit: int = MOST_EVENTS) -> None:
        self.kept_from_ms = began_ms
        self._limit = limit
        self._names: list[str] = []
        self._codes: dict[str, int] = {}
        self._columns: dict[str, EventColumns] = {}
        self._pending: dict[str, list[Liquidation]] = {}
        self._order: deque[str] = deque()

    def __len__(self) -> int:
        return len(self._order)

    def add(self, events: Sequence[Liquidation]) -> None:
        """Take liquidations in, in the order in which they came.

        They wait as they are until somebody asks, or until they are many: columns are cheap by the dozen.
        """
        pending = self._pending
        for event in events:
            name = event.instrument
            waiting = pending.get(name)
            if waiting is None:
                waiting = pending[name] = []
            waiting.append(event)
            if len(waiting) >= _WAITING:
                self._settle(name)
        self._order.extend([event.instrument for event in events])
        self._settle_market(events)
        if len(self._order) > self._limit + _TRIM:
            self._trim(len(self._order) - self._limit)
        while len(self._columns) + len(pending) > _MOST_NAMES and len(self._order) > 1:
            self._trim(len(self._order) // 2)

    def _settle(self, instrument: str) -> None:
        """Put what waits into the columns."""
        waiting = self._pending.pop(instrument, None)
        if waiting:
            self._of(instrument).extend(self._rows(sorted(waiting, key=_event_ms)))

    def _settle_market(self, events: Sequence[Liquidation]) -> None:
        self._of(MARKET).extend(self._rows(sorted(events, key=_event_ms)))

    def _rows(self, events: Sequence[Liquidation]) -> EventColumns:
        codes = self._codes
        for event in events:
            if event.venue not in codes:
                codes[event.venue] = len(self._names)
                self._names.append(event.venue)
        return EventColumns(
            array("q", [event.event_ms for event in events]),
            array("d", [nan if event.notional_usd is None else event.notional_usd for event in events]),
            array("d", [event.price for event in events]),
            array("b", [_SIDE_CODES[event.side] for event in events]),
            array("b", [_KIND_CODES[event.price_kind] for event in events]),
            array("H", [codes[event.venue] for event in events]),
            self._names,
        )

    def of(self, instrument: str) -> EventColumns:
        """Return the columns of an instrument, empty ones where it is not known; not to be kept."""
        self._settle(instrument)
        return self._columns.get(instrument) or EventColumns.empty(self._names)

    def knows(self, instrument: str) -> bool:
        """Return whether anything of it was ever seen here."""
        return instrument in self._columns or instrument in self._pending

    def instruments(self) -> list[str]:
        """Return those with a row."""
        self._settle_all()
        return [name for name, columns in self._columns.items() if name != MARKET and len(columns)]

    def shares(self, from_ms: int, until_ms: int) -> list[Share]:
        """Return each instrument's part in (from, until], the most USD first."""
        self._settle_all()
        found: list[Share] = []
        for name, columns in self._columns.items():
            first, last = bisect_right(columns.times_ms, from_ms), bisect_right(columns.times_ms, until_ms)
            if name != MARKET and first < last:
                usd = fsum(amount for amount in columns.usd[first:last] if not isnan(amount))
                found.append(Share(name, last - first, round(usd, 6)))
        return sorted(found, key=lambda share: (-share.usd, share.name))

    def venue_shares(self, from_ms: int, until_ms: int) -> list[Share]:
        """Return each venue's part in (from, until], the most USD first."""
        return self.of(MARKET).between(from_ms, until_ms).by_venue()

    def clear(self, began_ms: int) -> None:
        """Forget everything."""
        self.kept_from_ms = began_ms
        self._columns.clear()
        self._pending.clear()
        self._order.clear()

    def _settle_all(self) -> None:
        for instrument in list(self._pending):
            self._settle(instrument)

    def _of(self, instrument: str) -> EventColumns:
        columns = self._columns.get(instrument)
        if columns is None:
            columns = self._columns[instrument] = EventColumns.empty(self._names)
        return columns

    def _trim(self, count: int) -> None:
        self._settle_all()
        forgotten: dict[str, int] = {MARKET: count}
        for _ in range(count):
            instrument = self._order.popleft()
            forgotten[instrument] = forgotten.get(instrument, 0) + 1
        for instrument, rows in forgotten.items():
            columns = self._of(instrument)
            self.kept_from_ms = max(self.kept_from_ms, columns.times_ms[rows - 1])
            columns.forget(rows)
            if not columns and instrument != MARKET:
                del self._columns[instrument]
