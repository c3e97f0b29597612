"""OKX v5 public socket: control messages, throttled liquidations in frames of several rows, trades.

Facts: everything of an `instType` comes, there is no filter: `instId` is refused (60018), `instFamily` is dropped in
silence. At most one liquidation of a contract and second; `sz` counts contracts; `posSide` may be `net`. The client has
to send something every 30 s: text `ping` is answered with text `pong`, ping frames do not count. How the venue bundles
rows into frames is not known: here a push is sometimes kept back, so that both arrays get several elements.
"""

import json
import random
import zlib
from collections import deque
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from liqtape.simulator.faults import Faults
from liqtape.simulator.listings import LISTINGS, Listing, listing, on_grid, trimmed
from liqtape.simulator.okx_rest import Detail, rest
from liqtape.simulator.okx_words import broken_frames, broken_topic, instrument_of, usd_of
from liqtape.simulator.throttle import Printed, Throttle
from liqtape.simulator.wire import Answer, Arrival, ClientSession, Frame, Reply, RestRequest, SentRow, ServerLimits

__all__ = ["broken_frames", "broken_topic", "converse", "instrument_of", "name", "publisher", "refused_topic", "usd_of"]

name = "okx"
refused_topic = "liquidation-orders:SWAP"

_LIQUIDATIONS = "liquidation-orders"
_TYPES = ("SWAP", "FUTURES", "MARGIN", "OPTION")
_TRADED = "BTC-USDT-SWAP"
_NO_MESSAGE = 4004  # its close code says: no data received in 30 s
_HISTORY = 50_000
_SLOW_PUSH = 0.2
_SLOW_MS = 2_500
_NET = 0.15


class _Request(Struct):
    """What a client may send."""

    op: str
    args: list[dict[str, str]]
    id: str | None = None


class _ClientSession(ClientSession):
    """The channels of one connection."""

    idle_by = "said"
    idle_code = _NO_MESSAGE

    def __init__(self, number: int, limits: ServerLimits, last: Mapping[str, Frame] | None) -> None:
        self.idle_seconds = limits.okx_idle_seconds
        self._last = last
        self._topics: dict[str, None] = {}
        self._conn_id = f"{zlib.crc32(b'connection %d' % number):08x}"

    @property
    def follows_liquidations(self) -> bool:
        return any(topic.startswith(_LIQUIDATIONS) for topic in self._topics)

    def received(self, text: str, now_ms: int) -> Reply:  # noqa: ARG002
        if text == "ping":
            return Reply([b"pong"])
        try:
            request = msgspec.json.decode(text, type=_Request)
        except msgspec.MsgspecError:
            return Reply([self._error("60012", f"Illegal request: {text}")])
        if request.op not in ("subscribe", "unsubscribe") or not request.args:
            return Reply([self._error("60012", f"Illegal request: {text}")])
        frames: list[bytes] = []
        more: list[Frame] = []
        for asked in request.args:
            arg = _served(asked)
            if arg is None:
                frames.append(self._error("60018", _no_such(asked), request.id))
                continue
            topic = f"{arg['channel']}:{arg.get('instType') or arg['instId']}"
            if request.op == "subscribe" and self.refuses([topic]):
                frames.append(self._error("60014", "Requests too frequent", request.id))
                continue
            frames.append(self._json({"event": request.op, "arg": arg}, request.id))
            if request.op == "unsubscribe":
                self._topics.pop(topic, None)
                continue
            self._topics[topic] = None
            if self._last is not None and topic in self._last:
                more.append(self._last[topic])
        return Reply(frames, more=more)

    def payloads(self, frame: Frame) -> list[bytes]:
        if not frame.topics:
            return [frame.body] if self.follows_liquidations else []
        return [frame.body for topic in frame.topics if topic in self._topics]

    def notice(self) -> bytes | None:
        text = "The connection will soon be closed for a service upgrade. Please reconnect."
        return self._json({"event": "notice", "code": "64008", "msg": text})

    def _error(self, code: str, text: str, request_id: str | None = None) -> bytes:
        return self._json({"event": "error", "msg": text, "code": code}, request_id)

    def _json(self, answer: dict[str, object], request_id: str | None = None) -> bytes:
        if request_id is not None:
            answer = {"id": request_id} | answer
        return json.dumps(answer | {"connId": self._conn_id}, separators=(",", ":")).encode()


def _served(asked: dict[str, str]) -> dict[str, str] | None:
    """The subscription as the acknowledgement names it, or None where there is nothing of the kind."""
    if asked.get("channel") == _LIQUIDATIONS and "instId" not in asked and asked.get("instType") in _TYPES:
        return {"channel": _LIQUIDATIONS, "instType": asked["instType"]}
    if asked.get("channel") == "trades" and (name, asked.get("instId")) in _LISTED:
        return {"channel": "trades", "instId": asked["instId"]}
    return None


_LISTED = {(item.venue, item.symbol) for item in LISTINGS}


def _no_such(asked: dict[str, str]) -> str:
    named = ",".join(f"{key}:{value}" for key, value in asked.items() if key in ("channel", "instId") and value)
    return (
        f"Wrong URL or {named} doesn't exist. Please use the correct URL, channel and parameters referring to "
        "API document."
    )


def converse(
    path: str, number: int, limits: ServerLimits, last: Mapping[str, Frame] | None = None
) -> _ClientSession | None:
    """The conversation of `/ws/v5/public`; `last` are the messages that a new subscriber gets once more."""
    return _ClientSession(number, limits, last) if path.strip("/") == "ws/v5/public" else None


class _Publisher:
    """Throttles each contract, bundles each channel, and keeps what it printed for the backfill."""

    def __init__(self, seed: int, limits: ServerLimits, faults: Faults | None) -> None:
        self._random = random.Random(f"{seed}:okx")
        self._limits = limits
        self._repeats_last = faults is not None and faults.repeats_last
        self._throttle = Throttle()
        self._held: dict[str, list[Detail]] = {}
        self._next_push_ms: dict[str, int] = {}
        self._last: dict[str, Frame] = {}
        self._history: deque[Detail] = deque(maxlen=_HISTORY)
        self._next_trade_ms = 0
        self._trade_id = 2_701_364_977
        self._sequence = 323_647_402_789

    def add(self, arrival: Arrival) -> None:
        self._throttle.add(arrival)

    def due(self, now_ms: int) -> list[Frame]:
        self._hold(self._throttle.due(now_ms))
        ready = [kind for kind in self._held if self._next_push_ms.get(kind, 0) <= now_ms]
        for kind in ready:
            slow = self._random.random() < _SLOW_PUSH
            self._next_push_ms[kind] = now_ms + (_SLOW_MS if slow else self._random.randint(50, 400))
        return self._push(ready)

    def flush(self) -> list[Frame]:
        self._hold(self._throttle.flush())
        return self._push(list(self._held))

    def stepped(self) -> None:
        self._next_push_ms.clear()
        self._next_trade_ms = 0

    def converse(self, path: str, query: Mapping[str, str], number: int) -> _ClientSession | None:  # noqa: ARG002
        return converse(path, number, self._limits, self._last if self._repeats_last else None)

    def rest(self, asked: RestRequest, now_ms: int) -> Answer | None:  # noqa: ARG002
        return rest(asked, self._history, self._limits)

    def trades(self, now_ms: int, price: Callable[[Listing], float]) -> list[Frame]:
        if now_ms < self._next_trade_ms:
            return []
        self._next_trade_ms = now_ms + self._random.randint(100, 250)
        item = listing(name, _TRADED)
        count = self._random.randint(1, 8)
        self._trade_id += count
        self._sequence += self._random.randint(1, 40)
        size = trimmed(on_grid(self._random.expovariate(1 / 5), item.step))
        body = (
            f'{{"arg":{{"channel":"trades","instId":"{_TRADED}"}},"data":[{{"instId":"{_TRADED}",'
            f'"tradeId":"{self._trade_id}","px":"{trimmed(item.price_text(price(item)))}","sz":"{size}",'
            f'"side":"{self._random.choice(("buy", "sell"))}","ts":"{now_ms - self._random.randint(2, 20)}",'
            f'"count":"{count}","source":"0","seqId":{self._sequence}}}]}}'
        )
        return [Frame("other_topic", (f"trades:{_TRADED}",), body.encode())]

    def _hold(self, printed: list[Printed]) -> None:
        for one in printed:
            liquidation = one.arrival.liquidation
            item = liquidation.listing
            row = SentRow(
                liquidation.serial, name, item.symbol, liquidation.side,
                trimmed(liquidation.limit), trimmed(liquidation.size), one.arrival.event_ms,
            )  # fmt: skip
            detail = Detail(row, item, position="net" if self._random.random() < _NET else liquidation.side)
            self._held.setdefault(detail.kind, []).append(detail)

    def _push(self, kinds: list[str]) -> list[Frame]:
        frames = []
        for kind in kinds:
            details = self._held.pop(kind)
            self._history.extend(details)
            frame = _liquidation_orders(kind, details)
            self._last[frame.topics[0]] = frame
            frames.append(frame)
        return frames


def publisher(seed: int, limits: ServerLimits, faults: Faults | None = None) -> _Publisher:
    """The venue's publisher for one run of the market."""
    return _Publisher(seed, limits, faults)


def _liquidation_orders(kind: str, details: list[Detail]) -> Frame:
    arg = {"channel": _LIQUIDATIONS, "instType": kind}
    by_contract: dict[str, list[Detail]] = {}
    for detail in details:
        by_contract.setdefault(detail.row.symbol, []).append(detail)
    entries = [
        {
            "details": [detail.printed() for detail in group],
            "instFamily": group[0].family,
            "instId": symbol,
            "instType": kind,
            "uly": group[0].underlying,
        }
        for symbol, group in by_contract.items()
    ]
    rows = tuple(detail.row for group in by_contract.values() for detail in group)
    body = json.dumps({"arg": arg, "data": entries}, separators=(",", ":"))
    return Frame("liquidation", (f"{_LIQUIDATIONS}:{kind}",), body.encode(), rows)
