"""The founding document's manager: streams in, velocity, alerts and the user's callback out.

Venues that liqtape serves run in a `Tracker`; the user's own streams, when importable or given, are wrapped: their very
event objects reach the callback, and what they say of symbol, time and USD reaches the same engine.
"""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from itertools import chain, count
from typing import Any

import redis.asyncio
from msgspec.structs import replace

from liqtape.compat import attach
from liqtape.compat.alerts import ACCELERATION_ALERT_THRESHOLD, ROOT, VELOCITY_ALERT_THRESHOLD, Crossings
from liqtape.compat.callbackslot import CallbackSlot
from liqtape.compat.events import LiquidationEvent, native_event
from liqtape.compat.own import OWN, own_class, told
from liqtape.compat.price import BTCPriceFeed
from liqtape.compat.sources import DECLARATIONS, Source
from liqtape.compat.streams import STREAMS, Stream, coins, configured
from liqtape.compat.velocity import VelocityMetrics, VelocityTracker
from liqtape.compat.wrapped import Declared, liquidation_of
from liqtape.events import Liquidation, PriceTick
from liqtape.ledger import Ledger
from liqtape.pipeline.listener import Listener
from liqtape.settings import RedisSettings, Settings
from liqtape.tracker import Tracker

__all__ = ["ACCELERATION_ALERT_THRESHOLD", "VELOCITY_ALERT_THRESHOLD", "EnhancedWebSocketManager"]

_OVERRIDE_QUEUE = 1_000_000
_AHEAD_MS = 60_000  # an event further in the future would empty every window of its symbol
_CAUSES = 100
_CANCEL_SECONDS = 0.5
_TRACKER_SECONDS = 3.4  # with what streams may take, below five in all

_source: ContextVar[Source | None] = ContextVar("source", default=None)
"""Whose event an overridden `_handle_liquidation_event` is handling."""

_log = logging.getLogger(ROOT)
AlertHandler = Callable[[VelocityMetrics], Any]


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
        self.redis_config: dict[str, Any] = {"host": redis_host, "port": redis_port, "db": redis_db}
        self.velocity_tracker: Any = VelocityTracker()
        self.btc_price_feed = BTCPriceFeed()
        self.cex_streams: dict[str, Any] = {}
        self.dex_streams: list[Any] = []
        self.events_processed = 0
        self.velocity_alerts = 0
        self.stream_errors: Counter[str] = Counter()
        self.tracker: Tracker | None = None
        self.redis_client: Any = None
        """A `redis.asyncio.Redis` at the manager's server, from `initialize` to `stop_all`; it connects when used."""
        self._ours: list[Stream] = []  # made here: the tracker serves those that are there when it starts
        self._served: list[Stream] = []
        self._sources: list[tuple[Any, Source]] = []  # of the streams that are wrapped
        self._by_hand = Source("wrapped")  # of events that a program hands over itself
        self._running: list[tuple[Any, asyncio.Task[None]]] = []
        self._crossings = Crossings()
        self._wrapped_ledger = Ledger()
        self._user = CallbackSlot("user_callback")
        self._alerted = CallbackSlot("on_velocity_alert")
        self._overridden = CallbackSlot("_handle_liquidation_event", _OVERRIDE_QUEUE)
        self._loop: tuple[asyncio.AbstractEventLoop | None, int] = (None, 0)  # and its thread
        self._is_running = False
        self._stopped = asyncio.Event()
        self._stopping: asyncio.Task[None] | None = None

    @property
    def user_callback(self) -> Callable[[Any], Any] | None:
        """Called with every event, native or the user's own object; None for nobody."""
        return self._user.function

    @user_callback.setter
    def user_callback(self, callback: Callable[[Any], Any] | None) -> None:
        self._user.function = callback

    @property
    def on_velocity_alert(self) -> Callable[[AlertHandler], AlertHandler]:
        """Takes a handler of velocity alerts: `manager.on_velocity_alert(handler)`, or assigned, or as a decorator."""

        def take(handler: AlertHandler) -> AlertHandler:
            self._alerted.function = handler
            return handler

        return take

    @on_velocity_alert.setter
    def on_velocity_alert(self, handler: AlertHandler | None) -> None:
        self._alerted.function = handler

    def add_cex_exchange(self, exchange: str, stream: Any = None, side: Declared | None = None) -> None:
        """Add a venue: the given stream (class or object), else the user's own class, else ours.

        `side` declares what `buy` and `sell` of a given stream's events mean: the "order" that closed the position, or
        the "position"; undeclared they leave the side unknown. A name that is neither known nor given a stream is
        warned of, and adds nothing. Raises TypeError for a stream that cannot be given our callback.
        """
        name = exchange.lower()
        if side is not None and side not in DECLARATIONS:
            raise ValueError(f'side={side!r} is not understood: say "order" or "position"')
        if stream is None and name not in OWN:
            _log.warning(
                "unknown exchange %r is not added: known are %s; others need stream=", exchange, ", ".join(OWN)
            )
            return
        replaced = self.cex_streams.pop(name, None)
        self._sources = [one for one in self._sources if one[0] is not replaced or self._runs(replaced)]
        self.cex_streams[name] = self._stream(name, stream, self.symbols, side)

    def add_dex_hyperliquid(self, symbols: Sequence[str] | None = None) -> None:
        """Add Hyperliquid, by coins (`["BTC", "ETH"]`; default: those of the manager's symbols)."""
        self.dex_streams.append(self._stream("hyperliquid", None, list(symbols or coins(self.symbols))))

    def _stream(self, name: str, given: Any, symbols: list[str], side: Declared | None = None) -> Any:
        found = given if given is not None else own_class(name) or STREAMS[name]
        told(name, found if isinstance(found, type) else type(found))
        labels = {source.label for _, source in self._sources}
        label = next(text for text in chain([name], (f"{name} {i}" for i in count(2))) if text not in labels)
        source = Source(name, side, label)
        source.hook = partial(self._hook, source)
        if isinstance(found, type) and found in STREAMS.values():
            wanted = coins(symbols) if name == "hyperliquid" else symbols
            source.stream = found(symbols=wanted, callback=source.hook)
            self._ours.append(source.stream)
        else:
            is_provider = name == "hyperliquid" and given is None
            source.stream = attach.build(found, source.hook, symbols, is_provider=is_provider)
        self._sources.append((source.stream, source))
        if self._is_running:
            self._run(source.stream)
        return source.stream

    async def initialize(self) -> None:
        """Make ready: Redis, callbacks, the venues added so far; `start_all` does it by itself."""
        if self.tracker is not None:
            return
        loop = asyncio.get_running_loop()
        self._loop, self._stopped = (loop, threading.get_ident()), asyncio.Event()
        self.tracker = tracker = Tracker(self._settings())
        self._served = list(self._ours)
        self._wrapped_ledger = tracker.new_ledger()
        for outlet in self._outlets():
            outlet.join(tracker)
        tracker.listen(_Native(self))
        # As the document's own: bytes, and the pooling of redis-py. Nothing is connected before it is used.
        self.redis_client = redis.asyncio.Redis(**self.redis_config)
        await tracker.start()

    def _settings(self) -> Settings:
        """The natively served venues as configured, at the manager's Redis."""
        base = configured()
        venues = {name: replace(own, enabled=False) for name, own in base.venues.items()}
        for stream in self._ours:
            own = stream.settings()
            earlier = venues[stream.venue].symbols if venues[stream.venue].enabled else ()
            venues[stream.venue] = replace(own, symbols=tuple(dict.fromkeys((*earlier, *stream.symbols))))
        place = self.redis_config
        host = f"[{place['host']}]" if ":" in str(place["host"]) else place["host"]
        url = f"redis://{host}:{place['port']}/{place['db']}"
        return replace(
            base,
            symbols=tuple(self.symbols),
            venues=venues,
            redis=RedisSettings(url, base.redis.prefix),
            price=replace(base.price, always=True),
        )

    async def start_all(self) -> None:
        """Start everything and stay until `stop_all`; when cancelled, stop."""
        try:
            await self.initialize()
            if not self._is_running:
                self._is_running = True
                for stream in (*self.cex_streams.values(), *self.dex_streams):
                    if not any(stream is served for served in self._served):
                        self._run(stream)
            await self._stopped.wait()
        except asyncio.CancelledError:
            await self.stop_all()
            raise

    async def stop_all(self) -> None:
        """Stop streams, flush sinks and callbacks: five seconds at most, whatever a stream or callback does.

        May be called from a callback: the work is a task of its own, which outlives the callback's.
        """
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(), name="stop manager")
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        running, self._running, self._is_running = self._running, [], False
        try:
            await asyncio.gather(*(self._end(stream) for stream, _ in running))
            tasks = [task for _, task in running]
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)
            if self.tracker is None:
                await asyncio.gather(*(outlet.stop() for outlet in self._outlets()))
            else:
                ending = asyncio.create_task(self.tracker.stop())
                await asyncio.wait([ending], timeout=_TRACKER_SECONDS)
                if ending.done():
                    ending.result()
        finally:
            client, self.redis_client = self.redis_client, None
            if client is not None:
                with suppress(redis.RedisError, OSError):
                    await client.aclose()
            self.tracker, self._served, self._stopping = None, [], None
            for outlet in self._outlets():
                outlet.retire()
            self._stopped.set()

    def _outlets(self) -> tuple[CallbackSlot, ...]:
        return self._user, self._alerted, self._overridden

    def _run(self, stream: Any) -> None:
        source = next(source for known, source in self._sources if known is stream)
        self._running.append((stream, asyncio.create_task(source.live(self._note), name=f"source {source.name}")))

    async def _end(self, stream: Any) -> None:
        try:
            await attach.end(stream)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
            self._note(f"{type(stream).__name__}: stop: {type(error).__name__}: {error}", error)

    def _note(self, cause: str, error: BaseException | None = None) -> None:
        """Count what a stream or event of somebody else's got wrong; the first of each cause is said."""
        if cause not in self.stream_errors:
            if len(self.stream_errors) >= _CAUSES:
                cause = "further causes"
            else:
                _log.warning("%s", cause, exc_info=error)
        self.stream_errors[cause] += 1

    def _hook(self, source: Source, event: Any) -> Any:
        """What wrapped streams call, from any thread, whether they await it or not: all is done when it returns."""
        loop, thread = self._loop
        if loop is None or threading.get_ident() == thread:
            self._dispatch(event, source)
        else:
            with suppress(RuntimeError):  # the loop may be gone before the stream's thread
                loop.call_soon_threadsafe(self._dispatch, event, source)
        return attach.DONE

    def _native(self, liquidation: Liquidation, *, is_news: bool) -> None:
        """A liquidation that the tracker took in: already in the engine and on its way to Redis."""
        if liquidation.id:  # wrapped ones bear none, and have been passed on as the object they were
            self._dispatch(native_event(liquidation, self.tracker, replayed=not is_news))

    def _price(self, tick: PriceTick) -> None:
        self.btc_price_feed.take(tick)
        if self.velocity_tracker:
            self.velocity_tracker.update_btc_price(tick.price)
            if self.tracker is not None and isinstance(self.velocity_tracker, VelocityTracker):
                self.velocity_tracker.volatility_factor = self.tracker.engine.volatility_factor

    def _dispatch(self, event: Any, source: Source | None = None) -> None:
        """To `_handle_liquidation_event`: directly, or, overridden or replaced, as a coroutine behind a queue."""
        handler = self._handle_liquidation_event
        if getattr(handler, "__func__", None) is EnhancedWebSocketManager._handle_liquidation_event:
            self._process(event, source)
            return
        if self._overridden.function is None:
            self._overridden.function = self._handle_as_overridden
        self._overridden.offer((event, source), self.tracker)

    async def _handle_as_overridden(self, given: tuple[Any, Source | None]) -> None:
        event, source = given
        token = _source.set(source)
        try:
            await self._handle_liquidation_event(event)
        finally:
            _source.reset(token)

    async def _handle_liquidation_event(self, event: Any) -> None:
        """Count one event, alert, and pass it on. May be overridden; call `super()` to keep what it does."""
        self._process(event, _source.get())

    def _process(self, event: Any, source: Source | None) -> None:
        self.events_processed += 1
        try:
            if isinstance(event, LiquidationEvent) and event.liquidation is not None and source is None:
                liquidation = liquidation_of(event, "")  # of a venue that is served natively
            else:
                liquidation = (source or self._by_hand).read(event).liquidation
            self._count(event, liquidation)
        except Exception as error:  # noqa: BLE001 - events are anybody's: what cannot be read must not hurt its stream
            self._note(f"an event of type {type(event).__name__} is passed on uncounted: {error}")
        self._user.offer(event, self.tracker)

    def _count(self, event: Any, liquidation: Liquidation) -> None:
        if liquidation.event_ms > time.time() * 1000 + _AHEAD_MS:
            raise ValueError("its time is more than a minute in the future")
        tracker = self.tracker
        if tracker is not None and not (isinstance(event, LiquidationEvent) and event.taken_in_by is tracker):
            tracker.admit(replace(liquidation, id="") if liquidation.id else liquidation, self._wrapped_ledger)
        if self.velocity_tracker:
            self._track(liquidation, is_news=not (isinstance(event, LiquidationEvent) and event.replayed))

    def _track(self, liquidation: Liquidation, *, is_news: bool) -> None:
        symbol, usd = liquidation.instrument, liquidation.notional_usd
        self.velocity_tracker.add_event(symbol, float("nan") if usd is None else usd, liquidation.event_ms / 1000)
        metrics = self.velocity_tracker.calculate_velocity(symbol) if is_news else None
        if metrics is not None and self._crossings.crosses(metrics):
            self.velocity_alerts += 1
            self._alerted.offer(metrics, self.tracker)

    def get_stats(self) -> dict[str, Any]:
        """What happened so far, by part."""
        stats: dict[str, Any] = {
            "events_processed": self.events_processed,
            "velocity_alerts": self.velocity_alerts,
            "cex_streams": list(self.cex_streams),
            "dex_streams": len(self.dex_streams),
            "stream_errors": dict(self.stream_errors),
            "sources": {source.label: source.stats() for source in self._wrapped()},
            "callbacks": {outlet.name: outlet.stats() for outlet in self._outlets() if outlet.function is not None},
        }
        if self.velocity_tracker:
            stats["velocity_tracker"] = self.velocity_tracker.get_stats()
        stats["btc_price_feed"] = self.btc_price_feed.get_stats()
        if self.tracker is not None:
            stats["ledger"] = self.tracker.ledger().as_dict()
            stats["health"] = self._health(self.tracker)
            shifts = {venue.venue: venue.shift_ms for venue in self.tracker.health()}
            stats["clock_off_s"] = {venue: shift_ms / 1000 for venue, shift_ms in shifts.items() if shift_ms}
            stats["redis"] = {publisher.sink.name: publisher.state for publisher in self.tracker.publishers}
            stats["sinks"] = {publisher.sink.name: publisher.stats() for publisher in self.tracker.publishers}
        return stats

    def _runs(self, stream: Any) -> bool:
        return any(stream is running for running, _ in self._running)

    def _wrapped(self) -> list[Source]:
        """The sources of streams that the tracker does not serve, and of what was handed over by hand, if anything."""
        kept = [
            source
            for stream, source in self._sources
            if self._runs(stream) or not any(stream is one for one in self._ours)
        ]
        return kept + [self._by_hand] * bool(self._by_hand.events)

    def _health(self, tracker: Tracker) -> dict[str, str]:
        """The states of the venues the tracker serves, and of the wrapped streams."""
        states = {health.venue: health.state for health in tracker.health()}
        for source in self._wrapped():
            if source is not self._by_hand:
                states[f"{source.label} (wrapped)" if source.label in states else source.label] = source.state
        return states


class _Native(Listener):
    """Hears what the venues that liqtape serves bring."""

    def __init__(self, manager: EnhancedWebSocketManager) -> None:
        self._manager = manager

    def accepted(self, events: Sequence[Liquidation], *, is_news: bool) -> None:
        """Hand on each of them."""
        for event in events:
            self._manager._native(event, is_news=is_news)

    def price(self, tick: PriceTick) -> None:
        """Hand it on."""
        self._manager._price(tick)
