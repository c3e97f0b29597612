"""A table of the liquidations of event files, checked row by row, as columns in memory.

Naive: a list of records, some 250 bytes an event. Files may be in any order and the grid of a replay needs them by
second, so all must be in memory before the first is replayed: columns take 40 bytes, and the identity where there is
one.
"""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

import logging
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from liqtape.assets import DOLLARS
from liqtape.events import SCHEMA, Liquidation, PriceKind, Side
from liqtape.instruments import Contract, Instruments, Separation
from liqtape.money import MICRO, micro_usd
from liqtape.venues import VENUES
from liqtape.venues.base import EARLIEST_MS, LATEST_MS

__all__ = ["EventRow", "EventTable"]

_log = logging.getLogger(__name__)
_ABSURD_USD = 1e18
_SIDES: dict[str, Side] = {"long": "long", "short": "short"}
_PRICE_KINDS: dict[str, PriceKind] = {"fill": "fill", "bankruptcy": "bankruptcy", "": "fill"}


class EventRow(NamedTuple):
    """One row as its file has it, unchecked; what the file does not have is None."""

    event_ms: object
    venue: object
    instrument: object
    symbol: object
    side: object
    price: object
    quantity: object
    notional_usd: object
    price_kind: object = None
    id: object = None
    schema: object = None


class _Series(NamedTuple):
    """What many events have in common; the instrument is None where the file does not name it."""

    venue: str
    instrument: str | None
    symbol: str
    side: Side
    price_kind: PriceKind


class _Unusable(Exception):
    """Why a row cannot be an event."""


class EventTable:
    """Events in file order, and where every row went: `rows` = events + `duplicates` + the sum of `rejected`.

    `unsized` counts events without a notional, `unsized_quote` those among them because of a price in no dollar. Rows
    with an identity that an earlier row of the same venue had are duplicates.

    Instruments that a file names stay as it names them. The others are named when all rows are read, by the same rules
    as live, with the symbols that a venue has in the files for its list: what is called how does not depend on order.

    >>> table = EventTable()
    >>> table.take(EventRow(1_765_416_983_918, "binance", None, "1000PEPEUSDT", "LONG", 0.004, 500.0, 2.0))
    >>> table.event(0).instrument, table.event(0).price, table.event(0).quantity
    ('PEPEUSDT', 4e-06, 500000.0)
    """

    def __init__(self, contracts: Iterable[Contract] = ()) -> None:
        self.rows = 0
        self.duplicates = 0
        self.unsized = 0
        self.unsized_quote = 0
        self.rejected: Counter[str] = Counter()
        self.times_ms: array[int] = array("q")
        self._series_of: array[int] = array("I")
        self._prices = array("d")
        self._quantities = array("d")
        self._usd = array("d")
        self._ids: list[str] = []
        self._series: list[_Series] = []
        self._known: dict[tuple[object, ...], int] = {}
        self._seen: set[int] = set()
        self._instruments = Instruments(_spell, _warn)
        self._instruments.load(contracts)

    def __len__(self) -> int:
        return len(self.times_ms)

    def summary(self) -> dict[str, int | dict[str, int]]:
        """Where the rows went, by name."""
        summary: dict[str, int | dict[str, int]] = {
            "rows": self.rows,
            "events": len(self),
            "duplicates": self.duplicates,
            "unsized": self.unsized,
            "rejected": dict(sorted(self.rejected.items())),
        }
        if self.unsized_quote:
            summary["unsized_by_reason"] = {"quote": self.unsized_quote, "other": self.unsized - self.unsized_quote}
        return summary

    def take(self, row: EventRow) -> None:
        """Add a row as an event, or count why not."""
        self.rows += 1
        try:
            self._take(row)
        except _Unusable as reason:
            self.rejected[str(reason)] += 1

    def refuse(self, reason: str) -> None:
        """Count a row that could not even be read."""
        self.rows += 1
        self.rejected[reason] += 1

    def event(self, i: int) -> Liquidation:
        """The event at place `i`; its price is NaN where the file does not tell it."""
        series = self._series[self._series_of[i]]
        price, quantity, usd = self._prices[i], self._quantities[i], self._usd[i]
        instrument = series.instrument
        if instrument is None:
            contract = self._instruments.contract(series.venue, series.symbol)
            instrument = contract.instrument
            if contract.factor != 1:
                # Decimals here, so that 0.0123456 / 1000 prints as a person would write it.
                price = float(Decimal(repr(price)) / contract.factor)
                quantity = float(Decimal(repr(quantity)) * contract.factor)
        return Liquidation(
            series.venue,
            instrument,
            series.symbol,
            series.side,
            price,
            series.price_kind,
            None if math.isnan(quantity) else quantity,
            None if math.isnan(usd) else usd,
            self.times_ms[i],
            None,
            self._ids[i],
        )

    def in_order(self) -> Sequence[int]:
        """Return the places of the events by event time, those of one millisecond in file order."""
        times_ms = self.times_ms
        if all(a <= b for a, b in pairwise(times_ms)):
            return range(len(times_ms))
        return sorted(range(len(times_ms)), key=times_ms.__getitem__)

    def venues(self) -> list[str]:
        """Return the venues of the events, sorted."""
        return sorted({series.venue for series in self._series})

    def _take(self, row: EventRow) -> None:
        if row.schema is not None and _whole("schema", row.schema) != SCHEMA:
            raise _Unusable("schema")
        event_ms = _whole("event time", row.event_ms)
        if event_ms is None or not EARLIEST_MS <= event_ms < LATEST_MS:
            raise _Unusable("event time")
        place = self._series_at(row)
        series = self._series[place]
        price, quantity = _positive("price", row.price), _positive("quantity", row.quantity)
        usd = _number("USD", row.notional_usd)
        if usd is not None:
            usd = _sound_usd(usd, price, quantity)
        identity = str(row.id) if isinstance(row.id, str | int) else ""
        if identity and self._is_repeat(series.venue, identity):
            self.duplicates += 1
            return
        if series.instrument is None:
            usd = self._checked(series, event_ms, price, quantity, usd)
        self.unsized += usd is None
        self.times_ms.append(event_ms)
        self._series_of.append(place)
        self._prices.append(math.nan if price is None else price)
        self._quantities.append(math.nan if quantity is None else quantity)
        self._usd.append(math.nan if usd is None else usd)
        self._ids.append(identity)

    def _checked(
        self, series: _Series, event_ms: int, price: float | None, quantity: float | None, usd: float | None
    ) -> float | None:
        """The USD of an event that the file leaves to us to name; its price is held against others of that name.

        Where price and quantity of a contract in no dollar were multiplied and called USD, there is none.
        """
        venue, symbol = series.venue, series.symbol
        if price is None:
            return usd
        self._instruments.compare(venue, symbol, price, event_ms)
        quote = self._instruments.contract(venue, symbol).quote
        if quantity is None or not quote or quote in DOLLARS:
            return usd
        if usd is not None and not math.isclose(usd, price * quantity, rel_tol=1e-6, abs_tol=1 / MICRO):
            return usd
        self.unsized_quote += 1
        return None

    def _series_at(self, row: EventRow) -> int:
        """The number of the row's series; only sound ones are remembered."""
        key = (row.venue, row.instrument, row.symbol, row.side, row.price_kind)
        try:
            return self._known[key]
        except (KeyError, TypeError):  # new, or not even text
            pass
        series = _series(row)
        place = self._known[key] = len(self._series)
        self._series.append(series)
        return place

    def _is_repeat(self, venue: str, identity: str) -> bool:
        hashed = hash((venue, identity))
        if hashed in self._seen:
            return True
        self._seen.add(hashed)
        return False


def _series(row: EventRow) -> _Series:
    venue, symbol = _text("venue", row.venue), _text("symbol", row.symbol)
    side = _SIDES.get(_text("side", row.side).lower())
    if side is None:
        raise _Unusable("side")
    kind = _PRICE_KINDS.get("" if row.price_kind is None else str(row.price_kind))
    if kind is None:
        raise _Unusable("price kind")
    if row.instrument is not None:
        return _Series(venue, _text("instrument", row.instrument), symbol, side, kind)
    return _Series(venue, None, symbol, side, kind)


def _spell(venue: str, symbol: str) -> Contract:
    return VENUES[venue].parse_symbol(symbol) if venue in VENUES else Contract(venue, symbol, symbol)


def _warn(told: Separation) -> None:
    _log.warning("%s", told)


def _sound_usd(usd: float, price: float | None, quantity: float | None) -> float:
    """Rounded to 1e-6; zero only where price and quantity say that it was rounded to zero."""
    if not 0 <= usd < _ABSURD_USD:
        raise _Unusable("USD")
    micro = micro_usd(usd)
    if not micro and (price is None or quantity is None or micro_usd(price, quantity)):
        raise _Unusable("USD")
    return micro / MICRO


def _text(what: str, value: object) -> str:
    if not isinstance(value, str) or not value or any("\ud800" <= c <= "\udfff" for c in value):
        raise _Unusable(what)
    return value


def _positive(what: str, value: object) -> float | None:
    number = _number(what, value)
    if number is None or 0 < number < math.inf:
        return number
    raise _Unusable(what)


def _number(what: str, value: object) -> float | None:
    """None for what is absent: null, an empty cell, NaN."""
    if value is None or value == "":
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise _Unusable(what) from None
    return None if math.isnan(number) else number


def _whole(what: str, value: object) -> int | None:
    if type(value) is int:
        return value
    if isinstance(value, str) and value.isdecimal():
        return int(value) if len(value) < 20 else None
    number = _number(what, value)
    if number is None or not number.is_integer():
        return None
    return int(number)
