"""The one runner for all venues: connect, subscribe, receive, notice silence, reconnect for ever."""

import asyncio
import logging
import math
import random
import ssl
import traceback
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from liqtape.errors import FeedStalled, SubscriptionRefused
from liqtape.events import Event, RawLiquidation
from liqtape.feeds.backoff import Backoff, Clock, SystemClock
from liqtape.feeds.disconnects import Disconnected
from liqtape.feeds.restraint import Restraints
from liqtape.feeds.transport import Connect, Socket, open_socket
from liqtape.ledger import Ledger
from liqtape.recording.recorder import ConnectionTrack
from liqtape.sanitize import sanitize, without_credentials
from liqtape.venues.base import Endpoint, Venue
from liqtape.venues.limits import RateLimiter
from liqtape.venues.session import SAMPLES, Session, Undecodable

__all__ = ["Connection", "State", "Status", "refused_words"]

log = logging.getLogger(__name__)

State = Literal["connecting", "subscribing", "live", "refused", "stalled", "waiting", "stopped"]
"""`live`: every request was answered and market data came. `refused`: a topic without which the feed is not whole is
refused so far, the others come.
"""

_SHORTEST_WAIT = 0.01
_MOST_FAILED_ATTEMPTS = 2  # before another address is tried
_LEAVE = (0.85, 0.95)  # of a connection's lifetime: early enough to try again, and not all at once
_LEAVE_AGAIN_SECONDS = 60.0
_CAUSES_REMEMBERED = 100
_SLICE_FRAMES = 500  # of what was read together, for one turn of the loop
_SLICE_BYTES = 1024 * 1024
_MOST_READ = 2_000  # frames of one read, and what stands in its buffer besides
_TRADES_HELD_MS = 200  # Binance sends aggregated trades 100 to 160 ms after their time, the others sooner
_SET_BACK_MS = 5_000  # trades so far below the beginning are of a clock that was set back since


def _first_slice(frames: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Return what of the frames is for one turn of the loop, and the rest."""
    first = frames[:_SLICE_FRAMES]
    if sum(map(len, first)) > _SLICE_BYTES:
        size = 0
        for place, frame in enumerate(first):
            size += len(frame)
            if size > _SLICE_BYTES:
                first = first[: place + 1]
                break
    return first, frames[len(first) :]


def refused_words(refused: Mapping[str, str]) -> str:
    """Say which topics are refused and why, for people.

    >>> refused_words({"b": "unknown", "a": "too often"})
    'refused: a, b (too often)'
    """
    named = sorted(refused)
    more = f" and {len(named) - 3} more" if len(named) > 3 else ""
    return sanitize(f"refused: {', '.join(named[:3])}{more} ({refused[named[0]]})", 400)


class Status(Struct, frozen=True):
    """Where a connection stands; `since_ms` and `until_ms` are by our clock.

    `cause` and `reason` say why the last connection was lost, until the next one is live. `until_ms` ends a back-off.
    Coverage is in the venue's time, by the stamps of the trades that come beside the liquidations: so neither our clock
    nor what the line lags matters. `up_ms` comes with `live` and follows from the first trade after the last answer (a
    venue may answer every request and stay silent); `down_ms` comes once with the state that ends it and is the stamp
    of the newest trade, so that silence counts as a gap from its beginning, and what was on its way as lost.
    """

    state: State
    since_ms: int
    cause: str = ""
    reason: str = ""
    until_ms: int | None = None
    up_ms: int | None = None
    down_ms: int | None = None


class Connection:
    """Keeps one endpoint of a venue alive: `run` in a task, `stop` from anywhere in the same loop.

    `on_events` gets the events of a frame, or of several that came together, in the loop: it must not block.
    `on_state` gets every change. `failures` counts lost connections by cause: dns, refused, network, tls, timeout,
    handshake, http_<status>, closed_<code>, protocol, too_big, unread, subscription, stalled, notice, address,
    internal.
    `session` is that of the current or last attempt, `reconnects` the attempts after the first, `samples` the newest
    undecodable frames.

    `addresses` bring the same as the endpoint and take turns while none stays live; without them the endpoint is the
    only one. `rate_limiter` lets through the attempts of all connections to the venue. `on_leaving` is told that the
    connection will end soon, by the venue's notice or its lifetime: where it answers that another one takes over, this
    one stays until it is stopped or lost, and does not reconnect.
    `restraints` know which addresses ask to be left alone, and until when.
    `track` records frames as they go into the session, with the moment of receipt it is told.
    """

    def __init__(  # noqa: PLR0913, PLR0915 - the venue's part, the caller's part, and what tests replace
        self,
        venue: Venue,
        endpoint: Endpoint,
        *,
        on_events: Callable[[list[Event]], None],
        on_state: Callable[["Connection", Status], None] | None = None,
        on_leaving: Callable[["Connection"], bool] | None = None,
        addresses: Sequence[Endpoint] = (),
        rate_limiter: RateLimiter | None = None,
        restraints: Restraints | None = None,
        ledger: Ledger | None = None,
        track: ConnectionTrack | None = None,
        samples: deque[Undecodable] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        backoff: Backoff | None = None,
        connect_timeout: float = 10.0,
        rng: random.Random | None = None,
        clock: Clock | None = None,
        connect: Connect | None = None,
    ) -> None:
        self.venue = venue
        self.endpoint = endpoint
        self.ledger = Ledger() if ledger is None else ledger
        self.failures: Counter[str] = Counter()
        self.reconnects = 0
        self.samples = deque[Undecodable](maxlen=SAMPLES) if samples is None else samples
        self._on_events = on_events
        self._on_leaving = on_leaving
        self._addresses = tuple(addresses) or (endpoint,)
        self._failed_attempts = 0
        self._rate_limiter = rate_limiter
        self._restraints = restraints
        self._leave_at: float | None = None
        self._leaving = False
        self._error: Exception | None = None
        self._frames: list[bytes] = []  # of this turn of the loop, but the first
        self._is_looking = True  # for the first trade behind the last answer
        self._proof_after: int | None = None  # the stamp of the last trade before what was refused was given
        self._is_turn = self._is_draining = False
        self._turn_frames = 0
        self._turn_now, self._turn_ms, self._turn_ns = 0.0, 0, 0
        self._track = track
        self._on_state = on_state
        self._ssl_context = ssl_context
        self._backoff = Backoff() if backoff is None else backoff
        self._connect_timeout = connect_timeout
        self._rng = random.Random() if rng is None else rng
        self._clock: Clock = SystemClock() if clock is None else clock
        self._connect = open_socket if connect is None else connect
        self._now, self._wall = self._clock.now, self._clock.wall
        self._wake = asyncio.Event()
        self._ended = asyncio.Event()
        self._running = self._stopping = False
        self._timeouts: asyncio.Timeout | None = None
        self._in_a_row = 0
        self._loss: Disconnected | None = None
        self._seen: set[str] = set()
        self._refused: frozenset[str] = frozenset()
        self._last_data: float | None = None
        self._up_ms: int | None = None
        self._begin()
        self.status = Status("stopped", self._wall_ms())

    def __repr__(self) -> str:
        return f"<Connection {self._label} {self.status.state}>"

    @property
    def last_data_age(self) -> float | None:
        """Seconds since the last market data; None before the first."""
        last = self._last_data if self.session.last_data is None else self.session.last_data
        return None if last is None else self._now() - last

    async def run(self) -> None:
        """Connect and reconnect until `stop`; a cancelled run closes its connection as well."""
        if self._running:
            raise RuntimeError("this connection runs already")
        self._running = True
        self._ended.clear()
        try:
            while not self._stopping:
                try:
                    await self._serve()
                except Exception as error:  # noqa: BLE001 - the supervisor: whatever it was, the feed lives on
                    if self._leaving:  # what it was to bring, another one brings
                        break
                    if not self._stopping:
                        await self._pause(self._lost(error))
        finally:
            self._tell("stopped")
            self._running = False
            self._ended.set()

    def relieve(self) -> None:
        """Stay until stopped or lost, and do not reconnect: another connection takes over."""
        self._leaving = True

    async def stop(self) -> None:
        """End `run` with a close frame; at most about a second, whatever the peer does."""
        self._stopping = True
        self._wake.set()
        if self._timeouts is not None and not self._timeouts.expired():
            self._timeouts.reschedule(asyncio.get_running_loop().time())
        if self._running:
            await self._ended.wait()

    def _begin(self) -> Session:
        """Begin a new attempt, nothing known."""
        self.session = Session(self.venue, self._addresses[0], self.ledger, self.samples)
        self._socket: Socket | None = None
        self._error = None
        self._is_draining = False
        self._is_confirmed = False
        self._is_looking, self._proof_after = True, None
        self._live_since: float | None = None
        self._label = f"{self.venue.name} {without_credentials(self.session.endpoint.url)}"
        return self.session

    async def _serve(self) -> None:
        """Run one connection from its beginning to its end, which is an exception unless `stop` was called."""
        session = self._begin()
        await self._admitted()
        if self._stopping:
            return
        self._tell("connecting")
        self._socket = socket = await self._open()
        lifetime = self.venue.limits.lifetime
        self._leave_at = None if lifetime is None else self._now() + lifetime * self._rng.uniform(*_LEAVE)
        try:
            for frame in session.opened(self._now()):
                socket.send(frame)
            self._tell("subscribing")
            await self._watch(session, socket)
        except FeedStalled as error:
            self._tell("stalled", self._lost(error))
            raise
        finally:
            self._last_data = session.last_data or self._last_data
            self._is_draining = True
            socket.pause()
            while self._is_turn:  # noqa: ASYNC110 - what was read belongs to this session, and each turn is one of the loop
                await asyncio.sleep(0)
            await socket.close()

    async def _open(self) -> Socket:
        url, limit = self.session.endpoint.url, self._connect_timeout
        try:
            async with asyncio.timeout(limit) as self._timeouts:
                return await self._connect(url, self._received, self._wake.set, self._ssl_context)
        except TimeoutError:
            raise Disconnected("timeout", f"no connection within {limit:g} s") from None
        finally:
            self._timeouts = None

    async def _watch(self, session: Session, socket: Socket) -> None:
        """Wake at the session's deadlines and when there is news; data by itself wakes nobody."""
        while not self._stopping:
            self._wake.clear()
            if self._error is not None:
                raise self._error
            if socket.lost is not None:
                raise socket.lost
            now = self._now()
            for frame in session.due(now):
                socket.send(frame)
            deadline = session.next_deadline()
            if not self._leaving:
                deadline = min(deadline, self._leave(session, now))
            await self._clock.wait(self._wake, max(_SHORTEST_WAIT, deadline - now))

    def _leave(self, session: Session, now: float) -> float:
        """See whether the end is near, and let another connection take over; return when to look again."""
        leave_at = math.inf if self._leave_at is None else self._leave_at
        if session.notice is None and now < leave_at:
            return leave_at
        self._leaving = self._on_leaving is not None and self._on_leaving(self)
        if session.notice is not None:
            lost = Disconnected("notice", f"the venue will close this connection: {session.notice}")
            if not self._leaving:
                raise lost
            self.failures[lost.cause] += 1
            log.info("%s: %s; another one takes over", self._label, lost)
        self._leave_at = now + _LEAVE_AGAIN_SECONDS
        return self._leave_at

    def _received(self, payload: bytes) -> None:
        """Take in one frame. A task or queue for each frame would cost several times the work itself.

        In a flood one read of the socket brings hundreds of frames. The first goes through at once, so that a single
        event is as quick as can be; the others go on together when this turn of the loop is over: a third of what they
        cost one by one. A read may hold tens of thousands: those wait in slices, a turn each, while nothing is read.
        Of a connection that is not live yet the first of a read go through one by one: each may be the sign of life.
        """
        if self._is_turn:
            self._turn_frames += 1
            if self._live_since is not None or self._turn_frames > _SLICE_FRAMES:
                self._frames.append(payload)
                if len(self._frames) == _MOST_READ and self._socket is not None:
                    self._socket.pause()
                return
        else:  # what comes in one turn was read together: one moment of receipt
            self._is_turn, self._turn_frames = True, 1
            self._turn_now, self._turn_ns = self._now(), int(self._wall() * 1e9)
            self._turn_ms = self._turn_ns // 1_000_000
            asyncio.get_running_loop().call_soon(self._end_turn, self.session)
        if self._track is not None:
            self._track.received((payload,), self._turn_ns)
        session = self.session
        events = session.received(payload, self._turn_ms, self._turn_now)
        if session.has_news:
            self._progress(session)
        if self._is_looking:
            self._look_for_life(session, events)
        if events:
            self._on_events(events)

    def _end_turn(self, session: Session) -> None:
        frames, self._frames = _first_slice(self._frames)
        if self._frames:  # the rest waits for its turn, and so does what is not read yet
            if self._socket is not None:
                self._socket.pause()
            asyncio.get_running_loop().call_soon(self._end_turn, session)
        else:
            self._is_turn = False
            if self._socket is not None and not self._is_draining:
                self._socket.resume()
        if not frames:
            return
        if self._track is not None:
            self._track.received(frames, self._turn_ns)
        try:
            for events in session.received_together(frames, self._turn_ms, self._turn_now):
                self._on_events(events)
        except Exception as error:  # noqa: BLE001 - the callback guard: the connection ends as if it had been its own
            self._error = error
            self._wake.set()
        if session.has_news:
            self._progress(session)
        if self._is_looking and session is self.session:
            self._look_for_life(session, ())

    def _progress(self, session: Session) -> None:
        session.has_news = False
        if session.take_regained():  # what came before proves nothing of it
            self._is_looking, self._proof_after = True, session.stamp_ms
            self._warn_of_refused(session)
        if session.refused:
            self._wake.set()  # to be asked for again at another time than was waited for
        if self._socket is not None:
            for frame in session.take_outgoing():
                self._socket.send(frame)
        if session.notice is not None:
            self._wake.set()

    def _look_for_life(self, session: Session, events: Sequence[Event]) -> None:
        if session.confirmed and not self._is_confirmed:
            self._is_confirmed = True
            self._wake.set()  # the deadlines are others now
            self._warn_of_refused(session)
        if self._is_confirmed and session.refused and not self.venue.listing_needed and (lacking := session.lacking):
            # Each topic is of everything of its kind: without it there is no telling which instruments are whole.
            if self.status.state != "refused":
                self._tell("refused", Disconnected("refused", refused_words({t: session.refused[t] for t in lacking})))
            return
        if (up_ms := self._beginning(session, events)) is None:
            return
        self._is_looking = False
        if self._live_since is None:
            self._live_since, self._up_ms = session.last_data, up_ms
            self._loss = None
        self._tell("live", up_ms=up_ms)

    def _beginning(self, session: Session, events: Sequence[Event]) -> int | None:
        """Return from where on, in the venue's time, we were told all.

        What has just come bears a stamp that is older by as much as the venue may have held it back.
        """
        if session.stamp_ms is not None and session.stamp_ms != self._proof_after:
            return session.stamp_ms + _TRADES_HELD_MS
        first = events[0] if events else None
        if not (session.confirmed and isinstance(first, RawLiquidation)) or first.replayed:
            return None
        if session.has_canary and not session.trades_silent(self._turn_now):
            return None
        return first.event_ms + self.venue.max_publish_delay_ms

    async def _pause(self, lost: Disconnected) -> None:
        """Count the loss and wait for the next attempt; a connection that held is followed at once by the next."""
        self.failures[lost.cause] += 1
        last = self.session.last_data
        held = self._live_since is not None and last is not None and last - self._live_since >= self._backoff.cap
        self._in_a_row = 1 if held else self._in_a_row + 1
        self._failed_attempts = 0 if held else self._failed_attempts + 1
        if self._restraints is not None and lost.status:
            self._restraints.note(self.session.endpoint.url, lost.status, lost.retry_after)
            left = self._restraints.left
            self._addresses = tuple(sorted(self._addresses, key=lambda address: left(address.url) > 0))
        if self._failed_attempts >= _MOST_FAILED_ATTEMPTS:
            self._failed_attempts = 0
            self._addresses = (*self._addresses[1:], self._addresses[0])
        at_once = held and lost.cause == "notice"
        seconds = 0.0 if at_once else self._backoff.delay(self._in_a_row, self._rng)
        self._tell("waiting", lost, seconds)
        await self._rest(self._now() + seconds)
        self.reconnects += not self._stopping

    async def _admitted(self) -> None:
        """Wait until the venue allows one more attempt, and until the address asks no more to be left alone."""
        url = self.session.endpoint.url
        while self._restraints is not None and not self._stopping and (left := self._restraints.left(url)):
            cause = f"http_{self._restraints.status(url)}"  # which it still is
            self._tell("waiting", Disconnected(cause, f"{self._label}: {self._restraints.why(url)}"), left)
            await self._rest(self._now() + left)
        if self._rate_limiter is None:
            return
        now = self._now()
        at = self._rate_limiter.reserve(now)
        if at > now:
            self._tell("waiting", self._loss or Disconnected("pace", "as many attempts as the venue allows"), at - now)
            await self._rest(at)

    async def _rest(self, until: float) -> None:
        while not self._stopping and (left := until - self._now()) > 0:
            self._wake.clear()
            await self._clock.wait(self._wake, left)

    def _lost(self, error: Exception) -> Disconnected:
        """Return the error as a named reason; our own are logged with their traceback, once for each place."""
        if isinstance(error, FeedStalled):
            return Disconnected("stalled" if self.session.confirmed else "subscription", str(error))
        if isinstance(error, SubscriptionRefused):
            return Disconnected("subscription", str(error))
        if isinstance(error, Disconnected) and error.cause != "internal":
            return error
        self._log_once(error.__cause__ or error)
        return (
            error if isinstance(error, Disconnected) else Disconnected("internal", f"{type(error).__name__}: {error}")
        )

    def _log_once(self, error: BaseException) -> None:
        places = traceback.extract_tb(error.__traceback__)
        key = f"{type(error).__name__} {places[-1].filename}:{places[-1].lineno}" if places else repr(error)
        if key not in self._seen and len(self._seen) < _CAUSES_REMEMBERED:
            self._seen.add(key)
            log.error("%s: error in our own code, reconnecting", self._label, exc_info=error)

    def _tell(
        self, state: State, lost: Disconnected | None = None, seconds: float | None = None, up_ms: int | None = None
    ) -> None:
        repeated = self._loss is not None and (lost is None or lost.cause == self._loss.cause)
        if state != "stalled":  # the back-off that follows has the same reason, and is what a log must show
            self._loss = lost or self._loss
        now_ms = self._wall_ms()
        loss = None if state == "stopped" else lost or self._loss
        cause, reason = (loss.cause, str(loss)) if loss else ("", "")
        until_ms = None if seconds is None else now_ms + int(seconds * 1000)
        down_ms = None if state == "live" else self._take_down_ms()
        self.status = status = Status(state, now_ms, cause, reason, until_ms, up_ms, down_ms)
        if self._track is not None:
            self._track.became(state, cause, reason)
        self._log_status(status, logging.DEBUG if repeated and state != "stopped" else logging.INFO)
        if self._on_state is not None:
            try:
                self._on_state(self, status)
            except Exception as error:  # noqa: BLE001 - the callback guard: counted and logged, the feed lives on
                self.failures["internal"] += 1
                self._log_once(error)

    def _log_status(self, status: Status, level: int) -> None:
        if status.state != "waiting" or status.until_ms is None:
            log.log(level, "%s: %s", self._label, status.state)
            return
        seconds = (status.until_ms - status.since_ms) / 1000
        level = logging.WARNING if level == logging.INFO else level
        log.log(level, "%s: %s; next attempt in %.1f s", self._label, status.reason, seconds)

    @property
    def known_until_ms(self) -> int | None:
        """Up to where what the venue sent is known, in its time; None while the connection is not live."""
        last, stamp_ms = self.session.last_data, self.session.stamp_ms
        if self._up_ms is None or self._live_since is None or last is None:
            return None
        if stamp_ms is None:  # nothing but liquidations tells the time, and those are rare
            stamp_ms = self._up_ms + round((last - self._live_since) * 1000)
        return stamp_ms if stamp_ms < self._up_ms - _SET_BACK_MS else max(self._up_ms, stamp_ms)

    @property
    def trades_silent(self) -> float:
        """For how many seconds no trade came while liquidations do; 0 where that is within what is usual."""
        return 0.0 if self.status.state != "live" else self.session.trades_silent(self._now())

    def _take_down_ms(self) -> int | None:
        """Return when the feed was last seen live, once."""
        down_ms, self._up_ms = self.known_until_ms, None
        return down_ms

    def _warn_of_refused(self, session: Session) -> None:
        refused = frozenset(session.refused)
        if refused and refused != self._refused:
            counts = f"{len(refused)} of {len(self.endpoint.topics)}"
            log.warning("%s: %s topics %s; asking again", self._label, counts, refused_words(session.refused))
        elif self._refused and not refused:
            log.info("%s: every topic is subscribed at last", self._label)
        self._refused = refused

    def _wall_ms(self) -> int:
        return int(self._wall() * 1000)
