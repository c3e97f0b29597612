"""Whether code written for the founding document still works: eight checks, without network and without Redis.

    cd tests && python test_enhanced_websocket_compatibility.py

prints a summary and exits with 1 if any check fails. Under pytest each check is a test.
"""

import asyncio
import importlib
import logging
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

_CHECKOUT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":  # pytest has a path of its own
    sys.path.insert(0, str(_CHECKOUT))

try:
    from enhanced_websocket_manager import EnhancedWebSocketManager, VelocityTracker
except ModuleNotFoundError as missing:
    if __name__ != "__main__":
        raise
    sys.stderr.write(f"{missing.name} is not installed: pip install -r {_CHECKOUT / 'requirements.txt'}\n")
    sys.exit(2)

Emit = Callable[[Any], Awaitable[None]]

_NAMES = {
    "enhanced_websocket_manager": (
        "EnhancedWebSocketManager VelocityTracker VelocityMetrics BTCPriceFeed BTCPriceUpdate "
        "VELOCITY_ALERT_THRESHOLD ACCELERATION_ALERT_THRESHOLD"
    ),
    "professional_cascade_detector": "CascadeDetector",
    "cex.cex_exchanges": "BinanceLiquidationStream BybitLiquidationStream OKXLiquidationStream",
    "cex.cex_engine": "LiquidationEvent Exchange Side",
    "dex.hyperliquid_liquidation_provider": "HyperliquidLiquidationProvider",
    "shared.models.compact_liquidation": "CompactLiquidation LiquidationSide LiquidationBuffer",
}
_METHODS = "add_cex_exchange add_dex_hyperliquid initialize start_all stop_all get_stats _handle_liquidation_event"
_WINDOWS = (10, 30, 60, 300)
_NOBODY = 9  # the port of a Redis that is not there
_EVENTS = 10_000
_LIMIT_MS = 1.0
_PATIENCE_SECONDS = 8.0


class ExistingStream:
    """A stream as users have them: it awaits its callback."""

    def __init__(self, callback: Emit) -> None:
        self.callback = callback
        self.is_stopped = False

    async def start(self) -> None:
        await asyncio.Event().wait()

    async def stop(self) -> None:
        self.is_stopped = True

    async def receive(self, event: Any) -> None:
        await self.callback(event)


def test_import_compatibility() -> None:
    missing = [
        f"{module}.{name}"
        for module, names in _NAMES.items()
        for name in names.split()
        if not hasattr(importlib.import_module(module), name)
    ]
    missing += [name for name in _METHODS.split() if not callable(getattr(EnhancedWebSocketManager, name, None))]
    assert not missing, f"not there: {', '.join(missing)}"


def test_event_handling() -> None:
    """Symbol, time and USD are read from the user's events as they are, and from native ones."""
    engine = importlib.import_module("cex.cex_engine")
    now = time.time()
    events = [
        SimpleNamespace(symbol="BTCUSDT", value_usd=1_000.5, timestamp_ms=round(now * 1000) - 15_000),
        SimpleNamespace(symbol="BTCUSDT", price=100.0, quantity=2.5, timestamp=now - 20),
        {"symbol": "BTCUSDT", "usd_value": 3.25, "timestamp": now - 45},
        engine.LiquidationEvent(round(now * 1000), engine.Exchange.BYBIT, "BTCUSDT", engine.Side.LONG, 50.0, 0.5, 25.0),
    ]

    async def handled() -> EnhancedWebSocketManager:
        manager = EnhancedWebSocketManager(["BTCUSDT"], redis_port=_NOBODY)
        for event in events:
            await manager._handle_liquidation_event(event)
        return manager

    metrics = asyncio.run(handled()).velocity_tracker.calculate_velocity("BTCUSDT")
    assert metrics is not None, "the events were not counted"
    counts = [getattr(metrics, f"event_count_{w}s") for w in _WINDOWS]
    assert counts == [1, 3, 4, 4], f"counts of 10, 30, 60, 300 s are {counts}, not [1, 3, 4, 4]"
    assert metrics.total_value_usd == 1_278.75, f"the USD are {metrics.total_value_usd}, not 1278.75"
    assert events[3].side_name == "LONG", "a native event names its side wrong"
    assert (events[3].exchange_name, events[3].timestamp.timestamp()) == ("bybit", round(now * 1000) / 1000)


def test_stream_initialization() -> None:
    """Every venue of the document starts, brings events (from the built-in venues) and stops."""
    got: set[str] = set()

    async def run() -> EnhancedWebSocketManager:
        manager = EnhancedWebSocketManager(["BTCUSDT", "ETHUSDT"], redis_port=_NOBODY)
        manager.user_callback = lambda event: got.add(event.exchange_name)
        for venue in ("binance", "bybit", "okx"):
            manager.add_cex_exchange(venue)
        manager.add_dex_hyperliquid(["BTC", "ETH"])
        running = asyncio.create_task(manager.start_all())
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while len(got) < 4 and time.monotonic() < deadline:  # noqa: ASYNC110 - a thread fills it
            await asyncio.sleep(0.05)
        await manager.stop_all()
        await running
        return manager

    async def simulated() -> EnhancedWebSocketManager:
        from liqtape.simulator import Simulator

        async with Simulator("cascade", speed=3.0) as simulator:
            with _addresses(simulator):
                return await run()

    manager = asyncio.run(simulated())
    silent = {"binance", "bybit", "okx", "hyperliquid"} - got
    assert not silent, f"no event in {_PATIENCE_SECONDS:g} s from {', '.join(sorted(silent))}"
    streams = [*manager.cex_streams.values(), *manager.dex_streams]
    assert all(hasattr(stream, "url") and callable(stream.start) and callable(stream.stop) for stream in streams)


@contextmanager
def _addresses(simulator: Any) -> Iterator[None]:
    addresses = {"LIQTAPE_PRICE_SPOT_URL": "ws://127.0.0.1:9"}
    for venue in ("binance", "bybit", "okx", "hyperliquid"):
        addresses[f"LIQTAPE_VENUES_{venue.upper()}_WS_URL"] = simulator.ws_url(venue)
        addresses[f"LIQTAPE_VENUES_{venue.upper()}_REST_URL"] = simulator.rest_url(venue)
    with patch.dict(os.environ, addresses):
        yield


def test_callback_interface() -> None:
    """Sync, async and failing callbacks get the very event objects, each once and in order."""
    events = [SimpleNamespace(symbol="BTCUSDT", value_usd=float(i)) for i in range(300)]
    got: dict[str, list[Any]] = {"sync": [], "async": [], "failing": []}

    async def asynchronous(event: Any) -> None:
        await asyncio.sleep(0)
        got["async"].append(event)

    def failing(event: Any) -> None:
        got["failing"].append(event)
        raise RuntimeError("a callback's own error")

    async def handed(callback: Callable[[Any], Any]) -> None:
        manager = EnhancedWebSocketManager(["BTCUSDT"], redis_port=_NOBODY)
        manager.user_callback = callback
        for event in events:
            await manager._handle_liquidation_event(event)
        await manager.stop_all()

    for callback in (got["sync"].append, asynchronous, failing):
        asyncio.run(handed(callback))
    for kind, received in got.items():
        assert len(received) == len(events), f"the {kind} callback got {len(received)} of {len(events)} events"
        is_same = all(a is b for a, b in zip(received, events, strict=True))
        assert is_same, f"the {kind} callback got other objects, or in another order"


def test_statistics() -> None:
    """What `get_stats` says is what happened."""

    async def handled() -> dict[str, Any]:
        manager = EnhancedWebSocketManager(["BTCUSDT"], redis_port=_NOBODY)
        manager.add_cex_exchange("mine", stream=ExistingStream)
        for symbol, count in (("BTCUSDT", 60), ("ETHUSDT", 7)):
            for _ in range(count):
                await manager.cex_streams["mine"].receive(SimpleNamespace(symbol=symbol, value_usd=1.0))
        await manager.cex_streams["mine"].receive(object())
        return manager.get_stats()

    stats = asyncio.run(handled())
    expected = {"events_processed": 68, "velocity_alerts": 1, "cex_streams": ["mine"], "dex_streams": 0}
    wrong = {name: stats.get(name) for name, value in expected.items() if stats.get(name) != value}
    assert not wrong, f"{wrong} where {expected} happened"
    assert stats["velocity_tracker"]["buffer_sizes"] == {"BTCUSDT": 60, "ETHUSDT": 7}
    assert sum(stats["stream_errors"].values()) == 1, "the unreadable event is not among the errors"


def test_velocity_tracker_independence() -> None:
    """The tracker works alone, agrees with a recount, and shares nothing with another."""
    tracker, other = VelocityTracker(), VelocityTracker()
    assert tracker.calculate_velocity("BTCUSDT") is None, "a symbol never seen has metrics"
    now_ms = round(time.time() * 1000) + 60_000  # ahead, so that the newest event is the evaluation time
    stamps = [now_ms - i * 7919 % 310_000 for i in range(400)]
    for stamp in stamps:
        tracker.add_event("BTCUSDT", 10.0, stamp / 1000)
    metrics = tracker.calculate_velocity("BTCUSDT")
    assert metrics is not None
    counts = [sum(now_ms - 1000 * w < at <= now_ms for at in stamps) for w in _WINDOWS]
    ours = [getattr(metrics, f"event_count_{w}s") for w in _WINDOWS]
    assert ours == counts, f"counts {ours}, recounted {counts}"
    inside = [Fraction(at - now_ms, 1000) for at in stamps if now_ms - 20_000 < at <= now_ms]
    slope = float(Fraction(12, 20**3) * sum((at + 10 for at in inside), Fraction()))
    assert metrics.acceleration == slope, f"acceleration {metrics.acceleration}, recounted {slope}"
    assert metrics.total_value_usd == 10.0 * counts[-1], "the USD are not those of the last 300 s"
    assert other.calculate_velocity("BTCUSDT") is None, "two trackers share their events"


def test_zero_breaking_changes() -> None:
    """Existing streams and callbacks work beside a manager and inside one, and are not changed by it."""
    before = dict(vars(ExistingStream))
    got: dict[str, list[Any]] = {"alone": [], "inside": []}

    async def alone(event: Any) -> None:
        got["alone"].append(event)

    async def inside(event: Any) -> None:
        got["inside"].append(event)

    async def run() -> bool:
        beside, wrapped = ExistingStream(alone), ExistingStream(inside)
        manager = EnhancedWebSocketManager(["BTCUSDT"], redis_port=_NOBODY)
        manager.add_cex_exchange("mine", stream=wrapped)
        for number in range(50):
            await beside.receive(SimpleNamespace(symbol="BTCUSDT", number=number))
            await wrapped.receive(SimpleNamespace(symbol="BTCUSDT", number=number))
        assert manager.events_processed == 50, f"the manager saw {manager.events_processed} of 50 events of its stream"
        return beside.callback is alone

    is_untouched = asyncio.run(run())
    for place, events in got.items():
        assert [event.number for event in events] == list(range(50)), f"the old callback {place} lost events"
    assert is_untouched, "a stream beside the manager was changed"
    assert dict(vars(ExistingStream)) == before, "the stream's class was changed"


def test_performance() -> None:
    """The median CPU time of an event, counted, checked for alerts and handed to a callback."""

    async def measured() -> list[int]:
        manager = EnhancedWebSocketManager(["BTCUSDT"], redis_port=_NOBODY)
        manager.user_callback = _ignore
        taken = []
        for number in range(_EVENTS):
            event = SimpleNamespace(symbol="BTCUSDT", price=100.0, quantity=number)
            began = time.thread_time_ns()
            await manager._handle_liquidation_event(event)
            taken.append(time.thread_time_ns() - began)
        await manager.stop_all()
        return taken

    median_ms = statistics.median(asyncio.run(measured())) / 1e6
    assert median_ms < _LIMIT_MS, f"{median_ms:.3f} ms CPU an event, median of {_EVENTS:,}; the limit is {_LIMIT_MS} ms"


async def _ignore(_: Any) -> None:
    """A callback that does nothing."""


CHECKS: dict[str, Callable[[], None]] = {
    "Import Compatibility": test_import_compatibility,
    "Event Handling": test_event_handling,
    "Stream Initialization": test_stream_initialization,
    "Callback Interface": test_callback_interface,
    "Statistics": test_statistics,
    "Velocity Tracker Independence": test_velocity_tracker_independence,
    "Zero Breaking Changes": test_zero_breaking_changes,
    "Performance": test_performance,
}


def _reason(check: Callable[[], None]) -> str:
    """Why the check fails, in a line; empty when it passes."""
    try:
        check()
    except Exception as error:  # noqa: BLE001 - whatever a broken copy raises is the reason
        return f"{type(error).__name__}: {error}".partition("\n")[0]
    return ""


def main() -> int:
    """Run all checks, print the summary; the exit code."""
    logging.disable(logging.ERROR)  # alerts and the absent Redis belong to the checks
    reasons = {name: _reason(check) for name, check in CHECKS.items()}
    passed = sum(not reason for reason in reasons.values())
    lines = [f"❌ FAIL - {name}: {reason}" if reason else f"✅ PASS - {name}" for name, reason in reasons.items()]
    last = "✅ ALL TESTS PASSED - Backward compatibility maintained!"
    if passed < len(CHECKS):
        last = f"❌ {len(CHECKS) - passed} TESTS FAILED - see the reasons above"
    rule = "=" * 80
    results = f"Results: {passed}/{len(CHECKS)} tests passed"
    sys.stdout.write("\n".join(["TEST SUMMARY", rule, *lines, rule, results, last]) + "\n")
    return 0 if passed == len(CHECKS) else 1


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.exit(main())
