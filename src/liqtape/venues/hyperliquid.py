"""Hyperliquid: liquidations in the fills of watched accounts, for there is no public channel of them.

Facts: tests/fixtures/hyperliquid/SOURCE.md. Only fills with a `liquidation` object count, whichever side of it the
watched account was on; what no watched account takes part in is not seen, so every number is partial. Topics are
spelled here `type:what`, as in `trades:BTC` and `userFills:0x...`.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from liqtape.assets import UNKNOWN
from liqtape.errors import ConfigurationError, DecodeError
from liqtape.events import Ack, Event, Invalid, Pong, PriceTick, RawLiquidation, Rejected, Side
from liqtape.instruments import Contract, is_symbol, split_multiplier
from liqtape.venues.base import (
    MALFORMED,
    Amount,
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
    rows_of,
)
from liqtape.venues.limits import Limits, RateLimit
from liqtape.venues.tables import HYPERLIQUID_ACCOUNTS

__all__ = [
    "backfill_horizon_s",
    "backfill_rate_limit",
    "backfill_requests",
    "bundled_symbols",
    "decode",
    "decode_backfill",
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
    "partial_by_design",
    "price_sources",
    "slot_seconds",
    "subscribe",
    "topics_per_request",
    "watch_list",
    "watching",
    "ws_url",
]

name = "hyperliquid"
on_by_default = True
ws_url = "wss://api.hyperliquid.xyz"
heartbeat = Heartbeat(b'{"method":"ping"}', every=50.0, only_when_idle=True)  # closed after 60 s of nothing
# 30 new connections and 2000 messages a minute from one address (venues reference, 6.6); at most 4 are ours at once.
limits = Limits((RateLimit(15, 60.0),), (RateLimit(500, 60.0),), idle=60.0)
backfill_rate_limit = RateLimit(8, 60.0)  # of a weight of 1200 a minute a full page of fills takes 120
backfill_horizon_s = 30 * 86_400.0  # no date is stated, but the newest 10,000 fills
topics_per_request = 1
slot_seconds: int | None = None
max_publish_delay_ms = 1_000  # a block, and 0.4 s after it in the one sample seen
listing_needed = False
bundled_symbols: tuple[str, ...] = ()
partial_by_design = True
watch_list = tuple(HYPERLIQUID_ACCOUNTS.values())
instrument_sources = (InstrumentSource("https://api.hyperliquid.xyz", "/info", b'{"type":"meta"}'),)
price_sources: tuple[PriceSource, ...] = ()

_SILENCE_LIMIT = 30.0
_CANARY = "trades:BTC"
_PAGE_FILLS = 2_000
_REACHABLE_FILLS = 10_000
_MOST_ACCOUNTS = 10  # distinct accounts from one network address, over all its connections
_ACCOUNT = re.compile(r"0x[0-9a-f]{40}")
_OTHER_SIDE: dict[Side, Side] = {"long": "short", "short": "long"}
_OWN_LEG: dict[str, Side] = {"A": "long", "B": "short"}  # the liquidated account sold: it was long
_OTHER_LEG: dict[str, Side] = {"A": "short", "B": "long"}
_LITERAL: dict[str, Side] = {"Long": "long", "Short": "short"}
_MOST_TID = (1 << 63) - 1  # the longest seen has 15 digits; it is part of the identity
_DELEVERAGED = "Auto-Deleveraging"
_LIQUIDATED, _BEYOND_LIQUIDATED = "Liquidated ", "Liquidated!"  # as `beyond`, of text
_FILLS = b'{"channel":"userFills",'
_BEYOND_FILLS = beyond(_FILLS)


class _Forced(Struct, gc=False):
    liquidatedUser: str | None = None


class _SoundFill(Struct, gc=False, kw_only=True):
    """A fill as nearly all are, in the order of the wire; a frame with one not like this goes the long way."""

    coin: Symbol
    px: Amount
    sz: Amount
    side: Literal["A", "B"]
    time: Stamp
    dir: str = ""
    crossed: bool | None = None
    tid: Annotated[int, Meta(ge=0, le=_MOST_TID)]
    liquidation: _Forced | None = None


class _SoundFills(Struct, gc=False):
    user: str
    fills: list[_SoundFill]
    isSnapshot: bool = False


class _Strict(Struct, gc=False):
    data: _SoundFills


class _Fill(Struct, gc=False):
    coin: str
    px: float
    sz: float
    side: str
    time: int
    tid: int
    dir: str = ""
    crossed: bool | None = None
    liquidation: _Forced | None = None


class _Named(Struct, gc=False):
    """The fields no liquidation can do without, there with any value."""

    coin: msgspec.Raw
    px: msgspec.Raw
    sz: msgspec.Raw
    side: msgspec.Raw
    time: msgspec.Raw
    tid: msgspec.Raw


class _LooseFills(Struct, gc=False):
    user: str
    fills: list[msgspec.Raw]
    isSnapshot: bool = False


class _Trade(Struct, gc=False):
    coin: str
    px: float
    sz: float
    time: int


class _Subscription(Struct, gc=False):
    type: str = ""
    user: str = ""
    coin: str = ""


class _Request(Struct, gc=False):
    """A request as the venue repeats it: in a confirmation, or as text in an error, there also without its envelope."""

    method: str = "subscribe"
    subscription: _Subscription | None = None


class _Frame(Struct, gc=False):
    channel: str | None = None
    data: msgspec.Raw = msgspec.Raw()


_frame = msgspec.json.Decoder(_Frame)
_strict = msgspec.json.Decoder(_Strict, strict=False).decode  # the method, bound once
_loose_fills = msgspec.json.Decoder(_LooseFills)
_named = msgspec.json.Decoder(_Named)
_fill = msgspec.json.Decoder(_Fill, strict=False)
_trades = msgspec.json.Decoder(list[_Trade], strict=False)
_request = msgspec.json.Decoder(_Request)
_subscription = msgspec.json.Decoder(_Subscription)
_text = msgspec.json.Decoder(str)


def endpoints(symbols: Sequence[str]) -> list[Endpoint]:  # noqa: ARG001 - an account's fills are of every symbol
    """Return one connection: the fills of the accounts watched by default, and BTC trades as price and canary."""
    return watching(watch_list)


def watching(accounts: Sequence[str]) -> list[Endpoint]:
    """Return one connection: the fills of these accounts, at most 10, and BTC trades as price and canary."""
    chosen = tuple(dict.fromkeys(account.lower() for account in accounts))
    for account in chosen:
        if not _ACCOUNT.fullmatch(account):
            raise ConfigurationError(f"{name}: {account!r} is not an account: 0x and 40 hexadecimal digits")
    if len(chosen) > _MOST_ACCOUNTS:
        raise ConfigurationError(f"{name}: {len(chosen)} accounts to watch; the venue allows {_MOST_ACCOUNTS}")
    topics = (_CANARY, *(f"userFills:{account}" for account in chosen))
    return [Endpoint(f"{ws_url}/ws", topics, _SILENCE_LIMIT, _CANARY)]


def subscribe(request_id: str, topics: Sequence[str]) -> bytes:  # noqa: ARG001 - confirmed by topic
    """Return `{"method": "subscribe", "subscription": {...}}`, for one topic."""
    (topic,) = topics
    kind, _, what = topic.partition(":")
    wanted = {"user": what, "aggregateByTime": False} if kind == "userFills" else {"coin": what}
    return msgspec.json.encode({"method": "subscribe", "subscription": {"type": kind, **wanted}})


def decode(payload: bytes, receive_ms: int | None) -> list[Event]:
    """Decode one frame, or one fill as REST lists it: that one is past, and does not name the watched account."""
    if not _FILLS <= payload < _BEYOND_FILLS:  # as every live frame seen; other orders go the long way
        return _long_way(payload, receive_ms)
    try:
        message = _strict(payload).data
    except MALFORMED:
        return _long_way(payload, receive_ms)
    user, replayed = message.user.lower(), message.isSnapshot
    events: list[Event] = []
    for fill in message.fills:
        forced, coin, words = fill.liquidation, fill.coin, fill.dir
        if forced is None or words == _DELEVERAGED or (not coin.isalnum() and _is_other_market(coin)):
            continue
        liquidated = forced.liquidatedUser
        if liquidated is None or _LIQUIDATED <= words < _BEYOND_LIQUIDATED:
            side = _side(fill, liquidated, user)
            if side is None:
                return _long_way(payload, receive_ms)
        else:  # `_side` of nearly all fills, at its place
            side = _OWN_LEG[fill.side] if liquidated.lower() == user else _OTHER_LEG[fill.side]
        # Both legs of a trade bear its `tid`: where both are watched, the second is a repeat.
        tid = str(fill.tid)
        events.append(
            RawLiquidation(name, coin, side, fill.px, "fill", fill.sz, "base", fill.time, receive_ms, tid, 1, replayed),
        )
    return events


def _long_way(payload: bytes, receive_ms: int | None) -> list[Event]:
    """Decode any frame, in whatever order its keys are, with the reason where a row is none."""
    try:
        frame = _frame.decode(payload)
        if frame.channel == "userFills":
            return _fills(frame.data, receive_ms)
        if frame.channel == "trades":
            rows = _trades.decode(frame.data)
            return [
                PriceTick(name, r.coin, r.px, r.sz, r.time, receive_ms)
                for r in rows
                if not invalid_reason(r.px, r.sz, r.time)
            ]
        if frame.channel is None:
            return _liquidations([_fill.decode(payload)], None, receive_ms, replayed=True)
        return _control(frame.channel, frame.data)
    except MALFORMED as error:
        raise DecodeError(f"{name}: {error}") from error


def _control(channel: str, data: msgspec.Raw) -> list[Event]:
    if channel == "pong":
        return [Pong()]
    if channel == "subscriptionResponse":
        request = _request.decode(data)
        if request.subscription is None:
            raise DecodeError(f"{name}: a confirmation without its subscription")
        topic = _topic(request.subscription)
        # Only subscriptions are ever asked for: another confirmation answers none of our requests.
        return [Ack(topic=topic if request.method == "subscribe" else f"{request.method} {topic}")]
    if channel == "error":
        reason = _text.decode(data)
        return [Rejected(reason=reason[:500], topic=_refused(reason))]
    return []


def _topic(subscription: _Subscription) -> str:
    return f"{subscription.type}:{subscription.user.lower() or subscription.coin}"


def _refused(reason: str) -> str:
    """Return the topic of the request that an error repeats; empty where it repeats none."""
    request = reason[reason.find("{") :].encode(errors="replace")
    try:
        subscription = _request.decode(request).subscription or _subscription.decode(request)
    except (msgspec.MsgspecError, RecursionError):
        return ""
    return _topic(subscription) if subscription.type else ""


def _fills(data: msgspec.Raw, receive_ms: int | None) -> list[Event]:
    loose = _loose_fills.decode(data)
    for raw in loose.fills:
        _named.decode(raw)
    rows = rows_of(name, loose.fills, _fill)
    return _liquidations(rows, loose.user, receive_ms, replayed=loose.isSnapshot)


def _liquidations(
    rows: Iterable[_Fill | Invalid], user: str | None, receive_ms: int | None, *, replayed: bool
) -> list[Event]:
    events: list[Event] = []
    for row in rows:
        if isinstance(row, Invalid):
            events.append(row)
            continue
        if row.liquidation is None or row.dir == _DELEVERAGED or _is_other_market(row.coin):
            continue
        side = _side(row, row.liquidation.liquidatedUser, user)
        reason = invalid_reason(row.px, row.sz, row.time) or _reason(row, side)
        if reason or side is None:
            events.append(invalid_row(name, reason, row))
            continue
        tid = str(row.tid)
        events.append(
            RawLiquidation(name, row.coin, side, row.px, "fill", row.sz, "base", row.time, receive_ms, tid, 1, replayed)
        )
    return events


def _reason(row: _Fill, side: Side | None) -> str:
    if not is_symbol(row.coin):
        return "symbol"
    return "" if side and 0 <= row.tid <= _MOST_TID else "tid" if side else "side"


def _is_other_market(coin: str) -> bool:
    """Return whether it is no perpetual: spot (`@107`, `PURR/USDC`) and outcomes (`#12`) are none."""
    return coin[:1] in {"@", "#"} or "/" in coin


def _side(fill: _Fill | _SoundFill, liquidated: str | None, user: str | None) -> Side | None:
    """Return the position that was closed; None where it cannot be told."""
    if fill.dir.startswith(_LIQUIDATED):
        return _LITERAL.get(fill.dir.rpartition(" ")[2])
    side = _OWN_LEG.get(fill.side)
    own = _is_own_leg(fill) if user is None or liquidated is None else user.lower() == liquidated.lower()
    if side is None or own is None:
        return None
    return side if own else _OTHER_SIDE[side]


def _is_own_leg(fill: _Fill | _SoundFill) -> bool | None:
    """Return whether the fill is the liquidated account's, without knowing whose it is.

    A forced order closes, as taker.
    """
    if fill.dir.startswith("Open") or fill.crossed is False:
        return False
    return True if fill.dir and fill.crossed else None


def parse_symbol(symbol: str) -> Contract:
    """Parse `BTC` as BTCUSDC, `kPEPE` as PEPEUSDC x 1000; a builder's `xyz:SILVER` keeps its prefix."""
    is_builders = ":" in symbol  # of what class its asset is, no list says; the prefix keeps it from meeting a coin
    coin, factor = split_multiplier(symbol) if symbol.startswith("k") else (symbol, 1)
    return Contract(
        name,
        symbol,
        f"{coin}USDC",
        unit_value="1",
        factor=factor,
        asset="builder" if is_builders else UNKNOWN,
        coin="" if is_builders else coin,
        raw="" if factor == 1 else f"{symbol}USDC",
    )


class _Coin(Struct):
    name: str
    isDelisted: bool = False


class _Meta(Struct):
    universe: list[_Coin]


_metas = msgspec.json.Decoder(_Meta | list[_Meta])


def decode_instruments(payload: bytes) -> InstrumentPage:
    """Decode `POST /info` with `{"type": "meta"}`, of one or (as a list) of several exchanges of builders."""
    try:
        metas = _metas.decode(payload)
    except MALFORMED as error:
        raise DecodeError(f"{name} meta: {error}") from error
    coins = [coin for meta in (metas if isinstance(metas, list) else [metas]) for coin in meta.universe]
    return InstrumentPage([parse_symbol(coin.name) for coin in coins if not coin.isDelisted])


def backfill_requests(from_ms: int, until_ms: int, subjects: Sequence[str]) -> list[BackfillRequest]:
    """Return the first page of each account's fills."""
    return [_page(account, from_ms, until_ms, 0) for account in subjects]


def _page(account: str, from_ms: int, until_ms: int, before: int) -> BackfillRequest:
    question = {"type": "userFillsByTime", "user": account, "startTime": from_ms, "endTime": until_ms}
    body = msgspec.json.encode(question | {"aggregateByTime": False})
    return BackfillRequest("https://api.hyperliquid.xyz", "/info", body, f"{account} {from_ms} {until_ms}", before)


_past = msgspec.json.Decoder(list[msgspec.Raw])


def decode_backfill(request: BackfillRequest, payload: bytes, receive_ms: int | None) -> BackfillPage:
    """Decode `POST /info` with `userFillsByTime`, oldest first; of the newest 10,000 fills no older ones are told."""
    account, from_ms, until_ms = request.subject.split()
    try:
        rows = rows_of(name, _past.decode(payload), _fill)
    except MALFORMED as error:
        raise DecodeError(f"{name} past fills: {error}") from error
    if len(rows) > _PAGE_FILLS:
        raise DecodeError(f"{name} past fills: {len(rows)} rows, a page has {_PAGE_FILLS}")
    events = _liquidations(rows, account, receive_ms, replayed=True)
    count = request.before + len(rows)
    is_of_question = all(int(from_ms) <= row.time <= int(until_ms) for row in rows if not isinstance(row, Invalid))
    whole = is_of_question and count < _REACHABLE_FILLS and not any(isinstance(event, Invalid) for event in events)
    if len(rows) < _PAGE_FILLS:
        return BackfillPage(events, whole=whole)
    newest_ms = max((row.time for row in rows if not isinstance(row, Invalid)), default=0)
    if newest_ms <= int(from_ms):  # a whole page of one millisecond: what follows cannot be asked for
        return BackfillPage(events, whole=False)
    return BackfillPage(events, _page(account, newest_ms, int(until_ms), count), whole)
