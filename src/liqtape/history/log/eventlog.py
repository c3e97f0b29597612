"""The event log: offered events go to a bounded buffer, and from there to the disk in a thread of their own."""

import errno
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from liqtape.errors import ConfigurationError
from liqtape.events import Gap, Liquidation
from liqtape.history.archive.archiverprocess import ArchiverProcess
from liqtape.history.log.buffer import Buffer
from liqtape.history.log.follow import Follower
from liqtape.history.log.journal import GapEntry, JournalEntry
from liqtape.history.log.layout import DATABASE, LOCK
from liqtape.history.log.lock import FileLock
from liqtape.history.log.recall import RecalledRun
from liqtape.history.log.salvage import salvage
from liqtape.history.log.standing import Standing
from liqtape.history.log.store import Store
from liqtape.ourtime import our_ms
from liqtape.sqlitedamage import damage, is_damage

__all__ = ["EventLog", "LogHealth"]

_GROUP_SECONDS = 0.004
_IDLE_SECONDS = 1.0
_RETRY_SECONDS = 1.0
_MOST_EVENTS = 20_000  # of one transaction
_HOUR_MS = 3_600_000
_SYNC_MS = 10_000
_STUCK_SECONDS = 3.0
_SALVAGED_MS = 60_000
# The disk's fault, which may pass, where the rest is the user's: a wrong path, no permission.
_PASSING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE})
# After these the open file goes on as it is; opening another one on a full disk would fail for less clear reasons.
_CURABLE = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY})

_log = logging.getLogger(__name__)


class LogHealth(Struct, frozen=True):
    """The log as an operator sees it: `state` is writing, failing, stuck or closed.

    It is stuck when the disk has not answered for some seconds. `events_lost` were accepted and not logged; repeats,
    which the log has once, are not lost.
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

    A stuck or full disk delays nobody: the buffer holds `limit` events, what it cannot hold is counted by reason
    (`full`: the disk is too slow, `disk`: it fails, `closed`), told once per cause, and written as a log gap as soon as
    that can be. Killing the process loses what was not written yet; with `synchronous="NORMAL"` a power cut may lose
    what was written in the ten seconds before (the file stays whole), with `"FULL"` nothing that was written. A
    database that is damaged is set aside as a whole; a new one begins with what could be read of it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        synchronous: str = "NORMAL",
        limit: int = 1_000_000,
        archiver_process: ArchiverProcess | None = None,
    ) -> None:
        self.directory = directory.expanduser()
        self.recalled: RecalledRun | None = None
        self.buffer = Buffer(limit)
        self.offer = self.buffer.offer
        self.note = self.buffer.note
        self.count = self.buffer.count
        self._synchronous = synchronous
        self._archiver_process = archiver_process
        self._lock = FileLock(self.directory / LOCK)
        self._is_locked = self._is_closing = False
        self._thread: threading.Thread | None = None
        self._store: Store | None = None
        self._events: list[Liquidation] = []  # taken from the buffer and not written yet
        self._records: list[JournalEntry] = []
        self._standing, self._log_id = Standing(), ""
        self._hour_ms = self._synced_ms = 0
        self._told: set[str] = set()
        self._state, self._detail, self._since_ms = "closed", "", 0
        self._asked_disk: float | None = None  # steady time, while the disk is waited for
        self._damage: Exception | None = None  # of the log, to be set aside
        self._salvaged_ms = 0
        self._salvaged = ""  # that a damaged log was set aside, and where
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

    def gap(self, gap: Gap, *, backfilled: bool = False) -> None:
        """Log a venue's gap as it is known now; call again when it ended, and when it was wholly backfilled."""
        self.note(GapEntry(gap.venue, gap.from_ms, gap.until_ms, gap.reason, backfilled))

    @property
    def events_logged(self) -> int:
        """On disk since the start."""
        return self.buffer.logged

    @property
    def events_pending(self) -> int:
        """Offered and neither logged nor lost."""
        return self.buffer.pending

    def health(self) -> LogHealth:
        """Return state and counts as of now."""
        archiver = "off" if self._archiver_process is None else self._archiver_process.state
        counts = self.buffer.losses.counts
        lost = counts.total() - counts["duplicate"]
        state, since_ms, detail = self._state, self._since_ms, self._detail
        asked = self._asked_disk
        if asked is not None and (seconds := time.monotonic() - asked) >= _STUCK_SECONDS:
            state, since_ms = "stuck", our_ms() - round(1_000 * seconds)
            detail = f"the disk has not answered for {seconds:.0f} s; events wait in memory"
        return LogHealth(state, since_ms, detail, archiver, self.events_logged, self.events_pending, lost)

    @property
    def last_seq(self) -> int:
        """The number of the newest event on disk; as `after`, it reads a file."""
        return self._follower.last_seq()

    def after(self, seq: int, limit: int) -> list[tuple[int, Liquidation]]:
        """Return at most `limit` events behind number `seq`, in the order they were logged, sealed ones included.

        For whoever follows the log, as a sink that writes it elsewhere: reads files, so call it in a thread. There may
        be fewer than `limit` though more follow, but none only where none follow. Raises sqlite3.Error or OSError while
        the disk does not let it. What retention has removed is skipped.
        """
        return self._follower.after(seq, limit)

    def stop(self, seconds: float = 3.0) -> None:
        """Write what is in the buffer, for so long at most; the rest is lost as `closed`, or as `disk`."""
        if self._thread is None:
            return
        until = time.monotonic() + seconds
        self._is_closing = True
        self.buffer.close()
        self._thread.join(seconds)
        self.buffer.reason = "disk" if self.health().state in {"failing", "stuck"} else "closed"
        rest = self.buffer.abandon()
        if not self._thread.is_alive():
            self._lock.release()
            if self._archiver_process is not None:
                self._archiver_process.stop(until - time.monotonic())
        self._follower.close()
        self._become("closed", f"{rest} events were not written" if rest else self._detail)

    # -- below: the writer's thread

    def _run(self) -> None:
        while True:
            try:
                if self._store is None:
                    self._store = self._open()
                while not (self._is_closing and not (self.buffer or self._events or self._records)):
                    self._turn(self._store)
            except (ConfigurationError, OSError, sqlite3.Error) as error:
                self._fail(error)
            except Exception as error:  # noqa: BLE001 - the sink guard
                _log.exception("history: the writer failed; it tries again")
                self._fail(error)
            else:
                break
            if self._is_closing:
                break
            self.buffer.pause(_RETRY_SECONDS)
        if self._store is not None:
            self._store.close()
            self._store = None

    def _open(self) -> Store:
        """Open the log; a damaged one, as a write has found it or the opening does, is set aside first."""
        with self._asking_disk():
            if self._damage is not None:
                self._set_aside(self._damage)
            try:
                return self._opened()
            except (ConfigurationError, sqlite3.Error) as error:
                if not is_damage(error):
                    raise
                self._set_aside(error)
                return self._opened()

    @contextmanager
    def _asking_disk(self) -> Iterator[None]:
        """Note since when the disk is waited for."""
        self._asked_disk = time.monotonic()
        try:
            yield
        finally:
            self._asked_disk = None

    def _opened(self) -> Store:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._is_locked:
            if not self._lock.take():
                raise ConfigurationError(
                    f"history: {self.directory} is in use by process {self._lock.holder()}; "
                    "stop it, or name another directory"
                )
            self._is_locked = True
        store = Store(self.directory, self._synchronous)
        try:
            log_id = store.log_id()
            if self.recalled is None:
                self.recalled = store.begin_run(our_ms())
            elif log_id != self._log_id:  # the other one was removed: what is covered from now on has to be said there
                self._records = [*self._standing.records(our_ms()), *self._records]
                self._hour_ms = 0
        except BaseException:
            store.close()
            raise
        self._log_id = log_id
        return store

    def _set_aside(self, error: BaseException) -> None:
        """Keep a damaged database under another name, and begin a new one with what can be read of it.

        Not again within a minute: a disk that damages each new one would be filled with them.
        """
        now_ms = our_ms()
        if now_ms - self._salvaged_ms < _SALVAGED_MS:
            raise OSError(errno.EIO, "the disk damages what is written")
        self._salvaged_ms = now_ms
        found = salvage(self.directory, self._synchronous, now_ms)
        read = "all of it" if found.is_whole else "as far as it can be read"
        self._salvaged = f"a damaged log is kept as {found.aside.name}"
        self._log_id = ""  # whatever it is called: feeds that are live have to be said to be
        _log.error(
            "history: %s is damaged (%s): it is kept as %s; %s rows were taken over, %s",
            self.directory / DATABASE,
            error.__cause__ or error,
            found.aside.name,
            f"{found.rows:,}",
            read,
        )
        self._damage = None
        self._become(self._state, self._salvaged)

    def _turn(self, store: Store) -> None:
        """Wait for events, let some more come, write them; what is due by time once a second."""
        if not self._events:
            self.buffer.wait(_IDLE_SECONDS)
        if self.buffer and not self._is_closing:
            time.sleep(_GROUP_SECONDS)
        self.buffer.take(self._events, self._records, _MOST_EVENTS)
        with self._asking_disk():
            self._write_what_is_due(store, our_ms())

    def _write_what_is_due(self, store: Store, now_ms: int) -> None:
        hour_ms = now_ms - now_ms % _HOUR_MS
        if hour_ms != self._hour_ms:
            store.mark_hour(hour_ms - _HOUR_MS)
            self._hour_ms = hour_ms
        if not store.is_there():  # and maybe the locked file, too
            self._lock.release()
            self._is_locked = False
            raise FileNotFoundError(errno.ENOENT, "the log was removed while it was written")
        self._write(store, now_ms)
        if now_ms - self._synced_ms >= _SYNC_MS:
            store.sync()
            self._synced_ms = now_ms
        if self._archiver_process is not None:
            self._archiver_process.turn(now_ms)
            if self._archiver_process.take_damage():
                raise damage("what is not sealed yet cannot be read")

    def _write(self, store: Store, now_ms: int) -> None:
        lost = self.buffer.losses.take(now_ms)
        if not (self._events or self._records or lost):
            return
        try:
            written = store.write(self._events, [*self._records, *lost])
        except BaseException:
            self.buffer.losses.give_back(lost)
            raise
        if self._state == "failing":
            lost_total = self.health().events_lost
            _log.warning("history: writing again to %s, %s events lost in all", self.directory, lost_total)
            self._told.clear()
            self.buffer.reason = "full"
            self._become("writing", self._salvaged)
        self._standing.take(self._records)
        self.buffer.finalize(written)
        self._events, self._records = [], []

    def _fail(self, error: Exception) -> None:
        if self._store is not None and getattr(error, "sqlite_errorcode", None) not in _CURABLE:
            self._store.close()
            self._store = None
        if is_damage(error):  # no later try would find it whole
            self._damage = error
            return
        text = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        if text not in self._told:
            self._told.add(text)
            _log.error("history: cannot write to %s: %s; events wait in memory", self.directory, text)
        self.buffer.reason = "disk"
        self._become("failing", text)

    def _become(self, state: str, detail: str) -> None:
        if state != self._state:
            self._since_ms = our_ms()
        self._state, self._detail = state, detail
