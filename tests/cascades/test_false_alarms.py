"""False alarms on streams whose habits never change: a short form of `python -m benchmarks detectors`."""

import pytest

pytest.importorskip("numpy")

from benchmarks.detectors import KINDS, MOST, MOST_OF_DEFAULT, Kind, false_alarms

_DAYS = 40.0


@pytest.fixture(scope="module")
def signals() -> dict[Kind, int]:
    return false_alarms(KINDS, 200.0, 2, _DAYS / 2, seed=11)


@pytest.mark.parametrize("kind", KINDS, ids=" by ".join)
def test_a_detector_is_as_seldom_wrong_as_it_says(signals: dict[Kind, int], kind: Kind) -> None:
    most = (MOST_OF_DEFAULT if kind[0] == "return_periods" else MOST) * _DAYS

    assert signals[kind] <= most + 3 * most**0.5


def test_the_default_detector_is_raised_about_as_often_as_its_period_says(signals: dict[Kind, int]) -> None:
    assert 0.5 < signals["return_periods", "rate"] / _DAYS / MOST_OF_DEFAULT <= 1.2
