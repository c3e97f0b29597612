"""Following the log by number, across the border between the database and the sealed files."""

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from liqtape.errors import MissingExtra
from liqtape.events import Liquidation
from liqtape.history.archive.soundfiles import SEALED_COLUMNS, SealedFile, SoundFiles
from liqtape.history.log.database import open_for_reading, transaction
from liqtape.history.log.layout import DATABASE, EVENT_COLUMNS
from liqtape.history.log.recall import SELECTED, liquidation_of_row

__all__ = ["Follower"]

_ATTEMPTS = 3
_Numbered = tuple[int, Liquidation]


class Follower:
    """Reads a log that is being written; any thread may ask. The sealed hour asked last stays in memory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._hour: tuple[int, list[_Numbered]] = (-1, [])
        self.sound = SoundFiles(directory)

    def close(self) -> None:
        """Close the file; it is opened again when asked."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def last_seq(self) -> int:
        """Return the number of the newest event, 0 before any."""
        with self._lock:
            (seq,) = self._open().execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
        return int(seq)

    def after(self, seq: int, limit: int) -> list[_Numbered]:
        """Return at most `limit` events behind `seq`, by number; none when there are none yet."""
        with self._lock:
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    return self._after(seq, limit)
                except FileNotFoundError:  # retention was quicker; the list no longer names the file
                    if attempt == _ATTEMPTS:
                        raise
        return []

    def _open(self) -> sqlite3.Connection:
        """Open the log, and again where it is another file by now: a damaged one was set aside, or removed."""
        try:
            inode = (self._directory / DATABASE).stat().st_ino
        except FileNotFoundError:
            inode = 0
        if self._connection is not None and inode != self._inode:
            self._connection.close()
            self._connection = None
        if self._connection is None:
            self._connection = open_for_reading(self._directory)
            self._inode = inode
            self._hour = (-1, [])
        return self._connection

    def _after(self, seq: int, limit: int) -> list[_Numbered]:
        """Read on behind `seq`, from the first hour of the archive that ends behind it, else from the database.

            seq ->      1 ......... 400 401 ......... 900 901 ......... 1200
                        sealed hour     sealed hour       unsealed_events
            after(250)      |==== 251 to 400: at most one hour at a time
            after(400)                  |====
            after(900)                                    |====

        Which hours are sealed is asked in the transaction that reads the database, or an hour sealed in between would
        be in neither. An hour of which nothing lies behind `seq` any more is passed over.
        """
        connection = self._open()
        while True:
            with transaction(connection, "DEFERRED"):
                hour = connection.execute(
                    "SELECT first_seq, last_seq FROM partitions WHERE kind = 'events' AND last_seq > ? "
                    "ORDER BY first_seq LIMIT 1",
                    (seq,),
                ).fetchone()
                if hour is None:
                    rows = connection.execute(
                        f"SELECT seq, {SELECTED} FROM unsealed_events WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)
                    )
                    return [(number, liquidation_of_row(row)) for number, *row in rows]
                rows = connection.execute(
                    f"SELECT {SEALED_COLUMNS} FROM partitions WHERE kind = 'events' AND first_seq = ?", hour[:1]
                )
                files = [SealedFile(*row) for row in rows]
            found = [pair for pair in self._sealed(hour[0], files) if pair[0] > seq][:limit]
            if found:
                return found
            seq = hour[1]

    def _sealed(self, first_seq: int, files: Sequence[SealedFile]) -> list[_Numbered]:
        if self._hour[0] != first_seq:
            events = [pair for file in self.sound.sound(files) for pair in _read(self._directory / file.path)]
            events.sort(key=lambda pair: pair[0])
            self._hour = first_seq, events
        return self._hour[1]


def _read(path: Path) -> list[_Numbered]:
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtra("reading sealed events", "analysis") from error

    table: Any = pq.read_table(path, columns=["seq", *EVENT_COLUMNS[1:]], partitioning=None)
    columns = [column.to_pylist() for column in table.columns]
    return [(number, liquidation_of_row(row)) for number, *row in zip(*columns, strict=True)]
