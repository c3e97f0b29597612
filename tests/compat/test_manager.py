import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import enhanced_websocket_manager as root
import pytest
from enhanced_websocket_manager import EnhancedWebSocketManager, VelocityMetrics

from liqtape.compat.events import LiquidationEvent
from liqtape.compat.streams import BinanceLiquidationStream
from liqtape.events import Liquidation

Eventually = Callable[[Callable[[], bool]], Awaitable[None]]
_LOGGER = "enhanced_websocket_manager"


class Emitting:
    """A user's stream: `emit` calls the callback as `how` says."""

    def __init__(self, callback: Callable[[Any], Any]) -> None:
        self.callback = callback
        self.stopped = False

    async def start(self) -> None:
        await asyncio.Event().wait()

    async def stop(self) -> None:
        self.stopped = True

    async def emit(self, event: Any, how: str = "awaited") -> None:
        if how == "awaited":
            await self.callback(event)
        elif how == "called":
            self.callback(event)
        elif how == "as a task":
            await asyncio.create_task(self.callback(event))
        elif how == "gathered":
            await asyncio.gather(self.callback(event))
        else:
            thread = threading.Thread(target=self.callback, args=(event,))
            thread.start()
            await asyncio.to_thread(thread.join)


class Iterating:
    """A user's provider: its events are iterated over."""

    def __init__(self, symbols: list[str]) -> None:
        self.symbols = symbols
        self.stopped = False

    async def start_monitoring(self) -> AsyncIterator[Any]:
        for number in range(3):
            yield _event(quantity=number)
        await asyncio.Event().wait()

    async def stop_monitoring(self) -> None:
        self.stopped = True


def _event(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(**({"symbol": "BTCUSDT", "price": 5.0, "quantity": 2.0} | fields))


@pytest.fixture
def manager(free_port: int) -> EnhancedWebSocketManager:
    """One whose Redis is not there."""
    return EnhancedWebSocketManager(symbols=["BTCUSDT"], redis_port=free_port)


async def _running(manager: EnhancedWebSocketManager) -> "asyncio.Task[None]":
    task = asyncio.create_task(manager.start_all())
    await asyncio.sleep(0.05)
    return task


@pytest.mark.parametrize("how", ["awaited", "called", "as a task", "gathered", "from a thread"])
async def test_callback_may_be_called_in_any_way(
    manager: EnhancedWebSocketManager, how: str, eventually: Eventually
) -> None:
    got: list[Any] = []
    manager.user_callback = got.append
    manager.add_cex_exchange("mine", stream=Emitting)
    running = await _running(manager)
    event = _event()

    await manager.cex_streams["mine"].emit(event, how)
    await eventually(lambda: bool(got))
    metrics = manager.velocity_tracker.calculate_velocity("BTCUSDT")
    assert manager.tracker is not None
    rows = manager.tracker.snapshot(["BTCUSDT"])
    await manager.stop_all()
    await running

    assert got == [event]
    assert got[0] is event
    assert (metrics.event_count_10s, metrics.total_value_usd) == (1, 10.0)
    assert [(row.event_count_10s, row.total_value_usd) for row in rows] == [(1, 10.0)]
    assert manager.cex_streams["mine"].stopped


async def test_async_iterator_is_iterated(manager: EnhancedWebSocketManager, eventually: Eventually) -> None:
    got: list[Any] = []
    manager.user_callback = got.append
    provider = Iterating(["BTC"])
    manager.add_cex_exchange("mine", stream=provider)
    running = await _running(manager)

    await eventually(lambda: len(got) == 3)
    await manager.stop_all()
    await running

    assert [event.quantity for event in got] == [0, 1, 2]
    assert provider.stopped


async def test_a_given_object_keeps_its_own_callback(manager: EnhancedWebSocketManager, eventually: Eventually) -> None:
    old: list[Any] = []
    new: list[Any] = []

    async def old_callback(event: Any) -> None:
        old.append(event)

    stream = Emitting(old_callback)
    manager.user_callback = new.append
    manager.add_cex_exchange("mine", stream=stream)
    running = await _running(manager)

    await stream.emit(_event())
    await eventually(lambda: bool(new))
    await manager.stop_all()
    await running

    assert old == new
    assert old[0] is new[0]


def _keyword_only(*, callback: Callable[[Any], Any]) -> Emitting:
    return Emitting(callback)


def _callback_second(symbols: list[str], callback: Callable[[Any], Any]) -> Emitting:
    assert symbols == ["BTCUSDT"]
    return Emitting(callback)


def _differently_named(listener: Callable[[Any], Any]) -> Emitting:
    return Emitting(listener)


@pytest.mark.parametrize("made", [Emitting, _keyword_only, _callback_second, _differently_named])
async def test_callback_is_handed_over_by_name_or_first(manager: EnhancedWebSocketManager, made: Any) -> None:
    manager.add_cex_exchange("mine", stream=made)

    await manager.cex_streams["mine"].emit(_event())

    assert manager.events_processed == 1


def test_an_object_without_a_callback_is_refused(manager: EnhancedWebSocketManager) -> None:
    with pytest.raises(TypeError, match="neither a `callback` attribute"):
        manager.add_cex_exchange("mine", stream=SimpleNamespace(start=None))


def test_an_unknown_venue_is_warned_of(manager: EnhancedWebSocketManager, caplog: pytest.LogCaptureFixture) -> None:
    manager.add_cex_exchange("kraken")

    assert manager.cex_streams == {}
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "unknown exchange 'kraken' is not added: known are binance, bybit, okx, hyperliquid; others need stream="
    ]


async def test_wrapped_events_are_neither_filtered_nor_deduplicated(
    manager: EnhancedWebSocketManager, eventually: Eventually
) -> None:
    got: list[Any] = []
    manager.user_callback = got.append
    manager.add_cex_exchange("mine", stream=Emitting)
    running = await _running(manager)
    stream = manager.cex_streams["mine"]
    same = _event(symbol="DOGEUSDT", timestamp_ms=int(time.time() * 1000))

    for _ in range(4):
        await stream.emit(same)
    await eventually(lambda: len(got) == 4)
    ledger = manager.get_stats()["ledger"]
    metrics = manager.velocity_tracker.calculate_velocity("DOGEUSDT")
    await manager.stop_all()
    await running

    assert metrics.event_count_10s == 4
    assert (ledger["events_accepted"], ledger["events_duplicate"], ledger["events_rejected_filtered"]) == (4, 0, 0)


async def test_unknown_objects_are_passed_on_and_counted(
    manager: EnhancedWebSocketManager, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    class Cursed:
        @property
        def symbol(self) -> str:
            raise ZeroDivisionError("an error with a text of its own")

    got: list[Any] = []
    manager.user_callback = got.append
    events: list[Any] = [None, 7, None, object(), Cursed(), _event(timestamp=1e30)]

    for event in events:
        await manager._handle_liquidation_event(event)
    await eventually(lambda: len(got) == len(events))
    await manager.stop_all()

    assert got == events
    assert manager.events_processed == 6
    assert sum(manager.get_stats()["stream_errors"].values()) == 6
    assert len([record for record in caplog.records if "uncounted" in record.message]) == 5
    assert manager.velocity_tracker.calculate_velocity("BTCUSDT") is None


async def test_an_event_handed_over_by_hand_calls_the_callback_without_start_all(
    manager: EnhancedWebSocketManager, eventually: Eventually
) -> None:
    got: list[Any] = []

    async def callback(event: Any) -> None:
        got.append(event)

    manager.user_callback = callback
    event = _event()
    await manager._handle_liquidation_event(event)
    await eventually(lambda: bool(got))
    await manager.stop_all()
    await manager._handle_liquidation_event(event)  # and again after a stop
    await eventually(lambda: len(got) == 2)
    await manager.stop_all()

    assert manager.get_stats()["callbacks"]["user_callback"]["called"] == 2


def test_events_from_a_thread_before_the_start_wait_for_the_callback(manager: EnhancedWebSocketManager) -> None:
    got: list[Any] = []
    manager.user_callback = got.append
    manager.add_cex_exchange("mine", stream=Emitting)
    thread = threading.Thread(target=manager.cex_streams["mine"].callback, args=(_event(),))
    thread.start()
    thread.join()

    async def started() -> None:
        running = await _running(manager)
        await manager.stop_all()
        await running

    asyncio.run(started())

    assert (len(got), manager.events_processed) == (1, 1)


class Overriding(EnhancedWebSocketManager):
    seen: list[Any]

    async def _handle_liquidation_event(self, event: Any) -> None:
        self.seen.append(event)
        await asyncio.sleep(0)
        await super()._handle_liquidation_event(event)


class Replacing(EnhancedWebSocketManager):
    seen: list[Any]

    async def _handle_liquidation_event(self, event: Any) -> None:
        self.seen.append(event)


@pytest.mark.parametrize(("kind", "counted"), [(Overriding, 2), (Replacing, 0)], ids=["with super", "without"])
async def test_the_handler_may_be_overridden(
    kind: type[Any], counted: int, free_port: int, eventually: Eventually
) -> None:
    manager = kind(symbols=["BTCUSDT"], redis_port=free_port)
    got: list[Any] = []
    manager.seen, manager.user_callback = [], got.append
    manager.add_cex_exchange("mine", stream=Emitting)
    running = await _running(manager)
    await manager.cex_streams["mine"].emit(_event(), "called")
    manager._native(_liquidation(), is_news=True)
    await eventually(lambda: len(manager.seen) == 2)
    await manager.stop_all()
    await running

    assert isinstance(manager.seen[0], SimpleNamespace)
    assert isinstance(manager.seen[1], LiquidationEvent)
    assert (manager.events_processed, len(got)) == (counted, counted)


async def test_the_handler_may_be_replaced_on_the_instance(
    manager: EnhancedWebSocketManager, eventually: Eventually
) -> None:
    seen: list[Any] = []
    original = manager._handle_liquidation_event

    async def mine(event: Any) -> None:
        seen.append(event)
        if event.quantity == 1.0:
            raise RuntimeError("the second event")
        await original(event)

    manager._handle_liquidation_event = mine  # type: ignore[method-assign]
    manager.add_cex_exchange("mine", stream=Emitting)
    running = await _running(manager)
    for number in range(3):
        await manager.cex_streams["mine"].emit(_event(quantity=float(number)))
    await eventually(lambda: len(seen) == 3)
    await manager.stop_all()
    await running

    assert [event.quantity for event in seen] == [0.0, 1.0, 2.0]
    assert manager.events_processed == 2
    errors = manager.get_stats()["callbacks"]["_handle_liquidation_event"]["errors"]
    assert sum(errors.values()) == 1


def _liquidation(number: int = 0) -> Liquidation:
    now = int(time.time() * 1000)
    return Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 5.0, "bankruptcy", 2.0, 10.0, now, now, f"id {number}")


async def test_an_event_of_a_stream_beside_the_manager_may_be_handed_over(
    manager: EnhancedWebSocketManager,
) -> None:
    """What another tracker took in is not in this one's engine yet; what this one took in is."""
    running = await _running(manager)
    assert manager.tracker is not None
    beside = root.EnhancedWebSocketManager()
    await beside._handle_liquidation_event(event := LiquidationEvent(1, 0, "X", 0, 1.0, 1.0, 1.0))
    assert event.taken_in_by is None

    manager._native(_liquidation(1), is_news=True)
    await manager._handle_liquidation_event(
        LiquidationEvent(int(time.time() * 1000), 1, "BTCUSDT", 0, 5.0, 2.0, 10.0, _liquidation(2), object())
    )
    accepted = manager.get_stats()["ledger"]["events_accepted"]
    await manager.stop_all()
    await running

    assert accepted == 1
    assert manager.velocity_tracker.calculate_velocity("BTCUSDT").event_count_10s == 2
    assert manager.events_processed == 2


async def test_streams_added_while_running_run(manager: EnhancedWebSocketManager, eventually: Eventually) -> None:
    got: list[Any] = []
    manager.user_callback = got.append
    running = await _running(manager)
    manager.add_cex_exchange("mine", stream=Iterating(["BTC"]))
    manager.add_cex_exchange("binance")

    await eventually(lambda: len(got) == 3)
    await manager.stop_all()
    await running

    assert isinstance(manager.cex_streams["binance"], BinanceLiquidationStream)
    assert not manager.cex_streams["binance"].running


async def test_manager_starts_again_after_a_stop(manager: EnhancedWebSocketManager, eventually: Eventually) -> None:
    got: list[Any] = []
    manager.user_callback = got.append
    manager.add_cex_exchange("mine", stream=Emitting)
    for rounds in (1, 2):
        running = await _running(manager)
        await manager.cex_streams["mine"].emit(_event())
        await eventually(lambda: len(got) == rounds)  # noqa: B023 - awaited at once
        await manager.stop_all()
        await running

    assert manager.get_stats()["callbacks"]["user_callback"]["called"] == 2


def test_manager_outlives_a_loop(manager: EnhancedWebSocketManager) -> None:
    async def once() -> None:
        running = await _running(manager)
        await manager.stop_all()
        await running

    asyncio.run(once())
    asyncio.run(once())


async def test_start_all_that_is_cancelled_stops_everything(manager: EnhancedWebSocketManager) -> None:
    manager.add_cex_exchange("mine", stream=Emitting)
    running = await _running(manager)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert manager.tracker is None
    assert manager.cex_streams["mine"].stopped


async def test_stop_all_may_be_called_from_the_callback(manager: EnhancedWebSocketManager) -> None:
    async def callback(_: Any) -> None:
        await manager.stop_all()

    manager.user_callback = callback
    manager.add_cex_exchange("mine", stream=Emitting)
    running = await _running(manager)

    await manager.cex_streams["mine"].emit(_event())
    async with asyncio.timeout(10):
        await running

    assert manager.tracker is None


class Stubborn(Emitting):
    """Neither ends when cancelled nor stops when asked."""

    async def start(self) -> None:
        await self._stay()

    async def stop(self) -> None:
        await self._stay()

    async def _stay(self) -> None:
        for _ in range(80):
            try:
                await asyncio.sleep(0.1)
            except asyncio.CancelledError:
                continue


async def test_stop_all_takes_five_seconds_at_most(
    manager: EnhancedWebSocketManager,
) -> None:
    """A stream that does not stop, one that does not end, and a callback that hangs, all at once."""
    hang = threading.Event()
    manager.user_callback = lambda _: hang.wait()
    manager.on_velocity_alert(lambda _: hang.wait())
    for name in ("one", "two"):
        manager.add_cex_exchange(name, stream=Stubborn)
    running = await _running(manager)
    await manager.cex_streams["one"].emit(_event())

    began = time.monotonic()
    await manager.stop_all()
    took = time.monotonic() - began
    hang.set()
    await running

    assert took < 5


async def test_a_stream_that_fails_ends_alone(
    manager: EnhancedWebSocketManager, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Emitting):
        async def start(self) -> None:
            raise OSError("no such host")

    got: list[Any] = []
    manager.user_callback = got.append
    manager.add_cex_exchange("bad", stream=Failing)
    manager.add_cex_exchange("good", stream=Iterating(["BTC"]))
    running = await _running(manager)
    await eventually(lambda: len(got) == 3)
    await manager.stop_all()
    await running

    assert manager.get_stats()["stream_errors"] == {"Failing: OSError: no such host": 1}
    assert [record.message for record in caplog.records if record.name == _LOGGER and record.levelno > 20] == [
        "Failing: OSError: no such host"
    ]


async def test_a_replaced_callback_gets_what_was_offered_before(
    manager: EnhancedWebSocketManager, eventually: Eventually
) -> None:
    first: list[Any] = []
    second: list[Any] = []
    manager.user_callback = first.append
    await manager._handle_liquidation_event(_event(quantity=1))
    manager.user_callback = second.append
    await manager._handle_liquidation_event(_event(quantity=2))
    await eventually(lambda: bool(first and second))
    manager.user_callback = None
    await manager._handle_liquidation_event(_event(quantity=3))
    await manager.stop_all()

    assert ([event.quantity for event in first], [event.quantity for event in second]) == ([1], [2])


async def test_velocity_tracker_may_be_absent_or_the_users_own(
    manager: EnhancedWebSocketManager, eventually: Eventually
) -> None:
    class Own:
        def __init__(self) -> None:
            self.added: list[tuple[str, float, float]] = []

        def add_event(self, symbol: str, value_usd: float, timestamp: float) -> None:
            self.added.append((symbol, value_usd, timestamp))

        def calculate_velocity(self, symbol: str) -> VelocityMetrics:
            return VelocityMetrics(symbol, 0.0, 99, 99, 99, 99, 9.9, 9.9, 9.9, 9.9, 0.0, 0.0)

        def get_stats(self) -> dict[str, int]:
            return {"added": len(self.added)}

    alerts: list[VelocityMetrics] = []
    manager.on_velocity_alert = alerts.append
    manager.velocity_tracker = None
    await manager._handle_liquidation_event(_event(timestamp=1_000))
    manager.velocity_tracker = own = Own()
    await manager._handle_liquidation_event(_event(timestamp=1_000))
    await eventually(lambda: bool(alerts))
    await manager.stop_all()

    assert own.added == [("BTCUSDT", 10.0, 1_000.0)]
    assert manager.get_stats()["velocity_tracker"] == {"added": 1}


def test_root_thresholds_are_the_documented_ones() -> None:
    assert (root.VELOCITY_ALERT_THRESHOLD, root.ACCELERATION_ALERT_THRESHOLD) == (5, 2.0)


def test_logging_says_who_serves_a_venue(manager: EnhancedWebSocketManager, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, _LOGGER):
        manager.add_cex_exchange("Binance")
        manager.add_dex_hyperliquid(["BTC"])

    assert [record.message for record in caplog.records] == [
        "binance is served by liqtape.compat.streams.BinanceLiquidationStream",
        "hyperliquid is served by liqtape.compat.streams.HyperliquidLiquidationProvider",
    ]
