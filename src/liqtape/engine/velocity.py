"""The velocity engine: exact event-time windows per instrument, summed over its venues.

Naive: one sorted list per instrument. But venues are late independently of each other, and an operator asks
"which venue?"; so each (instrument, venue) has windows of its own, each in order almost always, and an instrument is
the sum of its venues' windows, as are a venue and the market.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from math import ceil
from operator import add

from msgspec import Struct

from liqtape.engine.baseline.binstatistics import BinStatistics
from liqtape.engine.baseline.currentbaseline import CurrentBaseline, score_of
from liqtape.engine.baseline.surprise import Score
from liqtape.engine.baseline.updater import KEEP_MS, BaselineUpdater
from liqtape.engine.levels.evaluator import LevelEvaluator
from liqtape.engine.levels.returnperiods import BREADTH_KEY, Minute, ReturnPeriods, StreamKey
from liqtape.engine.levels.streamlevel import StreamLevel
from liqtape.engine.levels.surpriselevels import LevelRule
from liqtape.engine.levels.threshold import Threshold
from liqtape.engine.windows.acceleration import slope
from liqtape.engine.windows.coverage import Feeds
from liqtape.engine.windows.eventcolumn import RETAIN_MS
from liqtape.engine.windows.forms import HORIZON_S, Form, accelerated, highest, new_venue_windows
from liqtape.engine.windows.instrumentwindows import InstrumentWindows
from liqtape.engine.windows.metricrow import Evaluation, RowCoverage, RowOf, RowPrices, Sums, row, summed
from liqtape.engine.windows.venueminute import VenueMinute
from liqtape.engine.windows.venuewindows import VenueWindows
from liqtape.engine.windows.window import Totals, Window
from liqtape.events import WINDOWS, Level, Liquidation, Side, VelocityMetrics
from liqtape.money import CLEAR, MICRO, WHOLE, micro_of
from liqtape.venues import VENUES

__all__ = ["FORGOTTEN", "MARKET", "StreamTotals", "VelocityEngine"]

_THROTTLED = frozenset(name for name, venue in VENUES.items() if venue.slot_seconds is not None)

MARKET = "MARKET"
"""The symbol of a row over all instruments."""

FORGOTTEN = "_other"
"""Under this name `ever_added` has what instruments were given that are forgotten."""

_MICRO = float(MICRO)
_BACK_MS = 2_000
_BEYOND_MS = 1 << 63  # a column keeps times in 64 bits; one that does not fit must not move `newest_ms` first
_LARGEST = len(WINDOWS)
_STALE_MS = 1_000
_MINUTE_MS = 60_000
_MANY = 200  # events placed anew; fewer cost less one by one
_NOTHING = (0,) * (2 * len(WINDOWS))


_SIDES: tuple[Side | None, ...] = ("long", "short", None)  # of the columns of venue windows


class StreamTotals(Struct, frozen=True, gc=False):
    """How many liquidations of one side of an instrument at a venue were ever added, and their micro-USD."""

    instrument: str
    venue: str
    side: Side | None
    events: int
    micro_usd: int


class VelocityEngine:
    """Counts, USD, velocity, acceleration, surprise, level and coverage of every instrument; no clock, no I/O.

    `throttled` are the venues that print at most one liquidation of a symbol and second, by default those of ours whose
    module says so. `rule` decides the levels. Instruments of `partial_venues`, which never show all of their
    liquidations, are partial whatever the coverage. `spread_ms` is how far apart the evaluation times of venues may be
    in `at`: so much more is kept.

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
        throttled: Collection[str] = _THROTTLED,
        rule: ReturnPeriods | LevelRule | Threshold | None = None,
        *,
        partial_venues: Collection[str] = (),
        acceleration: Form = "least_squares",
        spread_ms: int = 0,
    ) -> None:
        self.threshold = rule if isinstance(rule, Threshold) else None
        self._enough = 0 if self.threshold is None else _least_count(self.threshold.velocity_10s)
        self.evaluator = LevelEvaluator(rule if isinstance(rule, LevelRule) else LevelRule())
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
        self._windows: dict[str, InstrumentWindows] = {}
        self._awake_windows: dict[
            str, dict[str, tuple[InstrumentWindows, VenueWindows]]
        ] = {}  # by venue, by instrument: those that are not idle
        self._minutes: dict[str, VenueMinute] = {}  # by venue
        self._told_minute = -1
        self._venues: dict[str, set[str]] = {}  # of each instrument: that carry it, or have had an event of it
        self._late: dict[str, int] = {}  # by venue
        self._forgotten: dict[tuple[str, Side | None], tuple[int, int]] = {}  # events and micro-USD, by venue and side
        self._feeds = Feeds()
        self._retain_ms = RETAIN_MS + spread_ms
        self._updater = BaselineUpdater(self._feeds, self._retain_ms)
        self._due_ms = self._updater.due_ms
        self._generation = 0  # grows when slots became final, and when a feed came or went

    def __repr__(self) -> str:
        newest = f", newest event at {self.newest_ms} ms" if self.newest_ms else ""
        venues = ", ".join(self._feeds.venues) or "none"
        return f"<VelocityEngine: {len(self._windows)} instruments, venues {venues}{newest}>"

    @property
    def throttled(self) -> frozenset[str]:
        """Venues that print at most one liquidation per symbol and second."""
        return self._throttled

    def instruments(self) -> list[str]:
        """Return every instrument that has had an event."""
        return list(self._windows)

    def feed_up(self, venue: str, at_ms: int) -> None:
        """Note that the venue's feed is live from `at_ms` on: its subscription was confirmed."""
        self._feeds.up(venue, at_ms, max(self.newest_ms, self._updater.final_ms))
        self._generation += 1
        if self.levels is not None:
            self.levels.feed_up(venue, at_ms)

    def feed_up_again(self, venue: str, told_ms: int, at_ms: int) -> None:
        """Note that the venue's feed, which is live, is so from `at_ms` on and not, as was told, from `told_ms` on."""
        self._feeds.up_again(venue, told_ms, at_ms)
        self._generation += 1

    def feed_placed(self, venue: str, spans: Sequence[tuple[int, int]]) -> None:
        """Note when the venue's feed was live, (up, down), instead of all that was told; not for the baselines."""
        self._feeds.placed(venue, spans)
        self._generation += 1

    def feed_down(self, venue: str, at_ms: int) -> None:
        """Note that the venue's feed was last seen live at `at_ms`."""
        self._feeds.down(venue, at_ms)
        self._generation += 1
        if self.levels is not None:
            self.levels.feed_down(venue, at_ms)

    def feed_missed(self, venue: str, from_ms: int, until_ms: int) -> None:
        """Note that the venue's feed turned out not to have been live in between."""
        self._feeds.missed(venue, from_ms, until_ms)
        self._generation += 1
        if self.levels is not None:
            self.levels.feed_missed(venue, from_ms, until_ms)

    def feed_backfilled(self, venue: str, from_ms: int, until_ms: int) -> None:
        """Note that all that the venue's feed missed in between has been added."""
        self._feeds.backfilled(venue, from_ms, until_ms, self._updater.final_ms)
        self._generation += 1

    def lists_instrument(self, venue: str, instrument: str) -> None:
        """Note that the venue offers the instrument: its outages make the instrument's windows partial.

        So does its absence: where another feed of the instrument was live, one that never was covers nothing.
        """
        self._venues.setdefault(instrument, set()).add(venue)
        self._feeds.add_venue(venue)
        if self.levels is not None:
            self.levels.lists(venue, instrument, self.newest_ms)

    def feed_unsubscribed(
        self, venue: str, instruments: Collection[str], at_ms: int, *, is_listed: bool = True
    ) -> None:
        """Note which instruments the venue's feed does not bring from `at_ms` on.

        Their coverage begins when they are not named any more. Unless `is_listed` there may be others: the market's
        windows are partial.
        """
        self._feeds.unsubscribed(venue, instruments, at_ms, is_listed=is_listed)
        self._generation += 1

    def coverage(self, venue: str, now_ms: int, at: Mapping[str, int] | None = None) -> float | None:
        """Return the share of the largest window in which the venue's feed was live; None before a `feed_up`."""
        return self.coverages(venue, now_ms, at)[-1]

    def coverages(self, venue: str, now_ms: int, at: Mapping[str, int] | None = None) -> Sequence[float | None]:
        """Return the same of each window."""
        return self._feeds.coverage([venue], now_ms, at=at)

    def seed_baselines(self, counts: Iterable[tuple[int, str, str, int]]) -> None:
        """Learn from a history: (begin in ms, venue, instrument, liquidations) of slots of ten seconds.

        In order of time, all of them 300 s old, and before the first `add`; when their feeds were live is to be told
        first. Baselines then begin where an earlier run left them, and the first hour is not full of surprises.
        """
        self._feeds.begin_run()
        for at_ms, venue, instrument, count in counts:
            instrument_windows = self._windows_of(instrument)
            instrument_windows.venues.add(venue)
            self._updater.seed(at_ms, venue, instrument_windows, count)
        self._generation += 1

    def add(self, liquidation: Liquidation, window_ms: int | None = None) -> bool:
        """Add one liquidation, in any order. O(1) in order, late its share of O(k) for thousands, k being newer.

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
                self._finalize(event_ms)
            self.newest_ms = newest_ms = event_ms
        elif event_ms <= newest_ms - self._retain_ms:
            self.late_dropped_total += 1
            self._windows_of(liquidation.instrument).venues.add(liquidation.venue)  # it carries it all the same
            return False
        try:
            instrument_windows, venue_windows = self._awake_windows[liquidation.venue][liquidation.instrument]
        except KeyError:
            instrument_windows, venue_windows = self._woken(liquidation.venue, liquidation.instrument)
        if event_ms <= instrument_windows.evaluated_ms and instrument_windows.is_late(liquidation.venue, event_ms):
            self._note_late(instrument_windows, liquidation.venue)
        venue_windows.add(liquidation.side, event_ms, micro, newest_ms - KEEP_MS)
        instrument_windows.has_news = True
        return True

    def take_out(self, liquidation: Liquidation, window_ms: int) -> bool:
        """Remove a liquidation that stands in windows at `window_ms`; return whether it was there.

        Costs as a late `add`.
        """
        instrument_windows = self._windows.get(liquidation.instrument)
        venue_windows = None if instrument_windows is None else instrument_windows.venue_windows.get(liquidation.venue)
        usd = liquidation.notional_usd
        if venue_windows is None or not venue_windows.take_out(
            liquidation.side, window_ms, 0 if usd is None else micro_of(usd)
        ):
            return False
        self._minutes[liquidation.venue].forget()
        return True

    def place_anew(self, moves: Sequence[tuple[Liquidation, int, int]]) -> None:
        """Let each liquidation that stands in windows at the first time stand at the second.

        As `take_out` and `add`; where there are many, each column is made anew once.
        """
        if len(moves) < _MANY:
            for liquidation, was_ms, window_ms in moves:
                self.take_out(liquidation, was_ms)
                self.add(liquidation, window_ms)
            return
        gone: dict[tuple[VenueWindows, Side | None], Counter[tuple[int, int]]] = {}
        come: dict[tuple[VenueWindows, Side | None], list[tuple[int, int]]] = {}
        # The newest first: what follows from its time is settled before others are put beside it.
        for liquidation, was_ms, window_ms in sorted(moves, key=lambda move: move[2], reverse=True):
            usd = liquidation.notional_usd
            micro = 0 if usd is None else micro_of(usd)
            instrument_windows = self._windows.get(liquidation.instrument)
            there = None if instrument_windows is None else instrument_windows.venue_windows.get(liquidation.venue)
            if there is not None:
                gone.setdefault((there, liquidation.side), Counter())[was_ms, micro] += 1
            if (venue_windows := self._place_for(liquidation, window_ms)) is not None:
                come.setdefault((venue_windows, liquidation.side), []).append((window_ms, micro))
        for where in dict.fromkeys([*gone, *come]):
            where[0].replace(where[1], gone.get(where, {}), come.get(where, [])[::-1])
        for venue in {liquidation.venue for liquidation, _, _ in moves}:
            if venue in self._minutes:
                self._minutes[venue].forget()

    def _place_for(self, liquidation: Liquidation, event_ms: int) -> VenueWindows | None:
        """Return the windows that an event belongs into, as `add` finds them, and note all but the event itself."""
        if event_ms > self.newest_ms:
            self.newest_ms = event_ms
            if event_ms >= self._due_ms:
                self._finalize(event_ms)
        elif event_ms <= self.newest_ms - self._retain_ms:
            self.late_dropped_total += 1
            return None
        instrument_windows, venue_windows = self._woken(liquidation.venue, liquidation.instrument)
        if event_ms <= instrument_windows.evaluated_ms and instrument_windows.is_late(liquidation.venue, event_ms):
            self._note_late(instrument_windows, liquidation.venue)
        instrument_windows.has_news = True
        return venue_windows

    def forget(self, instruments: Collection[str]) -> None:
        """Drop instruments with all that is known of them, and what windows have of them.

        Of `ever_added` it stays a part, under `FORGOTTEN`. Costs O(instruments with events).
        """
        dropped: dict[str, list[VenueWindows]] = {}
        for instrument in instruments:
            self._venues.pop(instrument, None)
            self._updater.active.pop(instrument, None)
            self.evaluator.levels.held.pop(instrument, None)
            if self.levels is not None:
                self.levels.forget(instrument)
            instrument_windows = self._windows.pop(instrument, None)
            for venue, venue_windows in (
                {} if instrument_windows is None else instrument_windows.venue_windows
            ).items():
                self._awake_windows[venue].pop(instrument, None)
                dropped.setdefault(venue, []).append(venue_windows)
                for side, column in zip(_SIDES, venue_windows.columns, strict=True):
                    count, micro = column.ever_added()
                    before = self._forgotten.get((venue, side), (0, 0))
                    self._forgotten[venue, side] = before[0] + count, before[1] + micro
        for venue, all_venue_windows in dropped.items():
            self._minutes[venue].drop(all_venue_windows)

    def move(self, by_ms: int, by_venue: Mapping[str, int]) -> None:
        """Make time later by `by_ms` than it was taken for: what is due at a time of it moves along.

        The events and feeds of a venue move by what `by_venue` says of it, others stay. O(all events in windows), rare.
        """
        for instrument_windows in self._windows.values():
            instrument_windows.move(by_ms, by_venue)
        # Counted anew: what stood right while the time was wrong stays, and is the newest still.
        self.newest_ms = max((each.newest_ms for each in self._windows.values()), default=0)
        self._feeds.move(by_ms, by_venue)
        self._updater.move(by_ms)
        self._due_ms = self._updater.due_ms
        self.evaluator.levels.move(by_ms)
        if self.levels is not None:
            self.levels.shift(by_ms)
        self._told_minute += by_ms // _MINUTE_MS
        for minute in self._minutes.values():
            minute.forget()
        self._generation += 1

    def rewind(self, now_ms: int) -> None:
        """Make time earlier than it was taken for; what stands later by mistake is to be taken out."""
        self.newest_ms = min(self.newest_ms, now_ms)
        self.cut(now_ms)

    def cut(self, after_ms: int) -> None:
        """Forget that feeds were live, and that anything was learned, later than that: it was told by a wrong clock."""
        self._feeds.cut(after_ms)
        self._updater.cut(after_ms)
        self._due_ms = self._updater.due_ms
        self._generation += 1

    def look(  # noqa: C901 - one loop over all steps, as in `Admission.take`: in a flood each call counts
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
                instrument_windows, venue_windows = self._awake_windows[venue][instrument]
            except KeyError:
                continue  # too old for any window
            looked.add(venue)
            instrument_windows.has_news = False
            stream, everywhere = venue_windows.stream, instrument_windows.stream
            if stream is None or everywhere is None:
                stream, everywhere = self._streams(levels, venue, instrument, now_ms)
            micro, count = minutes[venue].update(venue_windows, now_ms if at is None else at.get(venue, now_ms))
            looks.append((stream, micro / MICRO, count))
            if len(instrument_windows.venue_windows) > 1:
                for other, windows_there in instrument_windows.venue_windows.items():
                    if other != venue:
                        there = windows_there.minute(now_ms if at is None else at.get(other, now_ms))
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
        """Return the streams of an instrument at a venue and over all of them, which its windows know from now on."""
        instrument_windows = self._windows[instrument]
        stream = instrument_windows.venue_windows[venue].stream = levels.stream(StreamKey(venue, instrument), now_ms)
        everywhere = instrument_windows.stream = levels.stream(StreamKey(None, instrument), now_ms)
        return stream, everywhere

    def _look_itself(
        self, instrument: str, instrument_windows: InstrumentWindows, now_ms: int, at: Mapping[str, int] | None
    ) -> None:
        """Look at what was added since the last look, where nobody else does after each event."""
        self.look([(venue, instrument) for venue in instrument_windows.venue_windows], now_ms, at)

    def pass_over(self, instruments: Iterable[str], now_ms: int, at: Mapping[str, int] | None = None) -> None:
        """Leave the newest events of these instruments without a look: what a venue repeats is no news."""
        for instrument in instruments:
            instrument_windows = self._windows.get(instrument)
            if instrument_windows is not None and instrument_windows.has_news:
                instrument_windows.has_news = False
                for venue, venue_windows in instrument_windows.venue_windows.items():
                    self._minutes[venue].update(venue_windows, now_ms if at is None else at.get(venue, now_ms))

    def _minutes_at(self, now_ms: int, at: Mapping[str, int] | None) -> tuple[Minute, dict[str, Minute]]:
        """Return USD and events of 60 s of the market, and of each venue."""
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
        instrument_windows = self._windows.get(key.instrument)
        micro = count = 0
        for venue, venue_windows in {} if instrument_windows is None else instrument_windows.venue_windows.items():
            if key.venue in {None, venue}:
                of_windows = venue_windows.minute(now_ms if at is None else at.get(venue, now_ms))
                micro += of_windows[0]
                count += of_windows[1]
        return micro / MICRO, count

    def sides(self, key: StreamKey, now_ms: int, at: Mapping[str, int] | None = None) -> tuple[int, int]:
        """Return the micro-USD of long and of short liquidations in the last 60 s of any stream. O(its instruments)."""
        long = short = 0
        is_of_all = key.instrument is None or key == BREADTH_KEY
        for name, instrument_windows in self._updater.active.items():
            if not is_of_all and name != key.instrument:
                continue
            for venue, venue_windows in instrument_windows.venue_windows.items():
                if key.venue in {None, venue}:
                    venue_ms = now_ms if at is None else at.get(venue, now_ms)
                    long += venue_windows.long.minute(venue_ms)[0]
                    short += venue_windows.short.minute(venue_ms)[0]
        return long, short

    def level(self, instrument: str, now_ms: int, at: Mapping[str, int] | None = None) -> Level:
        """Return the level alone, and remember it: what each event needs, at a fraction of the cost of `metrics`.

        It moves no cursor, or only once a second: a tail only moves forwards, so what lies behind it now is the most
        that can be in the window, and mostly that is calm.
        """
        instrument_windows = self._at(instrument, now_ms, at)
        if instrument_windows is None:
            return "NONE"
        if self.threshold is not None:
            return self._threshold_level(instrument_windows, self.threshold, now_ms, at)
        if self.levels is not None:
            if instrument_windows.has_news:
                self._look_itself(instrument, instrument_windows, now_ms, at)
            return self.levels.level(instrument)
        baseline = instrument_windows.baseline
        if now_ms >= self._due_ms:
            self._finalize(now_ms)
        if baseline.generation != self._generation or now_ms < baseline.since_ms:
            self._refresh(baseline, instrument_windows.venues, now_ms, instrument)
        if (
            instrument not in self.evaluator.levels.held
            and _is_behind(instrument_windows, now_ms, at)
            and _is_calm(instrument_windows, baseline)
        ):
            return "NONE"
        if now_ms - instrument_windows.advanced_ms >= _STALE_MS:
            self._advance(instrument_windows, now_ms, at)
        counts, micro = instrument_windows.window_counts(now_ms, at)
        return self.evaluator.step(instrument, now_ms, baseline, counts, micro / MICRO)

    def market_level(self) -> Level:
        """Return the level of the market as it was last looked at; NONE by the rules that know none."""
        return "NONE" if self.levels is None else self.levels.market_level()

    def score(self, instrument: str, now_ms: int, at: Mapping[str, int] | None = None) -> Score | None:
        """Return the surprise that is compared with the thresholds, with what it was measured by.

        None where undefined.
        """
        instrument_windows = self._at(instrument, now_ms, at)
        if instrument_windows is None:
            return None
        baseline = self._current(instrument_windows.baseline, instrument_windows.venues, now_ms, instrument)
        return self.evaluator.decisive(baseline, instrument_windows.window_counts(now_ms, at)[0])

    def take_changed(self) -> list[str]:
        """Return the instruments (or `MARKET`) whose level may have changed by return period since the last call."""
        if self.levels is None or not self.levels.has_changed:
            return []
        return [MARKET if instrument is None else instrument for instrument in self.levels.take_changed()]

    def raised(self) -> list[str]:
        """Return the instruments that the level rule holds above NONE: to be looked at by time alone, too."""
        return list(self.evaluator.levels.held) if self.levels is None else self.levels.raised()

    def is_raised(self) -> bool:
        """Return whether any level is above NONE: of an instrument, of a venue, of the market."""
        return bool(self.evaluator.levels.held) if self.levels is None else self.levels.is_raised()

    def is_empty(self, instrument: str, now_ms: int, at: Mapping[str, int] | None = None) -> bool:
        """Return whether no event of the instrument is left in any window."""
        instrument_windows = self._advanced(instrument, now_ms, at)
        return instrument_windows is None or not any(
            column.count(_LARGEST)
            for venue_windows in instrument_windows.venue_windows.values()
            for column in venue_windows.columns
        )

    def window(
        self,
        instrument: str,
        seconds: int,
        now_ms: int,
        venue: str | None = None,
        *,
        at: Mapping[str, int] | None = None,
    ) -> Window | None:
        """Return one window with standard errors, of the instrument or of one of its venues; None if never seen.

        Costs O(events in the window), because of the sum of squares. Raises ValueError for another length than 10, 30,
        60 or 300 s.
        """
        k = WINDOWS.index(seconds) + 1
        instrument_windows = self._advanced(instrument, now_ms, at)
        if instrument_windows is None or (venue is not None and venue not in instrument_windows.venue_windows):
            return None
        all_venue_windows = [
            venue_windows for name, venue_windows in instrument_windows.venue_windows.items() if venue in (None, name)
        ]
        columns = [column for venue_windows in all_venue_windows for column in venue_windows.columns]
        live_times = self._feeds.live_ms_of(
            [venue] if venue else instrument_windows.venues, seconds, now_ms, instrument, at
        )
        return Window(
            seconds,
            sum(venue_windows.long.count(k) for venue_windows in all_venue_windows),
            sum(venue_windows.short.count(k) for venue_windows in all_venue_windows),
            sum(venue_windows.long.micro(k) for venue_windows in all_venue_windows),
            sum(venue_windows.short.micro(k) for venue_windows in all_venue_windows),
            sum(micro * micro for column in columns for micro in column.values(k)),
            min(live_times, default=None),
            sum(venue_windows.unsided.count(k) for venue_windows in all_venue_windows),
            sum(venue_windows.unsided.micro(k) for venue_windows in all_venue_windows),
        )

    def totals(self, instrument: str, now_ms: int, at: Mapping[str, int] | None = None) -> Totals | None:
        """Return the counts, USD and acceleration alone, at `now_ms` as for `metrics`; None if never seen.

        >>> engine = VelocityEngine()
        >>> engine.add(Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 8e4, "bankruptcy", 0.01, 800.0, 1_000_000))
        True
        >>> engine.totals("BTCUSDT", 1_020_000)
        Totals(counts=(0, 1, 1, 1), micro_usd=(0, 800000000, 800000000, 800000000), acceleration=0.0)
        """
        instrument_windows = self._at(instrument, now_ms, at)
        if instrument_windows is None:
            return None
        instrument_windows.advance(now_ms, self.newest_ms - KEEP_MS, at)
        total: Sequence[int] = _NOTHING
        in_horizon = sum_ms = 0
        for venue_windows in instrument_windows.venue_windows.values():
            behind_ms = now_ms - venue_windows.now_ms
            for column in venue_windows.columns:
                if column.settled_times:
                    row = column.windows()
                    total = row if total is _NOTHING else list(map(add, total, row))
                    recent, part_ms = column.recent(behind_ms)
                    in_horizon += recent
                    sum_ms += part_ms
        n10, n30, n60, n300, u10, u30, u60, u300 = total
        if self._form == "least_squares":  # at its place: 400 ns less
            acceleration = slope(in_horizon, sum_ms, now_ms, HORIZON_S)
        else:
            all_venue_windows = instrument_windows.venue_windows.values()
            acceleration = accelerated(self._form, all_venue_windows, now_ms, n10, (in_horizon, sum_ms)).value
        return Totals((n10, n30, n60, n300), (u10, u30, u60, u300), acceleration)

    def metrics(
        self, instrument: str, now_ms: int, venue: str | None = None, *, at: Mapping[str, int] | None = None
    ) -> VelocityMetrics | None:
        """Return all metrics at evaluation time `now_ms`; None for what was never seen, zeros after its events left.

        With a `venue` those of its liquidations alone, None where it had none; their `level` is what the rule says of
        this moment, without hysteresis. `now_ms` may lie up to 2 s before the newest event added; newer events are then
        left out. Earlier raises ValueError, because what it would need may be forgotten; with `at` it does not, for the
        times of venues may differ from that of the newest event.
        """
        instrument_windows = self._advanced(instrument, now_ms, at)
        if instrument_windows is None:
            return None
        if venue is not None:
            return self._of_venue(instrument, instrument_windows, now_ms, venue, at)
        instrument_windows.evaluated(now_ms, at)
        all_venue_windows = instrument_windows.venue_windows.values()
        sums = summed(all_venue_windows, now_ms)
        baseline = self._current(instrument_windows.baseline, instrument_windows.venues, now_ms, instrument)
        speed = accelerated(self._form, all_venue_windows, now_ms, sums.every[0], sums.moment)
        if self.threshold is not None:
            level = self.threshold.level(sums.every[0] / WINDOWS[0], speed.value, sums.moment[0])
        elif self.levels is not None:
            if instrument_windows.has_news:
                self._look_itself(instrument, instrument_windows, now_ms, at)
            level = self.levels.level(instrument)
        else:
            level = self.evaluator.shown(instrument, baseline, sums)
        whose = RowOf(instrument, None, now_ms)
        evaluation = self._evaluation(StreamKey(None, instrument), now_ms, baseline, sums, level)
        seen = self._seen(whose, instrument_windows.venues, instrument_windows.late_total, at)
        return row(whose, all_venue_windows, sums, speed, self._prices(), seen, evaluation)

    def market(self, now_ms: int, venue: str | None = None, *, at: Mapping[str, int] | None = None) -> VelocityMetrics:
        """Return the same over all instruments, of one venue or of all; its symbol is `MARKET`.

        O(instruments with events).
        """
        if self.levels is not None:
            for name, instrument_windows in self._updater.active.items():
                if instrument_windows.has_news:
                    self._look_itself(name, instrument_windows, now_ms, at)
        all_venue_windows = self._market_windows(now_ms, at).get(venue, [])
        venues = self._feeds.venues if venue is None else [venue]
        late_total = self.late_total if venue is None else self._late.get(venue, 0)
        baseline = self._current(self._updater.baseline(venue), venues, now_ms)
        return self._row(RowOf(MARKET, venue, now_ms), all_venue_windows, venues, baseline, late_total, at)

    def tick(self, now_ms: int, at: Mapping[str, int] | None = None) -> None:
        """Let episodes end and levels come down; by the rule of surprise, look at the venues. About once a second."""
        if self.threshold is not None:
            return
        if self.levels is not None:
            self._tell_minutes(now_ms)
            self.levels.tick(now_ms, lambda key: self.minute(key, now_ms, at))
            return
        rule = self.evaluator.rule
        for venue, all_venue_windows in self._market_windows(now_ms, at).items():
            if venue is None:
                continue
            baseline = self._current(self._updater.baseline(venue), [venue], now_ms)
            sums = summed(all_venue_windows, now_ms)
            if self.evaluator.target(baseline, sums.window_counts, sums.usd_60s, rule.floor_usd) == "CRITICAL":
                self.evaluator.levels.market.venue(venue, now_ms)

    def _tell_minutes(self, now_ms: int) -> None:
        """Tell the streams once a minute what it brought, for their mean minute (`times_usual`)."""
        minute = now_ms // _MINUTE_MS
        if minute <= self._told_minute:
            return
        self._told_minute = minute
        for venue, all_venue_windows in self._awake_windows.items():
            total = 0
            for _, venue_windows in all_venue_windows.values():
                micro = venue_windows.minute(minute * _MINUTE_MS)[0]
                if micro and venue_windows.stream is not None:
                    venue_windows.stream.histogram.usd += micro / MICRO
                    total += micro
            stream = self._minutes[venue].stream
            if stream is not None:
                stream.histogram.usd += total / MICRO

    def ever_added(self) -> Iterator[StreamTotals]:
        """Yield what was ever added, by instrument, venue and side; what was too old for any window is not in it."""
        for name, instrument_windows in self._windows.items():
            for venue, venue_windows in instrument_windows.venue_windows.items():
                for side, column in zip(_SIDES, venue_windows.columns, strict=True):
                    count, micro = column.ever_added()
                    if count:
                        yield StreamTotals(name, venue, side, count, micro)
        for (venue, side), (count, micro) in self._forgotten.items():
            if count:
                yield StreamTotals(FORGOTTEN, venue, side, count, micro)

    def counts(self, from_ms: int, until_ms: int) -> dict[str, dict[str, int]]:
        """Return the liquidations with from <= time < until by instrument and venue, none older than 300 s."""
        return {
            name: found
            for name, instrument_windows in self._updater.active.items()
            if (found := instrument_windows.counts(from_ms, until_ms))
        }

    def _of_venue(
        self,
        instrument: str,
        instrument_windows: InstrumentWindows,
        now_ms: int,
        venue: str,
        at: Mapping[str, int] | None,
    ) -> VelocityMetrics | None:
        venue_windows = instrument_windows.venue_windows.get(venue)
        if venue_windows is None:
            return None
        baseline = self._current(
            CurrentBaseline(instrument_windows.statistics.get(venue) or BinStatistics()), [venue], now_ms, instrument
        )
        late = instrument_windows.late.get(venue, 0)
        return self._row(RowOf(instrument, venue, now_ms), [venue_windows], [venue], baseline, late, at)

    def _row(
        self,
        whose: RowOf,
        all_venue_windows: Collection[VenueWindows],
        venues: Collection[str],
        baseline: CurrentBaseline,
        late: int,
        at: Mapping[str, int] | None,
    ) -> VelocityMetrics:
        """Return a row of one venue, or of the market; by the rule of surprise its level has no memory."""
        now_ms = whose.now_ms
        sums = summed(all_venue_windows, now_ms)
        key = StreamKey(whose.venue, None if whose.symbol == MARKET else whose.symbol)
        speed = accelerated(self._form, all_venue_windows, now_ms, sums.every[0], sums.moment)
        if self.threshold is not None:
            level = self.threshold.level(sums.every[0] / WINDOWS[0], speed.value, sums.moment[0])
        elif self.levels is not None:
            level = self.levels.level_of(key)
        else:
            level = self.evaluator.target(
                baseline, sums.window_counts, sums.usd_60s, self.evaluator.rule.floor(whose.symbol)
            )
        evaluation = self._evaluation(key, now_ms, baseline, sums, level)
        seen = self._seen(whose, venues, late, at)
        return row(whose, all_venue_windows, sums, speed, self._prices(), seen, evaluation)

    def _market_windows(self, now_ms: int, at: Mapping[str, int] | None) -> dict[str | None, list[VenueWindows]]:
        """Return the venue windows that may have an event in a window, advanced.

        They come by venue, and all of them under None.
        """
        if now_ms >= self._due_ms:
            self._finalize(now_ms)
        all_venue_windows: dict[str | None, list[VenueWindows]] = {None: []}
        for instrument_windows in self._updater.active.values():
            self._advance(instrument_windows, now_ms, at)
            for venue, venue_windows in instrument_windows.venue_windows.items():
                all_venue_windows.setdefault(venue, []).append(venue_windows)
                all_venue_windows[None].append(venue_windows)
        return all_venue_windows

    def _windows_of(self, instrument: str) -> InstrumentWindows:
        instrument_windows = self._windows.get(instrument)
        if instrument_windows is None:
            instrument_windows = self._windows[instrument] = InstrumentWindows(
                self._venues.setdefault(instrument, set())
            )
        return instrument_windows

    def _woken(self, venue: str, instrument: str) -> tuple[InstrumentWindows, VenueWindows]:
        """Return the windows for an event of an instrument that was idle, or is new."""
        if self._feeds.spoke(venue, self.newest_ms // 1000 * 1000):
            self._generation += 1
        instrument_windows = self._windows_of(instrument)
        venue_windows = instrument_windows.venue_windows.get(venue)
        if venue_windows is None:
            venue_windows = instrument_windows.venue_windows[venue] = new_venue_windows(
                self._form, is_throttled=venue in self._throttled
            )
            instrument_windows.venues.add(venue)
            instrument_windows.baseline.generation = -1
        if instrument_windows.is_idle:
            self._updater.wake(instrument, instrument_windows)
        if venue not in self._minutes:
            self._minutes[venue] = VenueMinute(self._awake_windows.setdefault(venue, {}).values())
        both = self._awake_windows.setdefault(venue, {})[instrument] = instrument_windows, venue_windows
        return both

    def _note_late(self, instrument_windows: InstrumentWindows, venue: str) -> None:
        instrument_windows.late[venue] = instrument_windows.late.get(venue, 0) + 1
        self._late[venue] = self._late.get(venue, 0) + 1
        self.late_total += 1

    def _finalize(self, now_ms: int) -> None:
        for instrument in self._updater.finalize(now_ms, self.newest_ms):
            for venue in self._windows[instrument].venue_windows:
                self._awake_windows[venue].pop(instrument, None)
        self._due_ms = self._updater.due_ms
        self._generation += 1

    def _current(
        self, baseline: CurrentBaseline, venues: Collection[str], now_ms: int, instrument: str | None = None
    ) -> CurrentBaseline:
        if now_ms >= self._due_ms:
            self._finalize(now_ms)
        if baseline.generation != self._generation or now_ms < baseline.since_ms:
            self._refresh(baseline, venues, now_ms, instrument)
        return baseline

    def _refresh(self, baseline: CurrentBaseline, venues: Collection[str], now_ms: int, instrument: str | None) -> None:
        live = self._feeds.live_intervals(venues, instrument)
        baseline.refresh(self._generation, now_ms, self._updater.final_ms, live, self.evaluator.thresholds)

    def _at(self, instrument: str, now_ms: int, at: Mapping[str, int] | None) -> InstrumentWindows | None:
        if at is None and now_ms < self.newest_ms - _BACK_MS:
            raise ValueError(f"evaluation at {now_ms} lies more than 2 s before the newest event, {self.newest_ms}")
        return self._windows.get(instrument)

    def _advanced(self, instrument: str, now_ms: int, at: Mapping[str, int] | None) -> InstrumentWindows | None:
        instrument_windows = self._at(instrument, now_ms, at)
        if instrument_windows is not None:
            self._advance(instrument_windows, now_ms, at)
        return instrument_windows

    def _advance(self, instrument_windows: InstrumentWindows, now_ms: int, at: Mapping[str, int] | None) -> None:
        if now_ms >= self._due_ms:  # what is final may be forgotten, and nothing else
            self._finalize(now_ms)
        instrument_windows.advance(now_ms, self.newest_ms - KEEP_MS, at)

    def _prices(self) -> RowPrices:
        return RowPrices(self.btc_price, self.btc_source, self.volatility_factor, self.volatility_coverage)

    def _seen(
        self, whose: RowOf, venues: Collection[str], late_total: int, at: Mapping[str, int] | None
    ) -> RowCoverage:
        instrument, now_ms = whose.symbol, whose.now_ms
        coverage = self._feeds.coverage(venues, now_ms, instrument, at)
        is_partial = not self._partial_venues.isdisjoint(venues) or (coverage[-1] is not None and coverage[-1] < 1)
        if instrument == MARKET and not is_partial:
            is_partial = self._feeds.is_incomplete(venues, now_ms - 1000 * WINDOWS[-1])
        return RowCoverage(coverage, is_partial, late_total)

    def _evaluation(
        self, key: StreamKey, now_ms: int, baseline: CurrentBaseline, sums: Sums, level: Level
    ) -> Evaluation:
        rarity = None if self.levels is None else self.levels.rarity(key, now_ms, sums.usd_60s)
        return Evaluation(score_of(sums.every[2], baseline.expected[1]), baseline.rate, level, rarity, baseline.fanos)

    def _threshold_level(
        self, instrument_windows: InstrumentWindows, threshold: Threshold, now_ms: int, at: Mapping[str, int] | None
    ) -> Level:
        if _is_behind(instrument_windows, now_ms, at) and self._is_out_of_reach(instrument_windows, threshold):
            return "NONE"
        if self._is_hot(instrument_windows, now_ms, at):
            return "ALERT"
        self._advance(instrument_windows, now_ms, at)
        sums = summed(instrument_windows.venue_windows.values(), now_ms)
        count, moment = sums.every[0], sums.moment
        speed = accelerated(self._form, instrument_windows.venue_windows.values(), now_ms, count, moment)
        return threshold.level(count / WINDOWS[0], speed.value, moment[0])

    def _is_out_of_reach(self, instrument_windows: InstrumentWindows, threshold: Threshold) -> bool:
        most = most_in_horizon = 0
        for venue_windows in instrument_windows.venue_windows.values():
            for column in venue_windows.columns:
                most += column.most()[0]
                most_in_horizon += column.most_recent()
        return threshold.is_out_of_reach(most / WINDOWS[0], highest(self._form, most_in_horizon))

    def _is_hot(self, instrument_windows: InstrumentWindows, now_ms: int, at: Mapping[str, int] | None) -> bool:
        """Return whether one column alone has enough events in the last 10 s."""
        common_ms, enough, since = now_ms, self._enough, now_ms - 1000 * WINDOWS[0]
        for venue, venue_windows in instrument_windows.venue_windows.items():
            if at is not None:
                now_ms = at.get(venue, common_ms)
                since = now_ms - 1000 * WINDOWS[0]
            for column in venue_windows.columns:
                times = column.settled_times
                if len(times) >= enough and since < times[-enough] and times[-1] <= now_ms:
                    return True
        return False


def _is_behind(instrument_windows: InstrumentWindows, now_ms: int, at: Mapping[str, int] | None) -> bool:
    """Return whether no window stands later than is asked for now: then its tails lie behind theirs."""
    if at is None:
        return now_ms >= instrument_windows.advanced_ms
    return all(
        at.get(venue, now_ms) >= venue_windows.now_ms
        for venue, venue_windows in instrument_windows.venue_windows.items()
    )


def _is_calm(instrument_windows: InstrumentWindows, baseline: CurrentBaseline) -> bool:
    """Return whether the most that can be in the windows is below every level."""
    most_10s = most_60s = most_300s = 0
    for venue_windows in instrument_windows.venue_windows.values():
        for column in venue_windows.columns:
            if column.settled_times:
                of_10s, of_60s, of_300s = column.most()
                most_10s += of_10s
                most_60s += of_60s
                most_300s += of_300s
    return baseline.is_calm(most_10s, most_60s, most_300s)


def _least_count(velocity_10s: float) -> int:
    """Return the least number of events, at least one, that reaches the velocity; beyond any column where none does."""
    count = max(1, ceil(min(velocity_10s * WINDOWS[0], 1e15)))
    return count if count / WINDOWS[0] >= velocity_10s else count + 1
