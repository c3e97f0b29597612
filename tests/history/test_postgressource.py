"""The log and the PostgreSQL server that follows it hold the same, and are read the same."""

import asyncio
import importlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from msgspec.structs import astuple, replace
from tests.polling import until

import liqtape.history
from liqtape.errors import ConfigurationError
from liqtape.events import Liquidation
from liqtape.history.archive.archiver import CLOSED_AFTER_MS, Archiver
from liqtape.history.log.eventlog import EventLog
from liqtape.history.log.journal import AliveEntry, FeedDownEntry, FeedUpEntry, GapEntry, PriceBarEntry
from liqtape.history.log.layout import EVENT_COLUMNS, PRICE_COLUMNS, arrow_schema
from liqtape.history.log.logreader import LogReader
from liqtape.history.log.store import Store
from liqtape.history.query.postgressource import PostgresSource
from liqtape.history.query.query import History
from liqtape.settings import HistorySettings, RedisSettings, Settings, VenueSettings
from liqtape.sinks.postgres.postgressink import PostgresSink
from liqtape.tracker import Tracker
from liqtape.venues import VENUES

if TYPE_CHECKING:
    from tests.conftest import PostgresServer

asyncpg: Any = importlib.import_module("asyncpg")  # not annotated
MakeMany = Callable[..., list[Liquidation]]
HOUR_MS = 3_600_000
T = 1_790_000_000_000 // HOUR_MS * HOUR_MS
EVER = (-(2**62), 2**62)
BARS = [PriceBarEntry(T + at, 1.5, 2.5, 0.5, 1.0, None, 3, "bybit") for at in (0, 1_000, 2 * HOUR_MS, 3 * HOUR_MS)]


@pytest.fixture
def url(postgres_server: "PostgresServer") -> str:
    return postgres_server.url(postgres_server.new_database())


@pytest.fixture
def logged(tmp_path: Path, liquidations: MakeMany) -> list[Liquidation]:
    """A log of three hours, two of them sealed, with all a log may hold."""
    events = [replace(event, event_ms=T + serial * HOUR_MS // 10) for serial, event in enumerate(liquidations(30))]
    events[4] = replace(events[4], symbol='quoted "', id="", side=None, receive_ms=None)
    events[5] = replace(events[5], symbol="line\r\nbreak, and comma", price=5e-324, notional_usd=1.7e308)
    events[6] = replace(events[6], symbol="\\.", venue="Ünïcode 永続", quantity=None, notional_usd=None)
    store = Store(tmp_path)
    store.write(events[:10], [FeedUpEntry("okx", T), GapEntry("okx", T + 7, T + 9, "reset", True), *BARS[:2]])
    store.mark_hour(T)
    store.write(
        events[10:20], [FeedDownEntry("okx", T + 50), FeedUpEntry("okx", T + 60), GapEntry("bybit", T + 8, None, "ü")]
    )
    store.mark_hour(T + HOUR_MS)
    store.write(events[20:], [*BARS[2:], AliveEntry(T + 70)])
    store.close()
    archiver = Archiver(tmp_path)
    while archiver.seal(T + 3 * HOUR_MS + CLOSED_AFTER_MS):
        pass
    archiver.close()
    return events


def follow(url: str, directory: Path) -> PostgresSink:
    """Write what the log has, and end."""

    async def until_written() -> PostgresSink:
        reader = LogReader(directory)
        sink = PostgresSink(url, reader)
        task = asyncio.create_task(sink.run())
        async with asyncio.timeout(15):
            while sink.health().state != "writing" or sink.health().events_behind:  # noqa: ASYNC110 - a server tells nobody
                await asyncio.sleep(0.01)
        await sink.stop()
        await task
        return sink

    return asyncio.run(until_written())


@pytest.fixture
def source(url: str, tmp_path: Path, logged: list[Liquidation]) -> Iterator[PostgresSource]:
    assert logged
    follow(url, tmp_path)
    opened = PostgresSource(url)
    yield opened
    opened.close()
    opened.close()


def rows(table: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def test_events_are_read_as_they_were_logged(source: PostgresSource, logged: list[Liquidation]) -> None:
    table = source.events(*EVER)

    assert table.schema.names == list(EVENT_COLUMNS)
    assert table.schema.types == [arrow_schema("events").field(name).type for name in EVENT_COLUMNS]
    assert rows(table) == [(1, *astuple(event)) for event in logged]


def test_interval_instrument_venue_and_columns_choose(source: PostgresSource, logged: list[Liquidation]) -> None:
    begin, end = logged[3].event_ms, logged[25].event_ms
    expected = [event for event in logged if begin < event.event_ms <= end and event.instrument == "C3USDT"]
    expected = [event for event in expected if event.venue == "bybit"]

    table = source.events(begin, end, "C3USDT", "bybit", ["id", "event_ms"])

    assert rows(table) == [(event.id, event.event_ms) for event in expected]
    assert rows(source.events(begin, end, "' OR true --")) == []
    assert rows(source.events(*EVER, columns=["side"])) == [(event.side,) for event in logged]


def test_gaps_spells_and_bars_are_read_as_they_were_logged(source: PostgresSource) -> None:
    assert rows(source.gaps(T, T + 100)) == [
        ("okx", T + 7, T + 9, "reset", True),
        ("bybit", T + 8, None, "ü", False),
    ]
    assert rows(source.gaps(T + 9, T + 100)) == [("bybit", T + 8, None, "ü", False)]
    spells = [("okx", T, T + 50), ("okx", T + 7, T + 9), ("okx", T + 60, T + 70 + 2_000)]  # one is a filled gap
    assert rows(source.coverage(T, T + 100)) == spells
    assert rows(source.prices(*EVER)) == [astuple(bar) for bar in BARS]
    assert rows(source.prices(T + 1_000, T + 2_000)) == [astuple(BARS[1])]
    assert source.prices(*EVER).schema.names == list(PRICE_COLUMNS)


async def test_source_may_be_asked_where_a_loop_runs(source: PostgresSource, logged: list[Liquidation]) -> None:
    assert source.events(*EVER).num_rows == len(logged)


def test_database_without_our_tables_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="no liqtape has written"):
        PostgresSource(url)


def test_server_that_is_away_is_named() -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        PostgresSource("postgresql://liqtape@127.0.0.1:1/x")


def test_following_goes_on_where_it_ended_and_another_log_begins_at_its_own(
    url: str, tmp_path: Path, liquidations: MakeMany
) -> None:
    for directory, first in (("one", 0), ("one", 50), ("two", 100)):
        log = EventLog(tmp_path / directory)
        log.start()
        log.offer(liquidations(50, first))
        log.stop()
        sink = follow(url, tmp_path / directory)
        assert (sink.health().events_written, sink.health().events_missed) == (50, 0)
    source = PostgresSource(url)
    table = source.events(*EVER)
    source.close()

    assert pc.count_distinct(table["id"]).as_py() == table.num_rows == 150


def test_outlet_gives_sealed_bars_once_however_they_are_asked(tmp_path: Path, logged: list[Liquidation]) -> None:
    assert logged
    reader = LogReader(tmp_path)
    assert reader.prices(-5_000, 10) == [astuple(bar) for bar in BARS]
    assert reader.prices(T + 1_000, 10) == [astuple(bar) for bar in BARS[1:]]
    assert len(reader.prices(-5_000, 1)) >= 1
    assert reader.alive_ms() == T + 70
    assert len(reader.log_id()) == 32
    assert reader.gaps(T + 9) == [("bybit", T + 8, None, "ü", False), ("okx", T + 7, T + 9, "reset", True)]
    assert reader.coverage(T + 51) == [("okx", T + 60, None)]
    reader.close()


async def test_tracker_writes_through_an_outage_and_the_next_run_goes_on(
    postgres_server: "PostgresServer", url: str, tmp_path: Path, liquidations: MakeMany
) -> None:
    now_ms = time.time_ns() // 1_000_000
    events = [replace(event, event_ms=now_ms - 1_000 + serial) for serial, event in enumerate(liquidations(40))]
    settings = Settings(
        venues={name: VenueSettings(enabled=False) for name in VENUES},
        redis=RedisSettings("off"),
        history=HistorySettings(url),
    )

    async with Tracker(settings, data_dir=tmp_path) as tracker:
        database = tracker.database
        assert database is not None
        ledger = tracker.new_ledger()
        for event in events[:10]:
            tracker.admit(event, ledger)
        await until(lambda: database.health().events_written == 10)
        await asyncio.to_thread(postgres_server.stop, "immediate")
        try:
            for event in events[10:20]:
                tracker.admit(event, ledger)
            await until(lambda: database.health().state == "failing" and database.health().events_behind == 10)
            assert [line.state for line in tracker._history.health()] == ["writing", "failing"]
            assert tracker.snapshot(["C1USDT"])[0].event_count_60s == 3
        finally:
            await asyncio.to_thread(postgres_server.start)
        for event in events[20:30]:
            tracker.admit(event, ledger)
        await until(lambda: database.health().events_written == 30)
        await asyncio.to_thread(postgres_server.stop, "immediate")
        for event in events[30:]:
            tracker.admit(event, ledger)
    await asyncio.to_thread(postgres_server.start)
    async with Tracker(settings, data_dir=tmp_path) as tracker:
        assert tracker.database is not None
    rows = await _ask(url, "SELECT id FROM liquidations ORDER BY seq")

    assert rows == [event.id for event in events]


async def _ask(url: str, query: str) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return [row[0] for row in await connection.fetch(query)]
    finally:
        await connection.close()


def test_questions_are_answered_as_by_the_directory(source: PostgresSource, tmp_path: Path) -> None:
    span = (T - 1, T + 3 * HOUR_MS)
    with liqtape.history.open(tmp_path) as directory:
        server = History(source)
        questions: list[Callable[[History], object]] = [
            lambda past: past.velocity(*span, every=600),
            lambda past: past.velocity(*span, by="venue", every=600),
            lambda past: past.velocity(*span, instrument="C1USDT", every=600, seconds=[3600]),
            lambda past: past.summary(*span),
            lambda past: past.levels(*span, every=600),
            lambda past: past.volatility(*span, every=600),
            lambda past: past.unusual(span[1], days=1),
            lambda past: past.instruments(*span),
        ]
        for ask in questions:
            assert ask(server) == ask(directory)
