"""Opening the log's SQLite file, for the writer and for readers, with its migrations."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from liqtape.errors import ConfigurationError
from liqtape.history.log.layout import DATABASE, VERSION, schema_sql
from liqtape.sqlitedamage import is_damage

__all__ = ["open_for_reading", "open_for_writing", "transaction"]

_BUSY_SECONDS = 5.0
# A commit in WAL mode is a write without a wait for the disk; the wait comes with the checkpoint, once in so many pages
# (of 4 KiB). The usual 1,000 make it ten times a second in a flood.
_CHECKPOINT_PAGES = 8_000
_JOURNAL_LIMIT = 64 * 1024 * 1024


def open_for_writing(directory: Path, synchronous: str, name: str = DATABASE) -> sqlite3.Connection:
    """Open the database in `directory`, made or brought to this version.

    Raises ConfigurationError where the file is no log of ours or newer than we are, sqlite3.Error where the disk fails.
    """
    path = directory / name
    connection = sqlite3.connect(
        path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=64
    )
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a new file: sealed rows give their space back
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL_LIMIT}")
        _migrate(connection, path)
    except BaseException as error:
        connection.close()
        if is_damage(error):
            raise ConfigurationError(f"history: {path} is damaged, or no database ({error})") from error
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > VERSION:
        raise ConfigurationError(f"history: {path} was written by a newer liqtape (version {found}); update this one")
    for version in range(found + 1, VERSION + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {schema_sql(version)} PRAGMA user_version = {version}; COMMIT;")


def open_for_reading(directory: Path) -> sqlite3.Connection:
    """Open the database of a log that may be written to meanwhile; raises ConfigurationError where there is none."""
    path = directory / DATABASE
    if not path.exists():
        raise ConfigurationError(f"history: there is no {path}")
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    if found > VERSION:
        connection.close()
        raise ConfigurationError(f"history: {path} was written by a newer liqtape (version {found}); update this one")
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """Commit at the end of the block, roll back at an error; `DEFERRED` for one that reads."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk may have rolled it back already
            connection.execute("ROLLBACK")
        raise
