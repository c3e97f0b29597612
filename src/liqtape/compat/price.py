"""The founding document's BTC price feed."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from msgspec.structs import replace
from redis.exceptions import RedisError

from liqtape.compat.streams import configured
from liqtape.events import Event, PriceTick
from liqtape.feeds.pricefeed import PriceFeed
from liqtape.ourtime import our_seconds
from liqtape.pipeline.btcprice import PriceChoice, ticks_of
from liqtape.pipeline.pricesources import PRICE_SOURCES, PriceSource
from liqtape.sinks.callback import CallbackQueue

__all__ = ["BTCPriceFeed", "BTCPriceUpdate"]

_KEY = "btc:price:current"
_TTL_SECONDS = 60

_log = logging.getLogger(__name__)


@dataclass
class BTCPriceUpdate:
    """One BTC trade: Unix seconds, USD(T), the venue's quantity, and where it was."""

    timestamp: float
    price: float
    volume: float
    source: str = "binance"


Callback = Callable[[BTCPriceUpdate], Awaitable[None] | None]


class BTCPriceFeed:
    """BTC trades of the best source alive: Binance futures, Binance spot, Bybit, OKX. Usable alone.

    `callback` (sync or async) gets every trade as a `BTCPriceUpdate`; with a `redis_client` (of `redis.asyncio`) each
    second's newest price is written to `btc:price:current`. By position they may stand in either order.
    """

    def __init__(self, *given: Any, callback: Callback | None = None, redis_client: Any = None) -> None:
        for one in given:
            if one is None:
                continue
            if hasattr(one, "set"):
                redis_client = one
            elif callable(one):
                callback = one
            else:
                raise TypeError(f"BTCPriceFeed takes a callback and a redis_client, not {type(one).__name__}")
        self.callback = callback
        self.redis_client = redis_client
        self.running = False
        self.updates_received = 0
        self.last_price: float | None = None
        self.last_update: BTCPriceUpdate | None = None
        self._queue: CallbackQueue[BTCPriceUpdate] | None = None
        self.store_errors = 0
        self.stored: BTCPriceUpdate | None = None
        self._stopped = asyncio.Event()

    def take(self, tick: PriceTick) -> None:
        """A trade that somebody else's connection brought."""
        update = BTCPriceUpdate(tick.event_ms / 1000, tick.price, tick.quantity or 0.0, tick.venue)
        self.updates_received += 1
        self.last_price, self.last_update = tick.price, update
        if self._queue is not None:
            self._queue.offer(update)

    async def start(self) -> None:
        """Connect, and stay until `stop`."""
        stopped = self._stopped = asyncio.Event()
        self.running = True
        if self.callback is not None:
            self._queue = CallbackQueue(self.callback, "BTC price")
            self._queue.start()
        sources = _sources()
        choice = PriceChoice(sources, our_seconds())

        def offer(events: Sequence[Event], source: str) -> None:
            for tick in ticks_of(events, source):
                if choice.takes(tick, our_seconds()):
                    self.take(tick)

        feed = PriceFeed(choice.selector, sources, offer)
        try:
            while not stopped.is_set():
                feed.pulse()
                await self._store()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopped.wait(), 1.0)
        finally:
            self.running = False
            await feed.stop()
            queue, self._queue = self._queue, None
            if queue is not None:
                await queue.stop()

    async def _store(self) -> None:
        update = self.last_update
        if self.redis_client is None or update is None or update is self.stored:
            return
        text = json.dumps(asdict(update))
        try:
            async with asyncio.timeout(1.0):
                await self.redis_client.set(_KEY, text, ex=_TTL_SECONDS)
        except (RedisError, OSError, TimeoutError) as error:
            if not self.store_errors:
                _log.warning("the BTC price cannot be written to Redis: %s; told once, and counted", error)
            self.store_errors += 1
        else:
            self.stored = update

    async def stop(self) -> None:
        """End the feed."""
        self._stopped.set()

    def get_stats(self) -> dict[str, Any]:
        """What came in so far."""
        return {
            "updates_received": self.updates_received,
            "last_price": self.last_price,
            "running": self.running,
            "store_errors": self.store_errors,
            "source": None if self.last_update is None else self.last_update.source,
        }


def _sources() -> list[PriceSource]:
    """Where BTC trades can be had, at the configured addresses."""
    settings = configured()
    hosts = {venue: own.ws_url for venue, own in settings.venues.items()}
    hosts["binance-spot"] = settings.price.spot_url
    return [replace(source, host=hosts.get(source.name) or source.host) for source in PRICE_SOURCES]
