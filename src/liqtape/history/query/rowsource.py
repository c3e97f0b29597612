"""Reading a history as plain columns: without the extra `analysis` as far as the log reaches, with it all of it."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from liqtape.errors import ConfigurationError, MissingExtra
from liqtape.history.log.database import open_for_reading, transaction

if TYPE_CHECKING:
    from liqtape.history.query.source import Source

__all__ = ["ArrowRows", "LogRows", "RowSource"]

Columns = dict[str, list[Any]]
"""Lists of equal length by the name of the column, in its order."""

_GAPS = ("venue", "from_ms", "until_ms", "reason", "filled")
_SPELLS = ("venue", "up_ms", "down_ms")
_ALIVE_MS = 2_000  # the log says once a second that it is alive


class RowSource(Protocol):
    """Where past liquidations are read; intervals are (from, until] in ms, as those of `Source`."""

    def events(
        self, from_ms: int, until_ms: int, instrument: str | None, venue: str | None, columns: Sequence[str]
    ) -> Columns:
        """Events by `event_ms`, those of one millisecond as they were accepted."""
        ...

    def gaps(self, from_ms: int, until_ms: int) -> Columns:
        """The gaps that reach into the interval."""
        ...

    def coverage(self, from_ms: int, until_ms: int) -> Columns:
        """The spells in which feeds were live that reach into the interval."""
        ...

    def close(self) -> None:
        """Give files and connections back."""
        ...


class LogRows:
    """The log alone, of a directory none of whose hours of the interval is sealed; else it raises MissingExtra."""

    def __init__(self, directory: Path) -> None:
        try:
            self._connection = open_for_reading(directory.expanduser())
        except sqlite3.Error as error:
            raise ConfigurationError(f"history: {directory} cannot be read: {error}") from error

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def events(
        self, from_ms: int, until_ms: int, instrument: str | None, venue: str | None, columns: Sequence[str]
    ) -> Columns:
        """As `RowSource.events`."""
        with transaction(self._connection, "DEFERRED"):
            sealed = "SELECT 1 FROM partitions WHERE kind = 'events' AND until_ms > ? AND from_ms <= ? LIMIT 1"
            if self._connection.execute(sealed, (from_ms, until_ms)).fetchone():
                raise MissingExtra("the history has sealed hours there; reading them", "analysis")
            rows = self._connection.execute(
                f"SELECT {', '.join(columns)} FROM unsealed_events WHERE event_ms > ? AND event_ms <= ? "
                "AND (?3 IS NULL OR instrument = ?3) AND (?4 IS NULL OR venue = ?4) ORDER BY event_ms, seq",
                (from_ms, until_ms, instrument, venue),
            ).fetchall()
        return _columns(columns, rows)

    def gaps(self, from_ms: int, until_ms: int) -> Columns:
        """As `RowSource.gaps`."""
        rows = self._connection.execute(
            f"SELECT {', '.join(_GAPS)} FROM gaps WHERE from_ms < ?2 AND coalesce(until_ms, ?2) > ?1 "
            "ORDER BY from_ms, venue",
            (from_ms, until_ms),
        )
        return _columns(_GAPS, [(*row, bool(filled)) for *row, filled in rows])

    def coverage(self, from_ms: int, until_ms: int) -> Columns:
        """As `RowSource.coverage`."""
        rows = self._connection.execute(
            "SELECT venue, up_ms, coalesce(down_ms, max(up_ms, alive)) AS until_ms "
            f"FROM coverage, (SELECT value + {_ALIVE_MS} AS alive FROM meta WHERE key = 'alive_ms') "
            "WHERE up_ms < ?2 AND until_ms > ?1 ORDER BY up_ms, venue",
            (from_ms, until_ms),
        ).fetchall()
        return _columns(_SPELLS, rows)


class ArrowRows:
    """What a `Source` gives, as plain columns."""

    def __init__(self, source: "Source") -> None:
        self._source = source

    def close(self) -> None:
        """Leave the source to whoever opened it."""

    def events(
        self, from_ms: int, until_ms: int, instrument: str | None, venue: str | None, columns: Sequence[str]
    ) -> Columns:
        """As `RowSource.events`."""
        table = self._source.events(from_ms, until_ms, instrument, venue, columns)
        if "event_ms" in columns:
            table = table.take(_order(table["event_ms"]))
        return {name: table[name].to_pylist() for name in columns}

    def gaps(self, from_ms: int, until_ms: int) -> Columns:
        """As `RowSource.gaps`."""
        return _plain(self._source.gaps(from_ms, until_ms))

    def coverage(self, from_ms: int, until_ms: int) -> Columns:
        """As `RowSource.coverage`."""
        return _plain(self._source.coverage(from_ms, until_ms))


def _order(times: Any) -> Any:
    import numpy as np

    return np.argsort(times.to_numpy(), kind="stable")


def _plain(table: Any) -> Columns:
    return {name: table[name].to_pylist() for name in table.column_names}


def _columns(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Columns:
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)) if rows else {name: [] for name in names}
