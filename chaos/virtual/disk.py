"""The disk: real SQLite on files in memory, which fill up, fail, are slow, and lose what was not brought to them."""

import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any, Literal

from chaos.virtual.strands import Strands
from chaos.virtual.world import VirtualWorld

__all__ = ["Damage", "DiskFault", "VirtualDisk"]

DiskFault = Literal["", "full", "io", "slow", "stuck"]

Damage = Literal["", "torn", "rotten"]

_WAL = "log.sqlite-wal"
_SLOW_SECONDS = 3.0
_WRITES = ("BEGIN IMMEDIATE", "INSERT", "UPDATE", "DELETE", "COMMIT")


class VirtualDisk:
    """`fault` is what is wrong with it now. The state after a kill is a copy, so a dead process writes to its own."""

    def __init__(self, world: VirtualWorld, directory: Path, strands: Strands | None = None) -> None:
        self.world = world
        self.strands = strands
        self.fault: DiskFault = ""
        self.written_ms = world.now_ms  # when it took something last, in true time
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
                cursor = super().execute(sql, *parameters)
                if sql == "COMMIT":
                    disk.written_ms = disk.world.now_ms
                return cursor

        return sqlite3.connect(*args, **options, factory=Connection)

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
