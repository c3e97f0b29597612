"""Forecasts of a past: none knows what comes later, none reads a clock, each stands beside its baselines."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.backtest.pasts import DAY_MS, past_of

from liqtape.backtest.detectorrun import Candidate, run_detectors
from liqtape.backtest.examsettings import ExamSettings
from liqtape.backtest.forecastwalk import walk_forecasts
from liqtape.backtest.judgedpast import JudgedPast
from liqtape.backtest.lookahead import looking_ahead
from liqtape.cascades.detector import DetectorStanding, Signal
from liqtape.events import Liquidation
from liqtape.exam.forecastexam import examine_forecasts
from liqtape.forecast.features import FEATURES
from liqtape.forecast.forecaster import TARGETS, Forecaster, Target
from liqtape.forecast.streamforecaster import StreamForecaster

_COUNT_60 = FEATURES.index("ln_count_60")


class _ByCount:
    """Says more the more there was in the last minute."""

    name = "by count"
    targets = (TARGETS[0],)

    def probability(self, target: Target, row: Sequence[float]) -> float:  # noqa: ARG002
        return min(0.9, row[_COUNT_60] / 10)

    def base_rate(self, target: Target) -> float:  # noqa: ARG002
        return 0.01

    def verdict(self, target: Target) -> str:  # noqa: ARG002
        return ""


class _AsDetector:
    """A forecast with its probability as the score, so that it can be run with the future cut off."""

    name = "forecast"

    def __init__(self, forecaster: Forecaster, more: Callable[[int], float] = lambda _: 0.0) -> None:
        self._forecaster, self._more = forecaster, more

    def up(self, at_ms: int) -> None:
        pass

    def down(self, at_ms: int) -> None:
        pass

    def update(self, event: Liquidation) -> Signal | None:
        self._forecaster.update(event)
        return None

    def at(self, now_ms: int) -> DetectorStanding:
        given = self._forecaster.at(now_ms)[0].probability
        return DetectorStanding(
            is_raised=False, score=None if given is None else given + self._more(now_ms), threshold=None
        )


def _honest(_: JudgedPast) -> _AsDetector:
    return _AsDetector(StreamForecaster([_ByCount()]))


def _peeking(past: JudgedPast) -> _AsDetector:
    def next_is_near(now_ms: int) -> float:
        later = (at_ms for at_ms in past.times_ms if at_ms > now_ms)
        return 0.01 * (next(later, now_ms + DAY_MS) <= now_ms + 60_000)

    return _AsDetector(StreamForecaster([_ByCount()]), next_is_near)


def _by_the_clock(_: JudgedPast) -> _AsDetector:
    return _AsDetector(StreamForecaster([_ByCount()]), lambda _: 1e-12 * time.monotonic_ns())


@pytest.mark.parametrize(("make", "is_caught"), [(_honest, False), (_peeking, True), (_by_the_clock, True)])
def test_a_forecast_that_looks_ahead_or_reads_the_clock_is_caught(
    make: Callable[[JudgedPast], _AsDetector], is_caught: bool, tmp_path: Path
) -> None:
    past = past_of(tmp_path, 1)
    candidates = [Candidate("forecast", make)]

    assert bool(looking_ahead(candidates, past, run_detectors(candidates, past), (0.6,))) is is_caught


def test_each_forecast_stands_beside_its_baselines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitting = pytest.importorskip("liqtape.training.fitting")
    monkeypatch.setitem(fitting._STRENGTHS, fitting.MODEL, (1e-4,))  # of five to choose from, which takes long
    walk = walk_forecasts(past_of(tmp_path, 4), ExamSettings())

    assert [cases.target for cases in walk.cases] == list(TARGETS)
    rows = {row.forecaster: row for row in examine_forecasts(walk.cases[0], walk.baselines)}
    assert list(rows) == [*walk.baselines, walk.model]
    assert [gain.against for gain in rows[walk.model].gains] == list(walk.baselines)
    assert sum(walk.cases[0].was_quiet) > len(walk.cases[0].at_ms) / 2


def test_too_few_days_are_said(tmp_path: Path) -> None:
    assert walk_forecasts(past_of(tmp_path, 2), ExamSettings()).why_not.endswith("there are 2")
