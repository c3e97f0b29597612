"""Bybit v5 linear and inverse: `allLiquidation` topics, every liquidation, in batches of 500 ms.

Facts: tests/fixtures/bybit/SOURCE.md. `S` is the side of the POSITION (Buy = a long was closed), the opposite of other
venues; `p` is the bankruptcy price; equal rows of one frame are distinct liquidations.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Literal
from urllib.parse import quote

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from liqtape.assets import COIN, UNKNOWN, Asset, Pair, currency_of, marked, split_quote
from liqtape.errors import DecodeError
from liqtape.events import Ack, Event, Invalid, Pong, PriceTick, RawLiquidation, Rejected, Side, Unit
from liqtape.instruments import Contract, is_symbol, linear
from liqtape.venues.base import (
    MALFORMED,
    Amount,
    ArchivedExchange,
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
    rows_of,
    yymmdd,
)
from liqtape.venues.limits import Limits, RateLimit
from liqtape.venues.tables import BYBIT_SYMBOLS

__all__ = [
    "alternatives",
    "archived_exchanges",
    "batch_prefix",
    "bundled_symbols",
    "decode",
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

name = "bybit"
on_by_default = True
ws_url = "wss://stream.bybit.com"
heartbeat = Heartbeat(b'{"op":"ping"}', every=20.0)
# 500 connections in 5 min from one address (v5 "Connect"); for messages it states no figure: ours is caution.
limits = Limits((RateLimit(250, 300.0),), (RateLimit(100, 1.0),), idle=600.0)
topics_per_request = 200
slot_seconds: int | None = None
max_publish_delay_ms = 600  # batches of 500 ms
listing_needed = True
bundled_symbols = BYBIT_SYMBOLS
instrument_sources = (
    InstrumentSource("https://api.bybit.com", "/v5/market/instruments-info?category=linear&limit=1000"),
    InstrumentSource("https://api.bybit.com", "/v5/market/instruments-info?category=inverse&limit=1000"),
    # Perpetuals before their market opens are liquidated as well, and are listed only where they are asked for.
    InstrumentSource(
        "https://api.bybit.com",
        "/v5/market/instruments-info?category=linear&status=PreLaunch&limit=1000",
        may_be_empty=True,
    ),
)
price_sources = (PriceSource(name, name, "BTCUSDT", ws_url, "/v5/public/linear", "publicTrade.BTCUSDT"),)
archived_exchanges = (ArchivedExchange("bybit", "base", "usd", "bankruptcy"),)

batch_prefix = b'{"topic":"allLiquidation.'
_BEYOND_PREFIX = beyond(batch_prefix)

_TOPIC = "allLiquidation."
_OTHER_HOSTS = ("wss://stream.bybit.kz", "wss://stream.bybit-tr.com")  # v5 "Connect": of its regional sites
_LENGTH_LIMIT = 21_000  # characters of all topics of one connection, counted here as the JSON list they are sent in
_PUNCTUATION = 3
_SIDE: dict[str, Side] = {"Buy": "long", "Sell": "short"}  # POSITION side
_INVERSE = re.compile(r"[A-Z0-9]+USD([FGHJKMNQUVXZ]\d\d)?$")
_QUARTER_CODE = re.compile(r"USD[FGHJKMNQUVXZ]\d\d$")
_DATED = re.compile(r"([A-Z0-9]+?)(USDT)?-(\d{1,2})([A-Z]{3})(\d\d)$")
_DELIVERY = re.compile(r"[1-9][0-9]{12}")  # "0" is no date
_MONTHS = {m: f"{i:02}" for i, m in enumerate("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(), start=1)}


class _SoundRow(Struct, gc=False):
    """A row as nearly all are; a frame with one that is not like this goes the long way."""

    T: Stamp
    s: Symbol
    S: Literal["Buy", "Sell"]
    v: Amount
    p: Amount


class _Strict(Struct, gc=False):
    data: list[_SoundRow]


class _Row(Struct, gc=False):
    T: int
    s: str
    S: str
    v: float
    p: float


class _Trades(Struct, gc=False):
    data: list[_Row]


class _Loose(Struct, gc=False):
    topic: str
    data: list[msgspec.Raw]


class _Frame(Struct, gc=False):
    """Any frame: a topic, or an answer to a request."""

    topic: str | None = None
    op: str | None = None
    success: bool | None = None
    ret_msg: str = ""
    req_id: str = ""


_strict = msgspec.json.Decoder(_Strict, strict=False).decode  # the method, bound once
_strict_batch = msgspec.json.Decoder(list[_Strict], strict=False).decode
_trades = msgspec.json.Decoder(_Trades, strict=False)
_lenient = msgspec.json.Decoder(_Loose)
_row = msgspec.json.Decoder(_Row, strict=False)
_frame = msgspec.json.Decoder(_Frame)


def endpoints(symbols: Sequence[str]) -> list[Endpoint]:
    """Return connections per category, each within the limit on the length of its topics, with BTC trades as canary."""
    inverse = [s for s in symbols if _INVERSE.match(s)]
    linear = [s for s in symbols if not _INVERSE.match(s)]
    return [
        *_connections("linear", linear, "publicTrade.BTCUSDT", silence_limit=15.0),
        # The coin-margined BTC contract trades less often: a minute may pass on a quiet night.
        *_connections("inverse", inverse, "publicTrade.BTCUSD", silence_limit=120.0),
    ]


def alternatives(endpoint: Endpoint) -> list[Endpoint]:
    """Return the same at the hosts of its regional sites."""
    return [replace(endpoint, url=host + endpoint.url.removeprefix(ws_url)) for host in _OTHER_HOSTS]


def _connections(category: str, symbols: Sequence[str], canary: str, silence_limit: float) -> list[Endpoint]:
    runs: list[list[str]] = []
    length = _LENGTH_LIMIT
    for symbol in dict.fromkeys(symbols):
        topic = _TOPIC + symbol
        if length + len(topic) + _PUNCTUATION > _LENGTH_LIMIT:
            runs.append([canary])
            length = len(canary) + 2 * _PUNCTUATION
        runs[-1].append(topic)
        length += len(topic) + _PUNCTUATION
    return [Endpoint(f"{ws_url}/v5/public/{category}", tuple(run), silence_limit, canary) for run in runs]


def subscribe(request_id: str, topics: Sequence[str]) -> bytes:
    """Return `{"op": "subscribe", "req_id": ..., "args": [...]}`; one unknown topic makes the venue refuse them all."""
    return msgspec.json.encode({"op": "subscribe", "req_id": request_id, "args": list(topics)})


def decode(payload: bytes, receive_ms: int | None) -> list[Event]:
    """Decode one frame into events; the retired topic `liquidation.*` means nothing here."""
    if not batch_prefix <= payload < _BEYOND_PREFIX:  # as every live frame seen; other orders go the long way
        return _long_way(payload, receive_ms)
    try:
        rows = _strict(payload).data
    except MALFORMED:
        return _long_way(payload, receive_ms)
    if len(rows) != 1:
        return _events(rows, receive_ms)
    row = rows[0]  # as in `_raws`, but without its loop and calls: 100 ns less
    symbol = row.s
    unit: Unit = "base" if symbol[-1] == "T" else _unit(symbol)
    return [RawLiquidation(name, symbol, _SIDE[row.S], row.p, "bankruptcy", row.v, unit, row.T, receive_ms)]


def decode_batch(payloads: Sequence[bytes], receive_ms: int | None) -> list[Event]:
    """Decode the event of each of many liquidation frames."""
    try:
        frames = _strict_batch(joined(payloads))
    except MALFORMED as error:
        raise DecodeError(f"{name}: {error}") from error
    if len(frames) != len(payloads) or not all(len(frame.data) == 1 for frame in frames):
        raise DecodeError(f"{name}: not one liquidation a frame")
    return _raws([frame.data[0] for frame in frames], receive_ms)


def _raws(rows: Sequence[_SoundRow], receive_ms: int | None) -> list[Event]:
    events: list[Event] = []
    for row in rows:
        symbol = row.s
        # No inverse symbol ends with a T, nearly all others do: that saves 150 ns of matching.
        unit: Unit = "base" if symbol[-1] == "T" else _unit(symbol)
        events.append(
            RawLiquidation(name, symbol, _SIDE[row.S], row.p, "bankruptcy", row.v, unit, row.T, receive_ms),
        )
    return events


def _events(rows: Sequence[_SoundRow], receive_ms: int | None) -> list[Event]:
    events = _raws(rows, receive_ms)
    # Where no two rows share a price none are equal: that saves 200 ns a row of comparing.
    return events if len({row.p for row in rows}) == len(rows) else _numbered(events)


def _unit(symbol: str) -> Unit:
    return "usd" if _INVERSE.match(symbol) else "base"


def _long_way(payload: bytes, receive_ms: int | None) -> list[Event]:
    """Decode any frame, in whatever order its keys are, with the reason where a row is none."""
    try:
        return _any(payload, receive_ms)
    except MALFORMED as error:
        raise DecodeError(f"{name}: {error}") from error


def _any(payload: bytes, receive_ms: int | None) -> list[Event]:
    if payload.startswith(b'{"topic":"publicTrade.'):
        return _prices(_trades.decode(payload).data, receive_ms)
    frame = _frame.decode(payload)
    if frame.topic is not None:
        if frame.topic.startswith(_TOPIC):
            rows = rows_of(name, _lenient.decode(payload).data, _row)
            return _numbered(_liquidation(row, receive_ms) for row in rows)
        if frame.topic.startswith("publicTrade."):
            return _prices(_trades.decode(payload).data, receive_ms)
        return []
    if frame.success is None and frame.op not in {"pong", "ping"}:
        raise DecodeError(f"{name}: neither a topic nor an answer")
    if frame.op in {"ping", "pong"} or frame.ret_msg == "pong":
        return [Pong()]
    return [Ack(frame.req_id) if frame.success else Rejected(frame.req_id, frame.ret_msg)]


def _prices(rows: list[_Row], receive_ms: int | None) -> list[Event]:
    return [PriceTick(name, r.s, r.p, r.v, r.T, receive_ms) for r in rows if not invalid_reason(r.p, r.v, r.T)]


def _liquidation(row: _Row | Invalid, receive_ms: int | None) -> RawLiquidation | Invalid:
    if isinstance(row, Invalid):
        return row
    side = _SIDE.get(row.S)
    reason = invalid_reason(row.p, row.v, row.T) or ("symbol" if not is_symbol(row.s) else "" if side else "side")
    if reason or side is None:
        return invalid_row(name, reason, row)
    return RawLiquidation(name, row.s, side, row.p, "bankruptcy", row.v, _unit(row.s), row.T, receive_ms)


def _numbered(events: Iterable[Event]) -> list[Event]:
    """Number the events that are equal: at this venue they are distinct liquidations."""
    copies: dict[Event, int] = {}
    numbered: list[Event] = []
    for event in events:
        if isinstance(event, RawLiquidation):
            copy = copies[event] = copies.get(event, 0) + 1
            if copy > 1:
                numbered.append(replace(event, copy=copy))
                continue
        numbered.append(event)
    return numbered


def parse_symbol(symbol: str) -> Contract:
    """Parse `BTCPERP` as BTCUSDC, `BTC-26DEC25` as BTCUSDC_251226, `SHIB1000USDT` as SHIBUSDT x 1000.

    A quarterly inverse (`BTCUSDZ26`) keeps its code until the venue's list tells the delivery date.
    """
    if _INVERSE.match(symbol):
        return Contract(name, symbol, symbol, inverse=True, unit_value="1")
    pair = _pair(symbol)
    if not pair.quote:
        return Contract(name, symbol, symbol, unit_value="1", quote="")
    return linear(name, symbol, pair, unit_value="1")


def _pair(symbol: str) -> Pair:
    """Return base, quote and expiry of a linear symbol; where it names no quote, it trades in USDC."""
    dated = _DATED.match(symbol)
    if dated:
        base, settle, day, month, year = dated.groups()
        return Pair(base, settle or "USDC", f"_{year}{_MONTHS.get(month, month)}{int(day):02}")
    pair = split_quote(symbol)
    return Pair(symbol.removesuffix("PERP"), "USDC") if symbol.endswith("PERP") else pair


# `symbolType`; what else it says are zones of coins, or nothing.
_ASSETS: dict[str, Asset] = {
    "innovation": COIN,
    "adventure": COIN,
    "stock": "equity",
    "xstocks": "equity",
    "mstocks": "equity",
    "etf": "equity",
    "commodity": "commodity",
    "forex": "fx",
}


class _Listed(Struct):
    symbol: str
    status: str = "Trading"
    deliveryTime: str = "0"
    baseCoin: str | None = None
    quoteCoin: str | None = None
    settleCoin: str | None = None
    symbolType: str | None = None


_TRADED = frozenset({"Trading", "PreLaunch"})


class _Result(Struct):
    list: list[_Listed]
    nextPageCursor: str = ""


class _InstrumentsInfo(Struct):
    result: _Result


_instruments_info = msgspec.json.Decoder(_InstrumentsInfo)


def decode_instruments(payload: bytes) -> InstrumentPage:
    """Decode `GET /v5/market/instruments-info`, page by page; kept are symbols that trade, also before their market."""
    try:
        result = _instruments_info.decode(payload).result
    except MALFORMED as error:
        raise DecodeError(f"{name} instruments-info: {error}") from error
    contracts = [_contract(row) for row in result.list if row.status in _TRADED]
    cursor = result.nextPageCursor
    return InstrumentPage(contracts, f"&cursor={quote(cursor)}" if cursor else "")


def _contract(row: _Listed) -> Contract:
    return replace(_named(row), is_pre_market=row.status == "PreLaunch")


def _named(row: _Listed) -> Contract:
    contract = parse_symbol(row.symbol)
    asset = _ASSETS.get(row.symbolType or "", UNKNOWN)
    quote, settle = row.quoteCoin or contract.quote, row.settleCoin or ""
    if contract.inverse:
        instrument = contract.instrument
        if _QUARTER_CODE.search(row.symbol) and _DELIVERY.fullmatch(row.deliveryTime):
            instrument = f"{row.symbol[:-3]}_{yymmdd(int(row.deliveryTime))}"
        return replace(contract, instrument=marked(instrument, asset), quote=quote, asset=asset)
    pair = _pair(row.symbol)
    if row.baseCoin and f"{row.baseCoin}{row.quoteCoin}" == row.symbol:
        pair = Pair(row.baseCoin, quote)
    if not pair.quote:
        named = marked(contract.instrument, asset)
        return replace(contract, instrument=named, asset=asset, quote=currency_of(quote, settle))
    found = linear(name, row.symbol, pair, asset=asset, unit_value="1")
    return replace(found, quote=currency_of(quote, settle))
