"""One column against plain lists: windows, USD, the moment of times, storage and what it costs."""

import sys
from array import array
from collections.abc import Iterator
from typing import Any, SupportsIndex, overload

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqtape.engine.windows import eventcolumn as module
from liqtape.engine.windows.eventcolumn import HEAD, MOMENT, OFFSETS_MS, RETAIN_MS, EventColumn

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


def _agrees(column: EventColumn, events: list[tuple[int, int]], now: int) -> None:
    column.advance(now)
    for k in range(1, len(OFFSETS_MS)):
        inside = _inside(events, k, now)
        assert (column.count(k), column.micro(k)) == (len(inside), sum(inside))
        assert sorted(column.values(k)) == sorted(inside)
    assert column.moment == sum(at for at, _ in events if now - OFFSETS_MS[MOMENT] < at <= now)


def _is_compact(column: EventColumn) -> bool:
    return isinstance(column.micro_sums, array)


def _bytes(column: EventColumn) -> int:
    return sys.getsizeof(column.times) + sys.getsizeof(column.micro_sums)


@given(_STEPS, _TIMES)
@settings(max_examples=400)
def test_equals_lists_after_any_steps(steps: list[tuple[str, int, int]], last: int) -> None:
    column, events, forgotten = EventColumn(), list[tuple[int, int]](), 0
    for what, at, micro in [*steps, ("advance", last, 0)]:
        if what == "add" and at > forgotten:
            column.add(_T + at, micro)
            events.append((_T + at, micro))
        elif what == "advance":
            # A window may only be asked for as far back as nothing was forgotten.
            _agrees(column, events, _T + max(at, forgotten + OFFSETS_MS[4] if forgotten else 0))
        elif what == "trim":
            column.trim(_T + at)
            forgotten = max(forgotten, at)
            events = [event for event in events if event[0] > _T + forgotten]
            assert len(column) == len(events)
    assert list(column.times) == sorted(at for at, _ in events)


def test_boundaries_are_half_open() -> None:
    column = EventColumn()
    for at in (_T - 10_000, _T - 9_999, _T, _T + 1):
        column.add(at, 1)

    column.advance(_T)

    assert column.count(1) == 2


def test_sums_are_exactly_zero_once_the_events_left() -> None:
    column = EventColumn()
    for micro in (_LARGE, 1, 3, 10**21):
        column.add(_T, micro)

    column.advance(_T + 10_000)

    assert column.micro(1) == 0
    assert column.micro(2) == _LARGE + 4 + 10**21


def test_beyond_64_bits_the_sums_are_unbounded_and_compact_again_after_a_trim() -> None:
    column = EventColumn()
    for i in range(5):
        column.add(_T + i, _LARGE)
    column.advance(_T + 10)
    assert not _is_compact(column)
    assert column.micro(1) == 5 * _LARGE
    column.add(_T + 2, 7)  # late, into a list
    column.add(_T + 400_000, 11)
    column.advance(_T + 400_000)
    assert column.micro(4) == 11

    column.trim(_T + 98_000)

    assert _is_compact(column)
    assert column.micro(4) == 11


def test_a_trim_forgets_up_to_its_horizon_and_not_the_millisecond_after() -> None:
    column = EventColumn()
    for ms in (-1, 0, 1):
        column.add(_T + ms, 10)

    column.trim(_T)

    assert list(column.times) == [_T + 1]


def test_large_sums_that_left_do_not_cost_the_compact_storage() -> None:
    column = EventColumn()
    for i in range(20):
        column.trim(_T + 400_000 * i - RETAIN_MS)
        column.add(_T + 400_000 * i, _LARGE)
        column.advance(_T + 400_000 * i)
        assert _is_compact(column)
        assert column.micro(4) == _LARGE


def test_a_late_event_may_be_the_one_that_overflows() -> None:
    column = EventColumn()
    for i in range(3):
        column.add(_T + 10 * i, 10)
    column.advance(_T + 20)

    column.add(_T + 5, 10**21)

    column.advance(_T + 20)
    assert column.values(1) == [10, 10**21, 10, 10]
    assert column._cursors[HEAD] == 4


def test_a_hundred_thousand_in_one_millisecond_and_a_late_event_before_and_amid_them() -> None:
    column = EventColumn()
    n = 100_000
    column.add(_T - 5, 3)
    for _ in range(n):
        column.add(_T, 2)
    column.advance(_T)
    column.add(_T - 1, 5)
    column.add(_T, 7)
    column.advance(_T)

    assert (column.count(1), column.micro(1)) == (n + 3, 2 * n + 15)
    assert column.moment == (n + 1) * _T + 2 * _T - 6
    column.advance(_T - 1)
    assert (column.count(1), column.micro(1)) == (2, 8)
    column.advance(_T + 10_000)
    assert (column.count(1), column.micro(1), column.count(2)) == (0, 0, n + 3)
    column.advance(_T + 300_000)
    assert (column.count(4), column.micro(4), column.moment) == (0, 0, 0)


def test_memory_returns_after_a_burst() -> None:
    column = EventColumn()
    for _ in range(100_000):
        column.add(_T, 1)
    full = _bytes(column)
    column.advance(_T + RETAIN_MS)
    assert column.is_mostly_dead()

    column.trim(_T)

    assert full > 1_600_000
    assert _bytes(column) < 1_000


@pytest.mark.parametrize("live", [1_000, 30_000])
def test_an_event_takes_less_than_18_bytes(live: int) -> None:
    column, step = EventColumn(), RETAIN_MS // live
    worst = 0.0
    for i in range(3 * live):
        column.add(_T + i * step, 1)
        if len(column) >= column.trim_at:
            column.trim(_T + i * step - RETAIN_MS)
        if i > live:
            worst = max(worst, (_bytes(column) - 16 * module._SLACK) / live)

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
    column, step, adds = EventColumn(), 300_000 / live, 5_000
    for i in range(live):
        column.add(_T + int(i * step), 1)
    column.advance(_T + 300_000)
    column.trim(_T + 300_000 - RETAIN_MS)
    counting.single = counting.sliced = 0
    worst = 0
    for i in range(live, live + adds):
        now, before = _T + int(i * step), counting.single
        column.add(now, 1)
        if len(column) >= column.trim_at:
            column.trim(now - RETAIN_MS)
        column.advance(now)
        column.micro(4)
        worst = max(worst, counting.single - before)

    # Six cursors look at two elements each before and after they move; a bisection (of a trim) adds its logarithm.
    assert worst <= 40
    # Trims copy the two arrays once per 1/32 of the column, and the moment sums what entered and left H.
    assert counting.sliced / adds <= 2 * 32 + 8


def test_a_jump_of_the_evaluation_time_costs_a_logarithm_and_what_enters_and_leaves_the_moment(
    counting: type[CountingArray],
) -> None:
    column = EventColumn()
    for i in range(30_000):
        column.add(_T + 10 * i, 1)
    column.advance(_T + 300_000)
    for now in (_T + 298_000, _T + 300_000):
        counting.single = counting.sliced = 0

        column.advance(now)

        assert counting.single - counting.sliced <= len(OFFSETS_MS) * 20
        assert counting.sliced <= 2_000  # those of 20 s: going back, the moment is summed anew


def test_a_late_event_costs_what_is_newer_and_no_more_also_when_it_waited(counting: type[CountingArray]) -> None:
    column = EventColumn()
    for i in range(30_000):
        column.add(_T + 10 * i, 1)
    column.advance(_T + 300_000)
    counting.single = counting.sliced = 0

    column.add(_T + 10 * 29_900 - 5, 1)
    column.advance(_T + 300_000)

    assert counting.single - counting.sliced <= 40  # what is in the slices is read once more
    assert counting.sliced <= 210  # of times and of sums


@given(st.lists(st.tuples(st.integers(0, 400_000), st.integers(0, 1_000)), max_size=60), st.integers(0, 420_000))
def test_counts_without_moving_equal_a_recount(events: list[tuple[int, int]], now_ms: int) -> None:
    column = EventColumn()
    for event_ms, micro in events:
        column.add(event_ms, micro)

    def inside(width_ms: int) -> list[int]:
        return [micro for event_ms, micro in events if now_ms - width_ms < event_ms <= now_ms]

    of_60s = inside(60_000)
    expected = len(inside(10_000)), len(of_60s), len(inside(300_000)), sum(of_60s)
    assert column.counts_at(now_ms, is_behind=False) == expected
    column.advance(now_ms)
    assert column.counts_at(now_ms, is_behind=True) == expected
    times = sorted(event_ms for event_ms, _ in events if now_ms - 20_000 < event_ms <= now_ms)
    assert column.recent(500) == (len(times), sum(times) + 500 * len(times))
    window = sorted(event_ms for event_ms, _ in events if now_ms - 10_000 < event_ms <= now_ms)
    assert column.first_and_last_ms(1) == ((window[0], window[-1]) if window else None)
    assert column.most() == tuple(
        sum(event_ms > now_ms - width_ms for event_ms, _ in events) for width_ms in (10_000, 60_000, 300_000)
    )
    assert column.most_recent() == sum(event_ms > now_ms - 20_000 for event_ms, _ in events)


def test_what_was_ever_added_includes_what_was_forgotten() -> None:
    column = EventColumn()
    for number in range(1_000):
        column.add(1_000 * number, 10 + number)
    column.advance(999_000)
    column.trim(900_000)

    assert len(column) == 99
    assert column.ever_added() == (1_000, sum(10 + number for number in range(1_000)))


_ANY_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), _TIMES, _MICROS),
        st.tuples(st.just("add"), _TIMES, _MICROS),
        st.tuples(st.just("advance"), _TIMES, st.just(0)),
        st.tuples(st.just("minute"), _TIMES, st.just(0)),
        st.tuples(st.just("counts"), _TIMES, st.just(0)),
        st.tuples(st.just("take out"), st.integers(0, 100), st.just(0)),
        st.tuples(st.just("replace"), st.integers(0, 100), st.integers(0, 400_000)),
        st.tuples(st.just("move"), st.integers(-5_000, 5_000), st.just(0)),
        st.tuples(st.just("trim"), st.integers(0, 100_000), st.just(0)),
    ),
    max_size=60,
)


class _Lists:
    """The events of a column as a plain list."""

    def __init__(self) -> None:
        self.events: list[tuple[int, int]] = []
        self.moved = 0
        self.forgotten = 0

    def now(self, at: int) -> int:
        """A time that was not forgotten."""
        return _T + self.moved + max(at, self.forgotten + OFFSETS_MS[4] if self.forgotten else 0)

    def inside(self, now: int, width: int) -> list[int]:
        return [micro for at, micro in self.events if now - width < at <= now]


def _step(column: EventColumn, lists: _Lists, what: str, at: int, more: int) -> None:
    events = lists.events
    if what == "add" and at > lists.forgotten:
        column.add(_T + lists.moved + at, more)
        events.append((_T + lists.moved + at, more))
    elif what == "advance":
        _agrees(column, events, lists.now(at))
    elif what == "minute":
        now = lists.now(at)
        of_minute = lists.inside(now, 60_000)
        assert column.minute(now) == (sum(of_minute), len(of_minute))
    elif what == "counts":
        now = lists.now(at)
        counts = [len(lists.inside(now, width)) for width in (10_000, 60_000, 300_000)]
        assert column.counts_at(now, is_behind=False) == (*counts, sum(lists.inside(now, 60_000)))
    elif what == "take out" and events:
        event = events.pop(at % len(events))
        assert column.take_out(*event)
        assert not column.take_out(event[0], 12_345_678_901)
    elif what == "replace" and events:
        old = events.pop(at % len(events))
        new = (_T + lists.moved + max(more, lists.forgotten + 1), old[1])
        events.append(new)
        assert column.replace({old: 1}, [new]) == [old[0]]
    elif what == "move":
        column.move(at)
        lists.moved += at
        lists.events = [(event_ms + at, micro) for event_ms, micro in events]
    elif what == "trim":
        lists.forgotten = max(lists.forgotten, at)
        horizon = _T + lists.moved + lists.forgotten
        column.trim(horizon)
        lists.events = [event for event in events if event[0] > horizon]


@pytest.mark.parametrize(("near", "most"), [(0, 1_000), (1, 3), (4, 8)])
def test_what_waits_is_as_if_it_did_not(near: int, most: int) -> None:
    @given(_ANY_STEPS, _TIMES)
    @settings(max_examples=250)
    def holds(steps: list[tuple[str, int, int]], last: int) -> None:
        column, lists = EventColumn(), _Lists()
        for what, at, more in [*steps, ("minute", last, 0), ("counts", last, 0), ("advance", last, 0)]:
            _step(column, lists, what, at, more)
            assert len(column) == len(lists.events)
            assert not column.pending or len(column.pending) // 2 < most
        assert list(column.times) == sorted(at for at, _ in lists.events)
        assert column.micro_sums[-1] - column.micro_sums[0] == sum(micro for _, micro in lists.events)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_NEAR", near)
        patched.setattr(module, "_MOST_PENDING", most)
        holds()


def test_thousands_of_late_events_are_put_in_their_places_a_few_times(counting: type[CountingArray]) -> None:
    column, lists = EventColumn(), _Lists()
    for i in range(20_000):
        lists.events.append((_T + i // 100, 3))
        column.add(*lists.events[-1])
    counting.single = counting.sliced = 0
    for i in range(6_000):
        lists.events.append((_T - 1_000 - 7 * i % 4_001, 5 + i))
        column.add(*lists.events[-1])
        assert i or len(column.pending) == 2

    # Of 20,000 newer ones each would have touched 40,000 elements.
    assert counting.sliced <= 6_000 * 30
    assert counting.single <= 6_000 * 60
    assert column.ever_added() == (26_000, sum(micro for _, micro in lists.events))
    _agrees(column, lists.events, _T + 200)


def test_the_minute_of_what_waits_looks_at_what_came_since(counting: type[CountingArray]) -> None:
    column = EventColumn()
    for _ in range(1_000):
        column.add(_T, 1)
    for i in range(3_000):
        column.add(_T - 1 - i % 2, 2)
    assert column.minute(_T + 5) == (7_000, 4_000)
    counting.single = counting.sliced = 0

    column.add(_T - 1, 2)
    assert column.minute(_T + 6) == (7_002, 4_001)

    assert column.pending
    assert counting.single + counting.sliced <= 60
    assert column.minute(_T - 1) == (6_002, 3_001)
    assert column.minute(_T + 59_998) == (1_000 + 2 * 1_501, 2_501)
    assert column.minute(_T + 60_000) == (0, 0)


def test_a_late_amount_beyond_64_bits_waits_for_nobody() -> None:
    column = EventColumn()
    for i in range(200):
        column.add(_T + i, 1)
    column.add(_T - 5, 2)
    column.add(_T - 1, 10**21)

    assert len(column.pending) == 2
    column.advance(_T + 200)
    assert (column.count(1), column.micro(1)) == (202, 202 + 10**21)
