"""Reading the local history: the newest hours from SQLite, the sealed ones from files, each event exactly once."""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liqtape.errors import ConfigurationError
from liqtape.history.archive.archivereader import ArchiveReader, encoded_schema
from liqtape.history.log.database import open_for_reading, transaction
from liqtape.history.log.layout import EVENT_COLUMNS, PRICE_COLUMNS, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LocalSource"]

_ATTEMPTS = 5
_BAR_MS = 1_000
_HOUR_MS = 3_600_000
_ALIVE_MS = 2_000  # the log says once a second that it is alive


class LocalSource:
    """A `Source` over the directory of a log, which may be written to, sealed and trimmed meanwhile."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.expanduser()
        try:
            self._connection = open_for_reading(self._directory)
        except sqlite3.Error as error:
            raise ConfigurationError(f"history: {self._directory} cannot be read: {error}") from error
        self._files = ArchiveReader(self._directory)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def events(
        self,
        from_ms: int,
        until_ms: int,
        instrument: str | None = None,
        venue: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> "pa.Table":
        """Return the events as `Source.events`; text columns are dictionary-encoded."""
        only = {name: value for name, value in (("instrument", instrument), ("venue", venue)) if value is not None}
        span = (from_ms, until_ms)
        if columns is not None:
            names = list(dict.fromkeys([*columns, *only, "event_ms"]))
            return self._read("events", names, span, only).select(list(columns))
        table = self._read("events", ["seq", *EVENT_COLUMNS], span, only)
        return table.sort_by([("event_ms", "ascending"), ("seq", "ascending")]).drop_columns(["seq"])

    def prices(self, from_ms: int, until_ms: int) -> "pa.Table":
        """Return the bars as `Source.prices`."""
        table = self._read("prices", PRICE_COLUMNS, (from_ms - _BAR_MS, until_ms - _BAR_MS), {})
        return table.cast(arrow_schema("prices")).sort_by([("bar_ms", "ascending"), ("source", "ascending")])

    def gaps(self, from_ms: int, until_ms: int) -> "pa.Table":
        """Return the gaps as `Source.gaps`."""
        rows = self._rows(
            "SELECT venue, from_ms, until_ms, reason, filled FROM gaps "
            "WHERE from_ms < ? AND coalesce(until_ms, ?) > ? ORDER BY from_ms, venue",
            (until_ms, until_ms, from_ms),
        )
        return _table(arrow_schema("gaps"), [(*row, bool(filled)) for *row, filled in rows])

    def coverage(self, from_ms: int, until_ms: int) -> "pa.Table":
        """Return the spells as `Source.coverage`."""
        rows = self._rows(
            "SELECT venue, up_ms, coalesce(down_ms, max(up_ms, alive)) AS until_ms "
            "FROM coverage, (SELECT value + ? AS alive FROM meta WHERE key = 'alive_ms') "
            "WHERE up_ms < ? AND until_ms > ? ORDER BY up_ms, venue",
            (_ALIVE_MS, until_ms, from_ms),
        )
        return _table(arrow_schema("coverage"), rows)

    def _rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, values).fetchall()

    def _read(self, kind: str, names: Sequence[str], span: tuple[int, int], only: Mapping[str, str]) -> "pa.Table":
        """Return the rows of a kind with their time in (from, until], from both places as of one moment."""
        import pyarrow as pa

        time = "event_ms" if kind == "events" else "bar_ms"
        for _ in range(_ATTEMPTS):
            with transaction(self._connection, "DEFERRED"):
                paths = self._rows(
                    "SELECT path FROM partitions WHERE kind = ?1 AND until_ms > ?2 AND from_ms <= ?3 "
                    "AND (?4 IS NULL OR venue = ?4) ORDER BY first_seq, from_ms",
                    (kind, *span, only.get("venue")),
                )
                rows = self._unsealed(kind, names, time, span, only)
            newest = _table(encoded_schema(kind, names), rows)
            if not paths:
                return newest
            try:
                sealed = self._files.read(kind, [path for (path,) in paths], names, time, span, only)
            except FileNotFoundError:  # retention was quicker; the list no longer names the file
                continue
            return pa.concat_tables([sealed, newest])
        raise ConfigurationError(f"history: {self._directory}: files of the list are not there")

    def _unsealed(
        self, kind: str, names: Sequence[str], time: str, span: tuple[int, int], only: Mapping[str, str]
    ) -> list[tuple[Any, ...]]:
        conditions = [f"{time} > ?", f"{time} <= ?", *(f"{name} = ?" for name in only)]
        values: list[object] = [*span, *only.values()]
        if kind == "events":
            # What happened later than `from_ms` was logged behind the hours that were over well before: clocks differ
            # by less than an hour.
            conditions.append("seq > (SELECT coalesce(max(last_seq), 0) FROM hours WHERE hour_ms <= ?)")
            values.append(span[0] - 2 * _HOUR_MS)
        return self._rows(f"SELECT {', '.join(names)} FROM unsealed_{kind} WHERE {' AND '.join(conditions)}", values)


def _table(schema: "pa.Schema", rows: Sequence[Sequence[object]]) -> "pa.Table":
    import pyarrow as pa

    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    kinds = [field.type.value_type if pa.types.is_dictionary(field.type) else field.type for field in schema]
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    return pa.Table.from_arrays(arrays, names=schema.names).cast(schema)
