from random import Random

import pytest
from tests.forecast.events import T0, liquidation

from liqtape.events import Liquidation
from liqtape.forecast.calibration import Calibration
from liqtape.forecast.forecaster import TARGETS, Forecast
from liqtape.forecast.model import TargetModel
from liqtape.forecast.scorers import BaseRate, LogisticScorer
from liqtape.forecast.streamforecaster import StreamForecaster
from liqtape.forecast.watchedspans import WatchedSpans

_BASE = BaseRate(dict.fromkeys(TARGETS, 0.01))
_LOGISTIC = LogisticScorer(
    [TargetModel("x", t, ("ln_count_60",), (0.0,), (1.0,), (1.0,), -4.0, Calibration("platt"), 0.01) for t in TARGETS],
    "velocity",
)


def _events(seed: int, hours: int = 3) -> list[Liquidation]:
    rng = Random(seed)
    times = sorted(rng.randrange(hours * 3_600_000) for _ in range(400))
    return [liquidation(T0 + at, rng.random() * 1e5, rng.choice(["long", "short"])) for at in times]


def _walked(arrivals: list[tuple[int, Liquidation]], settle_ms: int) -> list[tuple[Forecast, ...]]:
    """Events as they come; each moment is asked for when it is `settle_ms` old."""
    forecaster = StreamForecaster([_LOGISTIC, _BASE], WatchedSpans.between([(T0 - 10**8, T0 + 10**8)]))
    said, waiting = [], sorted(arrivals, key=lambda one: one[0])
    for now_ms in range(T0 + 10_000, T0 + 3 * 3_600_000, 10_000):
        while waiting and waiting[0][0] <= now_ms + settle_ms:
            forecaster.update(waiting.pop(0)[1])
        said.append(forecaster.at(now_ms))
    return said


def test_one_by_one_all_at_once_and_late_within_the_wait_say_the_same() -> None:
    events, rng = _events(7), Random(8)
    in_time = _walked([(event.event_ms, event) for event in events], 0)
    at_once = _walked([(T0, event) for event in events], 0)
    late = _walked([(event.event_ms + rng.randrange(2_000), event) for event in events], 2_000)

    assert in_time == at_once == late
    assert len({forecasts[0].probability for forecasts in in_time}) > 5


def test_asked_twice_it_says_the_same_whatever_came_meanwhile() -> None:
    forecaster = StreamForecaster([_LOGISTIC], WatchedSpans.between([(0, T0 + 10**9)]))
    first = forecaster.issue(T0)
    for _ in range(50):
        forecaster.update(liquidation(T0 - 5_000))

    assert forecaster.issue(T0 + 9_999) is first
    assert forecaster.issue(T0 + 10_000).state != first.state
    with pytest.raises(ValueError, match="lies before"):
        forecaster.at(T0)


def test_the_outcome_is_what_came_in_the_seconds_of_the_target() -> None:
    forecaster = StreamForecaster([_BASE])
    for second in (1, 60, 61, 300):
        forecaster.update(liquidation(T0 + 1000 * second))

    assert forecaster.issue(T0 + 60_000).reached == (2, 2)
    assert forecaster.issue(T0 + 300_000).reached == (1, 4)


def test_without_what_it_needs_it_says_why_and_the_base_rate() -> None:
    forecaster = StreamForecaster([_LOGISTIC])
    (before, _) = forecaster.at(T0)
    forecaster.update(liquidation(T0 + 1))
    (soon, _) = forecaster.at(T0 + 600_000)
    (later, _) = forecaster.at(T0 + 4_000_000)

    assert (before.probability, before.base_rate, before.why) == (None, 0.01, "no liquidation yet")
    assert (soon.probability, soon.why) == (None, "watched 9 of the last 60 minutes")
    assert later.probability is not None
    assert later.why == ""
