from random import Random

from tests.forecast.events import T0

from liqtape.forecast.drift import CalibrationDrift
from liqtape.forecast.forecaster import TARGETS, Forecast
from liqtape.forecast.streamforecaster import Issue

_DAY = 8_640
_BASE = 0.01


class _World:
    """Issues whose targets come true with `truth` times the probability that is told."""

    def __init__(self, seed: int) -> None:
        self.drift = CalibrationDrift()
        self._rng = Random(seed)
        self._said: list[float] = []
        self._at = 0

    def days(self, days: float, truth: float) -> list[Forecast]:
        shown = []
        for _ in range(round(_DAY * days)):
            level = 0.1 if (self._at // 180) % 12 == 0 else 0.002
            came = self._rng.random() < truth * (self._said[self._at - 6] if self._at >= 6 else 0.0)
            at_ms = T0 + 10_000 * self._at
            told = tuple(Forecast(at_ms, target, level, _BASE, "m") for target in TARGETS)
            issue = Issue(at_ms, "", told, (5 if came else 0, 0))
            shown.append(self.drift.judge(issue)[0])
            self._said.append(level)
            self._at += 1
        return shown


def test_a_forecast_that_is_true_is_not_withdrawn() -> None:
    for seed in range(2):
        world = _World(seed)
        assert all(forecast.probability is not None for forecast in world.days(9, 1.0))


def test_one_that_stops_being_true_is_withdrawn_and_comes_back() -> None:
    world = _World(1)
    assert all(forecast.probability is not None for forecast in world.days(7, 1.0))

    wrong = world.days(6, 3.0)
    assert wrong[-1].probability is None
    assert wrong[-1].base_rate == _BASE
    assert wrong[-1].why.startswith("withdrawn: over the last 7 days ")
    assert world.drift.why(TARGETS[0])
    truth = world.drift.truth(TARGETS[0])
    assert truth.reached > 1.5 * truth.expected

    true_again = world.days(9, 1.0)
    assert true_again[0].probability is None
    assert true_again[-1].probability is not None


def test_a_forecast_of_what_never_comes_is_withdrawn() -> None:
    assert _World(1).days(7, 0.0)[-1].probability is None


def test_less_than_a_day_is_judged_by_nobody() -> None:
    assert all(forecast.probability is not None for forecast in _World(1).days(0.9, 10.0))


def test_another_model_beside_it_is_neither_judged_nor_withdrawn() -> None:
    world = _World(1)
    world.days(7, 3.0)
    at_ms = T0 + 10_000 * 10 * _DAY
    told = (Forecast(at_ms, TARGETS[0], 0.1, _BASE, "m"), Forecast(at_ms, TARGETS[0], 0.2, _BASE, "baseline"))

    model, baseline = world.drift.judge(Issue(at_ms, "", told, (0, 0)))
    assert (model.probability, baseline.probability) == (None, 0.2)
