"""The disk: real SQLite on files in memory, which fill up, fail, are slow, and lose what was not brought to them."""

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from chaos.virtual.strands import Strands
from chaos.virtual.world import VirtualWorld
from msgspec import Struct

__all__ = ["Damage", "DiskFault", "RottenFile", "VirtualDisk"]

DiskFault = Literal["", "full", "io", "slow", "stuck"]

Damage = Literal["", "torn", "rotten"]

_WAL = "log.sqlite-wal"
_HEADER_BYTES = 32
_SLOW_SECONDS = 3.0
_BUSY_SECONDS, _BUSY_ATTEMPTS = 0.05, 100
_UNSAFE_MS = 15_000
"""Beyond the ten seconds that a power cut may take: a slow disk takes a while for a transaction."""

_WRITES = ("BEGIN IMMEDIATE", "INSERT", "UPDATE", "DELETE", "COMMIT")


class RottenFile(Struct, frozen=True):
    """A sealed file with a flipped bit, first and last time of its rows, and what is in it now."""

    path: str
    venue: str | None
    from_ms: int
    until_ms: int
    content: bytes


class VirtualDisk:
    """`fault` is what is wrong with it now. The state after a kill is a copy, so a dead process writes to its own.

    A power cut takes of the write-ahead log only what was not brought to the disk for good (`sync`). Of the newest
    transaction that is written, and of that which is safe, it is known when it began: what came before is in it.
    """

    def __init__(self, world: VirtualWorld, directory: Path, strands: Strands | None = None) -> None:
        self.world = world
        self.strands = strands
        self.fault: DiskFault = ""
        self.written_ms = self.safe_ms = world.now_ms  # in true time
        self._safe_bytes = 0  # of the write-ahead log
        self._unsafe_ms: int | None = None  # when what was written first since the last `sync` was
        self._overdue_ms: int | None = None
        self._rotten: list[RottenFile] = []
        self._root = directory
        self._copies = 0
        self.directory = directory / "0"
        self.directory.mkdir(parents=True)

    def connect(self, *args: Any, **options: Any) -> sqlite3.Connection:
        """Open a database."""
        if self.fault == "io":
            raise _error("unable to open database file", sqlite3.SQLITE_CANTOPEN)
        if self._wal() is None:  # it begins anew
            self._safe_bytes = 0
        disk = self

        class Connection(sqlite3.Connection):
            """A connection that has this disk's troubles."""

            begun_ms = 0

            def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
                if disk.fault and sql.startswith(_WRITES):
                    disk._trouble(sql)
                cursor = disk._waiting(lambda: super(Connection, self).execute(sql, *parameters))
                if sql == "BEGIN IMMEDIATE":
                    self.begun_ms = disk.world.now_ms
                elif sql == "COMMIT" and self.begun_ms:  # else it only read
                    disk._note_commit(self.begun_ms)
                    self.begun_ms = 0
                return cursor

        return sqlite3.connect(*args, **{**options, "timeout": 0.0}, factory=Connection)

    def calm(self) -> None:
        """Let the fault end."""
        self.fault = ""

    def rot(self, dice: random.Random) -> None:
        """Flip a bit of a sealed file, and leave the rest of it as it is, its times too."""
        directory = self.directory / "history"
        sealed = sorted(path for kind in ("events", "prices") for path in directory.glob(f"{kind}/**/*.parquet"))
        if not sealed:
            return
        path = dice.choice(sealed)
        name, before = str(path.relative_to(directory)), path.stat()
        connection = sqlite3.connect(directory / "log.sqlite")
        row = connection.execute("SELECT venue, from_ms, until_ms FROM partitions WHERE path = ?", (name,)).fetchone()
        connection.close()
        if row is None or any(file.path == name for file in self.rotten()):
            return
        _flip(path, dice.randrange(before.st_size))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        venue, from_ms, until_ms = row
        self._rotten.append(RottenFile(name, venue, from_ms, until_ms, path.read_bytes()))

    def rotten(self) -> list[RottenFile]:
        """Return the files that are; one whose list a kill took may have been written anew."""
        directory = self.directory / "history"
        there = [file for file in self._rotten if (directory / file.path).exists()]
        return [file for file in there if (directory / file.path).read_bytes() == file.content]

    def survive(self, damage: Damage) -> None:
        """Become what a kill leaves, with some damage: the newest pages `torn` off, or a `rotten` bit anywhere."""
        self._copies += 1
        self._unsafe_ms = self._overdue_ms = None
        old, self.directory = self.directory, self._root / str(self._copies)
        shutil.copytree(old, self.directory)
        shutil.rmtree(old, ignore_errors=True)
        log = self._wal()
        size = 0 if log is None else log.stat().st_size
        if log is None or size <= _HEADER_BYTES:
            return
        dice, safe_bytes = self.world.dice, min(self._safe_bytes, size)
        if damage == "rotten":
            _flip(log, dice.randrange(_HEADER_BYTES, size))
        elif damage == "torn":
            keep = max(safe_bytes, size - dice.randint(1, 30) * 4_120 - dice.randint(0, 4_119))
            os.truncate(log, keep)
            if dice.random() < 0.5 and (at := keep - dice.randint(1, 4_000)) >= max(safe_bytes, _HEADER_BYTES):
                _flip(log, at)
            self._safe_bytes = keep

    def sync(self, size: int) -> None:
        """Hear that so much of the write-ahead log is on the disk for good."""
        self._safe_bytes, self.safe_ms = size, self.written_ms
        self._unsafe_ms = self._overdue_ms = None

    @property
    def is_unsafe(self) -> bool:
        """Whether somebody goes on writing and brings nothing to the disk for good."""
        return self._overdue_ms is not None and self.world.now_ms - self._overdue_ms > _UNSAFE_MS

    def _note_commit(self, begun_ms: int) -> None:
        now_ms = self.world.now_ms
        self.written_ms = max(self.written_ms, begun_ms)
        self._unsafe_ms = self._unsafe_ms or now_ms
        if now_ms - self._unsafe_ms > _UNSAFE_MS:
            self._overdue_ms = self._overdue_ms or now_ms

    def _wal(self) -> Path | None:
        return next(iter(sorted(self.directory.rglob(_WAL))), None)

    def _waiting(self, work: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        """Do it, and wait in the world's time for whoever writes."""
        for _ in range(_BUSY_ATTEMPTS):
            try:
                return work()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or self.strands is None:
                    raise
                self.strands.sleep(_BUSY_SECONDS)
        return work()

    def _trouble(self, sql: str) -> None:
        if self.fault in {"slow", "stuck"}:
            if sql == "COMMIT" and self.strands is not None:
                while True:
                    self.strands.sleep(_SLOW_SECONDS)
                    if self.fault != "stuck":
                        return
        elif self.fault == "full":
            raise _error("database or disk is full", sqlite3.SQLITE_FULL)
        elif self.fault == "io":
            raise _error("disk I/O error", sqlite3.SQLITE_IOERR)


def _error(text: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


def _flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 0x10]))
