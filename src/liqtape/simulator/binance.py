"""Binance futures, market streams: paths, control messages, the one-a-second snapshot and the trades.

Facts: the market group lives under `/market`; the unrouted paths still connect and acknowledge but send nothing. Of
each symbol only the newest liquidation of every 1000 ms window is sent, a second after it. COIN-M contracts come on
the same stream, marked `st` 2, and count in contracts. `S` is the side of the order: SELL closed a long.
"""

import json
import random
import time
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from liqtape.simulator.binance_rest import rest
from liqtape.simulator.binance_words import broken_frames, broken_topic, instrument_of, usd_of
from liqtape.simulator.faults import Faults
from liqtape.simulator.listings import LISTINGS, Listing, listing, on_grid
from liqtape.simulator.throttle import Throttle
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

name = "binance"
refused_topic = ""

_ALL = "!forceOrder@arr"
_TRADES = "btcusdt@aggTrade"
_SERVED = {_ALL, _TRADES} | {f"{item.symbol.lower()}@forceOrder" for item in LISTINGS if item.venue == name}


class _Request(Struct):
    """What a client may send; `id` is any JSON so that a bad one can be complained about."""

    method: str
    params: list[str] = []
    id: object = None


class _ClientSession(ClientSession):
    """The subscriptions of one connection. Any stream is acknowledged; only those that exist are sent."""

    def __init__(self, group: str, streams: list[str], limits: ServerLimits, *, wrapped: bool) -> None:
        self.ping_seconds = limits.binance_ping_seconds
        self.pong_seconds = limits.binance_pong_seconds
        self._limits = limits
        self._serves = group == "market"
        self._wrapped = wrapped
        self._streams = dict.fromkeys(streams)  # a set that keeps the order for LIST_SUBSCRIPTIONS
        self._sent_ms: list[int] = []
        self._lists = 0

    @property
    def follows_liquidations(self) -> bool:
        return self._serves and any(stream in _SERVED and stream != _TRADES for stream in self._streams)

    def received(self, text: str, now_ms: int) -> Reply:
        self._sent_ms = [at for at in self._sent_ms if at > now_ms - 1_000] + [now_ms]
        if len(self._sent_ms) > self._limits.binance_messages_per_second:
            return Reply(close_code=1008)
        try:
            request = msgspec.json.decode(text, type=_Request)
        except msgspec.ValidationError as error:
            return _refusal(2, f"Invalid request: {error}", None)
        except msgspec.DecodeError:
            return _refusal(3, "Invalid JSON: expected value at line 1 column 1", None)
        if not isinstance(request.id, int) or isinstance(request.id, bool) or request.id < 0:
            return _refusal(2, "Invalid request: request ID must be an unsigned integer", None)
        return self._obey(request, request.id)

    def _obey(self, request: _Request, number: int) -> Reply:
        if request.method == "SUBSCRIBE":
            self._streams.update(dict.fromkeys(request.params))
            if len(self._streams) > self._limits.binance_streams:
                return Reply(close_code=1008)
        elif request.method == "UNSUBSCRIBE":
            for stream in request.params:
                self._streams.pop(stream, None)
        elif request.method == "LIST_SUBSCRIPTIONS":
            self._lists += 1
            listed: dict[str, object] = {"result": list(self._streams), "id": number}
            if self._lists % 2 == 0:  # the real one also answers in either order
                listed = {"id": number, "result": listed["result"]}
            return Reply([_json(listed)])
        else:
            known = "SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS"
            return _refusal(2, f"Invalid request: unknown variant {request.method}, expected one of {known}", number)
        return Reply([_json({"result": None, "id": number})])

    def notice(self) -> bytes | None:
        event = _json({"e": "serverShutdown", "E": time.time_ns() // 1_000_000})
        return b'{"stream":"!serverShutdown","data":%b}' % event if self._wrapped else event

    def payloads(self, frame: Frame) -> list[bytes]:
        if not self._serves:
            return []
        if not frame.topics:
            return [frame.body] if self.follows_liquidations else []
        followed = [topic for topic in frame.topics if topic in self._streams]
        if not self._wrapped:
            return [frame.body for _ in followed]
        return [b'{"stream":"%b","data":%b}' % (topic.encode(), frame.body) for topic in followed]


def converse(path: str, query: Mapping[str, str], number: int, limits: ServerLimits) -> _ClientSession | None:  # noqa: ARG001
    """The conversation a path opens: `[/market|/public]/ws[/stream...]` or `.../stream[?streams=a/b]`."""
    parts = [part for part in path.split("/") if part]
    group = parts.pop(0) if parts and parts[0] in ("market", "public") else "unrouted"
    if parts[:1] == ["ws"]:
        return _ClientSession(group, parts[1:], limits, wrapped=False)
    if parts == ["stream"]:
        streams = [stream for stream in query.get("streams", "").split("/") if stream]
        return _ClientSession(group, streams, limits, wrapped=True)
    return None


def _json(answer: dict[str, object]) -> bytes:
    return json.dumps(answer, separators=(",", ":"), ensure_ascii=False).encode()


def _refusal(code: int, text: str, number: int | None) -> Reply:
    if number is None:
        return Reply([_json({"code": code, "msg": text})])
    return Reply([_json({"error": {"code": code, "msg": text}, "id": number})])


class _Publisher:
    """The throttled liquidations and the trades."""

    def __init__(self, seed: int, limits: ServerLimits) -> None:
        self._random = random.Random(f"{seed}:binance")
        self._limits = limits
        self._throttle = Throttle()
        self._trade_id = 3_478_018_549
        self._fill_id = 8_154_045_700
        self._next_trade_ms = 0

    def add(self, arrival: Arrival) -> None:
        self._throttle.add(arrival)

    def due(self, now_ms: int) -> list[Frame]:
        return [_force_order(printed.arrival, printed.push_ms) for printed in self._throttle.due(now_ms)]

    def flush(self) -> list[Frame]:
        return [_force_order(printed.arrival, printed.push_ms) for printed in self._throttle.flush()]

    def stepped(self) -> None:
        self._next_trade_ms = 0

    def converse(self, path: str, query: Mapping[str, str], number: int) -> _ClientSession | None:
        return converse(path, query, number, self._limits)

    def rest(self, asked: RestRequest, now_ms: int) -> Answer | None:
        body = rest(asked.path, asked.query, now_ms, self._limits) if asked.method == "GET" else None
        return None if body is None else Answer(body)

    def trades(self, now_ms: int, price: Callable[[Listing], float]) -> list[Frame]:
        if now_ms < self._next_trade_ms:
            return []
        self._next_trade_ms = now_ms + self._random.randint(100, 250)
        fills = self._random.randint(1, 6)
        first = self._fill_id
        self._trade_id += 1
        self._fill_id += fills
        item = listing(name, "BTCUSDT")
        quantity = on_grid(self._random.expovariate(20), item.step)
        maker = "true" if self._random.random() < 0.5 else "false"
        body = (
            f'{{"e":"aggTrade","E":{now_ms},"a":{self._trade_id},"s":"BTCUSDT","p":"{item.price_text(price(item))}",'
            f'"q":"{quantity}","nq":"{quantity}","f":{first},"l":{self._fill_id - 1},'
            f'"T":{now_ms - self._random.randint(100, 160)},"m":{maker},"st":1}}'
        )
        return [Frame("other_topic", (_TRADES,), body.encode())]


def publisher(seed: int, limits: ServerLimits, faults: Faults | None = None) -> _Publisher:  # noqa: ARG001
    """The venue's publisher for one run of the market."""
    return _Publisher(seed, limits)


def _force_order(arrival: Arrival, push_ms: int) -> Frame:
    liquidation = arrival.liquidation
    item = liquidation.listing
    row = SentRow(
        liquidation.serial, name, item.symbol, liquidation.side, liquidation.fill, liquidation.size, arrival.event_ms
    )
    coin_margined = item.kind == "coinm"
    pair = item.base_coin + item.quote if coin_margined or item.delivery_ms else item.symbol
    # The order is filled in pieces; `l` is only the last of them. Every third order here is filled at once.
    last = row.size if row.serial % 3 == 0 else on_grid(float(row.size) * (5 + row.serial % 90) / 100, item.step)
    body = (
        f'{{"e":"forceOrder","E":{push_ms},"o":{{"s":"{row.symbol}","S":"{"SELL" if row.side == "long" else "BUY"}",'
        f'"o":"LIMIT","f":"IOC","q":"{row.size}","p":"{liquidation.limit}","ap":"{row.price}","X":"FILLED",'
        f'"l":"{last}","z":"{row.size}","T":{row.event_ms},"ps":"{pair}","st":{2 if coin_margined else 1}}}}}'
    )
    return Frame("liquidation", (_ALL, f"{item.symbol.lower()}@forceOrder"), body.encode(), (row,))
