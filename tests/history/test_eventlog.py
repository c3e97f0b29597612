"""The event log: nothing waits for it, what it cannot take is counted, told once and written down when that can be."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from tests.polling import wait_until

from liqtape.errors import ConfigurationError
from liqtape.events import NO_LIST, Gap, Liquidation
from liqtape.history.log import buffer, eventlog
from liqtape.history.log.database import open_for_reading
from liqtape.history.log.eventlog import EventLog
from liqtape.history.log.journal import (
    AliveEntry,
    FeedDownEntry,
    FeedUpEntry,
    JournalEntry,
    KnownUntilEntry,
    PriceBarEntry,
    StateEntry,
)
from liqtape.history.log.layout import DATABASE, LOCK
from liqtape.history.log.store import Store, WriteResult
from liqtape.ledger import Ledger
from liqtape.ourtime import our_ms

MakeLog = Callable[..., EventLog]
MakeMany = Callable[..., list[Liquidation]]


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventlog, "_RETRY_SECONDS", 0.01)


class Disk:
    """Between the log and its store: `stuck` holds every write, `error` refuses it."""

    def __init__(self) -> None:
        self.flows = threading.Event()
        self.flows.set()
        self.reached = threading.Event()
        self.error: Exception | None = None


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk, write = Disk(), Store.write

    def slow(self: Store, events: Sequence[Liquidation], records: Sequence[JournalEntry] = ()) -> WriteResult:
        disk.reached.set()
        disk.flows.wait(30)
        if disk.error is not None:
            raise disk.error
        return write(self, events, records)

    monkeypatch.setattr(Store, "write", slow)
    yield disk
    disk.error = None
    disk.flows.set()


def rows(log: EventLog, name: str) -> list[tuple[object, ...]]:
    connection = open_for_reading(log.directory)
    found = connection.execute(f"SELECT * FROM {name}").fetchall()
    connection.close()
    return found


def counted(log: EventLog, accepted: int) -> dict[str, int]:
    """What the ledger says, if it balances."""
    ledger = Ledger()
    ledger.events_decoded = ledger.events_accepted = accepted
    log.count(ledger)
    assert ledger.balanced()
    return {name.removeprefix("events_"): n for name, n in ledger.as_dict().items() if "log" in name and n}


def test_offered_events_are_on_disk_soon_in_order(event_log: MakeLog, liquidations: MakeMany) -> None:
    log = event_log()
    for event in liquidations(500):
        log.offer([event])
    log.offer(liquidations(3_000, 500))
    wait_until(lambda: not log.events_pending)
    assert counted(log, 3_500) == {"logged": 3_500}
    assert log.after(0, 9_999) == list(enumerate(liquidations(3_500), 1))
    assert log.after(3_490, 3) == list(enumerate(liquidations(3, 3_490), 3_491))
    assert log.last_seq == 3_500


def test_a_repeat_is_counted_as_one(event_log: MakeLog, liquidations: MakeMany) -> None:
    log = event_log()
    log.offer(liquidations(3))
    log.offer(liquidations(4))
    wait_until(lambda: not log.events_pending)
    assert counted(log, 7) == {"logged": 4, "not_logged_duplicate": 3}
    assert log.health().events_lost == 0


def test_a_stuck_disk_delays_nobody_and_its_losses_are_written_down(
    event_log: MakeLog, disk: Disk, liquidations: MakeMany, caplog: pytest.LogCaptureFixture
) -> None:
    log = event_log(limit=10)
    disk.flows.clear()
    log.offer(liquidations(4))
    assert disk.reached.wait(10)
    log.offer(liquidations(6, 4))  # the buffer is full now, with what the writer holds
    for event in liquidations(5, 10):
        log.offer([event])
    assert counted(log, 15) == {"not_logged_full": 5, "log_pending": 10}
    assert [record.getMessage() for record in caplog.records if "not logged" in record.getMessage()] == [
        "history: events are not logged (full); they are counted, metrics and sinks go on"
    ]
    disk.flows.set()
    wait_until(lambda: not log.events_pending)
    log.offer(liquidations(1, 15))
    wait_until(lambda: not log.events_pending)
    assert counted(log, 16) == {"logged": 11, "not_logged_full": 5}
    wait_until(lambda: rows(log, "log_gaps"))
    [(from_ms, until_ms, reason, events)] = rows(log, "log_gaps")
    assert (reason, events) == ("full", 5)
    assert isinstance(from_ms, int)
    assert isinstance(until_ms, int)
    assert from_ms <= until_ms


def test_a_failing_disk_loses_nothing_the_buffer_holds(
    event_log: MakeLog,
    disk: Disk,
    liquidations: MakeMany,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("liqtape.history.log.losses._QUIET_MS", 0)  # so that what was lost is tried to be written, too
    log = event_log(limit=100)
    disk.error = sqlite3.OperationalError("disk I/O error")
    log.offer(liquidations(100))
    wait_until(lambda: log.health().state == "failing")
    log.offer(liquidations(20, 100))
    assert counted(log, 120) == {"not_logged_disk": 20, "log_pending": 100}
    assert log.health().detail == "disk I/O error"
    assert log.health().events_lost == 20
    disk.reached.clear()
    assert disk.reached.wait(10)

    disk.error = None
    wait_until(lambda: log.health().state == "writing")
    assert counted(log, 120) == {"logged": 100, "not_logged_disk": 20}
    assert [(reason, events) for _, _, reason, events in rows(log, "log_gaps")] == [("disk", 20)]
    told = [record.getMessage() for record in caplog.records if record.name.startswith("liqtape.history")]
    assert [text.partition(":")[2].split()[0] for text in told] == ["cannot", "events", "writing"]


def test_every_cause_is_told_once(
    event_log: MakeLog, disk: Disk, liquidations: MakeMany, caplog: pytest.LogCaptureFixture
) -> None:
    log = event_log()
    disk.error = sqlite3.OperationalError("disk I/O error")
    log.offer(liquidations(1))
    for _ in range(3):
        disk.reached.clear()
        assert disk.reached.wait(10)
    assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 1


def test_an_error_nobody_foresaw_is_survived(event_log: MakeLog, disk: Disk, liquidations: MakeMany) -> None:
    log = event_log()
    disk.error = ZeroDivisionError("what")
    log.offer(liquidations(2))
    wait_until(lambda: log.health().detail == "what")
    disk.error = None
    wait_until(lambda: not log.events_pending)
    assert counted(log, 2) == {"logged": 2}


def test_stop_writes_what_waits(event_log: MakeLog, liquidations: MakeMany) -> None:
    log = event_log()
    log.offer(liquidations(30_000))
    log.stop()
    assert counted(log, 30_000) == {"logged": 30_000}
    assert log.health().state == "closed"


def test_stop_does_not_wait_for_a_stuck_disk(event_log: MakeLog, disk: Disk, liquidations: MakeMany) -> None:
    log = event_log()
    disk.flows.clear()
    log.offer(liquidations(3))
    assert disk.reached.wait(10)
    log.stop(0.01)
    log.offer(liquidations(2, 3))
    assert counted(log, 5) == {"not_logged_closed": 5}
    disk.flows.set()
    log.stop()
    assert counted(log, 5) == {"not_logged_closed": 5}


def test_stop_with_a_failing_disk_counts_the_rest_as_the_disk_s(
    event_log: MakeLog, disk: Disk, liquidations: MakeMany
) -> None:
    log = event_log()
    disk.error = sqlite3.OperationalError("disk I/O error")
    log.offer(liquidations(3))
    wait_until(lambda: log.health().state == "failing")
    log.stop()
    assert counted(log, 3) == {"not_logged_disk": 3}


def test_records_are_written_behind_the_events_before_them(
    event_log: MakeLog, disk: Disk, liquidations: MakeMany, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventlog, "_MOST_EVENTS", 5)
    monkeypatch.setattr(buffer, "_RECORD_LIMIT", 3)
    log = event_log()
    disk.flows.clear()
    log.offer(liquidations(1))
    assert disk.reached.wait(10)
    log.offer(liquidations(5, 1))
    log.offer(liquidations(5, 6))
    log.note(AliveEntry(1_000))
    log.gap(Gap("okx", 5, None, "reset"))
    log.note(FeedUpEntry("okx", 9))
    log.note(PriceBarEntry(0, 1.0, 1.0, 1.0, 1.0, None, 1, "okx"))
    assert log.buffer.records_dropped_total == 1
    written: list[tuple[int, dict[str, object]]] = []
    write = Store.write

    def look(self: Store, events: Sequence[Liquidation], records: Sequence[JournalEntry] = ()) -> WriteResult:
        done = write(self, events, records)
        written.append((len(rows(log, "events")), {str(key): value for key, value in rows(log, "meta")}))
        return done

    monkeypatch.setattr(Store, "write", look)
    disk.flows.set()
    wait_until(lambda: rows(log, "gaps"))
    assert all(meta["alive_ms"] == 0 or events == 11 for events, meta in written)
    assert rows(log, "gaps") == [("okx", 5, 9, "reset", 0)]


def test_a_second_log_in_the_directory_is_refused(event_log: MakeLog, tmp_path: Path) -> None:
    event_log()
    with pytest.raises(ConfigurationError, match=r"history is in use by process \d+; stop it, or name another"):
        event_log()
    event_log(tmp_path / "another")


def test_a_directory_that_is_a_file_is_refused(event_log: MakeLog, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"cannot use .*file: File exists"):
        event_log(tmp_path / "file")


def test_a_log_removed_meanwhile_is_begun_anew(
    event_log: MakeLog, liquidations: MakeMany, caplog: pytest.LogCaptureFixture
) -> None:
    log = event_log()
    log.offer(liquidations(1))
    wait_until(lambda: not log.events_pending)
    for file in log.directory.iterdir():
        file.unlink()
    log.directory.rmdir()
    log.offer(liquidations(2, 1))
    wait_until(lambda: not log.events_pending)
    assert counted(log, 3) == {"logged": 3}
    assert "removed while it was written" in caplog.text
    assert {path.name for path in log.directory.iterdir()} >= {DATABASE, LOCK}
    with pytest.raises(ConfigurationError, match="in use"):
        event_log()


def test_a_wall_clock_that_is_set_back_keeps_nothing_from_the_disk(
    event_log: MakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen in virtual time: for an hour nothing was brought to the disk for good, and a power cut took all of it."""
    wall, sync, synced = time.time_ns, Store.sync, list[Store]()

    def noted(self: Store) -> None:
        sync(self)
        synced.append(self)

    monkeypatch.setattr(eventlog, "_SYNC_MS", 20)
    monkeypatch.setattr(Store, "sync", noted)
    log = event_log()
    wait_until(lambda: synced)
    monkeypatch.setattr(time, "time_ns", lambda: wall() - 3_600_000_000_000)
    known = len(synced)

    def goes_on() -> bool:
        log.note(AliveEntry(1))
        return len(synced) > known + 2

    wait_until(goes_on)


def test_a_log_begun_anew_says_at_once_what_is_covered_from_then_on(event_log: MakeLog, liquidations: MakeMany) -> None:
    log = event_log()
    before_ms = our_ms()
    ahead_ms = before_ms + 3_600_000  # its clock is ahead
    for venue in ("binance", "bybit", "okx", "lost"):
        log.note(FeedUpEntry(venue, before_ms - 60_000))
    log.gap(Gap("okx", before_ms - 9_000, None, "reset"))
    log.note(FeedUpEntry("okx", before_ms - 8_000))  # ends it
    log.note(FeedDownEntry("lost", before_ms - 500))
    log.gap(Gap("lost", before_ms - 500, None, "closed"))
    log.gap(Gap("bybit", before_ms - 700, None, NO_LIST))
    log.gap(Gap("binance", before_ms - 90_000, before_ms - 60_000, "not running"))
    for state in ("stalled", "live"):
        log.note(StateEntry(before_ms, "okx", state, ""))
    log.note(KnownUntilEntry("bybit", ahead_ms))
    log.offer(liquidations(1))
    wait_until(lambda: not log.events_pending)
    for file in log.directory.iterdir():
        file.unlink()
    log.directory.rmdir()
    log.offer(liquidations(2, 1))
    wait_until(lambda: not log.events_pending)
    log.note(FeedDownEntry("binance", ahead_ms))  # what comes later finds its spell
    log.stop()

    after_ms = our_ms()
    with closing(sqlite3.connect(log.directory / DATABASE)) as database:
        coverage = {venue: rest for venue, *rest in database.execute("SELECT * FROM coverage")}
        gaps = database.execute("SELECT venue, until_ms, reason FROM gaps").fetchall()
        states = database.execute("SELECT venue, state FROM health").fetchall()
    assert coverage.keys() == {"binance", "bybit", "okx"}
    assert before_ms <= coverage["okx"][0] <= after_ms
    assert coverage["okx"][1] is None
    assert coverage["bybit"] == [ahead_ms + 2_000, None]
    assert coverage["binance"][1] == ahead_ms
    assert sorted(gaps) == [("bybit", None, NO_LIST), ("lost", None, "closed")]
    assert states == [("okx", "live")]


def test_events_offered_before_the_start_are_logged(tmp_path: Path, liquidations: MakeMany) -> None:
    log = EventLog(tmp_path / "history")
    log.offer(liquidations(2))
    log.start()
    log.stop()
    assert counted(log, 2) == {"logged": 2}


def test_numbers_are_never_used_twice(event_log: MakeLog, liquidations: MakeMany) -> None:
    log = event_log()
    log.offer(liquidations(3))
    log.stop()
    again = event_log()
    again.offer(liquidations(2, 3))
    wait_until(lambda: not again.events_pending)
    assert [seq for seq, _ in again.after(0, 10)] == [1, 2, 3, 4, 5]
