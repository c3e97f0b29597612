"""Questions to a history: what is answered is what the engine had, and what a recount finds."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import liqtape.history
from liqtape import Liquidation, VelocityEngine
from liqtape.engine.price.pricevolatility import PriceVolatility
from liqtape.errors import ConfigurationError
from liqtape.events import WINDOWS, Side
from liqtape.history.archive.archiver import CLOSED_AFTER_MS, Archiver
from liqtape.history.log.journal import AliveEntry, FeedDownEntry, FeedUpEntry, GapEntry, JournalEntry, PriceBarEntry
from liqtape.history.log.layout import EVENT_COLUMNS, arrow_schema
from liqtape.history.log.store import Store
from liqtape.history.query.query import History
from liqtape.history.query.source import Source

HOUR_MS = 3_600_000
BEGIN_MS = 1_790_000_000_000 // HOUR_MS * HOUR_MS

Write = Callable[..., History]


def closed(
    event_ms: int,
    usd: float | None = 100.0,
    *,
    venue: str = "bybit",
    instrument: str = "BTCUSDT",
    side: Side | None = "long",
    identity: str = "",
) -> Liquidation:
    symbol, at = instrument, event_ms
    return Liquidation(venue, instrument, symbol, side, 80_000.0, "fill", None, usd, at, at + 5, identity)


@pytest.fixture(name="history")
def _history(tmp_path: Path) -> Iterator[Write]:
    """`history(events, records, sealed=True)`: open, with what happened in the first hour in files, or with none."""
    opened: list[History] = []

    def write(events: Sequence[Liquidation], records: Sequence[JournalEntry] = (), *, sealed: bool = True) -> History:
        store = Store(tmp_path)
        first = [event for event in events if event.event_ms <= BEGIN_MS + HOUR_MS]
        store.write(first, records)
        store.mark_hour(BEGIN_MS)
        store.write([event for event in events if event.event_ms > BEGIN_MS + HOUR_MS])
        store.close()
        if sealed:
            archiver = Archiver(tmp_path)
            archiver.seal(BEGIN_MS + HOUR_MS + CLOSED_AFTER_MS)
            archiver.close()
        opened.append(liqtape.history.open(tmp_path))
        return opened[-1]

    yield write
    for one in opened:
        one.close()


def market(count: int = 400) -> list[Liquidation]:
    """Two hours of three instruments at two venues, ties and bursts among them; the last part is not sealed."""
    pairs = [(venue, instrument) for venue in ("bybit", "okx") for instrument in ("BTCUSDT", "ETHUSDT", "XRPUSDT")]
    early = [closed(BEGIN_MS, venue=venue, instrument=instrument) for venue, instrument in pairs]
    return early + [
        closed(
            BEGIN_MS + 3_000_000 + (serial * serial * 7_919) % 1_200_000 // (1 + serial % 3) * (1 + serial % 3),
            None if serial % 17 == 0 else 0.1 * serial * serial + 0.000001,
            venue=("bybit", "okx")[serial % 5 == 0],
            instrument=("BTCUSDT", "ETHUSDT", "XRPUSDT")[serial % 3],
            side=("long", "short", "long", None)[serial % 4],
            identity=f"{serial}",
        )
        for serial in range(count)
    ]


SPAN = (BEGIN_MS + 3_000_000, BEGIN_MS + 4_500_000)
"""Across the border between the files and the database."""


def rows_of(table: pa.Table) -> list[dict[str, object]]:
    return table.to_pylist()  # type: ignore[no-any-return]


def test_events_come_from_files_and_database_each_once_in_order(history: Write) -> None:
    events = market()
    past = history(events)

    table = past.events(*SPAN)

    expected = sorted((event for event in events if SPAN[0] < event.event_ms <= SPAN[1]), key=lambda e: e.event_ms)
    assert table.column_names == list(EVENT_COLUMNS)
    assert sorted(table["id"].to_pylist()) == sorted(event.id for event in expected)
    assert table["event_ms"].to_pylist() == [event.event_ms for event in expected]
    assert (
        table["event_ms"].to_pylist().index(next(e.event_ms for e in expected if e.event_ms > BEGIN_MS + HOUR_MS)) > 0
    )


def test_events_of_one_millisecond_stay_as_they_were_accepted(history: Write) -> None:
    past = history([closed(BEGIN_MS + 5, venue=("okx", "bybit")[i % 2], identity=str(i)) for i in range(9)])

    assert past.events(BEGIN_MS, BEGIN_MS + 5)["id"].to_pylist() == [str(i) for i in range(9)]


@pytest.mark.parametrize(
    ("instrument", "venue"), [("ETHUSDT", None), (None, "okx"), ("ETHUSDT", "okx"), ("NOTHING", None)]
)
def test_events_of_an_instrument_and_a_venue(history: Write, instrument: str | None, venue: str | None) -> None:
    events = market()
    past = history(events)

    ids = past.events(BEGIN_MS - 1, BEGIN_MS + 2 * HOUR_MS, instrument, venue)["id"].to_pylist()

    assert sorted(ids) == sorted(
        e.id for e in events if instrument in (None, e.instrument) and venue in (None, e.venue)
    )


def test_sealed_or_not_the_answers_are_the_same(history: Write, tmp_path: Path) -> None:
    unsealed = history(market(), [FeedUpEntry("bybit", BEGIN_MS)], sealed=False)
    before = (unsealed.events(*SPAN), unsealed.velocity(*SPAN, every=10), unsealed.summary(*SPAN))

    archiver = Archiver(tmp_path)
    assert archiver.seal(BEGIN_MS + HOUR_MS + CLOSED_AFTER_MS) > 100
    archiver.close()

    assert (unsealed.events(*SPAN), unsealed.velocity(*SPAN, every=10), unsealed.summary(*SPAN)) == before


def engine_row(engine: VelocityEngine, instrument: str, now_ms: int, venue: str | None) -> dict[str, object]:
    """What the live engine says: counts, USD and slopes of its rows, standard errors and imbalance of its windows."""
    row: dict[str, object] = {}
    for seconds in WINDOWS:
        window = engine.window(instrument, seconds, now_ms, venue)
        assert window is not None
        row |= {
            f"event_count_{seconds}s": window.count,
            f"velocity_{seconds}s": window.velocity,
            f"velocity_se_{seconds}s": window.se_velocity,
            f"usd_velocity_{seconds}s": window.usd_velocity,
            f"usd_velocity_se_{seconds}s": window.se_usd_velocity,
            f"long_count_{seconds}s": window.long_count,
            f"short_count_{seconds}s": window.short_count,
            f"long_usd_{seconds}s": window.long_micro / 1_000_000,
            f"short_usd_{seconds}s": window.short_micro / 1_000_000,
            f"imbalance_count_{seconds}s": window.imbalance_count,
            f"imbalance_usd_{seconds}s": window.imbalance_usd,
            f"coverage_{seconds}s": window.coverage,
        }
    if venue is None:
        metrics = engine.metrics(instrument, now_ms)
        assert metrics is not None
        for name in ("acceleration", "acceleration_se", "partial"):
            row[name] = getattr(metrics, name)
    return row


FEEDS: list[JournalEntry] = [
    FeedUpEntry("bybit", BEGIN_MS),
    FeedUpEntry("okx", BEGIN_MS),
    FeedDownEntry("okx", BEGIN_MS + 3_400_000),
    FeedUpEntry("okx", BEGIN_MS + 3_430_000),
    AliveEntry(BEGIN_MS + 2 * HOUR_MS),
]


def fed(events: Sequence[Liquidation]) -> VelocityEngine:
    engine = VelocityEngine()
    for record in FEEDS:
        if isinstance(record, FeedUpEntry):
            engine.feed_up(record.venue, record.at_ms)
        elif isinstance(record, FeedDownEntry):
            engine.feed_down(record.venue, record.at_ms)
    for venue in ("bybit", "okx"):
        for instrument in {event.instrument for event in events if event.venue == venue}:
            engine.lists_instrument(venue, instrument)
    return engine


@pytest.mark.parametrize("every", [1, 7, 60])
def test_velocities_are_those_of_the_engine_to_the_last_digit(history: Write, every: int) -> None:
    events = sorted(market(), key=lambda event: event.event_ms)
    past = history(events, FEEDS)
    span = (SPAN[0], SPAN[0] + (300_000 if every == 1 else 1_500_000))
    expected = []
    engine, waiting = fed(events), list(reversed(events))

    table = past.velocity(*span, instrument="ETHUSDT", every=every)

    for at_ms in table["at_ms"].to_pylist():
        while waiting and waiting[-1].event_ms <= at_ms:
            engine.add(waiting.pop())
        expected.append(
            {"at_ms": at_ms, "instrument": "ETHUSDT", "venue": None} | engine_row(engine, "ETHUSDT", at_ms, None)
        )
    assert len(expected) == {1: 300, 7: 214, 60: 25}[every]
    assert rows_of(table) == expected


def test_velocities_of_one_venue_are_those_of_the_engine(history: Write) -> None:
    events = sorted(market(), key=lambda event: event.event_ms)
    past = history(events, FEEDS)
    engine, waiting = fed(events), list(reversed(events))

    for row in rows_of(past.velocity(*SPAN, instrument="BTCUSDT", venue="okx", every=60)):
        at_ms = row["at_ms"]
        assert isinstance(at_ms, int)
        while waiting and waiting[-1].event_ms <= at_ms:
            engine.add(waiting.pop())
        told = engine_row(engine, "BTCUSDT", at_ms, "okx")
        assert {name: row[name] for name in told} == told
        assert (row["instrument"], row["venue"]) == ("BTCUSDT", "okx")


def test_the_market_is_all_events_as_of_one_instrument(history: Write) -> None:
    events = sorted(market(), key=lambda event: event.event_ms)
    past = history(events, FEEDS)
    engine, waiting = fed(events), list(reversed(events))
    engine.lists_instrument("okx", "ALL")
    engine.lists_instrument("bybit", "ALL")

    rows = rows_of(past.velocity(*SPAN, every=60))

    assert len(rows) == 25
    for row in rows:
        at_ms = row["at_ms"]
        assert isinstance(at_ms, int)
        while waiting and waiting[-1].event_ms <= at_ms:
            engine.add(replace(waiting.pop(), instrument="ALL"))
        assert row == {"at_ms": at_ms, "instrument": None, "venue": None} | engine_row(engine, "ALL", at_ms, None)


@pytest.mark.parametrize("by", ["instrument", "venue"])
def test_rows_apart_are_the_rows_of_each_alone(history: Write, by: str) -> None:
    past = history(market(), FEEDS)
    names = ["BTCUSDT", "ETHUSDT", "XRPUSDT"] if by == "instrument" else ["bybit", "okx"]

    apart = rows_of(past.velocity(*SPAN, by=by, every=30))  # type: ignore[arg-type]

    alone = [row for name in names for row in rows_of(past.velocity(*SPAN, every=30, **{by: name}))]  # type: ignore[arg-type]
    shown = [row for row in alone if row["event_count_300s"]]
    assert len(shown) < len(alone)
    assert apart == sorted(shown, key=lambda row: (row["at_ms"], row[by]))


def test_a_recount_by_duckdb_agrees(history: Write) -> None:
    past = history(market())
    events = past.events(BEGIN_MS, BEGIN_MS + 2 * HOUR_MS)
    table = past.velocity(*SPAN, by="instrument", every=10, seconds=[45])
    connection = duckdb.connect()
    connection.register("events", events)
    connection.register("answer", table)

    different = connection.execute(
        """
        WITH times AS (SELECT unnest(range(?, ? + 1, 10000)) AS at_ms),
        recount AS (
            SELECT at_ms, instrument, count(*) AS event_count_45s,
                   sum(coalesce(round(notional_usd * 1000000), 0)::HUGEINT) AS micro,
                   count(*) FILTER (side = 'long') AS long_count_45s
            FROM times, events WHERE event_ms > at_ms - 45000 AND event_ms <= at_ms GROUP BY ALL
        )
        SELECT * FROM recount FULL JOIN answer USING (at_ms, instrument)
        WHERE recount.event_count_45s IS DISTINCT FROM answer.event_count_45s
           OR recount.long_count_45s IS DISTINCT FROM answer.long_count_45s
           OR abs(micro - usd_velocity_45s * 45000000) > 0.5
        """,
        [-(-(SPAN[0] + 1) // 10_000) * 10_000, SPAN[1]],
    ).fetchall()

    assert table.num_rows > 100
    assert different == []
    connection.close()


def test_a_row_is_there_at_each_step_also_where_nothing_happened(history: Write) -> None:
    past = history([closed(BEGIN_MS + 60_000)])

    rows = rows_of(past.velocity(BEGIN_MS - 1, BEGIN_MS + 180_000, instrument="BTCUSDT", every=60))

    assert [row["at_ms"] for row in rows] == [BEGIN_MS + 60_000 * k for k in range(4)]
    assert [row["event_count_60s"] for row in rows] == [0, 1, 0, 0]


def test_times_in_gaps_are_partial_and_filled_gaps_are_not(history: Write) -> None:
    gap = (BEGIN_MS + 600_000, BEGIN_MS + 615_000)
    records = [
        FeedUpEntry("bybit", BEGIN_MS),
        FeedDownEntry("bybit", gap[0]),
        FeedUpEntry("bybit", gap[1]),
        AliveEntry(BEGIN_MS + HOUR_MS),
    ]
    seen = GapEntry("bybit", *gap, "reset")
    past = history([closed(BEGIN_MS + 500_000)], [*records, seen], sealed=False)

    def at(moment_ms: int, past: History) -> tuple[object, object]:
        (row,) = rows_of(past.velocity(moment_ms - 1, moment_ms, instrument="BTCUSDT", every=5, seconds=[60]))
        return row["coverage_60s"], row["partial"]

    assert at(gap[1], past) == (0.75, True)
    assert at(gap[1] + 60_000, past) == (1.0, False)
    assert past.gaps(*gap).num_rows == past.gaps(gap[0] + 1, gap[0] + 2).num_rows == 1
    assert past.gaps(gap[1], gap[1] + 9).num_rows == past.gaps(gap[0] - 9, gap[0]).num_rows == 0
    filled = history([], [replace(seen, backfilled=True)], sealed=False)
    assert at(gap[1], filled) == (1.0, False)


def test_coverage_after_the_last_sign_of_life_is_not_claimed(history: Write) -> None:
    past = history([closed(BEGIN_MS + 1)], [FeedUpEntry("bybit", BEGIN_MS - 60_000), AliveEntry(BEGIN_MS + 28_000)])

    (row,) = rows_of(past.velocity(BEGIN_MS, BEGIN_MS + 60_000, venue="bybit", every=60, seconds=[60]))

    assert (row["coverage_60s"], row["partial"]) == (0.5, True)


def test_coverage_is_unknown_where_nobody_recorded_it(history: Write) -> None:
    past = history([closed(BEGIN_MS + 1)])

    (row,) = rows_of(past.velocity(BEGIN_MS, BEGIN_MS + 60_000, every=60, seconds=[60]))

    assert (row["coverage_60s"], row["partial"]) == (None, False)


def test_a_venue_that_never_shows_all_is_partial(history: Write) -> None:
    past = history(
        [closed(BEGIN_MS + 1, venue="hyperliquid")],
        [FeedUpEntry("hyperliquid", BEGIN_MS - 99_000), AliveEntry(BEGIN_MS + HOUR_MS)],
    )

    (row,) = rows_of(past.summary(BEGIN_MS, BEGIN_MS + 60_000))

    assert (row["coverage"], row["partial"]) == (1.0, True)


def test_summary_totals_and_peaks(history: Write) -> None:
    burst = [closed(BEGIN_MS + 100_000 + i, 10.0, side="short") for i in range(6)]
    past = history(
        [
            closed(BEGIN_MS, 7.0),
            closed(BEGIN_MS + 30_000, 500.5),
            *burst,
            closed(BEGIN_MS + 200_000, None),
            closed(BEGIN_MS + 1, instrument="ETHUSDT"),
        ]
    )

    eth, btc = rows_of(past.summary(BEGIN_MS, BEGIN_MS + 200_000, seconds=10).sort_by([("instrument", "descending")]))

    assert (eth["instrument"], eth["event_count"], eth["total_value_usd"]) == ("ETHUSDT", 1, 100.0)
    assert btc == {
        "instrument": "BTCUSDT",
        "venue": None,
        "event_count": 8,
        "unsized": 1,
        "total_value_usd": 560.5,
        "long_count": 2,
        "long_usd": 500.5,
        "short_count": 6,
        "short_usd": 60.0,
        "largest_usd": 500.5,
        "highest_velocity_10s": 0.6,
        "highest_velocity_ms": BEGIN_MS + 100_005,
        "highest_usd_velocity_10s": 50.05,
        "highest_acceleration": pytest.approx(6 * 6 / 400, abs=1e-4),
        "coverage": None,
        "partial": False,
    }


def test_a_summary_of_nothing_has_no_rows(history: Write) -> None:
    assert history([closed(BEGIN_MS)]).summary(BEGIN_MS, BEGIN_MS + 1).num_rows == 0


def test_volatility_is_that_of_the_live_code(history: Write) -> None:
    prices = [60_000.0 + (i * i * 31) % 97 for i in range(5_000)]
    bars: list[JournalEntry] = [
        PriceBarEntry(BEGIN_MS + 1_000 * i, p, p, p, p, None, 1, "binance") for i, p in enumerate(prices)
    ]
    past = history([], bars)
    live, place = PriceVolatility(), 0

    rows = rows_of(past.volatility(BEGIN_MS, BEGIN_MS + 5_000_000, every=500))

    for row in rows:
        at_ms = row["at_ms"]
        assert isinstance(at_ms, int)
        while place < len(prices) and BEGIN_MS + 1_000 * place + 999 <= at_ms:
            live.add(prices[place], BEGIN_MS + 1_000 * place + 999)
            place += 1
        realised = live.realised(at_ms)
        assert row["realised_variance_300s"] == realised.rv
        assert row["volatility_annual_300s"] == realised.sigma_annual
        assert row["jump_z"] == realised.jump_z
        assert row["ewma_variance_60s"] == live.ewma(60, at_ms)
        assert row["volatility_factor"] == live.volatility_factor(at_ms)
        assert row["btc_price"] == prices[place - 1]
    assert [row["volatility_factor"] is None for row in rows] == [True] * 7 + [False] * 3


def test_no_return_is_taken_across_sources_or_silence(history: Write) -> None:
    def bar(second: int, price: float, source: str) -> PriceBarEntry:
        return PriceBarEntry(BEGIN_MS + 1_000 * second, price, price, price, price, None, 1, source)

    past = history([], [bar(0, 1.0, "a"), bar(1, 1.0, "a"), bar(2, 9.0, "b"), bar(3, 9.0, "b"), bar(60, 50.0, "b")])

    *_, last = rows_of(past.volatility(BEGIN_MS, BEGIN_MS + 61_000, every=1))

    assert last["realised_variance_300s"] == 0.0
    assert last["btc_price"] == 50.0
    assert rows_of(past.volatility(BEGIN_MS, BEGIN_MS + 30_000, every=30))[0]["btc_price"] is None


def test_no_return_is_taken_across_silence_within_a_step(history: Write) -> None:
    bars: list[JournalEntry] = [
        PriceBarEntry(BEGIN_MS + 1_000 * i, p, p, p, p, None, 1, "a") for i, p in ((3_538, 9.0), (3_598, 50.0))
    ]

    (row,) = rows_of(history([], bars).volatility(BEGIN_MS, BEGIN_MS + HOUR_MS, every=3_600))

    assert (row["realised_variance_300s"], row["btc_price"]) == (0.0, 50.0)  # the second behind the last bar


def test_an_instrument_depends_on_its_own_venues_only(history: Write) -> None:
    feeds = [FeedUpEntry("bybit", BEGIN_MS - 99_000), FeedUpEntry("okx", BEGIN_MS), AliveEntry(BEGIN_MS + HOUR_MS)]
    past = history([closed(BEGIN_MS + 1), closed(BEGIN_MS + 2, venue="okx", instrument="ETHUSDT")], feeds)

    def partial(instrument: str | None) -> object:
        table = past.velocity(BEGIN_MS, BEGIN_MS + 30_000, instrument=instrument, every=30, seconds=[60])
        return table["partial"].to_pylist()

    assert [partial("BTCUSDT"), partial("ETHUSDT"), partial(None)] == [[False], [True], [True]]


def test_a_baseline_does_not_learn_from_what_nobody_saw(history: Write) -> None:
    events = [closed(BEGIN_MS + 60_000 * i) for i in range(60)]
    dark = [
        FeedUpEntry("bybit", BEGIN_MS - 50 * HOUR_MS),
        FeedDownEntry("bybit", BEGIN_MS - 49 * HOUR_MS),
        FeedUpEntry("bybit", BEGIN_MS),
    ]
    span = (BEGIN_MS + HOUR_MS, BEGIN_MS + HOUR_MS + 60_000)

    def expected(past: History) -> float:
        (row,) = rows_of(past.levels(*span, instrument="BTCUSDT"))
        assert isinstance(row["expected_count_60s"], float)
        return row["expected_count_60s"]

    seen_dark = expected(history(events, [*dark, AliveEntry(BEGIN_MS + 2 * HOUR_MS)], sealed=False))

    assert seen_dark == pytest.approx((55 + 30 / 60) / (55 + 30), rel=0.1)  # an hour, and the prior's 30 minutes


def test_levels_rise_with_a_burst_and_come_down_slowly(history: Write) -> None:
    quiet = [closed(BEGIN_MS + 60_000 * i) for i in range(60)]
    burst = [closed(BEGIN_MS + 4_000_000 + 200 * i, 50_000.0, identity=str(i)) for i in range(60)]
    past = history([*quiet, *burst])

    rows = rows_of(past.levels(BEGIN_MS + 3_900_000, BEGIN_MS + 4_500_000, instrument="BTCUSDT", every=60))

    levels = [row["level"] for row in rows]
    assert [row["at_ms"] for row in rows] == [BEGIN_MS + 3_960_000 + 60_000 * k for k in range(10)]
    assert levels[:2] == ["NONE", "CRITICAL"]
    assert levels[-1] == "NONE"
    assert [row["event_count_60s"] for row in rows][1] == 60
    order = ["NONE", "WATCH", "ALERT", "CRITICAL"]
    ranks = list(map(order.index, levels[1:]))  # type: ignore[arg-type]
    assert ranks == sorted(ranks, reverse=True)
    surprise = rows[1]["surprise"]
    assert isinstance(surprise, float)
    assert surprise > 6


def test_the_highest_level_within_a_step_is_told(history: Write) -> None:
    burst = [closed(BEGIN_MS + 4_000_000 + 200 * i, 1e7, identity=str(i)) for i in range(60)]
    past = history([closed(BEGIN_MS), *burst])

    (row,) = rows_of(past.levels(BEGIN_MS + HOUR_MS - 1, BEGIN_MS + 2 * HOUR_MS - 1_800_000, every=1_800))[1:]

    assert (row["level"], row["highest_level"]) == ("NONE", "CRITICAL")


def test_an_unusual_minute(history: Write) -> None:
    usual = [closed(BEGIN_MS + 60_000 * i + 1, 10.0 + i % 5, identity=f"u{i}") for i in range(110) if i % 10]
    burst = [closed(BEGIN_MS + 6_600_000 + 1 + i, 100.0, identity=f"b{i}") for i in range(5)]
    past = history([*usual, *burst], [FeedUpEntry("bybit", BEGIN_MS), AliveEntry(BEGIN_MS + 2 * HOUR_MS)])

    told = past.unusual(BEGIN_MS + 6_660_000, days=2, instrument="BTCUSDT")

    assert (told.event_count, told.usd, told.coverage) == (5, 500.0, 1.0)
    assert told.minutes == 110
    assert (told.busier_than, told.heavier_than, told.at_least_as_busy) == (100.0, 100.0, 0)
    assert told.mean == pytest.approx(99 / 110)
    assert told.counts is not None
    assert (told.counts.median, told.counts.highest) == (1.0, 1.0)
    assert told.surprise is not None
    assert told.surprise > 2
    quiet = past.unusual(BEGIN_MS + 6_600_000, days=2)
    assert (quiet.event_count, quiet.busier_than, quiet.at_least_as_busy) == (1, 100 * 11 / 109, 98)


def test_a_minute_without_others_to_compare_with(history: Write) -> None:
    told = history([closed(BEGIN_MS + 1)]).unusual(BEGIN_MS + 60_000, days=1)

    assert (told.event_count, told.minutes, told.busier_than, told.surprise) == (1, 0, None, None)


def test_what_is_written_meanwhile_is_in_the_next_answer(history: Write, tmp_path: Path) -> None:
    past = history([closed(BEGIN_MS + HOUR_MS + 5)])
    assert past.events(BEGIN_MS, BEGIN_MS + 2 * HOUR_MS).num_rows == 1

    store = Store(tmp_path)
    store.write([closed(BEGIN_MS + HOUR_MS + 9)])

    assert past.events(BEGIN_MS, BEGIN_MS + 2 * HOUR_MS).num_rows == 2
    store.close()


@pytest.mark.parametrize(("span", "every"), [((5, 5), 60), ((9, 5), 60), ((0, 9), 0), ((0, 1 << 60), 1)])
def test_impossible_questions_are_refused(history: Write, span: tuple[int, int], every: int) -> None:
    with pytest.raises(ConfigurationError):
        history([]).velocity(*span, every=every)


def test_more_rows_than_memory_holds_are_refused(history: Write) -> None:
    past = history([closed(BEGIN_MS + i, instrument=f"C{i}USDT") for i in range(30)])

    with pytest.raises(ConfigurationError, match="ask for longer steps"):
        past.velocity(BEGIN_MS - 900_000_000, BEGIN_MS + 30, by="instrument", every=1)


def test_no_history_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no"):
        liqtape.history.open(tmp_path / "nowhere")


def test_frames_of_pandas_and_polars(history: Write) -> None:
    table = history(market()).velocity(*SPAN)

    assert list(liqtape.history.to_pandas(table).columns) == table.column_names
    assert liqtape.history.to_polars(table)["event_count_60s"].to_list() == table["event_count_60s"].to_pylist()


def test_a_library_that_is_not_there_is_named(history: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    table = history([]).gaps(0, 1)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    with pytest.raises(ConfigurationError, match="pip install polars"):
        liqtape.history.to_polars(table)
    with pytest.raises(ConfigurationError, match="liqtape\\[analysis\\]"):
        liqtape.history.open("anywhere")


class Listed:
    """A `Source` over a list: for many small histories."""

    def __init__(self, events: Sequence[Liquidation]) -> None:
        self._events = events

    def events(
        self,
        from_ms: int,
        until_ms: int,
        instrument: str | None = None,
        venue: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        assert (instrument, venue) == (None, None)
        names = [*EVENT_COLUMNS[1:]] if columns is None else columns
        chosen = [event for event in self._events if from_ms < event.event_ms <= until_ms]
        schema = arrow_schema("events")
        return pa.table({name: pa.array([getattr(e, name) for e in chosen], schema.field(name).type) for name in names})

    def gaps(self, from_ms: int, until_ms: int) -> pa.Table:  # noqa: ARG002
        return arrow_schema("gaps").empty_table()

    def coverage(self, from_ms: int, until_ms: int) -> pa.Table:  # noqa: ARG002
        return arrow_schema("coverage").empty_table()

    def prices(self, from_ms: int, until_ms: int) -> pa.Table:  # noqa: ARG002
        return arrow_schema("prices").empty_table()

    def close(self) -> None:
        return


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 700_000),
            st.none() | st.floats(0, 1e12, allow_subnormal=False),
            st.sampled_from(["long", "short", None]),
            st.sampled_from(["BTCUSDT", "ETHUSDT"]),
        ),
        max_size=40,
    ),
    st.integers(1, 90),
)
def test_any_history_is_answered_as_the_engine_would(
    drawn: list[tuple[int, float | None, Side | None, str]], every: int
) -> None:
    events = [
        closed(BEGIN_MS + at, usd, side=side, instrument=name)
        for at, usd, side, name in sorted(drawn, key=lambda d: d[0])
    ]
    source: Source = Listed(events)
    engine, waiting = VelocityEngine(), list(reversed(events))

    table = History(source).velocity(BEGIN_MS, BEGIN_MS + 800_000, by="instrument", every=every)

    told = {(row["at_ms"], row["instrument"]): row for row in rows_of(table)}
    for at_ms in range(BEGIN_MS - BEGIN_MS % (1000 * every) + 1000 * every, BEGIN_MS + 800_000 + 1, 1000 * every):
        while waiting and waiting[-1].event_ms <= at_ms:
            engine.add(waiting.pop())
        for name in ("BTCUSDT", "ETHUSDT"):
            metrics = engine.metrics(name, at_ms)
            if metrics is None or not metrics.event_count_300s:
                assert (at_ms, name) not in told
                continue
            row = told[at_ms, name]
            expected = {"at_ms": at_ms, "instrument": name, "venue": None} | engine_row(engine, name, at_ms, None)
            assert row == expected
