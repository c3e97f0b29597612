"""The founding document's BTC price feed."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from liqtape.compat.streams import configured
from liqtape.events import PriceTick
from liqtape.feeds.price import PRICE_SOURCES, PriceFeed, PriceSource
from liqtape.sinks.callback import Tap

__all__ = ["BTCPriceFeed", "BTCPriceUpdate"]


@dataclass
class BTCPriceUpdate:
    """One BTC trade: Unix seconds, USD(T), the venue's quantity, and where it was."""

    timestamp: float
    price: float
    volume: float
    source: str = "binance"


class BTCPriceFeed:
    """BTC trades of the best source alive: Binance futures, Binance spot, Bybit, OKX. Usable alone.

    `callback` (sync or async) gets every trade as a `BTCPriceUpdate`.
    """

    def __init__(self, callback: Callable[[BTCPriceUpdate], Awaitable[None] | None] | None = None) -> None:
        self.callback = callback
        self.running = False
        self.updates_received = 0
        self.last_price: float | None = None
        self.last_update: BTCPriceUpdate | None = None
        self._tap: Tap[BTCPriceUpdate] | None = None
        self._stopped = asyncio.Event()

    def take(self, tick: PriceTick) -> None:
        """A trade that somebody else's connection brought."""
        update = BTCPriceUpdate(tick.event_ms / 1000, tick.price, tick.quantity or 0.0, tick.venue)
        self.updates_received += 1
        self.last_price, self.last_update = tick.price, update
        if self._tap is not None:
            self._tap.offer(update)

    async def start(self) -> None:
        """Connect, and stay until `stop`."""
        stopped = self._stopped = asyncio.Event()
        self.running = True
        if self.callback is not None:
            self._tap = Tap(self.callback, "BTC price")
            self._tap.start()
        feed = PriceFeed(self.take, _sources())
        try:
            while not stopped.is_set():
                feed.pulse()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopped.wait(), 1.0)
        finally:
            self.running = False
            await feed.stop()
            tap, self._tap = self._tap, None
            if tap is not None:
                await tap.stop()

    async def stop(self) -> None:
        """End the feed."""
        self._stopped.set()

    def get_stats(self) -> dict[str, Any]:
        """What came in so far."""
        return {
            "updates_received": self.updates_received,
            "last_price": self.last_price,
            "running": self.running,
            "source": None if self.last_update is None else self.last_update.source,
        }


def _sources() -> list[PriceSource]:
    """Where BTC trades can be had, at the configured addresses."""
    settings = configured()
    hosts = {venue: own.ws_url for venue, own in settings.venues.items()}
    hosts["binance-spot"] = settings.price.spot_url
    return [replace(source, host=hosts.get(source.name) or source.host) for source in PRICE_SOURCES]
