"""Reading the local history: the newest hours from SQLite, the sealed ones from files, each event exactly once."""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liqtape.errors import ConfigurationError
from liqtape.history.archive.archivereader import ArchiveReader, encoded_schema
from liqtape.history.archive.soundfiles import SEALED_COLUMNS, SealedFile, SoundFiles
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
        self._sound = SoundFiles(self._directory)

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
        """Return the gaps as `Source.gaps`; the time of a damaged file is one."""
        rows = self._rows(
            "SELECT venue, from_ms, until_ms, reason, filled FROM gaps "
            "WHERE from_ms < ? AND coalesce(until_ms, ?) > ? ORDER BY from_ms, venue",
            (until_ms, until_ms, from_ms),
        )
        found = [(*row, bool(filled)) for *row, filled in rows]
        holes = [
            (file.venue, file.from_ms - 1, file.until_ms, f"damaged file {file.path}", False)
            for file in self._damaged(from_ms, until_ms)
        ]
        if holes:
            found = sorted([*found, *holes], key=lambda gap: (gap[1], str(gap[0])))
        return _table(arrow_schema("gaps"), found)

    def coverage(self, from_ms: int, until_ms: int) -> "pa.Table":
        """Return the spells as `Source.coverage`, without the time of damaged files."""
        rows = self._rows(
            "SELECT venue, up_ms, coalesce(down_ms, max(up_ms, alive)) AS until_ms "
            "FROM coverage, (SELECT value + ? AS alive FROM meta WHERE key = 'alive_ms') "
            "WHERE up_ms < ? AND until_ms > ? ORDER BY up_ms, venue",
            (_ALIVE_MS, until_ms, from_ms),
        )
        for file in self._damaged(from_ms, until_ms):
            rows = [spell for row in rows for spell in _without(row, file)]
        return _table(arrow_schema("coverage"), rows)

    def _damaged(self, from_ms: int, until_ms: int) -> list[SealedFile]:
        """Return the damaged files of events that reach into the interval."""
        return self._sound.damaged(self._listed("events", (from_ms, until_ms), None))

    def _listed(self, kind: str, span: tuple[int, int], venue: str | None) -> list[SealedFile]:
        rows = self._rows(
            f"SELECT {SEALED_COLUMNS} FROM partitions WHERE kind = ?1 AND until_ms > ?2 AND from_ms <= ?3 "
            "AND (?4 IS NULL OR venue = ?4) ORDER BY first_seq, from_ms",
            (kind, *span, venue),
        )
        return [SealedFile(*row) for row in rows]

    def _rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, values).fetchall()

    def _read(self, kind: str, names: Sequence[str], span: tuple[int, int], only: Mapping[str, str]) -> "pa.Table":
        """Return the rows of a kind with their time in (from, until], from both places as of one moment."""
        import pyarrow as pa

        time = "event_ms" if kind == "events" else "bar_ms"
        for attempt in range(_ATTEMPTS):
            with transaction(self._connection, "DEFERRED"):
                files = self._listed(kind, span, only.get("venue"))
                rows = self._unsealed(kind, names, time, span, only)
            newest = _table(encoded_schema(kind, names), rows)
            if attempt == _ATTEMPTS - 1:  # what the list goes on to name and is not there is damaged
                gone = self._sound.damaged(files)
                files = [file for file in files if file not in gone]
            try:
                paths = [file.path for file in self._sound.sound(files)]
                if not paths:
                    return newest
                sealed = self._files.read(kind, paths, names, time, span, only)
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


def _without(spell: tuple[Any, ...], file: SealedFile) -> list[tuple[Any, ...]]:
    """Return what is left of a spell in which a venue was live: before the rows of a file, and after them."""
    venue, up_ms, down_ms = spell
    if venue != file.venue or file.until_ms <= up_ms or file.from_ms > down_ms:
        return [spell]
    rest = [(venue, up_ms, min(down_ms, file.from_ms - 1)), (venue, max(up_ms, file.until_ms), down_ms)]
    return [(name, begin, end) for name, begin, end in rest if begin < end]


def _table(schema: "pa.Schema", rows: Sequence[Sequence[object]]) -> "pa.Table":
    import pyarrow as pa

    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    kinds = [field.type.value_type if pa.types.is_dictionary(field.type) else field.type for field in schema]
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    return pa.Table.from_arrays(arrays, names=schema.names).cast(schema)
