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
_SLOW_SECONDS = 3.0
_BUSY_SECONDS, _BUSY_ATTEMPTS = 0.05, 100
_WRITES = ("BEGIN IMMEDIATE", "INSERT", "UPDATE", "DELETE", "COMMIT")


class RottenFile(Struct, frozen=True):
    """A sealed file with a flipped bit, first and last time of its rows, and what is in it now."""

    path: str
    venue: str | None
    from_ms: int
    until_ms: int
    content: bytes


class VirtualDisk:
    """`fault` is what is wrong with it now. The state after a kill is a copy, so a dead process writes to its own."""

    def __init__(self, world: VirtualWorld, directory: Path, strands: Strands | None = None) -> None:
        self.world = world
        self.strands = strands
        self.fault: DiskFault = ""
        self.written_ms = world.now_ms  # when it took something last, in true time
        self._rotten: list[RottenFile] = []
        self._root = directory
        self._copies = 0
        self.directory = directory / "0"
        self.directory.mkdir(parents=True)

    def connect(self, *args: Any, **options: Any) -> sqlite3.Connection:
        """Open a database."""
        if self.fault == "io":
            raise _error("unable to open database file", sqlite3.SQLITE_CANTOPEN)
        disk = self

        class Connection(sqlite3.Connection):
            """A connection that has this disk's troubles."""

            def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
                if disk.fault and sql.startswith(_WRITES):
                    disk._trouble(sql)
                cursor = disk._waiting(lambda: super(Connection, self).execute(sql, *parameters))
                if sql == "COMMIT":
                    disk.written_ms = disk.world.now_ms
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
        old, self.directory = self.directory, self._root / str(self._copies)
        shutil.copytree(old, self.directory)
        shutil.rmtree(old, ignore_errors=True)
        log = self._wal()
        if log is None:
            return
        if damage == "rotten":
            _flip(log, self.world.dice.randrange(32, log.stat().st_size))
        elif damage == "torn":
            size = log.stat().st_size
            # The last ten seconds are not promised; their pages are few, and of one log file only.
            keep = max(0, size - self.world.dice.randint(1, 30) * 4_120 - self.world.dice.randint(0, 4_119))
            os.truncate(log, keep)
            if keep > 4_200 and self.world.dice.random() < 0.5:
                _flip(log, keep - self.world.dice.randint(1, 4_000))

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
