"""One client of the simulator: reads what it says, sends what is due to it, keeps the delivery log."""

import asyncio
import contextlib
import socket as sockets
import struct
import time
from collections.abc import Callable

from aiohttp import WSMsgType, web
from msgspec import Struct

from liqtape.simulator.deliverylog import DeliveryLog, Tally
from liqtape.simulator.wire import ClientSession, Frame, FrameKind, SentRow

__all__ = ["ClientConnection", "wall_ms"]

# A client that lets so many frames wait is hung up on, as the venues do; memory stays bounded.
_QUEUE_FRAMES = 20_000
_SLOW_CLIENT = 1008
_CLOSE_SECONDS = 0.5


def wall_ms() -> int:
    """The date in milliseconds, as the venues stamp their events."""
    return time.time_ns() // 1_000_000


class _Outgoing(Struct):
    payload: bytes
    kind: FrameKind
    rows: tuple[SentRow, ...] = ()
    copy: bool = False
    fault: str = ""
    snapshot: bool = False
    close_code: int = 0


class ClientConnection:
    """A WebSocket connection; everything that leaves passes one queue, so a close comes after what was due before."""

    def __init__(self, tally: Tally, ledger: DeliveryLog, session: ClientSession) -> None:
        self.tally = tally
        self.client_session = session
        self.silenced = False
        self.withholds_pongs = False
        self._delivery_log = ledger
        self._socket = web.WebSocketResponse(timeout=_CLOSE_SECONDS, autoping=False, compress=False)
        self._queue: asyncio.Queue[_Outgoing] = asyncio.Queue()
        self._closing = False
        self._ended = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._heard = 0.0
        self._said = 0.0
        self._sent = 0.0
        self._ponged = 0.0

    async def serve(
        self, request: web.Request, after_message: "Callable[[ClientConnection], None]"
    ) -> web.WebSocketResponse:
        """The connection's whole life; `after_message` runs after each message of the client was answered."""
        self._transport = request.transport
        if request.transport is not None:
            self.tally.peer_port = request.transport.get_extra_info("peername")[1]
        await self._socket.prepare(request)
        self._heard = self._said = self._sent = self._ponged = asyncio.get_running_loop().time()
        after_message(self)
        tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._watch())]
        try:
            await self._read(after_message)
            if self._closing:  # our own close is still being answered
                await asyncio.wait(tasks[:1], timeout=_CLOSE_SECONDS)
        finally:
            self._ended.set()
            self.client_session.ended()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return self._socket

    def give(self, frame: Frame, *, again: bool = False) -> None:
        """Queues a frame for this client as often as it follows one of the frame's topics."""
        if self.silenced:
            return
        for number, payload in enumerate(self.client_session.payloads(frame)):
            copy = again or number > 0
            self._queue_frame(frame, payload, copy=copy)

    def give_notice(self) -> bool:
        """Announces the coming end, where the venue does so."""
        notice = self.client_session.notice()
        if notice is not None:
            self._enqueue(_Outgoing(notice, "control"))
        return notice is not None

    async def settle(self) -> None:
        """Returns when all that was queued is sent, or the connection has ended."""
        waits = [asyncio.create_task(self._queue.join()), asyncio.create_task(self._ended.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def close(self, code: int) -> None:
        """Sends what is queued, then the close frame, and waits until the connection has ended."""
        self.hang_up(code)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), 2 * _CLOSE_SECONDS)

    def abort(self) -> None:
        """Resets the TCP connection: the client gets neither a close frame nor, perhaps, what was sent last."""
        self.tally.torn_off = True
        self._closing = True
        if self._transport is None:
            return
        raw = self._transport.get_extra_info("socket")
        if raw is not None:  # lingering for 0 s turns the close into a reset
            raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def hang_up(self, code: int) -> None:
        """Ends the connection after what is queued."""
        if not self._closing:
            self._enqueue(_Outgoing(b"", "control", close_code=code))
            self._closing = True

    def _queue_frame(self, frame: Frame, payload: bytes, *, copy: bool) -> None:
        self._enqueue(_Outgoing(payload, frame.kind, frame.rows, copy=copy, fault=frame.fault, snapshot=frame.snapshot))

    def _enqueue(self, outgoing: _Outgoing) -> None:
        if self._closing or self._ended.is_set():
            return
        if self._queue.qsize() >= _QUEUE_FRAMES and not outgoing.close_code:
            self.hang_up(_SLOW_CLIENT)
            return
        self._queue.put_nowait(outgoing)

    async def _write(self) -> None:
        while True:
            outgoing = await self._queue.get()
            if outgoing.close_code:
                await self._socket.close(code=outgoing.close_code)
                return
            try:
                await self._socket.send_frame(outgoing.payload, WSMsgType.TEXT)
            except ConnectionError:  # the client has gone; the reader sees it too
                self._closing = True
                return
            self._sent = asyncio.get_running_loop().time()
            self._delivery_log.sent(self.tally, outgoing.kind, outgoing.fault)
            self._delivery_log.delivered(self.tally, outgoing.rows, copy=outgoing.copy, snapshot=outgoing.snapshot)
            self._queue.task_done()

    async def _read(self, after_message: "Callable[[ClientConnection], None]") -> None:
        while True:
            message = await self._socket.receive()
            self._heard = asyncio.get_running_loop().time()
            if message.type is WSMsgType.TEXT:
                self._answer(message.data)
                after_message(self)
            elif message.type is WSMsgType.BINARY:
                self._answer(message.data.decode("utf-8", "replace"))
                after_message(self)
            elif message.type is WSMsgType.PING:
                if not self.withholds_pongs:
                    with contextlib.suppress(ConnectionError):
                        await self._socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                self._ponged = self._heard
            else:
                return

    def _answer(self, text: str) -> None:
        self._said = self._heard
        reply = self.client_session.received(text, wall_ms())
        for payload in reply.frames:
            if not (self.withholds_pongs and b"pong" in payload):
                self._enqueue(_Outgoing(payload, "control"))
        if not self.silenced:
            for frame in reply.more:
                self._queue_frame(frame, frame.body, copy=False)
        if reply.close_code:
            self.hang_up(reply.close_code)

    def _last(self) -> float:
        return {"heard": self._heard, "said": self._said, "sent": self._sent}[self.client_session.idle_by]

    async def _watch(self) -> None:
        """The venue's heartbeat rules: server pings answered in time, or a silence that must not last."""
        loop = asyncio.get_running_loop()
        talk = self.client_session
        while True:
            if talk.ping_seconds is not None:
                await asyncio.sleep(talk.ping_seconds)
                with contextlib.suppress(ConnectionError):
                    await self._socket.ping()
                overdue = loop.time() - self._ponged > talk.ping_seconds + talk.pong_seconds
            elif talk.idle_seconds is not None:
                await asyncio.sleep(self._last() + talk.idle_seconds - loop.time())
                overdue = loop.time() - self._last() >= talk.idle_seconds
            else:
                return
            if overdue:
                self.hang_up(talk.idle_code)
                return
