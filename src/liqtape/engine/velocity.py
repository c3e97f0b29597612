"""The velocity engine: exact event-time windows per instrument, summed over its venues.

Naive: one sorted list per instrument. But venues are late independently of each other, and an operator asks
"which venue?"; so there is one ring per (instrument, venue), each in order almost always, and an instrument is the sum
of its rings.
"""

from collections.abc import Collection, Sequence
from math import ceil, fsum
from operator import add
from typing import Any

from liqtape.engine.acceleration import highest_slope, slope, slope_error
from liqtape.engine.coverage import Feed
from liqtape.engine.lane import HEAD, MOMENT, RETAIN_MS
from liqtape.engine.ring import Ring, SlotRing
from liqtape.engine.threshold import Threshold
from liqtape.engine.throttle import corrected_rate
from liqtape.engine.window import Totals, Window
from liqtape.events import WINDOWS, Level, Liquidation, VelocityMetrics
from liqtape.money import CLEAR, MICRO, WHOLE, micro_of

__all__ = ["THROTTLED", "VelocityEngine"]

THROTTLED = frozenset({"binance", "okx"})
"""Venues that print at most one liquidation per symbol and second."""

_HORIZON_S = 20
_MICRO = float(MICRO)
_BACK_MS = 2_000
_BEYOND_MS = 1 << 63  # a lane keeps times in 64 bits; one that does not fit must not move `newest_ms` first
_LARGEST = len(WINDOWS)
_UNKNOWN = (None, None, None, None)
_WHOLE = (1.0, 1.0, 1.0, 1.0)
_NOTHING = (0,) * (2 * len(WINDOWS))
_CURSORS = tuple(enumerate(WINDOWS, start=1))  # cursor k of a lane bounds window WINDOWS[k - 1]


class _Series:
    """All rings of one instrument."""

    __slots__ = ("advanced_ms", "evaluated_ms", "late_total", "rings", "venues")

    def __init__(self, venues: set[str]) -> None:
        self.rings: dict[str, Ring] = {}
        self.venues = venues
        self.advanced_ms = -1  # where the cursors of the rings stand
        self.evaluated_ms = -1  # the latest that was asked for
        self.late_total = 0


class VelocityEngine:
    """Counts, USD, velocity, acceleration and coverage of every instrument; no clock, no I/O.

    Instruments of `partial_venues`, which never show all of their liquidations, are partial whatever the coverage.

    >>> engine = VelocityEngine()
    >>> engine.add(Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 80_000.0, "bankruptcy", 0.01, 800.0, 1_000_000))
    True
    >>> metrics = engine.metrics("BTCUSDT", 1_005_000)
    >>> metrics.event_count_10s, metrics.velocity_10s, metrics.total_value_usd
    (1, 0.1, 800.0)
    """

    def __init__(
        self,
        throttled: Collection[str] = THROTTLED,
        threshold: Threshold | None = None,
        *,
        partial_venues: Collection[str] = (),
    ) -> None:
        self.threshold = Threshold() if threshold is None else threshold
        self._enough = _least_count(self.threshold.velocity_10s)
        self.btc_price: float | None = None
        self.btc_source: str | None = None
        self.volatility_factor: float | None = None
        self.newest_ms = 0
        self.late_total = 0
        self.late_dropped_total = 0
        self._throttled = frozenset(throttled)
        self._partial_venues = frozenset(partial_venues)
        self._series: dict[str, _Series] = {}
        self._rings: dict[str, dict[str, tuple[_Series, Ring]]] = {}  # by venue, by instrument: the same rings
        self._venues: dict[str, set[str]] = {}  # of each instrument: that carry it, or have had an event of it
        self._feeds: dict[str, Feed] = {}

    def instruments(self) -> list[str]:
        """Every instrument that has had an event."""
        return list(self._series)

    def feed_up(self, venue: str, at_ms: int) -> None:
        """The venue's feed is live from `at_ms` on (its subscription was confirmed)."""
        self._feeds.setdefault(venue, Feed()).up(at_ms)

    def feed_down(self, venue: str, at_ms: int) -> None:
        """The venue's feed was last seen live at `at_ms`."""
        self._feeds.setdefault(venue, Feed()).down(at_ms)

    def feed_missed(self, venue: str, from_ms: int, until_ms: int) -> None:
        """It turned out later that the venue's feed was not live in between."""
        self._feeds.setdefault(venue, Feed()).missed(from_ms, until_ms)

    def feed_mended(self, venue: str, from_ms: int, until_ms: int) -> None:
        """All that the venue's feed missed in between has been added."""
        self._feeds.setdefault(venue, Feed()).mended(from_ms, until_ms)

    def carry(self, venue: str, instrument: str) -> None:
        """The venue offers the instrument, so its outages make the instrument's windows partial.

        So does its absence: where another feed of the instrument was live, one that never was covers nothing.
        """
        self._venues.setdefault(instrument, set()).add(venue)
        self._feeds.setdefault(venue, Feed())

    def coverage(self, venue: str, now_ms: int) -> float | None:
        """Share of the largest window in which the venue's feed was live; None before its first `feed_up`."""
        exposures = self._exposures_ms([venue], WINDOWS[-1], now_ms)
        return exposures[0] / (1000 * WINDOWS[-1]) if exposures else None

    def add(self, liquidation: Liquidation) -> bool:
        """Add one liquidation, in any order. O(1) in order, O(k) in its own ring when k events are newer.

        Returns False when it is too old for any window (`late_dropped_total`). An event without a notional counts in
        the counts and adds no USD; a notional that is no finite number or a time beyond 64 bits raises, and nothing is
        changed.
        """
        usd = liquidation.notional_usd
        micro = 0
        if usd is not None:  # `micro_of` at its place: without its call 80 ns less
            product = usd * _MICRO
            nearest = product + WHOLE - WHOLE
            is_sure = -0.25 < product - nearest < 0.25 and product < CLEAR
            micro = int(nearest) if is_sure else micro_of(usd)
        event_ms = liquidation.event_ms
        newest_ms = self.newest_ms
        if event_ms > newest_ms:
            if event_ms >= _BEYOND_MS:
                raise OverflowError(f"event time {event_ms} ms")
            self.newest_ms = newest_ms = event_ms
        elif event_ms <= newest_ms - RETAIN_MS:
            self.late_dropped_total += 1
            self._series_of(liquidation.instrument).venues.add(liquidation.venue)  # it carries it all the same
            return False
        try:
            series, ring = self._rings[liquidation.venue][liquidation.instrument]
        except KeyError:
            series, ring = self._new_ring(liquidation.venue, liquidation.instrument)
        if event_ms <= series.evaluated_ms:
            series.late_total += 1
            self.late_total += 1
        ring.add(liquidation.side, event_ms, micro, newest_ms - RETAIN_MS)
        return True

    def level(self, instrument: str, now_ms: int) -> Level:
        """The level alone: what the threshold rule needs after each event, at a fraction of `metrics`.

        The clear cases move no cursor. Calm: a tail only moves forwards, so what lies behind it now is
        the most that can be in the window. Hot: one lane alone has enough events in the last 10 s.
        """
        series = self._at(instrument, now_ms)
        if series is None or (now_ms >= series.advanced_ms and self._is_calm(series)):
            return "NONE"
        if self._is_hot(series, now_ms):
            return "ALERT"
        self._advance(series, now_ms)
        count = sum(lane.count(1) for ring in series.rings.values() for lane in ring.lanes)
        return self.threshold.level(count / WINDOWS[0], slope(*_moment(series), now_ms, _HORIZON_S))

    def _is_calm(self, series: _Series) -> bool:
        most = most_in_horizon = 0
        for ring in series.rings.values():
            for lane in ring.lanes:
                size, at = len(lane.times), lane.at
                most += size - at[1]
                most_in_horizon += size - at[MOMENT]
        return self.threshold.is_out_of_reach(most / WINDOWS[0], highest_slope(most_in_horizon, _HORIZON_S))

    def _is_hot(self, series: _Series, now_ms: int) -> bool:
        enough, since = self._enough, now_ms - 1000 * WINDOWS[0]
        for ring in series.rings.values():
            for lane in ring.lanes:
                times = lane.times
                if len(times) >= enough and since < times[-enough] and times[-1] <= now_ms:
                    return True
        return False

    def is_empty(self, instrument: str, now_ms: int) -> bool:
        """Whether no event of the instrument is left in any window."""
        series = self._advanced(instrument, now_ms)
        return series is None or not any(lane.count(_LARGEST) for ring in series.rings.values() for lane in ring.lanes)

    def window(self, instrument: str, seconds: int, now_ms: int, venue: str | None = None) -> Window | None:
        """One window with standard errors, of the instrument or of one of its venues; None if never seen.

        Costs O(events in the window), because of the sum of squares. Raises ValueError for another length than 10, 30,
        60 or 300 s.
        """
        k = WINDOWS.index(seconds) + 1
        series = self._advanced(instrument, now_ms)
        if series is None or (venue is not None and venue not in series.rings):
            return None
        rings = [ring for name, ring in series.rings.items() if venue in (None, name)]
        lanes = [lane for ring in rings for lane in ring.lanes]
        exposures = self._exposures_ms([venue] if venue else series.venues, seconds, now_ms)
        return Window(
            seconds,
            sum(ring.long.count(k) for ring in rings),
            sum(ring.short.count(k) for ring in rings),
            sum(ring.long.micro(k) for ring in rings),
            sum(ring.short.micro(k) for ring in rings),
            sum(micro * micro for lane in lanes for micro in lane.values(k)),
            min(exposures, default=None),
            sum(ring.unsided.count(k) for ring in rings),
            sum(ring.unsided.micro(k) for ring in rings),
        )

    def totals(self, instrument: str, now_ms: int) -> Totals | None:
        """Counts, USD and acceleration alone, at `now_ms` as for `metrics`; None if never seen.

        >>> engine = VelocityEngine()
        >>> engine.add(Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 8e4, "bankruptcy", 0.01, 800.0, 1_000_000))
        True
        >>> engine.totals("BTCUSDT", 1_020_000)
        Totals(counts=(0, 1, 1, 1), micro_usd=(0, 800000000, 800000000, 800000000), acceleration=0.0)
        """
        series = self._at(instrument, now_ms)
        if series is None:
            return None
        series.advanced_ms = now_ms
        horizon_ms = self.newest_ms - RETAIN_MS
        total: Sequence[int] = _NOTHING
        in_horizon = sum_ms = 0
        for ring in series.rings.values():
            ring.advance(now_ms, horizon_ms)
            for lane in ring.lanes:
                if lane.times:
                    row = lane.windows()
                    total = row if total is _NOTHING else list(map(add, total, row))
                    in_horizon += lane.at[HEAD] - lane.at[MOMENT]
                    sum_ms += lane.moment
        n10, n30, n60, n300, u10, u30, u60, u300 = total
        acceleration = slope(in_horizon, sum_ms, now_ms, _HORIZON_S)
        return Totals((n10, n30, n60, n300), (u10, u30, u60, u300), acceleration)

    def metrics(self, instrument: str, now_ms: int) -> VelocityMetrics | None:
        """All metrics at evaluation time `now_ms`; None for an instrument never seen, zeros after its events left.

        `now_ms` may lie up to 2 s before the newest event added; newer events are then left out. Earlier raises
        ValueError, because what it would need may be forgotten.
        """
        series = self._advanced(instrument, now_ms)
        if series is None:
            return None
        series.evaluated_ms = max(series.evaluated_ms, now_ms)
        long, short, unsided = _totals(series, 0), _totals(series, 1), _totals(series, 2)
        n10, n30, n60, n300, u10, u30, u60, u300 = [sum(sides) for sides in zip(long, short, unsided, strict=True)]
        in_horizon, sum_ms = _moment(series)
        acceleration = slope(in_horizon, sum_ms, now_ms, _HORIZON_S)
        velocities = (n10 / 10, n30 / 30, n60 / 60, n300 / 300)
        coverage, partial = self._coverage(series, now_ms)
        estimates, saturated = self._estimates(series, now_ms, velocities)
        row: tuple[Any, ...] = (
            instrument,
            now_ms / 1000,
            n10,
            n30,
            n60,
            n300,
            *velocities,
            acceleration,
            u300 / MICRO,
            self.btc_price,
            self.volatility_factor,
            u10 / (10 * MICRO),
            u30 / (30 * MICRO),
            u60 / (60 * MICRO),
            u300 / (300 * MICRO),
            *long[:4],
            *short[:4],
            *[micro / MICRO for micro in long[4:]],
            *[micro / MICRO for micro in short[4:]],
            slope_error(in_horizon, _HORIZON_S),
            *coverage,
            *estimates,
            saturated,
            None,
            self.threshold.level(velocities[0], acceleration),
            series.late_total,
            partial,
            self.btc_source,
        )
        return VelocityMetrics(*row)

    def _series_of(self, instrument: str) -> _Series:
        series = self._series.get(instrument)
        if series is None:
            series = self._series[instrument] = _Series(self._venues.setdefault(instrument, set()))
        return series

    def _new_ring(self, venue: str, instrument: str) -> tuple[_Series, Ring]:
        series = self._series_of(instrument)
        ring = series.rings[venue] = SlotRing() if venue in self._throttled else Ring()
        series.venues.add(venue)
        both = self._rings.setdefault(venue, {})[instrument] = series, ring
        return both

    def _at(self, instrument: str, now_ms: int) -> _Series | None:
        if now_ms < self.newest_ms - _BACK_MS:
            raise ValueError(f"evaluation at {now_ms} lies more than 2 s before the newest event, {self.newest_ms}")
        return self._series.get(instrument)

    def _advanced(self, instrument: str, now_ms: int) -> _Series | None:
        series = self._at(instrument, now_ms)
        if series is not None:
            self._advance(series, now_ms)
        return series

    def _advance(self, series: _Series, now_ms: int) -> None:
        horizon_ms = self.newest_ms - RETAIN_MS
        series.advanced_ms = now_ms
        for ring in series.rings.values():
            ring.advance(now_ms, horizon_ms)

    def _estimates(self, series: _Series, now_ms: int, velocities: Sequence[float]) -> tuple[Sequence[float], bool]:
        """Velocities with the throttled venues corrected, and whether any of them was saturated."""
        if self._throttled.isdisjoint(series.rings):
            return velocities, False
        rates: list[float] = []
        saturated = False
        for k, seconds in _CURSORS:
            plain = 0
            corrected: list[float] = []
            for ring in series.rings.values():
                if isinstance(ring, SlotRing):
                    slots = corrected_rate(seconds, ring.taken(k, 1000 * seconds, now_ms))
                    corrected.append(slots.rate)
                    saturated |= slots.saturated
                else:
                    plain += sum(lane.count(k) for lane in ring.lanes)
            # One rounding: the order in which the venues were first seen must not show.
            rates.append(fsum([plain / seconds, *corrected]))
        return rates, saturated

    def _exposures_ms(self, venues: Collection[str], seconds: int, now_ms: int) -> list[int]:
        feeds = [self._feeds[venue] for venue in venues if venue in self._feeds]
        if not any(feed.is_known for feed in feeds):
            return []
        return [feed.exposure_ms(now_ms - 1000 * seconds, now_ms) for feed in feeds]

    def _coverage(self, series: _Series, now_ms: int) -> tuple[Sequence[float | None], bool]:
        """Coverage of each window, the least of the venues that carry the instrument, and whether any is missed."""
        is_partial = not self._partial_venues.isdisjoint(series.venues)
        feeds = [self._feeds[venue] for venue in series.venues if venue in self._feeds]
        if not any(feed.is_known for feed in feeds):
            return _UNKNOWN, is_partial
        if all(feed.covers(now_ms - 1000 * WINDOWS[-1]) for feed in feeds):
            return _WHOLE, is_partial
        coverage = [
            min(feed.exposure_ms(now_ms - 1000 * seconds, now_ms) for feed in feeds) / (1000 * seconds)
            for seconds in WINDOWS
        ]
        return coverage, is_partial or coverage[-1] < 1


def _least_count(velocity_10s: float) -> int:
    """The least number of events, at least one, that reaches the velocity; beyond any lane where none does."""
    count = max(1, ceil(min(velocity_10s * WINDOWS[0], 1e15)))
    return count if count / WINDOWS[0] >= velocity_10s else count + 1


def _totals(series: _Series, which: int) -> Sequence[int]:
    """(counts, then micro-USD) per window of the lanes number `which`, summed over the rings."""
    lanes = [ring.lanes[which] for ring in series.rings.values()]
    rows = [lane.windows() for lane in lanes if lane.times]
    if len(rows) == 1:
        return rows[0]
    return [sum(column) for column in zip(*rows, strict=True)] if rows else _NOTHING


def _moment(series: _Series) -> tuple[int, int]:
    """(events in the acceleration horizon, sum of their times in ms)."""
    count = sum_ms = 0
    for ring in series.rings.values():
        for lane in ring.lanes:
            if lane.times:
                count += lane.count(MOMENT)
                sum_ms += lane.moment
    return count, sum_ms
