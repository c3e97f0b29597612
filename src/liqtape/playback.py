"""A recording through the very code that ran live: sessions, decoders, intake, engine. Its clock is the recording's.

Not a second tracker but the same one, never started: nothing is connected, no sink is opened, and what a clock would
say is what was recorded.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from msgspec import Struct

from liqtape.engine.levels.episodes import StreamState
from liqtape.engine.levels.returnperiods import StreamKey
from liqtape.errors import ConfigurationError, DecodeError
from liqtape.eventfiles.replay import GridStep, rows_due
from liqtape.events import Alert, Liquidation
from liqtape.ledger import Ledger
from liqtape.recording.chunks import Group
from liqtape.recording.records import (
    BackfillAnswer,
    BaselineSeedPart,
    ConnectionOpened,
    ConnectionState,
    FeedDown,
    FeedMissed,
    FeedUp,
    FramesLost,
    GapBackfilled,
    LevelSeedPart,
    ListingLoaded,
    RecalledPart,
    Record,
    Refused,
    RunEnded,
    RunStarted,
    Tick,
    Unsubscribed,
)
from liqtape.recording.segments import Broken, StampedRecord, read_recording, segment_files
from liqtape.settings import HistorySettings, PriceSettings, RedisSettings, Settings, VenueSettings
from liqtape.tracker import Tracker
from liqtape.venues import VENUES
from liqtape.venues.session import Session

__all__ = ["Playback", "Played"]

_SECOND_NS = 1_000_000_000
_NOT_RECORDED = "not recorded"


class Played(Struct, frozen=True):
    """What a playback was made of; `lost_frames` were never recorded, `broken` cannot be read."""

    frames: int
    events: int
    runs: int
    lost_frames: int
    broken: int
    ledger: dict[str, int]


class _RecordedConnection:
    """One connection of the recording."""

    __slots__ = ("endpoint", "ledger", "price_source", "session", "venue")

    def __init__(self, record: ConnectionOpened, ledger: Ledger) -> None:
        if record.venue not in VENUES:
            raise ConfigurationError(f"the recording is of {record.venue!r}, which this version does not know")
        self.venue, self.endpoint, self.price_source = VENUES[record.venue], record.endpoint, record.price_source
        self.ledger = ledger
        self.session = Session(self.venue, self.endpoint, ledger)


class Playback:
    """Plays a recording, or a segment of it: `steps` once, then `played` tells the counts.

    Moments that could not be read or were lost are gaps of the venues concerned, as an outage would be. `broken` says
    where. Sessions and identities are those of the recorded run, so what live accepted is accepted, in the same order.
    """

    def __init__(self, path: Path) -> None:
        self.broken: list[Broken] = []
        self.size = sum(file.stat().st_size for file in segment_files(path))
        self._read = 0
        self._path = path
        self._parts: Iterator[Group | StampedRecord | Broken] = iter(())
        self._records: deque[StampedRecord | Broken] = deque()  # before `_group`
        self._group: Group | None = None
        self._tracker: Tracker | None = None
        self._lines: dict[int, _RecordedConnection] = {}
        self._live: set[str] = set()
        self._after_break: set[str] = set()
        self._now_ns = 0
        self._frames = self._events_count = self._runs = self._lost_frames = 0
        self._events: list[Liquidation] = []
        self._alerts: list[Alert] = []
        self._recalled: list[Liquidation] = []
        self._seed_parts: list[BaselineSeedPart] = []
        self._level_states: dict[StreamKey, StreamState] = {}

    def steps(self, every: int = 1) -> Iterator[GridStep]:
        """The seconds of the grid at which there is something to tell; see `feeds.replay.steps`.

        The grid is on receive time: at second g every frame taken up to g was given to its session, and a row is that
        of the common time at g. It begins at the second the first frame was received in. Frames are taken in the order
        of the recorded run: one that waited for the end of its turn comes after others that were received a little
        later, and then belongs to their second.
        """
        self._parts = read_recording(self._path, self.broken, self._note_read)
        self._tracker = tracker = self._begin()
        self._fetch()
        if self._group is None:
            return
        second = self._group.receive_ns // _SECOND_NS
        shown: set[str] = set()
        while self._is_more() or shown:
            if not shown:
                second = self._next_second(second, every)
            self._advance(tracker, second * _SECOND_NS)
            events = self._events[:]
            alerts = sorted(self._alerts, key=lambda alert: (alert.at_ms, alert.instrument))  # a set told them
            self._events.clear()
            self._alerts.clear()
            now_ms, at = tracker.intake.clock.t_ms(1000 * second), tracker.intake.clock.at(1000 * second)
            rows = rows_due(tracker.engine, shown | {event.instrument for event in events}, shown, now_ms, at)
            self._events_count += len(events)
            if events or rows or alerts:
                yield GridStep(second, events, rows, alerts)
            second += every

    def take_read(self) -> int:
        """How many of the `size` bytes were read since the last call."""
        read, self._read = self._read, 0
        return read

    def _note_read(self, size: int) -> None:
        self._read += size

    def played(self) -> Played:
        """The counts so far."""
        ledger = Ledger() if self._tracker is None else self._tracker.ledger()
        counts = self._frames, self._events_count, self._runs, self._lost_frames, len(self.broken)
        return Played(*counts, ledger.as_dict())

    def _next_second(self, second: int, every: int) -> int:
        """Nothing will change before the next frame or record; the grid is not walked through a silence."""
        due = -(-self._next_ns() // _SECOND_NS)
        return second + -(-max(0, due - second) // every) * every

    def _begin(self) -> Tracker:
        """A tracker as the first run had it."""
        began: RunStarted | None = None
        for part in self._parts:
            if isinstance(part, StampedRecord) and isinstance(part.record, RunStarted):
                began = part.record
                self._parts = chain([part], self._parts)
                break
        if began is None:
            raise ConfigurationError(f"{self._path}: nothing can be read: " + "; ".join(map(str, self.broken[:3])))
        venues = {
            name: VenueSettings(enabled=name in began.symbols_of, symbols=tuple(began.symbols_of.get(name, ())))
            for name in VENUES
        }
        tracker = Tracker(
            Settings(
                symbols=tuple(began.symbols),
                venues=venues,
                redis=RedisSettings(url="off"),
                history=HistorySettings(url="off"),
                alerts=began.alerts,
                price=PriceSettings(always=began.price_always),
            ),
            now=lambda: self._now_ns / _SECOND_NS,
        )
        tracker.intake.begin()
        tracker.taps.append(self._events.append)
        tracker.alert_taps.append(self._alerts.append)
        return tracker

    def _fetch(self) -> None:
        """The next frames, and the records before them."""
        self._group = None
        for part in self._parts:
            if isinstance(part, Group):
                self._group = part
                return
            self._records.append(part)

    def _is_more(self) -> bool:
        return bool(self._records) or self._group is not None

    def _next_ns(self) -> int:
        """When the next record or frame is due. A record may be younger than frames behind it, which waited for the end
        of their turn: it must not hold them back.
        """
        due = [] if self._group is None else [self._group.receive_ns]
        if self._records:
            first = self._records[0]
            due.append(first.at_ns if isinstance(first, StampedRecord) else 0)
        return min(due, default=0)

    def _advance(self, tracker: Tracker, limit_ns: int) -> None:
        """Everything up to that moment, in the order of the recording."""
        while self._is_more() and self._next_ns() <= limit_ns:
            if self._records:
                part = self._records.popleft()
                if isinstance(part, Broken):
                    self._break(tracker, self._live)
                else:
                    self._obey(tracker, part.record, part.at_ns // 1_000_000)
            elif self._group is not None:
                self._take(tracker, self._group)
                self._fetch()

    def _take(self, tracker: Tracker, group: Group) -> None:
        self._now_ns = max(self._now_ns, group.receive_ns)
        line = self._lines.get(group.connection)
        self._frames += len(group.payloads)
        if line is None:  # what told of it is in a part that cannot be read
            self._lost_frames += len(group.payloads)
            return
        if self._after_break:
            self._heal(tracker, group.receive_ns)
        session, now = line.session, group.receive_ns / _SECOND_NS
        wall_ms = group.receive_ns // 1_000_000
        payloads = group.payloads
        if len(payloads) == 1:
            batches = [session.received(payloads[0], wall_ms, now)]
        else:
            batches = session.received_together(payloads, wall_ms, now)
        if session.outgoing:
            session.take_outgoing()
        for events in batches:
            if not events:
                continue
            if line.price_source:
                tracker.price_feed.offer_all(events, line.price_source)
            else:
                tracker.ingest(events, line.ledger)

    def _obey(self, tracker: Tracker, record: Record, at_ms: int) -> None:
        if isinstance(record, Tick):
            tracker.pulse(record.wall_ms)
        elif isinstance(record, ConnectionState):
            if record.state == "connecting" and (line := self._lines.get(record.connection)) is not None:
                line.session = Session(line.venue, line.endpoint, line.ledger)
        elif isinstance(record, ConnectionOpened):
            self._lines[record.connection] = _RecordedConnection(record, tracker.new_ledger())
        elif isinstance(record, RecalledPart):
            self._recalled += record.events
            if record.is_last:
                tracker.recall(self._recalled, record.feeds, record.wall_ms)
                self._recalled = []
        elif isinstance(record, BaselineSeedPart | LevelSeedPart):
            self._learn(tracker, record)
        elif isinstance(record, ListingLoaded | BackfillAnswer):
            self._obey_of_rest(tracker, record)
        else:
            self._obey_of_gaps(tracker, record, at_ms)

    def _learn(self, tracker: Tracker, record: BaselineSeedPart | LevelSeedPart) -> None:
        if isinstance(record, LevelSeedPart):
            self._level_states |= {StreamKey(venue, name): state for venue, name, state in record.states}
            if record.is_last:
                tracker.seed_levels(self._level_states)
                self._level_states = {}
            return
        self._seed_parts.append(record)
        if record.is_last:
            first = self._seed_parts[0]
            tracker.seed_baselines(
                first.feeds, first.backfilled, [count for part in self._seed_parts for count in part.counts]
            )
            self._seed_parts = []

    def _obey_of_rest(self, tracker: Tracker, record: ListingLoaded | BackfillAnswer) -> None:
        self._now_ns = max(self._now_ns, record.wall_ms * 1_000_000 if isinstance(record, BackfillAnswer) else 0)
        for feed in tracker.feeds:
            if feed.venue.name != record.venue:
                continue
            if isinstance(record, ListingLoaded):
                feed.take_list(record.contracts, is_whole=record.is_whole)
            elif feed.backfill is not None:
                with suppress(DecodeError):  # counted in the ledger, as it was then
                    feed.backfill.answered(record.request, record.payload, record.wall_ms)

    def _obey_of_gaps(self, tracker: Tracker, record: Record, at_ms: int) -> None:
        if isinstance(record, FeedUp):
            self._live.add(record.venue)
            self._after_break.discard(record.venue)
            tracker.feed_up(record.venue, record.at_ms, record.our_ms or at_ms)
        elif isinstance(record, FeedDown):
            self._live.discard(record.venue)
            tracker.feed_down(record.venue, record.at_ms, record.reason, record.our_ms or at_ms)
        elif isinstance(record, FeedMissed):
            tracker.feed_missed(record.venue, record.from_ms, record.until_ms, record.reason, record.our_ms or at_ms)
        elif isinstance(record, Refused):
            tracker.feed_refused(record.venue, record.at_ms, record.reason, record.our_ms or at_ms)
        elif isinstance(record, Unsubscribed):
            our_ms = record.our_ms or at_ms
            tracker.feed_unsubscribed(
                record.venue, record.at_ms, record.instruments, is_listed=record.is_listed, our_ms=our_ms
            )
        elif isinstance(record, GapBackfilled):
            tracker.gap_backfilled(record.gap, record.our_ms or at_ms)
        elif isinstance(record, FramesLost):
            self._lost_frames += record.frames
            self._break(tracker, self._live.intersection(record.venues), record.from_ns // 1_000_000)
        elif isinstance(record, RunEnded):
            tracker.finish(at_ms)
        elif isinstance(record, RunStarted):
            self._restart(tracker)

    def _restart(self, tracker: Tracker) -> None:
        """The recorder was started again: nothing is connected, and what lies between is a gap."""
        self._runs += 1
        self._break(tracker, self._live)
        if self._runs > 1:
            tracker.intake.restart()
        self._live.clear()
        self._after_break.clear()
        self._lines.clear()

    def _break(self, tracker: Tracker, venues: set[str], at_ms: int | None = None) -> None:
        at_ms = self._now_ns // 1_000_000 if at_ms is None else at_ms
        for venue in sorted(venues - self._after_break):
            tracker.feed_down(venue, self._venue_ms(tracker, venue, at_ms), _NOT_RECORDED, at_ms)
        self._after_break |= venues

    def _heal(self, tracker: Tracker, at_ns: int) -> None:
        """Frames come again after a part that is missing."""
        for venue in sorted(self._after_break):
            at_ms = at_ns // 1_000_000
            tracker.feed_up(venue, self._venue_ms(tracker, venue, at_ms), at_ms)
        self._after_break.clear()

    def _venue_ms(self, tracker: Tracker, venue: str, our_ms: int) -> int:
        """A moment of our own time by the clock of a venue."""
        return tracker.intake.clock.t_ms(our_ms) + tracker.intake.clock.shift_ms(venue)
