"""Databases that are damaged: set aside whole, a new one with what can be read, and the service goes on."""

import random
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.polling import wait_until

import liqtape.history
from liqtape.events import Liquidation
from liqtape.history.archive.archiver import CLOSED_AFTER_MS, Archiver
from liqtape.history.archive.archiverprocess import ArchiverProcess
from liqtape.history.log import eventlog
from liqtape.history.log.database import open_for_reading
from liqtape.history.log.eventlog import EventLog
from liqtape.history.log.follow import Follower
from liqtape.history.log.journal import FeedUpEntry
from liqtape.history.log.layout import DATABASE
from liqtape.history.log.salvage import salvage
from liqtape.history.log.store import Store

MakeLog = Callable[..., EventLog]
MakeMany = Callable[..., list[Liquidation]]

PAGE = 4_096
HOUR_MS = 3_600_000


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventlog, "_RETRY_SECONDS", 0.02)


def page_of(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    return int(page)


def leaf_of(path: Path, table: str) -> int:
    """Return a page of the table's rows, from the middle of them."""
    content = path.read_bytes()
    page, kind = page_of(path, table), 5
    while kind == 5:  # an inner page: down to the middle child
        begin = (page - 1) * PAGE
        kind = content[begin]
        if kind != 5:
            break
        cells = int.from_bytes(content[begin + 3 : begin + 5], "big")
        pointer = begin + 12 + 2 * (cells // 2)
        cell = begin + int.from_bytes(content[pointer : pointer + 2], "big")
        page = int.from_bytes(content[cell : cell + 4], "big")
    return page


def spoil(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(random.Random(1).randbytes(PAGE))


def written(directory: Path, events: list[Liquidation]) -> None:
    directory.mkdir(exist_ok=True)
    store = Store(directory)
    store.write(events, [FeedUpEntry("bybit", events[0].event_ms - 1)])
    store.close()


def written_hour(directory: Path, events: list[Liquidation]) -> int:
    """Write events, whose hour is over; returns when it began."""
    begin_ms = events[0].event_ms // HOUR_MS * HOUR_MS
    store = Store(directory)
    store.write(events)
    store.mark_hour(begin_ms)
    store.close()
    return begin_ms


def seal(directory: Path, begin_ms: int) -> None:
    """Seal the hour that began then."""
    archiver = Archiver(directory)
    archiver.seal(begin_ms + HOUR_MS + CLOSED_AFTER_MS)
    archiver.close()


def test_what_can_be_read_is_taken_over_and_the_rest_is_not_covered(tmp_path: Path, liquidations: MakeMany) -> None:
    events = liquidations(3_000)
    written(tmp_path, events)
    spoil(tmp_path / DATABASE, leaf_of(tmp_path / DATABASE, "events"))
    before = (tmp_path / DATABASE).read_bytes()
    now_ms = events[-1].event_ms + 500

    found = salvage(tmp_path, "NORMAL", now_ms)

    assert found.aside.read_bytes() == before
    assert not found.is_whole
    with closing(open_for_reading(tmp_path)) as connection:
        kept = [seq for (seq,) in connection.execute("SELECT seq FROM events ORDER BY seq")]
        holes = connection.execute(
            "SELECT from_ms, until_ms FROM gaps WHERE reason = 'log damaged' ORDER BY from_ms"
        ).fetchall()
        spells = connection.execute("SELECT up_ms, down_ms FROM coverage ORDER BY up_ms").fetchall()
    assert 2_900 < len(kept) < 3_000
    lost = sorted(set(range(1, 3_001)) - set(kept))
    assert lost == list(range(lost[0], lost[-1] + 1))
    begin, end = holes[0]
    assert all(begin < events[seq - 1].receive_ms <= end for seq in lost)
    assert not any(up < end and (down is None or down > begin) for up, down in spells)


def test_a_log_that_was_damaged_while_nothing_ran_starts_anyway(
    tmp_path: Path, event_log: MakeLog, liquidations: MakeMany, caplog: pytest.LogCaptureFixture
) -> None:
    written(tmp_path / "history", liquidations(500))
    (tmp_path / "history" / DATABASE).write_bytes(b"no database at all" * 999)

    log = event_log()
    log.offer(liquidations(10, 500))
    wait_until(lambda: log.events_logged == 10)

    health = log.health()
    assert health.state == "writing"
    (aside,) = (tmp_path / "history").glob("log.damaged-*.sqlite")
    assert health.detail == f"a damaged log is kept as {aside.name}"
    assert aside.read_bytes().startswith(b"no database at all")
    assert caplog.text.count("is damaged") == 1
    assert [event for _, event in log.after(0, 99)] == liquidations(10, 500)


@pytest.mark.parametrize("table", ["events", "identity", "meta", "coverage"])
def test_damage_while_it_is_written_stops_nothing(table: str, event_log: MakeLog, liquidations: MakeMany) -> None:
    log = event_log()
    log.note(FeedUpEntry("bybit", liquidations(1)[0].event_ms))
    log.offer(liquidations(4_000))
    wait_until(lambda: log.events_logged == 4_000)
    assert len(log.after(0, 10)) == 10
    with closing(sqlite3.connect(log.directory / DATABASE)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    spoil(log.directory / DATABASE, page_of(log.directory / DATABASE, table))

    for begin in range(4_000, 6_000, 500):
        log.offer(liquidations(500, begin))
        wait_until(lambda: not log.events_pending)
    log.stop()

    again = event_log()
    wait_until(lambda: again.health().state == "writing")
    found = {event for _, event in again.after(0, 9_999)}
    assert found >= set(liquidations(2_000, 4_000))
    assert len(list(log.directory.glob("log.damaged-*.sqlite"))) == 1


def test_numbers_go_on_behind_the_sealed_files(tmp_path: Path, liquidations: MakeMany) -> None:
    begin_ms = written_hour(tmp_path, liquidations(100))
    seal(tmp_path, begin_ms)
    spoil(tmp_path / DATABASE, page_of(tmp_path / DATABASE, "events"))
    spoil(tmp_path / DATABASE, page_of(tmp_path / DATABASE, "meta"))

    salvage(tmp_path, "NORMAL", begin_ms + HOUR_MS)
    store = Store(tmp_path)
    store.write(liquidations(5, 100))
    store.close()

    follower = Follower(tmp_path)
    assert [seq for seq, _ in follower.after(0, 200)] == list(range(1, 101))
    assert [event for _, event in follower.after(100, 200)] == liquidations(5, 100)
    follower.close()
    with liqtape.history.open(tmp_path) as past:
        assert past.events(begin_ms, begin_ms + HOUR_MS)["id"].to_pylist() == [f"C:{serial}" for serial in range(105)]


def test_files_are_kept_where_their_list_cannot_be_read(tmp_path: Path, liquidations: MakeMany) -> None:
    begin_ms = written_hour(tmp_path, liquidations(100))
    for _ in range(2):
        seal(tmp_path, begin_ms)
        if not list(tmp_path.glob("log.damaged-*")):
            spoil(tmp_path / DATABASE, page_of(tmp_path / DATABASE, "partitions"))
            salvage(tmp_path, "NORMAL", begin_ms + HOUR_MS)

    assert len(list(tmp_path.rglob("000*.parquet"))) == 1  # no leftover, though nothing lists it


def test_a_sealing_that_finds_damage_has_the_log_set_aside(
    tmp_path: Path, event_log: MakeLog, liquidations: MakeMany
) -> None:
    directory = tmp_path / "history"
    written(directory, liquidations(3_000))
    store = Store(directory)
    store.mark_hour(liquidations(1)[0].event_ms // HOUR_MS * HOUR_MS)
    store.close()
    spoil(directory / DATABASE, leaf_of(directory / DATABASE, "events"))
    archiver = ArchiverProcess(directory, seal=True, retention_days=36_500, retention_gb=100)
    archiver._due_ms = 1

    log = event_log(archiver_process=archiver)
    log.offer(liquidations(10, 3_000))
    wait_until(lambda: "kept as" in log.health().detail)

    wait_until(lambda: not log.events_pending)
    assert log.health().state == "writing"
    assert len(list(directory.glob("log.damaged-*.sqlite"))) == 1


def test_a_disk_that_does_not_answer_is_stuck_and_stops_nothing(
    event_log: MakeLog, liquidations: MakeMany, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventlog, "_STUCK_SECONDS", 0.2)
    log = event_log()
    log.offer(liquidations(10))
    wait_until(lambda: log.events_logged == 10)
    answers = threading.Event()
    write = Store.write

    def frozen(self: Store, *written: object) -> object:
        answers.wait(60)
        return write(self, *written)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "write", frozen)
    log.offer(liquidations(10, 10))
    wait_until(lambda: log.health().state == "stuck")
    assert log.health().detail.startswith("the disk has not answered for")
    assert log.events_pending == 10

    began = time.monotonic()
    log.stop(0.5)
    assert time.monotonic() - began < 30  # far below the minute in which the disk answers
    assert log.health().events_lost == 10
    answers.set()
