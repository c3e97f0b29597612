"""The stream: what changed is encoded once, four times a second, and the same bytes go to every reader."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from heapq import nlargest

import msgspec
from msgspec import Struct

from liqtape.events import Liquidation, VenueHealth
from liqtape.web.answers import InstrumentRow
from liqtape.web.board import Board
from liqtape.web.nowof import now_of
from liqtape.web.streammessages import Snapshot, Update

__all__ = ["Broadcast", "Reader"]

MOST_READERS = 100

_EVERY_SECONDS = 0.25
_SECOND = 4  # of these steps
_RING_MESSAGES, _RING_BYTES = 240, 8 << 20  # a minute, and a bound on its memory
_BACKLOG_MESSAGES, _BACKLOG_BYTES = 40, 4 << 20
_MOST_EVENTS, _MOST_ROWS, _ROWS_AT_ONCE = 500, 200, 25
_SNAPSHOT_EVENTS, _SNAPSHOT_ALERTS = 500, 200
_LINGER_SECONDS = 60.0  # how long the ring goes on without a reader


class _Message(Struct, frozen=True):
    number: int
    data: bytes


class Reader:
    """One client of the stream. One that does not keep up loses its backlog and gets a snapshot instead."""

    def __init__(self) -> None:
        self.is_behind = True  # a snapshot is due
        self.seen_total: int | None = None  # liquidations told up to where it was cut off; None: never connected
        self.snapshots = 0
        self._backlog: deque[bytes] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self.is_gone = False

    def offer(self, data: bytes, total: int) -> None:
        """Queue a message; `total` liquidations were told before it."""
        if not self.is_behind:
            if len(self._backlog) >= _BACKLOG_MESSAGES or self._bytes + len(data) > _BACKLOG_BYTES:
                self._backlog.clear()
                self._bytes = 0
                self.is_behind, self.seen_total = True, total
            else:
                self._backlog.append(data)
                self._bytes += len(data)
        self._wake.set()

    def leave(self) -> None:
        """End what waits for it."""
        self.is_gone = True
        self._wake.set()

    def take(self) -> bytes:
        """Return what waits."""
        data = b"".join(self._backlog)
        self._backlog.clear()
        self._bytes = 0
        return data

    async def wait(self) -> None:
        """Wait until there is something, or it is gone."""
        self._wake.clear()
        if not (self._backlog or self.is_behind or self.is_gone):
            await self._wake.wait()


class Broadcast:
    """The loop that pulls the news and tells the readers; `run` it as a task.

    A message's id is `run-number-total`: of a number still in the ring the reader gets what came after it, else a
    snapshot, which says by `total` how many liquidations were missed. Each start of the service is another `run`.
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        self.readers: set[Reader] = set()
        self._run = format(time.time_ns() // 1_000_000, "x")
        self._number = 0
        self._ring: deque[_Message] = deque()
        self._ring_bytes = 0
        self._told_total = 0
        self._due: dict[str, None] = {}  # instruments whose row is to be told
        self._shown: set[str] = set()  # those whose last row told was not of zeros
        self._snapshot: tuple[int, bytes] = (-1, b"")
        self._busy_until = 0.0
        self._generation = board.generation
        self._encode = msgspec.json.Encoder().encode

    async def run(self) -> None:
        """Pull and tell until cancelled."""
        step = 0
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            self.board.pull()
            step += 1
            is_second = step % _SECOND == 0
            if is_second:
                self.board.market()  # the price of BTC once a second, whoever listens
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

    def join(self, last_id: str | None) -> Reader:
        """Return a new reader, which goes on behind `last_id` where the ring reaches back so far."""
        reader = Reader()
        run, _, rest = (last_id or "").partition("-")
        number, _, total = rest.partition("-")
        if run == self._run and number.isdecimal() and total.isdecimal() and len(rest) < 40:
            reader.seen_total = int(total)
            later = [message for message in self._ring if message.number > int(number)]
            if len(later) == self._number - int(number):
                reader.is_behind = False
                for message in later:
                    reader.offer(message.data, self._told_total)
        self.readers.add(reader)
        return reader

    def snapshot(self, reader: Reader) -> bytes:
        """Return all there is for a reader that has nothing, or lost its backlog."""
        reader.is_behind = False
        reader.snapshots += 1
        if reader.seen_total is not None:
            missed = max(0, self._told_total - reader.seen_total - min(_SNAPSHOT_EVENTS, len(self.board.recent)))
            return self._made(missed)
        if self._snapshot[0] != self._number:
            self._snapshot = (self._number, self._made(0))
        return self._snapshot[1]

    def _made(self, missed: int) -> bytes:
        board, source = self.board, self.board.source
        waiting = len(board.fresh.events)
        told = list(board.recent)[-_SNAPSHOT_EVENTS - waiting :]
        active = source.active()
        self._shown.update(active)
        message = Snapshot(
            kind="snapshot",
            as_of_ms=source.now_ms(),
            now=now_of(board),
            rows=board.rows(active),
            events=told[: len(told) - waiting] if waiting else told,
            alerts=list(board.alerts)[-_SNAPSHOT_ALERTS:],
            gaps=source.gaps(),
            health=source.health(),
            missed=missed,
        )
        return self._framed("snapshot", message)

    def _framed(self, name: str, message: Snapshot | Update) -> bytes:
        head = f"id: {self._run}-{self._number}-{self._told_total}\nevent: {name}\ndata: "
        return head.encode() + self._encode(message) + b"\n\n"

    def _skip(self) -> None:
        """Nobody has listened for a while: nothing is made, and nobody can go on from here."""
        fresh = self.board.take_fresh()
        self._told_total += len(fresh.events)
        self._due.clear()
        self._shown.clear()
        if self._ring:
            self._ring.clear()
            self._ring_bytes = 0
            self._number += 1

    async def _tell(self, *, is_second: bool) -> None:
        if self.board.generation != self._generation:
            self._start_again()
        fresh = self.board.take_fresh()
        self._due |= fresh.changed
        if is_second:
            self._due |= dict.fromkeys([*self.board.source.active(), *self._shown])
        rows = await self._rows()
        if self.board.generation != self._generation:
            return  # while the rows were made; all of it is of another time
        if not (is_second or rows or fresh.events or fresh.alerts or fresh.gaps or fresh.troubles):
            return
        health: Sequence[VenueHealth] = self.board.source.health() if is_second else ()
        events, left_out = _largest(fresh.events)
        before = self._told_total
        self._told_total += len(fresh.events)
        self._number += 1
        message = Update(
            kind="update",
            as_of_ms=self.board.source.now_ms(),
            now=now_of(self.board),
            rows=rows,
            events=events,
            events_left_out=left_out,
            alerts=fresh.alerts,
            gaps=fresh.gaps,
            troubles=fresh.troubles,
            health=health,
        )
        data = self._framed("update", message)
        self._keep(_Message(self._number, data))
        for reader in self.readers:
            reader.offer(data, before)

    async def _rows(self) -> list[InstrumentRow]:
        """The rows due, some at a time, so that no frame of a feed waits for them."""
        names = list(self._due)[:_MOST_ROWS]
        rows: list[InstrumentRow] = []
        for first in range(0, len(names), _ROWS_AT_ONCE):
            part = names[first : first + _ROWS_AT_ONCE]
            for name in part:
                self._due.pop(name, None)
            rows += self.board.rows(part)
            await asyncio.sleep(0)
        for row in rows:
            if row.event_count_300s:
                self._shown.add(row.symbol)
            else:
                self._shown.discard(row.symbol)
        return rows

    def _keep(self, message: _Message) -> None:
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
        self._shown.clear()
        self._number += 1
        for reader in self.readers:
            reader.is_behind, reader.seen_total = True, None
            reader.take()


def _largest(events: Sequence[Liquidation]) -> tuple[Sequence[Liquidation], int]:
    """Return at most `_MOST_EVENTS` of them, those with the most USD in their order, and how many are left out."""
    if len(events) <= _MOST_EVENTS:
        return events, 0
    places = nlargest(_MOST_EVENTS, range(len(events)), key=lambda place: events[place].notional_usd or 0.0)
    return [events[place] for place in sorted(places)], len(events) - _MOST_EVENTS
