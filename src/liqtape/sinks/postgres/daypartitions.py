"""A partition or chunk for each day of event time: made ahead and on demand, dropped when it is too old."""

import logging
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from liqtape.postgresql import committed, explained
from liqtape.sinks.postgres.schema import LOCK, Tables
from liqtape.sinks.postgres.sql import sql

if TYPE_CHECKING:
    from asyncpg import Connection

__all__ = ["DAY_MS", "Days", "day_of"]

DAY_MS = 86_400_000
AHEAD = 7
# Days before and behind have a partition in common (plain/001.sql).
_FIRST_DAY = 1_230_768_000_000 // DAY_MS
_END_DAY = 4_102_444_800_000 // DAY_MS
_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '2s'"  # who waits for a lock on all events makes every reader wait behind it
_NAME = re.compile(r"liquidations_(\d{8})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_log = logging.getLogger(__name__)


def day_of(event_ms: int) -> int:
    """Return days since 1970."""
    return event_ms // DAY_MS


class Days:
    """The partitions as this session knows them; nothing to do for those of a hypertable, but to drop old chunks."""

    def __init__(self, connection: "Connection", tables: Tables) -> None:
        self._connection = connection
        self._is_plain = tables.layout == "plain"
        self._days: set[int] = set()

    async def read(self) -> None:
        """Learn which partitions there are."""
        if self._is_plain:
            names = [row["relname"] for row in await self._connection.fetch(sql("plain/partitions"))]
            self._days = {_day_named(found[1]) for found in map(_NAME.fullmatch, names) if found}

    async def ahead(self, now_ms: int) -> None:
        """Make those of today and the next days."""
        await self.need(range(day_of(now_ms), day_of(now_ms) + AHEAD + 1))

    async def need(self, days: Iterable[int]) -> None:
        """Make what is missing of these."""
        if self._is_plain:
            for day in sorted(day for day in set(days) - self._days if _FIRST_DAY <= day < _END_DAY):
                await self._make(day)

    async def _make(self, day: int) -> None:
        name = _name(day)
        async with committed(self._connection):
            await self._connection.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
            await self._connection.execute(_LOCK_TIMEOUT)
            if await self._connection.fetchval("SELECT to_regclass($1) IS NULL", name):
                text = sql("plain/partition").format(name=name, from_ms=day * DAY_MS, until_ms=(day + 1) * DAY_MS)
                await self._connection.execute(text)
        self._days.add(day)

    async def drop_before(self, cutoff_ms: int) -> None:
        """Remove the days that ended before, and what else is older. A day that is just being read waits for later."""
        from asyncpg import LockNotAvailableError

        connection = self._connection
        if not self._is_plain:
            await connection.fetch(sql("timescale/retention"), cutoff_ms)
        for day in sorted(day for day in self._days if (day + 1) * DAY_MS <= cutoff_ms):
            try:
                async with committed(connection):
                    await connection.execute(_LOCK_TIMEOUT)
                    await connection.execute(f"DROP TABLE IF EXISTS {_name(day)}")
            except LockNotAvailableError as error:
                _log.info("history: %s is in use, it is removed later: %s", _name(day), explained(error))
                return
            self._days.discard(day)
        if self._is_plain:
            await connection.execute("DELETE FROM liquidations_before_2009 WHERE event_ms < $1", cutoff_ms)
        await connection.execute("DELETE FROM liq_1m_kept WHERE minute_ms < $1", cutoff_ms)
        await connection.execute("DELETE FROM prices WHERE bar_ms < $1", cutoff_ms)
        await connection.execute("DELETE FROM gaps WHERE until_ms < $1", cutoff_ms)
        await connection.execute("DELETE FROM coverage WHERE down_ms < $1", cutoff_ms)


def _name(day: int) -> str:
    return f"liquidations_{_EPOCH + timedelta(days=day):%Y%m%d}"


def _day_named(date: str) -> int:
    return (datetime.strptime(date, "%Y%m%d").replace(tzinfo=UTC) - _EPOCH).days
