"""All connections of one venue: which run, how one takes over from another without a hole, and what they counted."""

import asyncio
import logging
import math
import ssl
from collections import Counter, deque
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from liqtape.events import Event
from liqtape.feeds.backoff import Timeouts
from liqtape.feeds.connection import Connection, State, Status
from liqtape.feeds.liveness import Liveness
from liqtape.feeds.restraint import Restraints
from liqtape.ledger import Ledger
from liqtape.recording.recorder import Track, untracked
from liqtape.venues.base import Endpoint, OffersAlternatives, Venue
from liqtape.venues.limits import RateLimiter
from liqtape.venues.session import Undecodable

__all__ = ["ConnectionPool"]

_LOOK_SECONDS = 0.2
_OVERLAP_SECONDS = 5.0  # what a venue batches or throttles has left by then
_HAND_OVER_SECONDS = 60.0  # for changed topics to become live, before the old ones are given up all the same
_SHORTEST_LIFE_SECONDS = 60.0  # a connection that is to end sooner goes through the back-off
_SAMPLES = 64
_STOPPED = "not running"
_LOST = "connection lost"
_WORST_FIRST: tuple[State, ...] = ("stalled", "waiting", "connecting", "subscribing", "stopped", "refused", "live")
_BEST_FIRST: tuple[State, ...] = ("live", "refused", "subscribing", "connecting", "waiting", "stalled", "stopped")

_log = logging.getLogger(__name__)


class ConnectionPool:
    """`use` says what is to be connected; the rest happens by itself until `stop`.

    A connection that is to end (changed topics, the venue's notice, its lifetime, a suspicion) goes on until the one
    that takes over is live, and then until it got data once more: so both overlap, and either got what came between.
    Repeats are dropped by identity.
    """

    def __init__(  # noqa: PLR0913 - where it gets things from and where it tells them
        self,
        venue: Venue,
        liveness: Liveness,
        on_events: Callable[[Sequence[Event], Ledger], None],
        *,
        redundancy: int = 1,
        ssl_context: ssl.SSLContext | None = None,
        timeouts: Timeouts | None = None,
        track: Track = untracked,
        on_refused: Callable[[Connection, str], None] | None = None,
        restraints: Restraints | None = None,
    ) -> None:
        self.running: list[Connection] = []
        self.samples: deque[Undecodable] = deque(maxlen=_SAMPLES)
        self._venue = venue
        self._liveness = liveness
        self._on_events = on_events
        self._on_refused = on_refused
        self._redundancy = redundancy
        self._restraints = restraints
        self._track = track
        self._ssl_context = ssl_context
        self._timeouts = Timeouts() if timeouts is None else timeouts
        attempts = self._timeouts.attempts
        self._rate_limiter = RateLimiter(venue.limits.connections if attempts is None else attempts)
        self._alternatives: Callable[[Endpoint], list[Endpoint]] | None = None
        self._turn = 0  # which of several addresses is the first
        self._incoming: list[Connection] = []
        self._leaving: dict[Connection, asyncio.Task[None]] = {}
        self._tasks: dict[Connection, asyncio.Task[None]] = {}
        self._began: dict[Connection, float] = {}
        self._hand_overs: dict[asyncio.Task[None], Sequence[Connection]] = {}
        self._next: Sequence[Endpoint] | None = None
        self._past = Ledger()  # of connections that are no more
        self._unsettled: list[Ledger] = []  # of such as well, but events of theirs still wait for their time
        self._past_reconnects = 0
        self._past_failures: Counter[str] = Counter()
        self._stopping = False

    def may_move(self) -> None:
        """Use the venue's other addresses as well from now on."""
        if isinstance(self._venue, OffersAlternatives):
            self._alternatives = self._venue.alternatives

    def use(self, endpoints: Sequence[Endpoint]) -> None:
        """Run these; connections whose endpoint stays do so too. A hand-over that goes on is finished first."""
        if self._stopping:
            return
        if self._hand_overs:
            self._next = endpoints
            return
        known = {connection.endpoint for connection in self.running}
        outgoing = [connection for connection in self.running if connection.endpoint not in endpoints]
        incoming = [self._begin(e) for e in endpoints if e not in known for _ in range(self._redundancy)]
        if self.running and incoming:
            self._hand_over(incoming, outgoing, _HAND_OVER_SECONDS)
        else:
            self._replace(incoming, outgoing)

    def refresh(self) -> None:
        """Let new connections take over, at the venue's next address where it has several."""
        if self._hand_overs or self._stopping:
            return
        self._turn += 1
        for connection in list(self.running):
            connection.relieve()
            self._hand_over([self._begin(connection.endpoint)], [connection], math.inf)

    async def stop(self) -> None:
        """Close every connection, and begin no other; about a second at most."""
        self._stopping = True
        for task in list(self._hand_overs):
            task.cancel()
        await asyncio.gather(*self._hand_overs, return_exceptions=True)
        ending = [self._ended(connection) for connection in (*self.running, *self._incoming)]
        await asyncio.gather(*ending, *self._leaving.values())

    @property
    def all(self) -> list[Connection]:
        """Every connection there is, those that come and go included."""
        return [*self.running, *self._incoming, *self._leaving]

    @property
    def state(self) -> State | None:
        """The worst slot's best connection: how well the venue is seen. None where nothing is to be connected."""
        by_seat: dict[Endpoint, list[State]] = {connection.endpoint: [] for connection in self.running}
        for connection in self.all:
            if connection.endpoint in by_seat:
                by_seat[connection.endpoint].append(_shown(connection.status))
        best = {next(state for state in _BEST_FIRST if state in states) for states in by_seat.values()}
        return next((state for state in _WORST_FIRST if state in best), None)

    @property
    def known_until_ms(self) -> int | None:
        """Up to where, in the venue's time, all it sent is known: by the worst slot's best connection.

        None where a slot has no live one.
        """
        reached: dict[Endpoint, int] = {}
        for connection in self.all:
            if (at_ms := connection.known_until_ms) is not None:
                reached[connection.endpoint] = max(at_ms, reached.get(connection.endpoint, at_ms))
        if not self.running or any(connection.endpoint not in reached for connection in self.running):
            return None
        return min(reached[connection.endpoint] for connection in self.running)

    @property
    def reconnects(self) -> int:
        """Attempts after the first, of all connections there ever were."""
        return self._past_reconnects + sum(connection.reconnects for connection in self.all)

    @property
    def failures(self) -> Counter[str]:
        """Lost connections and failed attempts by cause, of all connections there ever were."""
        return sum((connection.failures for connection in self.all), self._past_failures)

    def ledgers(self) -> list[tuple[str, Ledger]]:
        """Return (name, ledger) of each connection, and of the past ones together."""
        name = self._venue.name
        own = [
            (f"{name} {urlsplit(connection.endpoint.url).path} {i}", connection.ledger)
            for i, connection in enumerate(self.all)
        ]
        return [*own, (f"{name} past", sum(self._unsettled, self._past))]

    def _begin(self, endpoint: Endpoint) -> Connection:
        ledger = Ledger()
        addresses = [endpoint, *(self._alternatives(endpoint) if self._alternatives else ())]
        turn = self._turn % len(addresses)
        connection = Connection(
            self._venue,
            endpoint,
            on_events=lambda events: self._on_events(events, ledger),
            on_state=self._changed,
            on_leaving=self._leave,
            addresses=[*addresses[turn:], *addresses[:turn]],
            rate_limiter=self._rate_limiter,
            restraints=self._restraints,
            ledger=ledger,
            samples=self.samples,
            track=self._track(self._venue.name, endpoint),
            ssl_context=self._ssl_context,
            backoff=self._timeouts.backoff,
            connect_timeout=self._timeouts.connect,
        )
        loop = asyncio.get_running_loop()
        self._began[connection] = loop.time()
        self._tasks[connection] = loop.create_task(connection.run(), name=repr(connection))
        return connection

    def _changed(self, connection: Connection, status: Status) -> None:
        if status.up_ms is not None and not self._stopping:  # which live to see the others end, and then end as well
            self._liveness.up(connection, connection.endpoint, status.up_ms)
        elif status.down_ms is not None:
            reason = _STOPPED if self._stopping else status.reason or _LOST
            self._liveness.down(connection, connection.endpoint, status.down_ms, reason)
        if status.state == "refused" and self._on_refused is not None:
            self._on_refused(connection, status.reason)

    def _leave(self, connection: Connection) -> bool:
        """Return whether another one takes over from this one, which is about to end."""
        age = asyncio.get_running_loop().time() - self._began[connection]
        is_busy = any(connection in taking_part for taking_part in self._hand_overs.values())
        if self._stopping or is_busy or connection not in self.running or age < _SHORTEST_LIFE_SECONDS:
            return False
        self._hand_over([self._begin(connection.endpoint)], [connection], math.inf)
        return True

    def _hand_over(self, incoming: Sequence[Connection], outgoing: Sequence[Connection], seconds: float) -> None:
        self._incoming += incoming
        task = asyncio.get_running_loop().create_task(
            self._handing_over(incoming, outgoing, seconds), name=f"hand-over {self._venue.name}"
        )
        self._hand_overs[task] = [*incoming, *outgoing]
        task.add_done_callback(self._handed_over)

    async def _handing_over(
        self, incoming: Sequence[Connection], outgoing: Sequence[Connection], seconds: float
    ) -> None:
        """Let `incoming` become live, then live beside `outgoing` until both are known to have missed nothing.

            incoming   connect, subscribe | live ----------------------------> running
            outgoing   live ------------- | ---------- data once more ->|  leave
                       <-    `seconds`   -><- 5 s, then up to `silence` ->

        What a venue sent to the outgoing connection before the incoming one was live arrives within the overlap; its
        next data prove that it lived till then. Where no outgoing connection lives any more there is nothing to wait
        for, and where time runs out the incoming ones take over as they are: a gap is then told by `Liveness`.
        """
        await self._until(outgoing, seconds, lambda: all(map(self._is_live, incoming)))
        silence = max((connection.endpoint.silence_limit for connection in outgoing), default=0.0)
        now = asyncio.get_running_loop().time
        live_at = now()

        def is_proven() -> bool:
            """Return whether both lived side by side for a while, the old ones as well up to their last data."""
            old = [connection.last_data_age for connection in outgoing if not self._tasks[connection].done()]
            both = now() - live_at
            return both >= _OVERLAP_SECONDS and all(age is not None and age < both for age in old)

        if all(map(self._is_live, incoming)):
            await self._until(outgoing, silence + _OVERLAP_SECONDS, is_proven)
        for connection in incoming:
            self._incoming.remove(connection)
        self._replace(incoming, outgoing)

    def _handed_over(self, task: asyncio.Task[None]) -> None:
        del self._hand_overs[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s failed", task.get_name(), exc_info=error)
        if not self._hand_overs and self._next is not None:
            endpoints, self._next = self._next, None
            self.use(endpoints)

    async def _until(self, outgoing: Sequence[Connection], seconds: float, is_true: Callable[[], bool]) -> None:
        """Wait for it, while any of the old connections lives, for so long at most."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not is_true() and loop.time() < deadline:
            alive = [task for connection in outgoing if not (task := self._tasks[connection]).done()]
            if alive:
                await asyncio.wait(alive, timeout=_LOOK_SECONDS)
            elif outgoing:
                return
            else:
                await asyncio.sleep(_LOOK_SECONDS)

    def _is_live(self, connection: Connection) -> bool:
        return self._liveness.is_live(connection, connection.endpoint)

    def _replace(self, incoming: Sequence[Connection], outgoing: Sequence[Connection]) -> None:
        """Let `incoming` stand for the venue from now on, and `outgoing` leave."""
        known_until_ms = self.known_until_ms
        self.running = [*(connection for connection in self.running if connection not in outgoing), *incoming]
        self._liveness.require({c.endpoint for c in self.running}, known_until_ms)
        for connection in outgoing:
            self._leaving[connection] = asyncio.get_running_loop().create_task(self._retire(connection))

    async def _ended(self, connection: Connection) -> None:
        await connection.stop()
        task = self._tasks.pop(connection, None)
        self._began.pop(connection, None)
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
        self._past_failures += connection.failures


def _shown(status: Status) -> State:
    """Return the state for people: a feed that was lost because it fell silent is `stalled` until it is live."""
    is_away = status.state in {"waiting", "connecting", "subscribing"}
    return "stalled" if is_away and status.cause == "stalled" else status.state
