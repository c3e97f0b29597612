"""The event log: offered events go to a bounded buffer, and from there to the disk in a thread of their own."""

import errno
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from liqtape.errors import ConfigurationError
from liqtape.events import Gap, Liquidation
from liqtape.history.follow import Follower
from liqtape.history.layout import LOCK
from liqtape.history.lock import FileLock
from liqtape.history.losses import Losses
from liqtape.history.recall import Recalled
from liqtape.history.records import GapSeen, Record
from liqtape.history.seals import Seals
from liqtape.history.store import Store
from liqtape.ledger import Ledger

__all__ = ["EventLog", "LogHealth"]

_GROUP_SECONDS = 0.004
_IDLE_SECONDS = 1.0
_RETRY_SECONDS = 1.0
_MOST_EVENTS = 20_000  # of one transaction
_RECORD_LIMIT = 100_000
_HOUR_MS = 3_600_000
# The disk's fault, which may pass, where the rest is the user's: a wrong path, no permission.
_PASSING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE})
# After these the open file goes on as it is; opening another one on a full disk would fail for less clear reasons.
_CURABLE = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY})

_log = logging.getLogger(__name__)


class LogHealth(Struct, frozen=True):
    """The log as an operator sees it: `state` is writing, failing or closed; `events_lost` were accepted, not logged.

    Repeats, which the log has once, are not lost.
    """

    state: str
    since_ms: int
    detail: str
    sealing: str
    events_logged: int
    events_pending: int
    events_lost: int


class EventLog:
    """Every accepted event on disk, at most 5 ms and one write later. `offer` and `note` belong to one thread.

    A stuck or full disk delays nobody: the buffer holds `limit` events, what it cannot hold is counted in `losses` by
    reason (`full`: the disk is too slow, `disk`: it fails, `closed`), told once per cause, and written as a log gap as
    soon as that can be. Killing the process loses what was not written yet; after `synchronous="NORMAL"` a power cut
    may lose the transactions since the last checkpoint (the file stays whole), after `"FULL"` nothing written.
    """

    def __init__(
        self,
        directory: Path,
        *,
        synchronous: str = "NORMAL",
        limit: int = 1_000_000,
        seals: Seals | None = None,
    ) -> None:
        self.directory = directory.expanduser()
        self.losses = Losses()
        self.events_logged = 0
        self.records_dropped_total = 0
        self.recalled: Recalled | None = None
        self._synchronous = synchronous
        self._limit = limit
        self._seals = seals
        self._lock = FileLock(self.directory / LOCK)
        self._buffer: deque[Sequence[Liquidation] | Record] = deque()
        self._noted = self._noted_taken = 0  # each counted by one thread only
        self._offered = self._settled = 0
        self._count_lock = threading.Lock()
        self._wake = threading.Event()
        self._is_idle = self._is_locked = self._is_closing = self._is_abandoned = False
        self._thread: threading.Thread | None = None
        self._store: Store | None = None
        self._events: list[Liquidation] = []  # taken from the buffer and not written yet
        self._taken: list[Record] = []
        self._hour_ms = 0
        self._told: set[str] = set()
        self._state, self._detail, self._since_ms = "closed", "", 0
        self._follower = Follower(self.directory)

    def start(self) -> None:
        """Lock the directory, open the log, read back what the last run left (`recalled`), and begin to write.

        Raises ConfigurationError where the directory cannot be used, as when another process writes there. A disk that
        is full or only readable now is no such case: events wait in the buffer until it is not.
        """
        self._become("writing", "")
        try:
            self._store = self._open()
        except (OSError, sqlite3.Error) as error:
            if isinstance(error, OSError) and error.errno not in _PASSING:
                self._lock.release()
                raise ConfigurationError(f"history: cannot use {self.directory}: {error.strerror}") from error
            self._fail(error)
        except ConfigurationError:
            self._lock.release()
            raise
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._thread.start()

    def offer(self, events: Sequence[Liquidation]) -> None:
        """Log these events, which are not changed any more by the caller; never waits and never raises."""
        count = len(events)
        self._offered += count
        if self._offered - self._settled > self._limit:
            self._lose(count, "disk" if self._state == "failing" else "closed" if self._is_closing else "full")
            return
        self._buffer.append(events)
        if self._is_idle:
            self._wake.set()

    def note(self, record: Record) -> None:
        """Log a record, behind the events offered before; never waits and never raises."""
        if self._noted - self._noted_taken >= _RECORD_LIMIT or self._is_closing:
            self.records_dropped_total += 1
            return
        self._noted += 1
        self._buffer.append(record)
        if self._is_idle:
            self._wake.set()

    def gap(self, gap: Gap, *, filled: bool = False) -> None:
        """Log a venue's gap as it is known now; call again when it ended, and when it was wholly back-filled."""
        self.note(GapSeen(gap.venue, gap.from_ms, gap.until_ms, gap.reason, filled))

    @property
    def events_pending(self) -> int:
        """Offered and neither logged nor lost."""
        return self._offered - self._settled

    def count(self, ledger: Ledger) -> None:
        """Write the log's counts into the ledger of all streams; the three agree at any moment."""
        with self._count_lock:
            ledger.is_logged = True
            ledger.events_logged = self.events_logged
            ledger.events_log_pending = self.events_pending
            for reason, events in self.losses.counts.items():
                setattr(ledger, f"events_not_logged_{reason}", events)

    def health(self) -> LogHealth:
        """State and counts as of now."""
        sealing = "off" if self._seals is None else self._seals.state
        lost = self.losses.counts.total() - self.losses.counts["duplicate"]
        return LogHealth(
            self._state, self._since_ms, self._detail, sealing, self.events_logged, self.events_pending, lost
        )

    @property
    def last_seq(self) -> int:
        """The number of the newest event on disk; as `after`, it reads a file."""
        return self._follower.last_seq()

    def after(self, seq: int, limit: int) -> list[tuple[int, Liquidation]]:
        """At most `limit` events behind number `seq`, in the order they were logged, sealed ones included.

        For whoever follows the log, as a sink that writes it elsewhere: reads files, so call it in a thread. Raises
        sqlite3.Error or OSError while the disk does not let it. What retention has removed is skipped.
        """
        return self._follower.after(seq, limit)

    def stop(self, seconds: float = 3.0) -> None:
        """Write what is in the buffer, for so long at most; the rest is lost as `closed`, or as `disk`."""
        if self._thread is None:
            return
        self._is_closing = True
        self._wake.set()
        self._thread.join(seconds)
        with self._count_lock:
            self._is_abandoned = True
            self._limit = -1  # whatever is offered from now on
            rest = self.events_pending
        if rest:
            self._lose(rest, "disk" if self._state == "failing" else "closed")
        if self._seals is not None:
            self._seals.stop()
        if not self._thread.is_alive():
            self._lock.release()
        self._follower.close()
        self._become("closed", f"{rest} events were not written" if rest else "")

    def _lose(self, count: int, reason: str) -> None:
        if not self.losses.counts[reason]:
            _log.error("history: events are not logged (%s); they are counted, metrics and sinks go on", reason)
        with self._count_lock:
            self.losses.add(reason, count, _wall_ms())
            self._settled += count

    # -- below: the writer's thread

    def _run(self) -> None:
        while True:
            try:
                if self._store is None:
                    self._store = self._open()
                while not (self._is_closing and self._is_drained()):
                    self._turn(self._store)
            except ConfigurationError as error:
                self._fail(error)
            except (OSError, sqlite3.Error) as error:
                self._fail(error)
            except Exception as error:  # noqa: BLE001 - the sink guard
                _log.exception("history: the writer failed; it tries again")
                self._fail(error)
            else:
                break
            if self._is_closing:
                break
            self._wake.wait(_RETRY_SECONDS)
            self._wake.clear()
        if self._store is not None:
            self._store.close()
            self._store = None

    def _is_drained(self) -> bool:
        return not (self._buffer or self._events or self._taken)

    def _open(self) -> Store:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._is_locked:
            if not self._lock.take():
                raise ConfigurationError(
                    f"history: {self.directory} is in use by process {self._lock.holder()}; "
                    "stop it, or name another directory"
                )
            self._is_locked = True
        store = Store(self.directory, self._synchronous)
        if self.recalled is None:
            self.recalled = store.begin_run(_wall_ms())
        return store

    def _turn(self, store: Store) -> None:
        """Wait for events, let some more come, write them; what is due by time once a second."""
        self._wait()
        self._take()
        now_ms = _wall_ms()
        hour_ms = now_ms - now_ms % _HOUR_MS
        if hour_ms != self._hour_ms:
            store.mark_hour(hour_ms - _HOUR_MS)
            self._hour_ms = hour_ms
        if not store.is_there():  # and maybe the locked file, too
            self._lock.release()
            self._is_locked = False
            raise FileNotFoundError(errno.ENOENT, "the log was removed while it was written")
        self._write(store, now_ms)
        if self._seals is not None:
            self._seals.turn(now_ms)

    def _wait(self) -> None:
        self._is_idle = True
        if not (self._buffer or self._events or self._is_closing):
            self._wake.wait(_IDLE_SECONDS)
        self._is_idle = False
        self._wake.clear()
        if self._buffer and not self._is_closing:
            time.sleep(_GROUP_SECONDS)

    def _take(self) -> None:
        buffer, events = self._buffer, self._events
        while buffer and len(events) < _MOST_EVENTS:
            item = buffer.popleft()
            if isinstance(item, Record):
                self._taken.append(item)
                self._noted_taken += 1
            else:
                events.extend(item)

    def _write(self, store: Store, now_ms: int) -> None:
        lost = self.losses.take(now_ms)
        if not (self._events or self._taken or lost):
            return
        try:
            written = store.write(self._events, [*self._taken, *lost])
        except BaseException:
            self.losses.give_back(lost)
            raise
        with self._count_lock:
            if not self._is_abandoned:
                self.events_logged += written.logged
                self._settled += len(self._events)
                self.losses.counts["duplicate"] += written.duplicate
                self.losses.counts["invalid"] += written.invalid
        self._events, self._taken = [], []
        if self._state == "failing":
            _log.warning(
                "history: writing again to %s, %s events lost in all", self.directory, self.health().events_lost
            )
            self._told.clear()
            self._become("writing", "")

    def _fail(self, error: Exception) -> None:
        if self._store is not None and getattr(error, "sqlite_errorcode", None) not in _CURABLE:
            self._store.close()
            self._store = None
        text = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        if text not in self._told:
            self._told.add(text)
            _log.error("history: cannot write to %s: %s; events wait in memory", self.directory, text)
        self._become("failing", text)

    def _become(self, state: str, detail: str) -> None:
        if state != self._state:
            self._since_ms = _wall_ms()
        self._state, self._detail = state, detail


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
