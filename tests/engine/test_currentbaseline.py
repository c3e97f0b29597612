"""Thresholds in counts say what the surprises say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.engine.baseline.binstatistics import BinStatistics
from liqtape.engine.baseline.currentbaseline import CurrentBaseline, score_of
from liqtape.engine.baseline.liveintervals import EVER_MS, LiveIntervals
from liqtape.engine.baseline.surprise import Expected, least_count, least_counts, surprise_fano
from liqtape.engine.levels.evaluator import LevelEvaluator
from liqtape.engine.levels.surpriselevels import LevelRule, Reading

_T = 1_790_000_100_000


@given(
    st.lists(st.floats(-1.0, 8.9), min_size=1, max_size=6).map(sorted),
    st.floats(1e-4, 600.0),
    st.floats(0.2, 200.0),
)
def test_thresholds_in_one_pass_are_those_one_by_one(levels: list[float], mean: float, fano: float) -> None:
    for level, least in zip(levels, least_counts(levels, mean, fano), strict=True):
        assert surprise_fano(least, mean, fano) >= level - 1e-9
        assert not least or surprise_fano(least - 1, mean, fano) < level + 1e-9


@pytest.mark.parametrize(("levels", "mean"), [((3.0, 12.0), 0.5), ((3.0, 6.0), 4_000.0)])
def test_extreme_levels_and_means_are_worked_out_one_by_one(levels: tuple[float, ...], mean: float) -> None:
    assert least_counts(levels, mean, 3.0) == [least_count(level, mean, 3.0) for level in levels]


@given(
    st.tuples(st.integers(0, 60), st.integers(0, 120), st.integers(0, 400)),
    st.sampled_from([0.0, 99_999.0, 100_000.0]),
    st.lists(st.integers(0, 30), min_size=31, max_size=90),
    st.sampled_from(["whole", "half", "blind"]),
)
def test_the_level_of_counts_is_that_of_their_surprises(
    counts: tuple[int, int, int], usd: float, minutes: list[int], seen: str
) -> None:
    live = {"whole": [(_T, EVER_MS)], "half": [(_T, _T + 6_000_000)], "blind": [(_T, _T + 5_000_000)]}[seen]
    intervals = LiveIntervals(live)
    statistics = BinStatistics()
    for i, count in enumerate(minutes):
        if count:
            statistics.feed((_T // 60_000 + i) * 6, count, intervals)
    evaluator, baseline = LevelEvaluator(LevelRule()), CurrentBaseline(statistics)
    baseline.refresh(1, _T + 6_000_000 + 5_000, _T + 5_700_000, intervals, evaluator.thresholds)

    scores = baseline.scores(counts)
    s10, s60, s300 = (None if score is None else score.surprise for score in scores)
    reading = Reading(0, counts[1], usd, s60, surprise_10s=s10, surprise_300s=s300)

    assert evaluator.target(baseline, counts, usd, 100_000.0) == evaluator.rule.level(reading, 100_000.0)
    decisive = evaluator.decisive(baseline, counts)
    assert (decisive and decisive.surprise) == evaluator.rule.surprise(reading)
    assert baseline.is_blind is (seen == "blind")
    assert baseline.generation == (1 if seen == "whole" else -1)


def test_exposure_is_counted_in_whole_seconds() -> None:
    baseline, live = CurrentBaseline(BinStatistics()), LiveIntervals([(_T, EVER_MS)])
    means = []
    for ms in (999, 1_000, 1_999, 29_500):
        baseline.refresh(1, _T + ms, _T - 300_000, live, LevelEvaluator(LevelRule()).thresholds)
        means.append(None if baseline.expected[1] is None else baseline.expected[1].mean * 3600)

    assert means == [None, *map(pytest.approx, (1.0, 1.0, 29.0))]
    assert baseline.rate == pytest.approx(1 / 3600)


def test_no_score_where_nothing_was_watched() -> None:
    assert score_of(3, None) is None
    assert score_of(3, Expected(0.5, 3.0)) == score_of(3, Expected(0.5, 3.0))


def test_windows_that_are_whole_now_but_end_in_a_gap_are_looked_at_again() -> None:
    baseline = CurrentBaseline(BinStatistics())
    thresholds = LevelEvaluator(LevelRule()).thresholds
    lasting, ended = LiveIntervals([(_T, EVER_MS)]), LiveIntervals([(_T, _T + 400_000), (_T + 400_001, EVER_MS)])

    generations = []
    for live in (lasting, ended):
        baseline.refresh(7, _T + 400_000, _T + 100_000, live, thresholds)
        assert baseline.expected[1] is not None
        generations.append(baseline.generation)

    assert generations == [7, -1]
