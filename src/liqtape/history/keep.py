"""`python -m liqtape.history.keep DIR ...`: one round of sealing and retention, in a process of its own.

Its work would take the interpreter away from the feeds, and pyarrow takes 50 MB that nothing else needs. It may be
killed at any time.
"""

import argparse
import importlib.util
import sys
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from liqtape.history.layout import SEALING_LOCK
from liqtape.history.lock import FileLock
from liqtape.history.retention import retain
from liqtape.history.sealing import Sealing

__all__ = ["Kept", "can_seal", "main"]

_DAY_MS = 86_400_000


class Kept(Struct, frozen=True):
    """What a round did: events sealed; files and unsealed events removed."""

    sealed: int
    removed: int


def can_seal() -> bool:
    """Whether Parquet can be written here."""
    return importlib.util.find_spec("pyarrow") is not None


def main() -> None:
    """The round; the answer is one JSON object."""
    options = argparse.ArgumentParser(prog="python -m liqtape.history.keep")
    options.add_argument("directory", type=Path)
    options.add_argument("--seal", action="store_true")
    options.add_argument("--days", type=float, required=True)
    options.add_argument("--bytes", type=int, required=True)
    options.add_argument("--now-ms", type=int, default=time.time_ns() // 1_000_000)
    chosen = options.parse_args()
    lock = FileLock(chosen.directory / SEALING_LOCK)
    kept = Kept(0, 0)
    if lock.take():  # else one that a killed service left behind is at it
        sealing = Sealing(chosen.directory)
        sealed = sealing.seal(chosen.now_ms) if chosen.seal else 0
        before_ms = round(chosen.now_ms - chosen.days * _DAY_MS)
        kept = Kept(sealed, retain(chosen.directory, sealing.connection, before_ms, chosen.bytes))
        sealing.close()
        lock.release()
    sys.stdout.buffer.write(msgspec.json.encode(kept))


if __name__ == "__main__":
    main()
