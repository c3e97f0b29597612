"""The rules of the engine, one by one; `test_velocity_recount.py` proves all of them together."""

import random
import sys
import tracemalloc
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import partial
from math import fsum, inf, nextafter
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import structs

from liqtape.engine import VelocityEngine
from liqtape.engine.levels.returnperiods import BREADTH_KEY, MARKET_KEY, StreamKey
from liqtape.engine.levels.surpriselevels import LevelRule
from liqtape.engine.levels.threshold import Threshold
from liqtape.engine.velocity import FORGOTTEN
from liqtape.engine.windows.acceleration import least_squares
from liqtape.engine.windows.eventcolumn import EventColumn
from liqtape.engine.windows.slotrate import corrected_rate
from liqtape.events import WINDOWS, Liquidation, Side, VelocityMetrics

_T = 1_790_000_000_000
_RETAIN_MS = 302_000  # the largest window, and the 2 s an evaluation may lie before the newest event
_TEN_YEARS_MS = 10 * 365 * 86_400_000
_BLOCK = 11_279
_SIDES: list[Side | None] = ["long", "short", None]
_FOUNDING = (
    "symbol timestamp event_count_10s event_count_30s event_count_60s event_count_300s velocity_10s velocity_30s "
    "velocity_60s velocity_300s acceleration total_value_usd btc_price volatility_factor"
).split()
_PER_WINDOW = "usd_velocity long_count short_count long_usd short_usd coverage velocity_est".split()
_ONCE = "acceleration_se saturated surprise level late_total partial".split()


def liquidation(
    event_ms: int,
    usd: float | None = 1.0,
    side: Side | None = "long",
    venue: str = "bybit",
    instrument: str = "BTCUSDT",
) -> Liquidation:
    return Liquidation(venue, instrument, instrument, side, 1.0, "fill", None, usd, event_ms)


def engine_of(events: Iterable[Liquidation]) -> VelocityEngine:
    engine = VelocityEngine(rule=LevelRule())  # its level hangs on nothing but what is in the windows
    for event in events:
        engine.add(event)
    return engine


def metrics_of(engine: VelocityEngine, now: int, instrument: str = "BTCUSDT") -> VelocityMetrics:
    metrics = engine.metrics(instrument, now)
    assert metrics is not None
    return metrics


def lanes_of(engine: VelocityEngine) -> list[EventColumn]:
    return [
        column
        for instrument_windows in engine._windows.values()
        for venue_windows in instrument_windows.venue_windows.values()
        for column in venue_windows.columns
    ]


def test_fields_are_the_founding_fourteen_in_order_and_then_the_rest() -> None:
    names = list(VelocityMetrics.__struct_fields__)

    assert names[:14] == _FOUNDING
    assert {*(f"{name}_{seconds}s" for name in _PER_WINDOW for seconds in WINDOWS), *_ONCE} <= set(names[14:])


@given(st.lists(st.tuples(st.integers(0, 310_000), st.floats(1e-6, 1e14), st.sampled_from(_SIDES)), max_size=30))
def test_quotients_come_from_the_same_integers_as_the_counts(rows: list[tuple[int, float, Side | None]]) -> None:
    engine = engine_of(liquidation(_T - age, usd, side) for age, usd, side in [(0, 1.0, None), *rows])

    row = structs.asdict(metrics_of(engine, _T))

    assert row["timestamp"] == _T / 1000
    for seconds in WINDOWS:
        window = engine.window("BTCUSDT", seconds, _T)
        assert window is not None
        assert row[f"event_count_{seconds}s"] == window.count
        assert row[f"velocity_{seconds}s"] == row[f"velocity_est_{seconds}s"] == window.count / seconds
        assert row[f"usd_velocity_{seconds}s"] == window.micro / (10**6 * seconds) == window.usd_velocity
        assert row[f"long_usd_{seconds}s"] == window.long_micro / 10**6
        assert row[f"short_usd_{seconds}s"] == window.short_micro / 10**6
        assert (row[f"long_count_{seconds}s"], row[f"short_count_{seconds}s"]) == (
            window.long_count,
            window.short_count,
        )
        if seconds == 300:
            assert row["total_value_usd"] == window.usd


def test_the_price_is_passed_through() -> None:
    engine = engine_of([liquidation(_T)])
    engine.btc_price = 45_000.5
    engine.volatility_factor, engine.volatility_coverage = 1.5, 0.25

    row = metrics_of(engine, _T)
    assert (row.btc_price, row.volatility_factor, row.volatility_coverage) == (45_000.5, 1.5, 0.25)


def test_the_threshold_is_the_one_given() -> None:
    engine = VelocityEngine(rule=Threshold(velocity_10s=0.1, acceleration=9.0))
    engine.add(liquidation(_T))

    assert [engine.level("BTCUSDT", now) for now in (_T, _T + 9_999, _T + 10_000)] == ["ALERT", "ALERT", "NONE"]
    assert metrics_of(engine, _T + 9_999).level == "ALERT"


@given(
    st.one_of(
        st.integers(1, 40).map(lambda n: n / 10),
        st.integers(1, 40).map(lambda n: nextafter(n / 10, inf)),
        st.sampled_from([-1.0, 0.0, 1e-9, inf]),
    ),
    st.sampled_from([-0.1, 0.0, 0.015, 0.1, 2.0, inf]),
    st.lists(st.tuples(st.integers(0, 25_000), st.sampled_from(["long", "long", *_SIDES])), max_size=60),
    st.lists(st.integers(-2_000, 15_000), min_size=1, max_size=6),
)
# Ten times that velocity is 17.0 in floats; 17 are in the last 10 s, and one more was when the tail last moved.
@example(nextafter(1.7, inf), inf, [(5_000, "long"), *[(0, "long")] * 17], [0, 0, 0, 6_000, 0])
def test_the_level_alone_is_the_level_of_the_metrics(
    velocity: float, acceleration: float, rows: list[tuple[int, Side | None]], delays: list[int]
) -> None:
    engine = VelocityEngine(rule=Threshold(velocity, acceleration))
    engine.add(liquidation(_T - 40_000))
    for i, (age, side) in enumerate(rows):  # evaluated in between as live, so that tails lag behind
        engine.add(liquidation(_T - age, side=side))
        if i % 7 == 0:
            now = engine.newest_ms + delays[i % len(delays)]
            assert engine.level("BTCUSDT", now) == metrics_of(engine, now).level
    for delay in delays:
        now = engine.newest_ms + delay
        assert engine.level("BTCUSDT", now) == metrics_of(engine, now).level


def test_none_means_never_seen() -> None:
    engine = engine_of([liquidation(_T)])

    assert engine.metrics("ETHUSDT", _T) is None
    assert engine.window("ETHUSDT", 10, _T) is None
    assert engine.window("BTCUSDT", 10, _T, venue="okx") is None
    assert engine.level("ETHUSDT", _T) == "NONE"
    assert engine.is_empty("ETHUSDT", _T)


def test_an_instrument_that_is_only_carried_was_never_seen() -> None:
    engine = VelocityEngine()
    engine.feed_up("bybit", _T - 400_000)
    for instrument in ("BTCUSDT", "ETHUSDT"):
        engine.lists_instrument("bybit", instrument)
    engine.add(liquidation(_T))

    assert engine.metrics("ETHUSDT", _T) is None
    assert engine.window("ETHUSDT", 10, _T) is None
    assert engine.instruments() == ["BTCUSDT"]


def test_zeros_once_the_events_left_and_after_ten_years_of_silence() -> None:
    engine = engine_of(liquidation(_T - i, 9e12, side) for i, side in enumerate(_SIDES))

    for now in (_T + 300_000, _T + _TEN_YEARS_MS):
        row = structs.asdict(metrics_of(engine, now))
        rarity = {"timestamp", "surprise_mean", "surprise_fano"}  # a baseline is never empty
        assert {name for name, value in row.items() if isinstance(value, float) and value} == rarity
        assert not any(row[f"event_count_{seconds}s"] for seconds in WINDOWS)
        assert engine.is_empty("BTCUSDT", now)
    assert metrics_of(engine, _T).event_count_10s == 3  # and back: nothing was forgotten that may be asked


def test_an_event_after_ten_years_of_silence_stands_alone() -> None:
    engine = engine_of([*(liquidation(_T + i) for i in range(600)), liquidation(_T + _TEN_YEARS_MS, 7.0)])

    metrics = metrics_of(engine, _T + _TEN_YEARS_MS)

    assert (metrics.event_count_300s, metrics.total_value_usd, metrics.acceleration) == (1, 7.0, 6 / 400)


def test_boundaries_are_half_open() -> None:
    for seconds in WINDOWS:
        engine = engine_of([liquidation(_T - 1000 * seconds), liquidation(_T - 1000 * seconds + 1), liquidation(_T)])
        window = engine.window("BTCUSDT", seconds, _T)
        assert window is not None
        assert window.count == 2


@pytest.mark.parametrize("instrument", ["BTCUSDT", "NEVERUSDT"])
def test_an_evaluation_more_than_two_seconds_before_the_newest_event_raises(instrument: str) -> None:
    engine = engine_of([liquidation(_T)])
    calls = (engine.metrics, engine.level, engine.is_empty, lambda i, now: engine.window(i, 10, now))

    for call in calls:
        call(instrument, _T - 2_000)
        with pytest.raises(ValueError, match="2 s before the newest event"):
            call(instrument, _T - 2_001)


def test_two_seconds_back_every_window_is_whole_and_newer_events_are_left_out() -> None:
    ages = [0, 1_999, 2_000, 2_001, *(2_000 + 1000 * w + d for w in WINDOWS for d in (-1, 0, 1))]
    events = [liquidation(_T - age) for age in ages if age < _RETAIN_MS]
    engine = engine_of(events)

    metrics = metrics_of(engine, _T - 2_000)

    assert metrics.event_count_300s == sum(_T - 302_000 < e.event_ms <= _T - 2_000 for e in events)


@pytest.mark.parametrize("seconds", [0, 1, 20, 299, -10])
def test_there_are_no_windows_of_other_lengths(seconds: int) -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        engine_of([liquidation(_T)]).window("BTCUSDT", seconds, _T)


def test_late_is_what_was_evaluated_already() -> None:
    engine = engine_of([liquidation(_T)])
    assert metrics_of(engine, _T + 1_000).late_total == 0

    for at in (_T + 1_001, _T + 1_000, _T - 5_000):
        assert engine.add(liquidation(at))
    engine.add(liquidation(_T - 5_000, instrument="ETHUSDT"))  # was not evaluated

    metrics = metrics_of(engine, _T + 1_001)
    assert (metrics.event_count_10s, metrics.late_total, engine.late_total) == (4, 2, 2)
    assert metrics_of(engine, _T + 1_001, "ETHUSDT").late_total == 0


def test_too_old_for_any_window_is_dropped_and_counted() -> None:
    engine = engine_of([liquidation(_T)])

    assert engine.add(liquidation(_T - _RETAIN_MS + 1))
    assert not engine.add(liquidation(_T - _RETAIN_MS))

    assert (engine.late_dropped_total, engine.late_total) == (1, 0)
    assert metrics_of(engine, _T - 2_000).event_count_300s == 1


def test_an_event_too_old_for_any_window_names_its_venue_all_the_same() -> None:
    engine = engine_of([liquidation(_T)])
    engine.feed_up("bybit", _T - 400_000)
    engine.feed_up("okx", _T - 30_000)

    assert not engine.add(liquidation(_T - _RETAIN_MS, venue="okx"))

    assert metrics_of(engine, _T).coverage_60s == 0.5


@pytest.mark.parametrize("beyond_ms", [2**63, 10**30])
def test_a_time_that_no_clock_shows_raises_and_changes_nothing(beyond_ms: int) -> None:
    engine = engine_of([liquidation(_T)])

    for instrument in ("BTCUSDT", "ETHUSDT"):
        with pytest.raises(OverflowError):
            engine.add(liquidation(beyond_ms, instrument=instrument))

    assert (engine.newest_ms, engine.instruments(), engine.late_dropped_total) == (_T, ["BTCUSDT"], 0)
    assert engine.add(liquidation(_T + 1))
    metrics = metrics_of(engine, _T + 1)
    assert (metrics.event_count_10s, metrics.total_value_usd) == (2, 2.0)


@pytest.mark.parametrize("usd", [float("nan"), float("inf")])
def test_what_is_no_amount_raises_and_changes_nothing(usd: float) -> None:
    engine = engine_of([liquidation(_T)])

    with pytest.raises((ValueError, OverflowError)):
        engine.add(liquidation(_T + 60_000, usd, instrument="ETHUSDT"))

    assert (engine.newest_ms, engine.instruments()) == (_T, ["BTCUSDT"])


@given(
    st.lists(
        st.tuples(
            st.integers(0, 289_999) | st.integers(0, 3_000),  # older ones may come too late for the baseline
            st.none() | st.floats(1e-6, 1e15),
            st.sampled_from(_SIDES),
            st.sampled_from(["binance", "okx", "bybit", "hyperliquid"]),
        ),
        min_size=1,
        max_size=40,
    ),
    st.randoms(use_true_random=False),
    st.integers(0, 2_000),
)
def test_any_arrival_order_gives_equal_output(
    rows: list[tuple[int, float | None, Side | None, str]], rnd: random.Random, back: int
) -> None:
    events = [liquidation(_T - age, usd, side, venue) for age, usd, side, venue in [(0, None, None, "okx"), *rows]]
    shuffled = events.copy()
    rnd.shuffle(shuffled)
    engines = [engine_of(events), engine_of(shuffled), engine_of([])]
    for i, event in enumerate(shuffled):  # evaluated in between: only the count of late ones may tell
        engines[2].add(event)
        if i % 3 == 0:
            metrics_of(engines[2], max(_T + i % 2, engines[2].newest_ms))

    rows_out = [metrics_of(engine, _T - back) for engine in engines]

    assert rows_out[0] == rows_out[1]
    assert structs.replace(rows_out[2], late_total=0) == rows_out[0]
    windows = [[engine.window("BTCUSDT", seconds, _T) for seconds in WINDOWS] for engine in engines]
    assert windows[0] == windows[1] == windows[2]


def test_the_estimate_does_not_tell_which_venue_came_first() -> None:
    def events(*venues: str) -> list[Liquidation]:
        prints = {
            "binance": 4,
            "okx": 7,
            "bybit": 1,
            "hyperliquid": 0,
        }  # added one by one: 1 unit apart in the last place
        return [liquidation(_T - 999 - 1_000 * i, venue=venue) for venue in venues for i in range(prints[venue])]

    orders = [("binance", "okx", "bybit", "hyperliquid"), ("hyperliquid", "okx", "bybit", "binance")]
    estimates = {metrics_of(engine_of(events(*order)), _T).velocity_est_10s for order in orders}

    assert estimates == {fsum([1 / 10, corrected_rate(10, 4).rate, corrected_rate(10, 7).rate])}


def test_a_block_in_one_millisecond_counts_whole() -> None:
    engine = engine_of([liquidation(_T - 1), liquidation(_T + 1), *(liquidation(_T, 50_000.25) for _ in range(_BLOCK))])
    engine.add(liquidation(_T, 1.0, "short"))  # one more, after the newer one

    metrics = metrics_of(engine, _T)
    assert (metrics.event_count_10s, metrics.velocity_10s) == (_BLOCK + 2, (_BLOCK + 2) / 10)
    assert metrics.total_value_usd == float(Fraction(5_000_025, 100) * _BLOCK + 2)
    assert metrics.level == "CRITICAL"
    assert metrics_of(engine, _T - 1).event_count_10s == 1
    assert metrics_of(engine, _T + 9_999).event_count_10s == _BLOCK + 2
    assert metrics_of(engine, _T + 10_000).event_count_10s == 1
    assert metrics_of(engine, _T + 300_001).total_value_usd == 0.0


@given(
    st.lists(
        st.tuples(st.sampled_from(["add"] * 3 + ["evaluate", "burst"]), st.integers(0, 25_000)),
        min_size=1,
        max_size=60,
    )
)
def test_acceleration_equals_the_slope_of_the_list_through_late_inserts_trims_and_jumps(
    steps: list[tuple[str, int]],
) -> None:
    engine, times, clock = VelocityEngine(), list[int](), _T
    for what, n in [*steps, ("evaluate", 2_000)]:
        if what == "evaluate":
            now = max([clock, *times]) + n - 2_000
            metrics = engine.metrics("BTCUSDT", now)
            found = (metrics.acceleration, metrics.acceleration_se) if metrics else (0.0, 0.0)
            assert found == least_squares(sorted(times), now, 10)
            continue
        if what == "burst":  # long enough to be trimmed, and far enough on that it is
            clock += 20_000 + 20 * n
        for i in range(600 if what == "burst" else 1):
            at = clock - n + (i if what == "burst" else 0)
            if engine.add(liquidation(at)):
                times.append(at)
        clock += n % 700


def test_memory_returns_after_a_burst() -> None:
    engine = VelocityEngine()
    event = liquidation(_T)
    engine.add(event)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(100_000):
            engine.add(event)
        full = tracemalloc.get_traced_memory()[0] - before
        settled = _T + _RETAIN_MS + 10_000  # its baseline was told by then
        engine.add(liquidation(settled))
        metrics_of(engine, settled)
        left = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert 1_600_000 <= full <= 1_800_000  # 16 bytes an event, and what a growing array keeps in reserve
    assert left < 20_000


def test_a_steady_stream_keeps_18_bytes_an_event_at_most() -> None:
    engine, live = VelocityEngine(), 30_000
    step = _RETAIN_MS // live
    worst = 0
    for i in range(2 * live):
        engine.add(liquidation(_T + i * step))
        if i >= live and i % 100 == 0:
            held = sum(sys.getsizeof(column.times) + sys.getsizeof(column.micro_sums) for column in lanes_of(engine))
            worst = max(worst, held)

    assert worst <= 18 * live + 16 * 1_000


def opcodes_of(call: Callable[[], object]) -> int:
    """How many instructions the interpreter runs: a loop of whatever kind shows."""
    count = 0

    def trace(frame: FrameType, what: str, _argument: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += what == "opcode"
        return trace

    outer = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(outer)
    return count


def test_an_event_with_evaluation_takes_as_many_steps_whatever_the_window_holds() -> None:
    # What the interpreter's C functions touch is counted in test_lane.py.
    most: dict[int, int] = {}
    for live in (300, 3_000, 30_000):
        step = 300_000 / live
        events = [liquidation(_T + int(i * step)) for i in range(live + 100)]
        engine = engine_of(events[:live])
        metrics_of(engine, events[live - 1].event_ms)

        def step_of(event: Liquidation, engine: VelocityEngine = engine) -> None:
            engine.add(event)
            engine.level("BTCUSDT", event.event_ms)
            engine.metrics("BTCUSDT", event.event_ms)

        most[live] = max(opcodes_of(partial(step_of, event)) for event in events[live:])

    assert most[300] > 500
    assert most[3_000] <= 1.5 * most[300]  # the level of a calm instrument is told without a count
    assert most[30_000] <= 1.25 * most[3_000]


def test_only_throttled_venues_are_corrected() -> None:
    prints = [liquidation(_T - 999 - 1000 * i, venue=venue) for i in range(5) for venue in ("okx", "bybit")]

    metrics = metrics_of(engine_of(prints), _T)

    assert metrics.velocity_10s == 1.0
    assert metrics.velocity_est_10s == fsum([0.5, corrected_rate(10, 5).rate])
    assert not metrics.saturated


def test_a_print_in_every_second_is_saturated() -> None:
    metrics = metrics_of(engine_of(liquidation(_T - 1000 * i, venue="binance") for i in range(10)), _T)

    assert metrics.saturated
    assert metrics.velocity_est_10s == corrected_rate(10, 10).rate


def test_the_throttled_venues_are_those_given() -> None:
    engine = VelocityEngine(throttled=())
    engine.add(liquidation(_T, venue="binance"))

    assert metrics_of(engine, _T).velocity_est_10s == 0.1


def test_coverage_is_not_known_without_a_feed() -> None:
    engine = engine_of([liquidation(_T)])
    engine.feed_up("okx", _T)  # does not carry the instrument
    engine.feed_down("bybit", _T)  # never was up

    metrics = metrics_of(engine, _T)

    assert (metrics.coverage_10s, metrics.coverage_300s, metrics.partial) == (None, None, False)
    assert engine.coverage("bybit", _T) is None
    assert engine.coverage("binance", _T) is None
    assert engine.coverage("okx", _T) == 0.0


def test_coverage_is_the_least_of_the_carrying_venues() -> None:
    engine = engine_of([liquidation(_T), liquidation(_T, instrument="ETHUSDT")])
    engine.lists_instrument("okx", "BTCUSDT")
    engine.feed_up("bybit", _T - 400_000)
    engine.feed_up("okx", _T - 30_000)

    btc, eth = (metrics_of(engine, _T, instrument) for instrument in ("BTCUSDT", "ETHUSDT"))

    assert (btc.coverage_10s, btc.coverage_60s, btc.coverage_300s, btc.partial) == (1.0, 0.5, 0.1, True)
    assert (eth.coverage_300s, eth.partial) == (1.0, False)
    window = engine.window("BTCUSDT", 60, _T)
    only_bybit = engine.window("BTCUSDT", 60, _T, venue="bybit")
    assert window is not None
    assert only_bybit is not None
    assert (window.coverage, only_bybit.coverage) == (0.5, 1.0)


def test_a_carrying_venue_that_was_never_up_leaves_the_windows_partial() -> None:
    engine = engine_of([liquidation(_T)])
    engine.lists_instrument("binance", "BTCUSDT")
    engine.feed_up("bybit", _T - 400_000)

    metrics = metrics_of(engine, _T)

    assert (metrics.coverage_300s, metrics.partial) == (0.0, True)


def test_a_hole_anywhere_in_the_largest_window_is_partial_until_it_left() -> None:
    engine = engine_of([liquidation(_T)])
    engine.feed_up("bybit", _T - 400_000)
    engine.feed_down("bybit", _T - 200_000)
    engine.feed_up("bybit", _T - 199_999)

    assert [metrics_of(engine, _T + ms).partial for ms in (0, 100_000, 100_001)] == [True, True, False]
    assert metrics_of(engine, _T).coverage_60s == 1.0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["binance", "bybit", "own"]),
            st.sampled_from(["long", "short", None]),
            st.integers(0, 310_000),
            st.integers(0, 10**12),
        ),
        max_size=60,
    ),
    st.integers(0, 2_000),
)
def test_totals_are_those_of_the_row(events: list[tuple[str, Side | None, int, int]], back: int) -> None:
    engine = VelocityEngine()
    for venue, side, age, micro in events:
        engine.add(
            Liquidation(venue, "BTCUSDT", "BTCUSDT", side, 1.0, "fill", 1.0, micro / 1e6, 1_790_000_000_000 - age)
        )
    now = engine.newest_ms - back

    totals, row = engine.totals("BTCUSDT", now), engine.metrics("BTCUSDT", now)

    if row is None:
        assert totals is None
        return
    assert totals is not None
    assert totals.counts == (row.event_count_10s, row.event_count_30s, row.event_count_60s, row.event_count_300s)
    assert totals.micro_usd[3] / 1e6 == row.total_value_usd
    assert [u / (w * 1e6) for u, w in zip(totals.micro_usd, (10, 30, 60, 300), strict=True)] == [
        row.usd_velocity_10s,
        row.usd_velocity_30s,
        row.usd_velocity_60s,
        row.usd_velocity_300s,
    ]
    assert totals.acceleration == row.acceleration


def test_standard_errors_are_of_clusters_once_the_baseline_is_known() -> None:
    engine = VelocityEngine()
    for minute in range(240):
        for i in range(12 * (minute % 4 == 0)):
            engine.add(liquidation(_T + 60_000 * minute + 100 * i))
        if minute in {20, 236}:
            now = _T + 60_000 * minute + 5_000
            row = metrics_of(engine, now)
            fano = row.surprise_fano if minute == 236 else 1.0
            assert fano is not None
            assert row.velocity_se_60s == (fano * row.event_count_60s) ** 0.5 / 60
            assert row.velocity_se_30s == (fano * row.event_count_30s) ** 0.5 / 30
            assert (fano > 5) is (minute == 236)
            window = engine.window("BTCUSDT", 60, now)
            assert window is not None
            assert window.se_velocity == row.event_count_60s**0.5 / 60


def test_an_engine_says_which_venues_it_takes_for_throttled() -> None:
    assert VelocityEngine(throttled=["okx"]).throttled == {"okx"}


def test_sides_of_a_stream_are_what_its_last_minute_closed() -> None:
    engine = VelocityEngine()
    for i, (side, usd, venue) in enumerate([("long", 5.0, "bybit"), ("short", 3.0, "okx"), ("short", 4.0, "okx")]):
        engine.add(Liquidation(venue, "BTCUSDT", "BTCUSDT", side, 1.0, "fill", None, usd, _T + i))  # type: ignore[arg-type]

    assert engine.sides(StreamKey(None, "BTCUSDT"), _T + 10) == (5_000_000, 7_000_000)
    assert engine.sides(StreamKey("bybit", None), _T + 10) == (5_000_000, 0)
    assert engine.sides(MARKET_KEY, _T + 60_000) == (0, 7_000_000)
    assert engine.sides(StreamKey("okx", "BTCUSDT"), _T, {"okx": _T + 1}) == (0, 3_000_000)
    assert engine.sides(StreamKey(None, "ETHUSDT"), _T + 10) == (0, 0)
    assert engine.sides(BREADTH_KEY, _T + 10) == (5_000_000, 7_000_000)


@pytest.mark.parametrize("rule", [None, LevelRule()], ids=["return periods", "surprise"])
def test_a_forgotten_instrument_leaves_everything_but_the_count_of_what_was_added(rule: LevelRule | None) -> None:
    engine = VelocityEngine(rule=rule)
    for place, name in enumerate(("AUSDT", "BUSDT", "CUSDT")):
        for side in _SIDES:
            event = Liquidation("bybit", name, name, side, 1.0, "fill", 1.0, 5.0 + place, _T + place)
            engine.add(event)
            engine.look([("bybit", name)], _T + place)
    engine.lists_instrument("okx", "AUSDT")

    engine.forget(["AUSDT", "CUSDT", "never seen"])

    assert engine.instruments() == ["BUSDT"]
    assert engine.metrics("AUSDT", _T + 5) is None
    assert engine.market(_T + 5).event_count_10s == 3
    if rule is None:  # the other rule looks at no minute
        assert engine.minute(MARKET_KEY, _T + 5) == (18.0, 3)
    added = {(one.instrument, one.side): (one.events, one.micro_usd) for one in engine.ever_added()}
    assert added == {(FORGOTTEN, side): (2, 12_000_000) for side in _SIDES} | {
        ("BUSDT", side): (1, 6_000_000) for side in _SIDES
    }
    engine.add(Liquidation("bybit", "AUSDT", "AUSDT", "long", 1.0, "fill", 1.0, 5.0, _T + 6))
    again = engine.metrics("AUSDT", _T + 6)
    assert again is not None
    assert (again.event_count_10s, again.coverage_10s) == (1, None)
