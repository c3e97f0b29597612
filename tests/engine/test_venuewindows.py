"""The venue windows of one (instrument, venue): sides apart, and the clock seconds a throttled venue printed in."""

import sys
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqtape.engine.windows import eventcolumn
from liqtape.engine.windows.eventcolumn import HEAD, RETAIN_MS
from liqtape.engine.windows.venuewindows import ThrottledVenueWindows, VenueWindows
from liqtape.events import WINDOWS, Side

_T = 1_790_000_000_000
_SIDES: list[Side | None] = ["long", "short", None]


@pytest.mark.parametrize("kind", [VenueWindows, ThrottledVenueWindows])
def test_each_side_has_its_lane(kind: type[VenueWindows]) -> None:
    venue_windows = kind()
    for n, side in enumerate(_SIDES, start=1):
        for _ in range(n):
            venue_windows.add(side, _T, 10**n, _T - RETAIN_MS)

    venue_windows.advance(_T, _T - RETAIN_MS)

    assert [
        (column.count(1), column.micro(1))
        for column in (venue_windows.long, venue_windows.short, venue_windows.unsided)
    ] == [
        (1, 10),
        (2, 200),
        (3, 3_000),
    ]


@given(
    st.lists(st.tuples(st.sampled_from(_SIDES), st.integers(0, 302_000) | st.integers(0, 3_000)), max_size=80),
    st.integers(0, 2_000),
    st.integers(0, 999),
)
@settings(max_examples=300)
def test_taken_seconds_are_the_distinct_ones_of_the_window(
    prints: list[tuple[Side | None, int]], back: int, phase: int
) -> None:
    # Any order, several prints a second (which the venue promised not to send), prints newer than the evaluation.
    venue_windows, newest = ThrottledVenueWindows(), _T + phase
    for side, age in prints:
        if age < RETAIN_MS:
            venue_windows.add(side, newest - age, 1, newest - RETAIN_MS)
    now = newest - back

    venue_windows.advance(now, newest - RETAIN_MS)

    for k, seconds in enumerate(WINDOWS, start=1):
        inside = {
            (newest - age) // 1000
            for _, age in prints
            if age < RETAIN_MS and now - 1000 * seconds < newest - age <= now
        }
        assert venue_windows.taken(k, 1000 * seconds, now) == len(inside)


def test_taken_seconds_stay_right_over_an_hour_of_prints() -> None:
    venue_windows = ThrottledVenueWindows()
    recent: deque[int] = deque(maxlen=500)  # 350 s of them
    held = trims = 0
    for at in range(_T, _T + 3_600_000, 700):
        recent.append(at)
        venue_windows.add("long", at, 1, at - RETAIN_MS)
        assert len(venue_windows.seconds) <= 2 * RETAIN_MS // 1000
        if was_trimmed := len(venue_windows.seconds) < held:
            trims += 1
        held = len(venue_windows.seconds)
        for now in (at - 2_000, at) if was_trimmed else (at,):
            venue_windows.advance(now, at - RETAIN_MS)
            expected = {t // 1000 for t in recent if now - 300_000 < t <= now}
            assert venue_windows.taken(4, 300_000, now) == len(expected)
    assert trims > 5


def test_late_prints_do_not_pile_up_seconds() -> None:
    venue_windows = ThrottledVenueWindows()
    for minute in range(60):
        newest = _T + 60_000 * minute
        venue_windows.add("long", newest, 1, newest - RETAIN_MS)
        for late in range(1, 302):
            venue_windows.add("short", newest - 1000 * late, 1, newest - RETAIN_MS)

    assert list(venue_windows.seconds) == sorted(set(venue_windows.seconds))
    assert len(venue_windows.seconds) <= 3 * RETAIN_MS // 1000


@pytest.mark.parametrize("kind", [VenueWindows, ThrottledVenueWindows])
def test_memory_returns_by_evaluation_alone(kind: type[VenueWindows]) -> None:
    venue_windows = kind()
    for _ in range(20_000):
        venue_windows.add("long", _T, 1, _T - RETAIN_MS)
    venue_windows.advance(_T, _T - RETAIN_MS)
    assert venue_windows.long.count(1) == 20_000

    venue_windows.advance(_T + RETAIN_MS, _T)

    assert len(venue_windows.long) == 0
    assert sys.getsizeof(venue_windows.long.times) + sys.getsizeof(venue_windows.long.micro_sums) < 1_000
    assert venue_windows.long._cursors[HEAD] == 0


def test_an_evaluation_ahead_of_the_horizon_forgets_nothing_that_may_be_asked_again() -> None:
    venue_windows = VenueWindows()
    for i in range(1_000):
        venue_windows.add("long", _T + i, 1, _T + i - RETAIN_MS)

    venue_windows.advance(_T + 10 * 365 * 86_400_000, _T + 999 - RETAIN_MS)  # ten years of silence
    assert venue_windows.long.count(4) == 0

    venue_windows.advance(_T + 999, _T + 999 - RETAIN_MS)
    assert (venue_windows.long.count(1), venue_windows.long.micro(4), venue_windows.long.moment) == (
        1_000,
        1_000,
        sum(range(_T, _T + 1_000)),
    )


@pytest.mark.parametrize(("near", "most"), [(0, 1_000), (2, 5)])
def test_the_minute_and_when_it_changes_with_late_ones_that_wait(near: int, most: int) -> None:
    @given(
        st.lists(
            st.tuples(st.sampled_from(_SIDES), st.integers(0, 130_000) | st.integers(0, 50), st.booleans()),
            max_size=60,
        ),
        st.integers(0, 130_000),
    )
    def holds(steps: list[tuple[Side | None, int, bool]], last: int) -> None:
        venue_windows, times = VenueWindows(), list[int]()
        for side, at, is_look in [*steps, (None, last, True)]:
            if not is_look:
                venue_windows.add(side, _T + at, 3, 0)
                times.append(at)
                continue
            micro, count, change_ms = venue_windows.minute_and_change(_T + at)
            inside = [t for t in times if at - 60_000 < t <= at]
            assert (micro, count) == (3 * len(inside), len(inside)) == venue_windows.minute(_T + at)
            changes = [*(t + 60_000 for t in inside), *(t for t in times if t > at)]
            assert change_ms == (_T + min(changes) if changes else None)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(eventcolumn, "_NEAR", near)
        patched.setattr(eventcolumn, "_MOST_PENDING", most)
        holds()
