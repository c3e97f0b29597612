"""The grid of a replay against recounts that share nothing with the engine: plain Python, and DuckDB on real data."""

import re
from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from math import log
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from liqtape.engine import VelocityEngine
from liqtape.engine.levels.returnperiods import MARKET_KEY, StreamKey
from liqtape.eventfiles.eventtable import EventRow, EventTable
from liqtape.eventfiles.readers import load
from liqtape.eventfiles.replay import GridStep, paced, steps
from liqtape.eventfiles.rowfile import open_rows

_BASE = 1_765_416_983_000
_WINDOWS = (10, 30, 60, 300)


class _Event(NamedTuple):
    after_ms: int
    venue: str = "bybit"
    symbol: str = "AUSDT"
    side: str = "long"
    usd: float | None = 1.0


def _tape(events: Sequence[_Event]) -> EventTable:
    table = EventTable()
    for event in events:
        table.take(EventRow(_BASE + event.after_ms, event.venue, None, event.symbol, event.side, 1.0, 1.0, event.usd))
    assert len(table) == len(events)
    return table


def _seen(events: Sequence[_Event], every: int = 1) -> list[tuple[int, str, int]]:
    """(seconds after the base, instrument, events in 300 s) of every row."""
    return [
        (step.second - _BASE // 1000, row.symbol, row.event_count_300s)
        for step in steps(_tape(events), every)
        for row in step.rows
    ]


def _micro(usd: float) -> int:
    return int((Decimal(repr(usd)) * 1_000_000).quantize(Decimal(1), ROUND_HALF_EVEN))


def _recounted(events: Sequence[_Event], every: int) -> list[tuple[Any, ...]]:
    """The rows by the words of the contract: walk the whole grid and count everything at each of its seconds."""
    rows: list[tuple[Any, ...]] = []
    shown: set[str] = set()
    first = min((event.after_ms for event in events), default=0) // 1000
    last = max((event.after_ms for event in events), default=0) // 1000 + 301 + every
    for g in range(first, last + 1, every):
        for symbol in sorted({event.symbol for event in events}):
            inside = [e for e in events if e.symbol == symbol and 1000 * (g - 300) < e.after_ms <= 1000 * g]
            if not inside and symbol not in shown:
                continue
            (shown.add if inside else shown.remove)(symbol)
            windows = [[e for e in inside if e.after_ms > 1000 * (g - w)] for w in _WINDOWS]
            last_20s = [e for e in inside if e.after_ms > 1000 * (g - 20)]
            moment = sum(e.after_ms - 1000 * g + 10_000 for e in last_20s)
            sums = [sum(_micro(e.usd or 0.0) for e in window) for window in windows]
            rows.append(
                (
                    _BASE / 1000 + g,
                    symbol,
                    tuple(map(len, windows)),
                    tuple(len(window) / w for window, w in zip(windows, _WINDOWS, strict=True)),
                    tuple(sum(e.side == "long" for e in window) for window in windows),
                    tuple(sum(_micro(e.usd or 0.0) for e in w if e.side == "long") / 1e6 for w in windows),
                    tuple(total / (1e6 * w) for total, w in zip(sums, _WINDOWS, strict=True)),
                    sums[-1] / 1e6,
                    12 * moment / (1000 * 20**3),
                )
            )
    return rows


def _told(taken: Sequence[GridStep]) -> list[tuple[Any, ...]]:
    return [
        (
            row.timestamp,
            row.symbol,
            (row.event_count_10s, row.event_count_30s, row.event_count_60s, row.event_count_300s),
            (row.velocity_10s, row.velocity_30s, row.velocity_60s, row.velocity_300s),
            (row.long_count_10s, row.long_count_30s, row.long_count_60s, row.long_count_300s),
            (row.long_usd_10s, row.long_usd_30s, row.long_usd_60s, row.long_usd_300s),
            (row.usd_velocity_10s, row.usd_velocity_30s, row.usd_velocity_60s, row.usd_velocity_300s),
            row.total_value_usd,
            row.acceleration,
        )
        for step in taken
        for row in step.rows
    ]


_ANY_EVENT = st.builds(
    _Event,
    st.integers(0, 40_000) | st.integers(0, 1_300_000) | st.integers(0, 900).map(lambda second: 1000 * second),
    st.sampled_from(["bybit", "binance"]),
    st.sampled_from(["AUSDT", "BUSDT"]),
    st.sampled_from(["long", "short"]),
    st.none() | st.floats(1e-6, 1e9),
)


@settings(max_examples=60)
@given(st.lists(_ANY_EVENT, max_size=10), st.sampled_from([1, 2, 7, 60, 299, 300, 301, 1000]))
def test_any_events_in_any_order_give_the_rows_of_a_recount(events: list[_Event], every: int) -> None:
    taken = list(steps(_tape(events), every))
    assert _recounted(events, every) == _told(taken)
    assert sum(len(step.events) for step in taken) == len(events)


def test_an_event_at_a_second_belongs_to_it_and_leaves_at_the_exact_end() -> None:
    rows = _seen([_Event(0), _Event(1)])
    assert rows[:2] == [(0, "AUSDT", 1), (1, "AUSDT", 2)]
    assert rows[-2:] == [(300, "AUSDT", 1), (301, "AUSDT", 0)]
    assert len(rows) == 302


def test_the_grid_begins_at_the_second_the_first_event_lies_in() -> None:
    assert [second for second, _, _ in _seen([_Event(1_500)], 100)] == [101, 201, 301, 401]


def test_a_silence_is_not_walked_through_and_the_grid_stays_in_step() -> None:
    taken = list(steps(_tape([_Event(0), _Event(3_000_000_500)]), 7))
    assert len(taken) < 100
    assert {(step.second - _BASE // 1000) % 7 for step in taken} == {0}
    assert _seen([_Event(0), _Event(3_000_000_500)], 7)[44] == (3_000_004, "AUSDT", 1)


def test_one_row_of_zeros_each_time_the_last_event_leaves() -> None:
    zeros = [
        (second, name)
        for second, name, count in _seen([_Event(0), _Event(9_000, symbol="B"), _Event(400_000)])
        if not count
    ]
    assert zeros == [(300, "AUSDT"), (309, "B"), (700, "AUSDT")]


def test_an_event_between_two_seconds_of_a_wide_grid_has_no_row() -> None:
    assert _seen([_Event(0), _Event(1_000, symbol="B"), _Event(1_000_000)], 1000) == [
        (0, "AUSDT", 1),
        (1000, "AUSDT", 1),
        (2000, "AUSDT", 0),
    ]


def test_no_events_no_steps() -> None:
    assert list(steps(EventTable())) == []


def test_a_file_has_no_coverage_and_nothing_in_it_is_late() -> None:
    events = [_Event(9_000), _Event(0), _Event(5_500), _Event(5_400)]
    rows = [row for step in steps(_tape(events)) for row in step.rows]
    assert {(row.coverage_10s, row.coverage_300s, row.partial, row.late_total) for row in rows} == {
        (None, None, False, 0)
    }


def test_a_level_is_told_when_it_rises_and_when_it_falls() -> None:
    events = _tape([_Event(i, usd=1e6) for i in range(60)])
    told = [[(a.at_ms - _BASE, a.level) for step in steps(events, every) for a in step.alerts] for every in (1, 7, 600)]
    # 60 M USD within 60 s; 60 s after they left it a level a minute, also after the last row and between two of them.
    assert told[0] == [(1_000, "CRITICAL"), (121_000, "ALERT"), (181_000, "WATCH"), (241_000, "NONE")]
    assert told == 3 * [told[0]]


def test_a_level_stays_where_the_coverage_ends_and_the_steps_end_all_the_same() -> None:
    events = _tape([_Event(i, usd=1e6) for i in range(60)])
    taken = list(steps(events, 1, [(_BASE, _BASE + 100_000)]))
    assert [(alert.at_ms - _BASE, alert.level) for step in taken for alert in step.alerts] == [(1_000, "CRITICAL")]
    assert [row.event_count_300s for row in taken[-1].rows] == [0]


def test_a_level_is_looked_at_after_each_event() -> None:
    engine = VelocityEngine()
    # At no whole second are there 60 M USD in the last 60 s, after the second event there are.
    events = [_Event(100, usd=30e6), _Event(59_950, usd=15e6), _Event(60_050, usd=15e6)]
    assert engine.levels is not None
    list(steps(_tape(events), 1, engine=engine))
    assert [(r.at_ms - _BASE, r.step) for r in engine.levels.take_raises() if r.key == (None, "AUSDT")] == [(60_050, 3)]


def test_what_nobody_watched_is_no_watched_time_and_ends_an_episode() -> None:
    events = [_Event(hour * 3_600_000 + 1_000, usd=1_000.0) for hour in range(4)]
    spans = [(_BASE, _BASE + 5_400_000), (_BASE + 7_200_000, _BASE + 11_000_000)]
    engine = VelocityEngine()
    for _ in steps(_tape(events), coverage=spans, engine=engine):
        pass

    assert engine.levels is not None
    states = engine.levels.end(_BASE + 20_000_000)
    market = states[MARKET_KEY]
    assert market.days == pytest.approx((5_400_000 + 3_800_000) / 86_400_000, rel=0.01)
    assert sum(market.bins.values()) == pytest.approx(4.0, rel=0.01)
    instrument = states[StreamKey(None, "AUSDT")]
    assert instrument.days == pytest.approx((5_399_000 + 3_800_000) / 86_400_000, rel=0.01)  # since its first event


async def test_the_pace_follows_the_seconds_of_the_events() -> None:
    now, slept = [100.0], []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    taken = steps(_tape([_Event(0), _Event(400_000)]), 100)
    seconds = [step.second async for step in paced(taken, 50.0, clock=lambda: now[0], sleep=sleep)]
    assert [second - _BASE // 1000 for second in seconds] == [0, 100, 200, 300, 400, 500, 600, 700]
    assert slept == [0.0] + 7 * [2.0]


async def test_without_a_pace_nothing_waits_but_others_have_their_turn() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    assert len([step async for step in paced(steps(_tape([_Event(0)])), None, sleep=sleep)]) == len(slept)
    assert {0.0} == set(slept)


_EXPECTED = """
    WITH grid AS (
        SELECT instrument, ms, micro, side, unnest(range((ms + 999) // 1000, (ms + 999) // 1000 + 301)) AS g FROM events
    )
    SELECT instrument AS symbol, g::DOUBLE AS timestamp,
        {windows},
        12 * coalesce(sum(ms - 1000 * g + 10000) FILTER (ms > 1000 * (g - 20)), 0)::DOUBLE / 8000000 AS acceleration
    FROM grid GROUP BY instrument, g
"""
_WINDOW = """
    count(*) FILTER (ms > 1000 * (g - {w})) AS event_count_{w}s,
    count(*) FILTER (ms > 1000 * (g - {w}))::DOUBLE / {w} AS velocity_{w}s,
    count(*) FILTER (ms > 1000 * (g - {w}) AND side = 'long') AS long_count_{w}s,
    count(*) FILTER (ms > 1000 * (g - {w}) AND side = 'short') AS short_count_{w}s,
    coalesce(sum(micro) FILTER (ms > 1000 * (g - {w}) AND side = 'long'), 0)::DOUBLE / 1e6 AS long_usd_{w}s,
    coalesce(sum(micro) FILTER (ms > 1000 * (g - {w}) AND side = 'short'), 0)::DOUBLE / 1e6 AS short_usd_{w}s,
    coalesce(sum(micro) FILTER (ms > 1000 * (g - {w})), 0) AS micro_{w}s,
    count(DISTINCT ms // 1000) FILTER (ms > 1000 * (g - {w})) AS taken_{w}s
"""


def _differences(
    rows: Path, events: list[dict[str, Any]], estimated: Sequence[int] = _WINDOWS
) -> tuple[int, int, dict[str, int]]:
    """(rows, rows expected, differences by column) of a metrics file and a recount of `events` at every second.

    `estimated` are the windows whose throttled rate is checked: those of files of such a venue alone. An event is in
    the windows of 300 seconds; at the one after it may be the last that has left: the row of zeros.
    """
    with duckdb.connect(config={"threads": 2}) as db:
        db.register("plain", pyarrow.Table.from_pylist(events))
        db.execute("CREATE TABLE events AS FROM plain")
        windows = ",".join(_WINDOW.format(w=w) for w in _WINDOWS)
        db.execute("CREATE TABLE expected AS " + _EXPECTED.format(windows=windows))
        db.execute(f"CREATE TABLE told AS FROM read_parquet('{rows}')")
        exact = [
            f"{name}_{w}s"
            for w in _WINDOWS
            for name in ("event_count", "velocity", "long_count", "short_count", "long_usd", "short_usd")
        ]
        checks = {name: f"told.{name} <> expected.{name}" for name in (*exact, "acceleration")}
        checks["total_value_usd"] = "total_value_usd <> micro_300s::DOUBLE / 1e6"
        for w in _WINDOWS:
            checks[f"usd_velocity_{w}s"] = f"usd_velocity_{w}s <> micro_{w}s::DOUBLE / {w}e6"
        for w in estimated:
            corrected = f"CASE WHEN taken_{w}s < {w} THEN -ln(1 - taken_{w}s / {w}) ELSE {log(2 * w)!r} END"
            checks[f"velocity_est_{w}s"] = f"abs(velocity_est_{w}s - ({corrected})) > 1e-12"
        counted = ", ".join(f"count(*) FILTER ({check})" for check in checks.values())
        joined = db.execute(f"SELECT count(*), {counted} FROM told JOIN expected USING (symbol, timestamp)").fetchone()
        sizes = [db.execute(f"SELECT count(*) FROM {name}").fetchone() for name in ("told", "expected")]
    assert joined is not None
    wrong = {name: count for name, count in zip(checks, joined[1:], strict=True) if count}
    if {size[0] for size in sizes if size} != {joined[0]}:
        wrong["rows"] = joined[0]
    return *(size[0] for size in sizes if size), wrong


# The venue has the bare name for another asset; an index of coins is no coin.
_NAMED = {
    "1000000BOBUSDT": "1000000BOBUSDT",
    "1000CATUSDT": "1000CATUSDT",
    "BTCDOMUSDT": "BTCDOMUSDT-INDEX",
    "DEFIUSDT": "DEFIUSDT-INDEX",
}


# The instruments of a replay do not know each other, so a third of them at a time proves as much as all at once.
@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_market_hour_equals_a_recount_at_every_second(
    tmp_path: Path, history_file: Callable[[str], Path], part: int
) -> None:
    table = parquet.read_table(history_file("binance_all_20251211_0136_0230.parquet"))
    chosen = set(sorted(set(table["symbol"].to_pylist()))[part::3])
    table = table.filter(pyarrow.array([symbol in chosen for symbol in table["symbol"].to_pylist()]))
    parquet.write_table(table, tmp_path / "events.parquet")
    with open_rows(tmp_path / "rows.parquet") as rows:
        for step in steps(load(tmp_path / "events.parquet")):
            rows.write(step.rows)
    events = [
        {
            "instrument": _NAMED.get(row["symbol"]) or re.sub(r"^(1M|1000000|1000)(?=[A-Z])", "", row["symbol"]),
            "ms": row["ts_ms"],
            "micro": _micro(row["value_usd"]),
            "side": row["side"].lower(),
        }
        for row in table.to_pylist()
    ]
    told, expected, wrong = _differences(tmp_path / "rows.parquet", events)
    assert wrong == {}
    assert told == expected > 100_000


@pytest.mark.parametrize(
    "name",
    [
        "aave_wbtc_20220212_20230630",
        "binance_btcusdt_20241204",
        "bitmex_xbtusd_20200416_20200508",
        "hl_20251010_RECONSTRUCTED_events",
        "hl_20251010_adl_aggregate",
        "small_multivenue_samples",
    ],
)
def test_every_event_file_equals_a_recount_at_every_second(
    tmp_path: Path, history_file: Callable[[str], Path], name: str
) -> None:
    """Every second of the grid, so also every one that gains or loses an event."""
    path = history_file(f"{name}.parquet")
    table = load(path)
    with open_rows(tmp_path / "rows.parquet") as rows:
        for step in steps(table):
            rows.write(step.rows)
    held = parquet.read_table(path, columns=["ts_ms", "side", "value_usd"]).to_pylist()
    assert table.rows == len(table) == len(held)
    events = [
        {
            "instrument": table.event(i).instrument,
            "ms": row["ts_ms"],
            "micro": _micro(row["value_usd"]),
            "side": row["side"].lower(),
        }
        for i, row in enumerate(held)
    ]
    told, expected, wrong = _differences(tmp_path / "rows.parquet", events, estimated=())
    assert wrong == {}
    assert told == expected > 5_000


def test_a_block_of_11_279_events_in_one_millisecond_is_exact() -> None:
    block = [_Event(5_123, "hyperliquid", usd=float(i)) for i in range(1, 11_280)]
    rows = {row.timestamp - _BASE / 1000: row for step in steps(_tape(block)) for row in step.rows}
    assert sorted(rows) == [*map(float, range(6, 307))]
    total = sum(range(1, 11_280))
    assert {(row.event_count_300s, row.total_value_usd) for second, row in rows.items() if second < 306} == {
        (11_279, float(total))
    }
    assert [(row.event_count_10s, row.usd_velocity_10s) for second, row in rows.items() if second in (15, 16)] == [
        (11_279, total / 10),
        (0, 0.0),
    ]
    assert (rows[306.0].event_count_300s, rows[306.0].total_value_usd) == (0, 0.0)
