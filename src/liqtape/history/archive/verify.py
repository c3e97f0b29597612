"""Looking at a whole history: every sealed file against its checksum, and the database against itself."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from liqtape.history.archive.soundfiles import SEALED_COLUMNS, SealedFile, SoundFiles
from liqtape.history.log.database import open_for_reading
from liqtape.history.log.layout import DATABASE

__all__ = ["HistoryVerdict", "verify"]


class HistoryVerdict(Struct, frozen=True):
    """How many files are listed, which are damaged or gone, and what SQLite says of the database (empty: whole)."""

    files: int
    damaged: Sequence[str]
    database: str

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found."""
        return not self.damaged and not self.database


def verify(directory: Path) -> HistoryVerdict:
    """Read every file; raises ConfigurationError where there is no history. It may be written to meanwhile.

    SQLite keeps no checksum of its pages: a flipped bit in a number of the last hour or two, which is not sealed yet,
    cannot be found.
    """
    try:
        with closing(open_for_reading(directory)) as connection:
            rows = connection.execute(f"SELECT {SEALED_COLUMNS} FROM partitions ORDER BY until_ms").fetchall()
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        return HistoryVerdict(0, (), f"{DATABASE}: {error}")
    sound = SoundFiles(directory)
    damaged = [file.path for file in sound.damaged(SealedFile(*row) for row in rows)]
    return HistoryVerdict(len(rows), damaged, "" if said == "ok" else f"{DATABASE}: {said}")
