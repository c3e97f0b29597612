"""Realised liquidations by price, and the price line with its marks."""

import heapq
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from math import floor, fsum, isnan, log10
from typing import Literal

from msgspec import Struct

from liqtape.engine.price.volatility import realised
from liqtape.web.chartanswers import PriceBin, PriceMark
from liqtape.web.eventmemory import KINDS, SIDES, EventColumns

__all__ = ["BtcPrices", "PriceLine", "line_of", "marks_of", "nice_step", "price_bins"]


class PriceLine(Struct, frozen=True):
    """A price at some moments; `kind` says of what."""

    kind: Literal["fill", "bankruptcy", "btc"] | None
    times_ms: Sequence[int]
    prices: Sequence[float]


def nice_step(span: float, most: int) -> float:
    """Return the smallest 1, 2 or 5 times a power of ten that is in `span` at most `most` times.

    >>> nice_step(950.0, 20), nice_step(0.07, 10)
    (50.0, 0.01)
    """
    least = span / most
    power = 10.0 ** floor(log10(least))
    return next(_exact(factor * power) for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _exact(value: float) -> float:
    """Return the decimal that is meant, whatever its size: coins cost from 1e-9 to 1e6."""
    return float(f"{value:.12g}")


def price_bins(events: EventColumns, most: int) -> tuple[float | None, list[PriceBin]]:
    """Return the size of a bin, and the bins with an event, from low to high."""
    prices = [price for price in events.prices if price > 0]
    if not prices:
        return None, []
    low, high = min(prices), max(prices)
    size = nice_step(max(high - low, high * 1e-4), most)
    rows: dict[int, list[int]] = {}
    for place, price in enumerate(events.prices):
        if price > 0:
            rows.setdefault(floor(price / size + 1e-9), []).append(place)
    return size, [_bin(events, rows[number], number, size) for number in sorted(rows)]


def _bin(events: EventColumns, places: Sequence[int], number: int, size: float) -> PriceBin:
    of_side = {code: [place for place in places if events.sides[place] == code] for code in (1, 2)}
    usd = {code: fsum(events.known_usd(place) or 0.0 for place in those) for code, those in of_side.items()}
    edges = (_exact(number * size), _exact((number + 1) * size))
    return PriceBin(*edges, len(of_side[1]), len(of_side[2]), usd[1], usd[2])


def marks_of(events: EventColumns, most: int) -> tuple[list[PriceMark], int, float]:
    """Return the events with the most USD by time, how many are left out, and their USD."""
    places: Sequence[int] = range(len(events))
    usd = [0.0 if isnan(amount) else amount for amount in events.usd]
    if len(events) > most:
        places = sorted(heapq.nlargest(most, places, key=usd.__getitem__))
    marks = [
        PriceMark(
            events.times_ms[place],
            events.prices[place],
            events.known_usd(place),
            SIDES[events.sides[place]],
            events.names[events.venues[place]],
            KINDS[events.kinds[place]],
        )
        for place in places
    ]
    hidden = len(events) - len(marks)
    return marks, hidden, max(0.0, fsum(usd) - fsum(usd[place] for place in places)) if hidden else 0.0


def line_of(events: EventColumns, from_ms: int, step_ms: int) -> PriceLine:
    """Return the last fill of each step; where no event is a fill, the last bankruptcy price."""
    kind = 0 if 0 in events.kinds else 1
    last: dict[int, int] = {}
    for place, at_ms in enumerate(events.times_ms):
        if events.kinds[place] == kind and events.prices[place] > 0:
            last[(at_ms - from_ms - 1) // step_ms] = place
    places = [last[step] for step in sorted(last)]
    name = KINDS[kind] if places else None
    return PriceLine(name, [events.times_ms[k] for k in places], [events.prices[k] for k in places])


class BtcPrices:
    """The price of BTC, a point a second at most, of the last `limit` seconds in which it was known."""

    def __init__(self, limit: int = 90_000) -> None:
        self._times_ms: array[int] = array("q")
        self._prices: array[float] = array("d")
        self._limit = limit

    def add(self, at_ms: int, price: float) -> None:
        """Note a price; an older time than that before is left out."""
        if self._times_ms and at_ms <= self._times_ms[-1]:
            return
        self._times_ms.append(at_ms)
        self._prices.append(price)
        if len(self._times_ms) > self._limit + 1_000:
            del self._times_ms[:1_000]
            del self._prices[:1_000]

    def clear(self) -> None:
        """Forget everything."""
        del self._times_ms[:]
        del self._prices[:]

    def line(self, from_ms: int, until_ms: int, step_ms: int) -> PriceLine:
        """Return the last price of each step."""
        first, last = bisect_right(self._times_ms, from_ms), bisect_right(self._times_ms, until_ms)
        of_step = {(self._times_ms[k] - from_ms - 1) // step_ms: k for k in range(first, last)}
        places = sorted(of_step.values())
        return PriceLine(
            "btc" if places else None, [self._times_ms[k] for k in places], [self._prices[k] for k in places]
        )

    def realised_volatility(self, now_ms: int) -> float | None:
        """Return the volatility of the last 300 s per square root of a year; None without a price before them."""
        first = bisect_right(self._times_ms, now_ms - 302_000)
        trades = list(zip(self._times_ms[first:], self._prices[first:], strict=True))
        return realised(trades, now_ms, 300).sigma_annual if trades else None

    def at(self, at_ms: int) -> float | None:
        """Return the last price known then, at most a minute old."""
        place = bisect_right(self._times_ms, at_ms) - 1
        if place < 0 or at_ms - self._times_ms[place] > 60_000:
            return None
        return self._prices[place]
