"""Reading a history that a PostgreSQL server keeps."""

import asyncio
import io
import threading
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from liqtape.errors import ConfigurationError
from liqtape.history.log.layout import EVENT_COLUMNS, PRICE_COLUMNS, arrow_schema
from liqtape.postgresql import check_url, connect, explained, failures

if TYPE_CHECKING:
    import pyarrow as pa
    from asyncpg import Connection

__all__ = ["PostgresSource"]

_BAR_MS = 1_000
_ALIVE_MS = 2_000  # the log says every two seconds that it is alive
_ENDED = f"coalesce(down_ms, greatest(up_ms, alive_ms + {_ALIVE_MS}))"

T = TypeVar("T")


class PostgresSource:
    """A `Source` over the tables of the PostgreSQL sink, one session. Any thread may ask, also one whose loop runs.

    Rows come as CSV, which the server writes and Arrow reads faster than a client could make records of them.
    """

    def __init__(self, url: str) -> None:
        check_url(url)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="postgres history", daemon=True)
        self._thread.start()
        try:
            self._connection = self._answer(_opened(url))
        except BaseException:
            self._end()
            raise

    def close(self) -> None:
        """Close the session."""
        if not self._loop.is_closed():
            self._answer(_ended(self._connection))
            self._end()

    def events(
        self,
        from_ms: int,
        until_ms: int,
        instrument: str | None = None,
        venue: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> "pa.Table":
        """Return the events as `Source.events`."""
        conditions = ["event_ms > $1", "event_ms <= $2"]
        values: list[object] = [from_ms, until_ms]
        for name, value in (("instrument", instrument), ("venue", venue)):
            if value is not None:
                values.append(value)
                conditions.append(f"{name} = ${len(values)}")
        if unknown := set(columns or ()) - set(EVENT_COLUMNS):
            raise ValueError(f"no column of events: {', '.join(sorted(unknown))}")
        names = EVENT_COLUMNS if columns is None else tuple(columns)
        where = f"FROM liquidations WHERE {' AND '.join(conditions)} ORDER BY event_ms, seq"
        return self._table("events", dict(zip(names, names, strict=True)), where, values)

    def prices(self, from_ms: int, until_ms: int) -> "pa.Table":
        """Return the bars as `Source.prices`."""
        names = dict(zip(PRICE_COLUMNS, PRICE_COLUMNS, strict=True))
        where = "FROM prices WHERE bar_ms > $1 AND bar_ms <= $2 ORDER BY bar_ms, source"
        return self._table("prices", names, where, [from_ms - _BAR_MS, until_ms - _BAR_MS])

    def gaps(self, from_ms: int, until_ms: int) -> "pa.Table":
        """Return the gaps as `Source.gaps`, of all the logs that write here."""
        names = {name: name for name in arrow_schema("gaps").names}
        where = "FROM gaps WHERE from_ms < $2 AND (until_ms IS NULL OR until_ms > $1) ORDER BY from_ms, venue"
        return self._table("gaps", names, where, [from_ms, until_ms])

    def coverage(self, from_ms: int, until_ms: int) -> "pa.Table":
        """Return the spells as `Source.coverage`, of all the logs that write here."""
        names = {"venue": "venue", "up_ms": "up_ms", "down_ms": _ENDED}
        where = (
            "FROM coverage JOIN liqtape_positions USING (log_id) "
            f"WHERE up_ms < $2 AND {_ENDED} > $1 ORDER BY up_ms, venue"
        )
        return self._table("coverage", names, where, [from_ms, until_ms])

    def _table(self, kind: str, columns: dict[str, str], where: str, values: Sequence[object]) -> "pa.Table":
        """Return the rows with these columns (name: expression)."""
        import pyarrow as pa
        from pyarrow import csv

        known = arrow_schema(kind)
        schema = pa.schema([known.field(name) for name in columns])
        text = io.BytesIO()
        query = f"SELECT {', '.join(columns.values())} {where}"
        self._answer(self._connection.copy_from_query(query, *values, output=text, format="csv"))
        if not text.tell():
            return schema.empty_table()
        text.seek(0)
        return csv.read_csv(
            text,
            # An empty line is a row whose only column is null.
            csv.ReadOptions(column_names=schema.names),
            csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            csv.ConvertOptions(
                column_types=schema,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                true_values=["t"],
                false_values=["f"],
            ),
        )

    def _answer(self, question: Coroutine[Any, Any, T]) -> T:
        try:
            return asyncio.run_coroutine_threadsafe(question, self._loop).result()
        except failures() as error:
            raise ConfigurationError(f"history: PostgreSQL cannot be read: {explained(error)}") from error

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _opened(url: str) -> "Connection":
    connection = await connect(url, None)
    try:
        if await connection.fetchval("SELECT to_regclass('liqtape_migrations') IS NULL"):
            raise ConfigurationError("history: no liqtape has written into this database yet")
    except BaseException:
        await _ended(connection)
        raise
    return connection


async def _ended(connection: "Connection") -> None:
    connection.terminate()
    await asyncio.sleep(0)  # the transport closes its socket in the loop's next turn
