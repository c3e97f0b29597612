"""A Redis connection as one question and its replies, without the streams in between."""

import asyncio
from typing import Any, Protocol

import hiredis

from liqtape.redisreplies import LONGEST_LINE, reply_of

__all__ = ["ReplyReader", "StreamConnection"]


class StreamConnection(Protocol):
    """What is used of a redis-py connection: it knows AUTH, TLS and Sentinel, its transport is ours afterwards."""

    db: int
    _reader: asyncio.StreamReader | None
    _writer: asyncio.StreamWriter | None

    async def connect(self) -> None: ...

    async def disconnect(self, *, nowait: bool) -> None: ...


class ReplyReader(asyncio.Protocol):
    """Takes over the transport of a connected connection; asks, and collects as many replies.

    A stream costs a buffer, a lock and two more wake-ups a question, and redis-py's own `read_response` a timeout for
    each reply; it also hangs up on some error replies (NOAUTH, LOADING) before the rest is read. The two private names
    used here are guarded by every test.
    """

    def __init__(self, connection: StreamConnection) -> None:
        writer = connection._writer
        if writer is None:
            raise ConnectionResetError("closed")
        self._transport = writer.transport
        self._loop = asyncio.get_running_loop()
        self._rest = b""  # of a reply that did not come whole
        self._replies: list[Any] = []
        self._awaited = 0
        self._answer: asyncio.Future[list[Any]] | None = None
        self._asked_at = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._lost: BaseException | None = None
        self._transport.set_protocol(self)

    async def ask(self, question: bytes, replies: int, patience: float) -> list[Any]:
        """Write, and wait for that many replies.

        Raises ConnectionError or hiredis.ProtocolError when it breaks, TimeoutError after `patience` seconds.
        """
        if self._lost is not None or self._transport.is_closing():
            raise ConnectionResetError("closed by the server") from self._lost
        self._replies, self._awaited = [], replies
        answer: asyncio.Future[list[Any]] = self._loop.create_future()
        self._answer = answer
        self._asked_at = self._loop.time()
        if self._watch is None:
            self._watch = self._loop.call_later(patience, self._look, patience)
        self._transport.write(question)
        return await answer

    def _look(self, patience: float) -> None:
        """Give up the question whose time is over, or set the one timer anew for the question that is open now.

            question 1  asked -- answered
            question 2               asked ----------------------------- no reply
            timer       |------ patience ------>| look: 2 has time left   |
                                                |--------- left --------->| look: give up

        A timer of its own would be set and cancelled for nearly every question.
        """
        self._watch = None
        answer = self._answer
        if answer is None or answer.done():
            return
        left = self._asked_at + patience - self._loop.time()
        if left > 0:
            self._watch = self._loop.call_later(left, self._look, patience)
        else:
            answer.set_exception(TimeoutError(f"no reply in {patience:g} s"))

    def data_received(self, data: bytes) -> None:
        """Collect replies, which are lines: what is longer, nested or of another kind is none of our server's."""
        answer = self._answer
        if answer is None or answer.done():
            return
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        room = self._awaited - len(self._replies)
        try:
            self._replies += map(reply_of, lines[:room])
            if len(self._rest) > LONGEST_LINE:
                raise hiredis.ProtocolError(f"an answer of more than {LONGEST_LINE} bytes")
            if len(lines) > room or (len(lines) == room and self._rest):
                raise hiredis.ProtocolError("an answer to what was not asked")
        except hiredis.ProtocolError as error:
            answer.set_exception(error)
            return
        if len(self._replies) == self._awaited:
            answer.set_result(self._replies)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up the question and the timer; the transport calls it."""
        self._lost = exc or ConnectionResetError("closed by the server")
        if self._watch is not None:
            self._watch.cancel()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(
                ConnectionResetError(f"closed by the server: {exc}" if exc else "closed by the server")
            )
