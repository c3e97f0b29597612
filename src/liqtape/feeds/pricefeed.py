"""Connections for the BTC price, where the venues' own connections bring none."""

import asyncio
import ssl
from collections.abc import Callable, Collection, Sequence

from liqtape.engine.price.selector import PriceSelector
from liqtape.events import Event
from liqtape.feeds.connection import Connection
from liqtape.feeds.restraint import Restraints
from liqtape.ledger import Ledger
from liqtape.ourtime import our_seconds
from liqtape.pipeline.pricesources import PriceSource
from liqtape.recording.recorder import Track, untracked
from liqtape.venues import VENUES
from liqtape.venues.base import Endpoint, Venue

__all__ = ["PriceFeed", "is_refused"]


_SILENCE_LIMIT = 10.0
_REFUSED = "http_4"  # a region that is not served, an address that asked too often


class PriceFeed:
    """Connections that are there for the price alone: `on_events` gets what each brings, and the source's name.

    `selector` says which sources are needed. `brought` are those whose trades come with their venue's feed; for the
    others connections are opened, one source further for each ten seconds of silence, and closed when a better one is
    back.
    """

    def __init__(  # noqa: PLR0913 - where it gets things from and where it tells them
        self,
        selector: PriceSelector,
        sources: Sequence[PriceSource],
        on_events: Callable[[Sequence[Event], str], None],
        *,
        brought: Collection[str] = (),
        ssl_context: ssl.SSLContext | None = None,
        track: Track = untracked,
        now: Callable[[], float] = our_seconds,
    ) -> None:
        self.selector = selector
        self._sources = {source.name: source for source in sources}
        self._on_events = on_events
        self._brought = frozenset(brought)
        self._ssl_context = ssl_context
        self._track = track
        self._now = now
        self._restraints = Restraints()
        self._connections: dict[str, Connection] = {}
        self._tasks: dict[Connection, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._past = Ledger()
        self._stopping = False

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
        """Return the open connections of our own, by source."""
        return dict(self._connections)

    def ledgers(self) -> list[tuple[str, Ledger]]:
        """Return (name, ledger) of each connection of our own, and of the past ones together."""
        return [*((f"price {c.endpoint.url}", c.ledger) for c in self._tasks), ("price past", self._past)]

    def _open(self, source: PriceSource) -> None:
        endpoint = Endpoint(source.host.rstrip("/") + source.path, (source.topic,), _SILENCE_LIMIT, source.topic)

        venue: Venue = VENUES[source.venue]
        connection = Connection(
            venue,
            endpoint,
            on_events=lambda events: self._on_events(events, source.name),
            restraints=self._restraints,
            ssl_context=self._ssl_context,
            track=self._track(source.venue, endpoint, source.name),
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


def is_refused(connection: Connection) -> bool:
    """Return whether the venue answers our handshake with a refusal."""
    return connection.status.cause.startswith(_REFUSED)
