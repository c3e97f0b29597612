"""The stream: what changed is encoded once, four times a second, and the same bytes go to every reader."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from heapq import nlargest

import msgspec

from liqtape.events import Liquidation, VelocityMetrics, VenueHealth
from liqtape.web.answers import InstrumentRow, NowAnswer
from liqtape.web.board import Board
from liqtape.web.nowof import now_of
from liqtape.web.streammessages import Snapshot, Update
from liqtape.web.streamreader import Message, StreamReader

__all__ = ["Broadcast"]

MOST_READERS = 100

_EVERY_SECONDS = 0.25
_SECOND = 4  # of these steps
_UNREAD = 20  # the same, for the price while nobody reads
_WRITES_AT_ONCE = 5
_RING_MESSAGES, _RING_BYTES = 240, 8 << 20  # a minute, and a bound on its memory
_MOST_EVENTS, _MOST_ROWS, _ROWS_AT_ONCE = 500, 60, 20
_SNAPSHOT_EVENTS, _SNAPSHOT_ALERTS = 500, 200
_LINGER_SECONDS = 60.0  # how long the ring goes on without a reader


class Broadcast:
    """The loop that pulls the news and tells the readers; `run` it as a task.

    A message's id is `run-number-total`: of a number still in the ring the reader gets what came after it, else a
    snapshot, which says by `total` how many liquidations were missed. Each start of the service is another `run`.
    """

    def __init__(self, board: Board, every_seconds: float = _EVERY_SECONDS) -> None:
        self.board = board
        self._every_seconds = every_seconds
        self.readers: set[StreamReader] = set()
        self._run = format(time.time_ns() // 1_000_000, "x")
        self._number = 0
        self._ring: deque[Message] = deque()
        self._ring_bytes = 0
        self._told_total = 0
        self._due: dict[str, None] = {}  # instruments whose row is to be told
        self._rows: dict[str, InstrumentRow] = {}  # as told last, those of zeros left out
        self._snapshot: tuple[int, bytes] = (-1, b"")
        self._known_now: tuple[VelocityMetrics, int, NowAnswer] | None = None
        self._busy_until = 0.0
        self._generation = board.generation
        self._encode = msgspec.json.Encoder().encode

    async def run(self) -> None:
        """Pull and tell until cancelled."""
        step = 0
        while True:
            await asyncio.sleep(self._every_seconds)
            self.board.pull()
            step += 1
            is_second = step % _SECOND == 0
            if is_second and (self.readers or step % _UNREAD == 0):
                self.board.note_price()
            if self.readers:
                self._busy_until = time.monotonic() + _LINGER_SECONDS
            if time.monotonic() < self._busy_until:
                await self._tell(is_second=is_second)
            else:
                self._skip()

    def close(self) -> None:
        """Let all readers go."""
        for reader in list(self.readers):
            reader.leave()

    def join(self, last_id: str | None) -> StreamReader:
        """Return a new reader, which goes on behind `last_id` where the ring reaches back so far."""
        reader = StreamReader(self._told_total if last_id is None else None)
        run, _, rest = (last_id or "").partition("-")
        number, _, total = rest.partition("-")
        if run == self._run and number.isdecimal() and total.isdecimal() and len(rest) < 40:
            reader.sent_total = int(total)
            later = [message for message in self._ring if message.number > int(number)]
            if len(later) == self._number - int(number):
                reader.is_behind = False
                for message in later:
                    reader.offer(message)
        self.readers.add(reader)
        return reader

    async def snapshot(self, reader: StreamReader) -> bytes:
        """Return all there is for a reader that has nothing, or lost its backlog."""
        await self._make_rows([name for name in self.board.source.active() if name not in self._rows])
        reader.is_behind, reader.number = False, self._number
        sent, reader.sent_total = reader.sent_total, self._told_total
        if sent != self._told_total:
            in_it = min(_SNAPSHOT_EVENTS, len(self.board.recent))
            return self._made(None if sent is None else max(0, self._told_total - sent - in_it))
        if self._snapshot[0] != self._number:
            self._snapshot = (self._number, self._made(0))
        return self._snapshot[1]

    def _made(self, missed: int | None) -> bytes:
        board, source = self.board, self.board.source
        fresh = board.fresh  # the next message tells these
        events, alerts = list(board.recent), list(board.alerts)
        del events[len(events) - len(fresh.events) :]
        del alerts[len(alerts) - len(fresh.alerts) :]
        message = Snapshot(
            kind="snapshot",
            as_of_ms=source.now_ms(),
            now=self._now(),
            rows=list(self._rows.values()),
            events=events[-_SNAPSHOT_EVENTS:],
            alerts=alerts[-_SNAPSHOT_ALERTS:],
            gaps=source.gaps(),
            health=source.health(),
            missed=missed,
        )
        return self._framed("snapshot", message)

    def _now(self) -> NowAnswer:
        """The state of the market, at most a second old, unless a level changed."""
        board = self.board
        known = self._known_now
        if known is None or known[0] is not board.market() or known[1] != board.alerts_total:
            known = self._known_now = (board.market(), board.alerts_total, now_of(board))
        return known[2]

    def _framed(self, name: str, message: Snapshot | Update) -> bytes:
        head = f"id: {self._run}-{self._number}-{self._told_total}\nevent: {name}\ndata: "
        return head.encode() + self._encode(message) + b"\n\n"

    def _skip(self) -> None:
        """Nobody has listened for a while: nothing is made, and nobody can go on from here."""
        fresh = self.board.take_fresh()
        self._told_total += len(fresh.events)
        self._due.clear()
        self._rows.clear()
        if self._ring:
            self._ring.clear()
            self._ring_bytes = 0
            self._number += 1

    async def _tell(self, *, is_second: bool) -> None:
        if self.board.generation != self._generation:
            self._start_again()
        self._due |= self.board.fresh.changed
        self.board.fresh.changed = {}
        if is_second:
            self._due |= dict.fromkeys([*self.board.source.active(), *self._rows])
        rows = await self._make_rows(list(self._due)[:_MOST_ROWS])
        now = self._now()
        await asyncio.sleep(0)  # each of these takes some milliseconds in a cascade: feeds come in between
        if self.board.generation != self._generation:
            return  # meanwhile; all of it is of another time
        fresh = self.board.take_fresh()  # only now: a snapshot made meanwhile leaves out what this message tells
        self._due |= fresh.changed
        if not (is_second or rows or fresh.events or fresh.alerts or fresh.gaps or fresh.troubles):
            return
        health: Sequence[VenueHealth] = self.board.source.health() if is_second else ()
        events, left_out = _largest(fresh.events)
        self._told_total += len(fresh.events)
        self._number += 1
        message = Update(
            kind="update",
            as_of_ms=self.board.source.now_ms(),
            now=now,
            rows=rows,
            events=events,
            events_left_out=left_out,
            alerts=fresh.alerts,
            gaps=fresh.gaps,
            troubles=fresh.troubles,
            health=health,
        )
        data = self._framed("update", message)
        made = Message(self._number, self._told_total, data)
        self._keep(made)
        await asyncio.sleep(0)
        for place, reader in enumerate(list(self.readers)):
            reader.offer(made)
            if place % _WRITES_AT_ONCE == _WRITES_AT_ONCE - 1:
                await asyncio.sleep(0)

    async def _make_rows(self, names: Sequence[str]) -> list[InstrumentRow]:
        """Make rows, some at a time, so that no frame of a feed waits for them."""
        rows: list[InstrumentRow] = []
        for first in range(0, len(names), _ROWS_AT_ONCE):
            part = names[first : first + _ROWS_AT_ONCE]
            for name in part:
                self._due.pop(name, None)
            made = self.board.rows(part)
            rows += made
            for row in made:
                if row.event_count_300s:
                    self._rows[row.symbol] = row
                else:
                    self._rows.pop(row.symbol, None)
            await asyncio.sleep(0)
        return rows

    def _keep(self, message: Message) -> None:
        self._ring.append(message)
        self._ring_bytes += len(message.data)
        while len(self._ring) > _RING_MESSAGES or self._ring_bytes > _RING_BYTES:
            self._ring_bytes -= len(self._ring.popleft().data)

    def _start_again(self) -> None:
        """The source jumped: everybody gets a snapshot."""
        self._generation = self.board.generation
        self._ring.clear()
        self._ring_bytes = 0
        self._due.clear()
        self._rows.clear()
        self._number += 1
        for reader in self.readers:
            reader.sent_total = self._told_total
            reader.fall_behind()


def _largest(events: Sequence[Liquidation]) -> tuple[Sequence[Liquidation], int]:
    """Return at most `_MOST_EVENTS` of them, those with the most USD in their order, and how many are left out."""
    if len(events) <= _MOST_EVENTS:
        return events, 0
    places = nlargest(_MOST_EVENTS, range(len(events)), key=lambda place: events[place].notional_usd or 0.0)
    return [events[place] for place in sorted(places)], len(events) - _MOST_EVENTS
