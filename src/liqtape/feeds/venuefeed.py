"""One venue's feed: its list of instruments, its connections, and when it was live."""

import asyncio
import logging
import ssl
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

import aiohttp
from msgspec.structs import replace

from liqtape.engine import VelocityEngine
from liqtape.errors import ListingError
from liqtape.events import Event, VenueHealth
from liqtape.feeds.connection import Connection, State, Status
from liqtape.feeds.listing import PartialListing, fetch_contracts
from liqtape.feeds.pacing import Patience
from liqtape.instruments import Contract, Instruments
from liqtape.ledger import Ledger
from liqtape.settings import VenueSettings
from liqtape.venues.base import Endpoint, Venue, WatchesAccounts, is_partial

__all__ = ["VenueFeed", "endpoints_of"]

_RETRY_SECONDS = 60.0
_RELOAD_SECONDS = 86_400.0
_UNSIZED_SECONDS = 60.0  # between two loads because of symbols whose contracts are of unknown size
_UNSIZED_LOADS = 5  # a day for one symbol: the venue may never list it
_WORST_FIRST: tuple[State, ...] = ("stalled", "waiting", "connecting", "subscribing", "stopped", "live")

_log = logging.getLogger(__name__)


class VenueFeed:
    """All connections of one venue; `on_up` and `on_down` tell when the venue as a whole is live.

    A venue is live while each of its endpoints has a live connection: one of several missing means that some of its
    instruments are not seen.
    """

    def __init__(  # noqa: PLR0913 - where it gets things from and where it tells them
        self,
        venue: Venue,
        settings: VenueSettings,
        instruments: Instruments,
        *,
        wanted: Collection[str],
        on_events: Callable[[list[Event], Ledger], None],
        on_up: Callable[[str, int], None],
        on_down: Callable[[str, int], None],
        on_listed: Callable[[Iterable[Contract]], None],
        ssl_context: ssl.SSLContext | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.venue = venue
        self.connections: list[Connection] = []
        self.listing_error: str | None = None
        self._settings = settings
        self._instruments = instruments
        self._wanted = frozenset(wanted)
        self._on_events = on_events
        self._on_up = on_up
        self._on_down = on_down
        self._on_listed = on_listed
        self._ssl_context = ssl_context
        self._patience = Patience() if patience is None else patience
        self._tasks: dict[Connection, asyncio.Task[None]] = {}
        self._leaving: dict[Connection, asyncio.Task[None]] = {}
        self._live: dict[Connection, int] = {}  # up_ms
        self._is_up = False
        self._since_ms = _wall_ms()
        self._past = Ledger()  # of connections that are no more
        self._unsettled: list[Ledger] = []  # of such as well, but events of theirs still wait for their time
        self._past_reconnects = 0
        self._unsized: Counter[str] = Counter()  # loads asked for, by symbol
        self._reload = asyncio.Event()
        self._tried = self._listed = self._stopping = False

    async def run(self) -> None:
        """Fetch the list where it is needed, connect, and reload the list once a day; ends only when cancelled."""
        # `trust_env`: the proxies of the environment, as every other client would use them.
        connector = aiohttp.TCPConnector(ssl=self._ssl_context or True)
        async with aiohttp.ClientSession(connector=connector, trust_env=True) as session:
            if not self.venue.listing_needed:
                self._connect()
            while True:
                self._reload.clear()
                await self._load(session)
                self._connect()
                await self._until_reload()

    def unsized(self, symbol: str) -> None:
        """An event of unknown contract size came: the list is fetched again, at most once a minute."""
        if not self._reload.is_set() and self._unsized[symbol] < _UNSIZED_LOADS:
            self._unsized[symbol] += 1
            self._reload.set()

    async def stop(self) -> None:
        """Close every connection, and begin no other; about a second at most."""
        self._stopping = True
        await asyncio.gather(*(self._ended(connection) for connection in self.connections), *self._leaving.values())

    def health(self, engine: VelocityEngine, now_ms: int) -> VenueHealth:
        """What an operator needs to see first."""
        states = [connection.status.state for connection in self.connections]
        state = next((worst for worst in _WORST_FIRST if worst in states), "idle" if self._tried else "starting")
        ages = [connection.last_data_age for connection in self.connections]
        return VenueHealth(
            self.venue.name,
            state,
            self._since_ms,
            min((round(age, 3) for age in ages if age is not None), default=None),
            self._past_reconnects + sum(connection.reconnects for connection in self.connections),
            engine.coverage(self.venue.name, now_ms),
            self._detail(),
        )

    def ledgers(self) -> list[tuple[str, Ledger]]:
        """(name, ledger) of each connection, and of the past ones together."""
        own = [
            (f"{self.venue.name} {urlsplit(connection.endpoint.url).path} {i}", connection.ledger)
            for i, connection in enumerate([*self.connections, *self._leaving])
        ]
        return [*own, (f"{self.venue.name} past", sum(self._unsettled, self._past))]

    async def _until_reload(self) -> None:
        """Once a day, soon after a failure, and soon after an event of unknown contract size."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_RETRY_SECONDS if self.listing_error else _RELOAD_SECONDS):
                await asyncio.sleep(_UNSIZED_SECONDS)
                await self._reload.wait()
                return
        self._unsized.clear()

    def _detail(self) -> str:
        words = []
        if is_partial(self.venue):
            accounts = len(_accounts(self.venue, self._settings))
            words.append(f"part of the liquidations only: fills of {accounts} watched accounts")
        for connection in self.connections:
            if connection.status.reason:
                words.append(connection.status.reason)
            if connection.session.refused:
                words.append(f"{len(connection.session.refused)} topics refused")
        if self.listing_error:
            words.append("list of instruments not loaded, the bundled one is used")
        if self._tried and not self.connections:
            words.append("no symbol of the settings is listed here")
        return "; ".join(dict.fromkeys(words))

    async def _load(self, session: aiohttp.ClientSession) -> None:
        """Take over the venue's list; without it the bundled table goes on, and is said so once."""
        contracts: list[Contract] = []
        error: str | None = None
        try:
            contracts = await fetch_contracts(self.venue, self._settings.rest_url, session)
        except PartialListing as partly:
            contracts, error = partly.contracts, str(partly)
        except ListingError as failed:
            error = str(failed)
        if error and not self.listing_error:
            _log.warning("%s: going on with the bundled table; next attempt in %g s", error, _RETRY_SECONDS)
        elif self.listing_error and not error:
            _log.info("%s: list of instruments loaded at last, %d contracts", self.venue.name, len(contracts))
        self.listing_error = error
        self._tried = True
        self._listed |= error is None
        self._instruments.load(contracts)
        self._on_listed(contract for contract in contracts if self._wants(contract.symbol))

    def _wants(self, symbol: str) -> bool:
        if not self._wanted:
            return True
        return symbol in self._wanted or self._instruments.contract(self.venue.name, symbol).instrument in self._wanted

    def _connect(self) -> None:
        """Run what the symbols of now need; connections whose topics did not change stay as they are."""
        if self._stopping:
            return
        symbols = self._instruments.listed(self.venue.name)
        if not self._listed:  # half a list must not hide what is known of the other half
            symbols = sorted({*symbols, *self.venue.bundled_symbols})
        endpoints = endpoints_of(self.venue, self._settings, [s for s in symbols if self._wants(s)])
        if (limit := self._patience.silence_limit) is not None:
            endpoints = [replace(endpoint, silence_limit=limit) for endpoint in endpoints]
        running = {connection.endpoint for connection in self.connections}
        for connection in [c for c in self.connections if c.endpoint not in endpoints]:
            self.connections.remove(connection)
            self._leaving[connection] = asyncio.get_running_loop().create_task(self._retire(connection))
        for endpoint in endpoints:
            if endpoint not in running:
                for _ in range(self._settings.redundancy):
                    self._begin(endpoint)

    def _begin(self, endpoint: Endpoint) -> None:
        ledger = Ledger()
        connection = Connection(
            self.venue,
            endpoint,
            on_events=lambda events: self._on_events(events, ledger),
            on_state=self._changed,
            ledger=ledger,
            ssl_context=self._ssl_context,
            backoff=self._patience.backoff,
            connect_timeout=self._patience.connect,
        )
        self.connections.append(connection)
        self._tasks[connection] = asyncio.get_running_loop().create_task(connection.run(), name=repr(connection))

    async def _ended(self, connection: Connection) -> None:
        await connection.stop()
        task = self._tasks.pop(connection, None)
        if task is not None:
            await asyncio.gather(task, return_exceptions=True)

    async def _retire(self, connection: Connection) -> None:
        await self._ended(connection)
        del self._leaving[connection]
        self._unsettled.append(connection.ledger)
        for ledger in [ledger for ledger in self._unsettled if not ledger.events_pending]:
            self._unsettled.remove(ledger)
            self._past += ledger
        self._past_reconnects += connection.reconnects

    def _changed(self, connection: Connection, status: Status) -> None:
        if status.up_ms is not None:
            self._live[connection] = status.up_ms
        elif status.down_ms is not None:
            self._live.pop(connection, None)
        covered = {other.endpoint for other in self._live}
        is_up = bool(self.connections) and all(other.endpoint in covered for other in self.connections)
        if is_up and not self._is_up:
            self._on_up(self.venue.name, max(self._live.values()))
        elif self._is_up and not is_up:
            # Without `down_ms` it is a new endpoint that is not live yet.
            self._on_down(self.venue.name, status.since_ms if status.down_ms is None else status.down_ms)
        if is_up != self._is_up:
            self._is_up, self._since_ms = is_up, status.since_ms


def endpoints_of(venue: Venue, settings: VenueSettings, symbols: Sequence[str]) -> list[Endpoint]:
    """The connections that bring these symbols: of the configured accounts, at the configured address."""
    if isinstance(venue, WatchesAccounts):
        endpoints = venue.watching(_accounts(venue, settings))
    else:
        endpoints = venue.endpoints(symbols)
    base = (settings.ws_url or venue.ws_url).rstrip("/")
    return [replace(endpoint, url=base + endpoint.url.removeprefix(venue.ws_url)) for endpoint in endpoints]


def _accounts(venue: Venue, settings: VenueSettings) -> list[str]:
    """The accounts whose fills bring the venue's liquidations, where that is how they are seen."""
    if not isinstance(venue, WatchesAccounts):
        return []
    return list(dict.fromkeys(account.lower() for account in settings.accounts or venue.watch_list))


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
