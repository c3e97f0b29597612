"""The published test vectors of velocity, acceleration and the throttle correction, read as their `reading` says."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from liqtape.engine import VelocityEngine
from liqtape.engine.windows.acceleration import difference, exponential, jerk, least_squares
from liqtape.engine.windows.slotrate import corrected_rate
from liqtape.events import Liquidation
from liqtape.money import MICRO

_FILE = Path(__file__).resolve().parents[1] / "fixtures" / "metric_vectors_velocity.json"
_VECTORS: list[dict[str, Any]] = json.loads(_FILE.read_bytes())["vectors"]
_AHEAD_MS = 2_000

_RATIOS = ("velocity", "usd_velocity", "imbalance_count", "imbalance_usd", "coverage", "rate_per_exposure")
_ROOTS = ("se_velocity", "se_usd_velocity")


def _of(metric: str, **params: float) -> pytest.MarkDecorator:
    chosen = [v for v in _VECTORS if v["metric"] == metric and params.items() <= v["params"].items()]
    return pytest.mark.parametrize("vector", [pytest.param(v, id=v["id"]) for v in chosen])


def agrees(value: float | None, expected: dict[str, str] | None) -> bool:
    """Rationals: the float nearest to p/q. Digits: 1e-9 relative, 1e-12 absolute near zero. Null: None."""
    if value is None or expected is None:
        return value is None and expected is None
    if "exact" in expected:
        return value == float(Fraction(expected["exact"]))
    return value == pytest.approx(float(expected["digits"]), rel=1e-9, abs=1e-12)


def _events(vector: dict[str, Any]) -> list[Liquidation]:
    return [
        Liquidation("bybit", "BTCUSDT", "BTCUSDT", side, 1.0, "fill", None, float(usd), event_ms)
        for event_ms, usd, side, repeat in ((*row, 1)[:4] for row in vector["input"]["events_in_arrival_order"])
        for _ in range(repeat)
    ]


def _add_until(engine: VelocityEngine, events: list[Liquidation], now_ms: int) -> list[Liquidation]:
    """Add what a live engine would have by `now_ms`, newer events up to 2 s included; returns what is still to come."""
    for event in events:
        if event.event_ms <= now_ms + _AHEAD_MS:
            engine.add(event)  # too old for any window is one way to be right
    return [event for event in events if event.event_ms > now_ms + _AHEAD_MS]


def test_the_file_has_all_vectors() -> None:
    metrics = [vector["metric"] for vector in _VECTORS]

    assert {name: metrics.count(name) for name in metrics} == {
        "velocity": 6,
        "acceleration": 5,
        "throttle_corrected_rate": 4,
    }


@_of("velocity")
def test_velocity(vector: dict[str, Any]) -> None:
    engine = VelocityEngine()
    engine.feed_up("bybit", vector["params"].get("start_ms", 0))
    for down_ms, up_ms in vector["params"].get("outages", ()):
        engine.feed_down("bybit", down_ms)
        engine.feed_up("bybit", up_ms)
    events = _events(vector)
    for moment in vector["expected"]:
        events = _add_until(engine, events, moment["t_ms"])
        metrics = engine.metrics("BTCUSDT", moment["t_ms"])
        assert metrics is not None
        for seconds, expected in moment["windows"].items():
            window = engine.window("BTCUSDT", int(seconds), moment["t_ms"])
            assert window is not None
            assert (window.count, window.long_count, window.short_count) == (
                expected["count"],
                expected["long_count"],
                expected["short_count"],
            )
            sums = [Fraction(expected[name]) * MICRO for name in ("usd", "long_usd", "short_usd")]
            assert [window.micro, window.long_micro, window.short_micro] == sums
            assert window.live_ms == 1000 * Fraction(expected["exposure_s"]["exact"])
            for name in (*_RATIOS, *_ROOTS):
                assert agrees(getattr(window, name), expected[name]), (seconds, name)
            for name in ("velocity", "usd_velocity", "coverage"):
                assert agrees(getattr(metrics, f"{name}_{seconds}s"), expected[name]), (seconds, name)


@_of("acceleration")
def test_acceleration(vector: dict[str, Any]) -> None:
    params = vector["params"]
    width = params["W_s"]
    times = sorted(event.event_ms for event in _events(vector))
    for expected in vector["expected"]:
        now = expected["t_ms"]
        values: dict[str, float] = {
            "accel_ew": exponential(times, now, params["tau1_s"], params["tau2_s"]),
            "jerk_diff": jerk(times, now, width),
        }
        values["accel_diff"], values["se_accel_diff"] = difference(times, now, width)
        values["accel_ls"], values["se_accel_ls"] = least_squares(times, now, width)
        for name, value in values.items():
            assert agrees(value, expected[name]), (now, name)


@_of("acceleration", W_s=10)
def test_acceleration_of_the_engine(vector: dict[str, Any]) -> None:
    engine = VelocityEngine()
    events = _events(vector)
    for expected in vector["expected"]:
        events = _add_until(engine, events, expected["t_ms"])
        metrics = engine.metrics("BTCUSDT", expected["t_ms"])
        assert metrics is not None
        assert agrees(metrics.acceleration, expected["accel_ls"])
        assert agrees(metrics.acceleration_se, expected["se_accel_ls"])


@_of("throttle_corrected_rate")
def test_throttle_corrected_rate(vector: dict[str, Any]) -> None:
    expected = vector["expected"]
    slots, taken = vector["input"]["window_s"], vector["input"]["slots_with_a_print"]

    corrected = corrected_rate(slots, taken)

    assert agrees(corrected.rate, expected["rate"])
    assert agrees(corrected.se, expected["se"])
    assert corrected.saturated is expected["saturated"]


@_of("throttle_corrected_rate")
def test_throttle_corrected_rate_of_the_engine(vector: dict[str, Any]) -> None:
    slots, taken = vector["input"]["window_s"], vector["input"]["slots_with_a_print"]
    now = 1_760_130_900_999  # the end of a clock second: the window holds `slots` whole ones
    engine = VelocityEngine()
    for i in range(taken):
        engine.add(Liquidation("okx", "BTCUSDT", "BTCUSDT", "long", 1.0, "fill", None, 1.0, now - 1_000 * i - 500))

    metrics = engine.metrics("BTCUSDT", now)

    assert metrics is not None
    assert agrees(getattr(metrics, f"velocity_est_{slots}s"), vector["expected"]["rate"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, {"exact": "0"}),
        (0.0, None),
        (0.1 + 1e-12, {"exact": "1/10"}),
        (1.0 + 2e-9, {"digits": "1.0"}),
        (2e-12, {"digits": "0.0"}),
    ],
    ids=["missing", "zero for null", "rational", "digits", "near zero"],
)
def test_the_comparison_can_fail(value: float | None, expected: dict[str, str] | None) -> None:
    assert not agrees(value, expected)
