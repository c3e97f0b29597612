"""What must be true of the service at each look and in the end, by the book of the world."""

import asyncio
import logging
import sqlite3
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from chaos.virtual.alarmbook import AlarmBook
from chaos.virtual.book import Entry
from chaos.virtual.disk import Damage
from chaos.virtual.logbook import judge_log
from chaos.virtual.serverbook import judge_server

from liqtape.events import NO_LIST, Gap, Liquidation
from liqtape.pipeline.listener import Listener, Pulse
from liqtape.simulator.dialects import DIALECTS
from liqtape.venues import VENUES as LIVE

if TYPE_CHECKING:
    from chaos.virtual.execution import Execution
    from chaos.virtual.virtualloop import VirtualLoop

    from liqtape.tracker import Tracker

__all__ = ["Watcher"]

_MOST_PROBLEMS = 20
_COMPARED = 50
_WINDOWS = (60, 300)
_SLOP_MS = 3_500
"""How far an event may stand in windows from where it truly was: clocks are right to a second, the way takes time."""

_SETTLED_MS = 75_000
"""After a start, or after a clock stepped: until clocks are known, and what waited is in windows."""

_SLOW_MS = 20_000
"""Beyond the end of a slow way: until a clock is judged by what came after it."""

_NOTICED_MS = 45_000
"""Beyond the longest silence limit: until an outage has become a gap."""

_LIMIT_MS = 120_000 + _NOTICED_MS
_ENOUGH_VENUES = 3
_MOST_WAITING = 20_000
_MOST_CONNECTIONS = 12


class _Pulses(Listener):
    """Hears each second of one process."""

    def __init__(self, watcher: "Watcher", tracker: "Tracker") -> None:
        self._watcher = watcher
        self._tracker = tracker

    def pulse(self, pulse: Pulse) -> None:  # noqa: ARG002 - that a second passed is enough
        self._watcher.second(self._tracker)

    def accepted(self, events: Sequence[Liquidation], *, is_news: bool) -> None:
        self._watcher.accepted.extend(event.event_ms for event in events)
        self._watcher.keep(events)
        for event in events:
            self._watcher.note(f"accepted {event.venue} {event.symbol} {event.event_ms} {is_news}")

    def gap(self, gap: Gap) -> None:
        self._watcher.note(f"gap {gap.venue} {gap.from_ms} {gap.until_ms} {gap.reason} {gap.backfilled}")


class Watcher:
    """Collects `problems`; each kind of problem is told once or a few times, not each second."""

    def __init__(self, execution: "Execution") -> None:
        self.problems: list[str] = []
        self.logged = 0
        self.accepted: deque[int] = deque(maxlen=_COMPARED)  # stamps of the newest events of this process
        self.killed_ms: list[tuple[int, int]] = []  # when, and since when what came may be lost with it
        self.came: dict[tuple[str, str], list[Liquidation]] = defaultdict(list)
        self._alarms = AlarmBook(execution)
        self._tracker: Tracker | None = None
        self._begun_ms = 0
        # (venue, oldest stamp, begin and end of the process) of what waited for clocks or sizes when that was killed.
        self._waited: list[tuple[str, int, int, int]] = []
        self._execution = execution
        self._world = execution.world
        self._told: Counter[str] = Counter()
        self._at: dict[str, int] = {}
        self._steps = 0
        self._unsettled_ms = 0
        self._unknown_ms: dict[tuple[str, int], int] = {}  # since when a window is not known, and no gap says why
        self._is_over = False

    def listener(self, tracker: "Tracker") -> Listener:
        """Return who listens to a process that begins."""
        self._at, self._steps = {}, 0
        self._tracker, self._begun_ms = tracker, self._world.now_ms
        self.accepted.clear()
        self._unsettled_ms = self._world.now_ms + _SETTLED_MS
        self._alarms.hear(tracker)
        return _Pulses(self, tracker)

    def note(self, text: str) -> None:
        """Write into the trace what the service did."""
        if not self._is_over:
            self._world.note(text)

    def keep(self, events: Sequence[Liquidation]) -> None:
        """Keep events as they came, where the history is compared with them number by number."""
        if self._execution.scheme.seals:
            for event in events:
                self.came[event.venue, event.id].append(event)

    def wrong(self, kind: str, text: str) -> None:
        """Note a problem."""
        self._told[kind] += 1
        if self._told[kind] <= 3 and len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(f"{self._world.seconds:.3f} s: {kind}: {text}")
            self._world.note(f"problem {kind}: {text}")

    def said(self, record: logging.LogRecord) -> None:
        """Hear what it logged as an error: of the disk or a channel that is expected, of its own code it is not."""
        text = record.getMessage()
        if ("history:" not in text or "the writer failed" in text) and "will not be sent: answered 404" not in text:
            error = record.exc_info[1] if record.exc_info else None
            self.wrong("error", f"{text[:300]} {error!r}")

    def killed(self, damage: Damage) -> None:
        """Hear that the process is no more, and how much of what it wrote may be gone with it."""
        disk = self._execution.disk
        since_ms = {"": disk.written_ms - 1_000, "torn": disk.safe_ms - 1_000, "rotten": 0}[damage]
        self.killed_ms.append((self._world.now_ms, since_ms))
        if self._tracker is not None:
            waiting = self._tracker.pipeline.intake.waiting_from_ms
            self._waited += [
                (venue, from_ms, self._begun_ms, self._world.now_ms) for venue, from_ms in waiting().items()
            ]

    # What must be true each second, and at each look.

    def second(self, tracker: "Tracker") -> None:
        """Look at what is cheap."""
        clock = tracker.pipeline.clock
        if clock.steps_total == self._steps:
            for venue, at_ms in clock.now_at.items():
                if at_ms < self._at.get(venue, at_ms):
                    self.wrong("time goes back", f"t_v of {venue} from {self._at[venue]} to {at_ms}")
        elif self._world.now_ms + _SETTLED_MS > self._unsettled_ms:
            self._unsettled_ms = self._world.now_ms + _SETTLED_MS
        self._at, self._steps = dict(clock.now_at), clock.steps_total

    def look(self, tracker: "Tracker") -> None:
        """Look at everything."""
        self._look_at_ledgers(tracker)
        self._look_at_bounds(tracker)
        now_ms = self._world.now_ms
        clocks = {hazard.kind for hazard in self._execution.scheme.hazards} & {"skew", "step"}
        if clocks and sum(feed.known_until_ms is not None for feed in tracker.feeds) < _ENOUGH_VENUES:
            self._unsettled_ms = (
                now_ms + _SETTLED_MS
            )  # of two venues that contradict each other nobody knows who is right
        if now_ms < self._unsettled_ms:
            self._unknown_ms.clear()
            return
        ahead_ms = tracker.now_ms() - now_ms
        if abs(ahead_ms) > _SLOP_MS / 2:
            self.wrong("common time", f"it is {ahead_ms} ms ahead of true time")
            return
        for venue in self._execution.venues:
            self._look_at_windows(tracker, venue)

    def _look_at_ledgers(self, tracker: "Tracker") -> None:
        for name, ledger in tracker.ledgers():
            if not ledger.balanced():
                self.wrong("ledger", f"{name}: {ledger!r}")
        total = tracker.ledger()
        if not total.balanced():
            self.wrong("ledger", f"total: {total!r}")
        for crash in tracker.crashes:
            self.wrong("crash", crash)
        for feed in tracker.feeds:
            for connection in feed.pool.all:
                if connection.failures["internal"]:
                    self.wrong("internal", repr(connection))

    def _look_at_bounds(self, tracker: "Tracker") -> None:
        waiting = 0 if tracker.log is None else tracker.log.events_pending
        if waiting > _MOST_WAITING:
            self.wrong("bounds", f"{waiting} events wait for the log")
        if self._execution.disk.is_unsafe:
            self.wrong("bounds", "what the log has is not brought to the disk for good every ten seconds")
        for feed in tracker.feeds:
            if len(feed.pool.all) > _MOST_CONNECTIONS:
                self.wrong("bounds", f"{len(feed.pool.all)} connections to {feed.venue.name}")

    def _look_at_windows(self, tracker: "Tracker", venue: str) -> None:
        """Compare the counts of windows with the book: what truly happened then and reached us, no more and no less."""
        at_ms = tracker.venue_times()[venue]
        row = tracker.market(venue)
        entries = self._recent(venue, at_ms)
        waiting = tracker.ledger().events_pending  # for a clock, or for the size of a contract
        coverages = tracker.engine.coverages(venue, tracker.now_ms(), tracker.venue_times())
        for seconds, coverage in zip((10, 30, 60, 300), coverages, strict=True):
            if seconds not in _WINDOWS:
                continue
            count = getattr(row, f"event_count_{seconds}s")
            from_ms = at_ms - 1_000 * seconds
            least = sum(_lies_in(entry, from_ms + _SLOP_MS, at_ms - _SLOP_MS) for entry in entries)
            most = sum(
                e.is_known and e.true_ms <= at_ms + _SLOP_MS and self._latest_ms(e) > from_ms - _SLOP_MS
                for e in entries
            )
            doubtful = sum(self.is_doubtful(e) for e in entries) + waiting
            is_known = self._is_known(tracker, venue, from_ms, at_ms, coverage)
            self._look_at_lost_coverage(venue, seconds, coverage, is_known=is_known)
            if not is_known:
                least = 0
            if not least - doubtful <= count <= most:
                shift = tracker.pipeline.clock.shift_ms(venue)
                self.wrong("windows", f"{venue} {seconds} s: {count}, the book has {least} to {most}, shift {shift} ms")
            # Without its list a venue lacks instruments, which is told by a gap of its own; the rest is whole.
            is_listed = not any(gap.venue == venue and gap.reason == NO_LIST for gap in tracker.gaps())
            if coverage is not None and coverage >= 1.0 and is_listed:
                self._look_at_coverage(tracker, seconds, [e for e in entries if from_ms + _SLOP_MS < e.true_ms])

    def _latest_ms(self, entry: Entry) -> int:
        """Return until when an event may stand in windows. A slow way looks like a slow clock: as late as it came.

        What we were told of as something past, while its venue's way was slow, by as much as that was slow.
        """
        begun_ms, slow_ms = self._world.now_ms - round(self._world.seconds * 1_000), 0
        for hazard in self._execution.scheme.hazards:
            if (hazard.kind, hazard.against) == ("slow", entry.row.venue) and entry.told_ms is not None:
                since_ms = entry.told_ms - begun_ms - 1_000 * hazard.at
                if 0 <= since_ms <= 1_000 * hazard.seconds + _SLOW_MS:
                    slow_ms = max(slow_ms, hazard.number)
        return max(entry.delivered_ms or 0, entry.true_ms + slow_ms)

    def _is_known(self, tracker: "Tracker", venue: str, from_ms: int, at_ms: int, coverage: float | None) -> bool:
        """Return whether the window claims all but its gaps: what it says it did not see it may lack."""
        shift_ms = tracker.pipeline.clock.shift_ms(venue)
        seen_ms = at_ms - from_ms
        for gap in tracker.gaps():
            if gap.venue == venue and gap.reason != NO_LIST:
                until_ms = at_ms if gap.until_ms is None else gap.until_ms - shift_ms
                seen_ms -= max(0, min(until_ms, at_ms) - max(gap.from_ms - shift_ms, from_ms))
        return (coverage or 0.0) > seen_ms / (at_ms - from_ms) - 0.05  # None: live at no time yet

    def _look_at_lost_coverage(self, venue: str, seconds: int, coverage: float | None, *, is_known: bool) -> None:
        """Let a window that was not seen for a reason that no gap tells say so for as long as it lasts, not longer."""
        since_ms = self._unknown_ms.setdefault((venue, seconds), self._world.now_ms)
        if is_known:
            del self._unknown_ms[venue, seconds]
        elif self._world.now_ms - since_ms > 1_000 * seconds + _SETTLED_MS:
            self.wrong("no coverage", f"{venue} {seconds} s has a coverage of {coverage}, and no gap says why")

    def _look_at_coverage(self, tracker: "Tracker", seconds: int, entries: Sequence[Entry]) -> None:
        for entry in entries:
            is_over = self._world.now_ms - entry.published_ms > _LIMIT_MS
            if is_over and not entry.is_known and not self._is_lacked_alone(tracker, seconds, entry):
                self.wrong("coverage", f"{entry.row.venue} {seconds} s is said to be whole and lacks {entry.key}")

    def _is_lacked_alone(self, tracker: "Tracker", seconds: int, entry: Entry) -> bool:
        """Return whether the window of the instrument itself says that it is not whole.

        Where each symbol has a topic of its own, the venue is whole without those it refuses: the windows of the others
        are, and the row of the whole venue is partial. That excuses the one symbol that is refused here, for as long as
        a gap says so, and only where both rows say it, too.
        """
        venue, symbol = entry.row.venue, entry.row.symbol
        topic = DIALECTS[venue].refused_topic
        if not LIVE[venue].listing_needed or topic.rpartition(".")[2] != symbol:
            return False
        refusals = [gap for gap in tracker.gaps() if gap.venue == venue and f"refused: {topic} " in gap.reason]
        stamp_ms = entry.row.event_ms
        if not any(gap.from_ms <= stamp_ms <= (gap.until_ms or stamp_ms) for gap in refusals):
            return False
        instrument = tracker.pipeline.instruments.contract(venue, symbol).instrument
        row = tracker.engine.metrics(instrument, tracker.now_ms(), venue, at=tracker.venue_times())
        share = None if row is None else getattr(row, f"coverage_{seconds}s")
        return tracker.market(venue).partial and (share is None or share < 1.0)

    def _recent(self, venue: str, at_ms: int) -> list[Entry]:
        found: list[Entry] = []
        for entry in reversed(self._execution.book.entries.values()):
            if entry.published_ms < at_ms - 900_000:
                break
            if entry.row.venue == venue:
                found.append(entry)
        return found

    def is_doubtful(self, entry: Entry) -> bool:
        """Return whether it came so shortly before a kill, or may so have waited for clocks, that it may be lost."""
        came_ms = entry.delivered_ms
        if came_ms is None:
            return False
        return any(since <= came_ms <= until for until, since in self.killed_ms) or any(
            venue == entry.row.venue and entry.row.event_ms >= from_ms and begun_ms <= came_ms <= until_ms
            for venue, from_ms, begun_ms, until_ms in self._waited
        )

    def is_ambiguous(self, entry: Entry) -> bool:
        """Return whether its stamp says nothing, because its venue's clock said the same at another time as well."""
        return any(
            hazard.kind == "step" and hazard.against == entry.row.venue for hazard in self._execution.scheme.hazards
        )

    # What must be true in the end.

    def finish(self, tracker: "Tracker") -> None:
        """Look at what must be well again when all has been calm for a while."""
        for health in tracker.health():
            if health.state not in {"live", "clock off", "quiet"}:
                self.wrong("not well", f"{health.venue} is {health.state}: {health.detail}")
        for publisher in tracker.publishers:
            if publisher.state != "ok":
                self.wrong("not well", f"{publisher.sink.name} is {publisher.state}: {publisher.detail}")
        if tracker.log is not None and tracker.log.health().state != "writing":
            self.wrong("not well", f"history is {tracker.log.health()}")
        if self._execution.scheme.seals and tracker.log is not None and tracker.log.health().sealing != "sealed":
            self.wrong("not well", f"sealing: {tracker.log.health().sealing}")
        if tracker.database is not None and tracker.database.health().state != "writing":
            self.wrong("not well", f"postgres is {tracker.database.health()}")
        self._alarms.finish(self, tracker)
        if self._execution.redis.unknown:
            self.wrong("redis", f"unknown commands {sorted(self._execution.redis.unknown)}")

    def ended(self, tracker: "Tracker", loop: "VirtualLoop") -> None:
        """Look at what is left of a process that has ended."""
        current = asyncio.current_task(loop)
        left = sorted(task.get_name() for task in asyncio.all_tasks(loop) if task is not current)
        if left:
            self.wrong("left", f"tasks {left}")
        for text in loop.unforeseen:
            self.wrong("unforeseen", text)
        open_sockets = sum(len(venue.sockets) for venue in self._execution.venues.values())
        if open_sockets:
            self.wrong("left", f"{open_sockets} connections")
        self._look_at_ledgers(tracker)
        self._look_at_redis()

    def _look_at_redis(self) -> None:
        """Compare the newest events of the list in Redis with what was accepted."""
        texts = self._execution.redis.lists.get(b"cascade:events:buffer", [])
        shown = [msgspec.json.decode(text)["event_ms"] for text in texts[: len(self.accepted)]]
        if self._execution.scheme.has_redis and shown != list(self.accepted)[::-1]:
            self.wrong("redis", f"the newest events are {shown[:5]}, accepted were {list(self.accepted)[:-6:-1]}")

    def judge(self) -> None:
        """Compare the log with the book."""
        path = self._execution.disk.directory / "history" / "log.sqlite"
        connection = sqlite3.connect(path)
        try:
            logged = judge_log(self, self._execution, connection)
            judge_server(self, self._execution, connection, logged)
            self.logged = logged.total()
            self._alarms.judge(self)
        finally:
            connection.close()
        self._is_over = True  # what killed processes do when they are buried is not of this world


def _lies_in(entry: Entry, from_ms: int, until_ms: int) -> bool:
    return entry.delivered_ms is not None and from_ms < entry.true_ms <= entry.delivered_ms <= until_ms
