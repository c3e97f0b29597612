"""The founding document's manager: streams in, velocity, alerts and the user's callback out.

Venues that liqtape serves run in a `Tracker`; the user's own streams, when importable or given, are wrapped: their very
event objects reach the callback, and what they say of symbol, time and USD reaches the same engine.
"""

import asyncio
import inspect
import logging
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any

from msgspec.structs import replace

from liqtape.compat.events import LiquidationEvent, native_event
from liqtape.compat.own import OWN, own_class, told
from liqtape.compat.price import BTCPriceFeed
from liqtape.compat.streams import (
    BinanceLiquidationStream,
    BybitLiquidationStream,
    HyperliquidLiquidationProvider,
    OKXLiquidationStream,
    Stream,
    coins,
    configured,
)
from liqtape.compat.velocity import VelocityMetrics, VelocityTracker
from liqtape.compat.wrapped import liquidation_of
from liqtape.events import Liquidation
from liqtape.ledger import Ledger
from liqtape.settings import RedisSettings, Settings
from liqtape.sinks.callback import Tap
from liqtape.tracker import Tracker

__all__ = ["ACCELERATION_ALERT_THRESHOLD", "VELOCITY_ALERT_THRESHOLD", "EnhancedWebSocketManager"]

VELOCITY_ALERT_THRESHOLD = 5
ACCELERATION_ALERT_THRESHOLD = 2.0

_ROOT = "enhanced_websocket_manager"
_STOP_SECONDS = 2.0
_OVERRIDE_QUEUE = 1_000_000

_log = logging.getLogger(_ROOT)
_STREAMS: dict[str, type[Stream]] = {
    "binance": BinanceLiquidationStream,
    "bybit": BybitLiquidationStream,
    "okx": OKXLiquidationStream,
    "hyperliquid": HyperliquidLiquidationProvider,
}


class EnhancedWebSocketManager:
    """Velocity and acceleration beside existing liquidation streams, which stay as they are.

    Redis is used as named and never started; without it there is one warning, everything else goes on, and what was
    missed of the state is written when it is there. `user_callback` and `on_velocity_alert` (sync or async) run behind
    queues of their own and delay no stream.
    """

    def __init__(
        self,
        symbols: Sequence[str] | None = None,
        redis_host: str = "localhost",
        redis_port: int = 6379,
        redis_db: int = 1,
    ) -> None:
        self.symbols = list(symbols or ["BTCUSDT"])
        self.redis_config = {"host": redis_host, "port": redis_port, "db": redis_db}
        self.velocity_tracker: Any = VelocityTracker()
        self.btc_price_feed = BTCPriceFeed()
        self.cex_streams: dict[str, Any] = {}
        self.dex_streams: list[Any] = []
        self.events_processed = 0
        self.velocity_alerts = 0
        self.stream_errors: Counter[str] = Counter()
        self.tracker: Tracker | None = None
        self._dex_symbols: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._taps: list[Tap[Any]] = []
        self._user_tap: Tap[Any] | None = None
        self._alert_tap: Tap[VelocityMetrics] | None = None
        self._handled: Tap[Any] | None = None
        self._alerting: set[str] = set()
        self._wrapped_ledger = Ledger()
        self._stopped = asyncio.Event()
        self._user_callback: Callable[[Any], Any] | None = None
        self._alert_handler: Callable[[VelocityMetrics], Any] | None = None

    @property
    def user_callback(self) -> Callable[[Any], Any] | None:
        """Called with every event, native or the user's own object; None for nobody."""
        return self._user_callback

    @user_callback.setter
    def user_callback(self, callback: Callable[[Any], Any] | None) -> None:
        self._user_callback = callback
        self._user_tap = None if callback is None else self._tapped(Tap(callback, "user_callback"))

    @property
    def on_velocity_alert(self) -> Callable[[Callable[[VelocityMetrics], Any]], Callable[[VelocityMetrics], Any]]:
        """Takes a handler of velocity alerts: `manager.on_velocity_alert(handler)`, or assigned, or as a decorator."""
        return self._take_alert_handler

    @on_velocity_alert.setter
    def on_velocity_alert(self, handler: Callable[[VelocityMetrics], Any]) -> None:
        self._take_alert_handler(handler)

    def _take_alert_handler(self, handler: Callable[[VelocityMetrics], Any]) -> Callable[[VelocityMetrics], Any]:
        self._alert_handler = handler
        self._alert_tap = self._tapped(Tap(handler, "on_velocity_alert"))
        return handler

    def add_cex_exchange(self, exchange: str, stream: Any = None) -> None:
        """Add a venue: the given stream (class or object), else the user's own class, else ours.

        Raises ValueError for a venue that is neither given a stream nor known.
        """
        name = exchange.lower()
        if stream is None and name not in OWN:
            raise ValueError(f"unknown exchange {exchange!r}: known are {', '.join(OWN)}; others need stream=")
        self.cex_streams[name] = self._stream(name, stream)

    def add_dex_hyperliquid(self, symbols: Sequence[str] | None = None) -> None:
        """Add Hyperliquid, by coins (`["BTC", "ETH"]`; default: those of the manager's symbols)."""
        self._dex_symbols = list(symbols) if symbols else coins(self.symbols)
        own = own_class("hyperliquid")
        found: type = HyperliquidLiquidationProvider if own is None else own
        told("hyperliquid", found)
        self.dex_streams.append(found(self._dex_symbols))

    def _stream(self, name: str, given: Any) -> Any:
        found = given if given is not None else own_class(name) or _STREAMS[name]
        if not isinstance(found, type):
            told(name, type(found))
            return _hooked(found, self._hook)
        told(name, found)
        return found(self._hook)

    def _hook(self, event: Any) -> Awaitable[None]:
        """What wrapped streams call, whether they await it or not: the work is done when it returns."""
        self._dispatch(event)
        return _DONE

    def _dispatch(self, event: Any) -> None:
        """To `_handle_liquidation_event`: directly, or, overridden or replaced, as a coroutine behind a queue."""
        handler = self._handle_liquidation_event
        if getattr(handler, "__func__", None) is EnhancedWebSocketManager._handle_liquidation_event:
            self._process(event)
            return
        if self._handled is None:
            self._handled = self._tapped(Tap(self._handle_as_overridden, "_handle_liquidation_event", _OVERRIDE_QUEUE))
        self._offer(self._handled, event)

    async def _handle_as_overridden(self, event: Any) -> None:
        await self._handle_liquidation_event(event)

    async def initialize(self) -> None:
        """Make ready: sinks and callbacks; `start_all` does it by itself."""
        if self.tracker is not None:
            return
        self._stopped.clear()
        self.tracker = tracker = Tracker(self._settings())
        self._wrapped_ledger = tracker.new_ledger()
        for tap in self._taps:
            tracker.add_callback(tap)
        tracker.taps.append(self._native)
        tracker.price_taps.append(self._price)
        await tracker.start()

    def _settings(self) -> Settings:
        """The natively served venues as configured, at the manager's Redis."""
        base = configured()
        venues = {name: replace(own, enabled=False) for name, own in base.venues.items()}
        for stream in (*self.cex_streams.values(), *self.dex_streams):
            if isinstance(stream, Stream):
                venues[stream.venue] = stream.settings()
        if "hyperliquid" in venues and self._dex_symbols:
            venues["hyperliquid"] = replace(venues["hyperliquid"], symbols=tuple(self._dex_symbols))
        redis = self.redis_config
        url = f"redis://{redis['host']}:{redis['port']}/{redis['db']}"
        return replace(base, symbols=tuple(self.symbols), venues=venues, redis=RedisSettings(url, base.redis.prefix))

    async def start_all(self) -> None:
        """Start everything and stay until `stop_all`."""
        await self.initialize()
        for stream in self._wrapped():
            self._tasks.append(asyncio.create_task(self._guarded(stream), name=f"stream {type(stream).__name__}"))
        await self._stopped.wait()

    async def stop_all(self) -> None:
        """Stop streams, flush sinks and callbacks; about five seconds at most, whatever a stream or callback does."""
        await asyncio.gather(*(self._end(stream) for stream in self._wrapped()))
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_STOP_SECONDS)
        self._tasks.clear()
        tracker, self.tracker = self.tracker, None
        if tracker is not None:
            await tracker.stop()
        self._stopped.set()

    def _wrapped(self) -> list[Any]:
        return [stream for stream in (*self.cex_streams.values(), *self.dex_streams) if not isinstance(stream, Stream)]

    async def _guarded(self, stream: Any) -> None:
        """A wrapped stream's life; its error ends it alone, and is said."""
        try:
            if hasattr(stream, "start_monitoring"):
                async for event in stream.start_monitoring():
                    self._dispatch(event)
            else:
                await _awaited(stream.start())
        except Exception as error:  # noqa: BLE001 - the task supervisor of streams that are not ours
            self.stream_errors[f"{type(stream).__name__}: {type(error).__name__}: {error}"] += 1
            _log.exception("the stream %s ended with an error", type(stream).__name__)

    async def _end(self, stream: Any) -> None:
        stop = getattr(stream, "stop_monitoring", None) or getattr(stream, "stop", None)
        if stop is None:
            return
        try:
            await asyncio.wait_for(_awaited(stop()), _STOP_SECONDS)
        except Exception as error:  # noqa: BLE001 - as above
            self.stream_errors[f"{type(stream).__name__}: stop: {type(error).__name__}: {error}"] += 1

    def _price(self, tick: Any) -> None:
        self.btc_price_feed.take(tick)
        self.velocity_tracker.update_btc_price(tick.price)

    def _native(self, liquidation: Liquidation) -> None:
        """A liquidation that the tracker took in: already in the engine and on its way to Redis."""
        self._dispatch(native_event(liquidation))

    async def _handle_liquidation_event(self, event: Any) -> None:
        """Count one event, alert, and pass it on. May be overridden; call `super()` to keep what it does."""
        self._process(event)

    def _process(self, event: Any) -> None:
        try:
            liquidation = liquidation_of(event, "wrapped")
        except ValueError as error:
            if not self.stream_errors[str(error)]:
                _log.warning("%s: passed on, not counted", error)
            self.stream_errors[str(error)] += 1
        else:
            self._count(event, liquidation)
        self.events_processed += 1
        if self._user_tap is not None:
            self._offer(self._user_tap, event)

    def _offer(self, tap: Tap[Any], item: Any) -> None:
        if self.tracker is None:  # fed by hand, without streams: nobody else starts it
            tap.start()
        tap.offer(item)

    def _count(self, event: Any, liquidation: Liquidation) -> None:
        is_native = isinstance(event, LiquidationEvent) and event.liquidation is not None
        if self.tracker is not None and not is_native:
            self.tracker.admit(liquidation, self._wrapped_ledger)
        if not self.velocity_tracker:
            return
        symbol, usd = liquidation.instrument, liquidation.notional_usd
        self.velocity_tracker.add_event(symbol, float("nan") if usd is None else usd, liquidation.event_ms / 1000)
        self._check_alert(symbol)

    def _check_alert(self, symbol: str) -> None:
        """Once per crossing of a threshold, re-armed below; the thresholds are those of the root module now."""
        root = sys.modules.get(_ROOT)
        velocity_threshold = getattr(root, "VELOCITY_ALERT_THRESHOLD", VELOCITY_ALERT_THRESHOLD)
        acceleration_threshold = getattr(root, "ACCELERATION_ALERT_THRESHOLD", ACCELERATION_ALERT_THRESHOLD)
        heat = getattr(self.velocity_tracker, "heat", None)
        if heat is None:  # a tracker of the user's own
            metrics = self.velocity_tracker.calculate_velocity(symbol)
            velocity, acceleration = (metrics.velocity_10s, metrics.acceleration) if metrics else (0.0, 0.0)
        else:
            velocity, acceleration = heat(symbol)
        if velocity < velocity_threshold and acceleration < acceleration_threshold:
            self._alerting.discard(symbol)
            return
        if symbol in self._alerting:
            return
        self._alerting.add(symbol)
        self.velocity_alerts += 1
        _log.warning(f"⚡ VELOCITY ALERT: {symbol} {velocity:.2f} events/s (accel: {acceleration:.1f})")
        if self._alert_tap is not None:
            metrics = self.velocity_tracker.calculate_velocity(symbol)
            if metrics is not None:
                self._offer(self._alert_tap, metrics)

    def _tapped(self, tap: Tap[Any]) -> Tap[Any]:
        """Started with the tracker; at once when events come from the user's own calls in a running loop."""
        self._taps.append(tap)
        if self.tracker is not None:
            self.tracker.add_callback(tap)
        return tap

    def get_stats(self) -> dict[str, Any]:
        """What happened so far, by part."""
        stats: dict[str, Any] = {
            "events_processed": self.events_processed,
            "velocity_alerts": self.velocity_alerts,
            "cex_streams": list(self.cex_streams),
            "dex_streams": len(self.dex_streams),
            "stream_errors": dict(self.stream_errors),
            "callbacks": {tap.name: _tap_stats(tap) for tap in self._taps},
        }
        if self.velocity_tracker:
            stats["velocity_tracker"] = self.velocity_tracker.get_stats()
        stats["btc_price_feed"] = self.btc_price_feed.get_stats()
        if self.tracker is not None:
            stats["ledger"] = self.tracker.ledger().as_dict()
            stats["health"] = {health.venue: health.state for health in self.tracker.health()}
            stats["redis"] = {publisher.sink.name: publisher.state for publisher in self.tracker.publishers}
        return stats


def _tap_stats(tap: Tap[Any]) -> dict[str, Any]:
    return {
        "called": tap.called_total,
        "waiting": len(tap),
        "dropped": tap.dropped_total,
        "errors": dict(tap.errors),
        "blocked_loop": tap.blocked_total,
    }


def _hooked(stream: Any, hook: Callable[[Any], Awaitable[None]]) -> Any:
    """An object that has its callback already: it keeps it, ours is called first."""
    theirs = getattr(stream, "callback", None)

    def both(event: Any) -> Any:
        done = hook(event)
        return done if theirs is None else theirs(event)

    if not hasattr(stream, "start_monitoring"):
        stream.callback = both
    return stream


class _Done:
    """Awaitable at no cost, and harmless when nobody awaits it."""

    def __await__(self) -> Generator[Any, Any, None]:
        yield from ()


_DONE = _Done()


async def _awaited(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result
