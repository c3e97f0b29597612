"""Bybit v5 public streams, linear and inverse: control messages, batches of 500 ms, trades.

Facts: `allLiquidation` carries every liquidation, batched each 500 ms a topic, several rows in `data`; `S` is the side
of the POSITION (Buy: a long was closed), `p` the bankruptcy price. One unknown topic refuses the whole request. The
topic `liquidation.{symbol}` is gone. All `args` of a connection together hold at most 21,000 characters.
"""

import json
import random
import uuid
import zlib
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from liqtape.simulator.bybit_rest import rest
from liqtape.simulator.bybit_words import broken_frames, broken_topic, instrument_of, usd_of
from liqtape.simulator.faults import Faults
from liqtape.simulator.listings import LISTINGS, PRE_MARKET, Listing, listing, on_grid
from liqtape.simulator.wire import Answer, Arrival, ClientSession, Frame, Reply, RestRequest, SentRow, ServerLimits

__all__ = [
    "broken_frames",
    "broken_topic",
    "converse",
    "instrument_of",
    "name",
    "publisher",
    "refused_topic",
    "rest",
    "usd_of",
]

name = "bybit"
refused_topic = "allLiquidation.BTCUSDT"

BATCH_MS = 500
_LIQUIDATION = "allLiquidation."


class _Request(Struct):
    """What a client may send."""

    op: str
    args: list[str] = []
    req_id: str | int | None = None  # the venue takes both, and answers what it got


class _ClientSession(ClientSession):
    """The topics of one connection of one category."""

    def __init__(self, category: str, number: int, limits: ServerLimits) -> None:
        self.idle_seconds = limits.bybit_idle_seconds
        self._limits = limits
        self._known = {
            f"{kind}.{item.symbol}"
            for item in (*LISTINGS, *PRE_MARKET)
            if item.venue == name and item.kind == category
            for kind in ("allLiquidation", "publicTrade", "tickers")
        }
        self._topics: dict[str, None] = {}
        self._conn_id = f"simulated{number:08d}-{number:x}"

    @property
    def follows_liquidations(self) -> bool:
        return any(topic.startswith(_LIQUIDATION) for topic in self._topics)

    def received(self, text: str, now_ms: int) -> Reply:  # noqa: ARG002
        try:
            request = msgspec.json.decode(text, type=_Request)
        except msgspec.MsgspecError:
            return Reply([_json({"success": False, "ret_msg": "Params Error", "conn_id": self._conn_id, "op": ""})])
        if request.op == "ping":
            return self._answer(request, "pong")
        if request.op == "subscribe":
            return self._subscribe(request)
        if request.op == "unsubscribe":
            for topic in request.args:
                self._topics.pop(topic, None)
            return self._answer(request, "")
        return self._answer(request, "Invalid op", success=False)

    def _subscribe(self, request: _Request) -> Reply:
        unknown = [topic for topic in request.args if topic not in self._known]
        if unknown or not request.args:
            return self._answer(request, f"Invalid topic: {','.join(unknown)}", success=False)
        if self.refuses(request.args):
            return self._answer(request, "Too many requests", success=False)
        wanted = self._topics | dict.fromkeys(request.args)
        if sum(map(len, wanted)) > self._limits.bybit_args_characters:
            text = f"args of one connection exceed {self._limits.bybit_args_characters} characters"
            return self._answer(request, text, success=False)
        self._topics = wanted
        return self._answer(request, "")

    def _answer(self, request: _Request, text: str, *, success: bool = True) -> Reply:
        answer: dict[str, object] = {"success": success, "ret_msg": text, "conn_id": self._conn_id}
        if request.req_id is not None or request.op == "ping":
            answer["req_id"] = "" if request.req_id is None else str(request.req_id)
        return Reply([_json(answer | {"op": request.op})])

    def payloads(self, frame: Frame) -> list[bytes]:
        if not frame.topics:
            return [frame.body] if self.follows_liquidations else []
        return [frame.body for topic in frame.topics if topic in self._topics]


def converse(path: str, query: Mapping[str, str], number: int, limits: ServerLimits) -> _ClientSession | None:  # noqa: ARG001
    """The conversation of `/v5/public/linear` or `/v5/public/inverse`."""
    head, _, category = path.strip("/").rpartition("/")
    if head == "v5/public" and category in ("linear", "inverse"):
        return _ClientSession(category, number, limits)
    return None


def _json(answer: dict[str, object]) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode()


class _Batch(Struct):
    """The rows of one symbol that wait for the end of its 500 ms."""

    ends_ms: int
    rows: list[SentRow]


class _Publisher:
    """Batches a topic every 500 ms; the topics' clocks are not in step."""

    def __init__(self, seed: int, limits: ServerLimits) -> None:
        self._random = random.Random(f"{seed}:bybit")
        self._limits = limits
        self._rows_per_frame = limits.bybit_rows
        self._batches: dict[str, _Batch] = {}
        self._ended: list[_Batch] = []
        self._next_trade_ms = {"BTCUSDT": 0, "BTCUSD": 0}
        self._sequence = 598_180_439_295

    def add(self, arrival: Arrival) -> None:
        liquidation = arrival.liquidation
        symbol = liquidation.listing.symbol
        row = SentRow(
            liquidation.serial, name, symbol, liquidation.side, liquidation.limit, liquidation.size, arrival.event_ms
        )
        batch = self._batches.get(symbol)
        if batch is not None and batch.ends_ms <= arrival.arrived_ms:
            self._ended.append(batch)
            batch = None
        if batch is None:
            phase = zlib.crc32(symbol.encode()) % BATCH_MS
            ends_ms = arrival.arrived_ms + BATCH_MS - (arrival.arrived_ms - phase) % BATCH_MS
            batch = self._batches[symbol] = _Batch(ends_ms, [])
        batch.rows.append(row)

    def due(self, now_ms: int) -> list[Frame]:
        return self._close([symbol for symbol, batch in self._batches.items() if batch.ends_ms <= now_ms])

    def flush(self) -> list[Frame]:
        return self._close(list(self._batches))

    def _close(self, symbols: list[str]) -> list[Frame]:
        ended = self._ended + [self._batches.pop(symbol) for symbol in symbols]
        self._ended = []
        ended.sort(key=lambda batch: batch.ends_ms)
        return [
            _all_liquidation(rows, batch.ends_ms)
            for batch in ended
            for rows in frames_of(batch.rows, self._rows_per_frame)
        ]

    def stepped(self) -> None:
        self._next_trade_ms = dict.fromkeys(self._next_trade_ms, 0)

    def converse(self, path: str, query: Mapping[str, str], number: int) -> _ClientSession | None:
        return converse(path, query, number, self._limits)

    def rest(self, asked: RestRequest, now_ms: int) -> Answer | None:
        body = rest(asked.path, asked.query, now_ms, self._limits) if asked.method == "GET" else None
        return None if body is None else Answer(body)

    def trades(self, now_ms: int, price: Callable[[Listing], float]) -> list[Frame]:
        frames: list[Frame] = []
        for symbol, at_ms in self._next_trade_ms.items():
            if now_ms >= at_ms:
                self._next_trade_ms[symbol] = now_ms + self._random.randint(100, 250)
                item = listing(name, symbol)
                frames.append(self._public_trade(item, item.price_text(price(item)), now_ms))
        return frames

    def _public_trade(self, item: Listing, price: str, now_ms: int) -> Frame:
        self._sequence += 1
        side, tick = self._random.choice((("Buy", "PlusTick"), ("Sell", "MinusTick")))
        rows = []
        for piece in range(self._random.randint(1, 3)):
            size = on_grid(self._random.expovariate(1 / 900 if item.kind == "inverse" else 20), item.step)
            trade = uuid.UUID(int=self._random.getrandbits(128), version=4)
            rows.append(
                f'{{"T":{now_ms - 2},"s":"{item.symbol}","S":"{side}","v":"{size}","p":"{price}",'
                f'"L":"{"Zero" if piece else ""}{tick}","i":"{trade}","BT":false,"RPI":false,"seq":{self._sequence}}}'
            )
        topic = f"publicTrade.{item.symbol}"
        body = f'{{"topic":"{topic}","type":"snapshot","ts":{now_ms},"data":[{",".join(rows)}]}}'
        return Frame("other_topic", (topic,), body.encode())


def publisher(seed: int, limits: ServerLimits, faults: Faults | None = None) -> _Publisher:  # noqa: ARG001
    """The venue's publisher for one run of the market."""
    return _Publisher(seed, limits)


def frames_of(rows: list[SentRow], at_most: int) -> list[list[SentRow]]:
    """The rows of a batch by frame. Rows that print alike stay in one frame: only there are they two liquidations."""
    alike: dict[tuple[int, str, str, str], list[SentRow]] = {}
    for row in rows:
        alike.setdefault((row.event_ms, row.side, row.price, row.size), []).append(row)
    frames: list[list[SentRow]] = [[]]
    for group in alike.values():
        if frames[-1] and len(frames[-1]) + len(group) > at_most:
            frames.append([])
        frames[-1] += group
    return frames


def _all_liquidation(rows: list[SentRow], push_ms: int) -> Frame:
    topic = _LIQUIDATION + rows[0].symbol
    printed = ",".join(
        f'{{"T":{row.event_ms},"s":"{row.symbol}","S":"{"Buy" if row.side == "long" else "Sell"}",'
        f'"v":"{row.size}","p":"{row.price}"}}'
        for row in rows
    )
    body = f'{{"topic":"{topic}","type":"snapshot","ts":{push_ms},"data":[{printed}]}}'
    return Frame("liquidation", (topic,), body.encode(), tuple(rows))
