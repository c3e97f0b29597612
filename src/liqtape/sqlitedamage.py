"""Database files that are damaged: how SQLite says so, and how they are kept beside the new one."""

import sqlite3
from contextlib import suppress
from pathlib import Path

__all__ = ["BESIDE", "damage", "is_damage", "set_aside"]

BESIDE = ("-wal", "-shm", "-journal")
"""What the names of the files end with that belong to a database."""

_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def is_damage(error: BaseException | None) -> bool:
    """Return whether an error, or what caused it, says that the database itself is damaged.

    No other error is mended by a new file.
    """
    while error is not None:
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & 0xFF in _CODES:
            return True
        error = error.__cause__
    return False


def set_aside(path: Path, aside: Path) -> None:
    """Give a database and the files that belong to it another name."""
    path.replace(aside)
    for ending in BESIDE:
        with suppress(FileNotFoundError):
            path.with_name(path.name + ending).replace(aside.with_name(aside.name + ending))


def damage(said: str) -> sqlite3.DatabaseError:
    """Return the error of damage that SQLite found when it was asked, or that somebody else found.

    >>> is_damage(damage("row 7 missing from index"))
    True
    """
    error = sqlite3.DatabaseError(said)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error
