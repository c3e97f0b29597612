"""Reading somebody else's event objects: symbol, time, USD, price, size, side; what they do not say is None."""

import math
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Literal, NamedTuple

from liqtape.assets import DOLLARS, split_quote
from liqtape.compat.events import LiquidationEvent
from liqtape.events import Liquidation, Side
from liqtape.sanitize import percent_encoded

__all__ = ["MISSING", "Declared", "Reading", "liquidation_of", "read_event"]

Declared = Literal["order", "position"]
"""What `buy` and `sell` of a source mean: the order that closed the position, or the position."""

MISSING = ("side", "usd", "time")
"""The facts that an event may leave unsaid; `Reading.missing` names them."""

_SYMBOL_NAMES = ("symbol", "instrument", "pair", "trading_pair", "coin")
_DOLLAR_NAMES = ("notional_usd", "value_usd", "usd_value")
_QUOTE_NAMES = ("quoteValue", "notional")  # in the quote's coin, which need not be a dollar
_SIZE_NAMES = ("quantity", "qty", "amount", "size", "contracts")
_TIME_NAMES = ("event_ms", "timestamp_ms", "timestamp", "time", "ts", "ts_ms", "ts_exch_ms")
_SIDE_NAMES = ("side_name", "side_str", "side")

_MOST = 1e15  # USD or coins: above every liquidation, and exact as micro-USD
_SHORTEST_BASE = 3  # of a pair written in one word: TBTC and CBBTC are coins
_BASIC_DATE = re.compile(r"\d{8}")

_BUY_CLOSES: dict[Declared, tuple[Side, Side]] = {"order": ("short", "long"), "position": ("long", "short")}

Read = Callable[[str], Any]


class Reading(NamedTuple):
    """An event as a liquidation, and which of `MISSING` it did not say."""

    liquidation: Liquidation
    missing: tuple[str, ...] = ()


def liquidation_of(event: Any, venue: str, side: Declared | None = None) -> Liquidation:
    """Return the event as a liquidation, as `read_event` does."""
    return read_event(event, venue, side).liquidation


def read_event(event: Any, venue: str, side: Declared | None = None) -> Reading:
    """Read an event, of `venue` where it names none; a native event gives the liquidation it carries.

    Events are objects with attributes, or dictionaries. `side` declares what their `buy` and `sell` mean; undeclared
    they mean nothing. Where the older compact model keeps thousands, hundredths and millionths under the plain names,
    its `actual_*` are read before them. The symbol stays as it is said: the tracker makes it fit for storage. A
    property that raises says nothing. Raises ValueError for an event that names no symbol.

    >>> read_event({"symbol": "BTCUSDT", "price": 8_000_000, "actual_price": 80_000.0, "qty": "0.5"}, "mine").missing
    ('side', 'time')
    """
    if isinstance(event, LiquidationEvent) and event.liquidation is not None:
        return Reading(event.liquidation)
    read = _reader(event)
    symbol = next(filter(None, map(_text, map(read, _SYMBOL_NAMES))), "")
    if not symbol:
        raise ValueError(f"an event of type {type(event).__name__} names no symbol")
    price = _amount(_first(read, ("actual_price", "price"))) or None  # a price of 0 is none
    quantity, usd = _size_and_usd(read, symbol, price)
    closed, event_ms = _side(read, side), _event_ms(read)
    said = {"side": closed, "usd": usd, "time": event_ms}
    liquidation = Liquidation(
        percent_encoded(_name(read("exchange_name")) or _name(read("exchange")) or venue),
        symbol,
        symbol,
        closed,
        math.nan if price is None else price,
        "fill",
        quantity,
        usd,
        int(time.time() * 1000) if event_ms is None else event_ms,
    )
    return Reading(liquidation, tuple(fact for fact in MISSING if said[fact] is None))


def _reader(event: Any) -> Read:
    if isinstance(event, Mapping):
        return event.get

    def read(name: str) -> Any:
        try:
            return getattr(event, name, None)
        except Exception:  # noqa: BLE001 - events are anybody's: a property of theirs that fails says nothing
            return None

    return read


def _number(value: Any) -> float | None:
    """Return the number, nan included; None for what is none."""
    if value is None or isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _finite(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and math.isfinite(number) else None


def _amount(number: float | None) -> float | None:
    """Return the magnitude (a sign is a direction, in some libraries); None for nan and for what cannot be."""
    return abs(number) if number is not None and abs(number) < _MOST else None


def _first(read: Read, names: tuple[str, ...]) -> float | None:
    """Return the first value that is a number, nan included: it says that there is none."""
    return next((number for name in names if (number := _number(read(name))) is not None), None)


def _size_and_usd(read: Read, symbol: str, price: float | None) -> tuple[float | None, float | None]:
    """Return the size in base coin, and its USD."""
    actual = _first(read, tuple(f"actual_{name}" for name in _SIZE_NAMES))
    plain = next((name for name in _SIZE_NAMES if _number(read(name)) is not None), None)
    size = _amount(actual if actual is not None or plain is None else _number(read(plain)))
    # Where the size has a name of its own beside `contracts`, it is no count of contracts.
    counts = actual is None and (plain == "contracts" or _number(read("contracts")) is None)
    each = (_amount(_number(read("contractSize"))) or None) if counts else None
    spoken = _first(read, (*(f"actual_{name}" for name in (*_DOLLAR_NAMES, *_QUOTE_NAMES)), *_DOLLAR_NAMES))
    if _is_inverse(symbol):  # its contracts are counted in dollars, whatever a library multiplies them by
        worth = _product(size, each) if plain == "contracts" and actual is None else None
        usd = worth if spoken is None else _amount(spoken)
        return (None if usd is None or price is None else usd / price), usd
    quantity = _product(size, 1.0 if each is None else each)
    if spoken is not None:
        return quantity, _amount(spoken)
    if not _is_in_dollars(symbol):
        return quantity, None
    quoted = _first(read, _QUOTE_NAMES)
    return quantity, _product(price, quantity) if quoted is None else _amount(quoted)


def _product(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else _amount(one * other)


def _is_inverse(symbol: str) -> bool:
    """Tell whether a unified symbol (`BTC/USD:BTC`) is settled in its own coin.

    >>> _is_inverse("BTC/USD:BTC-261225"), _is_inverse("BTC/USDT:USDT"), _is_inverse("BTC/USD")
    (True, False, False)
    """
    pair, _, settle = symbol.upper().partition(":")
    base, _, quote = pair.partition("/")
    return bool(settle) and bool(quote) and settle.partition("-")[0] == base


def _is_in_dollars(symbol: str) -> bool:
    """Tell whether price x size of a symbol may be taken for dollars: not where its spelling names another quote.

    >>> [_is_in_dollars(s) for s in ("BTC/USDT:USDT", "BTC-USDT-PERP", "BTCUSDT", "BTC", "BTC-PERPETUAL", "TBTC")]
    [True, True, True, True, True, True]
    >>> [_is_in_dollars(s) for s in ("ETH/BTC", "BTC/EUR:EUR", "ETH-BTC-PERP", "ETHBTC")]
    [False, False, False, False]
    """
    base, slash, rest = symbol.upper().partition("/")
    if slash:
        return rest.partition(":")[0] in DOLLARS
    words = re.split(r"[-_]", base)
    pair = split_quote(words[0] + words[1] if len(words) > 1 else words[0])
    if not pair.quote or pair.quote in DOLLARS:
        return True
    return len(pair.base) < _SHORTEST_BASE if len(words) == 1 else pair.quote != words[1]


def _event_ms(read: Read) -> int | None:
    """Return the first time the event names: a datetime, ISO 8601 text, or a number of s, ms or us by its size."""
    return next((at_ms for name in _TIME_NAMES if (at_ms := _moment_ms(read(name))) is not None), None)


def _moment_ms(value: Any) -> int | None:
    """Return Unix milliseconds; None for what is no time after 1970.

    A datetime without a zone is local, as everywhere in Python; a text without a zone is UTC, as venues print it.

    >>> [_moment_ms(value) for value in (1_790_000_000, "1790000000123", "2026-09-21T14:13:20.123Z", "soon", 0)]
    [1790000000000, 1790000000123, 1790000000123, None, None]
    """
    if isinstance(value, str):
        value = _from_text(value.strip())
    try:
        seconds = value.timestamp() if isinstance(value, datetime) else None
    except (OverflowError, OSError, ValueError):
        return None
    number = _finite(value if seconds is None else seconds)
    if number is None or number <= 0:
        return None
    if seconds is not None or number < 1e11:
        return round(number * 1000) or None
    return round(number) if number < 1e14 else round(number / 1000)


def _from_text(text: str) -> datetime | str:
    """Return the moment an ISO 8601 text names, the text itself if it is none."""
    if _number(text) is not None and not _BASIC_DATE.fullmatch(text):
        return text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _side(read: Read, declared: Declared | None) -> Side | None:
    """Return the closed position where the event names it; an enumeration's number alone names nothing."""
    for name in _SIDE_NAMES:
        value = read(name)
        for text in (_name(value), _name(value.value) if isinstance(value, Enum) else ""):
            if text in {"long", "short"}:
                return "long" if text == "long" else "short"
            if declared is not None and text in {"buy", "sell"}:
                bought, sold = _BUY_CLOSES[declared]
                return bought if text == "buy" else sold
    return None


def _text(value: Any) -> str:
    """Return a text, or that of an enumeration's member; empty for anything else."""
    text = value.value if isinstance(value, Enum) else value
    return str(text) if isinstance(text, str) else ""


def _name(value: Any) -> str:
    """Return a text, or the name of an enumeration's member, in lower case; empty for anything else."""
    text = value.name if isinstance(value, Enum) else value
    return text.strip().lower() if isinstance(text, str) else ""
