"""Sealing: whatever it is stopped by, and wherever, a reader finds each event exactly once."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from liqtape.events import Liquidation
from liqtape.history.archive.archiver import CLOSED_AFTER_MS, Archiver
from liqtape.history.log.database import open_for_reading
from liqtape.history.log.follow import Follower
from liqtape.history.log.journal import FeedDownEntry, FeedUpEntry, GapEntry, PriceBarEntry
from liqtape.history.log.layout import arrow_schema
from liqtape.history.log.store import Store, WriteResult

Make = Callable[..., Liquidation]
MakeMany = Callable[..., list[Liquidation]]

HOUR_MS = 3_600_000
FIRST_HOUR_MS = 1_790_000_000_000 // HOUR_MS * HOUR_MS
LATER_MS = FIRST_HOUR_MS + 3 * HOUR_MS + CLOSED_AFTER_MS


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def written(tmp_path: Path, liquidations: MakeMany) -> list[Liquidation]:
    """Three hours of two venues, the last one not over; numbers are 1, 2, ..."""
    events = [
        replace(event, venue=("bybit", "okx")[serial % 2], event_ms=FIRST_HOUR_MS + serial * HOUR_MS // 10)
        for serial, event in enumerate(liquidations(30))
    ]
    bars = [PriceBarEntry(FIRST_HOUR_MS + at, 1.5, 2.5, 0.5, 1.0, None, 3, "bybit") for at in (0, 1_000, 2 * HOUR_MS)]
    store = Store(tmp_path)
    store.write(
        events[:10], [FeedUpEntry("okx", 5), GapEntry("okx", 7, 9, "reset"), GapEntry("bybit", 7, None, "reset"), *bars]
    )
    store.mark_hour(FIRST_HOUR_MS)
    store.write(events[10:20], [FeedDownEntry("okx", 50)])
    store.mark_hour(FIRST_HOUR_MS + HOUR_MS)
    store.write(events[20:])
    store.close()
    return events


def seen(directory: Path) -> list[tuple[int, Liquidation]]:
    """As a reader finds it: the listed files and what is not sealed, in one look."""
    follower = Follower(directory)
    events: list[tuple[int, Liquidation]] = []
    while batch := follower.after(events[-1][0] if events else 0, 7):
        events += batch
    follower.close()
    return events


def sealed_files(directory: Path, kind: str = "events") -> list[str]:
    connection = open_for_reading(directory)
    paths = [path for (path,) in connection.execute("SELECT path FROM partitions WHERE kind = ?", (kind,))]
    connection.close()
    return paths


def files(directory: Path) -> Iterator[str]:
    return (str(path.relative_to(directory)) for path in directory.rglob("*.parquet*"))


def seal(directory: Path, now_ms: int = LATER_MS, step: Callable[[str], object] = lambda _: None) -> int:
    archiver = Archiver(directory, step)
    try:
        return archiver.seal(now_ms)
    finally:
        archiver.close()


def test_closed_hours_go_into_files_of_a_day_and_a_venue(tmp_path: Path, written: list[Liquidation]) -> None:
    assert seal(tmp_path) == 20
    numbered = list(enumerate(written, 1))
    assert seen(tmp_path) == numbered
    paths = sealed_files(tmp_path)
    assert {path.rpartition("/")[0] for path in paths} == {
        "events/date=2026-09-21/venue=bybit",
        "events/date=2026-09-21/venue=okx",
    }
    connection = open_for_reading(tmp_path)
    hot = connection.execute("SELECT seq FROM events ORDER BY seq").fetchall()
    assert [seq for (seq,) in hot] == list(range(21, 31))
    for path, rows, size, digest, from_ms, until_ms in connection.execute(
        "SELECT path, rows, bytes, sha256, from_ms, until_ms FROM partitions"
    ):
        content = (tmp_path / path).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (size, digest)
        parquet = pq.read_table(tmp_path / path, partitioning=None)
        kind = path.partition("/")[0]
        assert parquet.schema.equals(arrow_schema(kind))
        times = parquet["event_ms" if kind == "events" else "bar_ms"].to_pylist()
        assert (len(times), min(times), max(times)) == (rows, from_ms, until_ms)
    connection.close()
    assert seal(tmp_path) == 0


def test_small_tables_are_files_as_well(tmp_path: Path, written: list[Liquidation]) -> None:  # noqa: ARG001
    seal(tmp_path)
    assert pq.read_table(tmp_path / "gaps.parquet").to_pylist() == [
        {"venue": "bybit", "from_ms": 7, "until_ms": None, "reason": "reset", "filled": False},
        {"venue": "okx", "from_ms": 7, "until_ms": 9, "reason": "reset", "filled": False},
    ]
    assert pq.read_table(tmp_path / "coverage.parquet").to_pylist() == [{"venue": "okx", "up_ms": 5, "down_ms": 50}]
    [prices] = sealed_files(tmp_path, "prices")
    assert pq.read_table(tmp_path / prices)["bar_ms"].to_pylist() == [FIRST_HOUR_MS, FIRST_HOUR_MS + 1_000]


def test_an_hour_is_sealed_ten_minutes_after_its_end(tmp_path: Path, written: list[Liquidation]) -> None:  # noqa: ARG001
    end_ms = FIRST_HOUR_MS + HOUR_MS + CLOSED_AFTER_MS
    assert seal(tmp_path, end_ms - 1) == 0
    assert seal(tmp_path, end_ms) == 10


def steps(directory: Path) -> list[str]:
    told: list[str] = []
    seal(directory, step=told.append)
    return told


def test_a_crash_between_any_two_steps_loses_and_doubles_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    written: list[Liquidation],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("liqtape.history.archive.archiver._DELETED_AT_ONCE", 3)
    monkeypatch.setattr("liqtape.history.archive.archiver._MOST_ROWS", 7)
    monkeypatch.setattr("os.fsync", lambda _: None)  # which only a power cut could miss
    origin = (tmp_path / "log.sqlite").read_bytes()
    numbered = list(enumerate(written, 1))
    count = len(steps(tmp_path))
    assert count > 45
    for last in range(count):
        monkeypatch.setattr("liqtape.history.archive.archiver._MOST_ROWS", 7)
        directory = tmp_path_factory.mktemp("killed")
        (directory / "log.sqlite").write_bytes(origin)
        left = iter(range(last))

        def step(_: str, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise Killed

        with pytest.raises(Killed):
            seal(directory, step=step)
        assert seen(directory) == numbered
        monkeypatch.setattr("liqtape.history.archive.archiver._MOST_ROWS", 9)  # what is left over has other names then
        seal(directory)
        assert seen(directory) == numbered
        store = Store(directory)  # nothing of it is logged again, wherever it lies
        assert store.write(written) == WriteResult(0, 30, 0)
        store.close()
        left_over = set(files(directory)) - {*sealed_files(directory), *sealed_files(directory, "prices")}
        assert left_over == {"gaps.parquet", "coverage.parquet"}


def test_a_file_that_retention_took_off_the_list_is_removed(tmp_path: Path, written: list[Liquidation]) -> None:
    seal(tmp_path)
    first, *rest = sealed_files(tmp_path)
    archiver = Archiver(tmp_path)
    archiver.connection.execute("DELETE FROM partitions WHERE path = ?", (first,))  # and then it crashed
    archiver.close()
    seal(tmp_path)
    assert not (tmp_path / first).exists()
    assert sealed_files(tmp_path) == rest
    assert len(seen(tmp_path)) < len(written)


def test_the_newest_row_stays_so_that_numbers_go_on(
    tmp_path: Path, written: list[Liquidation], liquidation: Make
) -> None:
    store = Store(tmp_path)
    store.mark_hour(FIRST_HOUR_MS + 2 * HOUR_MS)
    store.close()
    assert seal(tmp_path) == 30
    assert seen(tmp_path) == list(enumerate(written, 1))
    store = Store(tmp_path)
    assert store.write([*written, liquidation(99)]) == WriteResult(1, 30, 0)
    store.close()
    assert seen(tmp_path)[-1] == (31, liquidation(99))


def test_what_was_sealed_meanwhile_is_not_logged_again(
    tmp_path: Path, written: list[Liquidation], liquidation: Make
) -> None:
    store = Store(tmp_path)
    assert store.write(written[:1]) == WriteResult(0, 1, 0)
    seal(tmp_path)
    late = replace(written[0], id="another")
    nameless = replace(written[0], id="")
    elsewhere = replace(written[0], venue="binance")
    assert store.write([written[0], late, nameless, elsewhere, liquidation(50)]) == WriteResult(4, 1, 0)
    store.close()


def test_a_broken_file_hides_no_event(
    tmp_path: Path, written: list[Liquidation], caplog: pytest.LogCaptureFixture
) -> None:
    seal(tmp_path)
    for path in sealed_files(tmp_path):
        (tmp_path / path).write_bytes(b"broken")
    store = Store(tmp_path)
    assert store.write(written[:2]) == WriteResult(2, 0, 0)
    store.close()
    assert "is damaged" in caplog.text


def test_venues_of_any_name_get_folders_of_their_own(tmp_path: Path, liquidation: Make) -> None:
    names = ["../up", "a/b", "é" * 200, "é" * 199 + "e", ".", "x=y"]
    store = Store(tmp_path)
    store.write([liquidation(i, venue=name) for i, name in enumerate(names)])
    store.mark_hour(FIRST_HOUR_MS)
    store.close()
    assert seal(tmp_path) == 6
    assert [event.venue for _, event in seen(tmp_path)] == names
    assert all(
        path.startswith("events/date=2026-09-21/venue=") and ".." not in path.split("/")
        for path in sealed_files(tmp_path)
    )


def test_files_of_another_log_are_left_alone(tmp_path: Path, written: list[Liquidation]) -> None:
    seal(tmp_path)
    before = sorted(sealed_files(tmp_path))
    for file in tmp_path.glob("log.sqlite*"):
        file.unlink()
    store = Store(tmp_path)
    store.write(written)
    store.mark_hour(FIRST_HOUR_MS)
    store.close()
    assert seal(tmp_path) == 30
    assert all((tmp_path / path).exists() for path in before)
    assert seen(tmp_path) == list(enumerate(written, 1))


def keep(directory: Path, *options: str) -> dict[str, int]:
    command = [
        sys.executable,
        "-m",
        "liqtape.history.archive.maintenance",
        str(directory),
        "--days",
        "100",
        "--bytes",
        "1000000000",
    ]
    done = subprocess.run([*command, *options], check=True, capture_output=True, timeout=60)
    answer: dict[str, int] = json.loads(done.stdout)
    return answer


def test_a_round_in_a_process_of_its_own(tmp_path: Path, written: list[Liquidation]) -> None:
    assert keep(tmp_path, "--seal", "--now-ms", str(LATER_MS)) == {"sealed": 20, "removed": 0}
    assert seen(tmp_path) == list(enumerate(written, 1))
    assert keep(tmp_path, "--now-ms", str(LATER_MS)) == {"sealed": 0, "removed": 0}
