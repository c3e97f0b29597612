"""What leaves the history because it is too old or too much: whole files, and hours that were never sealed."""

import sqlite3
from pathlib import Path

from liqtape.history.log.database import transaction

__all__ = ["retain"]

_HOUR_MS = 3_600_000
_DELETED_AT_ONCE = 5_000
_VACUUMED_AT_ONCE = 500  # pages

_SMALL_TABLES = (
    "DELETE FROM gaps WHERE until_ms < ?",
    "DELETE FROM coverage WHERE down_ms < ?",
    "DELETE FROM log_gaps WHERE until_ms < ?",
    "DELETE FROM health WHERE at_ms < ?",
    "DELETE FROM level_states WHERE at_ms < ?",
    "DELETE FROM cascades WHERE last_ms < ?",
)


def retain(directory: Path, connection: sqlite3.Connection, before_ms: int, most_bytes: int) -> int:
    """Remove what ended before `before_ms`, then the oldest until at most `most_bytes` are left; returns how much.

    A file is first taken off the list and then removed: a reader that had read the list may find it gone.
    """
    removed = _remove_files(
        directory,
        connection,
        connection.execute("SELECT path FROM partitions WHERE until_ms < ?", (before_ms,)).fetchall(),
    )
    for (last_seq,) in connection.execute(
        "SELECT max(last_seq) FROM hours WHERE hour_ms < ?", (before_ms - _HOUR_MS,)
    ).fetchall():
        removed += _remove_rows(connection, last_seq or 0)
    with transaction(connection):
        for statement in _SMALL_TABLES:
            connection.execute(statement, (before_ms,))
        connection.execute("DELETE FROM prices WHERE bar_ms < ?", (before_ms,))
        connection.execute("DELETE FROM hours WHERE hour_ms < ?", (before_ms - _HOUR_MS,))
    while _size(connection) > most_bytes:
        oldest = connection.execute("SELECT path FROM partitions ORDER BY until_ms LIMIT 1").fetchall()
        gone = _remove_files(directory, connection, oldest) or _remove_oldest_hour(connection)
        if not gone:
            break
        removed += gone
    _give_back(connection)
    return removed


def _size(connection: sqlite3.Connection) -> int:
    """Return the size of the files, and of what is in use of the database."""
    (files,) = connection.execute("SELECT coalesce(sum(bytes), 0) FROM partitions").fetchone()
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int(files + (pages - free) * size)


def _remove_files(directory: Path, connection: sqlite3.Connection, paths: list[tuple[str]]) -> int:
    with transaction(connection):
        connection.executemany("DELETE FROM partitions WHERE path = ?", paths)
    for (path,) in paths:
        (directory / path).unlink(missing_ok=True)
        for folder in list((directory / path).parents)[:2]:
            if folder != directory and not any(folder.iterdir()):
                folder.rmdir()
    return len(paths)


def _remove_oldest_hour(connection: sqlite3.Connection) -> int:
    oldest = connection.execute(
        "SELECT hour_ms, last_seq FROM hours WHERE last_seq > (SELECT min(seq) FROM events) ORDER BY hour_ms LIMIT 1"
    ).fetchone()
    if oldest is None:
        return 0
    with transaction(connection):
        connection.execute("DELETE FROM prices WHERE bar_ms < ?", (oldest[0] + _HOUR_MS,))
    return _remove_rows(connection, oldest[1])


def _remove_rows(connection: sqlite3.Connection, last_seq: int) -> int:
    """Remove events up to this number, but never the newest of all: it keeps numbers from being used again."""
    removed, deleted = 0, -1
    while deleted:
        with transaction(connection):
            deleted = connection.execute(
                "DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE seq <= ? "
                f"AND seq < (SELECT max(seq) FROM events) ORDER BY seq LIMIT {_DELETED_AT_ONCE})",
                (last_seq,),
            ).rowcount
        removed += deleted
    return removed


def _give_back(connection: sqlite3.Connection) -> None:
    """Give free pages to the file system, a few at a time, so that the writer waits only shortly."""
    while connection.execute("PRAGMA freelist_count").fetchone()[0] > _VACUUMED_AT_ONCE:
        connection.execute(f"PRAGMA incremental_vacuum({_VACUUMED_AT_ONCE})").fetchall()
