"""The BTC price: ticks that the venues' own connections bring, and connections of its own where nobody brings any."""

import asyncio
import ssl
import time
from collections.abc import Callable, Collection, Sequence

from msgspec.structs import replace

from liqtape.engine.price.selector import SILENCE_SECONDS, PriceSelector
from liqtape.events import Event, PriceTick
from liqtape.feeds.connection import Connection
from liqtape.ledger import Ledger
from liqtape.recording.recorder import Recorder
from liqtape.venues import VENUES
from liqtape.venues.base import Endpoint, PriceSource, Venue

__all__ = ["PRICE_SOURCES", "PriceFeed", "is_refused"]


PRICE_SOURCES: tuple[PriceSource, ...] = tuple(source for venue in VENUES.values() for source in venue.price_sources)
"""In order of preference. Perpetuals and spot differ by some basis points: the source is always named."""

_SILENCE_LIMIT = 10.0
_STALE_SECONDS = 60.0
_REFUSED = "http_4"  # a region that is not served, an address that asked too often


class PriceFeed:
    """The price of the best source alive, as `PriceTick`s whose `venue` is the source's name.

    `brought` are the sources whose ticks come in by `offer`; for the others connections are opened, one source further
    for each ten seconds of silence, and closed when a better one is back. Trades older than the price, as some venues
    repeat them at subscribe, neither become it nor count as a sign of life.
    """

    def __init__(
        self,
        on_price: Callable[[PriceTick], None],
        sources: Sequence[PriceSource] = PRICE_SOURCES,
        *,
        brought: Collection[str] = (),
        ssl_context: ssl.SSLContext | None = None,
        recorder: Recorder | None = None,
        now: Callable[[], float] | None = None,
    ) -> None:
        self._now = time.monotonic if now is None else now
        self.selector = PriceSelector([source.name for source in sources], self._now())
        self._recorder = recorder
        self._on_price = on_price
        self._sources = {source.name: source for source in sources}
        self._brought = frozenset(brought)
        self._ssl_context = ssl_context
        self._connections: dict[str, Connection] = {}
        self._tasks: dict[Connection, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._past = Ledger()
        self._newest_ms: dict[str, int] = {}  # by source
        self._price_ms = 0
        self._taken_at = self._now()
        self._stopping = False

    @property
    def is_stale(self) -> bool:
        """Whether no source has had a price for a minute."""
        return self._now() - self._taken_at >= _STALE_SECONDS

    def offer(self, tick: PriceTick) -> None:
        """A trade that another connection brought; it becomes the price when its source is the current one."""
        source = self._sources.get(tick.venue)
        if source is not None and tick.symbol == source.symbol:
            self._take(tick)

    def offer_all(self, events: Sequence[Event], source: str) -> None:
        """What a connection that is there for the price alone brought."""
        for event in events:
            if isinstance(event, PriceTick):
                self.offer(replace(event, venue=source))

    def pulse(self, refused: Collection[str] = ()) -> None:
        """Open and close connections of our own as needed; call about once a second in a running loop.

        `refused` names sources that are brought and whose venue refuses us now.
        """
        if self._stopping:
            return
        now = self._now()
        own = [name for name, connection in self._connections.items() if is_refused(connection)]
        for name in (*refused, *own):
            self.selector.refused(name, now)
        needed = [name for name in self.selector.needed(now) if name not in self._brought]
        for name in needed:
            if name not in self._connections:
                self._open(self._sources[name])
        for name in [name for name in self._connections if name not in needed]:
            connection = self._connections.pop(name)
            closing = asyncio.get_running_loop().create_task(self._close(connection), name=f"close {name}")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def stop(self) -> None:
        """Close the connections of our own, and open no other."""
        self._stopping = True
        self._connections.clear()
        await asyncio.gather(*(self._close(connection) for connection in list(self._tasks)), *self._closing)

    def connections(self) -> dict[str, Connection]:
        """The open connections of our own, by source."""
        return dict(self._connections)

    def ledgers(self) -> list[tuple[str, Ledger]]:
        """(name, ledger) of each connection of our own, and of the past ones together."""
        return [*((f"price {c.endpoint.url}", c.ledger) for c in self._tasks), ("price past", self._past)]

    def _open(self, source: PriceSource) -> None:
        endpoint = Endpoint(source.host.rstrip("/") + source.path, (source.topic,), _SILENCE_LIMIT, source.topic)

        venue: Venue = VENUES[source.venue]
        recorder = self._recorder
        connection = Connection(
            venue,
            endpoint,
            on_events=lambda events: self.offer_all(events, source.name),
            ssl_context=self._ssl_context,
            track=None if recorder is None else recorder.track(source.venue, endpoint, source.name),
        )
        self._connections[source.name] = connection
        self._tasks[connection] = asyncio.get_running_loop().create_task(connection.run(), name=f"price {source.name}")

    async def _close(self, connection: Connection) -> None:
        task = self._tasks.get(connection)
        if task is None:
            return
        await connection.stop()
        await asyncio.gather(task, return_exceptions=True)
        if self._tasks.pop(connection, None) is not None:
            self._past += connection.ledger

    def _take(self, tick: PriceTick) -> None:
        now = self._now()
        if self._is_old(tick, now):
            return
        # A stamp of the future must not outlive its trade.
        stamp = tick.event_ms if tick.receive_ms is None else min(tick.event_ms, tick.receive_ms)
        self._newest_ms[tick.venue] = stamp
        if self.selector.takes(tick.venue, now):
            self._price_ms, self._taken_at = stamp, now
            self._on_price(tick)

    def _is_old(self, tick: PriceTick, now: float) -> bool:
        if tick.event_ms < self._newest_ms.get(tick.venue, 0):
            return True
        # Two sources that live differ by their lags; one that stands in must bring what is news.
        allowed_ms = 0 if self.selector.is_silent(now) else round(1000 * SILENCE_SECONDS)
        return tick.event_ms < self._price_ms - allowed_ms


def is_refused(connection: Connection) -> bool:
    """Whether the venue answers our handshake with a refusal."""
    return connection.status.cause.startswith(_REFUSED)
