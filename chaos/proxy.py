"""A TCP proxy that does to a connection what networks do, and knows which bytes arrived all the same.

It stands before anything that speaks TCP: a venue (plain, TLS passed through, or TLS ended here), Redis, PostgreSQL.
"""

import asyncio
import contextlib
import fcntl
import random
import socket
import ssl
import struct
import termios
import time
from types import TracebackType
from typing import Self

from chaos.wire import Messages, Passed
from msgspec import Struct

__all__ = ["FaultProxy", "Link", "Weather"]

_CHUNK = 65_536
_QUEUED = 64
_DRIP_BYTES = (1, 7)


class Weather(Struct, frozen=True):
    """What befalls all that passes towards the client: seconds of `delay` and up to `jitter` more, `rate` in bytes/s.

    `drip`: in pieces of a few bytes. Order is kept, as TCP does.
    """

    delay: float = 0.0
    jitter: float = 0.0
    rate: float | None = None
    drip: bool = False


class Link:
    """One connection through the proxy. `peer_port` is our end of the way to the server."""

    def __init__(
        self, client: tuple[asyncio.StreamReader, asyncio.StreamWriter], proxy: "FaultProxy", dice: random.Random
    ) -> None:
        self.began_ms = _wall_ms()
        self.ended_ms: float | None = None
        self.peer_port = 0
        self.down = Messages()
        self.cutting = False
        self.is_half_open = False
        self._up = Messages()
        self._reader, self._writer = client
        self._server: asyncio.StreamWriter | None = None
        self._proxy = proxy
        self._dice = dice
        self._queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_QUEUED)
        self._sealed: int | None = None
        self._due = 0.0

    def delivered(self) -> list[Passed]:
        """The messages that stand in the client's socket, or did, before the client itself said that it leaves."""
        arrived = self._arrived() if self._sealed is None else self._sealed
        return [message for message in self.down.messages if message.end <= arrived]

    async def serve(self, host: str, port: int) -> None:
        """The connection's whole life."""
        # Not 0: under TLS asyncio takes an empty buffer for a full one then.
        self._writer.transport.set_write_buffer_limits(high=1, low=0)
        await self._proxy.is_open.wait()
        try:
            reader, self._server = await asyncio.open_connection(host, port)
        except OSError:
            self.reset()
            return
        self.peer_port = self._server.get_extra_info("sockname")[1]
        parts = [asyncio.create_task(part) for part in (self._upwards(), self._read(reader), self._downwards())]
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            if self.is_half_open:
                await parts[0]
        finally:
            self._seal()
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            self._end()

    def half_open(self) -> None:
        """The server's end is gone, and the client is not told."""
        self.is_half_open = True
        self._seal()
        if self._server is not None:
            self._server.transport.abort()

    def reset(self) -> None:
        """Gone at once, without a farewell; what is still on the way is lost."""
        self._seal()
        raw = self._writer.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        if self._server is not None:
            self._server.transport.abort()

    def _arrived(self) -> int:
        """Bytes that the client's kernel has."""
        raw = self._writer.get_extra_info("socket")
        if raw is None or raw.fileno() < 0:
            return self.down.length if self._sealed is None else self._sealed
        unsent = struct.unpack("i", fcntl.ioctl(raw.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]
        return self.down.length - self._writer.transport.get_write_buffer_size() - int(unsent)

    def _seal(self) -> None:
        if self._sealed is None:
            self._sealed = self._arrived()
            self.ended_ms = _wall_ms()

    def _end(self) -> None:
        for writer in (self._writer, self._server):
            if writer is not None:
                writer.close()

    async def _upwards(self) -> None:
        """From the client: never delayed, but held while there is no way through."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await self._reader.read(_CHUNK):
                self._up.feed(data, 0.0)
                if self._up.closes_at is not None:
                    self._seal()
                await self._proxy.is_open.wait()
                if self._server is not None and not self.is_half_open:
                    self._server.write(data)
                    await self._server.drain()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                weather = self._proxy.weather
                wait = weather.delay + self._dice.uniform(0.0, weather.jitter)
                self._due = max(self._due, asyncio.get_running_loop().time() + wait)
                await self._queue.put((self._due, data))
        if self.is_half_open:
            await asyncio.Event().wait()
        await self._queue.join()

    async def _downwards(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionError):
            while True:
                due, data = await self._queue.get()
                if (wait := due - loop.time()) > 0:
                    await asyncio.sleep(wait)
                await self._proxy.is_open.wait()
                if self.is_half_open:
                    await asyncio.Event().wait()
                if self.cutting:
                    await self._pass(data[: self._middle(data)])
                    return
                await self._spread(data)
                self._queue.task_done()

    async def _spread(self, data: bytes) -> None:
        weather = self._proxy.weather
        if not weather.drip and weather.rate is None:
            await self._pass(data)
            return
        step = _CHUNK if weather.rate is None else max(1, int(weather.rate / 20))
        while data:
            size = self._dice.randint(*_DRIP_BYTES) if weather.drip else step
            await self._pass(data[:size])
            data = data[size:]
            if data:
                await asyncio.sleep(0.0 if weather.rate is None else size / weather.rate)
            await self._proxy.is_open.wait()

    async def _pass(self, data: bytes) -> None:
        if data and not self.is_half_open:
            self._writer.write(data)
            self.down.feed(data, _wall_ms())
            await self._writer.drain()

    def _middle(self, data: bytes) -> int:
        """A place inside of a message."""
        return self._dice.randrange(1, len(data)) if len(data) > 1 else 0


class FaultProxy:
    """Listens on a free port of loopback; every choice it makes is by its seed.

    `ssl_context` ends TLS here, so that messages can be told apart; without one TLS passes through unread.
    """

    def __init__(self, port: int, seed: int = 1, *, ssl_context: ssl.SSLContext | None = None) -> None:
        self.target_port = port
        self.port = 0
        self.weather = Weather()
        self.links: list[Link] = []
        self.is_open = asyncio.Event()
        self.is_open.set()
        self._refuses = False
        self._seed = seed
        self._ssl = ssl_context
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._ssl)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    @property
    def living(self) -> list[Link]:
        """The connections there are now."""
        return [link for link in self.links if link.ended_ms is None]

    def cut(self) -> None:
        """End each connection inside of the next bytes that pass, with a farewell."""
        for link in self.living:
            link.cutting = True

    def reset(self) -> None:
        """Reset each connection."""
        for link in self.living:
            link.reset()

    def half_open(self) -> None:
        """Let the server's end of each connection vanish without telling the client."""
        for link in self.living:
            link.half_open()

    def close_way(self) -> None:
        """A black hole: nothing passes, nothing ends, new connections are accepted and hear nothing."""
        self.is_open.clear()

    def open_way(self) -> None:
        """End of the black hole, and of refusals."""
        self._refuses = False
        self.is_open.set()

    def refuse(self) -> None:
        """Reset what is connected and each new connection."""
        self._refuses = True
        self.reset()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link((reader, writer), self, random.Random(f"{self._seed}:{len(self.links)}"))
        self.links.append(link)
        if self._refuses:
            link.reset()
            return
        task = asyncio.get_running_loop().create_task(link.serve("127.0.0.1", self.target_port))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)


def _wall_ms() -> float:
    return time.time() * 1000
