"""The PostgreSQL sink: follows the local event log, so that an outage costs neither an event nor a moment of a feed."""

import asyncio
import logging
import random
import sqlite3
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from liqtape.errors import LiqtapeError
from liqtape.postgresql import check_url, connected, explained, failures
from liqtape.sinks.postgres.eventsource import EventSource, PostgresHealth
from liqtape.sinks.postgres.schema import Tables, prepare
from liqtape.sinks.postgres.writer import Numbered, PositionMoved, Writer, fingerprint

if TYPE_CHECKING:
    from asyncpg import Connection

__all__ = ["EventSource", "PostgresHealth", "PostgresSink"]

_BATCH_EVENTS = 10_000
_BATCH_BARS = 5_000
_IDLE_SECONDS = 0.25
_ANSWER_SECONDS = 30.0
_BESIDE_SECONDS = 2.0
_KEEP_SECONDS = 3_600.0
_END_SECONDS = 0.5
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 10.0
_REWIND_EVENTS = 1_000_000  # several times what the log may hold unsynced
_OVERLAP_MS = 5_000  # a bar may still be changed so long after its second
_RECENT_MS = 7 * 86_400_000  # a gap may still be backfilled so long after its end

_log = logging.getLogger(__name__)


class PostgresSink:
    """Writes every event of the log into PostgreSQL once, in a task of its own (`run`).

    A batch and the position behind it are one transaction: whatever happens to server or connection, the next session
    goes on behind the last commit. While the server is away the log is the buffer. The first failure of each cause is
    logged, and the recovery.
    """

    name = "postgres"

    def __init__(self, url: str, source: EventSource, *, retention_days: float = 3650.0) -> None:
        check_url(url)
        self.answer_seconds = _ANSWER_SECONDS
        self._url = url
        self._source = source
        self._retention_days = retention_days
        self._state, self._detail, self._since_ms = "closed", "", _wall_ms()
        self._outages = self._missed = 0
        self._past = (0, 0, 0)  # of sessions that ended: written, repeated, refused
        self._position = self._newest = 0
        self._connection: Connection | None = None
        self._writer: Writer | None = None
        self._tables: Tables | None = None
        self._told: set[str] = set()
        self._is_closing = False
        self._wake = asyncio.Event()
        self._done = asyncio.Event()

    def __repr__(self) -> str:
        return f"PostgresSink({self._state})"

    def health(self) -> PostgresHealth:
        """Return state and counts as of now."""
        written, repeated, refused = self._counts()
        return PostgresHealth(
            self._state,
            self._since_ms,
            self._detail,
            self._outages,
            written,
            repeated,
            refused,
            self._missed,
            max(0, self._newest - self._position),
            () if self._tables is None else self._tables.capabilities,
        )

    async def run(self) -> None:
        """Write until `stop`; a server that cannot be used is tried again, at growing intervals."""
        self._done.clear()
        self._become("connecting", "")
        broken: tuple[type[Exception], ...] = (*failures(), sqlite3.Error, LiqtapeError)
        pause = _FIRST_PAUSE
        try:
            while True:
                try:
                    await self._session()
                except PositionMoved as error:
                    _log.info("history: %s; going on from its position", error)
                except broken as error:
                    pause = _FIRST_PAUSE if self._state == "writing" else min(2 * pause, _LONGEST_PAUSE)
                    self._fail(error)
                if self._is_closing:
                    break
                await self._sleep(pause * random.uniform(0.5, 1.0))
                await self._look_at_log(broken)
        finally:
            if self._state != "failing":
                self._become("closed", "")
            await asyncio.to_thread(self._source.close)
            self._done.set()

    async def stop(self, seconds: float = 2.0) -> None:
        """Write what the log has until now, for so long at most; the rest is written by the next run."""
        self._is_closing = True
        self._wake.set()
        if self._state == "closed":
            return
        for wait in (seconds, _END_SECONDS):
            try:
                await asyncio.wait_for(self._done.wait(), wait)
            except TimeoutError:
                if self._connection is not None:
                    self._connection.terminate()
            else:
                return

    async def _session(self) -> None:
        """Run one connection, from the migrations to its end."""
        log_id = await asyncio.to_thread(self._source.log_id)
        async with connected(self._url, self.answer_seconds) as connection:
            self._connection = connection
            try:
                self._tables = await prepare(connection)
                self._writer = writer = Writer(connection, self._tables, log_id)
                await writer.begin()
                await self._check_log(writer)
                self._position = writer.position
                await self._follow(writer)
            finally:
                self._past = self._counts()
                self._writer = self._connection = None

    async def _check_log(self, writer: Writer) -> None:
        """Check that the log still has the event of the position, and step back where it has another.

        A power cut may take the newest events of a log whose commits do not wait for the disk: their numbers are then
        given again, to events that must not be passed over.
        """
        position = writer.position
        if not position:
            return
        found = await asyncio.to_thread(self._source.after, position - 1, 1)
        if found and (found[0][0] > position or fingerprint(found[0][1]) == writer.fingerprint):
            return
        await writer.rewind(max(0, position - _REWIND_EVENTS))
        _log.warning("history: the log is another than before %s, as after a power cut; comparing again", position)

    async def _follow(self, writer: Writer) -> None:
        """Write batch after batch, and read the next one meanwhile, until closed or until anything fails.

            log      read 1 | read 2        | read 3 ...
            server          | write 1, rest | write 2, rest ...

        The rest is what is written at intervals: gaps, price bars, retention. A batch that was read ahead is given up
        with the session; the next one begins behind the server's position.
        """
        await writer.keep(self._retention_days)
        kept = beside = time.monotonic()
        gaps_since_ms = 0
        is_last = self._is_closing  # as it was before the log was read: then nothing comes behind that
        events = await self._next(writer.position)
        while True:
            is_next_last = self._is_closing
            # The log is read while the server writes.
            following = asyncio.create_task(self._next(events[-1][0])) if events else None
            try:
                await self._write(writer, events)
                now = time.monotonic()
                if now - beside >= _BESIDE_SECONDS or not gaps_since_ms or is_last:
                    await self._write_beside(writer, gaps_since_ms)
                    beside, gaps_since_ms = now, _wall_ms() - _RECENT_MS
                self._recover()
                if now - kept >= _KEEP_SECONDS:
                    await writer.keep(self._retention_days)
                    kept = now
            except BaseException:
                if following is not None:
                    following.cancel()
                    await asyncio.gather(following, return_exceptions=True)
                raise
            if following is not None:
                is_last, events = is_next_last, await following
                continue
            if is_last:
                return
            await self._sleep(_IDLE_SECONDS)
            is_last = self._is_closing
            events = await self._next(writer.position)

    async def _next(self, position: int) -> list[Numbered]:
        events = await asyncio.to_thread(self._source.after, position, _BATCH_EVENTS)
        if len(events) < _BATCH_EVENTS:
            self._newest = events[-1][0] if events else position
        else:
            self._newest = await asyncio.to_thread(self._source.last_seq)
        return events

    async def _write(self, writer: Writer, events: Sequence[Numbered]) -> None:
        if not events:
            return
        before = writer.position
        try:
            await writer.write(events)
        finally:
            self._position = writer.position
        missed = events[-1][0] - before - len(events)  # numbers are never left out but by retention
        if missed:
            self._missed += missed
            _log.error("history: %s events were removed from the log before PostgreSQL had them", missed)

    async def _write_beside(self, writer: Writer, gaps_since_ms: int) -> None:
        source = self._source
        alive_ms = await asyncio.to_thread(source.alive_ms)
        gaps = await asyncio.to_thread(source.gaps, gaps_since_ms)
        await writer.gaps(gaps, await asyncio.to_thread(source.coverage, gaps_since_ms), alive_ms)
        bars = await asyncio.to_thread(source.prices, writer.prices_ms - _OVERLAP_MS, _BATCH_BARS)
        if bars:
            await writer.prices(bars)

    def _counts(self) -> tuple[int, int, int]:
        written, repeated, refused = self._past
        if (writer := self._writer) is None:
            return self._past
        return written + writer.written, repeated + writer.repeated, refused + writer.refused

    async def _look_at_log(self, broken: tuple[type[Exception], ...]) -> None:
        """See how far behind it is while nothing can be written."""
        try:
            self._newest = max(self._newest, await asyncio.to_thread(self._source.last_seq))
        except broken as error:
            self._fail(error)

    async def _sleep(self, seconds: float) -> None:
        """Sleep so long at most: `stop` ends it."""
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            return

    def _fail(self, error: Exception) -> None:
        text = explained(error)
        cause = f"{type(error).__name__} {getattr(error, 'sqlstate', '')}"
        if cause not in self._told:
            self._told.add(cause)
            _log.warning("history: PostgreSQL cannot be written: %s; events wait in the local log", text)
        if self._state != "failing":
            self._outages += 1
        self._become("failing", text)

    def _recover(self) -> None:
        if self._state == "failing":
            _log.warning("history: PostgreSQL is written again, %s events behind", self._newest - self._position)
            self._told.clear()
        if self._state != "writing":
            self._become("writing", "")

    def _become(self, state: str, detail: str) -> None:
        if state != self._state:
            self._since_ms = _wall_ms()
        self._state, self._detail = state, detail


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
