"""The whole exam of forecasts, on forecasts whose truth is known."""

import random
from collections.abc import Mapping

import pytest

from liqtape.exam.forecastexam import ForecastCases, ForecastRow, examine_forecasts
from liqtape.exam.informationgain import InformationGain
from liqtape.forecast.forecaster import Target

_TARGET = Target(5, 60)
_DAY = 8_640


def _cases(days: int = 4, seed: int = 4) -> ForecastCases:
    """Each minute is of one of two kinds; `true` knows of which, `base` does not."""
    draw = random.Random(seed)
    at_ms, reached, true = [], [], []
    for minute in range(days * 1_440):
        p = 0.3 if draw.random() < 0.05 else 0.005
        came = draw.random() < p
        for place in range(6):
            at_ms.append(60_000 * minute + 10_000 * place)
            reached.append(came)
            true.append(p)
    base = [sum(true) / len(true)] * len(true)
    quiet = [p < 0.1 for p in true]
    return ForecastCases(_TARGET, at_ms, reached, quiet, {"base": base, "true": true, "late": true[6:] + true[:6]})


def _rows(cases: ForecastCases) -> Mapping[str, ForecastRow]:
    return {row.forecaster: row for row in examine_forecasts(cases, ["base"])}


def _gain(row: ForecastRow) -> InformationGain:
    return row.gains[0].gain


@pytest.fixture(scope="module")
def cases() -> ForecastCases:
    return _cases()


@pytest.fixture(scope="module")
def rows(cases: ForecastCases) -> Mapping[str, ForecastRow]:
    return _rows(cases)


def test_a_true_forecast_passes_every_test_and_gains(rows: Mapping[str, ForecastRow]) -> None:
    true = rows["true"]

    assert true.number.is_consistent
    assert true.likelihood.is_consistent
    assert sum(one.is_consistent for one in true.number_of_days) >= 3
    assert (_gain(true).low or 0) > 0.5
    assert (_gain(true).t_test or 1) < 0.01
    assert true.scores.brier_skill is not None
    assert true.scores.brier_skill > 0.1


def test_shuffled_outcomes_show_no_skill(cases: ForecastCases) -> None:
    minutes = [cases.reached[place] for place in range(0, len(cases.reached), 6)]
    random.Random(9).shuffle(minutes)
    shuffled = ForecastCases(
        cases.target, cases.at_ms, [one for one in minutes for _ in range(6)], cases.was_quiet, cases.said
    )

    row = _rows(shuffled)["true"]

    assert (_gain(row).gain or 0) < 0
    assert row.scores.brier_skill is not None
    assert row.scores.brier_skill < 0
    assert row.scores.average_precision == pytest.approx(row.scores.base_rate, rel=0.5)
    assert not row.likelihood.is_consistent


def test_a_forecast_of_the_wrong_minutes_has_none_either(rows: Mapping[str, ForecastRow]) -> None:
    row = rows["late"]

    assert (_gain(row).gain or 0) < 0
    assert row.number.is_consistent  # as many as there are, but elsewhere
    assert not row.likelihood.is_consistent


def test_moments_that_were_quiet_are_judged_apart(cases: ForecastCases, rows: Mapping[str, ForecastRow]) -> None:
    row = rows["true"]

    assert row.after_quiet.count == sum(cases.was_quiet)
    assert row.after_quiet.positives == sum(
        came for came, quiet in zip(cases.reached, cases.was_quiet, strict=True) if quiet
    )
    assert row.number_of_days[0].expected == pytest.approx(sum(list(cases.said["true"])[:_DAY:6]))
