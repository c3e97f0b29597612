"""One connection's protocol as a state machine: bytes in, events and bytes out. No socket, no clock, for all venues.

subscribing -> live when every request was acknowledged (or refused down to single topics); silence on a live session,
or no acknowledgement in time, raises FeedStalled from `due`.
"""

from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from liqtape.errors import DecodeError, FeedStalled, SubscriptionRefused
from liqtape.events import Ack, Event, Invalid, Notice, PriceTick, RawLiquidation, Rejected
from liqtape.ledger import Ledger
from liqtape.plain import plain
from liqtape.venues.base import DecodesTogether, Endpoint, Heartbeat, Venue, batched
from liqtape.venues.limits import Turnstile

__all__ = ["ACK_LIMIT", "SAMPLES", "Session", "Undecodable"]

ACK_LIMIT = 10.0
"""Seconds a venue may take to answer a request."""

SAMPLES = 8
"""Undecodable frames that a session keeps."""

_REQUESTS_IN_FLIGHT = 4
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


class Session:
    """Times are seconds of any monotonic clock, given by the caller.

    `outgoing` holds frames to send now; the caller takes them with `take_outgoing` after every call. `refused` maps the
    topics the venue would not give to its reason. `stamp_ms` is the venue's time of the newest trade that came after
    the last answer: what came before proves nothing of the topics answered last. `samples` are the newest undecodable
    frames; several sessions may share them. Requests go out no faster than the venue allows.
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
        self._together = venue if isinstance(venue, DecodesTogether) else None
        self._alike = venue.alike if isinstance(venue, DecodesTogether) else b""
        self.confirmed = False
        self.notice: str | None = None
        self.refused: dict[str, str] = {}
        self.samples = deque[Undecodable](maxlen=SAMPLES) if samples is None else samples
        self.last_received = 0.0
        self.last_data: float | None = None
        self.stamp_ms: int | None = None
        self.outgoing: list[bytes] = []
        self._waiting: deque[tuple[str, ...]] = deque(batched(endpoint.topics, venue.topics_per_request))
        self._in_flight: dict[str, _Request] = {}
        self._turnstile = Turnstile(venue.limits.messages)
        self._next_id = 1
        self._confirmed_at = 0.0
        self._next_beat = 0.0

    def opened(self, now: float) -> list[bytes]:
        """The socket is open: the first frames to send."""
        self.last_received = now
        self._next_beat = now + self.venue.heartbeat.every if self.venue.heartbeat else now
        self._request_more(now)
        return self.take_outgoing()

    def received(self, payload: bytes, receive_ms: int | None, now: float) -> list[Event]:
        """Events of one frame. Counts it; an undecodable one is sampled and gives nothing."""
        ledger = self.ledger
        ledger.frames_received += 1
        self.last_received = now
        try:
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
            self.last_data = now
            newest = events[-1]
            if self.confirmed and isinstance(newest, PriceTick):
                self.stamp_ms = newest.event_ms
        else:
            ledger.frames_control += 1
            for event in events:
                self._control(event, now)
        return events

    def received_together(self, payloads: Sequence[bytes], receive_ms: int | None, now: float) -> list[list[Event]]:
        """The same of frames that came together, in as few lists as can be: what is replayed stays by itself, being no
        news. The liquidations among the frames are decoded at once; the order stays that of the frames.
        """
        known = self._decoded_together(payloads, receive_ms, now)
        if known and len(known) == len(payloads):
            return [known]
        batches: list[list[Event]] = []
        last: list[Event] = []
        decoded = iter(known)
        for payload in payloads:
            if known and payload.startswith(self._alike):
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

    def _decoded_together(self, payloads: Sequence[bytes], receive_ms: int | None, now: float) -> list[Event]:
        """One event for each frame that begins as nearly all liquidations do; none where they must go one by one."""
        together = self._together
        if together is None:
            return []
        alike = [payload for payload in payloads if payload.startswith(self._alike)]
        if len(alike) < _WORTH_IT:
            return []
        try:
            events = together.decode_together(alike, receive_ms)
        except DecodeError:
            return []
        if len(events) != len(alike):
            return []
        self.ledger.frames_received += len(alike)
        self.ledger.frames_liquidation += len(alike)
        self.last_received = self.last_data = now
        return events

    def due(self, now: float) -> list[bytes]:
        """Frames whose time has come. Raises FeedStalled or SubscriptionRefused when the connection is worthless."""
        for request in self._in_flight.values():
            if now >= request.deadline:
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
            self._turnstile.reserve(now)
            self.outgoing.append(beat.frame)
        return self.take_outgoing()

    def next_deadline(self) -> float:
        """When `due` must be asked again at the latest."""
        deadlines = [request.deadline for request in self._in_flight.values()]
        if self._may_request():
            deadlines.append(self._turnstile.next_at(0.0))
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

    def take_outgoing(self) -> list[bytes]:
        """Frames to send now; the list is empty afterwards."""
        frames, self.outgoing = self.outgoing, []
        return frames

    def _silent_from(self) -> float:
        return max(self._confirmed_at, self.last_data or 0.0) + self.endpoint.silence_limit

    def _beat_due(self, beat: Heartbeat) -> float:
        return max(self._next_beat, self.last_received + beat.every) if beat.only_when_idle else self._next_beat

    def _control(self, event: Event, now: float) -> None:
        if isinstance(event, Notice):
            self.notice = plain(event.reason)
        elif isinstance(event, Ack | Rejected):
            request = self._answered(event)
            if request is None:
                return
            if isinstance(event, Rejected):
                self._bisect(request.topics, event.reason)
            self._request_more(now)

    def _answered(self, answer: Ack | Rejected) -> _Request | None:
        """The request an answer belongs to: by its id, by the topic it names, or the oldest where it says neither."""
        request_id: str | None = answer.request_id
        if not request_id:
            pending = self._in_flight.values()
            request_id = next((r.id for r in pending if not answer.topic or answer.topic in r.topics), None)
        return None if request_id is None else self._in_flight.pop(request_id, None)

    def _bisect(self, topics: tuple[str, ...], reason: str) -> None:
        """One unknown topic refuses a whole request: halve until it stands alone."""
        if len(topics) == 1:
            self.refused[topics[0]] = plain(reason)
            return
        middle = len(topics) // 2
        self._waiting.extendleft((topics[middle:], topics[:middle]))

    def _request_more(self, now: float) -> None:
        while self._may_request() and self._turnstile.passes(now):
            topics = self._waiting.popleft()
            request = _Request(str(self._next_id), topics, now + ACK_LIMIT)
            self._next_id += 1
            self._in_flight[request.id] = request
            self.outgoing.append(self.venue.subscribe(request.id, topics))
        if not self._in_flight and not self._waiting and not self.confirmed:
            self.confirmed = True
            self._confirmed_at = now

    def _may_request(self) -> bool:
        return bool(self._waiting) and len(self._in_flight) < _REQUESTS_IN_FLIGHT
