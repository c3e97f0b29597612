"""The log as its one writer sees it: batches of events and records, each batch one transaction."""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from operator import attrgetter
from pathlib import Path

from msgspec import Struct
from msgspec.structs import astuple

from liqtape.events import NO_LIST, SCHEMA, Liquidation
from liqtape.history.archive.archivedids import ArchivedIds
from liqtape.history.log.database import open_for_writing, transaction
from liqtape.history.log.journal import BACKFILLED, BEHIND, WRITES, FeedMissedEntry, FeedUpEntry, GapEntry, JournalEntry
from liqtape.history.log.layout import DATABASE, EVENT_COLUMNS
from liqtape.history.log.recall import RecalledRun, end_last_run, recall

__all__ = ["Store", "WriteResult"]

# Every step of a statement gives the interpreter to the other threads, and under load gets it back 5 ms later. So many
# rows go into one statement: with one each, a busy process would log 200 events a second. Powers of two keep the number
# of different statements small, each prepared once.
_MOST_ROWS = 2048
_HOUR_MS = 3_600_000
_COLUMNS = EVENT_COLUMNS[1:]
_row_of = attrgetter(*_COLUMNS)
_UNFIT = (OverflowError, UnicodeError, sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)


class WriteResult(Struct, frozen=True, gc=False):
    """What became of a batch: `duplicate` were in the log before, `invalid` are no rows (a time beyond 64 bits)."""

    logged: int
    duplicate: int
    invalid: int


class Store:
    """The open database of a log. Any sqlite3.Error leaves the batch unwritten as a whole; close and open again."""

    def __init__(self, directory: Path, synchronous: str = "NORMAL") -> None:
        self._path = directory / DATABASE
        self._connection = open_for_writing(directory, synchronous)
        self._inode = self._path.stat().st_ino
        self._sealed = ArchivedIds(directory, self._connection)
        self._data_version = -1
        self._sealable_ms = 0  # no later event can be in a file yet
        self._look_for_sealable()

    def close(self) -> None:
        """Close the file; the last to close it also empties its write-ahead log."""
        self._connection.close()

    def is_there(self) -> bool:
        """Return whether the open file still bears its name: what is written to a removed one is gone with it."""
        try:
            return self._path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def log_id(self) -> str:
        """Return which log this is: another one after its file was removed."""
        (found,) = self._connection.execute("SELECT value FROM meta WHERE key = 'log_id'").fetchone()
        return str(found)

    def write(self, events: Sequence[Liquidation], records: Sequence[JournalEntry] = ()) -> WriteResult:
        """Write all in one transaction."""
        connection = self._connection
        try:
            connection.execute(
                "BEGIN IMMEDIATE"
            )  # `transaction` in full: a context manager takes an eighth of a commit
            logged = self._insert(self._unsealed(events))
            self._note(records)
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if isinstance(error, _UNFIT):
                return self._write_one_by_one(events, records)
            raise
        return WriteResult(logged, len(events) - logged, 0)

    def _unsealed(self, events: Sequence[Liquidation]) -> Sequence[Liquidation]:
        """Leave out those that are in files already; files are asked only for times that lie in them."""
        sealable_ms = self._sealable_ms
        if all(event.event_ms > sealable_ms for event in events):
            return events
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._data_version:  # another process has written: maybe the sealing
            self._sealed.look()
            self._data_version = version
        until_ms = self._sealed.until_ms
        return [event for event in events if not (event.event_ms <= until_ms and self._sealed.holds(event))]

    def _insert(self, events: Sequence[Liquidation]) -> int:
        execute = self._connection.execute
        logged = position = 0
        while left := len(events) - position:
            size = min(_MOST_ROWS, 1 << (left.bit_length() - 1))
            rows = map(_row_of, events[position : position + size])
            logged += execute(_INSERTS[size], tuple(chain.from_iterable(rows))).rowcount
            position += size
        return logged

    def _note(self, records: Sequence[JournalEntry]) -> None:
        execute = self._connection.execute
        for record in records:
            if isinstance(record, GapEntry):
                self._note_gap(record)
                continue
            if isinstance(record, FeedMissedEntry):
                execute(BEHIND, astuple(record))
            execute(WRITES[type(record)], astuple(record))
            if isinstance(record, FeedUpEntry):
                execute(
                    "UPDATE gaps SET until_ms = max(from_ms, ?2) "
                    "WHERE venue = ?1 AND until_ms IS NULL AND reason != ?3",
                    (record.venue, record.at_ms, NO_LIST),
                )

    def _note_gap(self, gap: GapEntry) -> None:
        """Write a gap as it is known now; of a venue no two last at once, and no two lie over each other.

        Where the disk failed at the start, the gap behind the last run was opened when this run's own had begun, at a
        time by our clock, which may be wrong by an hour. So that of this run is written when it has ended, by its
        venue's clock, and the other ends where it begins.
        """
        execute = self._connection.execute
        if gap.reason != NO_LIST:
            another = "venue = ?1 AND from_ms != ?2 AND until_ms IS NULL AND reason != ?3"
            names = gap.venue, gap.from_ms, NO_LIST
            if gap.until_ms is None:
                if execute(f"SELECT 1 FROM gaps WHERE {another}", names).fetchone():
                    return
            elif gap.until_ms > gap.from_ms:
                execute(
                    f"UPDATE gaps SET until_ms = max(from_ms, ?2) WHERE {another} AND from_ms < ?4",
                    (*names, gap.until_ms),
                )
        execute(WRITES[GapEntry], astuple(gap))
        if gap.backfilled:
            execute(BACKFILLED, (gap.venue, gap.from_ms, gap.until_ms))

    def _write_one_by_one(self, events: Sequence[Liquidation], records: Sequence[JournalEntry]) -> WriteResult:
        """Write as `write`, leaving out what cannot be a row."""
        logged = invalid = 0
        with transaction(self._connection):
            for event in events:
                try:
                    logged += self._insert(self._unsealed([event]))
                except _UNFIT:
                    invalid += 1
            for record in records:
                try:
                    self._note([record])
                except _UNFIT:
                    continue  # a text no venue can send; its events are in the log all the same
        return WriteResult(logged, len(events) - logged - invalid, invalid)

    def mark_hour(self, hour_ms: int) -> None:
        """Mark that all that is logged until now belongs to this hour or an earlier one.

        By its receipt, too: where the wall clock was set back an hour, what came in between is younger than it says.
        """
        with transaction(self._connection):
            self._connection.execute(
                "INSERT INTO hours SELECT ?1, coalesce((SELECT seq FROM events "
                "WHERE coalesce(receive_ms, event_ms) < ?1 + ?2 ORDER BY seq DESC LIMIT 1), 0) "
                "WHERE true ON CONFLICT DO NOTHING",
                (hour_ms, _HOUR_MS),
            )
        self._look_for_sealable()

    def _look_for_sealable(self) -> None:
        """Find the event time up to which an event may be in a file, so that newer ones need not be looked up there.

            event time ->
            files           [=========]  until_ms
            log, marked            [==========]  hot_ms     may be sealed at any moment, by another process
            log since then                  [========       not before the next mark, when this is asked again
                                              | _sealable_ms: behind it no file need be looked into

        The mark covers what was logged before it, so the newest time of the log at the mark is the limit; the index has
        it at once.
        """
        (hot_ms,) = self._connection.execute("SELECT max(event_ms) FROM events WHERE id <> ''").fetchone()
        self._sealed.look()
        self._sealable_ms = max(self._sealed.until_ms, self._sealed.until_ms if hot_ms is None else hot_ms)

    def sync(self) -> None:
        """Bring what was committed to the disk for good; waits for the disk.

        A checkpoint would do as well, but needs space for all of it once more.
        """
        # (Opening and closing the database itself would drop SQLite's locks; on this file it holds none.)
        with suppress(FileNotFoundError):
            file = os.open(f"{self._path}-wal", os.O_RDONLY)
            try:
                os.fsync(file)
            finally:
                os.close(file)

    def begin_run(self, now_ms: int) -> RecalledRun:
        """End what the last run left open, and read back what matters of it."""
        end_last_run(self._connection)
        return recall(self._connection, now_ms)


def _insert_sql(rows: int) -> str:
    values = ", ".join([f"({SCHEMA}, {', '.join('?' * len(_COLUMNS))})"] * rows)
    return (
        f"INSERT INTO events ({', '.join(EVENT_COLUMNS)}) VALUES {values} "
        "ON CONFLICT (event_ms, venue, id) WHERE id <> '' DO NOTHING"
    )


_INSERTS = {1 << power: _insert_sql(1 << power) for power in range(_MOST_ROWS.bit_length())}
