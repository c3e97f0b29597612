"""Levels by comparing counts: remembered, held while they come down, shown at once where the rule says more."""

import pytest

from liqtape.engine.baseline.binstatistics import BinStatistics
from liqtape.engine.baseline.currentbaseline import CurrentBaseline
from liqtape.engine.baseline.liveintervals import EVER_MS, LiveIntervals
from liqtape.engine.levels.evaluator import LevelEvaluator
from liqtape.engine.levels.surpriselevels import LevelRule
from liqtape.engine.windows.metricrow import Sums
from liqtape.events import Level
from liqtape.money import MICRO

_T = 1_790_000_100_000
_NOTHING = (0, 0, 0)
_STORM = (60, 120, 400)
_RICH = 1e9


@pytest.fixture(name="evaluator")
def _evaluator() -> LevelEvaluator:
    return LevelEvaluator(LevelRule())


@pytest.fixture(name="baseline")
def _baseline(evaluator: LevelEvaluator) -> CurrentBaseline:
    """The baseline of a stream that has one liquidation a minute, wholly watched."""
    intervals, statistics = LiveIntervals([(_T, EVER_MS)]), BinStatistics()
    for minute in range(90):
        statistics.feed((_T // 60_000 + minute) * 6, 1, intervals)
    baseline = CurrentBaseline(statistics)
    baseline.refresh(1, _T + 6_000_000, _T + 5_700_000, intervals, evaluator.thresholds)
    return baseline


def _sums(counts: tuple[int, int, int], usd: float) -> Sums:
    every = (counts[0], counts[0], counts[1], counts[2], 0, 0, int(usd * MICRO), 0)
    return Sums((), (), (), every, (0, 0))


@pytest.mark.parametrize(
    ("counts", "usd", "expected"),
    [(_NOTHING, 0.0, "NONE"), ((1, 1, 5), _RICH, "NONE"), (_STORM, 0.0, "ALERT"), (_STORM, _RICH, "CRITICAL")],
)
def test_the_highest_level_that_holds(
    evaluator: LevelEvaluator, baseline: CurrentBaseline, counts: tuple[int, int, int], usd: float, expected: Level
) -> None:
    assert evaluator.target(baseline, counts, usd, 100_000.0) == expected
    decisive = evaluator.decisive(baseline, counts)
    assert decisive is not None
    assert (decisive.surprise >= 3.0) == (expected != "NONE")


def test_a_level_comes_down_one_step_a_minute(evaluator: LevelEvaluator, baseline: CurrentBaseline) -> None:
    def step(second: int, counts: tuple[int, int, int]) -> Level:
        return evaluator.step("BTCUSDT", _T + 1_000 * second, baseline, counts, _RICH)

    assert step(0, _NOTHING) == "NONE"
    assert step(1, _STORM) == "CRITICAL"
    assert step(2, _NOTHING) == "CRITICAL"
    assert step(61, _NOTHING) == "CRITICAL"
    assert step(62, _NOTHING) == "ALERT"
    assert step(122, _NOTHING) == "WATCH"
    assert step(182, _NOTHING) == "NONE"
    assert evaluator.levels.current("BTCUSDT") == "NONE"


def test_a_row_shows_what_is_remembered_or_what_the_rule_says_if_that_is_more(
    evaluator: LevelEvaluator, baseline: CurrentBaseline
) -> None:
    assert evaluator.shown("BTCUSDT", baseline, _sums(_STORM, _RICH)) == "CRITICAL"
    assert evaluator.levels.current("BTCUSDT") == "NONE"  # to show is not to remember

    evaluator.step("BTCUSDT", _T, baseline, _STORM, _RICH)

    assert evaluator.shown("BTCUSDT", baseline, _sums(_NOTHING, 0.0)) == "CRITICAL"
