"""One lane against plain lists: windows, USD, the moment of times, storage and what it costs."""

import sys
from array import array
from collections.abc import Iterator
from typing import Any, SupportsIndex, overload

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqtape.engine import lane as module
from liqtape.engine.lane import HEAD, MOMENT, OFFSETS_MS, RETAIN_MS, Lane

_T = 1_790_000_000_000
_LARGE = 9_000_000_000_000_000_000
"""9e12 USD in micro-USD: two of them are more than 64 bits hold."""

_TIMES = st.one_of(
    st.integers(0, 400_000),
    st.sampled_from([offset + d for offset in OFFSETS_MS for d in (-1, 0, 1)]),
    st.integers(0, 20).map(lambda ms: 200_000 + ms),  # ties
)
_MICROS = st.one_of(st.integers(0, 10**10), st.sampled_from([0, 1, _LARGE, 10**21]))
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), _TIMES, _MICROS),
        st.tuples(st.just("advance"), _TIMES | st.integers(0, 10**12), st.just(0)),
        st.tuples(st.just("trim"), _TIMES, st.just(0)),
    ),
    max_size=60,
)


def _inside(events: list[tuple[int, int]], k: int, now: int) -> list[int]:
    return [micro for at, micro in events if now - OFFSETS_MS[k] < at <= now]


def _agrees(lane: Lane, events: list[tuple[int, int]], now: int) -> None:
    lane.advance(now)
    for k in range(1, len(OFFSETS_MS)):
        inside = _inside(events, k, now)
        assert (lane.count(k), lane.micro(k)) == (len(inside), sum(inside))
        assert sorted(lane.values(k)) == sorted(inside)
    assert lane.moment == sum(at for at, _ in events if now - OFFSETS_MS[MOMENT] < at <= now)


def _is_compact(lane: Lane) -> bool:
    return isinstance(lane.micro_sums, array)


def _bytes(lane: Lane) -> int:
    return sys.getsizeof(lane.times) + sys.getsizeof(lane.micro_sums)


@given(_STEPS, _TIMES)
@settings(max_examples=400)
def test_equals_lists_after_any_steps(steps: list[tuple[str, int, int]], last: int) -> None:
    lane, events, forgotten = Lane(), list[tuple[int, int]](), 0
    for what, at, micro in [*steps, ("advance", last, 0)]:
        if what == "add" and at > forgotten:
            lane.add(_T + at, micro)
            events.append((_T + at, micro))
        elif what == "advance":
            # A window may only be asked for as far back as nothing was forgotten.
            _agrees(lane, events, _T + max(at, forgotten + OFFSETS_MS[4] if forgotten else 0))
        elif what == "trim":
            lane.trim(_T + at)
            forgotten = max(forgotten, at)
            events = [event for event in events if event[0] > _T + forgotten]
            assert len(lane) == len(events)
    assert list(lane.times) == sorted(at for at, _ in events)


def test_boundaries_are_half_open() -> None:
    lane = Lane()
    for at in (_T - 10_000, _T - 9_999, _T, _T + 1):
        lane.add(at, 1)

    lane.advance(_T)

    assert lane.count(1) == 2


def test_sums_are_exactly_zero_once_the_events_left() -> None:
    lane = Lane()
    for micro in (_LARGE, 1, 3, 10**21):
        lane.add(_T, micro)

    lane.advance(_T + 10_000)

    assert lane.micro(1) == 0
    assert lane.micro(2) == _LARGE + 4 + 10**21


def test_beyond_64_bits_the_sums_are_unbounded_and_compact_again_after_a_trim() -> None:
    lane = Lane()
    for i in range(5):
        lane.add(_T + i, _LARGE)
    lane.advance(_T + 10)
    assert not _is_compact(lane)
    assert lane.micro(1) == 5 * _LARGE
    lane.add(_T + 2, 7)  # late, into a list
    lane.add(_T + 400_000, 11)
    lane.advance(_T + 400_000)
    assert lane.micro(4) == 11

    lane.trim(_T + 98_000)

    assert _is_compact(lane)
    assert lane.micro(4) == 11


def test_a_trim_forgets_up_to_its_horizon_and_not_the_millisecond_after() -> None:
    lane = Lane()
    for ms in (-1, 0, 1):
        lane.add(_T + ms, 10)

    lane.trim(_T)

    assert list(lane.times) == [_T + 1]


def test_large_sums_that_left_do_not_cost_the_compact_storage() -> None:
    lane = Lane()
    for i in range(20):
        lane.trim(_T + 400_000 * i - RETAIN_MS)
        lane.add(_T + 400_000 * i, _LARGE)
        lane.advance(_T + 400_000 * i)
        assert _is_compact(lane)
        assert lane.micro(4) == _LARGE


def test_a_late_event_may_be_the_one_that_overflows() -> None:
    lane = Lane()
    for i in range(3):
        lane.add(_T + 10 * i, 10)
    lane.advance(_T + 20)

    lane.add(_T + 5, 10**21)

    lane.advance(_T + 20)
    assert lane.values(1) == [10, 10**21, 10, 10]
    assert lane.at[HEAD] == 4


def test_a_hundred_thousand_in_one_millisecond_and_a_late_event_before_and_amid_them() -> None:
    lane = Lane()
    n = 100_000
    lane.add(_T - 5, 3)
    for _ in range(n):
        lane.add(_T, 2)
    lane.advance(_T)
    lane.add(_T - 1, 5)
    lane.add(_T, 7)
    lane.advance(_T)

    assert (lane.count(1), lane.micro(1)) == (n + 3, 2 * n + 15)
    assert lane.moment == (n + 1) * _T + 2 * _T - 6
    lane.advance(_T - 1)
    assert (lane.count(1), lane.micro(1)) == (2, 8)
    lane.advance(_T + 10_000)
    assert (lane.count(1), lane.micro(1), lane.count(2)) == (0, 0, n + 3)
    lane.advance(_T + 300_000)
    assert (lane.count(4), lane.micro(4), lane.moment) == (0, 0, 0)


def test_memory_returns_after_a_burst() -> None:
    lane = Lane()
    for _ in range(100_000):
        lane.add(_T, 1)
    full = _bytes(lane)
    lane.advance(_T + RETAIN_MS)
    assert lane.is_mostly_dead()

    lane.trim(_T)

    assert full > 1_600_000
    assert _bytes(lane) < 1_000


@pytest.mark.parametrize("live", [1_000, 30_000])
def test_an_event_takes_less_than_18_bytes(live: int) -> None:
    lane, step = Lane(), RETAIN_MS // live
    worst = 0.0
    for i in range(3 * live):
        lane.add(_T + i * step, 1)
        if len(lane) >= lane.trim_at:
            lane.trim(_T + i * step - RETAIN_MS)
        if i > live:
            worst = max(worst, (_bytes(lane) - 16 * module._SLACK) / live)

    assert worst <= 18.0


class CountingArray(array):  # type: ignore[type-arg]  # generic only to type checkers
    """An array that counts what is read of it, one by one and in slices."""

    single = 0
    sliced = 0

    @overload
    def __getitem__(self, index: SupportsIndex) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> "CountingArray": ...
    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        value = super().__getitem__(index)
        if not isinstance(index, slice):
            CountingArray.single += 1
            return value
        CountingArray.sliced += len(value)
        return CountingArray("q", value)

    def __iter__(self) -> Iterator[Any]:
        CountingArray.single += len(self)
        return super().__iter__()


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> type[CountingArray]:
    monkeypatch.setattr(module, "array", CountingArray)
    monkeypatch.setattr(CountingArray, "single", 0)
    monkeypatch.setattr(CountingArray, "sliced", 0)
    return CountingArray


@pytest.mark.parametrize("live", [300, 3_000, 30_000])
def test_an_event_in_order_touches_as_many_elements_whatever_the_window_holds(
    counting: type[CountingArray], live: int
) -> None:
    lane, step, adds = Lane(), 300_000 / live, 5_000
    for i in range(live):
        lane.add(_T + int(i * step), 1)
    lane.advance(_T + 300_000)
    lane.trim(_T + 300_000 - RETAIN_MS)
    counting.single = counting.sliced = 0
    worst = 0
    for i in range(live, live + adds):
        now, before = _T + int(i * step), counting.single
        lane.add(now, 1)
        if len(lane) >= lane.trim_at:
            lane.trim(now - RETAIN_MS)
        lane.advance(now)
        lane.micro(4)
        worst = max(worst, counting.single - before)

    # Six cursors look at two elements each before and after they move; a bisection (of a trim) adds its logarithm.
    assert worst <= 40
    # Trims copy the two arrays once per 1/32 of the lane, and the moment sums what entered and left H.
    assert counting.sliced / adds <= 2 * 32 + 8


def test_a_jump_of_the_evaluation_time_costs_a_logarithm_and_what_enters_and_leaves_the_moment(
    counting: type[CountingArray],
) -> None:
    lane = Lane()
    for i in range(30_000):
        lane.add(_T + 10 * i, 1)
    lane.advance(_T + 300_000)
    for now in (_T + 298_000, _T + 300_000):
        counting.single = counting.sliced = 0

        lane.advance(now)

        assert counting.single - counting.sliced <= len(OFFSETS_MS) * 20
        assert counting.sliced <= 2_000  # those of 20 s: going back, the moment is summed anew


def test_a_late_event_costs_what_is_newer_and_no_more(counting: type[CountingArray]) -> None:
    lane = Lane()
    for i in range(30_000):
        lane.add(_T + 10 * i, 1)
    lane.advance(_T + 300_000)
    counting.single = counting.sliced = 0

    lane.add(_T + 10 * 29_900 - 5, 1)

    assert counting.single - counting.sliced <= 40  # what is in the slices is read once more
    assert counting.sliced <= 101
