import math
import random
import threading
import time
import tracemalloc
from collections import deque
from dataclasses import fields
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.compat.velocity import EventBuffer, VelocityMetrics, VelocityTracker

_NOW = 1_790_000_000.0
_WINDOWS = (10, 30, 60, 300)
_MICRO = 1_000_000
Pairs = list[tuple[int, int]]  # ms before now, cents


class Bounded(VelocityTracker):
    """The founding document's own way to bound the memory."""

    def _get_buffer(self, symbol: str) -> deque[tuple[float, float]]:
        if symbol not in self.event_buffers:
            self.event_buffers[symbol] = deque(maxlen=1500)
            self.velocity_history[symbol] = deque(maxlen=5)
        buffer: deque[tuple[float, float]] = self.event_buffers[symbol]
        return buffer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What `time.time` gives, to be changed."""
    now = [_NOW]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


def _recounted(pairs: Pairs, now_ms: int) -> tuple[list[int], float, float]:
    """(counts, acceleration, USD) by brute force over (time in ms, cents)."""
    times = [at for at, _ in pairs]
    counts = [sum(now_ms - 1000 * w < at <= now_ms for at in times) for w in _WINDOWS]
    inside = [at for at in times if now_ms - 20_000 < at <= now_ms]
    slope = Fraction(12, 20**3) * sum((Fraction(at - now_ms, 1000) + 10 for at in inside), Fraction())
    cents = sum(cents for at, cents in pairs if now_ms - 300_000 < at <= now_ms)
    return counts, float(slope), cents / 100


def _assert_equals(metrics: VelocityMetrics | None, pairs: Pairs, now_ms: int) -> None:
    assert metrics is not None
    counts, acceleration, usd = _recounted(pairs, now_ms)
    assert [getattr(metrics, f"event_count_{w}s") for w in _WINDOWS] == counts
    assert [getattr(metrics, f"velocity_{w}s") for w in _WINDOWS] == [n / w for n, w in zip(counts, _WINDOWS)]  # noqa: B905
    assert metrics.acceleration == acceleration
    assert metrics.total_value_usd == usd
    assert metrics.timestamp == now_ms / 1000


@pytest.mark.parametrize("kind", [VelocityTracker, Bounded])
@pytest.mark.parametrize("seed", range(3))
def test_metrics_equal_a_recount_in_any_order(kind: type[VelocityTracker], seed: int, clock: list[float]) -> None:
    draw = random.Random(seed)
    pairs = [(int(_NOW * 1000) - draw.randrange(310_000), draw.randrange(10_000_000)) for _ in range(600)]
    tracker = kind()
    for at_ms, cents in pairs:
        tracker.add_event("BTCUSDT", cents / 100, at_ms / 1000)

    for later_ms in (0, 1, 999, 15_000, 299_000):
        clock[0] = _NOW + later_ms / 1000
        _assert_equals(tracker.calculate_velocity("BTCUSDT"), pairs, int(_NOW * 1000) + later_ms)


@given(st.lists(st.tuples(st.integers(0, 301_000), st.integers(0, 10**9)), min_size=1, max_size=60))
def test_any_events_equal_a_recount_at_the_newest(ages: Pairs) -> None:
    ahead_ms = int(time.time() * 1000) + 3_600_000  # so that the newest event is the evaluation time
    pairs = [(ahead_ms - age, cents) for age, cents in ages]
    tracker, bounded = VelocityTracker(), Bounded()
    for at_ms, cents in pairs:
        tracker.add_event("X", cents / 100, at_ms / 1000)
        bounded.add_event("X", cents / 100, at_ms / 1000)

    newest = max(at for at, _ in pairs)
    _assert_equals(tracker.calculate_velocity("X"), pairs, newest)
    _assert_equals(bounded.calculate_velocity("X"), pairs, newest)


def test_never_seen_is_none_and_long_gone_is_zero(clock: list[float]) -> None:
    tracker = VelocityTracker()
    assert tracker.calculate_velocity("BTCUSDT") is None

    tracker.add_event("BTCUSDT", 5.0)
    clock[0] += 300.001
    metrics = tracker.calculate_velocity("BTCUSDT")

    assert metrics is not None
    assert (metrics.event_count_300s, metrics.velocity_300s, metrics.total_value_usd, metrics.acceleration) == (
        0,
        0.0,
        0.0,
        0.0,
    )
    assert tracker.calculate_velocity("ETHUSDT") is None


def test_a_symbol_of_which_only_old_events_came_is_seen(clock: list[float]) -> None:
    tracker = VelocityTracker()
    tracker.add_event("BTCUSDT", 5.0, clock[0] - 4_000)

    metrics = tracker.calculate_velocity("BTCUSDT")

    assert metrics is not None
    assert metrics.event_count_300s == 0


def test_default_time_is_now(clock: list[float]) -> None:
    tracker = VelocityTracker()
    tracker.add_event("BTCUSDT", 5.0)

    assert list(tracker.event_buffers["BTCUSDT"]) == [(_NOW, 5.0)]
    metrics = tracker.calculate_velocity("BTCUSDT")
    assert metrics is not None
    assert metrics.timestamp == clock[0]


def test_nothing_is_capped_by_default(clock: list[float]) -> None:
    tracker = VelocityTracker()
    for i in range(11_279):
        tracker.add_event("BTCUSDT", 1.0, clock[0] - i % 5)

    metrics = tracker.calculate_velocity("BTCUSDT")

    assert metrics is not None
    assert (metrics.event_count_10s, metrics.total_value_usd) == (11_279, 11_279.0)
    assert len(tracker.event_buffers["BTCUSDT"]) == 11_279


def test_the_documents_own_buffer_is_obeyed(clock: list[float]) -> None:
    tracker = Bounded()
    for i in range(2_000):
        tracker.add_event("BTCUSDT", float(i), clock[0])

    metrics = [tracker.calculate_velocity("BTCUSDT") for _ in range(7)][-1]

    assert metrics is not None
    assert metrics.event_count_10s == 1_500
    assert metrics.total_value_usd == sum(range(500, 2_000))
    assert len(tracker.velocity_history["BTCUSDT"]) == 5


def test_history_has_the_newest_velocities(clock: list[float]) -> None:
    tracker = VelocityTracker()
    for _ in range(12):
        tracker.add_event("BTCUSDT", 1.0, clock[0])
        tracker.calculate_velocity("BTCUSDT")

    assert list(tracker.velocity_history["BTCUSDT"]) == [n / 10 for n in range(3, 13)]


def test_an_empty_tracker_is_true() -> None:
    assert bool(VelocityTracker()) is True


def test_metrics_are_a_dataclass_of_the_documented_fields_in_order() -> None:
    assert [field.name for field in fields(VelocityMetrics)] == [
        "symbol",
        "timestamp",
        *(f"event_count_{w}s" for w in _WINDOWS),
        *(f"velocity_{w}s" for w in _WINDOWS),
        "acceleration",
        "total_value_usd",
        "btc_price",
        "volatility_factor",
    ]


def test_only_price_and_volatility_may_be_none() -> None:
    tracker = VelocityTracker()
    tracker.add_event("BTCUSDT", math.nan)

    metrics = tracker.calculate_velocity("BTCUSDT")

    assert metrics is not None
    assert [name for name, value in metrics.to_dict().items() if value is None] == ["btc_price", "volatility_factor"]
    assert (metrics.event_count_10s, metrics.total_value_usd) == (1, 0.0)
    tracker.update_btc_price(80_000.5)
    metrics = tracker.calculate_velocity("BTCUSDT")
    assert metrics is not None
    assert metrics.btc_price == 80_000.5


def test_sixty_five_events_in_ten_seconds_accelerate_by_less_than_one(clock: list[float]) -> None:
    """The document's sample line (6.50 events/s, accel 2.5) cannot be had: this is the most there is."""
    tracker = VelocityTracker()
    for _ in range(65):
        tracker.add_event("BTCUSDT", 1.0, clock[0])

    metrics = tracker.calculate_velocity("BTCUSDT")

    assert metrics is not None
    assert (metrics.velocity_10s, metrics.acceleration) == (6.5, 0.975)


def test_buffer_is_a_sequence_of_pairs() -> None:
    buffer = EventBuffer()
    for i in range(5):
        buffer.append((1_000.0 + i, float(i)))

    assert (buffer[0], buffer[-1], len(buffer)) == ((1_000.0, 0.0), (1_004.0, 4.0), 5)
    assert buffer[1:3] == [(1_001.0, 1.0), (1_002.0, 2.0)]
    assert next(reversed(buffer)) == (1_004.0, 4.0)
    for place in (5, -6):
        with pytest.raises(IndexError):
            buffer[place]


def test_buffer_forgets_what_is_older_than_its_window() -> None:
    buffer = EventBuffer()
    for i in range(2_000):
        buffer.append((1_000.0 + i, 1.0))

    assert (len(buffer), buffer[0], buffer[-1]) == (300, (2_700.0, 1.0), (2_999.0, 1.0))


def test_a_burst_gives_its_memory_back() -> None:
    buffer = EventBuffer()
    for _ in range(50_000):
        buffer.append((1_000.0, 1.0))

    buffer.append((2_000.0, 1.0))
    buffer._first()
    buffer.append((2_000.0, 1.0))

    assert len(buffer.column.times) == 2


def test_a_thousand_buffered_events_take_at_most_18_kb() -> None:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        buffer = EventBuffer()
        for i in range(1_000):
            buffer.append((_NOW + i / 7, i * 97.31))
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert len(buffer) == 1_000
    assert used <= 18 * 1024


def test_threads_may_ask_while_events_come(clock: list[float]) -> None:
    tracker = VelocityTracker()
    asked: list[VelocityMetrics | None] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            asked.append(tracker.calculate_velocity("BTCUSDT"))

    thread = threading.Thread(target=ask)
    thread.start()
    pairs = [(int(_NOW * 1000) - (i * 7919) % 20_000, 100) for i in range(5_000)]
    for at_ms, cents in pairs:
        tracker.add_event("BTCUSDT", cents / 100, at_ms / 1000)
    done.set()
    thread.join()

    assert asked
    _assert_equals(tracker.calculate_velocity("BTCUSDT"), pairs, int(clock[0] * 1000))
