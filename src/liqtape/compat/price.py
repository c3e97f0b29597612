"""The founding document's BTC price feed."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from liqtape.events import PriceTick
from liqtape.feeds.price import PriceFeed
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
        self._feed: PriceFeed | None = None
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
        self._stopped.clear()
        self.running = True
        if self.callback is not None:
            self._tap = Tap(self.callback, "BTC price")
            self._tap.start()
        feed = self._feed = PriceFeed(self.take)
        try:
            while self.running:
                feed.pulse()
                try:
                    await asyncio.wait_for(self._stopped.wait(), 1.0)
                except TimeoutError:
                    continue
        finally:
            await feed.stop()
            if self._tap is not None:
                await self._tap.stop()

    async def stop(self) -> None:
        """End the feed."""
        self.running = False
        self._stopped.set()

    def get_stats(self) -> dict[str, Any]:
        """What came in so far."""
        return {
            "updates_received": self.updates_received,
            "last_price": self.last_price,
            "running": self.running,
            "source": None if self.last_update is None else self.last_update.source,
        }
