"""The founding document's streams: one venue, one callback, usable alone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, ClassVar

from msgspec.structs import replace

from liqtape.compat.events import LiquidationEvent, native_event
from liqtape.pipeline.onevent import OnLiquidation
from liqtape.settings import RedisSettings, Settings, VenueSettings, load_settings, settings_file
from liqtape.sinks.callback import CallbackQueue
from liqtape.tracker import Tracker
from liqtape.venues import VENUES

__all__ = [
    "STREAMS",
    "BinanceLiquidationStream",
    "BybitLiquidationStream",
    "HyperliquidLiquidationProvider",
    "OKXLiquidationStream",
    "Stream",
    "coins",
    "configured",
]

Callback = Callable[[LiquidationEvent], Any]


def configured() -> Settings:
    """The settings of `liqtape.toml` (here, or named by LIQTAPE_CONFIG) and of the environment."""
    return load_settings(settings_file(None), known_venues=frozenset(VENUES))


class Stream:
    """Liquidations of one venue, each handed to `callback` (sync or async) as a native event.

    `url` is where it connects; assign it before `start` to connect elsewhere. `symbols` (either spelling) empty: all.
    Awaited directly, `start` returns once the stream runs, so that the next line of a program runs beside it; as a task
    of its own (`asyncio.create_task(stream.start())`, `gather`) it lasts until `stop`.
    """

    venue: ClassVar[str]

    def __init__(self, callback: Callback | None = None, symbols: Sequence[str] | None = None) -> None:
        self.callback = callback
        self.symbols = list(symbols or ())
        own = configured().venues.get(self.venue, VenueSettings())
        module = VENUES[self.venue]
        self._path = module.endpoints(module.bundled_symbols)[0].url.removeprefix(module.ws_url)
        self._configured = own
        self.url = (own.ws_url or module.ws_url).rstrip("/") + self._path
        self.running = False
        self._tracker: Tracker | None = None
        self._stopped = asyncio.Event()

    def settings(self) -> VenueSettings:
        """Where and what to connect, with `url` as it stands now."""
        return replace(self._configured, enabled=True, ws_url=self.url.removesuffix(self._path), symbols=())

    async def start(self) -> None:
        """Connect, and reconnect for ever; a task of it that is cancelled stops the stream."""
        if self._tracker is None:
            self._stopped = asyncio.Event()
            settings = Settings(tuple(self.symbols), {self.venue: self.settings()}, RedisSettings(url="off"))
            self._tracker = Tracker(settings)
            self._add_callbacks(self._tracker)
            self.running = True
            await self._tracker.start()
        task = asyncio.current_task()
        coroutine = None if task is None else task.get_coro()
        if getattr(coroutine, "cr_code", None) is Stream.start.__code__:
            try:
                await self._stopped.wait()
            except asyncio.CancelledError:
                await self.stop()
                raise

    async def stop(self) -> None:
        """End the stream; what waits for the callback is still delivered, for two seconds at most."""
        tracker, self._tracker = self._tracker, None
        self.running = False
        if tracker is not None:
            await tracker.stop()
        self._stopped.set()

    def _add_callbacks(self, tracker: Tracker) -> None:
        if self.callback is not None:
            queue: CallbackQueue[LiquidationEvent] = CallbackQueue(self.callback, f"{self.venue} stream")
            tracker.add_callback(queue)
            tracker.listen(OnLiquidation(lambda liquidation: queue.offer(native_event(liquidation))))


class BinanceLiquidationStream(Stream):
    """Binance USD-M and COIN-M forced orders."""

    venue = "binance"


class BybitLiquidationStream(Stream):
    """Bybit linear and inverse liquidations."""

    venue = "bybit"


class OKXLiquidationStream(Stream):
    """OKX swap and futures liquidations."""

    venue = "okx"


class HyperliquidLiquidationProvider(Stream):
    """Hyperliquid liquidations seen in the fills of watched accounts: a part of them, never all.

    `symbols` are coins, as in `["BTC", "ETH"]`; `start_monitoring` gives the events as an async iterator instead.
    """

    venue = "hyperliquid"

    def __init__(self, symbols: Sequence[str] | None = None, callback: Callback | None = None) -> None:
        super().__init__(callback, symbols)

    async def start_monitoring(self) -> AsyncIterator[LiquidationEvent]:
        """Every liquidation from now on, until `stop_monitoring`."""
        await self.start()
        if self._tracker is not None:
            async for liquidation in self._tracker.liquidations():
                yield native_event(liquidation)

    async def stop_monitoring(self) -> None:
        """The same as `stop`."""
        await self.stop()


STREAMS: dict[str, type[Stream]] = {
    stream.venue: stream
    for stream in (
        BinanceLiquidationStream,
        BybitLiquidationStream,
        OKXLiquidationStream,
        HyperliquidLiquidationProvider,
    )
}
"""The streams we serve ourselves, by venue."""


def coins(symbols: Sequence[str]) -> list[str]:
    """Coins of linear symbols, as Hyperliquid names them.

    >>> coins(["BTCUSDT", "ETH", "SOLUSDC"])
    ['BTC', 'ETH', 'SOL']
    """
    return [symbol.removesuffix("USDT").removesuffix("USDC").removesuffix("USD") for symbol in symbols]
