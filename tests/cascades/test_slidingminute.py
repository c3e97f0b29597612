"""The highest minute against a recount, whatever comes late, and what waits where many are newer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqtape.cascades import slidingminute as module
from liqtape.cascades.slidingminute import LATEST_MS, MINUTE_MS, SlidingMinute

_EVENTS = st.lists(
    st.tuples(
        st.sampled_from((0, 1, 500, 30_000, 59_999, 60_000, 60_001, 200_000)) | st.integers(0, 250_000),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=80,
)


def _peaks(events: list[tuple[int, int]]) -> tuple[int, int]:
    """Return the highest amount and the highest count of any minute that ends at an event."""
    minutes = [[amount for at, amount in events if end - MINUTE_MS < at <= end] for end, _ in events]
    return max(map(sum, minutes)), max(map(len, minutes))


def _patched(patched: pytest.MonkeyPatch, near: int, most: int) -> None:
    patched.setattr(module, "_NEAR", near)
    patched.setattr(module, "_MOST_PENDING", most)


@pytest.mark.parametrize(("near", "most"), [(512, 4_096), (0, 1_000), (2, 4)])
@pytest.mark.parametrize("by_count", [False, True])
def test_the_highest_minute_equals_a_recount(near: int, most: int, by_count: bool) -> None:
    @given(_EVENTS)
    @settings(max_examples=150)
    def holds(events: list[tuple[int, int]]) -> None:
        minute = SlidingMinute(by_count=by_count)
        for number, event in enumerate(events):
            minute.add(1_000_000 + event[0], event[1])
            if number % 7 == 6:
                minute.settle()
        minute.settle()

        assert (minute.peak, minute.peak_count) == _peaks(events)
        ends = [at for at, _ in events if minute.peak == sum(a for t, a in events if at - MINUTE_MS < t <= at)]
        assert minute.peak_ms - 1_000_000 in ends
        assert minute.newest_ms == 1_000_000 + max(events)[0]

    with pytest.MonkeyPatch.context() as patched:
        _patched(patched, near, most)
        holds()


@pytest.mark.parametrize("by_count", [False, True])
def test_what_waited_and_is_looked_at_each_time_is_as_if_it_did_not(by_count: bool) -> None:
    @given(_EVENTS)
    @settings(max_examples=150)
    def holds(events: list[tuple[int, int]]) -> None:
        plain, waiting = SlidingMinute(by_count=by_count), SlidingMinute(by_count=by_count)
        for at, amount in events:
            with pytest.MonkeyPatch.context() as patched:
                _patched(patched, 0, 1_000)
                waiting.add(1_000_000 + at, amount)
                waiting.settle()
            plain.add(1_000_000 + at, amount)
            assert (waiting.peak, waiting.peak_ms, waiting.last_ms) == (plain.peak, plain.peak_ms, plain.last_ms)

    holds()


def test_thousands_behind_a_crowd_wait_together_and_one_too_old_is_left_out() -> None:
    minute = SlidingMinute(by_count=False)
    for _ in range(5_000):
        minute.add(1_000_000, 2)
    for number in range(4_000):
        minute.add(999_000 - number % 2, 1)
    minute.add(1_000_000 - LATEST_MS, 1_000_000)
    assert (minute.peak, minute.peak_count) == (10_000, 5_000)

    minute.settle()

    assert (minute.peak, minute.peak_ms, minute.peak_count) == (14_000, 1_000_000, 9_000)
    minute.add(1_059_500, 1)  # the late ones left
    assert (minute.peak, minute.last_ms) == (14_000, 1_059_500)
    minute.add(1_060_000, 1)
    assert minute.last_ms == 1_059_500
