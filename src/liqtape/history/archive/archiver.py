"""Closed hours from SQLite into Parquet files, and what is too old or too much away. Runs in a process of its own.

The order makes it safe against a crash at any point: the file is whole and on disk before it bears its name; one
transaction then says that the events are in the file and no longer in the database; only after that are the rows
deleted. A file without that transaction is a leftover, whose rows are all still there: the next sealing removes it.
"""

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from liqtape.history.log.database import open_for_writing, transaction
from liqtape.history.log.layout import (
    EVENT_COLUMNS,
    PRICE_COLUMNS,
    arrow_schema,
    event_partition,
    price_partition,
    snapshot_file,
    span_of,
)

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["CLOSED_AFTER_MS", "Archiver"]

CLOSED_AFTER_MS = 600_000
"""An hour is sealed so long after its end: what comes late and again is then refused by the database's own index."""

_HOUR_MS = 3_600_000
_MOST_ROWS = 500_000  # of one sealing, which is in memory as a whole
_DELETED_AT_ONCE = 5_000  # about 20 ms in which the writer waits


class _File(Struct, frozen=True):
    """A sealed file as the list names it."""

    path: str
    kind: str
    date: str
    venue: str | None
    first_seq: int | None
    last_seq: int | None
    from_ms: int
    until_ms: int
    rows: int
    bytes: int
    sha256: str


class Archiver:
    """One round over a history. `step` is told after each thing that a crash could follow."""

    def __init__(self, directory: Path, step: Callable[[str], object] = lambda _: None) -> None:
        self._directory = directory
        self._step = step
        # The list must never be older than the files: its commits wait for the disk.
        self.connection = open_for_writing(directory, "FULL")
        self._log_id = str(self._meta("log_id"))

    def close(self) -> None:
        """Close the database."""
        self.connection.close()

    def seal(self, now_ms: int) -> int:
        """Seal every hour that is closed; returns how many events went into files."""
        self._remove_leftovers()
        sealed = 0
        hours = self.connection.execute(
            "SELECT hour_ms, last_seq FROM hours WHERE hour_ms <= ? ORDER BY hour_ms",
            (now_ms - _HOUR_MS - CLOSED_AFTER_MS,),
        ).fetchall()
        for _, last_seq in hours:
            while rows := self._unsealed(last_seq):
                self._seal_events(rows)
                sealed += len(rows)
        self._delete_sealed()
        if hours:
            self._seal_prices(hours[-1][0] + _HOUR_MS)
        for table in ("gaps", "coverage"):
            self._snapshot(table)
        return sealed

    def _meta(self, key: str) -> object:
        return self.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0]

    def _unsealed(self, last_seq: int) -> list[tuple[object, ...]]:
        return self.connection.execute(
            f"SELECT seq, {', '.join(EVENT_COLUMNS)} FROM unsealed_events WHERE seq <= ? ORDER BY seq LIMIT ?",
            (last_seq, _MOST_ROWS),
        ).fetchall()

    def _seal_events(self, rows: Sequence[tuple[object, ...]]) -> None:
        first_seq, last_seq = int(str(rows[0][0])), int(str(rows[-1][0]))
        groups: dict[tuple[str, str], list[tuple[object, ...]]] = {}
        for row in rows:
            groups.setdefault((_utc_date(row[_EVENT_MS]), str(row[_VENUE])), []).append(row)
        files = []
        for (date, venue), group in groups.items():
            path = event_partition(self._log_id, date, venue, first_seq, last_seq)
            size, digest = self._write(path, _table("events", group))
            times = [int(str(row[_EVENT_MS])) for row in group]
            files.append(
                _File(
                    str(path),
                    "events",
                    date,
                    venue,
                    first_seq,
                    last_seq,
                    min(times),
                    max(times),
                    len(group),
                    size,
                    digest,
                )
            )
        self._list(files, "sealed_seq", last_seq)

    def _seal_prices(self, until_ms: int) -> None:
        rows = self.connection.execute(
            f"SELECT {', '.join(PRICE_COLUMNS)} FROM unsealed_prices WHERE bar_ms < ? ORDER BY bar_ms, source",
            (until_ms,),
        ).fetchall()
        groups: dict[str, list[tuple[int, ...]]] = {}
        for row in rows:
            groups.setdefault(_utc_date(row[0]), []).append(row)
        files = []
        for date, group in groups.items():
            from_ms, last_ms = group[0][0], group[-1][0]
            path = price_partition(self._log_id, date, from_ms, last_ms)
            size, digest = self._write(path, _table("prices", group))
            files.append(_File(str(path), "prices", date, None, None, None, from_ms, last_ms, len(group), size, digest))
        if files:
            self._list(files, "sealed_ms", until_ms)
        with transaction(self.connection):
            self.connection.execute(
                "DELETE FROM prices WHERE bar_ms < (SELECT value FROM meta WHERE key = 'sealed_ms')"
            )

    def _list(self, files: Sequence[_File], key: str, until: int) -> None:
        with transaction(self.connection):
            self.connection.executemany(
                f"INSERT INTO partitions VALUES ({', '.join('?' * len(_File.__struct_fields__))})",
                map(msgspec.structs.astuple, files),
            )
            self.connection.execute("UPDATE meta SET value = ? WHERE key = ?", (until, key))
            self._step("listed, not committed")
        self._step("listed")

    def _delete_sealed(self) -> None:
        """Delete the rows that are in files, but the newest row of all, which keeps numbers from being used again."""
        deleted = -1
        while deleted:
            with transaction(self.connection):
                deleted = self.connection.execute(
                    "DELETE FROM events WHERE seq IN (SELECT seq FROM events "
                    "WHERE seq <= (SELECT value FROM meta WHERE key = 'sealed_seq') "
                    f"AND seq < (SELECT max(seq) FROM events) LIMIT {_DELETED_AT_ONCE})"
                ).rowcount
            self._step("deleted some")

    def _snapshot(self, table: str) -> None:
        schema = arrow_schema(table)
        rows = self.connection.execute(f"SELECT {', '.join(schema.names)} FROM {table}").fetchall()
        self._write(snapshot_file(table), _table(table, rows))

    def _write(self, path: Path, table: "pa.Table") -> tuple[int, str]:
        """Write a file so that it is there as a whole or not at all; returns its size and SHA-256."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
        content = buffer.getvalue()
        target = self._directory / path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = target.with_name(f"{target.name}.tmp")
        with temporary.open("wb") as file:
            file.write(content)
            self._step("half a file")
            file.flush()
            os.fsync(file.fileno())
        self._step("written")
        temporary.replace(target)
        for folder in (target.parent, target.parent.parent, self._directory):
            _sync(folder)
        self._step("named")
        return len(content), sha256(content).hexdigest()

    def _remove_leftovers(self) -> None:
        """Remove half files, whole ones whose rows are still in the database, and what retention took off the list."""
        listed = {path for (path,) in self.connection.execute("SELECT path FROM partitions")}
        for temporary in (*self._directory.glob("*.tmp"), *self._directory.glob("*/*/**/*.tmp")):
            temporary.unlink()
        for kind, number, key in (("events", "seq", "sealed_seq"), ("prices", "bar_ms", "sealed_ms")):
            sealed = self._meta(key)
            for path in (self._directory / kind).rglob("*.parquet"):
                span = span_of(path)
                if span is None or span[2] != self._log_id[:8] or str(path.relative_to(self._directory)) in listed:
                    continue
                (is_superfluous,) = self.connection.execute(
                    f"SELECT ?1 <= ?2 OR EXISTS (SELECT 1 FROM {kind} WHERE {number} = ?1)", (span[0], sealed)
                ).fetchone()
                if is_superfluous:
                    path.unlink()


_VENUE = 1 + EVENT_COLUMNS.index("venue")
_EVENT_MS = 1 + EVENT_COLUMNS.index("event_ms")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _utc_date(at_ms: object) -> str:
    """Return the UTC day; times that a wrapped stream made up lie on the first or last day there is.

    >>> _utc_date(1_790_000_000_000), _utc_date(1 << 62)
    ('2026-09-21', '9999-12-31')
    """
    milliseconds = int(str(at_ms))
    try:
        return (_EPOCH + timedelta(milliseconds=milliseconds)).date().isoformat()
    except OverflowError:
        return "9999-12-31" if milliseconds > 0 else "0001-01-01"


def _table(name: str, rows: Sequence[Sequence[object]]) -> "pa.Table":
    import pyarrow as pa

    schema = arrow_schema(name)
    columns = list(zip(*rows, strict=True)) or [()] * len(schema.names)
    if name == "gaps":
        columns[-1] = tuple(map(bool, columns[-1]))
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
