import pytest

from liqtape.engine import VelocityEngine
from liqtape.engine.levels.threshold import Threshold
from liqtape.events import Alert, Liquidation
from liqtape.pipeline.levelalerts import Levels

T = 1_790_000_000_000


def liquidation(at_ms: int, instrument: str = "BTCUSDT") -> Liquidation:
    return Liquidation("bybit", instrument, instrument, "long", 80_000.0, "bankruptcy", 0.01, 800.0, at_ms)


def burst(engine: VelocityEngine, count: int, at_ms: int, instrument: str = "BTCUSDT") -> None:
    for _ in range(count):
        engine.add(liquidation(at_ms, instrument))


@pytest.fixture
def engine() -> VelocityEngine:
    return VelocityEngine(rule=Threshold(5.0, 100.0))


def test_below_the_threshold_nothing_is_said(engine: VelocityEngine) -> None:
    levels = Levels(engine)
    burst(engine, 49, T)

    assert levels.check("BTCUSDT", T) is None
    assert levels.current("BTCUSDT") == "NONE"
    assert levels.raised() == []


def test_crossing_alerts_once(engine: VelocityEngine) -> None:
    levels = Levels(engine)
    burst(engine, 50, T)

    first = levels.check("BTCUSDT", T)
    burst(engine, 50, T + 1)
    again = [levels.check("BTCUSDT", T + ms) for ms in (1, 2, 5_000)]

    assert first == Alert("BTCUSDT", "ALERT", "NONE", T, 5.0, 0.75, 50, 40_000.0, "threshold")
    assert again == [None, None, None]
    assert levels.raised() == ["BTCUSDT"]


def test_time_alone_lowers_the_level_and_arms_it_again(engine: VelocityEngine) -> None:
    levels = Levels(engine)
    burst(engine, 50, T)
    levels.check("BTCUSDT", T)

    lowered = levels.check("BTCUSDT", T + 10_000)
    burst(engine, 50, T + 10_001)
    raised = levels.check("BTCUSDT", T + 10_001)

    assert lowered is not None
    assert (lowered.level, lowered.previous, lowered.velocity_10s) == ("NONE", "ALERT", 0.0)
    assert raised is not None
    assert (raised.level, raised.previous) == ("ALERT", "NONE")


def test_acceleration_alone_is_enough() -> None:
    engine = VelocityEngine(rule=Threshold(1_000.0, 0.5))
    burst(engine, 40, T)

    alert = Levels(engine).check("BTCUSDT", T)

    assert alert is not None
    assert alert.acceleration == pytest.approx(0.6)


def test_instruments_are_apart(engine: VelocityEngine) -> None:
    levels = Levels(engine)
    burst(engine, 50, T)
    burst(engine, 10, T, "ETHUSDT")

    assert levels.check("ETHUSDT", T) is None
    assert levels.check("BTCUSDT", T) is not None
    assert levels.check("NEVERSEEN", T) is None
    assert levels.raised() == ["BTCUSDT"]


def test_change_is_told_to_the_listener(engine: VelocityEngine) -> None:
    rarity: list[Alert] = []
    levels = Levels(engine, rarity.append)
    burst(engine, 50, T)

    returned = levels.check("BTCUSDT", T)

    assert rarity == [returned]
