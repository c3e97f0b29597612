"""Counts in long windows: what is silent, what was not watched, and what is older than a day."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cascades.streams import of

from liqtape.cascades.criticality import WindowCounts, criticality
from liqtape.cascades.hawkesdetector import HawkesDetector

_WINDOW_MS = 300_000
_DAY = 288


@settings(max_examples=60, deadline=None)
@given(
    start_ms=st.integers(0, 400_000),
    times=st.lists(st.integers(0, 400 * _WINDOW_MS), max_size=60).map(sorted),
    gap=st.tuples(st.integers(0, 400 * _WINDOW_MS), st.integers(0, 20 * _WINDOW_MS)),
    now=st.integers(0, 420),
)
def test_moments_are_those_of_the_watched_windows_of_a_day(
    start_ms: int, times: list[int], gap: tuple[int, int], now: int
) -> None:
    now_ms = max([now * _WINDOW_MS, *times])
    from_ms, until_ms = gap[0], gap[0] + gap[1]
    if until_ms > now_ms:
        return
    windows = WindowCounts(start_ms)
    for at_ms in times:
        if start_ms <= at_ms and not from_ms <= at_ms < until_ms:
            windows.add(at_ms)
    windows.unwatched(from_ms, until_ms)

    end = now_ms // _WINDOW_MS
    lost = range(from_ms // _WINDOW_MS, -(-until_ms // _WINDOW_MS))
    counts = [
        sum(at_ms // _WINDOW_MS == number for at_ms in times)
        for number in range(max(-(-start_ms // _WINDOW_MS), end - _DAY), end)
        if number not in lost
    ]
    found = windows.at(now_ms)

    assert found == (criticality(counts) if len(counts) >= 12 else None)


def test_one_window_and_none_say_nothing() -> None:
    assert criticality([]) is None
    assert criticality([7]) is None
    silent = criticality([0, 0, 0])
    assert silent is not None
    assert (silent.mean, silent.fano, silent.branching_ratio) == (0.0, None, None)


def test_a_detector_tells_it_without_a_fit() -> None:
    detector = HawkesDetector()
    assert detector.criticality(0) is None
    for window in range(24):
        for i in range(8 * (window % 2)):
            detector.update(of(_WINDOW_MS * window + 1_000 * i))
    found = detector.criticality(24 * _WINDOW_MS)

    assert found is not None
    assert found.branching_ratio == pytest.approx(0.5, abs=0.05)
    detector.down(25 * _WINDOW_MS)
    detector.up(40 * _WINDOW_MS)
    assert detector.criticality(41 * _WINDOW_MS) is not None
