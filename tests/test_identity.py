"""Identity: what is a repeat, copies of equal rows, the bound and what it forgets, the same in any process."""

import subprocess
import sys
import tracemalloc
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape import identity as module
from liqtape.events import RawLiquidation
from liqtape.identity import Identities, identity

_RAW = RawLiquidation("bybit", "BTCUSDT", "long", 80_000.0, "bankruptcy", 0.5, "base", 1_790_000_000_000)
_MINUTE = 60_000


def _raw(**changes: object) -> RawLiquidation:
    return msgspec.structs.replace(_RAW, **changes)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (_RAW, "BTCUSDT:1790000000000:long:3fe000000000000040f3880000000000"),
        (_raw(copy=3), "BTCUSDT:1790000000000:long:3fe000000000000040f3880000000000#3"),
        (_raw(native_id="1031003079291799"), "BTCUSDT:1790000000000:1031003079291799"),
        (_raw(symbol="牛来USDT", price=1e-07), "牛来USDT:1790000000000:long:3fe00000000000003e7ad7f29abcaf48"),
    ],
    ids=["row", "copy", "the venue's own", "not ascii"],
)
def test_the_text_of_an_identity(raw: RawLiquidation, text: str) -> None:
    assert identity(raw) == text


@pytest.mark.parametrize(
    "change",
    [
        {"symbol": "ETHUSDT"},
        {"side": "short"},
        {"event_ms": 1_790_000_000_001},
        {"size": 0.6},
        {"price": 80_000.1},
        {"copy": 2},
        {"native_id": "1"},
    ],
    ids=str,
)
def test_each_of_its_fields_makes_another(change: dict[str, object]) -> None:
    assert identity(_raw(**change)) != identity(_RAW)


@pytest.mark.parametrize("change", [{"receive_ms": 5}, {"replayed": True}], ids=str)
def test_how_it_came_makes_no_other(change: dict[str, object]) -> None:
    assert identity(_raw(**change)) == identity(_RAW)


def test_the_same_in_any_process() -> None:
    script = (
        "from liqtape.events import RawLiquidation\nfrom liqtape.identity import identity\n"
        "print(identity(RawLiquidation("
        "'bybit', 'BTCUSDT', 'long', 80_000.0, 'bankruptcy', 0.5, 'base', 1_790_000_000_000)))"
    )
    for seed in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        )
        assert ran.stdout.strip() == identity(_RAW)


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=6), max_size=8))
def test_the_most_copies_in_one_frame_count(frames: list[list[str]]) -> None:
    seen = Identities()
    accepted: Counter[str] = Counter()
    for frame in frames:
        copies: Counter[str] = Counter()
        for kind in frame:
            copies[kind] += 1
            event = _raw(symbol=kind, copy=copies[kind])
            accepted[kind] += seen.is_new(identity(event), event.event_ms)

    for kind in "abc":
        assert accepted[kind] == max((frame.count(kind) for frame in frames), default=0)
    assert len(seen) == accepted.total()
    assert seen.forgotten_total == 0


def test_the_bound_holds_and_the_oldest_event_time_is_forgotten_first() -> None:
    seen = Identities(limit=10)
    order = [5, 3, 9, 1, 7, 0, 8, 2, 6, 4]  # minutes, in the order of arrival
    for minute in order:
        assert seen.is_new(f"k{minute}", minute * _MINUTE)
    assert (len(seen), seen.forgotten_total) == (10, 0)

    assert seen.is_new("k10", 10 * _MINUTE)

    assert (len(seen), seen.forgotten_total) == (10, 1)
    assert [seen.is_new(f"k{minute}", minute * _MINUTE) for minute in range(10, 0, -1)] == [False] * 10


def test_a_whole_minute_is_forgotten_at_once_and_counted() -> None:
    seen = Identities(limit=10)
    for i in range(6):
        seen.is_new(f"old{i}", 1_000 + i)
    for i in range(5):
        seen.is_new(f"new{i}", _MINUTE + i)

    assert (len(seen), seen.forgotten_total) == (5, 6)
    assert not seen.is_new("new4", _MINUTE + 4)
    assert seen.is_new("old0", 1_000)


def test_the_newest_minute_is_forgotten_too_where_it_is_the_only_one() -> None:
    seen = Identities(limit=2)
    for key in "abc":
        assert seen.is_new(key, 1_000)
    assert (len(seen), seen.forgotten_total) == (0, 3)

    assert seen.is_new("a", 1_000)
    assert not seen.is_new("a", 1_000)


def test_the_same_key_of_another_time_is_another() -> None:
    seen = Identities()

    assert seen.is_new("a", 0)
    assert seen.is_new("a", _MINUTE)
    assert not seen.is_new("a", 0)
    assert not seen.is_new("a", _MINUTE)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(-3, 12)), max_size=200), st.integers(1, 20))
def test_never_more_than_the_limit_and_nothing_lost_uncounted(keys: list[tuple[int, int]], limit: int) -> None:
    seen = Identities(limit)
    new = 0
    for key, minute in keys:
        new += seen.is_new(str(key), minute * _MINUTE)
        assert len(seen) <= limit
        assert len(seen) + seen.forgotten_total == new


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 6)), max_size=200))
def test_in_any_order_the_same_as_a_set(keys: list[tuple[int, int]]) -> None:
    seen = Identities()
    kept: set[tuple[int, int]] = set()

    for key in keys:
        assert seen.is_new(str(key[0]), key[1]) == (key not in kept)
        kept.add(key)

    assert len(seen) == len(kept)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 300)), max_size=200), st.integers(1, 20))
def test_full_it_is_a_set_without_its_oldest_minutes(keys: list[tuple[int, int]], limit: int) -> None:
    seen = Identities(limit)
    kept: set[tuple[int, int]] = set()

    for key, second in keys:
        assert seen.is_new(str(key), 1_000 * second) == ((key, second) not in kept)
        kept.add((key, second))
        if len(kept) > limit:
            oldest = min(second for _, second in kept) // 60
            kept = {known for known in kept if known[1] // 60 != oldest}
        assert len(seen) == len(kept)


def test_a_full_store_takes_at_most_forty_bytes_a_key() -> None:
    limit = 100_000
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        seen = Identities(limit)
        for i in range(limit):
            seen.is_new(f"k{i}", 3 * (i ^ 1))  # every other one is late
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(seen) == limit
    assert (after - before) / limit <= 40


@pytest.mark.parametrize(("near", "most", "few", "crowd"), [(0, 1_000, 0, 1_000), (1, 4, 2, 3), (3, 6, 1, 4)])
def test_where_many_are_newer_and_in_crowds_the_same_as_a_set(
    monkeypatch: pytest.MonkeyPatch, near: int, most: int, few: int, crowd: int
) -> None:
    for name, value in (("_NEAR", near), ("_MOST_PENDING", most), ("_FEW", few), ("_CROWD", crowd)):
        monkeypatch.setattr(module, name, value)

    @given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), max_size=150), st.integers(1, 60))
    def holds(keys: list[tuple[int, int]], limit: int) -> None:
        seen = Identities(limit)
        kept: set[tuple[int, int]] = set()
        for key, at in keys:
            event_ms = 30_000 * at
            assert seen.is_new(str(key), event_ms) == ((key, event_ms) not in kept)
            kept.add((key, event_ms))
            if len(kept) > limit:
                oldest = min(event_ms for _, event_ms in kept) // _MINUTE
                kept = {known for known in kept if known[1] // _MINUTE != oldest}
            assert len(seen) == len(kept)

    holds()


def test_late_keys_behind_and_between_crowds_are_known_again() -> None:
    seen = Identities()
    crowds = [(f"a{i}", at) for at in (5, 6) for i in range(20_000)]
    late = [(f"b{i}", 3 + i % 4) for i in range(6_000)]

    assert all(seen.is_new(*key) for key in [*crowds, ("z", 9), *late])

    assert not any(seen.is_new(*key) for key in [*late, ("z", 9), *crowds])
    assert len(seen) == 46_001
