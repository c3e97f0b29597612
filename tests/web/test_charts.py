"""Series, price levels and marks against what is counted by hand from the same liquidations."""

from math import fsum
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.engine.windows.acceleration import least_squares
from liqtape.events import Alert, Level, Liquidation, Side
from liqtape.web.eventmemory import EventMemory
from liqtape.web.pricelevels import BtcPrices, line_of, marks_of, nice_step, price_bins
from liqtape.web.raisedlevels import RaisedLevels
from liqtape.web.seriesof import LEAD_MS, Span, series_of

_NOW_MS = 1_700_000_000_000


def liquidation(
    at_ms: int,
    usd: float | None = 100.0,
    side: Side | None = "long",
    price: float = 100.0,
    instrument: str = "BTCUSDT",
    venue: str = "bybit",
) -> Liquidation:
    return Liquidation(venue, instrument, instrument, side, price, "fill", 1.0, usd, at_ms)


def remembered(*events: Liquidation, limit: int = 100_000) -> EventMemory:
    memory = EventMemory(_NOW_MS - 10_000_000, limit)
    memory.add(events)
    return memory


def burst(count: int, seed: int = 1) -> list[Liquidation]:
    draw = Random(seed)
    events = [
        liquidation(
            _NOW_MS - draw.randrange(900_000),
            draw.choice([None, 50.0, 1_000.25, 99.999999]),
            draw.choice(["long", "short", None]),
            100.0 + draw.randrange(200) / 10,
        )
        for _ in range(count)
    ]
    return sorted(events, key=lambda event: event.event_ms)


@pytest.mark.parametrize("step_s", [1, 7, 60])
def test_series_is_what_a_count_by_hand_gives(step_s: int) -> None:
    events = burst(3_000)
    memory = remembered(*events)
    span = Span.ending(_NOW_MS, 600, step_s)
    columns = memory.of("BTCUSDT").between(span.from_ms - LEAD_MS, _NOW_MS)

    series = series_of(columns, span, memory.kept_from_ms, span.until_ms)

    times = [event.event_ms for event in events]
    for step in range(len(span)):
        begin = span.from_ms + step * span.step_ms
        inside = [event for event in events if begin < event.event_ms <= begin + span.step_ms]
        seconds = range(begin + 1000, begin + span.step_ms + 1, 1000)
        for side, counts, usds in (
            ("long", series.long_count, series.long_usd),
            ("short", series.short_count, series.short_usd),
        ):
            of_side = [event for event in inside if event.side == side]
            assert counts[step] == len(of_side)
            assert usds[step] == pytest.approx(fsum(event.notional_usd or 0.0 for event in of_side), abs=1e-6)
        for window, told in ((10, series.velocity_10s), (60, series.velocity_60s), (300, series.velocity_300s)):
            highest = max(sum(g - 1000 * window < at <= g for at in times) / window for g in seconds)
            assert told[step] == highest
        slopes = [least_squares(times, g, 10)[0] for g in seconds]
        assert abs(series.acceleration[step] or 0.0) == pytest.approx(max(map(abs, slopes)), abs=1e-12)


def test_series_is_null_before_memory_and_after_now() -> None:
    memory = EventMemory(_NOW_MS - 30_500)
    memory.add([liquidation(_NOW_MS - 30_200)])
    span = Span.ending(_NOW_MS, 60, 1)

    series = series_of(memory.of("BTCUSDT").between(0, _NOW_MS), span, memory.kept_from_ms, _NOW_MS - 2_000)

    assert series.long_count[:29] == [None] * 29
    assert series.long_count[29] == 1  # in the second in which watching began
    assert series.long_count[30:-2] == [0] * 28
    assert series.long_count[-2:] == [None] * 2
    assert series.velocity_10s[:29] == [None] * 29


@given(st.lists(st.integers(0, 1_000_000), max_size=60), st.integers(1, 20))
def test_memory_keeps_the_newest_in_order_of_time(offsets: list[int], limit: int) -> None:
    memory = EventMemory(0, limit)
    for offset in offsets:
        memory.add([liquidation(offset)])

    kept = memory.of("BTCUSDT").between(-1, 2_000_000).times_ms

    assert list(kept) == sorted(kept)
    assert len(kept) == len(offsets)  # trimmed in blocks only
    assert list(kept) == sorted(offsets)


@given(st.lists(st.lists(st.integers(0, 1_000), min_size=1, max_size=12), max_size=12))
def test_late_rows_that_come_together_stand_where_each_by_itself_would(batches: list[list[int]]) -> None:
    together, apart = EventMemory(0), EventMemory(0)
    for batch in batches:
        events = [liquidation(offset, 1.0 + number) for number, offset in enumerate(batch)]
        together.add(events)
        for event in sorted(events, key=lambda event: event.event_ms):
            apart.add([event])
        found, expected = together.of("MARKET"), apart.of("MARKET")  # the market settles with each batch
        assert (found.times_ms, found.usd, found.venues) == (expected.times_ms, expected.usd, expected.venues)
        assert list(found.times_ms) == sorted(found.times_ms)


def test_memory_is_bounded_and_says_from_when_on_it_is_whole() -> None:
    memory = EventMemory(0, 1_000)
    for number in range(20_000):
        memory.add([liquidation(number, instrument=f"C{number % 7}USDT")])

    kept = memory.of("MARKET").between(-1, 10**9).times_ms
    whole = [number for number in range(20_000) if number > memory.kept_from_ms]

    assert 1_000 <= len(memory) <= 1_000 + 4_096
    assert len(kept) == len(memory)
    assert set(whole) <= set(kept)
    for name in memory.instruments():
        own = memory.of(name).between(-1, 10**9).times_ms
        assert [at for at in own if at > memory.kept_from_ms] == [at for at in whole if f"C{at % 7}USDT" == name]


def test_price_levels_hold_every_dollar_once() -> None:
    events = burst(2_000)
    columns = remembered(*events).of("BTCUSDT").between(0, _NOW_MS)

    size, bins = price_bins(columns, 20)

    assert size is not None
    assert len(bins) <= 22
    for side, usd in (
        ("long", fsum(one.long_usd for one in bins)),
        ("short", fsum(one.short_usd for one in bins)),
    ):
        assert usd == pytest.approx(fsum(event.notional_usd or 0.0 for event in events if event.side == side))
    for one in bins:
        inside = [event for event in events if one.price_from <= event.price < one.price_until]
        assert one.long_count == sum(event.side == "long" for event in inside)
        assert one.short_count == sum(event.side == "short" for event in inside)


@pytest.mark.parametrize("price", [1e-9, 0.01234, 1.0, 99_999.9, 1e12])
def test_one_price_makes_one_level(price: float) -> None:
    size, bins = price_bins(remembered(liquidation(_NOW_MS, price=price)).of("BTCUSDT").between(0, _NOW_MS), 60)

    assert size is not None
    assert len(bins) == 1
    assert bins[0].price_from <= price * (1 + 1e-9)
    assert bins[0].price_until > price * (1 - 1e-9)


@given(st.floats(1e-9, 1e9), st.integers(1, 500))
def test_step_is_one_two_or_five(span: float, most: int) -> None:
    step = nice_step(span, most)

    assert span / step <= most * (1 + 1e-6)
    assert f"{step:e}"[0] in "1259"


def test_marks_are_the_largest_and_the_hidden_are_counted() -> None:
    events = [liquidation(_NOW_MS - 1_000 + number, float(number)) for number in range(100)]
    columns = remembered(*events, liquidation(_NOW_MS, None)).of("BTCUSDT").between(0, _NOW_MS)

    marks, hidden, usd = marks_of(columns, 10)

    assert [mark.usd for mark in marks] == [float(number) for number in range(90, 100)]
    assert hidden == 91
    assert usd == sum(range(90))
    everything, none, _ = marks_of(columns, 1_000)
    assert len(everything) == 101
    assert none == 0
    assert everything[-1].usd is None


def test_price_line_takes_fills_before_bankruptcy_prices() -> None:
    fill = liquidation(_NOW_MS - 2_000, price=10.0)
    other = Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 99.0, "bankruptcy", 1.0, 1.0, _NOW_MS - 1_000)

    mixed = line_of(remembered(fill, other).of("BTCUSDT").between(0, _NOW_MS), _NOW_MS - 10_000, 1_000)
    alone = line_of(remembered(other).of("BTCUSDT").between(0, _NOW_MS), _NOW_MS - 10_000, 1_000)
    none = line_of(remembered().of("BTCUSDT"), _NOW_MS - 10_000, 1_000)

    assert (mixed.kind, list(mixed.prices)) == ("fill", [10.0])
    assert (alone.kind, list(alone.prices)) == ("bankruptcy", [99.0])
    assert (none.kind, list(none.prices)) == (None, [])


def test_price_of_btc_is_the_last_of_each_step() -> None:
    prices = BtcPrices(limit=100)
    for second in range(2_000):
        prices.add(_NOW_MS + 1_000 * second, 100.0 + second)
    prices.add(_NOW_MS, 1.0)  # older: left out

    line = prices.line(_NOW_MS + 1_990_000, _NOW_MS + 2_000_000, 5_000)

    assert list(line.prices) == [2_095.0, 2_099.0]
    assert prices.at(_NOW_MS + 1_999_500) == 2_099.0
    assert prices.at(_NOW_MS) is None  # forgotten
    assert prices.at(_NOW_MS + 3_000_000) is None  # too old by then


def _alert(level: Level, at_ms: int, instrument: str = "BTCUSDT") -> Alert:
    return Alert(instrument, level, "NONE", at_ms, 2.0, 0.1, 5, 1_000.0, "return_period", return_days=3.0)


def test_levels_above_none_are_those_that_were_told_last() -> None:
    levels = RaisedLevels()
    for number, (level, instrument) in enumerate(
        [("WATCH", "BTCUSDT"), ("WATCH", "ETHUSDT"), ("ALERT", "MARKET"), ("CRITICAL", "BTCUSDT")]
    ):
        levels.note(_alert(level, _NOW_MS + number, instrument))  # type: ignore[arg-type]

    assert levels.counts() == {"CRITICAL": 1, "WATCH": 1}
    assert [levels.level_of(name) for name in ("BTCUSDT", "MARKET", "SOLUSDT")] == ["CRITICAL", "ALERT", "NONE"]

    levels.note(_alert("NONE", _NOW_MS + 9, "BTCUSDT"))

    assert levels.counts() == {"WATCH": 1}
