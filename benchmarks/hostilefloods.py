"""What strangers can send, as bytes: what goes over a venue's socket, its REST answers, and answers at Redis' port."""

import time
from collections.abc import Callable, Iterator
from itertools import chain, count, islice, repeat

from msgspec import Struct

__all__ = ["ACCOUNT", "BACKFILLS", "FLOODS", "LISTS", "REDIS", "REFUSALS", "SOCKETS", "Flood", "framed", "listing"]

_MIB = 1024 * 1024
ACCOUNT = "0x" + "1" * 40
_DAY_MS = 86_400_000


class Flood(Struct, frozen=True):
    """What comes over the socket, and at which venue: after so many seconds and trades of now."""

    pieces: Callable[[], Iterator[bytes]]
    venue: str = "binance"
    after: float = 0.0
    trades: int = 2


def _now_ms() -> int:
    return int(time.time() * 1000)


def framed(payload: bytes, opcode: int = 1) -> bytes:
    """Return a frame as servers send it."""
    length = len(payload)
    if length < 126:
        return bytes((0x80 | opcode, length)) + payload
    if length < 65_536:
        return bytes((0x80 | opcode, 126)) + length.to_bytes(2) + payload
    return bytes((0x80 | opcode, 127)) + length.to_bytes(8) + payload


def _order(symbol: bytes, stamp_ms: int, price: bytes = b"2") -> bytes:
    """Return a liquidation of Binance."""
    order = b'{"s":"%b","S":"SELL","q":"1","p":"%b","ap":"2","z":"1","T":%d}' % (symbol, price, stamp_ms)
    return b'{"e":"forceOrder","E":%d,"o":%b}' % (stamp_ms, order)


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


def _row(stamp_ms: int, size: int = 1) -> bytes:
    return b'{"bkPx":"2","posSide":"net","side":"sell","sz":"%d","ts":"%d"}' % (size, stamp_ms)


def _swap(rows: Iterator[bytes]) -> bytes:
    """Return a frame of OKX about one contract."""
    return framed(
        b'{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"details":[%b],"instId":"BTC-USDT-SWAP"}]}'
        % b",".join(rows)
    )


def _names() -> Iterator[bytes]:
    for number in count():
        numbers = range(100 * number, 100 * number + 100)
        yield b"".join(framed(_order(b"X%dUSDT" % i, _now_ms() + i // 100)) for i in numbers)


def _named_rows() -> Iterator[bytes]:
    row = _row(_now_ms())
    for number in count():
        yield framed(_details(row, (b"X%d-USDT-SWAP" % i for i in count(1_000_000 * number))))


def _bad_rows() -> Iterator[bytes]:
    row = b'{"bkPx":"","posSide":"","side":"","sz":"","ts":""}'
    return repeat(framed(_details(row, (b"X%d-USDT-SWAP" % i for i in count()))))


def _long_symbols() -> Iterator[bytes]:
    for number in count():
        yield framed(_order(b"%d" % number + b"X" * _MIB, _now_ms()))


def _waiting() -> Iterator[bytes]:
    """Bring what waits for the clocks, which are known with the five trades behind it, and then as much again."""
    stamp_ms = _now_ms()
    yield b"".join(framed(_order(b"X%dUSDT" % (i % 200), stamp_ms - i)) for i in range(9_990))
    yield framed(_trade(stamp_ms)) * 8
    yield from _names()


def _held() -> Iterator[bytes]:
    """Bring what is ahead of its venue's time, and is due all at once."""
    stamp_ms = _now_ms() + 6_000
    yield b"".join(framed(_order(b"X%dUSDT" % (i % 200), stamp_ms, b"%d" % i)) for i in range(10_000))
    while True:
        yield framed(_trade(_now_ms())) * 10


def _trade(stamp_ms: int) -> bytes:
    return b'{"e":"aggTrade","s":"BTCUSDT","p":"80000.0","q":"0.5","T":%d}' % stamp_ms


def _trades() -> Iterator[bytes]:
    """Bring trades, each with a difference of its own to our time."""
    for number in count():
        now_ms = _now_ms()
        first_ms = now_ms - 1_000 * (number % 600)
        yield b"".join(framed(_trade(first_ms - i)) for i in range(900))


def _days_apart() -> Iterator[bytes]:
    """Bring trades that are a day apart, from 2010 on."""
    first_ms = 1_262_400_000_000
    days = range((_now_ms() - first_ms) // _DAY_MS)
    yield b"".join(framed(_trade(first_ms + (_DAY_MS - 2_000) * day)) for day in days)
    while True:
        yield framed(_trade(_now_ms()))
        time.sleep(0.05)


def _steps() -> Iterator[bytes]:
    """Bring liquidations by a clock that steps by an hour, there and back."""
    for number in count():
        stamp_ms = _now_ms() + (3_600_000 if number // 400 % 2 else 0)
        orders = (_order(b"X%dUSDT" % (i % 200), stamp_ms, b"%d" % (1 + 100 * number + i)) for i in range(100))
        yield b"".join(framed(order) for order in orders) + framed(_trade(stamp_ms)) * 5


def _crowd_and_late() -> Iterator[bytes]:
    """Bring 50,000 of one contract, then older ones to two milliseconds in turn: one a frame, and thousands a frame."""
    orders = b'"liquidation-orders","instType"'
    for topic in (orders + b':"SWAP"', orders + b':"FUTURES"', b'"trades","instId":"BTC-USDT-SWAP"'):
        yield framed(b'{"event":"subscribe","arg":{"channel":%b}}' % topic)  # else the connection is given up in 10 s
    stamp_ms = _now_ms()
    sizes = count(1_000_000)  # USD enough for a cascade with the first frame
    for _ in range(10):
        yield _swap(_row(stamp_ms, size) for size in islice(sizes, 5_000))
    while True:
        yield framed(b"pong")
        yield b"".join(_swap(iter([_row(stamp_ms - 1_000 - size % 2, size)])) for size in islice(sizes, 2_000))
        time.sleep(0.25)
        yield _swap(_row(stamp_ms - 1_000 - size % 2, size) for size in islice(sizes, 3_000))
        time.sleep(0.25)


SOCKETS = {
    "a new name with each event": Flood(_names),
    "new names by the frame of 4 MiB": Flood(_named_rows, "okx"),
    "bad rows by the frame of 4 MiB": Flood(_bad_rows, "okx"),
    "symbols of 1 MiB": Flood(_long_symbols),
    "pings, their answers unread": Flood(lambda: repeat(framed(bytes(125), 9) * 100)),
    "a start with 10,000 that wait": Flood(_waiting, after=1.0),
    "10,000 from the future, due at once": Flood(_held, after=1.0),
    "trades with any stamps": Flood(_trades),
    "trades a day apart": Flood(_days_apart, after=1.0, trades=0),
    "a clock that steps by an hour": Flood(_steps, after=1.0),
    "late events behind a crowd": Flood(_crowd_and_late, "okx"),
}


def listing(size: int) -> bytes:
    """Return Binance's list of instruments, about so long."""
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


LISTS: dict[str, Callable[[], bytes]] = {
    "a list of 31 MB": lambda: listing(31 * _MIB),
    "a list as long as may be": lambda: listing(6 * _MIB),
}


def _pieces(body: bytes) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
    for first in range(0, len(body), 65_536):
        yield body[first : first + 65_536]


def _chunks(piece: bytes) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n%b\r\n" % (len(piece), piece)
    yield from repeat(chunk)


def _fills(pad: int, rows: int = 2_000) -> Iterator[bytes]:
    """Answer with a page that has a following one, each fill of a market of its own."""
    now_ms = _now_ms()
    fill = (
        b'{"coin":"X%d","px":"2","sz":"1","side":"A","time":%d,"dir":"Close Long","crossed":true,"tid":%d,'
        b'"hash":"%b","liquidation":{"liquidatedUser":"%b"}}'
    )
    account, filler = ACCOUNT.encode(), b"x" * pad
    fills = [fill % (now_ms % 100_000 + i, now_ms - i, now_ms + i, filler, account) for i in range(rows)]
    return _pieces(b"[%b]" % b",".join(fills))


BACKFILLS: dict[str, Callable[[], Iterator[bytes]]] = {
    "back-fill: pages as large as may be": lambda: _fills(1_800),
    "back-fill: pages of 31 MB": lambda: _fills(0, 160_000),
    "back-fill: pages without an end": lambda: _chunks(b"[1,1,1,1],"[:10] * 6_000),
    "back-fill: nested for ever": lambda: _chunks(b"[" * 60_000),
    "back-fill: nested as deep as may be": lambda: _pieces(b"[" * (4 * _MIB)),
    "back-fill: headers without an end": lambda: chain(
        [b"HTTP/1.1 200 OK\r\n"], (b"X-%d: %b\r\n" % (i, b"y" * 4_000) for i in count())
    ),
}
REDIS: dict[str, Callable[[], Iterator[bytes]]] = {
    "Redis: an answer nested for ever": lambda: repeat(b"*1\r\n" * 10_000),
    "Redis: two billion elements": lambda: iter([b"*2147483647\r\n*2147483647\r\n"]),
    "Redis: an endless line": lambda: repeat(b"+" + b"x" * 65_536),
    "Redis: an endless text": lambda: iter([b"$1099511627776\r\n", *repeat(bytes(65_536), 10_000)]),
}
FLOODS = (*SOCKETS, *LISTS, *BACKFILLS, *REDIS)


def _refusal(status: bytes, retry_after: bytes | None) -> bytes:
    when = b"" if retry_after is None else b"Retry-After: %b\r\n" % retry_after
    return b"HTTP/1.1 %b\r\n%bContent-Length: 0\r\nConnection: close\r\n\r\n" % (status, when)


REFUSALS: dict[str, bytes] = {
    "429, `Retry-After: 1000`": _refusal(b"429 Too Many Requests", b"1000"),
    "418, `Retry-After: 1000`": _refusal(b"418 I'm a teapot", b"1000"),
    "403, `Retry-After: 1000`": _refusal(b"403 Forbidden", b"1000"),
    "503, a date in 2999": _refusal(b"503 Service Unavailable", b"Thu, 01 Jan 2999 00:00:00 GMT"),
    "429, `Retry-After: 4`": _refusal(b"429 Too Many Requests", b"4"),
    "429, a date in 1970": _refusal(b"429 Too Many Requests", b"Thu, 01 Jan 1970 00:00:00 GMT"),
    "418, `Retry-After: -1`": _refusal(b"418 I'm a teapot", b"-1"),
    "403, no time": _refusal(b"403 Forbidden", None),
}
