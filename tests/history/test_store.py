"""The log as its writer sees it: what is written is read again, once, to the last digit."""

import math
import sqlite3
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from liqtape.errors import ConfigurationError
from liqtape.events import NO_LIST, Gap, Liquidation
from liqtape.history.log.database import open_for_reading
from liqtape.history.log.journal import (
    AliveEntry,
    FeedDownEntry,
    FeedMissedEntry,
    FeedUpEntry,
    GapEntry,
    JournalEntry,
    KnownUntilEntry,
    LogGapEntry,
    PriceBarEntry,
    StateEntry,
)
from liqtape.history.log.layout import DATABASE, EVENT_COLUMNS, VERSION
from liqtape.history.log.recall import SELECTED, liquidation_of_row
from liqtape.history.log.store import Store, WriteResult

Make = Callable[..., Liquidation]
MakeMany = Callable[..., list[Liquidation]]


def stored(directory: Path) -> list[Liquidation]:
    connection = open_for_reading(directory)
    rows = connection.execute(f"SELECT {SELECTED} FROM unsealed_events ORDER BY seq").fetchall()
    connection.close()
    return [liquidation_of_row(row) for row in rows]


def table(directory: Path, name: str) -> list[tuple[object, ...]]:
    connection = open_for_reading(directory)
    rows = connection.execute(f"SELECT * FROM {name}").fetchall()
    connection.close()
    return rows


def test_columns_are_the_fields_of_an_event() -> None:
    assert ("schema", *Liquidation.__struct_fields__) == EVENT_COLUMNS


@pytest.mark.parametrize("count", [0, 1, 2, 3, 1023, 2047, 2048, 4097])
def test_events_come_back_in_order_whatever_the_size_of_the_batch(
    count: int, tmp_path: Path, liquidations: MakeMany
) -> None:
    store = Store(tmp_path)
    assert store.write(liquidations(count)) == WriteResult(count, 0, 0)
    store.close()
    assert stored(tmp_path) == liquidations(count)
    assert [row[0] for row in table(tmp_path, "events")] == list(range(1, count + 1))


def test_an_event_is_logged_once(tmp_path: Path, liquidation: Make) -> None:
    store = Store(tmp_path)
    event = liquidation(1)
    other_time, other_venue = replace(event, event_ms=event.event_ms + 1), replace(event, venue="okx")
    assert store.write([event, event, other_time]) == WriteResult(2, 1, 0)
    assert store.write([event, other_venue]) == WriteResult(1, 1, 0)
    store.close()
    assert stored(tmp_path) == [event, other_time, other_venue]


def test_events_without_identity_are_logged_each(tmp_path: Path, liquidation: Make) -> None:
    store = Store(tmp_path)
    event = liquidation(1, identity="")
    assert store.write([event, event]) == WriteResult(2, 0, 0)
    assert store.write([event]) == WriteResult(1, 0, 0)
    store.close()


def test_what_is_no_row_costs_nothing_but_itself(tmp_path: Path, liquidation: Make) -> None:
    store = Store(tmp_path)
    good, beyond, lone = liquidation(1), liquidation(2, event_ms=1 << 63), replace(liquidation(3), symbol="\ud800")
    state = StateEntry(1, "bybit", "live", "\ud800")
    assert store.write([good, beyond, lone, good], [state, AliveEntry(7)]) == WriteResult(1, 1, 2)
    store.close()
    assert stored(tmp_path) == [good]
    assert ("alive_ms", 7) in table(tmp_path, "meta")


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
reals = st.floats(allow_nan=False)


@given(
    st.lists(
        st.builds(
            Liquidation,
            texts,
            texts,
            texts,
            st.sampled_from(["long", "short", None]),
            reals,
            st.sampled_from(["fill", "bankruptcy"]),
            st.none() | reals,
            st.none() | reals,
            st.integers(-(1 << 63), (1 << 63) - 1),
            st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
            texts,
        ),
        max_size=9,
    )
)
def test_any_event_comes_back_to_the_last_digit(
    tmp_path_factory: pytest.TempPathFactory, events: list[Liquidation]
) -> None:
    directory = tmp_path_factory.mktemp("any")
    store = Store(directory)
    written = store.write(events)
    store.close()
    seen: set[tuple[str, int, str]] = set()
    expected = []
    for event in events:
        key = (event.venue, event.event_ms, event.id)
        if not event.id or key not in seen:
            expected.append(event)
        seen.add(key)
    assert stored(directory) == expected
    assert written == WriteResult(len(expected), len(events) - len(expected), 0)


def test_a_price_that_is_no_number_stays_none(tmp_path: Path, liquidation: Make) -> None:
    store = Store(tmp_path)
    store.write([replace(liquidation(1), price=math.nan)])
    store.close()
    assert math.isnan(stored(tmp_path)[0].price)


def test_records_are_kept_and_a_gap_is_as_last_known(tmp_path: Path) -> None:
    gap = Gap("okx", 100, None, "reset")
    first = PriceBarEntry(1_000, 5.0, 7.0, 4.0, 6.0, 2.0, 3, "bybit")
    late = PriceBarEntry(1_000, 8.0, 9.0, 6.5, 8.5, 1.0, 2, "bybit")
    store = Store(tmp_path)
    store.write([], [GapEntry(gap.venue, gap.from_ms, None, gap.reason), first, StateEntry(5, "okx", "stalled", "why")])
    store.write([], [GapEntry("okx", 100, 900, "reset", backfilled=True), late, LogGapEntry(1, 2, "full", 3)])
    store.close()
    assert table(tmp_path, "gaps") == [("okx", 100, 900, "reset", 1)]
    assert table(tmp_path, "prices") == [(1_000, 5.0, 9.0, 4.0, 8.5, 3.0, 5, "bybit")]
    assert table(tmp_path, "health") == [(5, "okx", "stalled", "why")]
    assert table(tmp_path, "log_gaps") == [(1, 2, "full", 3)]


def test_a_missing_list_of_instruments_ends_with_its_run_and_is_not_taken_for_the_outage(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.begin_run(0)
    store.write([], [FeedUpEntry("bybit", 100), GapEntry("bybit", 101, None, NO_LIST, False)])
    store.write([], [FeedDownEntry("bybit", 500), FeedUpEntry("bybit", 600), AliveEntry(1_000)])
    store.close()

    store = Store(tmp_path)
    assert [(gap.from_ms, gap.reason) for gap in store.begin_run(5_000).gaps] == [(1_000, "not running")]
    store.close()
    assert table(tmp_path, "gaps") == [
        ("bybit", 101, 1_000, NO_LIST, 0),
        ("bybit", 1_000, None, "not running", 0),
    ]


def test_a_run_that_ended_leaves_its_coverage_and_a_gap_until_the_next_feed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.begin_run(0)
    store.write(
        [], [FeedUpEntry("okx", 100), FeedUpEntry("bybit", 200), FeedDownEntry("bybit", 300), AliveEntry(1_000)]
    )
    store.close()  # as a crash leaves it

    store = Store(tmp_path)
    recalled = store.begin_run(5_000)
    assert recalled.feeds == [("okx", 100, 1_000), ("bybit", 200, 300)]
    assert recalled.alive_ms == 1_000
    assert table(tmp_path, "gaps") == [("bybit", 300, None, "not running", 0), ("okx", 1_000, None, "not running", 0)]
    store.write([], [FeedUpEntry("okx", 6_000)])
    store.close()
    assert table(tmp_path, "gaps") == [("bybit", 300, None, "not running", 0), ("okx", 1_000, 6_000, "not running", 0)]
    assert table(tmp_path, "coverage") == [("bybit", 200, 300), ("okx", 100, 1_000), ("okx", 6_000, None)]


def test_what_the_last_run_saw_at_its_end_is_recalled_however_far_ahead_our_clock_is(
    tmp_path: Path, liquidation: Make
) -> None:
    last, hour_ms = liquidation(0), 3_600_000
    store = Store(tmp_path)
    store.begin_run(0)
    store.write([last], [FeedUpEntry("okx", last.event_ms - 1), AliveEntry(last.event_ms + 1)])
    store.close()

    store = Store(tmp_path)
    assert store.begin_run(last.event_ms + hour_ms).events == [last]
    store.close()


@pytest.mark.parametrize("off_ms", [-3_600_000, 0, 3_600_000])
def test_a_run_that_could_not_open_the_log_at_its_start_ends_the_gap_before_it_where_its_own_begins(
    tmp_path: Path, off_ms: int
) -> None:
    """Seen in virtual time: a start on a full disk, our clock right or wrong. Two gaps lay over each other."""
    store = Store(tmp_path)
    store.begin_run(0)
    store.write([], [FeedUpEntry("okx", 100), AliveEntry(1_000)])
    store.close()

    own_ms = 5_000 + off_ms
    store = Store(tmp_path)
    store.begin_run(9_000)  # when there was space again
    store.write([], [GapEntry("okx", own_ms, None, "not live yet")])
    assert table(tmp_path, "gaps") == [("okx", 1_000, None, "not running", 0)]
    empty = [GapEntry("okx", own_ms, own_ms, "not live yet")] if off_ms else []
    store.write([], [*empty, GapEntry("okx", 5_000, 6_000, "not live yet"), FeedUpEntry("okx", 6_000)])
    store.close()
    assert [gap for gap in table(tmp_path, "gaps") if gap[1] != gap[2]] == [
        ("okx", 1_000, 5_000, "not running", 0),
        ("okx", 5_000, 6_000, "not live yet", 0),
    ]


def test_after_a_kill_a_gap_begins_where_what_the_venue_sent_was_known_up_to(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.begin_run(0)
    store.write(
        [],
        [
            FeedUpEntry("okx", 100),
            FeedUpEntry("bybit", 950),
            KnownUntilEntry("okx", 700),
            KnownUntilEntry("bybit", 800),
            AliveEntry(1_000),
        ],
    )
    store.close()

    store = Store(tmp_path)
    assert store.begin_run(5_000).feeds == [("okx", 100, 700), ("bybit", 950, 950)]
    store.close()
    assert table(tmp_path, "gaps") == [("bybit", 950, None, "not running", 0), ("okx", 700, None, "not running", 0)]


def test_what_turns_out_to_be_missed_leaves_later_holes_as_they_are(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.begin_run(0)
    store.write(
        [], [FeedUpEntry("okx", 0), FeedDownEntry("okx", 700), FeedUpEntry("okx", 800), FeedUpEntry("bybit", 5)]
    )
    store.write(
        [], [FeedMissedEntry("okx", 500, 600), FeedMissedEntry("okx", 650, 750), FeedMissedEntry("okx", 900, 950)]
    )
    store.close()
    assert table(tmp_path, "coverage") == [
        ("bybit", 5, None),
        ("okx", 0, 500),
        ("okx", 600, 650),
        ("okx", 800, 900),
        ("okx", 950, None),
    ]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["up", "down"]), st.integers(1, 8)),
            st.tuples(st.just("missed"), st.integers(0, 60), st.integers(0, 30)),
        ),
        max_size=20,
    )
)
def test_coverage_is_what_was_told_less_what_turned_out_to_be_missed(steps: list[tuple[Any, ...]]) -> None:
    with TemporaryDirectory() as folder:
        store = Store(Path(folder))
        at, is_up, live = 0, False, set[int]()
        records: list[JournalEntry] = []
        for kind, *args in steps:
            if kind == "missed":
                from_ms, until_ms = max(0, at - args[0]), min(at, max(0, at - args[0]) + args[1])
                live -= set(range(from_ms, until_ms))
                records.append(FeedMissedEntry("okx", from_ms, until_ms))
                continue
            if is_up:
                live |= set(range(at, at + args[0]))
            at += args[0]
            if (kind == "up") is not is_up:
                is_up = not is_up
                records.append(FeedUpEntry("okx", at) if is_up else FeedDownEntry("okx", at))
        store.write([], records)
        store.close()
        rows = table(Path(folder), "coverage")
    spells: list[tuple[Any, Any]] = [(up, at if down is None else down) for _, up, down in rows]
    covered = {ms for up, down in spells for ms in range(up, down)}
    assert covered == live


def test_a_filled_gap_is_as_good_as_live_after_a_restart_too(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.begin_run(0)
    store.write(
        [],
        [
            FeedUpEntry("okx", 100),
            FeedDownEntry("okx", 500),
            GapEntry("okx", 500, None, "reset"),
            FeedUpEntry("okx", 900),
        ],
    )
    store.write([], [GapEntry("okx", 500, 900, "reset"), FeedDownEntry("okx", 900), FeedUpEntry("okx", 990)])
    store.write(
        [], [GapEntry("okx", 500, 900, "reset", backfilled=True), GapEntry("okx", 900, 990, "cut", backfilled=True)]
    )
    store.write([], [KnownUntilEntry("okx", 2_000), AliveEntry(2_000)])
    store.close()
    assert table(tmp_path, "coverage") == [("okx", 100, 500), ("okx", 500, 900), ("okx", 900, 990), ("okx", 990, None)]

    store = Store(tmp_path)
    feeds = store.begin_run(3_000).feeds
    store.close()
    assert [(up, down) for _, up, down in feeds] == [(100, 500), (500, 900), (900, 990), (990, 2_000)]


def test_a_file_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    foreign = b"no database" * 500
    (tmp_path / DATABASE).write_bytes(foreign)
    with pytest.raises(ConfigurationError, match="no database"):
        Store(tmp_path)
    assert (tmp_path / DATABASE).read_bytes() == foreign


def test_a_newer_log_is_refused_by_writer_and_reader(tmp_path: Path) -> None:
    Store(tmp_path).close()
    connection = sqlite3.connect(tmp_path / DATABASE)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(ConfigurationError, match="newer"):
        Store(tmp_path)
    with pytest.raises(ConfigurationError, match="newer"):
        open_for_reading(tmp_path)


def test_a_wall_clock_that_is_set_back_an_hour_hides_no_event_from_the_next_run(
    tmp_path: Path, liquidation: Make
) -> None:
    """Seen in chaos: at twenty to the hour the clock went back by one, and after a kill the windows were empty."""
    hour_ms, minute_ms = 3_600_000, 60_000
    noon_ms = 1_790_000_000_000 // hour_ms * hour_ms
    at_ms = noon_ms + 40 * minute_ms
    before, after = (replace(liquidation(i), event_ms=at_ms + i, receive_ms=at_ms + i) for i in (1, 2))
    store = Store(tmp_path)
    store.mark_hour(noon_ms - hour_ms)
    store.write([before])
    store.mark_hour(noon_ms - 2 * hour_ms)  # it is twenty to noon now
    store.write([after])
    assert table(tmp_path, "hours") == [(noon_ms - 2 * hour_ms, 0), (noon_ms - hour_ms, 0)]
    store.close()

    store = Store(tmp_path)
    assert store.begin_run(at_ms + minute_ms).events == [before, after]
    store.mark_hour(noon_ms)
    assert table(tmp_path, "hours")[-1] == (noon_ms, 2)
    store.close()


def test_a_removed_file_is_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.is_there()
    (tmp_path / DATABASE).unlink()
    assert not store.is_there()
    (tmp_path / DATABASE).touch()
    assert not store.is_there()
    store.close()


def test_sync_brings_what_was_committed_to_the_disk(
    tmp_path: Path, liquidation: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr("os.fsync", lambda file: synced.append(Path(f"/proc/self/fd/{file}").readlink().name))
    store = Store(tmp_path)
    store.write([liquidation(1)])
    store.sync()
    assert synced == [f"{DATABASE}-wal"]
    (tmp_path / f"{DATABASE}-wal").unlink()
    store.sync()
    store.close()
