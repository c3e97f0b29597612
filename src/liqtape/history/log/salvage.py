"""A database that is damaged: set aside as a whole, and what can be read of it taken over into a new one."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from liqtape.history.log.database import open_for_writing, transaction
from liqtape.history.log.layout import DATABASE
from liqtape.history.log.recall import end_last_run
from liqtape.sqlitedamage import BESIDE, set_aside

__all__ = ["Salvage", "salvage"]

_NEW = "log.salvaged"
_ROWS = 1_000
_LOST = "log damaged"
"""The reason of a gap whose events may be in the part of the log that could not be read."""

_EVER_MS = 1 << 62


class Salvage(Struct, frozen=True):
    """Where the damaged files are now, and how many rows were taken over; `is_whole` if no row was out of reach."""

    aside: Path
    rows: int
    is_whole: bool


def salvage(directory: Path, synchronous: str, now_ms: int) -> Salvage:
    """Set `log.sqlite` aside under a name of its own, and put a new one with all readable rows in its place.

    ::

        log.sqlite (damaged) ── rows that can be read ──▶ log.salvaged
             │                                                │
             ▼ second                                         ▼ third
        log.damaged-20261129T031502Z.sqlite              log.sqlite

    A kill between any two steps leaves the damaged file under one of its two names, whole. Where rows were out of reach
    the time they may have had is no longer covered. Numbers of events go on behind the highest that is known, and the
    new log is another one if the list of files could not be read to its end, so that no file is taken for a leftover.
    Raises sqlite3.Error or OSError where the disk fails.
    """
    new = directory / _NEW
    for ending in ("", *BESIDE):
        new.with_name(new.name + ending).unlink(missing_ok=True)
    with closing(open_for_writing(directory, synchronous, _NEW)) as target:
        rows, broken = _take_over(directory / DATABASE, target)
        with transaction(target):
            _go_on(target, broken, now_ms)
        end_last_run(target)
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    stamp = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = directory / f"log.damaged-{stamp}.sqlite"
    while aside.exists():
        aside = aside.with_stem(f"{aside.stem}-again")
    set_aside(directory / DATABASE, aside)
    new.replace(directory / DATABASE)
    return Salvage(aside, rows, not broken)


def _take_over(damaged: Path, target: sqlite3.Connection) -> tuple[int, set[str]]:
    """Copy what can be read; returns how many rows, and the tables not read to their end."""
    taken = 0
    broken: set[str] = set()
    tables = [name for (name,) in target.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    try:
        source = sqlite3.connect(f"{damaged.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    except sqlite3.Error:
        return 0, set(tables)
    with closing(source):
        for table in tables:
            number, is_whole = _copy(source, target, table)
            taken += number
            if not is_whole:
                broken.add(table)
    return taken, broken


def _copy(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> tuple[int, bool]:
    """Copy a table from its begin to where it cannot be read, and then from its end backwards to there."""
    key = _key_of(target, table)
    taken = 0
    for order in ("ASC", "DESC"):
        number, is_whole = _copy_in_order(source, target, table, ", ".join(f"{name} {order}" for name in key))
        taken += number
        if is_whole:
            return taken, True
    return taken, False


def _copy_in_order(source: sqlite3.Connection, target: sqlite3.Connection, table: str, order: str) -> tuple[int, bool]:
    width = len(target.execute(f"PRAGMA table_info({table})").fetchall())
    known = "REPLACE" if table == "meta" else "IGNORE"  # a new log has an identity, and a place where it begins
    insert = f"INSERT OR {known} INTO {table} VALUES ({', '.join('?' * width)})"
    taken = 0
    rows: list[Sequence[object]] = []
    is_whole = True
    try:
        found = source.execute(f"SELECT * FROM {table} NOT INDEXED ORDER BY {order}")
        while row := _next(found):
            rows.append(row)
            if len(rows) == _ROWS:
                taken += _put(target, insert, rows)
                rows.clear()
    except (sqlite3.Error, UnicodeError, OverflowError):
        is_whole = False
    return taken + _put(target, insert, rows), is_whole


def _next(found: sqlite3.Cursor) -> Sequence[object]:
    row: Sequence[object] = found.fetchone() or ()
    return row


def _put(target: sqlite3.Connection, insert: str, rows: Sequence[Sequence[object]]) -> int:
    """Insert rows, each on its own where one of them is no row of ours; returns how many came in."""
    before = target.total_changes
    try:
        with transaction(target):
            target.executemany(insert, rows)
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
        for row in rows:
            with suppress(sqlite3.IntegrityError, sqlite3.ProgrammingError):
                target.execute(insert, row)
    return target.total_changes - before


def _key_of(connection: sqlite3.Connection, table: str) -> list[str]:
    columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
    return [name for _, name, _, _, _, place in sorted(columns, key=lambda column: column[5]) if place] or ["rowid"]


def _go_on(target: sqlite3.Connection, broken: set[str], now_ms: int) -> None:
    """Make of the rows a log that goes on: numbers behind all that were used, no coverage of what may be lost."""
    known = "SELECT last_seq FROM partitions UNION ALL SELECT last_seq FROM hours"
    (used,) = target.execute(
        f"SELECT max(coalesce((SELECT max(last_seq) FROM ({known})), 0), "
        "coalesce((SELECT value FROM meta WHERE key = 'sealed_seq'), 0))"
    ).fetchone()
    (newest,) = target.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
    if "meta" in broken:
        target.execute(
            "UPDATE meta SET value = max(value, "
            "coalesce((SELECT max(last_seq) FROM partitions WHERE kind = 'events'), 0)) WHERE key = 'sealed_seq'"
        )
    if newest < used:  # its newest row is what keeps a number from being used again
        target.execute("INSERT INTO events VALUES (?, 1, '', '', '', NULL, NULL, '', NULL, NULL, 0, NULL, '')", (used,))
        target.execute("UPDATE meta SET value = max(value, ?) WHERE key = 'sealed_seq'", (used,))
    if "partitions" in broken:
        target.execute("UPDATE meta SET value = lower(hex(randomblob(16))) WHERE key = 'log_id'")
    if "events" in broken:
        _uncover(target, now_ms)


def _uncover(target: sqlite3.Connection, now_ms: int) -> None:
    """Take the time of rows that may be lost out of the coverage of every venue, as a gap: where numbers are missing.

    What was logged between two rows was received between them; before the first row it is the time since the last
    sealed file.
    """
    (begin_ms,) = target.execute("SELECT coalesce(max(until_ms), 0) FROM partitions WHERE kind = 'events'").fetchone()
    rows = target.execute(
        "SELECT seq, coalesce(receive_ms, event_ms), max(event_ms, coalesce(receive_ms, 0)) "
        "FROM unsealed_events ORDER BY seq"
    ).fetchall()
    (last_seq,) = target.execute("SELECT value FROM meta WHERE key = 'sealed_seq'").fetchone()
    holes: list[tuple[int, int]] = []
    latest_ms = int(begin_ms)
    for seq, received_ms, at_ms in rows:
        if seq != last_seq + 1:
            holes.append((latest_ms, int(received_ms)))
        last_seq, latest_ms = seq, max(latest_ms, int(at_ms))
    holes.append((latest_ms, now_ms))  # what was behind the last row that can be read is not known
    for from_ms, until_ms in holes:
        if until_ms > from_ms:
            _cut(target, from_ms, until_ms)


def _cut(target: sqlite3.Connection, from_ms: int, until_ms: int) -> None:
    spells = target.execute(
        "SELECT venue, up_ms, down_ms FROM coverage WHERE up_ms < ?2 AND coalesce(down_ms, ?3) > ?1",
        (from_ms, until_ms, _EVER_MS),
    ).fetchall()
    for venue, up_ms, down_ms in spells:
        if up_ms < from_ms:
            target.execute("UPDATE coverage SET down_ms = ? WHERE venue = ? AND up_ms = ?", (from_ms, venue, up_ms))
        else:
            target.execute("DELETE FROM coverage WHERE venue = ? AND up_ms = ?", (venue, up_ms))
        if down_ms is None or down_ms > until_ms:
            target.execute("INSERT OR REPLACE INTO coverage VALUES (?, ?, ?)", (venue, until_ms, down_ms))
        target.execute(
            "INSERT OR IGNORE INTO gaps VALUES (?, ?, ?, ?, 0)",
            (venue, max(from_ms, up_ms), min(until_ms, _EVER_MS if down_ms is None else down_ms), _LOST),
        )
