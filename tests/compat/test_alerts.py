import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import enhanced_websocket_manager as root
import pytest
from enhanced_websocket_manager import EnhancedWebSocketManager, VelocityMetrics

Eventually = Callable[[Callable[[], bool]], Awaitable[None]]
Say = Callable[[int], Awaitable[None]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1_790_000_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


@pytest.fixture
def manager() -> EnhancedWebSocketManager:
    return EnhancedWebSocketManager(symbols=["BTCUSDT"])


async def _feed(manager: EnhancedWebSocketManager, count: int, symbol: str = "BTCUSDT") -> None:
    for _ in range(count):
        await manager._handle_liquidation_event(SimpleNamespace(symbol=symbol, value_usd=1.0))


def _lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "enhanced_websocket_manager"]


@pytest.mark.usefixtures("clock")
async def test_alert_line_is_the_documented_one(
    manager: EnhancedWebSocketManager, caplog: pytest.LogCaptureFixture
) -> None:
    await _feed(manager, 49)
    assert _lines(caplog) == []

    await _feed(manager, 16)

    assert _lines(caplog) == ["⚡ VELOCITY ALERT: BTCUSDT 5.00 events/s (accel: 0.8)"]
    assert caplog.records[0].levelno == logging.WARNING


async def test_one_alert_a_crossing_and_armed_again_below(
    manager: EnhancedWebSocketManager, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    await _feed(manager, 200)
    clock[0] += 9.9
    await _feed(manager, 200)
    assert len(_lines(caplog)) == 1

    clock[0] += 10.1  # the first event after the calm shows 0.1 events/s
    await _feed(manager, 60)
    await _feed(manager, 60, "ETHUSDT")

    assert [line.split()[3] for line in _lines(caplog)] == ["BTCUSDT", "BTCUSDT", "ETHUSDT"]
    assert manager.velocity_alerts == manager.get_stats()["velocity_alerts"] == 3


async def test_a_steady_rate_at_the_threshold_is_one_crossing(
    manager: EnhancedWebSocketManager, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(200):
        clock[0] += 0.2
        await _feed(manager, 1)

    assert len(_lines(caplog)) == 1


async def test_a_threshold_that_one_event_reaches_is_crossed_after_each_calm(
    manager: EnhancedWebSocketManager,
    clock: list[float],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(root, "VELOCITY_ALERT_THRESHOLD", 0.1)
    for _ in range(3):
        await _feed(manager, 2)
        clock[0] += 11

    assert len(_lines(caplog)) == 3


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("name", "value", "events"),
    [("VELOCITY_ALERT_THRESHOLD", 2, 20), ("ACCELERATION_ALERT_THRESHOLD", 0.15, 10)],
)
async def test_thresholds_are_read_from_the_root_module_each_time(
    manager: EnhancedWebSocketManager,
    name: str,
    value: float,
    events: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await _feed(manager, events - 1)
    monkeypatch.setattr(root, name, value)
    assert manager.velocity_alerts == 0

    await _feed(manager, 1)

    assert manager.velocity_alerts == 1


@pytest.mark.usefixtures("clock")
async def test_acceleration_alone_is_an_alert(
    manager: EnhancedWebSocketManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(root, "VELOCITY_ALERT_THRESHOLD", 1_000)
    await _feed(manager, 133)
    assert manager.velocity_alerts == 0

    await _feed(manager, 1)  # 134 events at once: 6 x 134 / 20^2 = 2.01 events/s^2

    assert manager.velocity_alerts == 1


@pytest.mark.parametrize("way", ["by call", "assigned", "as a decorator"])
@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
async def test_alert_handler_gets_the_metrics(
    manager: EnhancedWebSocketManager, way: str, is_async: bool, eventually: Eventually
) -> None:
    got: list[VelocityMetrics] = []

    async def later(metrics: VelocityMetrics) -> None:
        await asyncio.sleep(0)
        got.append(metrics)

    handler: Callable[[VelocityMetrics], Any] = later if is_async else got.append
    if way == "by call":
        manager.on_velocity_alert(handler)
    elif way == "assigned":
        manager.on_velocity_alert = handler
    else:
        assert manager.on_velocity_alert(handler) is handler
    await _feed(manager, 60)
    await eventually(lambda: bool(got))
    await manager.stop_all()

    assert [(metrics.symbol, metrics.velocity_10s) for metrics in got] == [("BTCUSDT", 5.0)]
    assert type(got[0]) is VelocityMetrics


async def test_no_handler_any_more(manager: EnhancedWebSocketManager) -> None:
    got: list[VelocityMetrics] = []
    manager.on_velocity_alert = got.append
    manager.on_velocity_alert = None

    await _feed(manager, 60)
    await manager.stop_all()

    assert manager.velocity_alerts == 1
    assert got == []
