"""OKX v5 perpetuals and dated futures: `liquidation-orders`, everything of a type on one topic.

Facts: tests/fixtures/okx/SOURCE.md. Sizes count contracts, prices are bankruptcy prices, rows come in two nested lists
and up to minutes late. Probably at most one order per contract and second is sent. Topics are spelled here
`channel:what`, as in `liquidation-orders:SWAP` and `trades:BTC-USDT-SWAP`.
"""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from liqtape.assets import COIN, OTHER, UNKNOWN, Asset, Pair, currency_of
from liqtape.errors import DecodeError
from liqtape.events import Ack, Event, Invalid, Notice, Pong, PriceTick, RawLiquidation, Rejected, Side
from liqtape.instruments import Contract, is_symbol, linear
from liqtape.venues.base import (
    MALFORMED,
    Amount,
    ArchivedExchange,
    BackfillPage,
    BackfillRequest,
    Endpoint,
    Heartbeat,
    InstrumentPage,
    InstrumentSource,
    PriceSource,
    Stamp,
    Symbol,
    beyond,
    invalid_reason,
    invalid_row,
    joined,
    plain_decimal,
    rows_of,
)
from liqtape.venues.limits import Limits, RateLimit
from liqtape.venues.tables import OKX_CONTRACTS

__all__ = [
    "archived_exchanges",
    "backfill_horizon_s",
    "backfill_rate_limit",
    "backfill_requests",
    "batch_prefix",
    "bundled_symbols",
    "decode",
    "decode_backfill",
    "decode_batch",
    "decode_instruments",
    "endpoints",
    "heartbeat",
    "instrument_sources",
    "limits",
    "listing_needed",
    "max_publish_delay_ms",
    "name",
    "on_by_default",
    "parse_symbol",
    "price_sources",
    "slot_seconds",
    "subscribe",
    "topics_per_request",
    "ws_url",
]

name = "okx"
on_by_default = True
ws_url = "wss://ws.okx.com"
# Text, not JSON. The venue asks for it when nothing came for 30 s; it is sent in any case, since it is not known
# whether data of its own keeps a connection: the simulator hangs up on who says nothing.
heartbeat = Heartbeat(b"ping", every=25.0)
# 3 connections a second from one address, 480 requests an hour on one (venues reference, 4).
limits = Limits((RateLimit(3, 1.0),), (RateLimit(480, 3_600.0),), idle=30.0)
backfill_rate_limit = RateLimit(20, 2.0)  # 40 in 2 s by its documentation; half is left to others
# "In the last day", as texts of the venue in three client libraries say; an observer found 23.6 h of it.
backfill_horizon_s = 23.5 * 3_600.0
topics_per_request = 1  # each topic is confirmed by itself, and none with the request's id
slot_seconds: int | None = 1
max_publish_delay_ms = 1_100  # as far as is known it sends one a second; single events came minutes late
listing_needed = False
bundled_symbols: tuple[str, ...] = ()
instrument_sources = (
    InstrumentSource("https://www.okx.com", "/api/v5/public/instruments?instType=SWAP"),
    InstrumentSource("https://www.okx.com", "/api/v5/public/instruments?instType=FUTURES"),
)
price_sources = (PriceSource(name, name, "BTC-USDT-SWAP", ws_url, "/ws/v5/public", "trades:BTC-USDT-SWAP"),)
archived_exchanges = (
    ArchivedExchange("okex-futures", "contracts", "contracts", "bankruptcy"),
    ArchivedExchange("okex-swap", "contracts", "contracts", "bankruptcy"),
)

_LIQUIDATIONS = "liquidation-orders"
_SILENCE_LIMIT = 15.0
_CANARY = "trades:BTC-USDT-SWAP"
_NOT_OURS = {"MARGIN", "OPTION"}
_CLOSES_SOON = "64008"
_PAGE_ROWS = 100
_EXPIRY = re.compile(r"\d{6}")
_REFUSED = re.compile(r"channel:([^,\s]+),(?:instType|instId):([^,\s]+) doesn't exist")

# `posSide:side` of the order: the position's side decides where the account keeps long and short apart. `net` and
# `long` of otherwise equal rows are two liquidations, though both closed a long.
_SIDE: dict[str, Side] = {
    "long:sell": "long",
    "long:buy": "long",
    "short:buy": "short",
    "short:sell": "short",
    "net:sell": "long",
    "net:buy": "short",
}

# The same without making the text, which would cost every row 100 ns.
_STRICT_SIDE: dict[str, dict[str, tuple[Side, str]]] = {
    position: {order: (_SIDE[f"{position}:{order}"], f"{position}:{order}") for order in ("buy", "sell")}
    for position in ("long", "short", "net")
}

# As every live frame seen; other orders of the keys go the long way.
_SWAP, _FUTURES = batch_prefix = (
    b'{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":',
    b'{"arg":{"channel":"liquidation-orders","instType":"FUTURES"},"data":',
)
_BEYOND_SWAP, _BEYOND_FUTURES = beyond(_SWAP), beyond(_FUTURES)


class _Arg(Struct, gc=False):
    channel: str
    instType: str = ""
    instId: str = ""


class _StrictDetail(Struct, gc=False):
    """A row as nearly all are; a frame with one that is not like this goes the long way."""

    bkPx: Amount
    posSide: Literal["long", "short", "net"]
    side: Literal["buy", "sell"]
    sz: Amount
    ts: Stamp


class _StrictOrder(Struct, gc=False):
    details: list[_StrictDetail]
    instId: Symbol


class _Strict(Struct, gc=False):
    data: list[_StrictOrder]


class _Detail(Struct, gc=False):
    bkPx: float
    posSide: str
    side: str
    sz: float
    ts: int


class _Named(Struct, gc=False):
    """The fields an identity consists of, there with any value."""

    bkPx: msgspec.Raw
    posSide: msgspec.Raw
    side: msgspec.Raw
    sz: msgspec.Raw
    ts: msgspec.Raw


class _LenientOrder(Struct, gc=False):
    details: list[msgspec.Raw]
    instId: str


class _LenientMessage(Struct, gc=False):
    data: list[_LenientOrder]


class _Trade(Struct, gc=False):
    instId: str
    px: float
    sz: float
    ts: int


class _Trades(Struct, gc=False):
    data: list[_Trade]


class _Frame(Struct, gc=False):
    """Any frame: data of a topic, or an event of the connection."""

    arg: _Arg | None = None
    event: str | None = None
    code: str = ""
    msg: str = ""


_strict = msgspec.json.Decoder(_Strict, strict=False).decode  # the method, bound once
_strict_batch = msgspec.json.Decoder(list[_Strict], strict=False).decode
_lenient = msgspec.json.Decoder(_LenientMessage)
_named = msgspec.json.Decoder(_Named)
_detail = msgspec.json.Decoder(_Detail, strict=False)
_trades = msgspec.json.Decoder(_Trades, strict=False)
_frame = msgspec.json.Decoder(_Frame)


def endpoints(symbols: Sequence[str]) -> list[Endpoint]:  # noqa: ARG001 - a topic carries every symbol of its type
    """Return one connection: the liquidations of perpetuals and dated futures, and BTC trades as price and canary."""
    topics = (f"{_LIQUIDATIONS}:SWAP", f"{_LIQUIDATIONS}:FUTURES", _CANARY)
    return [Endpoint(f"{ws_url}/ws/v5/public", topics, _SILENCE_LIMIT, _CANARY)]


def subscribe(request_id: str, topics: Sequence[str]) -> bytes:  # noqa: ARG001 - confirmed by topic
    """Return `{"op": "subscribe", "args": [{"channel": ..., "instType" or "instId": ...}]}`."""
    args = []
    for topic in topics:
        channel, _, what = topic.partition(":")
        args.append({"channel": channel, "instType" if channel == _LIQUIDATIONS else "instId": what})
    return msgspec.json.encode({"op": "subscribe", "args": args})


def decode(payload: bytes, receive_ms: int | None) -> list[Event]:
    """Decode one frame into events; a bad value spoils only its row, a missing field of an identity the frame."""
    if not (_SWAP <= payload < _BEYOND_SWAP or _FUTURES <= payload < _BEYOND_FUTURES):
        return _long_way(payload, receive_ms)
    try:
        orders = _strict(payload).data
    except MALFORMED:
        return _long_way(payload, receive_ms)
    if len(orders) != 1 or len(orders[0].details) != 1:
        return _events(orders, receive_ms)
    order = orders[0]  # as in `_events`, but without its loops and call: 100 ns less
    row = order.details[0]
    side, words = _STRICT_SIDE[row.posSide][row.side]
    return [
        RawLiquidation(
            name,
            order.instId,
            side,
            row.bkPx,
            "bankruptcy",
            row.sz,
            "contracts",
            row.ts,
            receive_ms,
            venue_side=words,
        )
    ]


def decode_batch(payloads: Sequence[bytes], receive_ms: int | None) -> list[Event]:
    """Decode the event of each of many liquidation frames."""
    try:
        messages = _strict_batch(joined(payloads))
    except MALFORMED as error:
        raise DecodeError(f"{name}: {error}") from error
    orders = [order for message in messages for order in message.data]
    if len(messages) != len(payloads) or not all(len(message.data) == 1 for message in messages):
        raise DecodeError(f"{name}: not one liquidation a frame")
    if not all(len(order.details) == 1 for order in orders):
        raise DecodeError(f"{name}: not one liquidation a frame")
    return _events(orders, receive_ms)


def _events(orders: Sequence[_StrictOrder], receive_ms: int | None) -> list[Event]:
    events: list[Event] = []
    for order in orders:
        symbol = order.instId
        for row in order.details:
            side, words = _STRICT_SIDE[row.posSide][row.side]
            events.append(
                RawLiquidation(
                    name,
                    symbol,
                    side,
                    row.bkPx,
                    "bankruptcy",
                    row.sz,
                    "contracts",
                    row.ts,
                    receive_ms,
                    venue_side=words,
                ),
            )
    return events


def _long_way(payload: bytes, receive_ms: int | None) -> list[Event]:
    """Decode any frame, in whatever order its keys are, with the reason where a row is none."""
    try:
        return [Pong()] if payload == b"pong" else _any(payload, receive_ms)
    except MALFORMED as error:
        raise DecodeError(f"{name}: {error}") from error


def _any(payload: bytes, receive_ms: int | None) -> list[Event]:
    if payload.startswith(b'{"arg":{"channel":"trades",'):
        return _prices(_trades.decode(payload).data, receive_ms)
    frame = _frame.decode(payload)
    if frame.event is not None:
        return [_control(frame)]
    if frame.arg is None:
        raise DecodeError(f"{name}: neither a topic nor an event")
    if frame.arg.channel == "trades":
        return _prices(_trades.decode(payload).data, receive_ms)
    if frame.arg.channel != _LIQUIDATIONS or frame.arg.instType in _NOT_OURS:
        return []
    symbols: list[str] = []
    raws: list[msgspec.Raw] = []
    for order in _lenient.decode(payload).data:
        for raw in order.details:
            _named.decode(raw)
            symbols.append(order.instId)
            raws.append(raw)
    rows = zip(symbols, rows_of(name, raws, _detail), strict=True)
    return [_liquidation(symbol, row, receive_ms) for symbol, row in rows]


def _control(frame: _Frame) -> Event:
    topic = "" if frame.arg is None else f"{frame.arg.channel}:{frame.arg.instType or frame.arg.instId}"
    if frame.event == "subscribe":
        return Ack(topic=topic)
    if frame.event == "unsubscribe":
        return Ack(topic=f"unsubscribe {topic}")  # never asked for: it answers none of our requests
    if frame.event == "error":
        if not topic and (named := _REFUSED.search(frame.msg)):
            topic = f"{named[1]}:{named[2]}"
        return Rejected(reason=f"{frame.code} {frame.msg}".strip(), topic=topic)
    if frame.event == "notice" and frame.code == _CLOSES_SOON:
        return Notice(f"{frame.code} {frame.msg}".strip())
    raise DecodeError(f"{name}: unknown event {frame.event[:40] if frame.event else ''} {frame.code[:20]}")


def _prices(rows: list[_Trade], receive_ms: int | None) -> list[Event]:
    return [
        PriceTick(name, r.instId, r.px, r.sz, r.ts, receive_ms) for r in rows if not invalid_reason(r.px, r.sz, r.ts)
    ]


def _liquidation(symbol: str, row: _Detail | Invalid, receive_ms: int | None) -> RawLiquidation | Invalid:
    if isinstance(row, Invalid):
        return row
    words = f"{row.posSide}:{row.side}"
    side = _SIDE.get(words)
    reason = invalid_reason(row.bkPx, row.sz, row.ts) or ("symbol" if not is_symbol(symbol) else "" if side else "side")
    if reason or side is None:
        return invalid_row(name, reason, row)
    return RawLiquidation(
        name, symbol, side, row.bkPx, "bankruptcy", row.sz, "contracts", row.ts, receive_ms, venue_side=words
    )


def parse_symbol(symbol: str) -> Contract:
    """Parse `BTC-USDT-SWAP` as BTCUSDT, `BTC-USD-251226` as BTCUSD_251226; without a size where the table has none."""
    return _spelled(symbol, UNKNOWN, "")


def _spelled(symbol: str, asset: Asset, settle: str) -> Contract:
    """Return the contract by its symbol, on such an asset; a linear one is named by what it `settle`s in, if told."""
    family, _, kind = symbol.rpartition("-")
    base, _, quote = family.partition("-")
    dated = _EXPIRY.fullmatch(kind) is not None
    if not base or not quote or not (dated or kind == "SWAP"):
        return Contract(name, symbol, symbol, quote="")
    unit_value, inverse = OKX_CONTRACTS.get(f"{family}-FUTURES" if dated else symbol, (None, False))
    pair = Pair(base, settle or quote, f"_{kind}" if dated else "")
    contract = linear(name, symbol, pair, asset=asset, unit_value=unit_value)
    return replace(contract, inverse=inverse, quote=_currency(quote), coin="" if inverse else contract.coin)


def _currency(quote: str) -> str:
    """Return the currency of `USD_UM` or `USD_UM_XPERP`, as families of linear contracts in dollars are called."""
    return quote.partition("_")[0]


# `instCategory` says the class of the asset. Older answers lack it; of their `ruleType` these words say nothing of it.
_CATEGORIES: dict[str, Asset] = {"1": COIN, "3": "equity", "4": "commodity", "5": "fx"}
_RULES = frozenset({"", "normal", "pre_market", "xperp"})


class _Listed(Struct):
    instId: str
    ctType: str = ""
    ctVal: str = ""
    ctMult: str = ""
    ctValCcy: str = ""
    settleCcy: str = ""
    uly: str | None = None
    instCategory: str | None = None
    ruleType: str | None = None


class _Answer(Struct):
    code: str
    data: list[_Listed]
    msg: str = ""


_answer = msgspec.json.Decoder(_Answer)


def decode_instruments(payload: bytes) -> InstrumentPage:
    """Decode `GET /api/v5/public/instruments?instType=SWAP|FUTURES`; `ctType` decides what is inverse, not the name."""
    try:
        answer = _answer.decode(payload)
    except MALFORMED as error:
        raise DecodeError(f"{name} instruments: {error}") from error
    if answer.code != "0":
        raise DecodeError(f"{name} instruments: {answer.code[:20]} {answer.msg[:200]}")
    return InstrumentPage([_contract(row) for row in answer.data])


def _contract(row: _Listed) -> Contract:
    inverse = row.ctType == "inverse"
    # Quoted in USD it still bears the name of what it settles in: BTCUSD means the inverse one.
    settle = row.settleCcy if row.ctType == "linear" and row.settleCcy != "USD" else ""
    contract = _spelled(row.instId, _asset(row), settle)
    quote = _currency((row.uly or "").partition("-")[2]) or contract.quote
    return replace(
        contract,
        inverse=inverse,
        unit_value=_unit_value(row),
        quote=currency_of(quote, "" if inverse else row.settleCcy),
        coin="" if inverse else contract.coin,
    )


def _asset(row: _Listed) -> Asset:
    """Return what the contract is on, by the list."""
    if row.instCategory:
        return _CATEGORIES.get(row.instCategory, OTHER)
    return UNKNOWN if (row.ruleType or "") in _RULES else OTHER


def _unit_value(row: _Listed) -> str | None:
    """Return what one contract is worth; None where the row does not say it, or says it in an unexpected currency."""
    expected = {"linear": row.instId.partition("-")[0], "inverse": "USD"}.get(row.ctType)
    if expected is None or row.ctValCcy != expected:
        return None
    try:
        value = plain_decimal(row.ctVal) * plain_decimal(row.ctMult)
        return format(value, "f") if Decimal("1e-12") <= value <= Decimal("1e12") else None
    except ArithmeticError:
        return None


def backfill_requests(from_ms: int, until_ms: int, subjects: Sequence[str]) -> list[BackfillRequest]:
    """Return the newest page of each family of these symbols: there is no request for all of a type.

    The family, not the underlying: `BTC-USD_UM-261030` is of the family BTC-USD_UM, and of the underlying BTC-USD,
    which it shares with `BTC-USD-261030`.
    """
    return [_page(kind, family, from_ms - 1, until_ms + 1) for kind, family in dict.fromkeys(map(_family, subjects))]


def _family(symbol: str) -> tuple[str, str]:
    """Return the type and the family of a contract."""
    family, _, kind = symbol.rpartition("-")
    return "FUTURES" if _EXPIRY.fullmatch(kind) else "SWAP", family


def _page(kind: str, family: str, newer_ms: int, older_ms: int) -> BackfillRequest:
    """Return rows of one family newer than the one and older than the other stamp."""
    what = f"instType={kind}&instFamily={family}&state=filled&before={newer_ms}&after={older_ms}&limit={_PAGE_ROWS}"
    subject = f"{kind} {family} {newer_ms} {older_ms}"
    return BackfillRequest("https://www.okx.com", f"/api/v5/public/liquidation-orders?{what}", subject=subject)


class _PastOrder(Struct, gc=False):
    details: list[msgspec.Raw]
    instId: str


class _Past(Struct, gc=False):
    code: str
    data: list[_PastOrder]
    msg: str = ""


_past = msgspec.json.Decoder(_Past)


def decode_backfill(request: BackfillRequest, payload: bytes, receive_ms: int | None) -> BackfillPage:
    """Decode `GET /api/v5/public/liquidation-orders`, newest first: the fields are those of the socket.

    Rows of another family or time than was asked for are taken as well, but then it is not known what became of the
    question: the answer is not whole.
    """
    try:
        answer = _past.decode(payload)
        if answer.code != "0":
            raise DecodeError(f"{name} past liquidations: {answer.code[:20]} {answer.msg[:200]}")
        symbols = [order.instId for order in answer.data for _ in order.details]
        rows = rows_of(name, [raw for order in answer.data for raw in order.details], _detail)
    except MALFORMED as error:
        raise DecodeError(f"{name} past liquidations: {error}") from error
    if len(rows) > _PAGE_ROWS:
        raise DecodeError(f"{name} past liquidations: {len(rows)} rows, a page has {_PAGE_ROWS}")
    events: list[Event] = []
    for symbol, row in zip(symbols, rows, strict=True):
        event = _liquidation(symbol, row, receive_ms)
        events.append(event if isinstance(event, Invalid) else replace(event, replayed=True))
    kind, family, newer_ms, older_ms = request.subject.split()
    is_of_question = all(_family(order.instId) == (kind, family) for order in answer.data) and all(
        int(newer_ms) <= row.ts <= int(older_ms) for row in rows if not isinstance(row, Invalid)
    )
    whole = is_of_question and not any(isinstance(event, Invalid) for event in events)
    if len(rows) < _PAGE_ROWS or not is_of_question:
        return BackfillPage(events, whole=whole)
    oldest_ms = min((row.ts for row in rows if not isinstance(row, Invalid)), default=0)
    if oldest_ms + 1 >= int(older_ms):  # a whole page of one millisecond: what is behind it cannot be asked for
        return BackfillPage(events, whole=False)
    return BackfillPage(events, _page(kind, family, int(newer_ms), oldest_ms + 1), whole)
