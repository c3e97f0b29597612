"""Toyex, a venue that does not exist: `tests/test_add_a_venue.py` adds it by the letter of CONTRIBUTING.md.

Facts: tests/fixtures/toyex/SOURCE.md. `position` is the side that was closed; `price` is what was paid; of each symbol
at most one liquidation of a second is printed.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from liqtape.assets import Pair
from liqtape.errors import DecodeError
from liqtape.events import Ack, Event, Invalid, Pong, PriceTick, RawLiquidation, Rejected, Side
from liqtape.instruments import Contract, is_symbol, linear
from liqtape.venues.base import (
    MALFORMED,
    Endpoint,
    Heartbeat,
    InstrumentPage,
    InstrumentSource,
    PriceSource,
    invalid_reason,
    invalid_row,
    rows_of,
)
from liqtape.venues.limits import Limits, RateLimit

__all__ = [
    "bundled_symbols",
    "decode",
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

name = "toyex"
on_by_default = True
ws_url = "wss://stream.toyex.example"
heartbeat = Heartbeat(b'{"method":"ping"}', every=15.0)
limits = Limits((RateLimit(60, 60.0),), (RateLimit(5, 1.0),), idle=60.0)
topics_per_request = 10
slot_seconds: int | None = 1
max_publish_delay_ms = 1_000
listing_needed = False
bundled_symbols: tuple[str, ...] = ()
instrument_sources = (InstrumentSource("https://api.toyex.example", "/v1/contracts"),)

_LIQUIDATIONS = "liquidations"
_TRADES = "trades.BTC-USDT"

price_sources = (PriceSource(name, name, "BTC-USDT", ws_url, "/v1", _TRADES),)

_SIDE: dict[str, Side] = {"long": "long", "short": "short"}


class _Liquidation(Struct):
    symbol: str
    position: str
    price: float
    size: float
    time: int


class _Trade(Struct):
    symbol: str
    price: float
    size: float
    time: int


class _Liquidations(Struct):
    rows: list[msgspec.Raw]


class _Trades(Struct):
    rows: list[_Trade]


class _Frame(Struct):
    """Any frame: rows of a channel, or an answer to a request."""

    channel: str | None = None
    pong: bool = False
    id: str = ""
    ok: bool | None = None
    error: str = ""


class _Listed(Struct):
    symbol: str
    base: str
    quote: str


class _Contracts(Struct):
    contracts: list[_Listed]


# Sizes and prices are decimal texts, which `strict=False` takes for the numbers they are.
_frame = msgspec.json.Decoder(_Frame)
_liquidations = msgspec.json.Decoder(_Liquidations)
_liquidation = msgspec.json.Decoder(_Liquidation, strict=False)
_trades = msgspec.json.Decoder(_Trades, strict=False)
_contracts = msgspec.json.Decoder(_Contracts)


def endpoints(symbols: Sequence[str]) -> list[Endpoint]:  # noqa: ARG001 - one channel has the liquidations of all
    """Return the one connection, with the trades of BTC as canary."""
    return [Endpoint(f"{ws_url}/v1", (_LIQUIDATIONS, _TRADES), silence_limit=15.0, canary=_TRADES)]


def subscribe(request_id: str, topics: Sequence[str]) -> bytes:
    """Return `{"method": "subscribe", "id": ..., "channels": [...]}`."""
    return msgspec.json.encode({"method": "subscribe", "id": request_id, "channels": list(topics)})


def decode(payload: bytes, receive_ms: int | None) -> list[Event]:
    """Return the events of one frame."""
    try:
        return _events(payload, receive_ms)
    except MALFORMED as error:
        raise DecodeError(f"{name}: {error}") from error


def _events(payload: bytes, receive_ms: int | None) -> list[Event]:
    frame = _frame.decode(payload)
    if frame.channel == _LIQUIDATIONS:
        rows = rows_of(name, _liquidations.decode(payload).rows, _liquidation)
        return [_event(row, receive_ms) for row in rows]
    if frame.channel == _TRADES:
        trades = _trades.decode(payload).rows
        return [
            PriceTick(name, t.symbol, t.price, t.size, t.time, receive_ms)
            for t in trades
            if not invalid_reason(t.price, t.size, t.time)
        ]
    if frame.channel is not None:
        return []
    if frame.pong:
        return [Pong()]
    if frame.ok is None:
        raise DecodeError(f"{name}: neither a channel nor an answer")
    return [Ack(frame.id) if frame.ok else Rejected(frame.id, frame.error)]


def _event(row: _Liquidation | Invalid, receive_ms: int | None) -> Event:
    if isinstance(row, Invalid):
        return row
    side = _SIDE.get(row.position)
    reason = invalid_reason(row.price, row.size, row.time) or ("" if is_symbol(row.symbol) else "symbol")
    if reason or side is None:
        return invalid_row(name, reason or "side", row)
    return RawLiquidation(name, row.symbol, side, row.price, "fill", row.size, "base", row.time, receive_ms)


def parse_symbol(symbol: str) -> Contract:
    """`BTC-USDT` -> BTCUSDT; what has no dash stays as it is, of no known quote."""
    base, _, quote = symbol.partition("-")
    if not (base and quote):
        return Contract(name, symbol, symbol, unit_value="1", quote="")
    return linear(name, symbol, Pair(base, quote), unit_value="1")


def decode_instruments(payload: bytes) -> InstrumentPage:
    """Return the contracts of `GET /v1/contracts`, which is one page."""
    try:
        listed = _contracts.decode(payload).contracts
    except MALFORMED as error:
        raise DecodeError(f"{name} contracts: {error}") from error
    return InstrumentPage([linear(name, row.symbol, Pair(row.base, row.quote), unit_value="1") for row in listed])
