"""What was watched, against counting every second and every bin."""

from math import exp2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.engine.baseline.liveintervals import EVER_MS, LiveIntervals
from liqtape.engine.baseline.surprise import HALF_LIFE_S

_SPANS = st.lists(st.tuples(st.integers(0, 3_600), st.integers(0, 900)), max_size=8)


@given(_SPANS, st.integers(0, 4_000), st.integers(0, 600))
def test_exposure_and_cover_equal_a_count_of_seconds(spans: list[tuple[int, int]], start: int, length: int) -> None:
    live = LiveIntervals((1000 * begin, 1000 * (begin + lasts)) for begin, lasts in spans)
    seen = {second for begin, lasts in spans for second in range(begin, begin + lasts)}

    target = range(start, start + length)
    assert live.live_ms(1000 * start, 1000 * (start + length)) == 1000 * len(seen.intersection(target))
    if length:
        assert live.covers(1000 * start, 1000 * (start + length)) is seen.issuperset(target)
    assert all(a[1] < b[0] for a, b in zip(live.intervals, live.intervals[1:], strict=False))


@given(_SPANS, st.sampled_from([10, 60, 300]), st.integers(0, 500))
def test_weight_is_that_of_the_bins_one_by_one(spans: list[tuple[int, int]], window_s: int, end: int) -> None:
    live = LiveIntervals((1000 * begin, 1000 * (begin + lasts)) for begin, lasts in spans)
    width = 1000 * window_s

    bins = [number for number in range(end) if live.covers(number * width, (number + 1) * width)]

    weights = [exp2((number + 1 - end) * window_s / HALF_LIFE_S) for number in bins]
    assert live.weight(window_s, end) == pytest.approx(sum(weights), rel=1e-12, abs=1e-12)
    assert live.weight(window_s, end) == live.weight(window_s, end)


@pytest.mark.parametrize("window_s", [10, 60, 300])
def test_of_ten_years_the_weight_is_that_of_a_full_memory(window_s: int) -> None:
    end = 10 * 365 * 86_400 // window_s

    assert LiveIntervals([(0, EVER_MS)]).weight(window_s, end) == pytest.approx(
        1 / (1 - 2 ** (-window_s / HALF_LIFE_S))
    )
    assert LiveIntervals([(0, 3_600_000)]).weight(window_s, end) == 0.0


def test_nothing_watched() -> None:
    assert (LiveIntervals([]).live_ms(0, 1_000), LiveIntervals([]).covers(0, 1), LiveIntervals([]).weight(60, 5)) == (
        0,
        False,
        0.0,
    )
