"""What a start learns from its history: every final slot once, and never silence where nobody read."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from liqtape.engine import VelocityEngine
from liqtape.events import Liquidation
from liqtape.history.archive.archiver import CLOSED_AFTER_MS, Archiver
from liqtape.history.log.baselineseed import read_baseline_seed
from liqtape.history.log.journal import FeedDownEntry, FeedUpEntry, GapEntry
from liqtape.history.log.store import Store

MakeMany = Callable[..., list[Liquidation]]

HOUR_MS = 3_600_000
FIRST_MS = 1_790_000_000_000 // HOUR_MS * HOUR_MS
NOW_MS = FIRST_MS + 6 * HOUR_MS
UNTIL_MS = NOW_MS - 300_000
_AWAY = (FIRST_MS + HOUR_MS + 1_234, FIRST_MS + HOUR_MS + 500_000)


@pytest.fixture
def events(tmp_path: Path, liquidations: MakeMany) -> list[Liquidation]:
    """Six hours of two venues, the first four of them in files."""
    made = [
        replace(event, venue=("bybit", "okx")[serial % 2], event_ms=FIRST_MS + serial * 7_200)
        for serial, event in enumerate(liquidations(3_000))
    ]
    store = Store(tmp_path)
    for venue in ("bybit", "okx"):
        store.write([], [FeedUpEntry(venue, FIRST_MS - 1_000), FeedDownEntry(venue, NOW_MS)])
    store.write(
        [],
        [
            FeedDownEntry("okx", _AWAY[0]),
            GapEntry("okx", *_AWAY, "lost", backfilled=True),
            FeedUpEntry("okx", _AWAY[1]),
        ],
    )
    store.write([], [FeedDownEntry("okx", NOW_MS)])
    for hour in range(6):
        from_ms = FIRST_MS + hour * HOUR_MS
        store.write([event for event in made if from_ms <= event.event_ms < from_ms + HOUR_MS])
        store.mark_hour(from_ms)
    store.close()
    archiver = Archiver(tmp_path)
    archiver.seal(FIRST_MS + 4 * HOUR_MS + CLOSED_AFTER_MS)
    archiver.close()
    return made


def _counted(events: list[Liquidation], from_ms: int) -> list[tuple[int, str, str, int]]:
    counts = Counter(
        (event.event_ms // 10_000 * 10_000, event.venue, event.instrument)
        for event in events
        if from_ms <= event.event_ms < UNTIL_MS
    )
    return sorted((*key, count) for key, count in counts.items())


def test_each_settled_slot_is_counted_once_from_both_places(tmp_path: Path, events: list[Liquidation]) -> None:
    seed = read_baseline_seed(tmp_path, NOW_MS, seconds=60)

    assert seed.counts == _counted(events, seed.from_ms)
    assert len(seed.counts) > 2_000
    assert seed.backfilled == [("okx", *_AWAY)]
    assert seed.until_ms == UNTIL_MS
    assert seed.hours == pytest.approx(6 - 1 / 12, abs=0.001)


def test_what_is_too_much_begins_later_and_has_no_silence_before(tmp_path: Path, events: list[Liquidation]) -> None:
    seed = read_baseline_seed(tmp_path, NOW_MS, most_counts=1_200, seconds=60)
    few = read_baseline_seed(tmp_path, NOW_MS, most_counts=100)

    for found in (seed, few):
        assert FIRST_MS < found.from_ms < UNTIL_MS
        assert found.from_ms % 300_000 == 0
        assert found.counts == _counted(events, found.from_ms)
        assert min(up_ms for _, up_ms, _ in found.feeds) == found.from_ms
        assert found.hours == pytest.approx((UNTIL_MS - found.from_ms) / HOUR_MS)
    assert seed.from_ms < few.from_ms


def test_a_file_that_is_not_there_ends_what_is_known(tmp_path: Path, events: list[Liquidation]) -> None:
    """The newest that is missing counts: before it nobody can say what was silence."""
    files = sorted((tmp_path / "events").rglob("venue=okx/*.parquet"))
    files[-1].unlink()
    seed = read_baseline_seed(tmp_path, NOW_MS, seconds=60)

    assert seed.from_ms >= FIRST_MS + 3 * HOUR_MS - 300_000
    assert seed.counts == _counted(events, seed.from_ms)


@pytest.mark.parametrize("seed", range(4))
def test_a_file_with_a_flipped_bit_ends_what_is_known(tmp_path: Path, events: list[Liquidation], seed: int) -> None:
    path = sorted((tmp_path / "events").rglob("venue=okx/*.parquet"))[1]
    content, dice = bytearray(path.read_bytes()), random.Random(seed)
    content[dice.randrange(len(content) // 2)] ^= 1 << dice.randrange(8)
    path.write_bytes(content)

    found = read_baseline_seed(tmp_path, NOW_MS, seconds=60)

    assert FIRST_MS + 2 * HOUR_MS - 60_000 < found.from_ms < UNTIL_MS
    assert sorted(found.counts) == _counted(events, found.from_ms)


def test_without_a_word_of_feeds_nothing_is_learned(tmp_path: Path, liquidations: MakeMany) -> None:
    """Imported events: whether the rest of the time was silent is not known."""
    store = Store(tmp_path)
    store.write([replace(event, event_ms=FIRST_MS + 10_000 * i) for i, event in enumerate(liquidations(500))])
    store.close()
    seed = read_baseline_seed(tmp_path, NOW_MS)
    engine = VelocityEngine()
    engine.seed_baselines(seed.counts)
    row = engine.metrics("C1USDT", NOW_MS)

    assert (seed.hours, seed.feeds) == (0, [])
    assert row is not None
    assert row.surprise_mean == pytest.approx(1 / 60)
