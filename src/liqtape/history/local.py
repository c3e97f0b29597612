"""Reading the local history: the newest hours from SQLite, the sealed ones from Parquet, each event exactly once."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liqtape.errors import ConfigurationError
from liqtape.history.database import open_for_reading, transaction
from liqtape.history.layout import EVENT_COLUMNS, PRICE_COLUMNS, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LocalSource"]

_ATTEMPTS = 5
_BAR_MS = 1_000
_SLACK_MS = 2 * 3_600_000  # an event is logged after it happened, by clocks that differ by less than an hour
_TEXTS = ("venue", "instrument", "symbol", "side", "price_kind", "source")  # few different values: read as codes


class LocalSource:
    """A `Source` over the directory of a log, which may be written to, sealed and trimmed meanwhile."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.expanduser()
        try:
            self._connection = open_for_reading(self._directory)
        except sqlite3.Error as error:
            raise ConfigurationError(f"history: {self._directory} cannot be read: {error}") from error

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
        """As `Source.events`; text columns are dictionary-encoded."""
        wanted = list(EVENT_COLUMNS if columns is None else columns)
        only = {name: value for name, value in (("instrument", instrument), ("venue", venue)) if value is not None}
        # What happened later than `from_ms` was logged behind the hours that were over well before.
        logged = "seq > (SELECT coalesce(max(last_seq), 0) FROM hours WHERE hour_ms <= ?)"
        return self._read(
            "events",
            ("event_ms", "seq"),
            (from_ms, until_ms),
            wanted,
            only,
            (logged, (from_ms - _SLACK_MS - 3_600_000,)),
        )

    def gaps(self, from_ms: int, until_ms: int) -> "pa.Table":
        """As `Source.gaps`."""
        rows = self._rows(
            "SELECT venue, from_ms, until_ms, reason, filled FROM gaps "
            "WHERE from_ms < ? AND coalesce(until_ms, from_ms + 1, ?) > ? ORDER BY from_ms, venue",
            (until_ms, until_ms, from_ms),
        )
        return _table(arrow_schema("gaps"), [(*row[:-1], bool(row[-1])) for row in rows])

    def coverage(self, from_ms: int, until_ms: int) -> "pa.Table":
        """As `Source.coverage`."""
        rows = self._rows(
            "SELECT venue, up_ms, down_ms FROM coverage WHERE up_ms < ? AND coalesce(down_ms, ?) > ? "
            "ORDER BY up_ms, venue",
            (until_ms, until_ms, from_ms),
        )
        return _table(arrow_schema("coverage"), rows)

    def prices(self, from_ms: int, until_ms: int) -> "pa.Table":
        """As `Source.prices`."""
        span = (from_ms - _BAR_MS, until_ms - _BAR_MS)
        return self._read("prices", ("bar_ms", "source"), span, list(PRICE_COLUMNS), {}, ("true", ()))

    def _rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, values).fetchall()

    def _read(
        self,
        kind: str,
        order: tuple[str, str],
        span: tuple[int, int],
        wanted: list[str],
        only: dict[str, str],
        logged: tuple[str, tuple[int, ...]],
    ) -> "pa.Table":
        """The rows of a kind with their time in (from, until], from both places as of one moment, in order."""
        time = order[0]
        names = [name for name in arrow_schema(kind).names if name in {*wanted, *order, *only}]
        conditions = [logged[0], f"{time} > ?", f"{time} <= ?", *(f"{name} = ?" for name in only)]
        venue = only.get("venue")
        for attempt in range(1, _ATTEMPTS + 1):
            with transaction(self._connection, "DEFERRED"):
                paths = self._rows(
                    "SELECT path FROM partitions WHERE kind = ? AND until_ms > ? AND from_ms <= ? "
                    "AND (?4 IS NULL OR venue = ?4) ORDER BY first_seq, from_ms",
                    (kind, *span, venue),
                )
                rows = self._rows(
                    f"SELECT {', '.join(names)} FROM unsealed_{kind} WHERE {' AND '.join(conditions)}",
                    (*logged[1], *span, *only.values()),
                )
            try:
                sealed = self._sealed([path for (path,) in paths], kind, names, time, span, only)
            except FileNotFoundError:  # retention was quicker; the list no longer names the file
                if attempt == _ATTEMPTS:
                    raise
                continue
            return _ordered(_joined(sealed, _table(_schema(kind, names), rows)), order).select(wanted)
        raise AssertionError

    def _sealed(
        self,
        paths: Sequence[str],
        kind: str,
        names: list[str],
        time: str,
        span: tuple[int, int],
        only: dict[str, str],
    ) -> "pa.Table | None":
        if not paths:
            return None
        import pyarrow.dataset as ds

        texts = [name for name in names if name in _TEXTS]
        form = ds.ParquetFileFormat(read_options=ds.ParquetReadOptions(dictionary_columns=texts))
        files = [str(self._directory / path) for path in paths]
        chosen = (ds.field(time) > span[0]) & (ds.field(time) <= span[1])
        for name, value in only.items():
            chosen &= ds.field(name) == value
        return ds.dataset(files, schema=_schema(kind, names), format=form).to_table(columns=names, filter=chosen)


def _schema(kind: str, names: Sequence[str]) -> "pa.Schema":
    import pyarrow as pa

    codes = pa.dictionary(pa.int32(), pa.string())
    fields = (arrow_schema(kind).field(name) for name in names)
    return pa.schema([field.with_type(codes) if field.name in _TEXTS else field for field in fields])


def _table(schema: "pa.Schema", rows: Sequence[Sequence[object]]) -> "pa.Table":
    import pyarrow as pa

    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    plain = [field.type.value_type if pa.types.is_dictionary(field.type) else field.type for field in schema]
    arrays = [pa.array(column, kind) for column, kind in zip(columns, plain, strict=True)]
    return pa.Table.from_arrays(arrays, names=schema.names).cast(schema)


def _joined(sealed: "pa.Table | None", newest: "pa.Table") -> "pa.Table":
    import pyarrow as pa

    return newest if sealed is None else pa.concat_tables([sealed, newest])


def _ordered(table: "pa.Table", order: tuple[str, str]) -> "pa.Table":
    """By both columns, where it is not so already: the parts are, so that sorting them is merging."""
    import numpy as np

    first, second = (table[name] for name in order)
    times = first.to_numpy()
    if order[1] == "seq":
        places = np.lexsort((second.to_numpy(), times))
    else:
        places = np.argsort(times, kind="stable")
    return table if bool((places[1:] > places[:-1]).all()) else table.take(places)
