"""When a history is sealed, and how its state says what became of it."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from liqtape.events import Liquidation
from liqtape.history import seals as seals_module
from liqtape.history.database import open_for_reading
from liqtape.history.eventlog import EventLog
from liqtape.history.layout import SEALING_LOCK
from liqtape.history.lock import FileLock
from liqtape.history.seals import Seals
from liqtape.history.store import Store

MakeMany = Callable[..., list[Liquidation]]

_HOUR_MS = 3_600_000
_NOON_MS = 1_790_000_000_000 // _HOUR_MS * _HOUR_MS


def made(directory: Path, *, seal: bool = True) -> Seals:
    return Seals(directory, seal=seal, retention_days=1e6, retention_gb=1.0)


def ended(seals: Seals, now_ms: int) -> None:
    """Turn until the round that runs has ended."""
    rounds, deadline = seals.rounds, time.monotonic() + 30
    while seals.rounds == rounds:
        assert time.monotonic() < deadline
        seals.turn(now_ms)
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
    seals = made(tmp_path)
    for second in range(1_000, 3 * 3_600):
        now_ms = _NOON_MS + 1_000 * second
        seals.turn(now_ms)
    assert started == [1_030, 3_600 + 605, 2 * 3_600 + 605]


def test_a_closed_hour_is_sealed_by_a_child(hour: Path) -> None:
    seals = made(hour)
    assert seals.state == "waiting"
    seals.turn(0)
    ended(seals, 1 << 50)
    assert seals.state == "sealed"
    connection = open_for_reading(hour)
    assert connection.execute("SELECT sum(rows) FROM partitions").fetchone() == (50,)
    connection.close()


def test_without_parquet_hours_stay_and_the_state_says_so(hour: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seals_module, "can_seal", lambda: False)
    seals = made(hour)
    assert seals.state == "hours stay in SQLite: Parquet files need the extra 'analysis'"
    seals.turn(0)
    ended(seals, 1 << 50)
    assert seals.state.startswith("hours stay in SQLite")
    assert made(hour, seal=False).state == "off"
    assert list(hour.rglob("events/**/*.parquet")) == []


def test_a_round_that_fails_is_said_and_tried_again(hour: Path, caplog: pytest.LogCaptureFixture) -> None:
    (hour / "events").touch()  # where a directory has to be
    seals = made(hour)
    seals.turn(0)
    ended(seals, 1 << 50)
    assert seals.state.startswith("failing: ")
    assert "Not a directory" in seals.state or "File exists" in seals.state
    ended(seals, 1 << 51)
    assert len(caplog.records) == 1
    (hour / "events").unlink()
    ended(seals, 1 << 52)
    assert seals.state == "sealed"


def test_a_child_that_cannot_be_started_is_said(hour: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(hour / "absent"))
    seals = made(hour)
    seals.turn(0)
    seals.turn(1 << 50)
    assert "No such file" in seals.state


def test_two_rounds_at_once_do_one_round(hour: Path) -> None:
    lock = FileLock(hour / SEALING_LOCK)
    assert lock.take()
    seals = made(hour)
    seals.turn(0)
    ended(seals, 1 << 50)
    lock.release()
    connection = open_for_reading(hour)
    assert connection.execute("SELECT count(*) FROM partitions").fetchone() == (0,)
    connection.close()


def test_a_log_seals_while_it_writes_and_stops_its_child(
    hour: Path, liquidations: MakeMany, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seals_module, "_FIRST_MS", 0)
    seals = made(hour)
    log = EventLog(hour, seals=seals)
    log.start()
    deadline, first = time.monotonic() + 30, 1_000
    while not seals.rounds:
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
