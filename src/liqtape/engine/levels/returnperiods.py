"""The levels of all streams by return periods: instruments, instruments at a venue, venues, the market, its breadth.

Definition: metrics 5b. What a stream brought within 60 s is told by the engine; here is only what is made of it, so
that live, replays and the history decide by one rule.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from heapq import nlargest
from math import inf
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from liqtape.engine.levels.episodes import StreamState
from liqtape.engine.levels.streamlevel import (
    BREADTH,
    EXTREME_STEP,
    HOLD_MS,
    INSTRUMENT,
    LEAST_MEAN_DAYS,
    MARKET_STEPS,
    QUIET_MS,
    VENUE,
    LevelSteps,
    StreamLevel,
)
from liqtape.events import Level

__all__ = [
    "BREADTH_KEY",
    "MARKET_KEY",
    "MOST_RESTORED",
    "STREAM_LEVELS",
    "Minute",
    "Raise",
    "Rarity",
    "ReturnPeriods",
    "StreamKey",
]

STREAM_LEVELS: tuple[Level, ...] = ("NONE", "WATCH", "ALERT", "CRITICAL", "CRITICAL")
"""The level of each step of a stream; EXTREME is the market's alone."""

MOST_RESTORED = 30_000
"""Streams of an earlier run that are taken over; four venues with full lists have some 15,000."""

_ALERT = 2
_CRITICAL = 3
_LEAST_BREADTH = 3
_BREADTH_MS = 60_000
_ROUND_CALLS = 3_600  # of `take_states`, once a second, in which each stream is told
_NEW = StreamState(0.0, {})


class StreamKey(NamedTuple):
    """A stream: an instrument over its venues, an instrument at a venue, a venue's, or (both None) the market's."""

    venue: str | None
    instrument: str | None


MARKET_KEY = StreamKey(None, None)
BREADTH_KEY = StreamKey(None, "*")
"""Of the number of instruments that rose within 60 s; no instrument is spelled so."""

Minute = tuple[float, int]
"""USD and liquidations of the last 60 s."""


class Raise(NamedTuple):
    """A stream went above the highest step of its episode: one raise of each step in (`above`, `step`]."""

    key: StreamKey
    at_ms: int
    above: int
    step: int
    usd_60s: float
    count_60s: int


class Rarity(Struct, frozen=True, gc=False):
    """What is said of a stream beside its level.

    `return_days`: once in so many watched days it reaches as much (None of nothing, and before anything was watched);
    `watched_days` (decayed) are what that was learned from; `is_extrapolated` where the first exceed the second.
    `times_usual` is against the mean watched minute, None before one hour of them.
    """

    return_days: float | None
    watched_days: float
    is_learning: bool
    is_extrapolated: bool
    times_usual: float | None


def _step_of(level: Level) -> int:
    return EXTREME_STEP if level == "EXTREME" else STREAM_LEVELS.index(level)


_NOTHING = Rarity(None, 0.0, is_learning=True, is_extrapolated=False, times_usual=None)


class ReturnPeriods:
    """Looks after each event at the streams it belongs to, and says which level each has.

    Watched time of a stream is when at least one of its venues is up. A venue of which no feed mark was ever told is up
    since its first event. `critical_usd` replaces the floor of CRITICAL of the instruments it names.

    >>> levels = ReturnPeriods()
    >>> stream = levels.stream(StreamKey(None, "BTCUSDT"), 0)
    >>> for i in range(3): levels.look([(stream, 20e6 * (i + 1), i + 1)], (0.0, 0), i)
    >>> levels.level("BTCUSDT"), levels.market_level()
    ('CRITICAL', 'NONE')
    """

    def __init__(self, critical_usd: float = 100_000.0, critical_usd_of: Mapping[str, float] | None = None) -> None:
        self.streams: dict[StreamKey, StreamLevel] = {}
        self.is_extreme = False
        self.market = self.streams[MARKET_KEY] = StreamLevel(MARKET_STEPS, MARKET_KEY)
        self.breadth = self.streams[BREADTH_KEY] = StreamLevel(BREADTH, BREADTH_KEY)
        self._critical_usd = critical_usd
        self._critical_usd_of = dict(critical_usd_of or {})
        self._active: dict[StreamKey, StreamLevel] = {}  # above NONE, or with an open episode
        self._instruments_of: dict[str, set[str]] = {}  # by venue
        self._venues_of: dict[str, set[str]] = {}  # by instrument
        self._up: dict[str, int | None] = {}  # by venue, since when; absent while nothing is known of its feed
        self._changed: dict[StreamKey, None] = {}  # whose level has changed since `take_changed`
        self._finalized: dict[StreamKey, None] = {}  # whose past has changed since `take_states`
        self._round: list[StreamKey] = []  # those still to be told in this hour
        self._owed = 0.0  # how many of them now
        self._raised: dict[str, int] = {}  # when each instrument last rose, oldest first
        self._last_raises: deque[Raise] = deque(maxlen=10_000)
        self._extreme_usd = self._extreme_breadth = 0.0  # what raised EXTREME
        self._calm_since_ms: int | None = None  # in watched time

    # Watched time

    def lists(self, venue: str, instrument: str, at_ms: int) -> None:
        """Note that the venue offers the instrument: from now on its silence counts, while the venue is up."""
        if instrument in self._instruments_of.get(venue, ()):
            return
        self._know(venue, instrument)
        since_ms = self._up.get(venue)
        for key in (StreamKey(venue, instrument), StreamKey(None, instrument)):
            stream = self._stream(key)
            if since_ms is not None:
                stream.up(max(at_ms, since_ms))

    def feed_up(self, venue: str, at_ms: int) -> None:
        """Note that the venue is watched from `at_ms` on."""
        if self._up.get(venue) is not None:
            return
        self._up[venue] = at_ms
        for key in (MARKET_KEY, BREADTH_KEY, StreamKey(venue, None)):
            self._stream(key).up(at_ms)
        for instrument in self._instruments_of.get(venue, ()):
            self._stream(StreamKey(venue, instrument)).up(at_ms)
            self._stream(StreamKey(None, instrument)).up(at_ms)

    def feed_down(self, venue: str, at_ms: int) -> None:
        """End the open episodes of streams that nobody watches: the venue was last watched at `at_ms`."""
        since_ms = self._up.get(venue)
        self._up[venue] = None
        if since_ms is None:
            return
        self._down(StreamKey(venue, None), at_ms)
        up = {other for other, other_ms in self._up.items() if other_ms is not None}
        if not up:
            self._down(MARKET_KEY, at_ms)
            self._down(BREADTH_KEY, at_ms)
        for instrument in self._instruments_of.get(venue, ()):
            self._down(StreamKey(venue, instrument), at_ms)
            if up.isdisjoint(self._venues_of[instrument]):
                self._down(StreamKey(None, instrument), at_ms)

    def feed_missed(self, venue: str, from_ms: int, until_ms: int) -> None:
        """Note that the venue turned out not to have been watched in between."""
        if self._up.get(venue) is not None:
            self.feed_down(venue, from_ms)
            self.feed_up(venue, until_ms)

    # Looks

    def stream(self, key: StreamKey, now_ms: int) -> StreamLevel:
        """Return the stream of an event, known from now on if it was not."""
        stream = self.streams.get(key)
        if key.venue is not None:
            if key.venue not in self._up:
                self.feed_up(key.venue, now_ms)
            if key.instrument is not None and key.instrument not in self._instruments_of.get(key.venue, ()):
                self.lists(key.venue, key.instrument, now_ms)
        return self._stream(key) if stream is None else stream

    def look(self, looks: Iterable[tuple[StreamLevel, float, int]], of_market: Minute, now_ms: int) -> None:
        """Look at streams after events: (stream, USD, liquidations of 60 s) each, instruments first; then the market.

        Nearly all looks of a busy stream end in the loop: what `StreamLevel.look` would do stands here for them.
        """
        market = self.market
        for stream, usd, count in (*looks, (market, *of_market)):
            if now_ms < stream.due_ms:
                if usd < stream.keep:
                    continue
                if stream.peak and usd < stream.next_up:
                    stream.due_ms = now_ms + QUIET_MS
                    if usd > stream.peak:
                        stream.peak, stream.keep = usd, 0.5 * usd
                    continue
            self._look_at(stream, now_ms, usd, count)
        if market.level:
            self._look_for_extreme(now_ms, *of_market)

    def _look_at(self, stream: StreamLevel, now_ms: int, usd: float, count: int) -> None:
        key: StreamKey = stream.key
        if now_ms >= stream.due_ms:
            self._finalized[key] = None
        if not stream.is_open and usd > 0.0:
            self._active[key] = stream
        level = stream.level
        step = stream.look(now_ms, usd, count)
        if stream.level != level:
            self._changed[key] = None
        if not step:
            return
        self._last_raises.append(Raise(key, now_ms, stream.risen_from, step, usd, count))
        if key.venue is None and key.instrument is not None and stream is not self.breadth:
            self._raised.pop(key.instrument, None)
            self._raised[key.instrument] = now_ms
            self._look_at(self.breadth, now_ms, float(self.breadth_at(now_ms)), 1)

    def tick(self, now_ms: int, minute_of: Callable[[StreamKey], Minute]) -> None:
        """Let time pass, about once a second: episodes end and levels come down. Costs O(streams that are active)."""
        for key, stream in list(self._active.items()):
            if now_ms >= stream.due_ms:
                self._finalized[key] = None
            level = stream.level
            if not level:
                stream.tick(now_ms, 0.0)
            elif key == BREADTH_KEY:
                stream.tick(now_ms, float(self.breadth_at(now_ms)))
            else:
                stream.tick(now_ms, minute_of(key)[0])
            if stream.level != level:
                self._changed[key] = None
            if not stream.level and not stream.is_open:
                del self._active[key]
        if self.is_extreme:
            self._come_down(now_ms, minute_of(MARKET_KEY))

    def shift(self, by_ms: int) -> None:
        """Move all moments that are kept: the clock of the evaluation took a step."""
        for stream in self.streams.values():
            stream.shift(by_ms)
        self._raised = {instrument: at_ms + by_ms for instrument, at_ms in self._raised.items()}
        self._up = {venue: None if at_ms is None else at_ms + by_ms for venue, at_ms in self._up.items()}

    def breadth_at(self, now_ms: int) -> int:
        """Return the number of instruments that rose within the last 60 s."""
        raised = self._raised
        while raised and raised[oldest := next(iter(raised))] <= now_ms - _BREADTH_MS:
            del raised[oldest]
        return len(raised)

    def _look_for_extreme(self, now_ms: int, usd: float, count: int) -> None:
        """Look whether the market is EXTREME, `usd` and `count` being of its last 60 s.

        It is when the market reaches its 30 days while three instruments rise, or when so many rise as once in 30 days.
        The market stream's fourth step asks for 1,000,000 USD, three events and 30 days; the breadth's for eight
        instruments and 30 days.
        """
        market = self.market
        is_high = (
            market.is_open
            and usd >= market.thresholds[EXTREME_STEP - 1]
            and count >= market.steps.least_counts[EXTREME_STEP - 1]
        )
        if not is_high and self.breadth.level < EXTREME_STEP:
            return
        breadth = self.breadth_at(now_ms)
        is_broad = self.breadth.is_open and breadth >= self.breadth.thresholds[EXTREME_STEP - 1]
        if not ((is_high and breadth >= _LEAST_BREADTH) or (is_broad and market.level >= 1)):
            return
        self._calm_since_ms = None
        if not self.is_extreme:
            self.is_extreme = True
            self._extreme_has_changed()
            self._extreme_usd, self._extreme_breadth = usd, float(breadth)

    def _come_down(self, now_ms: int, of_market: Minute) -> None:
        if of_market[0] >= 0.5 * self._extreme_usd or self.breadth_at(now_ms) >= 0.5 * self._extreme_breadth:
            self._calm_since_ms = None
            return
        watched_ms = self.market.watched_ms(now_ms)
        if self._calm_since_ms is None:
            self._calm_since_ms = watched_ms
        if watched_ms - self._calm_since_ms >= HOLD_MS:
            self.is_extreme, self._calm_since_ms = False, None
            self._extreme_has_changed()

    def _extreme_has_changed(self) -> None:
        self._changed[MARKET_KEY] = None
        for key, stream in self._active.items():
            if stream.level >= _CRITICAL and key.venue is None:
                self._changed[key] = None

    # Answers

    def level(self, instrument: str) -> Level:
        """Return the level of an instrument over its venues: EXTREME while it is CRITICAL and the market EXTREME."""
        stream = self.streams.get(StreamKey(None, instrument))
        step = 0 if stream is None else stream.level
        return "EXTREME" if self.is_extreme and step >= _CRITICAL else STREAM_LEVELS[step]

    def market_level(self) -> Level:
        """Return the level of the market."""
        return "EXTREME" if self.is_extreme else STREAM_LEVELS[self.market.level]

    def level_of(self, key: StreamKey) -> Level:
        """Return the level of any stream; EXTREME only of the market and of instruments over all venues."""
        if key == MARKET_KEY:
            return self.market_level()
        if key.venue is None and key.instrument is not None:
            return self.level(key.instrument)
        stream = self.streams.get(key)
        return STREAM_LEVELS[0 if stream is None else stream.level]

    def rarity(self, key: StreamKey, now_ms: int, usd_60s: float) -> "Rarity":
        """Return what is said of a stream beside its level, `usd_60s` being what it brought within 60 s."""
        stream = self.streams.get(key)
        if stream is None:
            return _NOTHING
        histogram = stream.histogram
        return_days = histogram.return_days(usd_60s)
        return Rarity(
            return_days,
            histogram.days,
            stream.is_learning,
            return_days is not None and return_days > histogram.days,
            self._times_usual(key, now_ms, usd_60s),
        )

    def threshold(self, key: StreamKey, level: Level) -> float | None:
        """Return the USD that the level asks of the stream now; None of NONE, and while it is out of reach."""
        stream = self.streams.get(key)
        step = _step_of(level)
        if stream is None or not step:
            return None
        threshold = stream.thresholds[step - 1]
        return threshold if threshold < inf else None

    def floor(self, key: StreamKey, level: Level) -> float | None:
        """Return the USD that the level needs whatever the period; None of NONE."""
        step = _step_of(level)
        return self._steps(key).floors_usd[step - 1] if step else None

    def _times_usual(self, key: StreamKey, now_ms: int, usd_60s: float) -> float | None:
        """Return USD of 60 s over the mean watched minute, decayed as all is: for people, no decision hangs on it.

        The mean of a sum of venues is the sum of their means, so that a venue that joined counts at once.
        """
        if self.streams[key].decayed_days(now_ms) < LEAST_MEAN_DAYS:
            return None
        if key.venue is not None:
            parts = [key]
        elif key.instrument is not None:
            parts = [StreamKey(venue, key.instrument) for venue in self._venues_of.get(key.instrument, ())]
        else:
            parts = [StreamKey(venue, None) for venue in self._up]
        mean = 0.0
        for part in parts:
            stream = self.streams.get(part)
            if stream is not None:
                mean += stream.mean_minute_usd(now_ms) or 0.0
        return usd_60s / mean if mean > 0.0 else None

    def raised(self) -> list[str]:
        """Return the instruments above NONE."""
        return [
            key.instrument
            for key, stream in self._active.items()
            if stream.level and key.venue is None and key.instrument is not None and key != BREADTH_KEY
        ]

    def at_alert(self) -> list[StreamLevel]:
        """Return the streams over all venues that are at ALERT or above: instruments, the market, its breadth."""
        return [stream for key, stream in self._active.items() if stream.level >= _ALERT and key.venue is None]

    @property
    def instrument_count(self) -> int:
        """How many instruments are known to be offered by a venue."""
        return len(self._venues_of)

    @property
    def has_changed(self) -> bool:
        """Whether any level may have changed since `take_changed`."""
        return bool(self._changed)

    def take_changed(self) -> list[str | None]:
        """Return the instruments whose level may have changed since the last call, None standing for the market."""
        keys, self._changed = self._changed, {}
        return [key.instrument for key in keys if key.venue is None and key != BREADTH_KEY]

    def is_raised(self) -> bool:
        """Return whether the level of any stream is above NONE."""
        return self.is_extreme or any(stream.level for stream in self._active.values())

    def take_raises(self) -> list[Raise]:
        """Return the raises since the last call, the newest 10,000 of them."""
        raises = list(self._last_raises)
        self._last_raises.clear()
        return raises

    # Keeping

    def take_states(self, now_ms: int) -> dict[StreamKey, StreamState]:
        """Return the states to be written now; called once a second.

        They are of the streams of which an episode ended since the last call, and of a few others: each stream is told
        at least once an hour, spread over it. Each is what a stop at this moment would keep.
        """
        keys, self._finalized = self._finalized, {}
        self._owed += len(self.streams) / _ROUND_CALLS
        while self._owed >= 1.0:
            self._owed -= 1.0
            if not self._round:
                self._round = list(self.streams)
            key = self._round.pop()
            if key in self.streams:
                keys[key] = None
        return self._kept(keys, now_ms)

    def states(self, now_ms: int) -> dict[StreamKey, StreamState]:
        """Return the states of all streams that were watched, as `end` would, and go on."""
        return self._kept(self.streams, now_ms)

    def _kept(self, keys: Iterable[StreamKey], now_ms: int) -> dict[StreamKey, StreamState]:
        states = {key: self.streams[key].kept(now_ms) for key in keys}
        return {key: state for key, state in states.items() if state.days or state.bins}

    def venues_of(self, instrument: str) -> frozenset[str]:
        """Return the venues that are known to offer the instrument."""
        return frozenset(self._venues_of.get(instrument, ()))

    def end(self, now_ms: int) -> dict[StreamKey, StreamState]:
        """Return the states of all streams at a stop, which ends open episodes as a gap does."""
        for venue, since_ms in list(self._up.items()):
            if since_ms is not None:
                self.feed_down(venue, now_ms)
        self._finalized = {}
        return self.states(now_ms)

    def restore(self, states: Mapping[StreamKey, StreamState]) -> None:
        """Go on where an earlier run ended, and forget what was watched until now; before any look.

        Of very many the longest watched: a history may have seen names of strangers without end.
        """
        if len(states) > MOST_RESTORED:
            states = dict(nlargest(MOST_RESTORED, states.items(), key=lambda item: item[1].days))
        for key in states:
            if key.venue is not None and key.instrument is not None:
                self._know(key.venue, key.instrument)
            self._stream(key)
        for key, stream in self.streams.items():
            stream.restore(states.get(key, _NEW))

    def forget(self, instrument: str) -> None:
        """Drop the streams of an instrument."""
        for venue in self._venues_of.pop(instrument, ()):
            self._instruments_of[venue].discard(instrument)
            self._drop(StreamKey(venue, instrument))
        self._drop(StreamKey(None, instrument))
        self._raised.pop(instrument, None)

    def _drop(self, key: StreamKey) -> None:
        stream = self.streams.pop(key, None)
        self._finalized.pop(key, None)
        if self._active.pop(key, None) is not None and stream is not None and stream.level:
            self._changed[key] = None

    def _know(self, venue: str, instrument: str) -> None:
        self._instruments_of.setdefault(venue, set()).add(instrument)
        self._venues_of.setdefault(instrument, set()).add(venue)

    def _down(self, key: StreamKey, at_ms: int) -> None:
        stream = self.streams.get(key)
        if stream is not None and stream.is_up:
            if stream.is_open:
                self._finalized[key] = None
            stream.down(at_ms)

    def _stream(self, key: StreamKey) -> StreamLevel:
        stream = self.streams.get(key)
        if stream is None:
            stream = self.streams[key] = StreamLevel(self._steps(key), key)
        return stream

    def _steps(self, key: StreamKey) -> LevelSteps:
        if key.instrument is None:
            return VENUE if key.venue is not None else MARKET_STEPS
        floor = self._critical_usd_of.get(key.instrument, self._critical_usd)
        if floor == INSTRUMENT.floors_usd[_CRITICAL - 1]:
            return INSTRUMENT
        watch, alert, _, extreme = INSTRUMENT.floors_usd
        return replace(INSTRUMENT, floors_usd=(watch, alert, floor, extreme))
