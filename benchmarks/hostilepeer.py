"""What strangers can send, as bytes: a venue's socket, its REST interface, and what sits at the port of Redis.

`python -m benchmarks.hostilepeer FLOOD` prints its port and floods whoever connects, until its input ends.
"""

import asyncio
import base64
import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count, repeat

__all__ = ["FLOODS"]

_MIB = 1024 * 1024
_NOW_MS = 1_790_000_000_000
_TRADE = b'{"e":"aggTrade","s":"BTCUSDT","p":"80000.0","q":"0.5","T":%d}' % _NOW_MS


def _framed(payload: bytes, opcode: int = 1) -> bytes:
    """Return a frame as servers send it."""
    length = len(payload)
    if length < 126:
        return bytes((0x80 | opcode, length)) + payload
    if length < 65_536:
        return bytes((0x80 | opcode, 126)) + length.to_bytes(2) + payload
    return bytes((0x80 | opcode, 127)) + length.to_bytes(8) + payload


def _order(symbol: bytes, number: int) -> bytes:
    """Return a liquidation of Binance."""
    stamp = _NOW_MS + number // 100
    order = b'{"s":"%b","S":"SELL","q":"1","p":"2","ap":"2","z":"1","T":%d}' % (symbol, stamp)
    return b'{"e":"forceOrder","E":%d,"o":%b}' % (stamp, order)


def _details(row: bytes, symbols: Iterator[bytes], size: int = 4 * _MIB - 1_000) -> bytes:
    """Return a frame of OKX as long as may be."""
    orders: list[bytes] = []
    length = 0
    for symbol in symbols:
        orders.append(b'{"details":[%b],"instId":"%b"}' % (row, symbol))
        length += len(orders[-1]) + 1
        if length > size:
            break
    return b'{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[%b]}' % b",".join(orders)


def _names() -> Iterator[bytes]:
    for number in count():
        yield b"".join(_framed(_order(b"X%dUSDT" % i, i)) for i in range(100 * number, 100 * number + 100))


def _named_rows() -> Iterator[bytes]:
    row = b'{"bkPx":"2","posSide":"net","side":"sell","sz":"1","ts":"%d"}' % _NOW_MS
    for number in count():
        yield _framed(_details(row, (b"X%d-USDT-SWAP" % i for i in count(1_000_000 * number))))


def _bad_rows() -> Iterator[bytes]:
    row = b'{"bkPx":"","posSide":"","side":"","sz":"","ts":""}'
    return repeat(_framed(_details(row, (b"X%d-USDT-SWAP" % i for i in count()))))


def _long_symbols() -> Iterator[bytes]:
    for number in count():
        yield _framed(_order(b"%d" % number + b"X" * _MIB, number))


def _listing(size: int) -> bytes:
    rows = (
        b'{"symbol":"L%dUSDT","contractType":"PERPETUAL","status":"TRADING","baseAsset":"L%d","quoteAsset":"USDT"}'
        % (i, i)
        for i in count()
    )
    parts: list[bytes] = []
    while size > 0:
        parts.append(next(rows))
        size -= len(parts[-1]) + 1
    return b'{"symbols":[%b]}' % b",".join(parts)


_LISTS: dict[str, Callable[[], bytes]] = {
    "a list of 31 MB": lambda: _listing(31 * _MIB),
    "a list as long as may be": lambda: _listing(6 * _MIB),
}
_SOCKETS: dict[str, Callable[[], Iterator[bytes]]] = {
    "a new name with each event": _names,
    "new names by the frame of 4 MiB": _named_rows,
    "bad rows by the frame of 4 MiB": _bad_rows,
    "symbols of 1 MiB": _long_symbols,
    "pings, their answers unread": lambda: repeat(_framed(bytes(125), 9) * 100),
}
_REDIS: dict[str, Callable[[], Iterator[bytes]]] = {
    "Redis: an answer nested for ever": lambda: repeat(b"*1\r\n" * 10_000),
    "Redis: two billion elements": lambda: iter([b"*2147483647\r\n*2147483647\r\n"]),
    "Redis: an endless line": lambda: repeat(b"+" + b"x" * 65_536),
    "Redis: an endless text": lambda: iter([b"$1099511627776\r\n", *repeat(bytes(65_536), 10_000)]),
}
FLOODS = (*_SOCKETS, *_LISTS, *_REDIS)


class Peer:
    """Serves one flood on a port."""

    def __init__(self, flood: str) -> None:
        self._socket = _SOCKETS.get(flood, lambda: iter(()))
        self._redis = _REDIS.get(flood, lambda: iter(()))
        self._list = _LISTS.get(flood, lambda: _listing(100_000))()
        self._reads = flood not in _SOCKETS or "unread" not in flood

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Tell what they want by how they begin."""
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n")
            if head.startswith(b"*"):
                await self._flood(writer, self._redis())
            else:
                head += await reader.readuntil(b"\r\n\r\n")
                await (self._as_venue if b"websocket" in head.lower() else self._as_rest)(head, reader, writer)
        writer.transport.abort()

    async def _as_rest(self, _head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(self._list))
        for first in range(0, len(self._list), 65_536):
            writer.write(self._list[first : first + 65_536])
            await writer.drain()
        writer.write_eof()
        await asyncio.sleep(0.2)

    async def _as_venue(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        key = next(
            line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
        )
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        writer.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        await reader.read(4_096)
        for number in range(1, 10):  # what asks for its topics one by one gets as many answers
            writer.write(_framed(b'{"result":null,"id":%d}' % number))
        writer.write(_framed(_TRADE) * 2)
        if self._reads:
            reading = asyncio.create_task(_swallow(reader))
            await self._flood(writer, self._socket())
            await reading
        else:
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            await self._flood(writer, self._socket())

    async def _flood(self, writer: asyncio.StreamWriter, pieces: Iterator[bytes]) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)


async def _swallow(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):
        while await reader.read(65_536):
            pass


async def _serve(flood: str) -> None:
    server = await asyncio.start_server(Peer(flood).talk, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
