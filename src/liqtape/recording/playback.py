"""A recording through the very code that ran live: sessions, decoders, the pipeline. Its clock is the recording's."""

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from msgspec import Struct

from liqtape.cascades.cascade import Cascade
from liqtape.engine.levels.episodes import StreamState
from liqtape.engine.levels.returnperiods import StreamKey
from liqtape.errors import ConfigurationError, DecodeError
from liqtape.events import Alert, Liquidation
from liqtape.ledger import Ledger
from liqtape.pipeline.grid import GridStep, rows_due
from liqtape.pipeline.onevent import OnAlert, OnCascade, OnLiquidation
from liqtape.pipeline.pipeline import Pipeline
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
    Refitted,
    Refused,
    RunEnded,
    RunStarted,
    Tick,
    Unsubscribed,
)
from liqtape.recording.segments import Broken, StampedRecord, read_recording, segment_files
from liqtape.runscope import RunScope, pipeline_of
from liqtape.venues import VENUES
from liqtape.venues.base import Backfills
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
        self.pipeline: Pipeline | None = None
        self._lines: dict[int, _RecordedConnection] = {}
        self._live: set[str] = set()
        self._after_break: set[str] = set()
        self._now_ns = 0
        self._frames = self._events_count = self._runs = self._lost_frames = 0
        self._events: list[Liquidation] = []
        self._alerts: list[Alert] = []
        self._cascades: list[Cascade] = []
        self._ledgers: list[Ledger] = []  # of connections
        self._backfill_ledgers: dict[str, Ledger] = {}
        self._recalled: list[Liquidation] = []
        self._seed_parts: list[BaselineSeedPart] = []
        self._level_states: dict[StreamKey, StreamState] = {}

    def steps(self, every: int = 1) -> Iterator[GridStep]:
        """The seconds of the grid at which there is something to tell; see `eventfiles.replay.steps`.

        The grid is on receive time: at second g every frame taken up to g was given to its session, and a row is that
        of the common time at g. It begins at the second the first frame was received in. Frames are taken in the order
        of the recorded run: one that waited for the end of its turn comes after others that were received a little
        later, and then belongs to their second.
        """
        pipeline = self.open()
        if self._group is None:
            return
        second = self._group.receive_ns // _SECOND_NS
        shown: set[str] = set()
        while self._is_more() or shown:
            if not shown:
                second = self._next_second(second, every)
            self._advance(pipeline, second * _SECOND_NS)
            events, alerts = self.take()
            now_ms, at = pipeline.clock.t_ms(1000 * second), pipeline.clock.at(1000 * second)
            rows = rows_due(pipeline.engine, shown | {event.instrument for event in events}, shown, now_ms, at)
            cascades = self.take_cascades()
            if events or rows or alerts or cascades:
                yield GridStep(second, events, rows, alerts, cascades)
            second += every

    def open(self) -> Pipeline:
        """Begin without a grid: `advance` goes on, `take` gives what came, and the pipeline tells the rest."""
        self._parts = read_recording(self._path, self.broken, self._note_read)
        self.pipeline = self._begin()
        self._fetch()
        return self.pipeline

    @property
    def began_ms(self) -> int:
        """When the first frame was received, by our time; 0 where there is none."""
        return self._next_ns() // 1_000_000

    def advance(self, until_ms: int) -> None:
        """Play up to a moment of our time."""
        if self.pipeline is not None:
            self._advance(self.pipeline, until_ms * 1_000_000)

    def take(self) -> tuple[list[Liquidation], list[Alert]]:
        """Return what came since the last call."""
        events = self._events[:]
        alerts = sorted(self._alerts, key=lambda alert: (alert.at_ms, alert.instrument))  # a set told them
        self._events.clear()
        self._alerts.clear()
        self._events_count += len(events)
        return events, alerts

    def take_cascades(self) -> list[Cascade]:
        """Return the cascades of which something is new since the last call, as often as it was told."""
        cascades = self._cascades[:]
        self._cascades.clear()
        return cascades

    def is_live(self, venue: str) -> bool:
        """Return whether the recording says that a venue is live now."""
        return venue in self._live

    def ledger(self) -> Ledger:
        """Return the counts so far, of all connections."""
        return sum((*self._ledgers, *self._backfill_ledgers.values()), Ledger())

    def take_read(self) -> int:
        """How many of the `size` bytes were read since the last call."""
        read, self._read = self._read, 0
        return read

    def _note_read(self, size: int) -> None:
        self._read += size

    def played(self) -> Played:
        """The counts so far."""
        ledger = self.ledger()
        counts = self._frames, self._events_count, self._runs, self._lost_frames, len(self.broken)
        return Played(*counts, ledger.as_dict())

    def _next_second(self, second: int, every: int) -> int:
        """Nothing will change before the next frame or record; the grid is not walked through a silence."""
        due = -(-self._next_ns() // _SECOND_NS)
        return second + -(-max(0, due - second) // every) * every

    def _begin(self) -> Pipeline:
        """Return a pipeline as the first run had it."""
        began: RunStarted | None = None
        our_ms = 0
        for part in self._parts:
            if isinstance(part, StampedRecord) and isinstance(part.record, RunStarted):
                began, our_ms = part.record, part.at_ns // 1_000_000
                self._parts = chain([part], self._parts)
                break
        if began is None:
            raise ConfigurationError(f"{self._path}: nothing can be read: " + "; ".join(map(str, self.broken[:3])))
        symbols_of = {name: began.symbols_of[name] for name in VENUES if name in began.symbols_of}
        # Since when the first choice of a price is waited for is as it was: at once a second choice would be the price.
        scope = RunScope(began.symbols, symbols_of, began.alerts, began.price_always, began.cascades)
        pipeline = pipeline_of(scope, our_ms)
        pipeline.begin()
        pipeline.listeners.add(OnLiquidation(self._events.append))
        pipeline.listeners.add(OnAlert(self._alerts.append))
        pipeline.listeners.add(OnCascade(self._cascades.append))
        return pipeline

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

    def _advance(self, pipeline: Pipeline, limit_ns: int) -> None:
        """Everything up to that moment, in the order of the recording."""
        while self._is_more() and self._next_ns() <= limit_ns:
            if self._records:
                part = self._records.popleft()
                if isinstance(part, Broken):
                    self._break(pipeline, self._live)
                else:
                    self._obey(pipeline, part.record, part.at_ns // 1_000_000)
            elif self._group is not None:
                self._take(pipeline, self._group)
                self._fetch()

    def _take(self, pipeline: Pipeline, group: Group) -> None:
        self._now_ns = max(self._now_ns, group.receive_ns)
        line = self._lines.get(group.connection)
        self._frames += len(group.payloads)
        if line is None:  # what told of it is in a part that cannot be read
            self._lost_frames += len(group.payloads)
            return
        if self._after_break:
            self._heal(pipeline, group.receive_ns)
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
                pipeline.offer_prices(events, line.price_source, self._now_ns // 1_000_000)
            else:
                pipeline.ingest(events, line.ledger)

    def _obey(self, pipeline: Pipeline, record: Record, at_ms: int) -> None:
        if isinstance(record, Tick):
            pipeline.pulse(record.wall_ms)
        elif isinstance(record, ConnectionState):
            if record.state == "connecting" and (line := self._lines.get(record.connection)) is not None:
                line.session = Session(line.venue, line.endpoint, line.ledger)
        elif isinstance(record, ConnectionOpened):
            self._ledgers.append(Ledger())
            self._lines[record.connection] = _RecordedConnection(record, self._ledgers[-1])
        elif isinstance(record, RecalledPart):
            self._recalled += record.events
            if record.is_last:
                pipeline.seeding.recall(self._recalled, record.feeds, record.wall_ms)
                self._recalled = []
        elif isinstance(record, BaselineSeedPart | LevelSeedPart):
            self._learn(pipeline, record)
        elif isinstance(record, Refitted):
            pipeline.signals.adopt(record.fit)
        elif isinstance(record, ListingLoaded | BackfillAnswer):
            self._obey_of_rest(pipeline, record)
        else:
            self._obey_of_gaps(pipeline, record, at_ms)

    def _learn(self, pipeline: Pipeline, record: BaselineSeedPart | LevelSeedPart) -> None:
        if isinstance(record, LevelSeedPart):
            self._level_states |= {StreamKey(venue, name): state for venue, name, state in record.states}
            if record.is_last:
                pipeline.seeding.levels(self._level_states)
                self._level_states = {}
            return
        self._seed_parts.append(record)
        if record.is_last:
            first = self._seed_parts[0]
            pipeline.seeding.baselines(
                first.feeds, first.backfilled, [count for part in self._seed_parts for count in part.counts]
            )
            self._seed_parts = []

    def _obey_of_rest(self, pipeline: Pipeline, record: ListingLoaded | BackfillAnswer) -> None:
        if record.venue not in pipeline.targets:
            return
        venue = VENUES[record.venue]
        if isinstance(record, ListingLoaded):
            pipeline.listed(venue, record.contracts, is_whole=record.is_whole)
            return
        self._now_ns = max(self._now_ns, record.wall_ms * 1_000_000)
        if isinstance(venue, Backfills):
            ledger = self._backfill_ledgers.setdefault(record.venue, Ledger())
            with suppress(DecodeError):  # counted in the ledger, as it was then
                pipeline.answered(venue, record.venue, record.request, record.payload, record.wall_ms, ledger)

    def _obey_of_gaps(self, pipeline: Pipeline, record: Record, at_ms: int) -> None:
        if isinstance(record, FeedUp):
            self._live.add(record.venue)
            self._after_break.discard(record.venue)
            pipeline.feeds.up(record.venue, record.at_ms, record.our_ms or at_ms)
        elif isinstance(record, FeedDown):
            self._live.discard(record.venue)
            pipeline.feeds.down(record.venue, record.at_ms, record.reason, record.our_ms or at_ms)
        elif isinstance(record, FeedMissed):
            pipeline.feeds.missed(record.venue, record.from_ms, record.until_ms, record.reason, record.our_ms or at_ms)
        elif isinstance(record, Refused):
            pipeline.feeds.refused(record.venue, record.at_ms, record.reason, record.our_ms or at_ms)
        elif isinstance(record, Unsubscribed):
            our_ms = record.our_ms or at_ms
            pipeline.feeds.unsubscribed(
                record.venue, record.at_ms, record.instruments, is_listed=record.is_listed, our_ms=our_ms
            )
        elif isinstance(record, GapBackfilled):
            pipeline.feeds.backfilled(record.gap, record.our_ms or at_ms)
        elif isinstance(record, FramesLost):
            self._lost_frames += record.frames
            self._break(pipeline, self._live.intersection(record.venues), record.from_ns // 1_000_000)
        elif isinstance(record, RunEnded):
            pipeline.finish(at_ms)
        elif isinstance(record, RunStarted):
            self._restart(pipeline)

    def _restart(self, pipeline: Pipeline) -> None:
        """The recorder was started again: nothing is connected, and what lies between is a gap."""
        self._runs += 1
        self._break(pipeline, self._live)
        if self._runs > 1:
            pipeline.intake.restart()
            pipeline.cascades.restart()
        self._live.clear()
        self._after_break.clear()
        self._lines.clear()

    def _break(self, pipeline: Pipeline, venues: set[str], at_ms: int | None = None) -> None:
        at_ms = self._now_ns // 1_000_000 if at_ms is None else at_ms
        for venue in sorted(venues - self._after_break):
            pipeline.feeds.down(venue, self._venue_ms(pipeline, venue, at_ms), _NOT_RECORDED, at_ms)
        self._after_break |= venues

    def _heal(self, pipeline: Pipeline, at_ns: int) -> None:
        """Frames come again after a part that is missing."""
        for venue in sorted(self._after_break):
            at_ms = at_ns // 1_000_000
            pipeline.feeds.up(venue, self._venue_ms(pipeline, venue, at_ms), at_ms)
        self._after_break.clear()

    def _venue_ms(self, pipeline: Pipeline, venue: str, our_ms: int) -> int:
        """A moment of our own time by the clock of a venue."""
        return pipeline.clock.t_ms(our_ms) + pipeline.clock.shift_ms(venue)
