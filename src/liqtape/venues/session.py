"""One connection's protocol as a state machine: bytes in, events and bytes out. No socket, no clock, for all venues.

subscribing -> live when every request was acknowledged (or refused down to single topics); silence on a live session,
or no acknowledgement in time, raises FeedStalled from `due`. What was refused is asked for again with growing pauses.
"""

import math
from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from liqtape.errors import DecodeError, FeedStalled, SubscriptionRefused
from liqtape.events import Ack, Event, Invalid, Notice, PriceTick, RawLiquidation, Rejected
from liqtape.ledger import Ledger
from liqtape.sanitize import sanitize
from liqtape.venues.base import DecodesBatches, Endpoint, Heartbeat, Venue, batched
from liqtape.venues.limits import RateLimiter

__all__ = ["ACK_LIMIT", "MOST_OBJECTS", "SAMPLES", "Session", "Undecodable"]

ACK_LIMIT = 10.0
"""Seconds a venue may take to answer a request."""

SAMPLES = 8
"""Undecodable frames that a session keeps."""

MOST_OBJECTS = 6_000
"""JSON objects of one frame; a snapshot of 2,000 fills has 4,000. More would keep the loop for too long."""

_LARGE = 65_536  # bytes of a frame: smaller ones have no more
_REQUESTS_IN_FLIGHT = 4
_AGAIN_SECONDS = 1.0  # before a refused topic is asked for again; twice as long each time
_LONGEST_AGAIN_SECONDS = 300.0
_SAMPLE_BYTES = 16_384
_WORTH_IT = 4  # frames; fewer are as quick one by one


class Undecodable(Struct, frozen=True, gc=False):
    """A frame that its venue's decoder refused, cut to a length that can be kept."""

    reason: str
    payload: bytes
    receive_ms: int | None = None


class _Request(Struct, frozen=True):
    id: str
    topics: tuple[str, ...]
    deadline: float
    is_again: bool = False


class Session:
    """Times are seconds of any monotonic clock, given by the caller.

    `outgoing` holds frames to send now; the caller takes them with `take_outgoing` after every call. `refused` maps the
    topics the venue would not give to its reason; each is asked for again, alone, with growing pauses, and leaves once
    the venue gives it. `stamp_ms` is the venue's time of the newest trade that came after the first time that every
    request was answered: what came before proves nothing of the topics answered last. `samples` are the newest
    undecodable frames; several sessions may share them. Requests go out no faster than the venue allows.

    `has_news` is set with each answer and notice, and reset by the caller, who then asks `outgoing`, `notice` and
    `take_regained`.
    """

    def __init__(
        self,
        venue: Venue,
        endpoint: Endpoint,
        ledger: Ledger | None = None,
        samples: deque[Undecodable] | None = None,
    ) -> None:
        self.venue = venue
        self.endpoint = endpoint
        self.ledger = Ledger() if ledger is None else ledger
        # A canary alone is no feed, unless it is all that was asked for.
        self._essential = set(endpoint.topics) - {endpoint.canary} or set(endpoint.topics)
        self._together = venue if isinstance(venue, DecodesBatches) else None
        self._batch_prefix = venue.batch_prefix if isinstance(venue, DecodesBatches) else b""
        self.confirmed = False
        self.notice: str | None = None
        self.refused: dict[str, str] = {}
        self.samples = deque[Undecodable](maxlen=SAMPLES) if samples is None else samples
        self.last_received = 0.0
        self.last_data: float | None = None
        self.last_trade: float | None = None
        self.stamp_ms: int | None = None
        self.has_news = False
        self.outgoing: list[bytes] = []
        self._waiting: deque[tuple[str, ...]] = deque(batched(endpoint.topics, venue.topics_per_request))
        self._in_flight: dict[str, _Request] = {}
        self._rate_limiter = RateLimiter(venue.limits.messages)
        self._again: dict[str, tuple[float, float]] = {}  # of each refused topic: the pause, and when it ends
        self._regained: set[str] = set()
        self._next_id = 1
        self._confirmed_at = 0.0
        self._next_beat = 0.0

    def opened(self, now: float) -> list[bytes]:
        """Begin with an open socket: return the first frames to send."""
        self.last_received = now
        self._next_beat = now + self.venue.heartbeat.every if self.venue.heartbeat else now
        self._request_more(now)
        return self.take_outgoing()

    def received(self, payload: bytes, receive_ms: int | None, now: float) -> list[Event]:
        """Count and decode one frame; an undecodable one is sampled and gives no event."""
        ledger = self.ledger
        ledger.frames_received += 1
        self.last_received = now
        try:
            if len(payload) > _LARGE and payload.count(b"{") > MOST_OBJECTS:
                raise DecodeError(f"{self.venue.name}: a frame of more than {MOST_OBJECTS} objects")
            events = self.venue.decode(payload, receive_ms)
        except DecodeError as error:
            ledger.frames_undecodable += 1
            self.samples.append(Undecodable(str(error)[:200], payload[:_SAMPLE_BYTES], receive_ms))
            return []
        if not events:  # a topic we do not use is no sign that ours are alive
            ledger.frames_other_topic += 1
            return events
        kind = type(events[0])
        if kind is RawLiquidation or kind is Invalid:
            ledger.frames_liquidation += 1
            self.last_data = now
        elif kind is PriceTick:
            ledger.frames_other_topic += 1
            self.last_data = self.last_trade = now
            newest = events[-1]
            if self.confirmed and isinstance(newest, PriceTick):
                self.stamp_ms = newest.event_ms
        else:
            ledger.frames_control += 1
            for event in events:
                self._control(event, now)
        return events

    def received_together(self, payloads: Sequence[bytes], receive_ms: int | None, now: float) -> list[list[Event]]:
        """Count and decode frames that came together, into as few lists as can be; the order stays that of the frames.

        What is replayed stays by itself: it is no news. The liquidations among the frames are decoded at once.
        """
        known = self._decoded_batch(payloads, receive_ms, now)
        if known and len(known) == len(payloads):
            return [known]
        batches: list[list[Event]] = []
        last: list[Event] = []
        decoded = iter(known)
        for payload in payloads:
            if known and payload.startswith(self._batch_prefix):
                events = [next(decoded)]
            else:
                events = self.received(payload, receive_ms, now)
            if not events:
                continue
            first = events[0]
            if type(first) is RawLiquidation and first.replayed:
                batches.append(events)
                last = []
            elif last:
                last += events
            else:
                last = list(events)
                batches.append(last)
        return batches

    def _decoded_batch(self, payloads: Sequence[bytes], receive_ms: int | None, now: float) -> list[Event]:
        """Return one event for each frame that begins as nearly all liquidations do.

        There is none where they must go one by one.
        """
        together = self._together
        if together is None:
            return []
        matching = [payload for payload in payloads if payload.startswith(self._batch_prefix)]
        if len(matching) < _WORTH_IT:
            return []
        try:
            events = together.decode_batch(matching, receive_ms)
        except DecodeError:
            return []
        if len(events) != len(matching):
            return []
        self.ledger.frames_received += len(matching)
        self.ledger.frames_liquidation += len(matching)
        self.last_received = self.last_data = now
        return events

    def due(self, now: float) -> list[bytes]:
        """Return the frames whose time has come.

        Raises FeedStalled or SubscriptionRefused on a worthless connection.
        """
        for request in [request for request in self._in_flight.values() if now >= request.deadline]:
            if request.is_again:  # the others go on
                del self._in_flight[request.id]
                self._refuse(request.topics[0], "no answer", now)
            else:
                raise FeedStalled(f"{self.venue.name}: no answer to the subscription within {ACK_LIMIT:g} s")
        if self._essential.issubset(self.refused):
            reason = next(iter(self.refused.values()), "no topics")
            raise SubscriptionRefused(f"{self.venue.name}: every liquidation topic was refused: {reason}")
        if self.confirmed and now >= self._silent_from():
            raise FeedStalled(f"{self.venue.name}: connected, but no data for {self.endpoint.silence_limit:g} s")
        self._request_more(now)
        beat = self.venue.heartbeat
        if beat and now >= self._beat_due(beat):
            self._next_beat = now + beat.every
            self._rate_limiter.reserve(now)
            self.outgoing.append(beat.frame)
        return self.take_outgoing()

    def next_deadline(self) -> float:
        """Return when `due` must be asked again at the latest."""
        deadlines = [request.deadline for request in self._in_flight.values()]
        if self._may_request():
            deadlines.append(self._rate_limiter.next_at(0.0))
        elif self._again and len(self._in_flight) < _REQUESTS_IN_FLIGHT:
            asked = {topic for request in self._in_flight.values() for topic in request.topics}
            again = [at for topic, (_, at) in self._again.items() if topic not in asked]
            deadlines.append(max(self._rate_limiter.next_at(0.0), min(again, default=math.inf)))
        if self.confirmed:
            deadlines.append(self._silent_from())
        beat = self.venue.heartbeat
        if beat:
            deadlines.append(self._beat_due(beat))
        return min(deadlines, default=self.last_received + ACK_LIMIT)

    @property
    def has_canary(self) -> bool:
        """Whether trades are to be expected."""
        return self.endpoint.canary in self.endpoint.topics and self.endpoint.canary not in self.refused

    @property
    def lacking(self) -> list[str]:
        """Topics of liquidations that the venue refuses so far."""
        return [topic for topic in self.refused if topic in self._essential]

    def trades_silent(self, now: float) -> float:
        """Return for how many seconds expected trades did not come; 0 within the silence limit."""
        if not self.confirmed or not self.has_canary:
            return 0.0
        silent = now - max(self._confirmed_at, self.last_trade or 0.0)
        return silent if silent >= self.endpoint.silence_limit else 0.0

    def take_regained(self) -> set[str]:
        """Return the topics that were refused and are given since the last call."""
        regained, self._regained = self._regained, set()
        return regained

    def take_outgoing(self) -> list[bytes]:
        """Return the frames to send now; the list is empty afterwards."""
        frames, self.outgoing = self.outgoing, []
        return frames

    def _silent_from(self) -> float:
        return max(self._confirmed_at, self.last_data or 0.0) + self.endpoint.silence_limit

    def _beat_due(self, beat: Heartbeat) -> float:
        return max(self._next_beat, self.last_received + beat.every) if beat.only_when_idle else self._next_beat

    def _control(self, event: Event, now: float) -> None:
        if isinstance(event, Notice):
            self.notice = sanitize(event.reason)
            self.has_news = True
        elif isinstance(event, Ack | Rejected):
            self.has_news = True
            request = self._answered(event)
            if isinstance(event, Rejected):
                if request is not None:
                    self._bisect(request.topics, event.reason, now)
            elif self.refused:
                for topic in (event.topic,) if request is None else request.topics:
                    self._regain(topic)
            if request is not None:
                self._request_more(now)

    def _answered(self, answer: Ack | Rejected) -> _Request | None:
        """Return the request an answer belongs to.

        It is found by its id, by the topic it names, or is the oldest where the answer says neither.
        """
        request_id: str | None = answer.request_id
        if not request_id:
            pending = self._in_flight.values()
            request_id = next((r.id for r in pending if not answer.topic or answer.topic in r.topics), None)
        return None if request_id is None else self._in_flight.pop(request_id, None)

    def _bisect(self, topics: tuple[str, ...], reason: str, now: float) -> None:
        """Halve a refused request until one topic stands alone: one unknown topic refuses a whole request."""
        if len(topics) == 1:
            self._refuse(topics[0], sanitize(reason), now)
            return
        middle = len(topics) // 2
        self._waiting.extendleft((topics[middle:], topics[:middle]))

    def _refuse(self, topic: str, reason: str, now: float) -> None:
        pause, _ = self._again.get(topic, (_AGAIN_SECONDS / 2, 0.0))
        pause = min(2 * pause, _LONGEST_AGAIN_SECONDS)
        self.refused[topic] = reason
        self._again[topic] = pause, now + pause

    def _regain(self, topic: str) -> None:
        if self.refused.pop(topic, None) is not None:
            del self._again[topic]
            self._regained.add(topic)

    def _request_more(self, now: float) -> None:
        while self._may_request() and self._rate_limiter.passes(now):
            self._request(self._waiting.popleft(), now)
        for topic in self._due_again(now):
            if len(self._in_flight) < _REQUESTS_IN_FLIGHT and self._rate_limiter.passes(now):
                self._request((topic,), now, is_again=True)
        if not self.confirmed and not self._waiting and all(r.is_again for r in self._in_flight.values()):
            self.confirmed = True
            self._confirmed_at = now

    def _request(self, topics: tuple[str, ...], now: float, *, is_again: bool = False) -> None:
        request = _Request(str(self._next_id), topics, now + ACK_LIMIT, is_again)
        self._next_id += 1
        self._in_flight[request.id] = request
        self.outgoing.append(self.venue.subscribe(request.id, topics))

    def _due_again(self, now: float) -> list[str]:
        if not self._again or self._waiting:
            return []
        asked = {topic for request in self._in_flight.values() for topic in request.topics}
        return [topic for topic, (_, at) in self._again.items() if at <= now and topic not in asked]

    def _may_request(self) -> bool:
        return bool(self._waiting) and len(self._in_flight) < _REQUESTS_IN_FLIGHT
