"""One session's writing: batches of events with the position behind them, and the rows beside them."""

import logging
import time
from collections.abc import Sequence
from hashlib import sha256
from operator import attrgetter
from typing import TYPE_CHECKING

from liqtape.errors import SinkError
from liqtape.events import SCHEMA, Liquidation
from liqtape.postgresql import committed, explained, unfit
from liqtape.sinks.postgres.daypartitions import DAY_MS, Days, day_of
from liqtape.sinks.postgres.schema import Tables
from liqtape.sinks.postgres.sql import sql

if TYPE_CHECKING:
    from asyncpg import Connection

__all__ = ["Numbered", "PositionMoved", "Row", "Writer", "fingerprint"]

Numbered = tuple[int, Liquidation]
Row = tuple[object, ...]

_COLUMNS = Liquidation.__struct_fields__
_fields_of = attrgetter(*_COLUMNS)

_log = logging.getLogger(__name__)


class PositionMoved(SinkError):
    """Another session has written for this log meanwhile: begin again from the position it left."""


class Writer:
    """What is written through one session. `position` is the number of the last event that is committed.

    `written` counts events that were new, `repeated` those that were there before, `refused` those that no row can
    hold, each logged.
    """

    def __init__(self, connection: "Connection", tables: Tables, log_id: str) -> None:
        self.position = 0
        self.fingerprint = ""
        self.prices_ms = 0
        self.written = self.repeated = self.refused = 0
        self._connection = connection
        self._log_id = log_id
        self._days = Days(connection, tables)
        self._insert = sql("timescale/write" if tables.can("aggregate") else "common/write")

    async def begin(self) -> None:
        """Find the position, and make what the session and the next days need."""
        await self._connection.execute(
            "INSERT INTO liqtape_positions (log_id) VALUES ($1) ON CONFLICT DO NOTHING", self._log_id
        )
        self.position, self.fingerprint, self.prices_ms = await self._connection.fetchrow(
            "SELECT seq, fingerprint, prices_ms FROM liqtape_positions WHERE log_id = $1", self._log_id
        )
        await self._connection.execute(sql("common/incoming"))
        await self._days.read()

    async def keep(self, retention_days: float) -> None:
        """Do what is due now and then: make the days ahead, remove the old ones."""
        now_ms = time.time_ns() // 1_000_000
        await self._days.ahead(now_ms)
        await self._days.drop_before(now_ms - round(retention_days * DAY_MS))

    async def write(self, events: Sequence[Numbered]) -> None:
        """Write these and move the position, both or neither. What no row can hold is found, logged and passed over."""
        if not events:
            return
        try:
            await self._write(events)
        except unfit() as error:
            if len(events) > 1:
                await self.write(events[: len(events) // 2])
                await self.write(events[len(events) // 2 :])
                return
            ((number, event),) = events
            self.refused += 1
            _log.warning("history: event %s of %s is no row of PostgreSQL: %s", number, event.venue, explained(error))
            async with committed(self._connection):
                await self._move(events[0])
            self.position = number

    async def _write(self, events: Sequence[Numbered]) -> None:
        connection = self._connection
        await self._days.need({day_of(event.event_ms) for _, event in events})
        async with committed(connection):
            await self._move(events[-1])
            await connection.copy_records_to_table(
                "liqtape_incoming",
                records=((*_fields_of(event), number) for number, event in events),
                columns=(*_COLUMNS, "seq"),
            )
            new = await connection.fetchval(self._insert, SCHEMA)
        self.position = events[-1][0]
        self.written += new
        self.repeated += len(events) - new

    async def rewind(self, position: int) -> None:
        """Set the position back: what the log has behind it comes again, and what has an identity is known then."""
        await self._set_position(position, "")
        self.position = position

    async def _move(self, last: Numbered) -> None:
        await self._set_position(last[0], fingerprint(last[1]))

    async def _set_position(self, number: int, event: str) -> None:
        moved = await self._connection.execute(sql("common/position"), self._log_id, self.position, number, event)
        if moved != "UPDATE 1":
            raise PositionMoved("another session has written for this log")

    async def gaps(self, gaps: Sequence[Row], coverage: Sequence[Row], alive_ms: int) -> None:
        """Write gaps and spells as they are known now, all that last among them; the log lived at `alive_ms`."""
        async with committed(self._connection):
            for name, rows in (("gaps", gaps), ("coverage", coverage)):
                await self._connection.executemany(sql(f"common/{name}"), [(self._log_id, *row) for row in rows])
                lasting = [row for row in rows if row[2] is None]
                await self._connection.execute(
                    sql(f"common/{name}_forgotten"),
                    self._log_id,
                    [row[0] for row in lasting],
                    [row[1] for row in lasting],
                )
            await self._connection.execute(sql("common/alive"), self._log_id, alive_ms)

    async def prices(self, bars: Sequence[Row]) -> None:
        """Write bars and remember the last; those written before are replaced."""
        async with committed(self._connection):
            await self._connection.executemany(sql("common/prices"), bars)
            last_ms = bars[-1][0]
            await self._connection.execute(sql("common/prices_position"), self._log_id, last_ms)
        self.prices_ms = int(str(last_ms))


def fingerprint(event: Liquidation) -> str:
    """Return what tells an event again under its number."""
    return sha256(repr(event).encode(errors="surrogatepass")).hexdigest()[:32]
