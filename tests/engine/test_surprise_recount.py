"""Surprise and level of the engine against a recount that keeps every event and every bin."""

from collections.abc import Sequence
from math import exp2, expm1, log, sqrt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqtape.engine import VelocityEngine
from liqtape.engine.baseline.surprise import Baseline, surprise_fano
from liqtape.engine.levels.surpriselevels import LevelRule, Reading, SurpriseLevels
from liqtape.events import Liquidation

_T = 1_790_000_000_000 // 300_000 * 300_000 - 17_345
_TEN_YEARS_MS = 10 * 365 * 86_400_000
_HALF_S = 21_600
_VENUES = ("binance", "bybit")
_INSTRUMENTS = ("BTCUSDT", "ETHUSDT")
_EVER = 1 << 62
_WINDOWS = (10, 60, 300)


_Score = tuple[float, float, float]
"""Surprise, mean, Fano factor."""


class _Recount:
    """Each event by itself, each bin by itself."""

    def __init__(self) -> None:
        self.events: list[Liquidation] = []
        self.learned: list[Liquidation] = []
        self.time = self.newest = 0
        self.begun: int | None = None
        self.live: dict[str, list[list[int]]] = {}
        self.spoken: set[str] = set()
        self.levels = SurpriseLevels()

    @property
    def settled_ms(self) -> int:
        return (self.time - 300_000) // 10_000 * 10_000

    def add(self, event: Liquidation) -> None:
        if self.begun is None:
            self.begun = event.event_ms // 1000 * 1000
        if event.event_ms <= self.newest - 302_000:
            return
        self.newest = max(self.newest, event.event_ms)
        self.time = max(self.time, event.event_ms)
        self.events.append(event)
        self.spoken.add(event.venue)
        if event.event_ms >= self.settled_ms:
            self.learned.append(event)

    def up(self, venue: str, at_ms: int) -> None:
        if venue not in self.live:
            reached = max(self.newest, self.settled_ms)
            self.live[venue] = [[self.begun, reached]] if self.begun and venue in self.spoken else []
        elif self.live[venue] and self.live[venue][-1][1] == _EVER:
            return
        self.live[venue].append([at_ms, _EVER])

    def down(self, venue: str, at_ms: int) -> None:
        if self.live.get(venue) and self.live[venue][-1][1] == _EVER:
            self.live[venue][-1][1] = at_ms

    def watched(self, venues: Sequence[str]) -> list[list[int]]:
        """Merged."""
        live = sorted(interval for venue in venues for interval in self.live.get(venue, ()))
        if not any(venue in self.live for venue in venues) and self.begun is not None:
            return [[self.begun, _EVER]]
        merged: list[list[int]] = []
        for begin, end in live:
            if merged and begin <= merged[-1][1]:
                merged[-1][1] = max(end, merged[-1][1])
            elif begin < end:
                merged.append([begin, end])
        return merged

    def expected(
        self, events: Sequence[Liquidation], venues: Sequence[str], window_s: int
    ) -> tuple[float, float, float]:
        """Mean, Fano factor, and the watched bins that they are of."""
        width = 1000 * window_s
        end = self.settled_ms // width
        counts: dict[int, int] = {}
        for event in events:
            counts[event.event_ms // width] = counts.get(event.event_ms // width, 0) + 1
        prior = window_s / 3600
        bins, total, squares = 30.0, 30 * prior, 30 * (3 * prior + prior * prior)
        for begin, until in self.watched(venues):
            first, after = -(-begin // width), min(until // width, end)
            if after > first:
                # 1 + s + s^2 + ... of the run, decayed to the end; bins with events one by one.
                fade, step = exp2((after - end) * window_s / _HALF_S), -window_s / _HALF_S * log(2)
                bins += fade * (1 - exp2((first - after) * window_s / _HALF_S)) / -expm1(step)
            for number, count in counts.items():
                if first <= number < after:
                    weight = exp2((number + 1 - end) * window_s / _HALF_S)
                    total += weight * count
                    squares += weight * count * count
        mean = total / bins
        return mean, max(squares / bins / mean - mean, 0.0), bins - 30.0

    def exposure_s(self, venues: Sequence[str], window_s: int, now: int) -> int:
        if not any(venue in self.live for venue in venues):
            return window_s
        spans = [(max(b, now - 1000 * window_s), min(e, now)) for b, e in self.watched(venues)]
        return sum(max(0, e - b) for b, e in spans) // 1000

    def scores(self, instrument: str | None, venues: Sequence[str], now: int) -> list[_Score | None]:
        self.time = max(self.time, now)
        learned = [e for e in self.learned if instrument in (None, e.instrument) and e.venue in venues]
        found: list[_Score | None] = []
        for window_s in _WINDOWS:
            count = len(self.inside(instrument, venues, window_s, now))
            mean, fano, _ = self.expected(learned, venues, window_s)
            share = self.exposure_s(venues, window_s, now) / window_s
            found.append((surprise_fano(count, mean * share, fano), mean * share, fano) if share else None)
        return found

    def inside(self, instrument: str | None, venues: Sequence[str], window_s: int, now: int) -> list[Liquidation]:
        return [
            e
            for e in self.events
            if instrument in (None, e.instrument) and e.venue in venues and now - 1000 * window_s < e.event_ms <= now
        ]

    def level(self, instrument: str, now: int) -> str:
        of_10s, of_60s, of_300s = (score and score[0] for score in self.scores(instrument, _VENUES, now))
        inside = self.inside(instrument, _VENUES, 60, now)
        usd = sum(e.notional_usd or 0.0 for e in inside)
        reading = Reading(now, len(inside), usd, of_60s, surprise_10s=of_10s, surprise_300s=of_300s)
        self.levels.check(instrument, reading)
        return self.levels.current(instrument)


_ADD = st.tuples(
    st.just("add"),
    st.tuples(
        st.sampled_from(_VENUES),
        st.sampled_from(_INSTRUMENTS),
        st.integers(0, 2_000) | st.integers(0, 302_500),
        st.integers(1, 30),
        st.sampled_from([1.0, 60_000.0, 250_000.0]),
    ),
)
_PASS = st.tuples(
    st.just("pass"),
    st.integers(0, 12_000) | st.integers(0, 400_000) | st.sampled_from([60_000, 300_000, 7_200_000, _TEN_YEARS_MS]),
)
_ASK = st.tuples(st.just("ask"), st.integers(-2_000, 2_000) | st.integers(0, 400_000))
_FEED = st.tuples(st.sampled_from(["up", "down"]), st.sampled_from(_VENUES))
_STEPS = st.lists(st.one_of(_ADD, _ADD, _ADD, _PASS, _PASS, _ASK, _FEED), max_size=40)


def _close(found: float | None, expected: float | None) -> bool:
    if found is None or expected is None:
        return found is expected
    return found == pytest.approx(expected, rel=1e-9, abs=1e-9)


def _compare(engine: VelocityEngine, recount: _Recount, now: int) -> None:
    for instrument in _INSTRUMENTS:
        if all(e.instrument != instrument for e in recount.events):
            continue
        assert engine.level(instrument, now) == recount.level(instrument, now)
        row = engine.metrics(instrument, now)
        assert row is not None
        assert row.level == recount.level(instrument, now)
        _compare_scores(recount, row, instrument, _VENUES, now)
        for venue in _VENUES:
            of_venue = engine.metrics(instrument, now, venue)
            if of_venue is not None:
                _compare_scores(recount, of_venue, instrument, [venue], now)
    _compare_scores(recount, engine.market(now), None, _VENUES, now)
    for venue in _VENUES:
        _compare_scores(recount, engine.market(now, venue), None, [venue], now)


def _compare_scores(recount: _Recount, row: Any, instrument: str | None, venues: Sequence[str], now: int) -> None:
    score = recount.scores(instrument, venues, now)[1]
    assert [row.event_count_10s, row.event_count_60s, row.event_count_300s] == [
        len(recount.inside(instrument, venues, window_s, now)) for window_s in _WINDOWS
    ]
    surprise, mean, fano = (None, None, None) if score is None else score
    assert _close(row.surprise, surprise)
    assert _close(row.surprise_mean, mean)
    assert _close(row.surprise_fano, fano)
    learned = [e for e in recount.learned if instrument in (None, e.instrument) and e.venue in venues]
    rate = recount.expected(learned, venues, 60)[0] / 60
    if abs(20 * rate - 10) > 1e-9:
        z = row.acceleration / sqrt(12 * rate / 8000) if 20 * rate >= 10 else None
        assert _close(row.acceleration_z, z)
    for window_s, of_s in ((10, 10), (30, 60), (60, 60), (300, 300)):
        _, fano, bins = recount.expected(learned, venues, of_s)
        errors = [sqrt(f * len(recount.inside(instrument, venues, window_s, now))) / window_s for f in (fano, 1.0)]
        found = getattr(row, f"velocity_se_{window_s}s")
        assert any(
            _close(found, error)
            for error, is_so in zip(errors, (bins >= 30 - 1e-6, bins < 30 + 1e-6), strict=True)
            if is_so
        )


def _as_told(steps: list[tuple[str, Any]], mode: str) -> list[tuple[str, Any]]:
    """The steps of a file, which says nothing of feeds; of a live run; of one that first recalls an earlier run's."""
    both_up = [("up", venue) for venue in _VENUES]
    if mode == "a file":
        return [step for step in steps if step[0] not in {"up", "down"}]
    if mode == "live":
        return [*both_up, *steps]
    first = [step for step in steps[:5] if step[0] in {"add", "pass"}]
    spoken = [("add", (venue, _INSTRUMENTS[0], 0, 1, 1.0)) for venue in _VENUES]
    return [*spoken, *first, *both_up, *steps[5:]]


@given(_STEPS, st.sampled_from(["a file", "live", "live after a restart"]))
@settings(max_examples=200)
def test_surprise_and_level_equal_the_recount(steps: list[tuple[str, Any]], mode: str) -> None:
    engine, recount, clock = VelocityEngine(rule=LevelRule()), _Recount(), _T
    for venue in _VENUES:
        for instrument in _INSTRUMENTS:
            engine.lists_instrument(venue, instrument)
    for what, value in [*_as_told(steps, mode), ("ask", 0), ("pass", 700_000), ("ask", 0)]:
        if what == "add":
            venue, instrument, late, count, usd = value
            event = Liquidation(venue, instrument, instrument, "long", 1.0, "fill", None, usd, clock - late)
            for _ in range(count):
                engine.add(event)
                recount.add(event)
        elif what == "pass":
            clock += value
        elif what == "ask":
            _compare(engine, recount, max(clock, recount.newest) + value)
        elif clock > recount.settled_ms:  # a bin that is final takes no report of a feed any more
            for rarity in (engine.feed_up, recount.up) if what == "up" else (engine.feed_down, recount.down):
                rarity(value, clock)


def test_a_million_events_in_one_millisecond() -> None:
    engine = VelocityEngine(rule=LevelRule())
    event = Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 1.0, "fill", None, 1.0, _T)
    for _ in range(1_000_000):
        engine.add(event)
    before = engine.metrics("BTCUSDT", _T)
    later = engine.metrics("BTCUSDT", _T + 86_400_000)

    assert before is not None
    assert later is not None
    assert before.event_count_10s == 1_000_000
    assert before.surprise_mean == pytest.approx(1 / 60)
    assert before.surprise == surprise_fano(1_000_000, before.surprise_mean, before.surprise_fano)  # type: ignore[arg-type]
    assert later.event_count_300s == 0
    assert later.surprise == 0.0


def test_a_burst_does_not_teach_its_own_baseline_until_it_is_old() -> None:
    engine = VelocityEngine(rule=LevelRule())
    for second in range(-7_200, 300):
        event = Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 1.0, "fill", None, 1.0, _T + 1000 * second)
        for _ in range(50 if second >= 0 else second % 60 == 0):
            engine.add(event)
    rows = [engine.metrics("BTCUSDT", _T + ms) for ms in (299_999, 660_000)]
    means = [row.surprise_mean for row in rows if row is not None]

    assert means[0] is not None
    assert means[1] is not None
    assert means[0] < 1 < 100 * means[0] < means[1]


def test_what_a_history_teaches_is_what_the_events_would_have_taught() -> None:
    rarity, baseline_feed = VelocityEngine(rule=LevelRule()), VelocityEngine(rule=LevelRule())
    begin = _T // 10_000 * 10_000
    counts = [(begin + 10_000 * i, _VENUES[i % 2], _INSTRUMENTS[i % 3 == 0], 1 + i % 7) for i in range(2_000)]
    for engine in (rarity, baseline_feed):
        for venue in _VENUES:
            engine.feed_up(venue, begin - 5_000)
        engine.feed_down("bybit", begin + 4_000_000)
        engine.feed_down("binance", begin + 5_000_000)
        engine.feed_up("bybit", begin + 6_000_000)
    now = begin + 10_000 * len(counts)
    baseline_feed.seed_baselines(counts[:-31])
    for at_ms, venue, instrument, count in counts:
        for i in range(count):
            event = Liquidation(venue, instrument, instrument, "long", 1.0, "fill", None, 1.0, at_ms + i)
            rarity.add(event)
            if at_ms >= counts[-33][0]:  # two slots more than were left out: what is seeded is not counted again
                baseline_feed.add(event)

    for after in (0, 50_000, 400_000):
        for instrument in _INSTRUMENTS:
            for of in (None, *_VENUES):
                assert baseline_feed.metrics(instrument, now + after, of) == rarity.metrics(instrument, now + after, of)
        assert baseline_feed.market(now + after) == rarity.market(now + after)


def test_what_a_list_names_late_was_not_missing_in_an_earlier_run() -> None:
    begin = _T // 300_000 * 300_000
    now = begin + 36_000_000
    named, late = VelocityEngine(rule=LevelRule()), VelocityEngine(rule=LevelRule())
    for engine in (named, late):
        engine.feed_up("bybit", begin)
        engine.feed_down("bybit", now - 300_000)
        engine.seed_baselines((at_ms, "bybit", "NEWUSDT", 1) for at_ms in range(begin, now - 300_000, 10_000))
        engine.feed_up("bybit", now - 60_000)
    late.feed_unsubscribed("bybit", ["NEWUSDT"], now - 60_000, is_listed=True)
    late.feed_unsubscribed("bybit", [], now - 30_000, is_listed=True)
    for engine in (named, late):
        engine.metrics("NEWUSDT", now + 60_000)
    rates = [engine._windows["NEWUSDT"].baseline.rate for engine in (named, late)]

    assert rates[0] > 0.05
    assert rates[0] == rates[1]


def test_a_busy_lane_forgets_nothing_before_it_was_learned() -> None:
    engine, baseline = VelocityEngine(rule=LevelRule()), Baseline(_T // 1000 * 1000)
    for i in range(20 * 1_000):
        event = Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 1.0, "fill", None, 1.0, _T + 50 * i)
        engine.add(event)
        baseline.add(event.event_ms)
        if i % 20 == 0:
            engine.level("BTCUSDT", event.event_ms)

    row = engine.metrics("BTCUSDT", event.event_ms)

    assert row is not None
    assert row.surprise_mean == pytest.approx(baseline.expect(event.event_ms).mean, rel=1e-12)
    assert row.surprise_fano == pytest.approx(baseline.expect(event.event_ms).fano, rel=1e-9)
