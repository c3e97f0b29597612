"""One venue's feed: its list of instruments, its connections, when it was live, and the filling of what it missed."""

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

import aiohttp
from msgspec.structs import replace

from liqtape.engine import VelocityEngine
from liqtape.errors import ListingError
from liqtape.events import Gap, VenueHealth
from liqtape.feeds.backfill import Backfill
from liqtape.feeds.backoff import Timeouts
from liqtape.feeds.connection import Connection, refused_words
from liqtape.feeds.feedlistener import FeedListener
from liqtape.feeds.listing import PartialListing, fetch_contracts
from liqtape.feeds.liveness import Liveness
from liqtape.feeds.pool import ConnectionPool
from liqtape.feeds.restconnector import RestConnector
from liqtape.feeds.restraint import Restraints
from liqtape.instruments import MOST_LISTED, Contract, Instruments
from liqtape.ledger import Ledger
from liqtape.ourtime import our_ms
from liqtape.pipeline.fromrest import is_target
from liqtape.pipeline.gaps import STARTING
from liqtape.pipeline.listener import Listener
from liqtape.recording.recorder import Track, untracked
from liqtape.settings import VenueSettings
from liqtape.venues.base import Backfills, Endpoint, Venue, WatchesAccounts, is_partial

__all__ = ["VenueFeed", "clock_words", "endpoints_of"]

_RETRY_SECONDS = 60.0
_RELOAD_SECONDS = 86_400.0
_UNSIZED_SECONDS = 60.0  # between two loads because of symbols whose contracts are of unknown size
_UNSIZED_LOADS = 5  # a day for one symbol: the venue may never list it
_REFRESH_SECONDS = 900.0  # between two attempts to end a suspicion by new connections
_SHORT_START_MS = 10_000
_SLICE = 200  # of a list: about 30 ms of the loop

_log = logging.getLogger(__name__)


class VenueFeed(Listener):
    """All connections of one venue, which tell `listener` what they bring and what becomes of them.

    `suspicion` is what speaks against a feed that lives, `unbalanced` names ledgers that do not add up, `skew_ms` is
    how far our clock is ahead of the venue's: these are set from outside.
    """

    def __init__(  # noqa: PLR0913 - where it gets things from and where it tells them
        self,
        venue: Venue,
        settings: VenueSettings,
        instruments: Instruments,
        *,
        target: Collection[str],
        listener: FeedListener,
        ssl_context: ssl.SSLContext | None = None,
        track: Track = untracked,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.venue = venue
        self.suspicion = ""
        self.unbalanced: Sequence[str] = ()
        self.skew_ms: int | None = None
        self.listing_error: str | None = None
        self.listing_failures = 0
        self.surplus = 0  # instruments of the list that found no place
        self._settings = settings
        self._instruments = instruments
        self._target = frozenset(target)
        self._listener = listener
        self._ssl_context = ssl_context
        self._timeouts = timeouts
        self._restraints = Restraints()
        self._liveness = Liveness(self._up, self._down, self._missed, self._whole)
        self.pool = ConnectionPool(
            venue,
            self._liveness,
            listener.ingest,
            redundancy=settings.redundancy,
            ssl_context=ssl_context,
            timeouts=timeouts,
            track=track,
            on_refused=self._refused_whole,
            restraints=self._restraints,
        )
        if settings.ws_url is None:
            self.pool.may_move()
        self.backfill: Backfill | None = None
        if isinstance(venue, Backfills):
            self.backfill = Backfill(
                venue.name,
                venue,
                settings.rest_url,
                subjects=self._subjects,
                listener=listener,
                restraints=self._restraints,
            )
        self._since_ms = our_ms()
        self._refreshed: float | None = None
        self._unsized: Counter[str] = Counter()  # loads asked for, by symbol
        self._reload = asyncio.Event()
        self._tried = self._listed = self._begun = self._unlisted = False
        self._topics: dict[str, frozenset[str]] = {}  # that bring each symbol
        self._seen: set[str] = set()  # topics, as of when all connections were live last
        self._not_given: dict[str, str] = {}  # topics that none of them is given, and why
        self._used: frozenset[Endpoint] = frozenset()
        self._unsubscribed: tuple[Sequence[str], bool] = (), True
        self._refused = ""

    async def run(self) -> None:
        """Fetch the list where it is needed, connect, and reload the list once a day; ends only when cancelled."""
        connector = RestConnector(self._ssl_context)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            asyncio.TaskGroup() as beside,
        ):
            if self.backfill is not None:
                beside.create_task(self.backfill.run(session), name=f"back-fill {self.venue.name}")
            if not self.venue.listing_needed:
                self._connect()
            while True:
                self._reload.clear()
                await self._load(session)
                self._connect()
                await self._until_reload()

    def unsized(self, venue: str, symbol: str) -> None:
        """Fetch the list again, at most once a minute: an event of unknown contract size came."""
        if venue == self.venue.name and not self._reload.is_set() and self._unsized[symbol] < _UNSIZED_LOADS:
            self._unsized[symbol] += 1
            self._reload.set()

    @property
    def connections(self) -> list[Connection]:
        """Those that stand for the venue now."""
        return self.pool.running

    async def stop(self) -> None:
        """Close every connection, and begin no other; about a second at most."""
        await self.pool.stop()

    def suspect(self, suspicion: str) -> None:
        """Say what speaks against the feed, or nothing; new connections try whether it is theirs."""
        if suspicion:
            now = asyncio.get_running_loop().time()
            if self._refreshed is None or now - self._refreshed >= _REFRESH_SECONDS:
                self._refreshed = now
                self.pool.refresh()
        self.suspicion = suspicion

    def health(
        self, engine: VelocityEngine, now_ms: int, at: Mapping[str, int] | None = None, shift_ms: int = 0
    ) -> VenueHealth:
        """Return what an operator needs to see first.

        `shift_ms` is by how much the venue's clock is known to be ahead.
        """
        state: str = self.pool.state or ("idle" if self._tried else "starting")
        if (self._unlisted or self.surplus) and state == "live":
            state = "unlisted"
        if shift_ms and state in {"live", "unlisted"}:
            state = "clock off"
        if self._trades_silent() and state in {"live", "unlisted", "clock off"}:
            state = "no trades"
        if self.suspicion and state in {"live", "unlisted", "clock off", "no trades"}:
            state = "quiet"
        if self._refused and state in {"live", "unlisted", "clock off", "no trades", "quiet"}:
            state = "refused"
        if self.unbalanced:
            state = "unbalanced"
        ages = [connection.last_data_age for connection in self.pool.all]
        return VenueHealth(
            self.venue.name,
            state,
            self._since_ms,
            min((round(age, 3) for age in ages if age is not None), default=None),
            self.pool.reconnects,
            engine.coverage(self.venue.name, now_ms, at),
            self._detail(shift_ms),
            self.skew_ms,
            shift_ms,
        )

    @property
    def known_until_ms(self) -> int | None:
        """Up to where what the venue sent is known; None while it is not live."""
        return self.pool.known_until_ms if self._liveness.is_up else None

    def ledgers(self) -> list[tuple[str, Ledger]]:
        """Return (name, ledger) of each connection, of the past ones together, and of the backfill."""
        own = self.pool.ledgers()
        return own if self.backfill is None else [*own, (f"{self.venue.name} back-fill", self.backfill.ledger)]

    async def _until_reload(self) -> None:
        """Wait a day, less after a failure, and less after an event of unknown contract size."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._retry_seconds() if self.listing_error else _RELOAD_SECONDS):
                await asyncio.sleep(_UNSIZED_SECONDS)
                await self._reload.wait()
                return
        self._unsized.clear()

    def _retry_seconds(self) -> float:
        """Return the pause, short at first: events of unknown contract size wait for the list, but not for long."""
        pause = _RETRY_SECONDS if self._listed else min(_RETRY_SECONDS, 2.0 ** min(self.listing_failures - 1, 6))
        hosts = [self._settings.rest_url or source.host for source in self.venue.instrument_sources]
        return max(pause, *map(self._restraints.left, hosts), 0.0)

    def _detail(self, shift_ms: int) -> str:
        words = []
        if shift_ms:
            words.append(f"its clock is {clock_words(shift_ms)}, which windows take off")
        if is_partial(self.venue):
            accounts = len(_accounts(self.venue, self._settings))
            words.append(f"part of the liquidations only: fills of {accounts} watched accounts")
        for connection in self.connections:
            words += _words_of(connection)
        words += self._list_words()
        words += self._restraints.words()
        if self._unsubscribed[0]:
            words.append(f"{len(self._unsubscribed[0])} listed instruments are not subscribed")
        if self._tried and not self.connections:
            words.append("no symbol of the settings is listed here")
        if self.suspicion:
            words.append(self.suspicion)
        if self.unbalanced:
            words.append(f"ledger does not balance: {', '.join(self.unbalanced)}")
        if self.backfill is not None and self.backfill.detail:
            words.append(f"a gap is not filled: {self.backfill.detail}")
        return "; ".join(dict.fromkeys(words))

    def _list_words(self) -> list[str]:
        words = []
        if self.listing_error:
            used = "an earlier one" if self._listed else "the bundled one"
            rest = ", what else is listed is not subscribed" if self.venue.listing_needed else ""
            words.append(f"list of instruments not loaded ({self.listing_failures} failed): {used} is used{rest}")
        if self.surplus:
            total = MOST_LISTED + self.surplus
            words.append(f"its list has {total} instruments or more, of which {MOST_LISTED} are kept")
        if forgotten := self._instruments.forgotten[self.venue.name]:
            words.append(f"{forgotten} names that its list has not made way for others")
        return words

    async def _load(self, session: aiohttp.ClientSession) -> None:
        """Take over the venue's list; without it the bundled table goes on, and is said so once."""
        contracts: list[Contract] = []
        error: str | None = None
        try:
            contracts = await fetch_contracts(self.venue, self._settings.rest_url, session, self._restraints)
        except PartialListing as partly:
            contracts, error = partly.contracts, str(partly)
        except ListingError as failed:
            error = str(failed)
        kept = contracts[:MOST_LISTED]
        for first in range(0, len(kept) - _SLICE, _SLICE):  # all at once would keep the loop for half a second
            self.take_list(kept[first : first + _SLICE])
            await asyncio.sleep(0)
        # From here to the new connections at one go: what is known to be listed is subscribed, or said not to be.
        self.listing_failures += error is not None
        if error and not self.listing_error:
            _log.warning("%s: going on with the bundled table; next attempt in %g s", error, self._retry_seconds())
        elif self.listing_error and not error:
            _log.info("%s: list of instruments loaded at last, %d contracts", self.venue.name, len(contracts))
        self.listing_error = error
        self._tried = True
        self._listed |= error is None
        self._unlisted |= error is not None and self.venue.listing_needed
        self.surplus = max(0, len(contracts) - MOST_LISTED)
        self._unlisted |= self.surplus > 0 and self.venue.listing_needed
        self.take_list(kept, is_whole=error is None)
        if (known_until_ms := self.known_until_ms) is not None:  # else when all is live again
            self._look(known_until_ms)

    def take_list(self, contracts: Sequence[Contract], *, is_whole: bool = False) -> None:
        """Take the venue's list, or as much of it as is known; what a whole one does not name any more leaves."""
        gone = self._listener.listed(self.venue, contracts, is_whole=is_whole)
        if gone:
            _log.info("%s: %d instruments are listed no more: %s", self.venue.name, len(gone), ", ".join(gone[:10]))

    def _is_target(self, symbol: str) -> bool:
        return is_target(self._instruments, self.venue.name, symbol, self._target)

    def _connect(self) -> None:
        """Run what the symbols of now need."""
        symbols = self._instruments.listed(self.venue.name)
        if not self._listed:  # half a list must not hide what is known of the other half
            symbols = sorted({*symbols, *self.venue.bundled_symbols})
        endpoints = endpoints_of(self.venue, self._settings, [s for s in symbols if self._is_target(s)])
        if self._timeouts is not None and (limit := self._timeouts.silence_limit) is not None:
            endpoints = [replace(endpoint, silence_limit=limit) for endpoint in endpoints]
        self._used = frozenset(endpoints)
        self.pool.use(endpoints)

    def _subjects(self) -> tuple[Sequence[str], bool]:
        """Return whose past liquidations are asked for, and whether these are all."""
        if isinstance(self.venue, WatchesAccounts):
            return _accounts(self.venue, self._settings), True
        return [s for s in self._instruments.listed(self.venue.name) if self._is_target(s)], self._listed

    def _whole(self, at_ms: int) -> None:
        """See whether everything is subscribed that is to be: all connections that stand for the venue are live."""
        self._begun = True
        live = [
            connection for connection in self.connections if self._liveness.is_live(connection, connection.endpoint)
        ]
        self._seen = {t for c in live for t in c.endpoint.topics if t not in c.session.refused}
        self._not_given = {t: why for c in live for t, why in c.session.refused.items() if t not in self._seen}
        if (
            self.listing_error is None
            and not self.surplus
            and self._used.issubset(c.endpoint for c in self.connections)
        ):
            self._unlisted = False
        self._look(at_ms)

    def _look(self, at_ms: int) -> None:
        """Tell which listed instruments no connection brings, and which are refused, if it changed at that moment.

        Whether a pre-market contract has liquidations yet only the venue knows: refused, it leaves the market partial.
        """
        if not (self.venue.listing_needed and self._begun):
            return
        name = self.venue.name
        symbols = [s for s in self._instruments.listed(name) if self._is_target(s)]
        missing = {
            self._instruments.contract(name, s).instrument for s in symbols if not self._topics_of(s) <= self._seen
        }
        unseen = tuple(sorted(missing)), not self._unlisted
        if unseen != self._unsubscribed:
            self._unsubscribed = unseen
            self._listener.feed_unsubscribed(name, at_ms, unseen[0], is_listed=unseen[1])
        opened = [s for s in symbols if not self._instruments.contract(name, s).is_pre_market]
        refused = {t: self._not_given[t] for s in opened for t in self._topics_of(s) if t in self._not_given}
        words = refused_words(refused) if refused else ""
        if words != self._refused:
            self._refused = words
            self._listener.feed_refused(name, at_ms, words)

    def _topics_of(self, symbol: str) -> frozenset[str]:
        """Return the topics that bring the symbol's liquidations."""
        topics = self._topics.get(symbol)
        if topics is None:
            endpoints = self.venue.endpoints([symbol])
            topics = frozenset(topic for e in endpoints for topic in e.topics if topic != e.canary)
            self._topics[symbol] = topics
        return topics

    def _up(self, at_ms: int) -> None:
        self._since_ms = our_ms()
        self._fill(self._listener.feed_up(self.venue.name, at_ms))

    def _down(self, at_ms: int, reason: str) -> None:
        self._since_ms = our_ms()
        self._refused = ""
        self._listener.feed_down(self.venue.name, at_ms, reason)

    def _refused_whole(self, connection: Connection, reason: str) -> None:
        """Say why the venue is not live: a connection lives without what would make it whole."""
        if not self._liveness.is_up:
            stamp_ms = connection.session.stamp_ms
            self._listener.feed_refused(self.venue.name, our_ms() if stamp_ms is None else stamp_ms, reason)

    def _missed(self, from_ms: int, until_ms: int, reason: str) -> None:
        for gap in self._listener.feed_missed(self.venue.name, from_ms, until_ms, reason):
            self._fill(gap)

    def _trades_silent(self) -> float:
        return max((connection.trades_silent for connection in self.connections), default=0.0)

    def _fill(self, gap: Gap | None) -> None:
        if gap is None or self.backfill is None or gap.until_ms is None:
            return
        if gap.reason != STARTING or gap.until_ms - gap.from_ms > _SHORT_START_MS:
            self.backfill.ask(gap)


def _words_of(connection: Connection) -> list[str]:
    words = [connection.status.reason] if connection.status.reason else []
    if connection.session.refused:
        words.append(refused_words(connection.session.refused))
    if silent := connection.trades_silent:
        words.append(f"no BTC trades for {silent:.0f} s while liquidations come")
    if connection.session.endpoint != connection.endpoint:
        words.append(f"at its other address {connection.session.endpoint.url}")
    return words


def clock_words(ahead_ms: int) -> str:
    """Say how far a clock is off, for people."""
    return f"{abs(ahead_ms) / 1000:.1f} s {'ahead of' if ahead_ms > 0 else 'behind'} the other venues'"


def endpoints_of(venue: Venue, settings: VenueSettings, symbols: Sequence[str]) -> list[Endpoint]:
    """Return the connections that bring these symbols: of the configured accounts, at the configured address."""
    if isinstance(venue, WatchesAccounts):
        endpoints = venue.watching(_accounts(venue, settings))
    else:
        endpoints = venue.endpoints(symbols)
    base = (settings.ws_url or venue.ws_url).rstrip("/")
    return [replace(endpoint, url=base + endpoint.url.removeprefix(venue.ws_url)) for endpoint in endpoints]


def _accounts(venue: Venue, settings: VenueSettings) -> list[str]:
    """Return the accounts whose fills bring the venue's liquidations, where that is how they are seen."""
    if not isinstance(venue, WatchesAccounts):
        return []
    return list(dict.fromkeys(account.lower() for account in settings.accounts or venue.watch_list))
