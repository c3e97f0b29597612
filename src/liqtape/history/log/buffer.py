"""Between the ingest path and the writer's thread: a bounded buffer, and the counts of what went through it."""

import logging
import threading
from collections import deque
from collections.abc import Sequence

from liqtape.events import Liquidation
from liqtape.history.log.journal import JournalEntry
from liqtape.history.log.losses import Losses
from liqtape.history.log.store import WriteResult
from liqtape.ledger import Ledger
from liqtape.ourtime import our_ms

__all__ = ["Buffer"]

_RECORD_LIMIT = 100_000

_log = logging.getLogger(__name__)


class Buffer:
    """Events and records in the order they were offered; `offer` and `note` belong to one thread, `take` to another.

    What it cannot hold is lost for the reason in `reason` (`full`; `disk` while that fails), told at its first time.
    """

    def __init__(self, limit: int) -> None:
        self.losses = Losses()
        self.logged = 0
        self.records_dropped_total = 0
        self.reason = "full"
        self._limit = limit
        self._items: deque[Sequence[Liquidation] | JournalEntry] = deque()
        # Each counted by one thread only, but `_finalized`, which the lock guards.
        self._offered = self._finalized = self._noted = self._noted_taken = 0
        self._lock = threading.Lock()
        self._arrived = threading.Event()
        self._is_idle = self._is_closed = False

    def __bool__(self) -> bool:
        return bool(self._items)

    @property
    def pending(self) -> int:
        """Events offered and neither logged nor lost."""
        return self._offered - self._finalized

    def offer(self, events: Sequence[Liquidation]) -> None:
        """Take these events in, or count them as lost; never waits and never raises."""
        count = len(events)
        self._offered += count
        if self._offered - self._finalized > self._limit:
            self.lose(count)
            return
        self._items.append(events)
        if self._is_idle:
            self._arrived.set()

    def note(self, record: JournalEntry) -> None:
        """Take in a record, behind the events offered before."""
        if self._is_closed or self._noted - self._noted_taken >= _RECORD_LIMIT:
            self.records_dropped_total += 1
            return
        self._noted += 1
        self._items.append(record)
        if self._is_idle:
            self._arrived.set()

    def lose(self, count: int) -> None:
        """Count events of the buffer, or offered to it, that are not logged."""
        if not self.losses.counts[self.reason]:
            _log.error("history: events are not logged (%s); they are counted, metrics and sinks go on", self.reason)
        with self._lock:
            self.losses.add(self.reason, count, our_ms())
            self._finalized += count

    def count(self, ledger: Ledger) -> None:
        """Write the counts into the ledger of all streams; they agree at any moment."""
        with self._lock:
            ledger.is_logged = True
            ledger.events_logged = self.logged
            ledger.events_log_pending = self.pending
            for reason, events in self.losses.counts.items():
                setattr(ledger, f"events_not_logged_{reason}", events)

    def close(self) -> None:
        """Wake the writer; no record comes any more, and events are lost as `closed`."""
        self._is_closed = True
        self._arrived.set()

    def abandon(self) -> int:
        """Count what is left as lost, and whatever is offered from now on; returns how much was left."""
        with self._lock:
            self._limit = -1
            rest = self.pending
        if rest:
            self.lose(rest)
        return rest

    # -- below: the writer's thread

    def wait(self, seconds: float) -> None:
        """Wait until something is there, for so long at most."""
        self._is_idle = True
        if not (self._items or self._is_closed):
            self._arrived.wait(seconds)
        self._is_idle = False
        self._arrived.clear()

    def pause(self, seconds: float) -> None:
        """Wait until it is closed, for so long at most, whatever comes."""
        self._arrived.wait(seconds)
        self._arrived.clear()

    def take(self, events: list[Liquidation], records: list[JournalEntry], most: int) -> None:
        """Move what is there to these lists, until `events` has about `most`."""
        items = self._items
        while items and len(events) < most:
            item = items.popleft()
            if isinstance(item, JournalEntry):
                records.append(item)
                self._noted_taken += 1
            else:
                events.extend(item)

    def finalize(self, written: WriteResult) -> None:
        """Count what became of events that were taken; after `abandon` they are counted already."""
        with self._lock:
            if self._limit < 0:
                return
            self.logged += written.logged
            self._finalized += written.logged + written.duplicate + written.invalid
            self.losses.counts["duplicate"] += written.duplicate
            self.losses.counts["invalid"] += written.invalid
