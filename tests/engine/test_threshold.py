"""The plain rule: either threshold reached is an alert."""

import pytest

from liqtape.engine.levels.threshold import Threshold
from liqtape.events import Level


@pytest.mark.parametrize(
    ("velocity", "acceleration", "level"),
    [
        (0.0, 0.0, "NONE"),
        (4.9, 1.99, "NONE"),
        (5.0, 0.0, "ALERT"),
        (0.0, 2.0, "ALERT"),
        (1127.9, -3.0, "ALERT"),
        (4.9, -100.0, "NONE"),
    ],
    ids=["quiet", "just below both", "velocity reached", "acceleration reached", "braking at speed", "braking"],
)
def test_default_thresholds(velocity: float, acceleration: float, level: Level) -> None:
    assert Threshold().level(velocity, acceleration, 200) == level


def test_own_thresholds() -> None:
    rule = Threshold(velocity_10s=0.5, acceleration=0.1)

    found = [rule.level(0.5, 0.0, 200), rule.level(0.4, 0.1, 200), rule.level(0.4, 0.09, 200)]
    assert found == ["ALERT", "ALERT", "NONE"]


def test_an_acceleration_of_fewer_than_ten_events_is_not_looked_at() -> None:
    rule = Threshold(velocity_10s=5.0, acceleration=0.1)

    assert [rule.level(0.5, 0.2, count) for count in (9, 10)] == ["NONE", "ALERT"]
