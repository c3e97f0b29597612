"""The founding document's detector: its answer, and the cascade behind it."""

import time
from typing import Any

import pytest
from professional_cascade_detector import CascadeDetector


def _event(at_ms: int, usd: float = 1_000.0, symbol: str = "BTCUSDT") -> dict[str, Any]:
    return {
        "symbol": symbol,
        "side": "long",
        "notional_usd": usd,
        "price": 100.0,
        "event_ms": at_ms,
        "exchange": "bybit",
    }


async def test_the_threshold_rule_answers_at_once_and_has_the_cascade() -> None:
    detector = CascadeDetector(2.0)
    now_ms = int(time.time() * 1000)

    answers = [await detector.check_cascade(_event(now_ms - 5_000 + 100 * k)) for k in range(30)]

    assert answers == [k >= 19 for k in range(30)]  # 20 in 10 s
    cascade = detector.cascade()
    assert cascade is not None
    assert (cascade.name, cascade.detector, cascade.side, cascade.end_ms) == ("BTCUSDT", "threshold", "long", None)
    assert (cascade.events, cascade.usd) == (30, 30_000.0)
    assert cascade.gaps is None
    assert detector.cascade("ETHUSDT") is None


async def test_one_crossing_is_one_cascade_and_five_quiet_minutes_end_it() -> None:
    detector = CascadeDetector(2.0)
    now_ms = int(time.time() * 1000)
    for k in range(40):
        await detector.check_cascade(_event(now_ms - 5_000 + 100 * k))
    first = detector.cascade()

    await detector.check_cascade(_event(now_ms + 400_000, symbol="ETHUSDT"))

    assert first is not None
    assert detector.cascade("BTCUSDT") is None


async def test_return_periods_learn_first_and_then_know_what_is_rare() -> None:
    detector = CascadeDetector(detector="return_periods")
    begin_ms = 1_790_000_000_000
    quiet = [await detector.check_cascade(_event(begin_ms + 600_000 * k, 2_000.0 + k)) for k in range(300)]
    burst_ms = begin_ms + 600_000 * 300
    burst = [await detector.check_cascade(_event(burst_ms + 500 * k, 20_000.0)) for k in range(60)]

    cascade = detector.cascade()

    assert not any(quiet)
    assert burst[-1]
    assert cascade is not None
    assert (cascade.detector, cascade.events, cascade.level) == ("return_periods", 60, "CRITICAL")
    assert "as much comes once in" in cascade.why
    assert not await detector.check_cascade(_event(burst_ms + 900_000, 2_000.0))  # it has come down by then


def test_another_detector_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="detector='cusum': choose one of threshold, return_periods"):
        CascadeDetector(detector="cusum")  # type: ignore[arg-type]
