"""A past of final slots is the baseline that is told of each event."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqtape.engine.baseline.binstatistics import WIDTHS, BinStatistics
from liqtape.engine.baseline.liveintervals import EVER_MS, LiveIntervals
from liqtape.engine.baseline.surprise import Baseline

_T = 1_790_000_100_000
_SLOT = _T // 10_000
_SLOTS = st.lists(st.tuples(st.sampled_from([1, 1, 2, 7, 31, 2_000]), st.integers(1, 100_000)), max_size=60)


@given(_SLOTS, st.integers(0, 4_000), st.tuples(st.integers(0, 300), st.integers(1, 300)), st.booleans())
@settings(max_examples=150)
def test_equals_the_baseline_with_and_without_an_outage(
    steps: list[tuple[int, int]], later: int, outage: tuple[int, int], is_out: bool
) -> None:
    down, up = _T + 10_000 * outage[0], _T + 10_000 * (outage[0] + outage[1])
    live = LiveIntervals([(_T, down), (up, EVER_MS)] if is_out else [(_T, EVER_MS)])
    baselines = [Baseline(_T, window_s) for window_s in WIDTHS]
    statistics, slot = BinStatistics(), _SLOT
    for baseline in baselines:
        if is_out:
            baseline.unwatched(down, up)
    for i, (ahead, count) in enumerate(steps):
        slot += ahead
        statistics.feed(slot, count, live)
        for baseline in baselines:
            baseline.add(10_000 * slot, count)
        if i % 5 == 0:  # asking in between changes nothing
            statistics.expect(i % 3, (slot + 1) * 10 // WIDTHS[i % 3], live)
    now = 10_000 * (slot + 1 + later) + 300_000

    for k, window_s in enumerate(WIDTHS):
        found, expected = statistics.expect(k, (now - 300_000) // (1000 * window_s), live), baselines[k].expect(now)
        assert found.mean == pytest.approx(expected.mean, rel=1e-9)
        assert found.fano == pytest.approx(expected.fano, rel=1e-6, abs=1e-6)


def test_a_bin_counts_when_it_is_over() -> None:
    statistics, live = BinStatistics(), LiveIntervals([(_T, EVER_MS)])
    minute = _T // 60_000 + 1
    statistics.feed(6 * minute, 50, live)

    before, after = (statistics.expect(1, end, live).mean for end in (minute, minute + 1))

    assert after > 10 * before
