"""`python -m liqtape.history.archive.maintenance DIR ...`: one round of sealing and retention, in a process of its own.

Its work would take the interpreter away from the feeds, and pyarrow takes 50 MB that nothing else needs. It may be
killed at any time.
"""

import argparse
import importlib.util
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import msgspec
from msgspec import Struct

from liqtape.errors import ConfigurationError
from liqtape.history.archive.archiver import Archiver
from liqtape.history.archive.retention import retain
from liqtape.history.log.layout import SEALING_LOCK
from liqtape.history.log.lock import FileLock
from liqtape.sqlitedamage import is_damage

__all__ = ["DAMAGED", "MaintenanceResult", "can_seal", "main"]

DAMAGED = 3
"""The exit code of a round that found the database damaged."""

_DAY_MS = 86_400_000


class MaintenanceResult(Struct, frozen=True):
    """What a round did: events sealed; files and unsealed events removed."""

    sealed: int
    removed: int


def can_seal() -> bool:
    """Return whether Parquet can be written here."""
    return importlib.util.find_spec("pyarrow") is not None


def main() -> None:
    """Do one round; the answer is one JSON object."""
    options = argparse.ArgumentParser(prog="python -m liqtape.history.archive.maintenance")
    options.add_argument("directory", type=Path)
    options.add_argument("--seal", action="store_true")
    options.add_argument("--days", type=float, required=True)
    options.add_argument("--bytes", type=int, required=True)
    options.add_argument("--now-ms", type=int, default=time.time_ns() // 1_000_000)
    chosen = options.parse_args()
    lock = FileLock(chosen.directory / SEALING_LOCK)
    kept = MaintenanceResult(0, 0)
    if lock.take():  # else one that a killed service left behind is at it
        try:
            kept = _round(chosen)
        except (ConfigurationError, sqlite3.Error) as error:
            if not is_damage(error):
                raise
            sys.stderr.write(f"{error}\n")
            sys.exit(DAMAGED)
        lock.release()
    sys.stdout.buffer.write(msgspec.json.encode(kept))


def _round(chosen: argparse.Namespace) -> MaintenanceResult:
    with closing(Archiver(chosen.directory)) as archiver:
        sealed = archiver.seal(chosen.now_ms) if chosen.seal else 0
        before_ms = round(chosen.now_ms - chosen.days * _DAY_MS)
        return MaintenanceResult(sealed, retain(chosen.directory, archiver.connection, before_ms, chosen.bytes))


if __name__ == "__main__":
    main()
