"""The velocity engine: exact event-time windows per instrument, summed over its venues.

Naive: one sorted list per instrument. But venues are late independently of each other, and an operator asks
"which venue?"; so there is one ring per (instrument, venue), each in order almost always, and an instrument is the sum
of its rings, as are a venue and the market.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import ceil
from operator import add

from liqtape.engine.acceleration import slope
from liqtape.engine.coverage import Feeds
from liqtape.engine.forms import HORIZON_S, Form, accelerated, highest, new_ring
from liqtape.engine.judge import Judge
from liqtape.engine.lane import HEAD, MOMENT, RETAIN_MS
from liqtape.engine.learning import KEEP_MS, Learning
from liqtape.engine.levels.returnperiods import Minute, ReturnPeriods, StreamKey
from liqtape.engine.levels.streamlevel import StreamLevel
from liqtape.engine.levels.surpriselevels import LevelRule
from liqtape.engine.levels.threshold import Threshold
from liqtape.engine.past import Past
from liqtape.engine.ring import Ring
from liqtape.engine.rows import Judged, Prices, Seen, Sums, row, summed
from liqtape.engine.scope import Scope, score_of
from liqtape.engine.series import Series
from liqtape.engine.surprise import Score
from liqtape.engine.venueminute import VenueMinute
from liqtape.engine.window import Totals, Window
from liqtape.events import WINDOWS, Level, Liquidation, VelocityMetrics
from liqtape.money import CLEAR, MICRO, WHOLE, micro_of

__all__ = ["MARKET", "THROTTLED", "VelocityEngine"]

THROTTLED = frozenset({"binance", "okx"})
"""Venues that print at most one liquidation per symbol and second."""

MARKET = "MARKET"
"""The symbol of a row over all instruments."""

_MICRO = float(MICRO)
_BACK_MS = 2_000
_BEYOND_MS = 1 << 63  # a lane keeps times in 64 bits; one that does not fit must not move `newest_ms` first
_LARGEST = len(WINDOWS)
_STALE_MS = 1_000
_MINUTE_MS = 60_000
_NOTHING = (0,) * (2 * len(WINDOWS))


class VelocityEngine:
    """Counts, USD, velocity, acceleration, surprise, level and coverage of every instrument; no clock, no I/O.

    `rule` decides the levels. Instruments of `partial_venues`, which never show all of their liquidations, are partial
    whatever the coverage. `spread_ms` is how far apart the evaluation times of venues may be in `at`: so much more is
    kept.

    Where a method takes `at`, the windows of a venue named there end at that time, those of the others at `now_ms`;
    sums over venues, coverage and acceleration are then each of its own time, and `now_ms` is what the row is dated.

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
        rule: ReturnPeriods | LevelRule | Threshold | None = None,
        *,
        partial_venues: Collection[str] = (),
        acceleration: Form = "least_squares",
        spread_ms: int = 0,
    ) -> None:
        self.threshold = rule if isinstance(rule, Threshold) else None
        self._enough = 0 if self.threshold is None else _least_count(self.threshold.velocity_10s)
        self.judge = Judge(rule if isinstance(rule, LevelRule) else LevelRule())
        self.levels = ReturnPeriods() if rule is None else rule if isinstance(rule, ReturnPeriods) else None
        self.btc_price: float | None = None
        self.btc_source: str | None = None
        self.volatility_factor: float | None = None
        self.volatility_coverage: float | None = None
        self.newest_ms = 0
        self.late_total = 0
        self.late_dropped_total = 0
        self._form: Form = acceleration
        self._throttled = frozenset(throttled)
        self._partial_venues = frozenset(partial_venues)
        self._series: dict[str, Series] = {}
        self._rings: dict[str, dict[str, tuple[Series, Ring]]] = {}  # by venue, by instrument: those that are not idle
        self._minutes: dict[str, VenueMinute] = {}  # by venue
        self._told_minute = -1
        self._venues: dict[str, set[str]] = {}  # of each instrument: that carry it, or have had an event of it
        self._late: dict[str, int] = {}  # by venue
        self._feeds = Feeds()
        self._retain_ms = RETAIN_MS + spread_ms
        self._learning = Learning(self._feeds, self._retain_ms)
        self._due_ms = self._learning.due_ms
        self._generation = 0  # grows when slots were settled, and when a feed came or went

    def __repr__(self) -> str:
        newest = f", newest event at {self.newest_ms} ms" if self.newest_ms else ""
        venues = ", ".join(self._feeds.venues) or "none"
        return f"<VelocityEngine: {len(self._series)} instruments, venues {venues}{newest}>"

    def instruments(self) -> list[str]:
        """Every instrument that has had an event."""
        return list(self._series)

    def feed_up(self, venue: str, at_ms: int) -> None:
        """The venue's feed is live from `at_ms` on (its subscription was confirmed)."""
        self._feeds.up(venue, at_ms, max(self.newest_ms, self._learning.settled_ms))
        self._generation += 1
        if self.levels is not None:
            self.levels.feed_up(venue, at_ms)

    def feed_down(self, venue: str, at_ms: int) -> None:
        """The venue's feed was last seen live at `at_ms`."""
        self._feeds.down(venue, at_ms)
        self._generation += 1
        if self.levels is not None:
            self.levels.feed_down(venue, at_ms)

    def feed_missed(self, venue: str, from_ms: int, until_ms: int) -> None:
        """It turned out later that the venue's feed was not live in between."""
        self._feeds.missed(venue, from_ms, until_ms)
        self._generation += 1
        if self.levels is not None:
            self.levels.feed_missed(venue, from_ms, until_ms)

    def feed_mended(self, venue: str, from_ms: int, until_ms: int) -> None:
        """All that the venue's feed missed in between has been added."""
        self._feeds.mended(venue, from_ms, until_ms, self._learning.settled_ms)
        self._generation += 1

    def carry(self, venue: str, instrument: str) -> None:
        """The venue offers the instrument, so its outages make the instrument's windows partial.

        So does its absence: where another feed of the instrument was live, one that never was covers nothing.
        """
        self._venues.setdefault(instrument, set()).add(venue)
        self._feeds.carried(venue)
        if self.levels is not None:
            self.levels.lists(venue, instrument, self.newest_ms)

    def feed_unseen(self, venue: str, instruments: Collection[str], at_ms: int, *, is_listed: bool = True) -> None:
        """From `at_ms` on the venue's feed brings all instruments but these, whose coverage begins when they are not
        named any more. Unless `is_listed` there may be others: the market's windows are partial.
        """
        self._feeds.unseen(venue, instruments, at_ms, is_listed=is_listed)
        self._generation += 1

    def coverage(self, venue: str, now_ms: int, at: Mapping[str, int] | None = None) -> float | None:
        """Share of the largest window in which the venue's feed was live; None before its first `feed_up`."""
        return self._feeds.coverage([venue], now_ms, at=at)[-1]

    def teach(self, counts: Iterable[tuple[int, str, str, int]]) -> None:
        """What a history has of the past: (begin in ms, venue, instrument, liquidations) of slots of ten seconds.

        In order of time, all of them 300 s old, and before the first `add`; when their feeds were live is to be told
        first. Baselines then begin where an earlier run left them, and the first hour is not full of surprises.
        """
        self._feeds.recalled()
        for at_ms, venue, instrument, count in counts:
            series = self._series_of(instrument)
            series.venues.add(venue)
            self._learning.teach(at_ms, venue, series, count)
        self._generation += 1

    def add(self, liquidation: Liquidation, window_ms: int | None = None) -> bool:
        """Add one liquidation, in any order. O(1) in order, O(k) in its own ring when k events are newer.

        In windows it stands at `window_ms`, where its venue's clock is known to be wrong, else at its own time.

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
        event_ms = liquidation.event_ms if window_ms is None else window_ms
        newest_ms = self.newest_ms
        if event_ms > newest_ms:
            if event_ms >= self._due_ms:
                if event_ms >= _BEYOND_MS:
                    raise OverflowError(f"event time {event_ms} ms")
                self.newest_ms = event_ms
                self._settle(event_ms)
            self.newest_ms = newest_ms = event_ms
        elif event_ms <= newest_ms - self._retain_ms:
            self.late_dropped_total += 1
            self._series_of(liquidation.instrument).venues.add(liquidation.venue)  # it carries it all the same
            return False
        try:
            series, ring = self._rings[liquidation.venue][liquidation.instrument]
        except KeyError:
            series, ring = self._woken(liquidation.venue, liquidation.instrument)
        if event_ms <= series.evaluated_ms and series.is_late(liquidation.venue, event_ms):
            self._note_late(series, liquidation.venue)
        ring.add(liquidation.side, event_ms, micro, newest_ms - KEEP_MS)
        series.has_news = True
        return True

    def take_out(self, liquidation: Liquidation, window_ms: int) -> bool:
        """Remove a liquidation that stands in windows at `window_ms`; whether it was there. Costs as a late `add`."""
        series = self._series.get(liquidation.instrument)
        ring = None if series is None else series.rings.get(liquidation.venue)
        usd = liquidation.notional_usd
        if ring is None or not ring.take_out(liquidation.side, window_ms, 0 if usd is None else micro_of(usd)):
            return False
        self._minutes[liquidation.venue].forget()
        return True

    def move(self, by_ms: int, by_venue: Mapping[str, int]) -> None:
        """Time turned out to be later by `by_ms` than it was taken for: what is due at a time of it moves along.

        The events and feeds of a venue move by what `by_venue` says of it, others stay. O(all events in windows), rare.
        """
        if by_venue and by_ms > 0:
            self.newest_ms += by_ms
        for series in self._series.values():
            series.move(by_ms, by_venue)
        self._feeds.move(by_ms, by_venue)
        self._learning.move(by_ms)
        self._due_ms = self._learning.due_ms
        self.judge.levels.move(by_ms)
        if self.levels is not None:
            self.levels.shift(by_ms)
        self._told_minute += by_ms // _MINUTE_MS
        for minute in self._minutes.values():
            minute.forget()
        self._generation += 1

    def rewind(self, now_ms: int) -> None:
        """It is earlier than it was taken for; what stands later by mistake is to be taken out."""
        self.newest_ms = min(self.newest_ms, now_ms)
        self.cut(now_ms)

    def cut(self, after_ms: int) -> None:
        """Forget that feeds were live, and that anything was learned, later than that: it was told by a wrong clock."""
        self._feeds.cut(after_ms)
        self._learning.cut(after_ms)
        self._due_ms = self._learning.due_ms
        self._generation += 1

    def look(  # noqa: C901 - one loop over all steps, as in `Intake.take`: in a flood each call counts
        self, events_of: Iterable[tuple[str, str]], now_ms: int, at: Mapping[str, int] | None = None
    ) -> None:
        """Look at the streams of (venue, instrument) pairs after an event of each was added (`metrics` 5b).

        `now_ms` never goes back; `at` are the evaluation times of the venues, where they differ. In files and in the
        history after each event; live once a frame, whose events are received at one moment. O(venues) a pair.
        """
        levels = self.levels
        if levels is None:
            return
        minutes = self._minutes
        looked: set[str] = set()  # venues
        looks: list[tuple[StreamLevel, float, int]] = []
        for venue, instrument in events_of:
            try:
                series, ring = self._rings[venue][instrument]
            except KeyError:
                continue  # too old for any window
            looked.add(venue)
            series.has_news = False
            stream, everywhere = ring.stream, series.stream
            if stream is None or everywhere is None:
                stream, everywhere = self._streams(levels, venue, instrument, now_ms)
            micro, count = minutes[venue].update(ring, now_ms if at is None else at.get(venue, now_ms))
            looks.append((stream, micro / MICRO, count))
            if len(series.rings) > 1:
                for other, ring_there in series.rings.items():
                    if other != venue:
                        there = ring_there.minute(now_ms if at is None else at.get(other, now_ms))
                        micro += there[0]
                        count += there[1]
            looks.append((everywhere, micro / MICRO, count))
        if not looks:
            return
        micro = count = 0
        for venue, minute in minutes.items():
            of_venue, in_venue = minute.at(now_ms if at is None else at.get(venue, now_ms))
            micro += of_venue
            count += in_venue
            if venue in looked:
                if minute.stream is None:
                    minute.stream = levels.stream(StreamKey(venue, None), now_ms)
                looks.append((minute.stream, of_venue / MICRO, in_venue))
        levels.look(looks, (micro / MICRO, count), now_ms)

    def _streams(
        self, levels: ReturnPeriods, venue: str, instrument: str, now_ms: int
    ) -> tuple[StreamLevel, StreamLevel]:
        """The streams of an instrument at a venue and over all of them, which its windows know from now on."""
        series = self._series[instrument]
        stream = series.rings[venue].stream = levels.stream(StreamKey(venue, instrument), now_ms)
        everywhere = series.stream = levels.stream(StreamKey(None, instrument), now_ms)
        return stream, everywhere

    def _look_itself(self, instrument: str, series: Series, now_ms: int, at: Mapping[str, int] | None) -> None:
        """Look at what was added since the last look, where nobody else does after each event."""
        self.look([(venue, instrument) for venue in series.rings], now_ms, at)

    def pass_over(self, instruments: Iterable[str], now_ms: int, at: Mapping[str, int] | None = None) -> None:
        """Leave the newest events of these instruments without a look: what a venue repeats is no news."""
        for instrument in instruments:
            series = self._series.get(instrument)
            if series is not None and series.has_news:
                series.has_news = False
                for venue, ring in series.rings.items():
                    self._minutes[venue].update(ring, now_ms if at is None else at.get(venue, now_ms))

    def _minutes_at(self, now_ms: int, at: Mapping[str, int] | None) -> tuple[Minute, dict[str, Minute]]:
        """USD and events of 60 s of the market, and of each venue."""
        micro = count = 0
        of_venues: dict[str, Minute] = {}
        for venue, minute in self._minutes.items():
            of_venue = minute.at(now_ms if at is None else at.get(venue, now_ms))
            of_venues[venue] = of_venue[0] / MICRO, of_venue[1]
            micro += of_venue[0]
            count += of_venue[1]
        return (micro / MICRO, count), of_venues

    def minute(self, key: StreamKey, now_ms: int, at: Mapping[str, int] | None = None) -> Minute:
        """Return USD and liquidations of the last 60 s of any stream whose events were looked at."""
        if key.instrument is None:
            of_market, of_venues = self._minutes_at(now_ms, at)
            return of_market if key.venue is None else of_venues.get(key.venue, (0.0, 0))
        series = self._series.get(key.instrument)
        micro = count = 0
        for venue, ring in {} if series is None else series.rings.items():
            if key.venue in {None, venue}:
                of_ring = ring.minute(now_ms if at is None else at.get(venue, now_ms))
                micro += of_ring[0]
                count += of_ring[1]
        return micro / MICRO, count

    def level(self, instrument: str, now_ms: int, at: Mapping[str, int] | None = None) -> Level:
        """The level alone: what is needed after each event, at a fraction of `metrics`. It is remembered.

        It moves no cursor, or only once a second: a tail only moves forwards, so what lies behind it now is the most
        that can be in the window, and mostly that is calm.
        """
        series = self._at(instrument, now_ms, at)
        if series is None:
            return "NONE"
        if self.threshold is not None:
            return self._threshold_level(series, self.threshold, now_ms, at)
        if self.levels is not None:
            if series.has_news:
                self._look_itself(instrument, series, now_ms, at)
            return self.levels.level(instrument)
        scope = series.scope
        if now_ms >= self._due_ms:
            self._settle(now_ms)
        if scope.generation != self._generation or now_ms < scope.since_ms:
            self._refresh(scope, series.venues, now_ms, instrument)
        if instrument not in self.judge.levels.sticky and _is_behind(series, now_ms, at) and _is_calm(series, scope):
            return "NONE"
        if now_ms - series.advanced_ms >= _STALE_MS:
            self._advance(series, now_ms, at)
        counts, micro = series.judged(now_ms, at)
        return self.judge.step(instrument, now_ms, scope, counts, micro / MICRO)

    def market_level(self) -> Level:
        """Return the level of the market as it was last looked at; NONE by the rules that know none."""
        return "NONE" if self.levels is None else self.levels.market_level()

    def score(self, instrument: str, now_ms: int, at: Mapping[str, int] | None = None) -> Score | None:
        """The surprise that is compared with the thresholds, with what it was measured by; None where undefined."""
        series = self._at(instrument, now_ms, at)
        if series is None:
            return None
        scope = self._current(series.scope, series.venues, now_ms, instrument)
        return self.judge.decisive(scope, series.judged(now_ms, at)[0])

    def take_changed(self) -> list[str]:
        """Return the instruments (or `MARKET`) whose level may have changed by return period since the last call."""
        if self.levels is None or not self.levels.has_changed:
            return []
        return [MARKET if instrument is None else instrument for instrument in self.levels.take_changed()]

    def raised(self) -> list[str]:
        """Instruments that the level rule holds above NONE: to be looked at by time alone, too."""
        return list(self.judge.levels.sticky) if self.levels is None else self.levels.raised()

    def is_raised(self) -> bool:
        """Return whether any level is above NONE: of an instrument, of a venue, of the market."""
        return bool(self.judge.levels.sticky) if self.levels is None else self.levels.is_raised()

    def is_empty(self, instrument: str, now_ms: int, at: Mapping[str, int] | None = None) -> bool:
        """Whether no event of the instrument is left in any window."""
        series = self._advanced(instrument, now_ms, at)
        return series is None or not any(lane.count(_LARGEST) for ring in series.rings.values() for lane in ring.lanes)

    def window(
        self,
        instrument: str,
        seconds: int,
        now_ms: int,
        venue: str | None = None,
        *,
        at: Mapping[str, int] | None = None,
    ) -> Window | None:
        """One window with standard errors, of the instrument or of one of its venues; None if never seen.

        Costs O(events in the window), because of the sum of squares. Raises ValueError for another length than 10, 30,
        60 or 300 s.
        """
        k = WINDOWS.index(seconds) + 1
        series = self._advanced(instrument, now_ms, at)
        if series is None or (venue is not None and venue not in series.rings):
            return None
        rings = [ring for name, ring in series.rings.items() if venue in (None, name)]
        lanes = [lane for ring in rings for lane in ring.lanes]
        exposures = self._feeds.exposures_ms([venue] if venue else series.venues, seconds, now_ms, instrument, at)
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

    def totals(self, instrument: str, now_ms: int, at: Mapping[str, int] | None = None) -> Totals | None:
        """Counts, USD and acceleration alone, at `now_ms` as for `metrics`; None if never seen.

        >>> engine = VelocityEngine()
        >>> engine.add(Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 8e4, "bankruptcy", 0.01, 800.0, 1_000_000))
        True
        >>> engine.totals("BTCUSDT", 1_020_000)
        Totals(counts=(0, 1, 1, 1), micro_usd=(0, 800000000, 800000000, 800000000), acceleration=0.0)
        """
        series = self._at(instrument, now_ms, at)
        if series is None:
            return None
        series.advance(now_ms, self.newest_ms - KEEP_MS, at)
        total: Sequence[int] = _NOTHING
        in_horizon = sum_ms = 0
        for ring in series.rings.values():
            behind_ms = now_ms - ring.now_ms
            for lane in ring.lanes:
                if lane.times:
                    row = lane.windows()
                    total = row if total is _NOTHING else list(map(add, total, row))
                    recent = lane.at[HEAD] - lane.at[MOMENT]
                    in_horizon += recent
                    sum_ms += lane.moment + recent * behind_ms
        n10, n30, n60, n300, u10, u30, u60, u300 = total
        if self._form == "least_squares":  # at its place: 400 ns less
            acceleration = slope(in_horizon, sum_ms, now_ms, HORIZON_S)
        else:
            rings = series.rings.values()
            acceleration = accelerated(self._form, rings, now_ms, n10, (in_horizon, sum_ms)).value
        return Totals((n10, n30, n60, n300), (u10, u30, u60, u300), acceleration)

    def metrics(
        self, instrument: str, now_ms: int, venue: str | None = None, *, at: Mapping[str, int] | None = None
    ) -> VelocityMetrics | None:
        """All metrics at evaluation time `now_ms`; None for an instrument never seen, zeros after its events left.

        With a `venue` those of its liquidations alone, None where it had none; their `level` is what the rule says of
        this moment, without hysteresis. `now_ms` may lie up to 2 s before the newest event added; newer events are then
        left out. Earlier raises ValueError, because what it would need may be forgotten; with `at` it does not, for the
        times of venues may differ from that of the newest event.
        """
        series = self._advanced(instrument, now_ms, at)
        if series is None:
            return None
        if venue is not None:
            return self._of_venue(instrument, series, now_ms, venue, at)
        series.evaluated(now_ms, at)
        rings = series.rings.values()
        sums = summed(rings, now_ms)
        scope = self._current(series.scope, series.venues, now_ms, instrument)
        speed = accelerated(self._form, rings, now_ms, sums.every[0], sums.moment)
        if self.threshold is not None:
            level = self.threshold.level(sums.every[0] / WINDOWS[0], speed.value, sums.moment[0])
        elif self.levels is not None:
            if series.has_news:
                self._look_itself(instrument, series, now_ms, at)
            level = self.levels.level(instrument)
        else:
            level = self.judge.shown(instrument, scope, sums)
        name = instrument, None, now_ms
        judged = self._judged(StreamKey(None, instrument), now_ms, scope, sums, level)
        return row(name, rings, sums, speed, self._said(name, series.venues, series.late_total, judged, at))

    def market(self, now_ms: int, venue: str | None = None, *, at: Mapping[str, int] | None = None) -> VelocityMetrics:
        """The same over all instruments, of one venue or of all; its symbol is `MARKET`. O(instruments with events)."""
        if self.levels is not None:
            for name, series in self._learning.active.items():
                if series.has_news:
                    self._look_itself(name, series, now_ms, at)
        rings = self._market_rings(now_ms, at).get(venue, [])
        venues = self._feeds.venues if venue is None else [venue]
        late_total = self.late_total if venue is None else self._late.get(venue, 0)
        scope = self._current(self._learning.scope(venue), venues, now_ms)
        return self._row((MARKET, venue, now_ms), rings, venues, scope, late_total, at)

    def tick(self, now_ms: int, at: Mapping[str, int] | None = None) -> None:
        """Let episodes end and levels come down; by the rule of surprise, look at the venues. About once a second."""
        if self.threshold is not None:
            return
        if self.levels is not None:
            self._tell_minutes(now_ms)
            self.levels.tick(now_ms, lambda key: self.minute(key, now_ms, at))
            return
        rule = self.judge.rule
        for venue, rings in self._market_rings(now_ms, at).items():
            if venue is None:
                continue
            scope = self._current(self._learning.scope(venue), [venue], now_ms)
            sums = summed(rings, now_ms)
            if self.judge.wanted(scope, sums.judged, sums.usd_60s, rule.floor_usd) == "CRITICAL":
                self.judge.levels.market.venue(venue, now_ms)

    def _tell_minutes(self, now_ms: int) -> None:
        """Once a minute, what it brought, for the mean minute of the streams (`times_usual`)."""
        minute = now_ms // _MINUTE_MS
        if minute <= self._told_minute:
            return
        self._told_minute = minute
        for venue, rings in self._rings.items():
            total = 0
            for _, ring in rings.values():
                micro = ring.minute(minute * _MINUTE_MS)[0]
                if micro and ring.stream is not None:
                    ring.stream.histogram.usd += micro / MICRO
                    total += micro
            stream = self._minutes[venue].stream
            if stream is not None:
                stream.histogram.usd += total / MICRO

    def counts(self, from_ms: int, until_ms: int) -> dict[str, dict[str, int]]:
        """Liquidations with from <= time < until by instrument and venue, where there are any and not yet 300 s old."""
        return {
            name: found for name, series in self._learning.active.items() if (found := series.counts(from_ms, until_ms))
        }

    def _of_venue(
        self, instrument: str, series: Series, now_ms: int, venue: str, at: Mapping[str, int] | None
    ) -> VelocityMetrics | None:
        ring = series.rings.get(venue)
        if ring is None:
            return None
        scope = self._current(Scope(series.pasts.get(venue) or Past()), [venue], now_ms, instrument)
        return self._row((instrument, venue, now_ms), [ring], [venue], scope, series.late.get(venue, 0), at)

    def _row(
        self,
        name: tuple[str, str | None, int],
        rings: Collection[Ring],
        venues: Collection[str],
        scope: Scope,
        late: int,
        at: Mapping[str, int] | None,
    ) -> VelocityMetrics:
        """A row of one venue, or of the market; by the rule of surprise its level has no memory."""
        symbol, venue, now_ms = name
        sums = summed(rings, now_ms)
        key = StreamKey(venue, None if symbol == MARKET else symbol)
        speed = accelerated(self._form, rings, now_ms, sums.every[0], sums.moment)
        if self.threshold is not None:
            level = self.threshold.level(sums.every[0] / WINDOWS[0], speed.value, sums.moment[0])
        elif self.levels is not None:
            level = self.levels.level_of(key)
        else:
            level = self.judge.wanted(scope, sums.judged, sums.usd_60s, self.judge.rule.floor(name[0]))
        judged = self._judged(key, now_ms, scope, sums, level)
        return row(name, rings, sums, speed, self._said(name, venues, late, judged, at))

    def _market_rings(self, now_ms: int, at: Mapping[str, int] | None) -> dict[str | None, list[Ring]]:
        """The rings that may have an event in a window, advanced; by venue, and all of them under None."""
        if now_ms >= self._due_ms:
            self._settle(now_ms)
        rings: dict[str | None, list[Ring]] = {None: []}
        for series in self._learning.active.values():
            self._advance(series, now_ms, at)
            for venue, ring in series.rings.items():
                rings.setdefault(venue, []).append(ring)
                rings[None].append(ring)
        return rings

    def _series_of(self, instrument: str) -> Series:
        series = self._series.get(instrument)
        if series is None:
            series = self._series[instrument] = Series(self._venues.setdefault(instrument, set()))
        return series

    def _woken(self, venue: str, instrument: str) -> tuple[Series, Ring]:
        """The windows for an event of an instrument that was idle, or is new."""
        if self._feeds.spoke(venue, self.newest_ms // 1000 * 1000):
            self._generation += 1
        series = self._series_of(instrument)
        ring = series.rings.get(venue)
        if ring is None:
            ring = series.rings[venue] = new_ring(self._form, is_throttled=venue in self._throttled)
            series.venues.add(venue)
            series.scope.generation = -1
        if series.is_idle:
            self._learning.wake(instrument, series)
        if venue not in self._minutes:
            self._minutes[venue] = VenueMinute(self._rings.setdefault(venue, {}).values())
        both = self._rings.setdefault(venue, {})[instrument] = series, ring
        return both

    def _note_late(self, series: Series, venue: str) -> None:
        series.late[venue] = series.late.get(venue, 0) + 1
        self._late[venue] = self._late.get(venue, 0) + 1
        self.late_total += 1

    def _settle(self, now_ms: int) -> None:
        for instrument in self._learning.settle(now_ms, self.newest_ms):
            for venue in self._series[instrument].rings:
                self._rings[venue].pop(instrument, None)
        self._due_ms = self._learning.due_ms
        self._generation += 1

    def _current(self, scope: Scope, venues: Collection[str], now_ms: int, instrument: str | None = None) -> Scope:
        if now_ms >= self._due_ms:
            self._settle(now_ms)
        if scope.generation != self._generation or now_ms < scope.since_ms:
            self._refresh(scope, venues, now_ms, instrument)
        return scope

    def _refresh(self, scope: Scope, venues: Collection[str], now_ms: int, instrument: str | None) -> None:
        watch = self._feeds.watch(venues, instrument)
        scope.refresh(self._generation, now_ms, self._learning.settled_ms, watch, self.judge.thresholds)

    def _at(self, instrument: str, now_ms: int, at: Mapping[str, int] | None) -> Series | None:
        if at is None and now_ms < self.newest_ms - _BACK_MS:
            raise ValueError(f"evaluation at {now_ms} lies more than 2 s before the newest event, {self.newest_ms}")
        return self._series.get(instrument)

    def _advanced(self, instrument: str, now_ms: int, at: Mapping[str, int] | None) -> Series | None:
        series = self._at(instrument, now_ms, at)
        if series is not None:
            self._advance(series, now_ms, at)
        return series

    def _advance(self, series: Series, now_ms: int, at: Mapping[str, int] | None) -> None:
        if now_ms >= self._due_ms:  # what is settled may be forgotten, and nothing else
            self._settle(now_ms)
        series.advance(now_ms, self.newest_ms - KEEP_MS, at)

    def _said(
        self,
        name: tuple[str, str | None, int],
        venues: Collection[str],
        late_total: int,
        judged: Judged,
        at: Mapping[str, int] | None,
    ) -> tuple[Prices, Seen, Judged]:
        instrument, _, now_ms = name
        coverage = self._feeds.coverage(venues, now_ms, instrument, at)
        is_partial = not self._partial_venues.isdisjoint(venues) or (coverage[-1] is not None and coverage[-1] < 1)
        if instrument == MARKET and not is_partial:
            is_partial = self._feeds.is_incomplete(venues, now_ms - 1000 * WINDOWS[-1])
        prices = Prices(self.btc_price, self.btc_source, self.volatility_factor, self.volatility_coverage)
        return prices, Seen(coverage, is_partial, late_total), judged

    def _judged(self, key: StreamKey, now_ms: int, scope: Scope, sums: Sums, level: Level) -> Judged:
        told = None if self.levels is None else self.levels.told(key, now_ms, sums.usd_60s)
        return Judged(score_of(sums.every[2], scope.expected[1]), scope.rate, level, told, scope.fanos)

    def _threshold_level(
        self, series: Series, threshold: Threshold, now_ms: int, at: Mapping[str, int] | None
    ) -> Level:
        if _is_behind(series, now_ms, at) and self._is_out_of_reach(series, threshold):
            return "NONE"
        if self._is_hot(series, now_ms, at):
            return "ALERT"
        self._advance(series, now_ms, at)
        sums = summed(series.rings.values(), now_ms)
        count, moment = sums.every[0], sums.moment
        speed = accelerated(self._form, series.rings.values(), now_ms, count, moment)
        return threshold.level(count / WINDOWS[0], speed.value, moment[0])

    def _is_out_of_reach(self, series: Series, threshold: Threshold) -> bool:
        most = most_in_horizon = 0
        for ring in series.rings.values():
            for lane in ring.lanes:
                size, at = len(lane.times), lane.at
                most += size - at[1]
                most_in_horizon += size - at[MOMENT]
        return threshold.is_out_of_reach(most / WINDOWS[0], highest(self._form, most_in_horizon))

    def _is_hot(self, series: Series, now_ms: int, at: Mapping[str, int] | None) -> bool:
        """Whether one lane alone has enough events in the last 10 s."""
        common_ms, enough, since = now_ms, self._enough, now_ms - 1000 * WINDOWS[0]
        for venue, ring in series.rings.items():
            if at is not None:
                now_ms = at.get(venue, common_ms)
                since = now_ms - 1000 * WINDOWS[0]
            for lane in ring.lanes:
                times = lane.times
                if len(times) >= enough and since < times[-enough] and times[-1] <= now_ms:
                    return True
        return False


def _is_behind(series: Series, now_ms: int, at: Mapping[str, int] | None) -> bool:
    """Whether no window stands later than is asked for now: then its tails lie behind theirs."""
    if at is None:
        return now_ms >= series.advanced_ms
    return all(at.get(venue, now_ms) >= ring.now_ms for venue, ring in series.rings.items())


def _is_calm(series: Series, scope: Scope) -> bool:
    """Whether the most that can be in the windows is below every level."""
    most_10s = most_60s = most_300s = 0
    for ring in series.rings.values():
        for lane in ring.lanes:
            if lane.times:
                size = len(lane.times)
                _, tail_10s, _, tail_60s, tail_300s, _ = lane.at
                most_10s += size - tail_10s
                most_60s += size - tail_60s
                most_300s += size - tail_300s
    return scope.is_calm(most_10s, most_60s, most_300s)


def _least_count(velocity_10s: float) -> int:
    """The least number of events, at least one, that reaches the velocity; beyond any lane where none does."""
    count = max(1, ceil(min(velocity_10s * WINDOWS[0], 1e15)))
    return count if count / WINDOWS[0] >= velocity_10s else count + 1
