"""A venue's socket, its REST interface and what sits at the port of Redis, all of them hostile.

`python -m benchmarks.hostilepeer FLOOD` prints its port and floods whoever connects, until its input ends; then how
often it was asked over HTTP.
"""

import asyncio
import base64
import hashlib
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

from benchmarks.hostilefloods import ACCOUNT, BACKFILLS, LISTS, REDIS, REFUSALS, SOCKETS, Flood, framed, listing

__all__ = ["Peer"]

_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_QUIET = Flood(lambda: iter(()))
_ACKS = [b'{"result":null,"id":%d}' % number for number in range(1, 10)]  # asked one by one it answers as often
_FILL_ACKS = [
    b'{"channel":"subscriptionResponse","data":{"method":"subscribe","subscription":%b}}' % topic
    for topic in (b'{"type":"trades","coin":"BTC"}', b'{"type":"userFills","user":"%b"}' % ACCOUNT.encode())
]


def _trade() -> bytes:
    return b'{"e":"aggTrade","s":"BTCUSDT","p":"80000.0","q":"0.5","T":%d}' % int(1000 * time.time())


def _fill_trade() -> bytes:
    trade = b'{"coin":"BTC","side":"B","px":"80000","sz":"1","time":%d,"tid":1}' % int(1000 * time.time())
    return b'{"channel":"trades","data":[%b]}' % trade


def _pieces(body: bytes) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
    for first in range(0, len(body), 65_536):
        yield body[first : first + 65_536]


class Peer:
    """Serves one flood on a port; `asked` counts requests of HTTP, handshakes among them."""

    def __init__(self, flood: str) -> None:
        self.asked = 0
        self._socket = SOCKETS.get(flood, _QUIET)
        self._redis = REDIS.get(flood, lambda: iter(()))
        self._list = LISTS.get(flood, lambda: listing(100_000))()
        self._page = BACKFILLS.get(flood)
        self._refusal = REFUSALS.get(flood, b"")
        self._reads = flood not in SOCKETS or "unread" not in flood
        self._dropped = False

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Tell what they want by how they begin."""
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n")
            if head.startswith(b"*"):
                await _flood(writer, self._redis())
            else:
                self.asked += 1
                head += await reader.readuntil(b"\r\n\r\n")
                await self._as_venue(head, reader, writer)
        writer.transport.abort()

    async def _as_venue(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusal:
            await _flood(writer, iter([self._refusal]))
            await asyncio.sleep(0.2)
        elif b"websocket" in head.lower():
            await self._as_socket(head, reader, writer)
        elif self._page is None:
            await _flood(writer, _pieces(self._list))
            await asyncio.sleep(0.2)
        else:
            body = await reader.read(4_096)
            await _flood(writer, self._page() if b"userFills" in body else _pieces(b'{"universe":[{"name":"BTC"}]}'))
            await asyncio.sleep(0.2)

    async def _as_socket(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        key = next(
            line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
        )
        accept = base64.b64encode(hashlib.sha1(key + _KEY).digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        writer.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        await reader.read(4_096)
        if self._page is not None:
            await self._live_and_lost(reader, writer)
            return
        await asyncio.sleep(self._socket.after)
        writer.write(b"".join(map(framed, _ACKS)) + framed(_trade()) * self._socket.trades)
        if self._reads:
            reading = asyncio.create_task(_swallow(reader))
            await _flood(writer, self._socket.pieces())
            await reading
        else:
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            await _flood(writer, self._socket.pieces())

    async def _live_and_lost(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Make a gap: live for a second, lost once, live again."""
        reading = asyncio.create_task(_swallow(reader))
        writer.write(b"".join(map(framed, _FILL_ACKS)))
        for number in range(1_000):
            writer.write(framed(_fill_trade()))
            await writer.drain()
            await asyncio.sleep(0.1)
            if number > 10 and not self._dropped:
                self._dropped = True
                break
        reading.cancel()


async def _flood(writer: asyncio.StreamWriter, pieces: Iterator[bytes]) -> None:
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)


async def _swallow(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):
        while await reader.read(65_536):
            pass


async def _serve(flood: str) -> None:
    peer = Peer(flood)
    server = await asyncio.start_server(peer.talk, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(peer.asked, flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
