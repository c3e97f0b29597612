"""Levels of many streams: who is watched when, breadth, EXTREME, and what is said beside a level."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.engine import VelocityEngine
from liqtape.engine.levels.episodes import DAY_MS, StreamState, bin_of
from liqtape.engine.levels.returnperiods import BREADTH_KEY, MARKET_KEY, MOST_RESTORED, ReturnPeriods, StreamKey
from liqtape.events import Level, Liquidation

_T = 1_790_000_000_000
_HOUR_MS = 3_600_000
_BTC = StreamKey(None, "BTCUSDT")


def _event(at_ms: int, usd: float | None, instrument: str = "BTCUSDT", venue: str = "bybit") -> Liquidation:
    return Liquidation(venue, instrument, instrument, "long", 1.0, "fill", 1.0, usd, at_ms)


def _levels(engine: VelocityEngine) -> ReturnPeriods:
    assert engine.levels is not None
    return engine.levels


def _add(engine: VelocityEngine, *events: Liquidation) -> None:
    for event in events:
        engine.add(event)
        engine.look([(event.venue, event.instrument)], event.event_ms)


def _state(days: float, usd: float, count: float) -> StreamState:
    """A stream that had so many episodes of about so much."""
    return StreamState(days, {bin_of(usd): count}, usd * count, usd)


def _taught(instruments: Sequence[str] = ("AUSDT", "BUSDT", "CUSDT", "DUSDT")) -> VelocityEngine:
    """An engine that has watched for ten decayed days: 40 episodes a day of 5,000 USD, the market of 5,000,000."""
    engine = VelocityEngine()
    states = {StreamKey(None, name): _state(10.0, 5_000.0, 400.0) for name in instruments}
    states[MARKET_KEY] = _state(10.0, 5e6, 400.0)
    states[StreamKey("bybit", None)] = _state(10.0, 5e6, 400.0)
    states[BREADTH_KEY] = _state(10.0, 2.0, 20.0)
    _levels(engine).restore(states)
    engine.feed_up("bybit", _T)
    for name in instruments:
        engine.lists_instrument("bybit", name)
    return engine


def _burst(at_ms: int, instrument: str, usd: float) -> list[Liquidation]:
    return [_event(at_ms + i, usd / 4, instrument) for i in range(4)]


def test_a_stream_is_watched_while_one_of_its_venues_is() -> None:
    engine = VelocityEngine()
    levels = _levels(engine)
    for venue in ("bybit", "okx"):
        engine.lists_instrument(venue, "BTCUSDT")
    engine.lists_instrument("okx", "ETHUSDT")
    engine.feed_up("bybit", _T)
    engine.feed_up("okx", _T + _HOUR_MS)
    engine.feed_down("bybit", _T + 2 * _HOUR_MS)
    engine.feed_down("okx", _T + 5 * _HOUR_MS)
    engine.feed_up("bybit", _T + 7 * _HOUR_MS)

    at_ms = _T + 8 * _HOUR_MS
    watched = {key: levels.streams[key].watched_ms(at_ms) // _HOUR_MS for key in levels.streams}
    assert watched == {
        MARKET_KEY: 6,
        BREADTH_KEY: 6,
        _BTC: 6,
        StreamKey("bybit", "BTCUSDT"): 3,
        StreamKey("okx", "BTCUSDT"): 4,
        StreamKey(None, "ETHUSDT"): 4,
        StreamKey("okx", "ETHUSDT"): 4,
        StreamKey("bybit", None): 3,
        StreamKey("okx", None): 4,
    }


def test_what_a_venue_lists_later_is_watched_from_then_on_and_the_unlisted_from_its_first_event() -> None:
    engine = VelocityEngine()
    engine.feed_up("bybit", _T)
    _add(engine, _event(_T + _HOUR_MS, 1.0))
    engine.lists_instrument("bybit", "ETHUSDT")
    levels = _levels(engine)
    at_ms = _T + 3 * _HOUR_MS
    assert levels.streams[_BTC].watched_ms(at_ms) == 2 * _HOUR_MS
    assert levels.streams[StreamKey(None, "ETHUSDT")].watched_ms(at_ms) == 2 * _HOUR_MS
    assert levels.market.watched_ms(at_ms) == 3 * _HOUR_MS


def test_without_feed_marks_a_venue_is_up_since_its_first_event() -> None:
    engine = VelocityEngine()
    _add(engine, _event(_T, 1.0), _event(_T + _HOUR_MS, 1.0, venue="own"))
    streams = _levels(engine).streams
    assert streams[StreamKey("bybit", None)].watched_ms(_T + DAY_MS) == DAY_MS
    assert streams[StreamKey("own", None)].watched_ms(_T + DAY_MS) == 23 * _HOUR_MS


def test_time_that_turned_out_to_be_missed_was_not_watched() -> None:
    engine = VelocityEngine()
    engine.feed_up("bybit", _T)
    engine.feed_missed("bybit", _T + 1_000, _T + 5_000)
    assert _levels(engine).market.watched_ms(_T + 10_000) == 6_000


def test_a_gap_ends_the_episode_but_not_the_level() -> None:
    engine = VelocityEngine()
    levels = _levels(engine)
    engine.feed_up("bybit", _T)
    _add(engine, *(_event(_T + i, 20e6) for i in range(3)))
    assert levels.streams[_BTC].is_open
    engine.feed_down("bybit", _T + 30_000)
    assert not levels.streams[_BTC].is_open
    for second in range(30, 1_000):
        engine.tick(_T + 1_000 * second)
    assert levels.level("BTCUSDT") == "CRITICAL"  # nobody knows that it is calm
    engine.feed_up("bybit", _T + 1_000_000)
    for second in range(1_000, 1_300):
        engine.tick(_T + 1_000 * second)
    assert levels.level("BTCUSDT") == "NONE"


def _path(engine: VelocityEngine, first_s: int, last_s: int) -> list[tuple[int, Level]]:
    """Changes of the market's level, second by second."""
    path: list[tuple[int, Level]] = []
    for second in range(first_s, last_s):
        engine.tick(_T + 1_000 * second)
        if not path or path[-1][1] != _levels(engine).market_level():
            path.append((second, _levels(engine).market_level()))
    return path


def test_extreme_is_the_market_in_30_days_while_three_instruments_rise() -> None:
    engine = _taught()
    levels = _levels(engine)
    _add(engine, *_burst(_T + 60_000, "AUSDT", 10e6), *_burst(_T + 61_000, "BUSDT", 10e6))
    assert (levels.market_level(), levels.level("AUSDT"), levels.breadth_at(_T + 61_003)) == ("NONE", "CRITICAL", 2)
    _add(engine, *_burst(_T + 62_000, "CUSDT", 40e9))
    assert (levels.market_level(), levels.is_extreme) == ("EXTREME", True)
    assert [levels.level(name) for name in ("AUSDT", "BUSDT", "CUSDT", "DUSDT")] == 3 * ["EXTREME"] + ["NONE"]
    assert engine.market(_T + 62_003).level == "EXTREME"
    assert engine.market(_T + 62_003, "bybit").level == "CRITICAL"  # EXTREME is the market's
    row = engine.metrics("CUSDT", _T + 62_003)
    assert row is not None
    assert (row.level, row.is_learning) == ("EXTREME", False)
    # 60 watched seconds after the last of it left the minute.
    assert _path(engine, 63, 260)[:2] == [(63, "EXTREME"), (183, "CRITICAL")]


def test_the_streams_at_alert_are_those_over_all_venues() -> None:
    engine = _taught()
    levels = _levels(engine)
    assert (levels.at_alert(), levels.instrument_count) == ([], 4)
    _add(engine, *_burst(_T + 60_000, "AUSDT", 10e6), *_burst(_T + 61_000, "BUSDT", 10e6))
    assert [stream.key.instrument for stream in levels.at_alert()] == ["AUSDT", "BUSDT"]
    _add(engine, *_burst(_T + 62_000, "CUSDT", 40e9))
    assert {stream.key for stream in levels.at_alert()} >= {MARKET_KEY, StreamKey(None, "CUSDT")}
    assert not any(stream.key.venue for stream in levels.at_alert())


def test_the_market_alone_is_no_extreme() -> None:
    engine = _taught()
    _add(engine, *_burst(_T + 60_000, "AUSDT", 50e9))
    assert _levels(engine).market_level() == "CRITICAL"
    assert _levels(engine).level("AUSDT") == "CRITICAL"


def test_extreme_by_breadth_alone() -> None:
    names = [f"A{i}USDT" for i in range(40)]
    engine = _taught(names)
    levels = _levels(engine)
    reached = None
    for place, name in enumerate(names):
        _add(engine, *_burst(_T + 60_000 + 10 * place, name, 20e6))
        if levels.is_extreme and reached is None:
            reached = place + 1
    assert levels.market.thresholds[3] > 40 * 20e6  # by USD it is not
    assert (reached, levels.breadth.thresholds[3]) == (8, 8.0)


def test_learning_extreme_needs_three_instruments_as_well() -> None:
    engine = VelocityEngine()
    engine.feed_up("bybit", _T)
    _add(engine, *(event for name in "ABCD" for event in _burst(_T + 1_000, f"{name}USDT", 60e6)))
    assert _levels(engine).market_level() == "CRITICAL"  # by the cap; 30 days are not known
    assert _levels(engine).level("AUSDT") == "CRITICAL"


def test_what_is_said_beside_a_level() -> None:
    engine = _taught()
    levels = _levels(engine)
    _add(engine, *_burst(_T + 60_000, "AUSDT", 10_000.0))
    key = StreamKey(None, "AUSDT")
    rarity = levels.rarity(key, _T + 60_003, 10_000.0)
    assert rarity.watched_days == levels.streams[key].histogram.days
    assert rarity.return_days == levels.streams[key].histogram.return_days(10_000.0)
    assert (rarity.is_learning, rarity.is_extrapolated) == (False, False)
    assert levels.rarity(key, _T + 60_003, 1e9).is_extrapolated
    assert levels.rarity(key, _T + 60_003, 0.0).return_days is None
    assert levels.rarity(StreamKey(None, "nobody"), _T, 1.0) == levels.rarity(StreamKey(None, "else"), _T, 1.0)
    assert levels.threshold(key, "WATCH") == levels.streams[key].thresholds[0]
    assert (levels.threshold(key, "NONE"), levels.floor(key, "CRITICAL")) == (None, 100_000.0)


def test_times_usual_is_against_the_mean_watched_minute_over_the_venues() -> None:
    engine = VelocityEngine()
    for venue in ("bybit", "okx"):
        engine.feed_up(venue, _T)
    for minute in range(120):  # 300 USD a minute at one venue, 100 at the other
        at_ms = _T + 60_000 * minute + 30_000
        _add(engine, _event(at_ms, 300.0), _event(at_ms, 100.0, venue="okx"))
        engine.tick(_T + 60_000 * (minute + 1))
        row = engine.metrics("BTCUSDT", _T + 60_000 * (minute + 1))
        assert row is not None
        assert (row.times_usual is None) == (minute < 59 + 1)  # one hour, and decay takes a little off it
    _add(engine, _event(_T + 7_201_000, 3_600.0))
    row = engine.metrics("BTCUSDT", _T + 7_201_000)
    market = engine.market(_T + 7_201_000)
    assert row is not None
    assert row.times_usual == pytest.approx((3_600 + 400) / 400, rel=0.02)
    assert market.times_usual == pytest.approx(10.0, rel=0.02)


def test_what_is_passed_over_is_no_look_but_counts_with_the_next() -> None:
    engine = VelocityEngine()
    levels = _levels(engine)
    for i in range(3):
        engine.add(_event(_T + i, 20e6))
    engine.pass_over(["BTCUSDT"], _T + 2)
    row = engine.metrics("BTCUSDT", _T + 3)
    assert row is not None
    assert (row.level, levels.take_raises()) == ("NONE", [])
    _add(engine, _event(_T + 4, 1.0))
    assert levels.level("BTCUSDT") == "CRITICAL"


def test_states_are_told_of_episodes_that_ended_and_of_all_at_a_stop() -> None:
    engine = _taught()
    levels = _levels(engine)
    _add(engine, *_burst(_T + 60_000, "AUSDT", 10_000.0))
    assert levels.take_states(_T + 60_000) == {}
    engine.tick(_T + 360_002)
    assert levels.take_states(_T + 360_002) == {}
    engine.tick(_T + 360_003)
    rarity = levels.take_states(_T + 360_003)
    assert StreamKey(None, "AUSDT") in rarity
    assert MARKET_KEY in rarity
    assert levels.take_states(_T + 361_000) == {}
    ended = levels.end(_T + 400_000)
    assert {StreamKey(None, "DUSDT"), MARKET_KEY, BREADTH_KEY} <= ended.keys()
    assert ended[MARKET_KEY].days == pytest.approx(10.0, rel=0.01)


@given(st.lists(st.tuples(st.integers(0, 400_000), st.none() | st.floats(1.0, 1e6)), max_size=60), st.integers(0, 60))
def test_a_shift_of_the_clock_changes_nothing_but_the_clock(events: list[tuple[int, float | None]], place: int) -> None:
    """Windows and looks move together, so that a step of the clock neither raises a level nor ends an episode."""
    rarity = []
    for by_ms in (0, 3_600_000, -3_600_000):
        engine, at_ms, offset = VelocityEngine(), _T, 0
        levels = _levels(engine)
        stream = levels.stream(_BTC, at_ms)
        stream.up(at_ms)
        steps = []
        for number, (passed, usd) in enumerate(events):
            if number == place:
                levels.shift(by_ms)
                offset = by_ms
            at_ms += passed
            levels.look([(stream, (usd or 0.0) + 0.01, 3)], (0.0, 0), at_ms + offset)
            steps.append((stream.level, stream.peak, stream.watched_ms(at_ms + offset)))
        rarity.append(steps)
    assert rarity[0] == rarity[1] == rarity[2]


def test_of_states_without_end_the_longest_watched_are_taken_over() -> None:
    states = {StreamKey("bybit", f"X{i}"): StreamState(1e-9 * i, {}) for i in range(MOST_RESTORED + 500)}
    levels = ReturnPeriods()
    levels.restore(states | {_BTC: _state(10.0, 5_000.0, 400.0), MARKET_KEY: _state(10.0, 5e6, 400.0)})

    assert MOST_RESTORED <= len(levels.streams) <= MOST_RESTORED + 2
    assert levels.streams[_BTC].histogram.days == 10.0
    assert StreamKey("bybit", "X0") not in levels.streams
    assert StreamKey("bybit", f"X{MOST_RESTORED + 499}") in levels.streams


def test_a_forgotten_instrument_has_no_stream_and_its_level_has_changed() -> None:
    engine = _taught()
    _add(engine, *(_event(_T + 1_000 + i, 2e6, "AUSDT") for i in range(5)))
    levels = _levels(engine)
    assert levels.level("AUSDT") == "CRITICAL"
    engine.take_changed()
    count = len(levels.streams)

    levels.forget("AUSDT")
    levels.forget("never seen")

    assert levels.level("AUSDT") == "NONE"
    assert engine.take_changed() == ["AUSDT"]
    assert len(levels.streams) == count - 2
    assert "AUSDT" not in levels.raised()
    assert levels.venues_of("AUSDT") == frozenset()
    levels.tick(_T + 2_000, lambda _: (0.0, 0))
    for second in range(3_700):  # a round of all that are to be told
        assert StreamKey(None, "AUSDT") not in levels.take_states(_T + 3_000 + second)
