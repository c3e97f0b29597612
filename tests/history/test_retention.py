"""Retention: the oldest goes first, whole files and whole hours, and never the newest row."""

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from liqtape.events import Liquidation
from liqtape.history.archive.archiver import CLOSED_AFTER_MS, Archiver
from liqtape.history.archive.retention import _size, retain
from liqtape.history.archive.soundfiles import SealedFile
from liqtape.history.log.follow import Follower
from liqtape.history.log.journal import FeedDownEntry, FeedUpEntry, GapEntry, LogGapEntry, PriceBarEntry, StateEntry
from liqtape.history.log.store import Store

MakeMany = Callable[..., list[Liquidation]]

HOUR_MS = 3_600_000
BEGIN_MS = 1_790_000_000_000 // HOUR_MS * HOUR_MS
PLENTY = 1 << 40


@pytest.fixture
def hours(tmp_path: Path, liquidations: MakeMany) -> Path:
    """Five hours of ten events each, the last one not over."""
    store = Store(tmp_path)
    for hour in range(5):
        at_ms = BEGIN_MS + hour * HOUR_MS
        bar = PriceBarEntry(at_ms, 1.0, 1.0, 1.0, 1.0, None, 1, "bybit")
        store.write([replace(event, event_ms=at_ms + 1) for event in liquidations(10, 10 * hour)], [bar])
        if hour < 4:
            store.mark_hour(at_ms)
    gaps = [GapEntry("okx", BEGIN_MS, BEGIN_MS + 9, "x"), GapEntry("okx", BEGIN_MS + 10, None, "x")]
    feeds = [FeedUpEntry("okx", BEGIN_MS), FeedDownEntry("okx", BEGIN_MS + 5)]
    store.write([], [*feeds, *gaps, LogGapEntry(1, 2, "full", 1), StateEntry(1, "okx", "live", "")])
    store.close()
    return tmp_path


def left(directory: Path) -> list[int]:
    follower = Follower(directory)
    numbers: list[int] = []
    while batch := follower.after(numbers[-1] if numbers else 0, 100):
        numbers += [seq for seq, _ in batch]
    follower.close()
    return numbers


def round_of(directory: Path, before_ms: int, most_bytes: int = PLENTY, *, seal: bool = True) -> int:
    archiver = Archiver(directory)
    if seal:
        archiver.seal(BEGIN_MS + 9 * HOUR_MS + CLOSED_AFTER_MS)
    removed = retain(directory, archiver.connection, before_ms, most_bytes)
    archiver.close()
    return removed


@pytest.mark.parametrize("seal", [True, False], ids=["sealed", "unsealed"])
def test_hours_that_ended_before_are_removed(hours: Path, seal: bool) -> None:
    before_ms = BEGIN_MS + 2 * HOUR_MS + 1
    assert round_of(hours, before_ms, seal=seal) == (2 if seal else 20)
    assert left(hours) == list(range(21, 51))
    assert round_of(hours, before_ms, seal=seal) == 0
    assert len(list(hours.rglob("*-*.parquet"))) == (3 if seal else 0)


def test_what_ended_before_leaves_the_small_tables(hours: Path) -> None:
    archiver = Archiver(hours)
    retain(hours, archiver.connection, BEGIN_MS + 2 * HOUR_MS, PLENTY)
    found = {
        table: archiver.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("gaps", "coverage", "log_gaps", "health", "prices", "hours")
    }
    archiver.close()
    assert found == {"gaps": 1, "coverage": 0, "log_gaps": 0, "health": 0, "prices": 3, "hours": 3}


def test_the_oldest_goes_until_the_rest_is_small_enough(hours: Path) -> None:
    round_of(hours, 0)
    archiver = Archiver(hours)
    size = _size(archiver.connection)
    archiver.close()
    smallest = min(path.stat().st_size for path in hours.rglob("*-*.parquet"))
    assert round_of(hours, 0, size) == 0
    assert round_of(hours, 0, size - 1) == 1
    assert left(hours) == list(range(11, 51))
    assert round_of(hours, 0, size - 2 * smallest) >= 1
    assert left(hours) == list(range(21, 51))
    round_of(hours, 0, 1)
    assert left(hours) == list(range(41, 51))  # the hour that is not over


def test_unsealed_hours_go_too_when_there_is_no_file(hours: Path) -> None:
    round_of(hours, 0, 1, seal=False)
    assert left(hours) == list(range(41, 51))


def test_a_reader_who_finds_a_file_gone_looks_again(hours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    round_of(hours, 0)
    follower = Follower(hours)
    sealed = Follower._sealed
    removed: list[int] = []

    def removed_meanwhile(self: Follower, first_seq: int, files: list[SealedFile]) -> list[tuple[int, Liquidation]]:
        if not removed:
            removed.append(round_of(hours, BEGIN_MS + HOUR_MS + 1))
        return sealed(self, first_seq, files)

    monkeypatch.setattr(Follower, "_sealed", removed_meanwhile)
    assert [seq for seq, _ in follower.after(0, 100)] == list(range(11, 21))
    assert removed == [1]
    follower.close()


def test_a_file_somebody_removed_is_an_error_and_no_hole(hours: Path) -> None:
    round_of(hours, 0)
    for path in hours.rglob("000*.parquet"):
        path.unlink()
    follower = Follower(hours)
    with pytest.raises(FileNotFoundError):
        follower.after(0, 100)
    follower.close()


def test_the_database_gives_its_space_back(
    tmp_path: Path, liquidations: MakeMany, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liqtape.history.archive.retention._VACUUMED_AT_ONCE", 50)
    store = Store(tmp_path)
    store.write(liquidations(20_000))
    store.mark_hour(BEGIN_MS)
    store.close()
    before = (tmp_path / "log.sqlite").stat().st_size
    round_of(tmp_path, 0)
    assert (tmp_path / "log.sqlite").stat().st_size < before / 2
