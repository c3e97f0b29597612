"""Thresholds in counts say what the surprises say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.engine.judge import Judge
from liqtape.engine.levels.surpriselevels import LevelRule, Reading
from liqtape.engine.past import Past
from liqtape.engine.scope import Scope, score_of
from liqtape.engine.surprise import Expected, least_count, least_counts, surprise_fano
from liqtape.engine.watch import EVER_MS, Watch

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
    watch = Watch(live)
    past = Past()
    for i, count in enumerate(minutes):
        if count:
            past.feed((_T // 60_000 + i) * 6, count, watch)
    judge, scope = Judge(LevelRule()), Scope(past)
    scope.refresh(1, _T + 6_000_000 + 5_000, _T + 5_700_000, watch, judge.thresholds)

    scores = scope.scores(counts)
    s10, s60, s300 = (None if score is None else score.surprise for score in scores)
    reading = Reading(0, counts[1], usd, s60, surprise_10s=s10, surprise_300s=s300)

    assert judge.wanted(scope, counts, usd, 100_000.0) == judge.rule.level(reading, 100_000.0)
    decisive = judge.decisive(scope, counts)
    assert (decisive and decisive.surprise) == judge.rule.surprise(reading)
    assert scope.is_blind is (seen == "blind")
    assert scope.generation == (1 if seen == "whole" else -1)


def test_exposure_is_counted_in_whole_seconds() -> None:
    scope, watch = Scope(Past()), Watch([(_T, EVER_MS)])
    means = []
    for ms in (999, 1_000, 1_999, 29_500):
        scope.refresh(1, _T + ms, _T - 300_000, watch, Judge(LevelRule()).thresholds)
        means.append(None if scope.expected[1] is None else scope.expected[1].mean * 3600)

    assert means == [None, *map(pytest.approx, (1.0, 1.0, 29.0))]
    assert scope.rate == pytest.approx(1 / 3600)


def test_no_score_where_nothing_was_watched() -> None:
    assert score_of(3, None) is None
    assert score_of(3, Expected(0.5, 3.0)) == score_of(3, Expected(0.5, 3.0))


def test_windows_that_are_whole_now_but_end_in_a_gap_are_looked_at_again() -> None:
    scope = Scope(Past())
    thresholds = Judge(LevelRule()).thresholds
    lasting, ended = Watch([(_T, EVER_MS)]), Watch([(_T, _T + 400_000), (_T + 400_001, EVER_MS)])

    generations = []
    for watch in (lasting, ended):
        scope.refresh(7, _T + 400_000, _T + 100_000, watch, thresholds)
        assert scope.expected[1] is not None
        generations.append(scope.generation)

    assert generations == [7, -1]
