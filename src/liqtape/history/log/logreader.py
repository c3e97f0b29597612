"""The log as a sink sees that follows it: events by number, and the rows beside them."""

from pathlib import Path
from typing import Any

from liqtape.errors import MissingExtra
from liqtape.history.archive.soundfiles import SEALED_COLUMNS, SealedFile
from liqtape.history.log.database import transaction
from liqtape.history.log.follow import Follower
from liqtape.history.log.layout import PRICE_COLUMNS

__all__ = ["LogReader"]

Row = tuple[object, ...]
_BARS = ", ".join(PRICE_COLUMNS)


class LogReader(Follower):
    """Reads files: call it in a thread. Raises sqlite3.Error, OSError or LiqtapeError while the disk does not let it.

    Rows are as in the tables, in the order of their columns.
    """

    def log_id(self) -> str:
        """Return which log this is: another one after its directory was removed."""
        return str(self._value("log_id"))

    def alive_ms(self) -> int:
        """Return the moment up to which all events received are in the log."""
        return int(str(self._value("alive_ms")))

    def gaps(self, since_ms: int) -> list[Row]:
        """Return the gaps that last or ended since then, as far as is known now."""
        rows = self._rows("SELECT * FROM gaps WHERE until_ms IS NULL OR until_ms >= ?", since_ms)
        return [(*rest, bool(filled)) for *rest, filled in rows]

    def coverage(self, since_ms: int) -> list[Row]:
        """Return the spells that last or ended since then."""
        return self._rows("SELECT * FROM coverage WHERE down_ms IS NULL OR down_ms >= ?", since_ms)

    def prices(self, since_ms: int, limit: int) -> list[Row]:
        """Return at least `limit` bars from there on where there are so many, oldest first, sealed ones included."""
        with self._lock:
            connection = self._open()
            with transaction(connection, "DEFERRED"):
                sealed = connection.execute(
                    f"SELECT {SEALED_COLUMNS} FROM partitions "
                    "WHERE kind = 'prices' AND until_ms >= ? ORDER BY until_ms",
                    (since_ms,),
                ).fetchall()
                unsealed = connection.execute(
                    f"SELECT {_BARS} FROM unsealed_prices WHERE bar_ms >= ? ORDER BY bar_ms, source", (since_ms,)
                ).fetchall()
        bars: list[Row] = []
        for file in self.sound.sound(SealedFile(*row) for row in sealed):
            if len(bars) >= limit:
                return bars
            bars += _read(self._directory / file.path, since_ms)
        return bars + unsealed

    def _value(self, key: str) -> object:
        return self._rows("SELECT value FROM meta WHERE key = ?", key)[0][0]

    def _rows(self, statement: str, *values: object) -> list[Row]:
        with self._lock:
            return self._open().execute(statement, values).fetchall()


def _read(path: Path, since_ms: int) -> list[Row]:
    """Return the bars of a sealed file, at most a day."""
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtra("reading sealed prices", "analysis") from error

    table: Any = pq.read_table(
        path, columns=list(PRICE_COLUMNS), filters=[("bar_ms", ">=", since_ms)], partitioning=None
    )
    return sorted(zip(*(column.to_pylist() for column in table.columns), strict=True))
