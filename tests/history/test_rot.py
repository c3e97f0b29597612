"""Bits that flip, files that go: named, left out, their time not observed; never a traceback, nor other numbers."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

import liqtape.history
from liqtape.events import Liquidation
from liqtape.history.archive.archiver import CLOSED_AFTER_MS, Archiver
from liqtape.history.archive.verify import verify
from liqtape.history.log.follow import Follower
from liqtape.history.log.journal import AliveEntry, FeedDownEntry, FeedUpEntry, PriceBarEntry
from liqtape.history.log.layout import DATABASE
from liqtape.history.log.logreader import LogReader
from liqtape.history.log.store import Store

HOUR_MS = 3_600_000
BEGIN_MS = 1_790_000_000_000 // HOUR_MS * HOUR_MS
UNTIL_MS = BEGIN_MS + 2 * HOUR_MS
VENUES = ("bybit", "okx")

Make = Callable[..., Liquidation]


@pytest.fixture(name="sealed")
def _sealed(tmp_path: Path, liquidation: Make) -> Path:
    """A history of two venues: an hour in files, and some events behind it."""
    events = [
        liquidation(serial, venue=VENUES[serial % 2], event_ms=BEGIN_MS + 1_000 * serial + 500) for serial in range(400)
    ]
    store = Store(tmp_path)
    ups = [FeedUpEntry(venue, BEGIN_MS) for venue in VENUES]
    store.write(events, [*ups, PriceBarEntry(BEGIN_MS + 1_000, 2.0, 3.0, 1.0, 2.0, None, 1, "bybit")])
    store.mark_hour(BEGIN_MS)
    later = liquidation(400, event_ms=BEGIN_MS + HOUR_MS + 5)
    downs = [FeedDownEntry(venue, UNTIL_MS) for venue in VENUES]
    store.write([later], [*downs, AliveEntry(UNTIL_MS)])
    store.close()
    archiver = Archiver(tmp_path)
    archiver.seal(BEGIN_MS + HOUR_MS + CLOSED_AFTER_MS)
    archiver.close()
    return tmp_path


def file_of(directory: Path, venue: str) -> Path:
    (found,) = directory.glob(f"events/*/venue={venue}/*.parquet")
    return found


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


@pytest.mark.parametrize("seed", range(12))
def test_one_flipped_bit_takes_a_file_out_and_its_time(
    sealed: Path, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    with liqtape.history.open(sealed) as past:
        before = past.events(BEGIN_MS, UNTIL_MS)
    path = file_of(sealed, "okx")
    flip(path, random.Random(seed).randrange(8 * path.stat().st_size))

    with liqtape.history.open(sealed) as past:
        after = past.events(BEGIN_MS, UNTIL_MS)
        gaps = past.gaps(BEGIN_MS, UNTIL_MS).to_pylist()
        spells = past.coverage(BEGIN_MS, UNTIL_MS).to_pylist()
        counted = past.summary(BEGIN_MS, UNTIL_MS, by="venue", seconds=60).to_pylist()

    assert after.to_pylist() == [row for row in before.to_pylist() if row["venue"] == "bybit"]
    first_ms, last_ms = BEGIN_MS + 1_500, BEGIN_MS + 399_500
    name = str(path.relative_to(sealed))
    assert gaps == [
        {
            "venue": "okx",
            "from_ms": first_ms - 1,
            "until_ms": last_ms,
            "reason": f"damaged file {name}",
            "filled": False,
        }
    ]
    assert spells == [
        {"venue": "bybit", "up_ms": BEGIN_MS, "down_ms": UNTIL_MS},
        {"venue": "okx", "up_ms": BEGIN_MS, "down_ms": first_ms - 1},
        {"venue": "okx", "up_ms": last_ms, "down_ms": UNTIL_MS},
    ]
    assert {row["venue"] for row in counted} == {"bybit"}
    assert caplog.text.count(f"{path} is damaged") == 1
    assert verify(sealed).damaged == [name]


def test_a_file_that_is_gone_is_named_and_its_time_is_not_observed(sealed: Path) -> None:
    path = file_of(sealed, "bybit")
    path.unlink()

    with liqtape.history.open(sealed) as past:
        assert past.events(BEGIN_MS, UNTIL_MS)["venue"].to_pylist() == ["okx"] * 200 + ["bybit"]
        (gap,) = past.gaps(BEGIN_MS, UNTIL_MS).to_pylist()
    assert gap["reason"] == f"damaged file {path.relative_to(sealed)}"


def test_who_follows_the_log_goes_on_behind_a_damaged_file(sealed: Path) -> None:
    flip(file_of(sealed, "okx"), 4_321)
    follower = Follower(sealed)

    found = follower.after(0, 1_000)

    assert {event.venue for _, event in found} == {"bybit"}
    assert [seq for seq, _ in follower.after(400, 1_000)] == [401]
    follower.close()


def test_damaged_prices_are_left_out(sealed: Path) -> None:
    reader = LogReader(sealed)
    assert len(reader.prices(0, 10)) == 1
    (path,) = sealed.glob("prices/*/*.parquet")
    flip(path, 99)

    again = LogReader(sealed)
    assert again.prices(0, 10) == []
    with liqtape.history.open(sealed) as past:
        assert past.prices(BEGIN_MS, UNTIL_MS).num_rows == 0
    assert verify(sealed).damaged == [str(path.relative_to(sealed))]
    for one in (reader, again):
        one.close()


def test_a_whole_history_is_found_sound(sealed: Path) -> None:
    verdict = verify(sealed)

    assert verdict.is_sound
    assert verdict.files == 3


def test_a_damaged_database_is_said(sealed: Path) -> None:
    (sealed / DATABASE).write_bytes(b"SQLite format 3\0" + b"\xff" * 8_000)

    assert verify(sealed).database.startswith(DATABASE)
