"""Which events are in sealed files: asked for the few that come after their hour was sealed, as backfilled ones do."""

import logging
import sqlite3
from collections import OrderedDict
from pathlib import Path

from liqtape.events import Liquidation
from liqtape.history.archive.soundfiles import SEALED_COLUMNS, SealedFile, SoundFiles

__all__ = ["ArchivedIds"]

_KEPT_FILES = 8
_NEVER_MS = -(1 << 63)

_log = logging.getLogger(__name__)


class ArchivedIds:
    """The identities in the files of a history; those of the last few files asked are kept in memory."""

    def __init__(self, directory: Path, connection: sqlite3.Connection) -> None:
        self.until_ms = _NEVER_MS
        self._directory = directory
        self._connection = connection
        self._sound = SoundFiles(directory)
        self._known: OrderedDict[str, set[tuple[int, str]]] = OrderedDict()

    def look(self) -> None:
        """Learn until when there are files."""
        (until_ms,) = self._connection.execute("SELECT max(until_ms) FROM partitions WHERE kind = 'events'").fetchone()
        self.until_ms = _NEVER_MS if until_ms is None else until_ms

    def holds(self, event: Liquidation) -> bool:
        """Return whether a file holds the event; one without identity is never the same as another."""
        if not event.id:
            return False
        files = self._connection.execute(
            f"SELECT {SEALED_COLUMNS} FROM partitions "
            "WHERE kind = 'events' AND until_ms >= ?1 AND from_ms <= ?1 AND venue = ?2",
            (event.event_ms, event.venue),
        ).fetchall()
        return any((event.event_ms, event.id) in self._identities(SealedFile(*row)) for row in files)

    def _identities(self, file: SealedFile) -> set[tuple[int, str]]:
        path = file.path
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = self._read(file)
            if len(self._known) > _KEPT_FILES:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(path)
        return known

    def _read(self, file: SealedFile) -> set[tuple[int, str]]:
        try:
            if self._sound.complaint(file):
                return set()
        except FileNotFoundError:
            return set()
        return _read_identities(self._directory / file.path)


def _read_identities(path: Path) -> set[tuple[int, str]]:
    try:
        import pyarrow.parquet as pq

        table = pq.read_table(path, columns=["event_ms", "id"], partitioning=None)
    except (ImportError, OSError, ValueError) as error:  # the extra was removed since, or the file, or it is broken
        _log.warning("history: %s cannot be read (%s): repeats of its events are not noticed", path, error)
        return set()
    return set(zip(table["event_ms"].to_pylist(), table["id"].to_pylist(), strict=True))
