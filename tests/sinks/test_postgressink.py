import asyncio
import importlib
import logging
import math
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal, localcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple, replace
from tests.polling import until, wait_until

from liqtape.errors import ConfigurationError
from liqtape.events import Liquidation
from liqtape.money import micro_usd
from liqtape.sinks.postgres import postgressink as postgres_module
from liqtape.sinks.postgres import schema as schema_module
from liqtape.sinks.postgres.daypartitions import AHEAD, DAY_MS
from liqtape.sinks.postgres.postgressink import PostgresSink
from liqtape.sinks.postgres.schema import look, prepare
from liqtape.sinks.postgres.sql import VERSION
from liqtape.sinks.postgres.writer import PositionMoved, Writer, fingerprint

if TYPE_CHECKING:
    from tests.conftest import PostgresServer

asyncpg: Any = importlib.import_module("asyncpg")  # not annotated
BOUND_SECONDS = 15.0
T = 1_790_000_000_000
COLUMNS = "schema, venue, instrument, symbol, side, price, price_kind, quantity, notional_usd, event_ms, receive_ms, id"
EVENT = Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 80_000.0, "bankruptcy", 0.01, 800.0, T, T + 20, "a")


class ListSource:
    """A log in memory: number n is the n-th event."""

    def __init__(self, log_id: str = "log") -> None:
        self.events: list[Liquidation] = []
        self.removed = 0  # by retention: numbers up to there are not in the log any more
        self.gap_rows: list[tuple[object, ...]] = []
        self.spells: list[tuple[object, ...]] = [("bybit", T, None)]
        self.bars: list[tuple[object, ...]] = []
        self.trouble: Exception | None = None
        self.closed = 0
        self._log_id = log_id

    def log_id(self) -> str:
        return self._log_id

    def last_seq(self) -> int:
        return len(self.events)

    def after(self, seq: int, limit: int) -> list[tuple[int, Liquidation]]:
        if self.trouble is not None:
            raise self.trouble
        first = max(seq, self.removed)
        return list(enumerate(self.events[first : first + limit], first + 1))

    def gaps(self, since_ms: int) -> list[tuple[object, ...]]:
        assert since_ms >= 0
        return self.gap_rows

    def coverage(self, since_ms: int) -> list[tuple[object, ...]]:
        assert since_ms >= 0
        return self.spells

    def alive_ms(self) -> int:
        return T

    def prices(self, since_ms: int, limit: int) -> list[tuple[object, ...]]:
        return [bar for bar in self.bars if int(str(bar[0])) >= since_ms][:limit]

    def close(self) -> None:
        self.closed += 1


def numbered(number: int, **changed: Any) -> Liquidation:
    return replace(EVENT, **{"event_ms": T + number, "id": f"id{number}", **changed})


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_module, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(postgres_module, "_LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(postgres_module, "_IDLE_SECONDS", 0.01)
    monkeypatch.setattr(postgres_module, "_BESIDE_SECONDS", 0.05)


@pytest.fixture
def database(postgres_server: "PostgresServer") -> str:
    return postgres_server.new_database()


@pytest.fixture
def url(postgres_server: "PostgresServer", database: str) -> str:
    return postgres_server.url(database)


@asynccontextmanager
async def running(sink: PostgresSink) -> AsyncIterator[PostgresSink]:
    task = asyncio.create_task(sink.run())
    try:
        yield sink
    finally:
        await sink.stop()
        async with asyncio.timeout(BOUND_SECONDS):
            await task


async def caught_up(sink: PostgresSink, source: ListSource) -> None:
    def is_caught_up() -> bool:
        health = sink.health()
        total = health.events_written + health.events_repeated + health.events_refused + health.events_missed
        return total >= len(source.events) and health.state == "writing" and not health.events_behind

    await until(is_caught_up)


async def ask(url: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query, *values)]
    finally:
        await connection.close()


async def stored(url: str) -> list[tuple[Any, ...]]:
    return await ask(url, f"SELECT {COLUMNS} FROM liquidations ORDER BY seq")


@asynccontextmanager
async def writer(url: str, log_id: str = "log") -> AsyncIterator[Writer]:
    connection = await asyncpg.connect(url)
    try:
        made = Writer(connection, await prepare(connection), log_id)
        await made.begin()
        yield made
    finally:
        connection.terminate()


async def test_events_arrive_with_the_columns_of_the_contract(url: str) -> None:
    source = ListSource()
    source.events = [EVENT, replace(EVENT, side=None, quantity=None, notional_usd=None, receive_ms=None, id="")]
    async with running(PostgresSink(url, source)) as sink:
        await caught_up(sink, source)
        source.events.append(numbered(5))
        await caught_up(sink, source)

    assert await stored(url) == [(1, *astuple(event)) for event in source.events]
    assert sink.health().events_written == 3
    assert sink.health().state == "closed"
    assert source.closed == 1


async def test_each_event_is_there_once_after_the_server_was_killed_under_load(
    postgres_server: "PostgresServer", url: str
) -> None:
    source = ListSource()
    batch = 300
    async with running(PostgresSink(url, source)) as sink:
        for kill in range(3):
            before = sink.health().events_written

            def is_going_on(before: int = before) -> bool:
                return sink.health().events_written > before

            # Without an identity: only the position keeps these from coming twice.
            source.events += [
                numbered(n, symbol=f"{n}", instrument=f"{n}") for n in range(kill * batch, (kill + 1) * batch)
            ]
            source.events += [replace(EVENT, id="", symbol=f"w{kill}-{n}") for n in range(batch)]
            await until(is_going_on)
            postgres_server.stop("immediate")
            await until(lambda: sink.health().state == "failing")
            source.events += [replace(EVENT, id="", symbol=f"away{kill}-{n}") for n in range(batch)]
            await until(lambda: sink.health().events_behind >= batch)
            postgres_server.start()
            await caught_up(sink, source)

    assert await stored(url) == [(1, *astuple(event)) for event in source.events]
    assert await ask(url, "SELECT sum(count)::int FROM liq_1m") == [(len(source.events),)]
    assert sink.health().outages == 3


async def test_backends_killed_in_the_middle_of_a_batch_cost_nothing(
    postgres_server: "PostgresServer", url: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_module, "_BATCH_EVENTS", 50)
    source = ListSource()
    source.events = [replace(EVENT, id="", symbol=f"{n}") for n in range(5_000)]
    terminate = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
    async with running(PostgresSink(url, source)) as sink:
        for _ in range(10):
            await until(lambda: sink.health().state == "writing")
            await asyncio.to_thread(postgres_server.sql, terminate)
        await caught_up(sink, source)

    assert [row[3] for row in await stored(url)] == [event.symbol for event in source.events]


async def test_position_is_that_of_the_server_after_a_commit_whose_answer_was_lost(url: str) -> None:
    events = list(enumerate([replace(EVENT, id="", symbol=f"{n}") for n in range(4)], 1))
    async with writer(url) as first, writer(url) as second:
        await first.write(events[:2])
        with pytest.raises(PositionMoved):
            await second.write(events[:3])
    async with writer(url) as third:
        assert third.position == 2
        await third.write(events[2:])

    assert [row[3] for row in await stored(url)] == ["0", "1", "2", "3"]


async def test_sink_goes_on_from_a_position_that_another_session_moved(url: str) -> None:
    source = ListSource()
    source.events = [replace(EVENT, id="", symbol=f"{n}") for n in range(3)]
    async with running(PostgresSink(url, source)) as sink:
        await caught_up(sink, source)
        async with writer(url) as other:
            source.events += [replace(EVENT, id="", symbol="by another")]
            await until(lambda: sink.health().events_written == 4)
            await ask(
                url,
                "UPDATE liqtape_positions SET seq = 5, fingerprint = $1",
                fingerprint(replace(EVENT, id="", symbol="skipped")),
            )
            assert other.position == 3
        source.events += [replace(EVENT, id="", symbol=name) for name in ("skipped", "next")]
        await until(lambda: sink.health().events_written == 5)

    assert [row[3] for row in await stored(url)][-2:] == ["by another", "next"]


async def test_a_session_that_the_server_does_not_miss_does_not_keep_the_next_one_waiting(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that is lost in the middle of a transaction: the server waits for the rest, and holds the position."""
    monkeypatch.setattr(schema_module, "_IDLE_MS", 300)
    source = ListSource()
    source.events = [EVENT]
    async with writer(url) as unplugged:
        await unplugged._connection.execute("BEGIN")
        await unplugged._move((1, EVENT))
        async with running(PostgresSink(url, source)) as sink:
            await caught_up(sink, source)

    assert [row[3] for row in await stored(url)] == [EVENT.symbol]


async def test_what_another_log_wrote_is_not_written_again_and_not_counted_in_the_minute(url: str) -> None:
    source, other = ListSource(), ListSource("other")
    source.events = [numbered(n) for n in range(10)]
    other.events = [numbered(n) for n in range(5, 15)]
    async with running(PostgresSink(url, source)) as sink, running(PostgresSink(url, other)) as second:
        await caught_up(sink, source)
        await caught_up(second, other)
        counts = [one.health() for one in (sink, second)]

    assert sum(health.events_written for health in counts) == 15
    assert sum(health.events_repeated for health in counts) == 5
    assert await ask(url, "SELECT count(*) FROM liquidations") == [(15,)]
    assert await ask(url, "SELECT sum(count)::int, sum(usd) FROM liq_1m") == [(15, Decimal(15 * 800))]


async def test_row_that_no_table_can_hold_is_counted_and_the_others_are_written(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = ListSource()
    unfit = [
        numbered(100, symbol="nul\0"),
        numbered(101, symbol="half \ud800"),
        numbered(102, id="x" * 3_000 + "".join(map(chr, range(0x4E00, 0x4E00 + 2_000)))),
        replace(EVENT, event_ms=2**63),
    ]
    source.events = [numbered(n) for n in range(7)]
    for place, event in enumerate(unfit):
        source.events.insert(2 * place, event)
    with caplog.at_level(logging.WARNING):
        async with running(PostgresSink(url, source)) as sink:
            await caught_up(sink, source)
            health = sink.health()

    assert (health.events_written, health.events_refused, health.outages) == (7, 4, 0)
    assert await stored(url) == [(1, *astuple(event)) for event in source.events if event not in unfit]
    assert len([record for record in caplog.records if "is no row" in record.message]) == 4


async def test_what_retention_removed_before_it_was_written_is_counted(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = ListSource()
    source.events = [numbered(n) for n in range(10)]
    source.removed = 4
    async with running(PostgresSink(url, source)) as sink:
        await caught_up(sink, source)

    assert (sink.health().events_written, sink.health().events_missed) == (6, 4)
    assert "4 events were removed from the log" in caplog.text


@pytest.mark.parametrize("lived_on", [2, 8], ids=["shorter than before", "longer than before"])
async def test_numbers_given_again_after_a_power_cut_are_not_passed_over(
    url: str, lived_on: int, caplog: pytest.LogCaptureFixture
) -> None:
    source = ListSource()
    source.events = [numbered(n) for n in range(10)]
    async with running(PostgresSink(url, source)) as sink:
        await caught_up(sink, source)
    source.events[5:] = [numbered(n) for n in range(100, 100 + lived_on)]
    async with running(PostgresSink(url, source)) as sink:
        await caught_up(sink, source)
    async with running(PostgresSink(url, source)) as last:
        await until(lambda: last.health().state == "writing")

    assert (sink.health().events_written, sink.health().events_repeated) == (lived_on, 5)
    assert last.health().events_repeated == 0
    assert {row[11] for row in await stored(url)} == {f"id{n}" for n in (*range(10), *range(100, 100 + lived_on))}
    assert caplog.text.count("another than before") == 1


async def test_a_log_that_cannot_be_read_is_a_visible_state(url: str) -> None:
    source = ListSource()
    source.trouble = sqlite3.OperationalError("disk I/O error")
    async with running(PostgresSink(url, source)) as sink:
        await until(lambda: sink.health().state == "failing")
        assert sink.health().detail == "disk I/O error"
        source.events, source.trouble = [EVENT], None
        await caught_up(sink, source)


@pytest.mark.parametrize(("in_log", "behind"), [(9, 9), (10, 10), (11, 11), (25, 25)])
async def test_how_far_behind_is_known_before_a_batch_is_written(
    monkeypatch: pytest.MonkeyPatch, in_log: int, behind: int
) -> None:
    """A full batch may be the end of the log or its beginning: the log is asked then."""
    monkeypatch.setattr(postgres_module, "_BATCH_EVENTS", 10)
    source = ListSource()
    source.events = [numbered(number) for number in range(in_log)]
    sink = PostgresSink("postgresql://liqtape@127.0.0.1:9/none", source)
    batch = await sink._next(0)

    assert len(batch) == min(in_log, 10)
    assert sink.health().events_behind == behind


async def test_stop_writes_what_the_log_has(url: str) -> None:
    source = ListSource()
    sink = PostgresSink(url, source)
    async with running(sink):
        await until(lambda: sink.health().state == "writing")
        source.events = [numbered(n) for n in range(25_000)]

    assert await ask(url, "SELECT count(*) FROM liquidations") == [(25_000,)]
    assert sink.health().events_behind == 0


async def test_what_the_log_wrote_at_the_end_is_written_though_gaps_were_just_being_read(url: str) -> None:
    """Seen in virtual time: a run's end came meanwhile, and the gaps that began there never came to the server."""
    source, loop = ListSource(), asyncio.get_running_loop()
    sink = PostgresSink(url, source)
    ends: list[asyncio.Future[None]] = []
    gaps = source.gaps

    def read(since_ms: int) -> list[tuple[object, ...]]:  # in a thread
        found = gaps(since_ms)
        if not source.gap_rows:
            source.gap_rows = [("bybit", T, None, "not running", False)]
            loop.call_soon_threadsafe(lambda: ends.append(asyncio.ensure_future(sink.stop(BOUND_SECONDS))))
            wait_until(lambda: sink._is_closing)
        return found

    source.gaps = read  # type: ignore[method-assign]
    async with asyncio.timeout(BOUND_SECONDS):
        await sink.run()
        await asyncio.gather(*ends)
    assert await ask(url, "SELECT * FROM gaps") == [("log", "bybit", T, None, "not running", False)]


async def test_gaps_spells_and_price_bars_are_written_and_brought_up_to_date(url: str) -> None:
    source = ListSource()
    source.gap_rows = [("bybit", T, None, "closed", False)]
    source.bars = [(T + 1000 * n, 1.0, 2.0, 0.5, 1.5, None, 3, "bybit") for n in range(20)]
    async with running(PostgresSink(url, source)) as sink:
        await until(lambda: sink.health().state == "writing")
        source.gap_rows = [("bybit", T, T + 5, "closed", True)]
        source.bars[-1] = (T + 19_000, 1.0, 3.0, 0.5, 2.5, 9.5, 4, "bybit")

    assert await ask(url, "SELECT * FROM gaps") == [("log", "bybit", T, T + 5, "closed", True)]
    assert await ask(url, "SELECT * FROM coverage") == [("log", "bybit", T, None)]
    assert await ask(url, "SELECT * FROM prices ORDER BY bar_ms") == source.bars
    assert await ask(url, "SELECT prices_ms, alive_ms FROM liqtape_positions") == [(T + 19_000, T)]


async def test_what_lasts_on_the_server_and_is_no_more_in_the_log_is_forgotten(url: str) -> None:
    """A power cut takes the newest of the log: a spell that only the server has would cover all that is to come."""
    source = ListSource()
    source.gap_rows = [("bybit", T, T + 5, "closed", False), ("okx", T, None, "closed", False)]
    source.spells = [("bybit", T + 5, T + 9), ("binance", T, None), ("okx", T + 1, None)]
    async with running(PostgresSink(url, source)):
        pass
    source.gap_rows, source.spells = [("binance", T, None, "away", False)], [("okx", T + 1, None)]
    async with running(PostgresSink(url, source)):
        pass

    gaps = await ask(url, "SELECT venue, until_ms FROM gaps ORDER BY venue")
    assert gaps == [("binance", None), ("bybit", T + 5)]
    assert await ask(url, "SELECT venue, down_ms FROM coverage ORDER BY venue") == [("bybit", T + 9), ("okx", None)]


# -- servers that refuse


def causes(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if "cannot be written" in record.message]


@contextmanager
def only_by_password(server: "PostgresServer") -> Iterator[None]:
    rules = server.directory / "data" / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text("host all visitor 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n")
    server.reload()
    try:
        yield
    finally:
        rules.write_text(before)
        server.reload()


async def test_password_changed_meanwhile_is_one_line_and_no_secret(
    postgres_server: "PostgresServer", database: str, caplog: pytest.LogCaptureFixture
) -> None:
    for statement in ("DROP ROLE IF EXISTS visitor", "CREATE ROLE visitor LOGIN PASSWORD 's3cret%/@'"):
        postgres_server.sql(statement)
    postgres_server.sql(f"ALTER DATABASE {database} OWNER TO visitor")
    source = ListSource()
    source.events = [EVENT]
    url = postgres_server.url(database, "visitor:s3cret%25%2F%40")
    with only_by_password(postgres_server):
        sink = PostgresSink(url, source)
        async with running(sink):
            await caught_up(sink, source)
            postgres_server.sql("ALTER ROLE visitor PASSWORD 'another'")
            postgres_server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'visitor'")
            await until(lambda: "password authentication failed" in sink.health().detail)
            source.events.append(numbered(1))
            await until(lambda: sink.health().events_behind == 1)
            postgres_server.sql("ALTER ROLE visitor PASSWORD 's3cret%/@'")
            await caught_up(sink, source)
    postgres_server.sql(f"ALTER DATABASE {database} OWNER TO liqtape")

    assert len([line for line in causes(caplog) if "password authentication failed" in line]) == 1
    assert "PostgreSQL is written again" in caplog.text
    assert "s3cret" not in caplog.text + repr(sink)


@contextmanager
def speaking_tls(server: "PostgresServer", authority: trustme.CA) -> Iterator[None]:
    data = server.directory / "data"
    certificate = authority.issue_cert("127.0.0.1")
    for name, pem in (
        ("server.key", certificate.private_key_pem.bytes()),
        ("server.crt", certificate.cert_chain_pems[0].bytes()),
    ):
        (data / name).touch(0o600)
        (data / name).write_bytes(pem)
        if os.geteuid() == 0:
            shutil.chown(data / name, server.user)
    server.sql("ALTER SYSTEM SET ssl = on")
    server.reload()
    try:
        yield
    finally:
        server.sql("ALTER SYSTEM RESET ssl")
        server.reload()


async def test_certificate_of_an_unknown_authority_is_refused(
    postgres_server: "PostgresServer", database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    url = postgres_server.url(database)
    source = ListSource()

    def refused(sink: PostgresSink) -> bool:
        return "certificate verify failed" in sink.health().detail

    with speaking_tls(postgres_server, authority):
        for mode in ("require", "verify-ca", "verify-full"):
            async with running(PostgresSink(f"{url}?sslmode={mode}", source)) as sink:
                await until(partial(refused, sink))
        async with running(PostgresSink(f"{url}?sslmode=verify-full&sslrootcert={tmp_path}/ca.pem", source)) as sink:
            await until(lambda: sink.health().state == "writing")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))  # where the system's authorities are
        async with running(PostgresSink(f"{url}?sslmode=require", source)) as sink:
            await until(lambda: sink.health().state == "writing")
            assert postgres_server.sql("SELECT count(*) FROM pg_stat_ssl WHERE ssl", database) != "0"


async def test_database_that_comes_later(postgres_server: "PostgresServer", caplog: pytest.LogCaptureFixture) -> None:
    source = ListSource()
    source.events = [EVENT]
    postgres_server.sql("DROP DATABASE IF EXISTS later")
    async with running(PostgresSink(postgres_server.url("later"), source)) as sink:
        await until(lambda: 'database "later" does not exist' in sink.health().detail)
        await until(lambda: sink.health().events_behind == 1)
        postgres_server.sql("CREATE DATABASE later")
        await caught_up(sink, source)

    assert len(causes(caplog)) == 1


async def test_read_only_server_is_named_and_waited_for(
    postgres_server: "PostgresServer", url: str, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = ListSource()
    source.events = [EVENT]

    def turn(state: str) -> None:
        postgres_server.sql(f"ALTER DATABASE {database} SET default_transaction_read_only = {state}")
        postgres_server.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")

    async with running(PostgresSink(url, source)) as sink:
        await caught_up(sink, source)
        turn("on")
        await until(lambda: "read-only transaction" in sink.health().detail)
        source.events.append(numbered(1))
        turn("off")
        await caught_up(sink, source)

    assert len([line for line in causes(caplog) if "read-only" in line]) == 1
    assert await ask(url, "SELECT count(*) FROM liquidations") == [(2,)]


async def test_server_that_hangs_is_given_up_and_used_again(
    postgres_server: "PostgresServer", url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liqtape.postgresql.CONNECT_SECONDS", 0.2)
    source = ListSource()
    source.events = [replace(EVENT, id="")]
    sink = PostgresSink(url, source)
    sink.answer_seconds = 0.2
    async with running(sink):
        await caught_up(sink, source)
        halted = postgres_server.children()
        for child in halted:
            os.kill(child, signal.SIGSTOP)
        try:
            source.events += [replace(EVENT, id="", symbol=f"{n}") for n in range(100)]
            await until(lambda: sink.health().detail == "no answer in time")
            await until(lambda: sink.health().events_behind == 100)
        finally:
            for child in halted:
                os.kill(child, signal.SIGCONT)
        sink.answer_seconds = 10.0
        monkeypatch.setattr("liqtape.postgresql.CONNECT_SECONDS", 5.0)
        await caught_up(sink, source)

    assert [row[3] for row in await stored(url)] == [event.symbol for event in source.events]
    assert len(causes(caplog)) == 1


async def test_stop_does_not_wait_for_a_server_that_hangs(postgres_server: "PostgresServer", url: str) -> None:
    source = ListSource()
    source.events = [EVENT]
    sink = PostgresSink(url, source)
    task = asyncio.create_task(sink.run())
    await caught_up(sink, source)
    halted = postgres_server.children()
    for child in halted:
        os.kill(child, signal.SIGSTOP)
    try:
        source.events.append(numbered(1))
        await asyncio.sleep(0.05)
        await sink.stop(0.1)
        async with asyncio.timeout(1.0):  # the answer alone would take 30 s
            await task
    finally:
        for child in halted:
            os.kill(child, signal.SIGCONT)
    assert sink.health().state == "failing"


@pytest.fixture
def small_tablespace(postgres_server: "PostgresServer") -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    place = postgres_server.directory / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(place)], check=False)
    if mounted.returncode:
        pytest.skip("no tmpfs may be mounted here")
    try:
        inside = place / "space"
        inside.mkdir()
        subprocess.run(["chown", postgres_server.user, str(inside)], check=True)
        postgres_server.sql(f"CREATE TABLESPACE small LOCATION '{inside}'")
        postgres_server.sql("CREATE DATABASE small TABLESPACE small")
        yield place
        postgres_server.sql("DROP DATABASE small WITH (FORCE)")
        postgres_server.sql("DROP TABLESPACE small")
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


async def test_full_disk_is_named_once_and_left_behind_when_there_is_room(
    postgres_server: "PostgresServer", small_tablespace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres_server.url("small")
    source = ListSource()
    source.events = [EVENT]
    async with running(PostgresSink(url, source)) as sink:
        await caught_up(sink, source)
        filler = small_tablespace / "filler"
        with filler.open("wb") as file:
            try:
                while True:
                    file.write(bytes(65_536))
                    file.flush()
            except OSError:
                pass
        source.events += [numbered(n, symbol="x" * 200) for n in range(1, 5_001)]
        await until(lambda: "No space left on device" in sink.health().detail)
        outages = sink.health().outages
        await asyncio.sleep(0.3)  # several attempts
        assert sink.health().outages == outages
        filler.unlink()
        await caught_up(sink, source)

    assert await ask(url, "SELECT count(*), count(DISTINCT id) FROM liquidations") == [(5_001, 5_001)]
    assert len([line for line in causes(caplog) if "No space left" in line]) == 1


def test_url_that_leads_nowhere_is_refused_without_quoting_it() -> None:
    with pytest.raises(ConfigurationError, match="not usable") as refused:
        PostgresSink("postgresql://liqtape:s3cret@[host/liqtape", ListSource())
    assert "s3cret" not in str(refused.value) + repr(refused.value.__cause__)


async def test_url_that_only_the_client_refuses_is_a_state_without_the_password() -> None:
    async with running(PostgresSink("postgresql://u:s3cret@127.0.0.1/x?sslmode=nonsense", ListSource())) as sink:
        await until(lambda: sink.health().state == "failing")
        assert "not usable" in sink.health().detail
        assert "s3cret" not in sink.health().detail


# -- tables


async def test_tables_are_made_once_however_many_begin_together(url: str) -> None:
    connections = await asyncio.gather(*(asyncpg.connect(url) for _ in range(5)))
    try:
        tables = await asyncio.gather(*map(prepare, connections))
    finally:
        for connection in connections:
            connection.terminate()

    assert {(one.version, one.layout, one.timescale) for one in tables} == {(VERSION, "plain", None)}


async def test_tables_of_a_newer_version_are_left_alone(url: str) -> None:
    source = ListSource()
    async with running(PostgresSink(url, source)) as sink:
        await until(lambda: sink.health().state == "writing")
    await ask(url, "INSERT INTO liqtape_migrations VALUES ($1, 'plain')", VERSION + 1)
    source.events = [EVENT]
    async with running(PostgresSink(url, source)) as sink:
        await until(lambda: "by a newer liqtape" in sink.health().detail)

    assert await stored(url) == []


async def partitions(url: str) -> list[str]:
    return [
        row[0]
        for row in await ask(
            url,
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'liquidations'::regclass ORDER BY 1",
        )
    ]


async def test_a_day_of_events_is_a_partition_made_ahead_or_when_needed(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liqtape.sinks.postgres.writer.time.time_ns", lambda: T * 1_000_000)
    source = ListSource()
    times = [T - 400 * DAY_MS, 0, -5, 2**62, T]
    source.events = [replace(EVENT, event_ms=at, id=f"{at}") for at in times]
    async with running(PostgresSink(url, source)) as sink:
        await caught_up(sink, source)

    assert len(await partitions(url)) == 2 + 1 + (1 + AHEAD)
    assert [row[9] for row in await stored(url)] == times
    where = "SELECT tableoid::regclass::text FROM liquidations ORDER BY seq"
    assert [row[0] for row in await ask(url, where)] == [
        "liquidations_20250817",
        "liquidations_before_2009",
        "liquidations_before_2009",
        "liquidations_after_2099",
        "liquidations_20260921",
    ]
    assert await ask(url, "SELECT minute_ms FROM liq_1m WHERE minute_ms <= 0 ORDER BY 1") == [(-60_000,), (0,)]


async def test_retention_drops_whole_days_and_what_was_computed_of_them(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ListSource()
    source.events = [numbered(0), replace(EVENT, event_ms=T - 5 * DAY_MS), replace(EVENT, event_ms=9)]
    source.bars = [(T - 5 * DAY_MS, 1.0, 1.0, 1.0, 1.0, None, 1, "bybit"), (T, 1.0, 1.0, 1.0, 1.0, None, 1, "bybit")]
    async with running(PostgresSink(url, source)) as sink:
        await caught_up(sink, source)
    monkeypatch.setattr("liqtape.sinks.postgres.writer.time.time_ns", lambda: T * 1_000_000)
    async with running(PostgresSink(url, source, retention_days=2.0)) as sink:
        await until(lambda: sink.health().state == "writing")

    assert [row[9] for row in await stored(url)] == [T]
    assert await ask(url, "SELECT count(*) FROM liq_1m") == [(1,)]
    assert await ask(url, "SELECT bar_ms FROM prices") == [(T,)]


async def test_a_day_that_is_being_read_is_dropped_later(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("liqtape.sinks.postgres.daypartitions._LOCK_TIMEOUT", "SET LOCAL lock_timeout = '20ms'")
    caplog.set_level(logging.INFO)
    reader = await asyncpg.connect(url)
    try:
        async with writer(url) as made:
            await made.write([(1, EVENT)])
            await reader.execute("BEGIN")
            await reader.execute("SELECT * FROM liquidations")
            await made.keep(retention_days=1e-6)
            assert "removed later" in caplog.text
            await reader.execute("COMMIT")
            assert await stored(url)
            monkeypatch.setattr("liqtape.sinks.postgres.writer.time.time_ns", lambda: (T + DAY_MS) * 1_000_000)
            await made.keep(retention_days=1e-6)
            assert await stored(url) == []
    finally:
        reader.terminate()


# -- TimescaleDB, which is not here: whether it is asked for, and what is done when its functions fail

FAKE_EXTENSION = """
SET allow_system_table_mods = on;
INSERT INTO pg_extension SELECT 99999, 'timescaledb', 10, 2200, false, '2.99', NULL, NULL;
"""
FAKE_FUNCTIONS = """
CREATE FUNCTION by_range(name text, width bigint) RETURNS text LANGUAGE sql AS 'SELECT name';
CREATE FUNCTION create_hypertable(t regclass, by_range text, create_default_indexes boolean) RETURNS text
    LANGUAGE sql AS 'SELECT by_range';
CREATE FUNCTION set_integer_now_func(t regclass, f regproc, replace_if_exists boolean) RETURNS text
    LANGUAGE sql AS 'SELECT $2::text';
CREATE FUNCTION add_compression_policy(t regclass, after bigint, if_not_exists boolean) RETURNS int
    LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION drop_chunks(t regclass, older_than bigint) RETURNS bigint LANGUAGE sql AS 'SELECT $2';
"""


async def test_without_the_extension_nothing_of_it_is_tried(url: str) -> None:
    async with writer(url):
        connection = await asyncpg.connect(url)
        tables = await look(connection)
        await connection.close()
    assert (tables.layout, tables.timescale, tables.capabilities) == ("plain", None, ())


async def test_extension_whose_hypertable_fails_leaves_partitions_and_the_reason(url: str) -> None:
    source = ListSource()
    source.events = [EVENT]
    connection = await asyncpg.connect(url)
    await connection.execute(FAKE_EXTENSION)
    await connection.close()
    async with running(PostgresSink(url, source)) as sink:
        await caught_up(sink, source)
        (hypertable,) = sink.health().capabilities

    assert (hypertable.name, hypertable.works) == ("hypertable", False)
    assert "by_range" in hypertable.detail
    assert "liquidations_before_2009" in await partitions(url)
    assert len(await stored(url)) == 1


async def test_each_feature_of_the_extension_is_tried_alone_and_recorded(url: str) -> None:
    source = ListSource()
    source.events = [EVENT]
    connection = await asyncpg.connect(url)
    await connection.execute(FAKE_EXTENSION)
    await connection.execute(FAKE_FUNCTIONS)
    await connection.close()
    for _ in range(2):  # the second time with the tables there
        async with running(PostgresSink(url, source)) as sink:
            await caught_up(sink, source) if not _ else await until(lambda: sink.health().state == "writing")
            found = {one.name: one for one in sink.health().capabilities}

    works = {name for name, one in found.items() if one.works}
    assert works == {"hypertable", "integer_now", "columnstore_policy"}
    assert set(found) - works == {"columnstore", "aggregate", "aggregate_policy"}
    assert all(found[name].detail for name in set(found) - works)
    assert await ask(url, "SELECT sum(count)::int FROM liq_1m") == [(1,)]
    assert await ask(url, "SELECT relkind::text FROM pg_class WHERE relname = 'liquidations'") == [("r",)]


async def test_extension_that_came_after_the_tables_is_not_used(url: str) -> None:
    async with writer(url):
        pass
    connection = await asyncpg.connect(url)
    await connection.execute(FAKE_EXTENSION)
    tables = await prepare(connection)
    await connection.close()

    assert [(one.name, one.works) for one in tables.capabilities] == [("hypertable", False)]


# -- any values

_PHASES = [phase for phase in Phase if phase.name != "shrink"]  # each example asks a server
floats = st.floats(allow_nan=True, allow_infinity=True)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
events = st.builds(
    Liquidation,
    texts,
    texts,
    texts,
    st.sampled_from(["long", "short", None]),
    floats,
    st.sampled_from(["fill", "bankruptcy"]),
    st.none() | floats,
    st.none() | floats | st.integers(0, 10**15).map(lambda micro: micro / 1e6),
    st.integers(T, T + 180_000) | st.sampled_from([-(2**62), -1, 0, 1_230_767_999_999, 4_102_444_800_000, 2**62]),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    texts,
)


def as_stored(event: Liquidation) -> tuple[Any, ...]:
    return (1, *(None if isinstance(value, float) and math.isnan(value) else value for value in astuple(event)))


@pytest.fixture
def run_in_loop() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    with asyncio.Runner() as runner:
        yield runner.run


@given(batch=st.lists(events, max_size=20))
@settings(max_examples=60, phases=_PHASES, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_event_comes_back_as_it_was_and_is_counted_to_the_last_digit(
    url: str, run_in_loop: Callable[[Coroutine[Any, Any, Any]], Any], batch: list[Liquidation]
) -> None:
    first: dict[object, Liquidation] = {}
    for number, event in enumerate(batch):
        first.setdefault((event.event_ms, event.venue, event.id) if event.id else number, event)
    expected = list(first.values())

    async def written() -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        async with writer(url) as made:
            await ask(url, "TRUNCATE liquidations, liq_1m_kept, liqtape_positions")
            await ask(url, "INSERT INTO liqtape_positions (log_id) VALUES ('log') ON CONFLICT DO NOTHING")
            made.position = 0
            await made.write(list(enumerate(batch, 1)))
            assert (made.written, made.refused) == (len(expected), 0)
        usd = "SELECT sum(count)::int, sum(usd), sum(unsized)::int, sum(long_usd), sum(short_usd) FROM liq_1m"
        return await stored(url), await ask(url, usd)

    rows, minutes = run_in_loop(written())

    assert rows == [as_stored(event) for event in expected]
    # Beyond, the server prints some doubles with one more digit than Python does.
    if expected and all(abs(usd) < 2**53 for event in expected if (usd := as_stored(event)[8]) is not None):
        sized = [(event.side, usd) for event in expected if (usd := as_stored(event)[8]) is not None]
        with localcontext(prec=1_000):
            total, longs, shorts = (
                sum((_decimal(usd) for side, usd in sized if side in wanted), Decimal(0))
                for wanted in (("long", "short", None), ("long",), ("short",))
            )
        assert minutes == [(len(expected), total, len(expected) - len(sized), longs, shorts)]


def _decimal(usd: float) -> Decimal:
    """As the engine rounds it, and above 281 million USD the number as it prints."""
    return Decimal(micro_usd(usd)).scaleb(-6) if abs(usd) < 281_474_976 else Decimal(repr(usd))
