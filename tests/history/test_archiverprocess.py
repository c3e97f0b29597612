"""When a history is sealed, and how its state says what became of it."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from liqtape.events import Liquidation
from liqtape.history.archive import archiverprocess as seals_module
from liqtape.history.archive.archiverprocess import ArchiverProcess
from liqtape.history.log.database import open_for_reading
from liqtape.history.log.eventlog import EventLog
from liqtape.history.log.layout import SEALING_LOCK
from liqtape.history.log.lock import FileLock
from liqtape.history.log.store import Store

MakeMany = Callable[..., list[Liquidation]]

_HOUR_MS = 3_600_000
_NOON_MS = 1_790_000_000_000 // _HOUR_MS * _HOUR_MS


def made(directory: Path, *, seal: bool = True) -> ArchiverProcess:
    return ArchiverProcess(directory, seal=seal, retention_days=1e6, retention_gb=1.0)


def ended(archiver_process: ArchiverProcess, now_ms: int) -> None:
    """Turn until the round that runs has ended."""
    rounds, deadline = archiver_process.rounds, time.monotonic() + 30
    while archiver_process.rounds == rounds:
        assert time.monotonic() < deadline
        archiver_process.turn(now_ms)
        time.sleep(0.005)


@pytest.fixture
def hour(tmp_path: Path, liquidations: MakeMany) -> Path:
    """An hour of fifty events, long closed."""
    store = Store(tmp_path)
    store.write(liquidations(50))
    store.mark_hour(_NOON_MS)
    store.close()
    return tmp_path


def test_rounds_come_after_the_start_and_ten_minutes_after_each_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(tmp_path).close()
    started: list[int] = []
    now_ms = 0

    class Child:
        def __init__(self, *_: object, **__: object) -> None:
            started.append((now_ms - _NOON_MS) // 1_000)

        def poll(self) -> int:
            return 0

        returncode = 0

        def communicate(self) -> tuple[bytes, bytes]:
            return b'{"sealed":0,"removed":0}', b""

    monkeypatch.setattr("subprocess.Popen", Child)
    archiver_process = made(tmp_path)
    for second in range(1_000, 3 * 3_600):
        now_ms = _NOON_MS + 1_000 * second
        archiver_process.turn(now_ms)
    assert started == [1_030, 3_600 + 605, 2 * 3_600 + 605]


def test_a_closed_hour_is_sealed_by_a_child(hour: Path) -> None:
    archiver_process = made(hour)
    assert archiver_process.state == "waiting"
    archiver_process.turn(0)
    ended(archiver_process, 1 << 50)
    assert archiver_process.state == "sealed"
    connection = open_for_reading(hour)
    assert connection.execute("SELECT sum(rows) FROM partitions").fetchone() == (50,)
    connection.close()


def test_without_parquet_hours_stay_and_the_state_says_so(hour: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seals_module, "can_seal", lambda: False)
    archiver_process = made(hour)
    assert archiver_process.state == "hours stay in SQLite: Parquet files need the extra 'analysis'"
    archiver_process.turn(0)
    ended(archiver_process, 1 << 50)
    assert archiver_process.state.startswith("hours stay in SQLite")
    assert made(hour, seal=False).state == "off"
    assert list(hour.rglob("events/**/*.parquet")) == []


def test_a_round_that_fails_is_said_and_tried_again(hour: Path, caplog: pytest.LogCaptureFixture) -> None:
    (hour / "events").touch()  # where a directory has to be
    archiver_process = made(hour)
    archiver_process.turn(0)
    ended(archiver_process, 1 << 50)
    assert archiver_process.state.startswith("failing: ")
    assert "Not a directory" in archiver_process.state or "File exists" in archiver_process.state
    ended(archiver_process, 1 << 51)
    assert len(caplog.records) == 1
    (hour / "events").unlink()
    ended(archiver_process, 1 << 52)
    assert archiver_process.state == "sealed"


def test_a_child_that_cannot_be_started_is_said(hour: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(hour / "absent"))
    archiver_process = made(hour)
    archiver_process.turn(0)
    archiver_process.turn(1 << 50)
    assert "No such file" in archiver_process.state


def test_two_rounds_at_once_do_one_round(hour: Path) -> None:
    lock = FileLock(hour / SEALING_LOCK)
    assert lock.take()
    archiver_process = made(hour)
    archiver_process.turn(0)
    ended(archiver_process, 1 << 50)
    lock.release()
    connection = open_for_reading(hour)
    assert connection.execute("SELECT count(*) FROM partitions").fetchone() == (0,)
    connection.close()


def test_a_log_seals_while_it_writes_and_stops_its_child(
    hour: Path, liquidations: MakeMany, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seals_module, "_FIRST_MS", 0)
    archiver_process = made(hour)
    log = EventLog(hour, archiver_process=archiver_process)
    log.start()
    deadline, first = time.monotonic() + 30, 1_000
    while not archiver_process.rounds:
        assert time.monotonic() < deadline
        log.offer(liquidations(20, first))
        first += 20
        time.sleep(0.002)
    log.stop()
    assert log.health().sealing == "sealed"
    assert log.events_logged == first - 1_000
    follower = EventLog(hour)
    assert [seq for seq, _ in follower.after(0, 50)] == list(range(1, 51))
    assert len(follower.after(50, 100_000)) == first - 1_000

    again = made(hour)
    again.turn(0)
    again.turn(1 << 50)
    again.stop()
    assert again._child is None
