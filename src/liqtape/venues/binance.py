"""Binance USD-M and COIN-M: forced orders of all symbols on one stream. Facts: tests/fixtures/binance/SOURCE.md

Since 2026-06-30 the all-market stream carries both families, so only the `fstream` host is used, on its routed
`/market` path: the unrouted paths still acknowledge and stay silent. At most one order per symbol and second is sent.
"""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

import msgspec
from msgspec import Struct

from liqtape.assets import COIN, OTHER, UNKNOWN, Asset, Pair, currency_of, is_coin, marked, split_quote
from liqtape.errors import DecodeError
from liqtape.events import Ack, Event, Invalid, Notice, PriceTick, RawLiquidation, Rejected, Side
from liqtape.instruments import Contract, is_symbol, linear, whole
from liqtape.venues.base import (
    MALFORMED,
    Amount,
    ArchivedExchange,
    Endpoint,
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
)
from liqtape.venues.limits import Limits, RateLimit
from liqtape.venues.tables import BINANCE_ASSETS, BINANCE_COIN_M, BINANCE_WHOLE

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

name = "binance"
on_by_default = True
ws_url = "wss://fstream.binance.com"
heartbeat = None  # the server sends ping frames every 3 min; the transport answers them
# Futures: 300 attempts in 5 min, 10 messages a second, cut at 24 h (venues reference, 2.2); half is left to others.
limits = Limits((RateLimit(150, 300.0),), (RateLimit(5, 1.0),), lifetime=86_400.0)
topics_per_request = 100
slot_seconds: int | None = 1
max_publish_delay_ms = (
    1_100  # the newest of a symbol is sent at the end of its second: 1012 ms at most in recorded frames
)
listing_needed = False
bundled_symbols: tuple[str, ...] = ()
instrument_sources = (
    InstrumentSource("https://fapi.binance.com", "/fapi/v1/exchangeInfo"),
    InstrumentSource("https://dapi.binance.com", "/dapi/v1/exchangeInfo"),
)
price_sources = (
    PriceSource(name, name, "BTCUSDT", ws_url, "/market/ws", "btcusdt@aggTrade"),
    # Serves data only, and also where the futures host refuses a region.
    PriceSource(f"{name}-spot", name, "BTCUSDT", "wss://data-stream.binance.vision", "/ws", "btcusdt@aggTrade"),
)
# The streams of its two families are one: what is inverse the symbol says, not the name of the exchange.
archived_exchanges = (
    ArchivedExchange("binance-futures", "base", "contracts", "fill"),
    ArchivedExchange("binance-delivery", "base", "contracts", "fill"),
)

batch_prefix = b'{"e":"forceOrder"'
_BEYOND_PREFIX = beyond(batch_prefix)

# BTC trades arrive many times a second; ten seconds without one mean that the stream is dead, not the market.
_SILENCE_LIMIT = 10.0
_CANARY = "btcusdt@aggTrade"
_OTHER_HOST = "wss://dstream.binance.com"
_OTHER_CANARY = "btcusd_perp@aggTrade"
_OTHER_SILENCE_LIMIT = 60.0
_SIDE: dict[str, Side] = {"SELL": "long", "BUY": "short"}  # the forced ORDER's side
_COIN_M = re.compile(r"USD_(PERP|\d{6})$")
_COIN_M_TYPE = 2


class _StrictOrder(Struct, gc=False):
    """An order as nearly all are; what is not like this goes the long way.

    Each field declared costs 30 ns, and a little more where it is not in the order of the wire.
    """

    s: Symbol
    S: Literal["SELL", "BUY"]
    ap: Amount
    z: Amount
    T: Stamp
    st: Literal[1] | None = None  # 2, COIN-M, goes the long way: to ask here would cost every other 80 ns


class _Strict(Struct, gc=False):
    o: _StrictOrder
    st: Literal[1] | None = None


class _Order(Struct, gc=False):
    s: str
    S: str
    T: int
    ap: float | None = None  # average fill
    p: float | None = None  # limit, near bankruptcy
    z: float | None = None  # filled in all; `l` is only the last fill
    q: float | None = None
    st: int | None = None  # 1 = USD-M, 2 = COIN-M; absent before 2026-06-30


class _ForceOrder(Struct, gc=False):
    e: str
    o: _Order
    st: int | None = None


class _AggTrade(Struct, gc=False):
    e: str
    s: str
    p: float
    q: float
    T: int


class _Frame(Struct, gc=False):
    """Any frame: wrapped by `/stream` or not, event or control."""

    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    e: str | None = None
    id: int | str | None = None
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    code: int | None = None
    msg: str = ""


_strict = msgspec.json.Decoder(_Strict, strict=False).decode  # the method, bound once
_strict_batch = msgspec.json.Decoder(list[_Strict], strict=False).decode
_force_order = msgspec.json.Decoder(_ForceOrder, strict=False)
_agg_trade = msgspec.json.Decoder(_AggTrade, strict=False)
_frame = msgspec.json.Decoder(_Frame)


def endpoints(symbols: Sequence[str]) -> list[Endpoint]:  # noqa: ARG001 - one stream carries every symbol
    """Return one connection: the liquidations of all symbols, and BTC trades as price and canary."""
    return [Endpoint(f"{ws_url}/market/ws", ("!forceOrder@arr", _CANARY), _SILENCE_LIMIT, _CANARY)]


def alternatives(endpoint: Endpoint) -> list[Endpoint]:
    """Return the COIN-M host: since 2026-06-30 it sends the same stream of all symbols, but no trade of USD-M."""
    topics = tuple(topic for topic in endpoint.topics if topic != _CANARY)
    return [Endpoint(f"{_OTHER_HOST}/ws", (*topics, _OTHER_CANARY), _OTHER_SILENCE_LIMIT, _OTHER_CANARY)]


def subscribe(request_id: str, topics: Sequence[str]) -> bytes:
    """Return `{"method": "SUBSCRIBE", "params": [...], "id": n}`."""
    return msgspec.json.encode({"method": "SUBSCRIBE", "params": list(topics), "id": int(request_id)})


def decode(payload: bytes, receive_ms: int | None) -> list[Event]:
    """Decode one frame into events; price is the average fill, size what was filled in all."""
    if batch_prefix <= payload < _BEYOND_PREFIX:  # as every live frame seen; other orders of the keys go the long way
        try:
            order = _strict(payload).o
        except MALFORMED:
            return _long_way(payload, receive_ms)
        symbol = order.s
        if "USD_" in symbol and _COIN_M.search(symbol):
            return _long_way(payload, receive_ms)
        return [RawLiquidation(name, symbol, _SIDE[order.S], order.ap, "fill", order.z, "base", order.T, receive_ms)]
    if payload.startswith(b'{"e":"aggTrade"'):
        try:
            return [_price(payload, receive_ms)]
        except MALFORMED as error:
            raise DecodeError(f"{name}: {error}") from error
    return _long_way(payload, receive_ms)


def decode_batch(payloads: Sequence[bytes], receive_ms: int | None) -> list[Event]:
    """Decode the event of each of many liquidation frames."""
    try:
        messages = _strict_batch(joined(payloads))
    except MALFORMED as error:
        raise DecodeError(f"{name}: {error}") from error
    if len(messages) != len(payloads):
        raise DecodeError(f"{name}: a frame that is not one order")
    orders = [message.o for message in messages]
    if any("USD_" in order.s for order in orders):  # COIN-M before `st`, or a dated contract: each on its own
        raise DecodeError(f"{name}: not all in base coin")
    return [
        RawLiquidation(name, order.s, _SIDE[order.S], order.ap, "fill", order.z, "base", order.T, receive_ms)
        for order in orders
    ]


def _long_way(payload: bytes, receive_ms: int | None) -> list[Event]:
    """Decode any frame, in whatever order its keys are, with the reason where a row is none."""
    try:
        return _any(payload, receive_ms)
    except MALFORMED as error:
        raise DecodeError(f"{name}: {error}") from error


def _price(payload: bytes, receive_ms: int | None) -> PriceTick:
    trade = _agg_trade.decode(payload)
    reason = invalid_reason(trade.p, trade.q, trade.T)
    if reason:
        raise DecodeError(f"{name}: aggTrade without a sound {reason}")
    return PriceTick(name, trade.s, trade.p, trade.q, trade.T, receive_ms)


def _any(payload: bytes, receive_ms: int | None) -> list[Event]:
    frame = _frame.decode(payload)
    if frame.data is not msgspec.UNSET:
        payload = bytes(frame.data)
        frame = _frame.decode(payload)
    kind = frame.e
    if kind == "forceOrder":
        return [_liquidation(_force_order.decode(payload), receive_ms)]
    if kind == "aggTrade":
        return [_price(payload, receive_ms)]
    if kind == "serverShutdown":
        return [Notice("serverShutdown")]
    return [_answer(frame)] if kind is None else []


def _answer(frame: _Frame) -> Ack | Rejected:
    request_id = "" if frame.id is None else str(frame.id)
    if frame.error is not msgspec.UNSET:
        return Rejected(request_id, bytes(frame.error).decode(errors="replace"))
    if frame.code is not None:
        return Rejected(request_id, frame.msg)
    if frame.result is not msgspec.UNSET:
        return Ack(request_id)
    raise DecodeError(f"{name}: neither an event nor an answer")


def _liquidation(message: _ForceOrder, receive_ms: int | None) -> RawLiquidation | Invalid:
    order = message.o
    price = order.p if order.ap is None else order.ap
    size = order.q if order.z is None else order.z
    side = _SIDE.get(order.S)
    if message.e != "forceOrder" or price is None or size is None:
        raise DecodeError(f"{name}: a forced order without price or quantity")
    reason = invalid_reason(price, size, order.T) or ("symbol" if not is_symbol(order.s) else "" if side else "side")
    if reason or side is None:
        return invalid_row(name, reason, order)
    # Either sign is enough: contracts taken for coins overstate a liquidation 800-fold.
    coin_m = _COIN_M_TYPE in (order.st, message.st) or _COIN_M.search(order.s) is not None
    return RawLiquidation(
        name,
        order.s,
        side,
        price,
        "bankruptcy" if order.ap is None else "fill",
        size,
        "contracts" if coin_m else "base",
        order.T,
        receive_ms,
    )


def parse_symbol(symbol: str) -> Contract:
    """Parse `1000PEPEUSDT` as PEPEUSDT x 1000, `BTCUSD_PERP` as BTCUSD, inverse, 100 USD; dates stay."""
    if _COIN_M.search(symbol):
        instrument = symbol.removesuffix("_PERP")
        size = BINANCE_COIN_M.get(symbol.partition("_")[0])
        return Contract(name, symbol, instrument, inverse=True, unit_value=size)
    pair = split_quote(symbol)
    if not pair.quote:
        return Contract(name, symbol, symbol, quote="")
    return _linear(symbol, pair, "", BINANCE_ASSETS.get(pair.base, UNKNOWN))


def _linear(symbol: str, pair: Pair, settle: str, asset: Asset) -> Contract:
    contract = linear(name, symbol, pair, settle=settle, asset=asset)
    return whole(contract) if pair.base in BINANCE_WHOLE else contract


# Contracts on what is no coin are of a type of their own since 2026; the types of underlyings that were seen.
_TRADITIONAL = "TRADIFI_PERPETUAL"
_ASSETS: dict[str, Asset] = {
    "COIN": COIN,
    "EQUITY": "equity",
    "HK_EQUITY": "equity",
    "KR_EQUITY": "equity",
    "CN_EQUITY": "equity",
    "COMMODITY": "commodity",
    "FX": "fx",
    "INDEX": "index",
    "PREMARKET": UNKNOWN,  # of a coin or of a share: the type of the contract says it
}


class _Listed(Struct):
    symbol: str
    contractSize: float | int | str | None = None
    baseAsset: str | None = None
    quoteAsset: str | None = None
    marginAsset: str | None = None
    contractType: str | None = None
    underlyingType: str | None = None


class _ExchangeInfo(Struct):
    symbols: list[_Listed]


_exchange_info = msgspec.json.Decoder(_ExchangeInfo)


def decode_instruments(payload: bytes) -> InstrumentPage:
    """Decode `GET /fapi/v1/exchangeInfo` or `/dapi/v1/exchangeInfo`; only COIN-M states a `contractSize` (USD)."""
    try:
        listed = _exchange_info.decode(payload).symbols
    except MALFORMED as error:
        raise DecodeError(f"{name} exchangeInfo: {error}") from error
    return InstrumentPage([_contract(row) for row in listed])


def _contract(row: _Listed) -> Contract:
    spelled, asset = parse_symbol(row.symbol), _asset(row)
    quote, settle = row.quoteAsset or spelled.quote, row.marginAsset or ""
    if spelled.inverse:
        size = spelled.unit_value if row.contractSize is None else _unit_value(str(row.contractSize))
        named = marked(spelled.instrument, asset)
        return msgspec.structs.replace(spelled, instrument=named, unit_value=size, quote=quote, asset=asset)
    spoken = f"{row.baseAsset}{quote}"
    if row.baseAsset and row.quoteAsset and row.symbol.startswith(spoken):
        pair = Pair(row.baseAsset, quote, row.symbol.removeprefix(spoken))
        return _linear(row.symbol, pair, settle, asset)
    pair = split_quote(row.symbol)
    if pair.quote:
        spelled = _linear(row.symbol, pair, settle, asset)
    return msgspec.structs.replace(spelled, quote=currency_of(quote, settle))


def _asset(row: _Listed) -> Asset:
    """Return what the contract is on, by the list; where that says nothing by the table of ours."""
    if row.underlyingType is None and row.contractType is None:
        return parse_symbol(row.symbol).asset
    asset = _ASSETS.get(row.underlyingType, OTHER) if row.underlyingType else UNKNOWN
    return OTHER if row.contractType == _TRADITIONAL and is_coin(asset) else asset


def _unit_value(text: str) -> str | None:
    """Return what one contract is worth in USD; None where the text is no sensible number."""
    try:
        value = plain_decimal(text)
        return format(value, "f") if Decimal("1e-12") <= value <= Decimal("1e12") else None
    except ArithmeticError:
        return None
