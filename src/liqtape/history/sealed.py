"""Which events are in sealed files: asked for the few that come after their hour was sealed, as back-filled ones do."""

import logging
import sqlite3
from collections import OrderedDict
from pathlib import Path

from liqtape.events import Liquidation

__all__ = ["SealedIdentities"]

_KEPT_FILES = 8
_NEVER_MS = -(1 << 63)

_log = logging.getLogger(__name__)


class SealedIdentities:
    """The identities in the files of a history; those of the last few files asked are kept in memory."""

    def __init__(self, directory: Path) -> None:
        self.until_ms = _NEVER_MS
        self._directory = directory
        self._files: list[tuple[str, str, int, int]] = []  # venue, path, first and last event_ms
        self._known: OrderedDict[str, set[tuple[int, str]]] = OrderedDict()

    def read(self, connection: sqlite3.Connection) -> None:
        """Learn which files there are."""
        self._files = connection.execute(
            "SELECT venue, path, from_ms, until_ms FROM partitions WHERE kind = 'events'"
        ).fetchall()
        self.until_ms = max((until for *_, until in self._files), default=_NEVER_MS)

    def holds(self, event: Liquidation) -> bool:
        """Whether a file holds the event; one without identity is never the same as another."""
        if not event.id:
            return False
        key = (event.event_ms, event.id)
        return any(
            key in self._identities(path)
            for venue, path, from_ms, until_ms in self._files
            if venue == event.venue and from_ms <= event.event_ms <= until_ms
        )

    def _identities(self, path: str) -> set[tuple[int, str]]:
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = _read_identities(self._directory / path)
            if len(self._known) > _KEPT_FILES:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(path)
        return known


def _read_identities(path: Path) -> set[tuple[int, str]]:
    try:
        import pyarrow.parquet as pq

        table = pq.read_table(path, columns=["event_ms", "id"], partitioning=None)
    except (ImportError, OSError, ValueError) as error:  # the extra was removed since, or the file, or it is broken
        _log.warning("history: %s cannot be read (%s): repeats of its events are not noticed", path, error)
        return set()
    return set(zip(table["event_ms"].to_pylist(), table["id"].to_pylist(), strict=True))
