"""A client of the stream and its bounded backlog."""

import asyncio
from collections import deque

from msgspec import Struct

__all__ = ["Message", "StreamReader"]

_BACKLOG_MESSAGES, _BACKLOG_BYTES = 40, 4 << 20


class Message(Struct, frozen=True):
    """`total` liquidations were told when it was made."""

    number: int
    total: int
    data: bytes


class StreamReader:
    """One client of the stream. One that does not keep up loses its backlog and gets a snapshot instead.

    `sent_total` liquidations were told when the last message for it was made; None: that cannot be known. `number` is
    that of the message up to which its snapshot goes.
    """

    def __init__(self, sent_total: int | None) -> None:
        self.is_behind = True  # a snapshot is due
        self.is_gone = False
        self.sent_total = sent_total
        self.number = -1
        self._backlog: deque[Message] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()

    def offer(self, message: Message) -> None:
        """Queue a message."""
        if not self.is_behind and message.number > self.number:
            self._backlog.append(message)
            self._bytes += len(message.data)
            if len(self._backlog) > _BACKLOG_MESSAGES or self._bytes > _BACKLOG_BYTES:
                self.fall_behind()
        self._wake.set()

    def fall_behind(self) -> None:
        """Drop the backlog: a snapshot is due."""
        self._backlog.clear()
        self._bytes = 0
        self.is_behind = True
        self._wake.set()

    def leave(self) -> None:
        """End what waits for it."""
        self.is_gone = True
        self._wake.set()

    def take(self) -> bytes:
        """Return what waits."""
        if not self._backlog:
            return b""
        self.sent_total = self._backlog[-1].total
        data = b"".join(message.data for message in self._backlog)
        self._backlog.clear()
        self._bytes = 0
        return data

    async def wait(self) -> None:
        """Wait until there is something, or it is gone."""
        self._wake.clear()
        if not (self._backlog or self.is_behind or self.is_gone):
            await self._wake.wait()
