"""Reading somebody else's event objects: symbol, time, USD, side; what they do not say is None."""

import math
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Any

from liqtape.compat.events import LiquidationEvent
from liqtape.events import Liquidation, Side

__all__ = ["liquidation_of"]

_USD_NAMES = ("notional_usd", "value_usd", "actual_value_usd", "usd_value")
_TIME_NAMES = ("event_ms", "timestamp_ms", "timestamp")


Read = Callable[[str], Any]


def liquidation_of(event: Any, venue: str) -> Liquidation:
    """The event as a liquidation, of `venue` where it names none; a native event gives the one it carries.

    Events are objects with attributes, or dictionaries. Raises ValueError for one that names no symbol.
    """
    if isinstance(event, LiquidationEvent) and event.liquidation is not None:
        return event.liquidation
    read: Read = event.get if isinstance(event, Mapping) else partial(_attribute, event)
    symbol = read("symbol")
    if not isinstance(symbol, str) or not symbol:
        raise ValueError(f"an event of type {type(event).__name__} names no symbol")
    price, quantity = _finite(read("price")), _finite(read("quantity"))
    return Liquidation(
        _name(read("exchange_name")) or _name(read("exchange")) or venue,
        symbol,
        symbol,
        _side(read),
        math.nan if price is None else price,
        "fill",
        quantity,
        _usd(read, price, quantity),
        _event_ms(read),
    )


def _attribute(event: Any, name: str) -> Any:
    return getattr(event, name, None)


def _number(value: Any) -> float | None:
    """The number, nan included; None for what is none."""
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _finite(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and math.isfinite(number) else None


def _usd(read: Read, price: float | None, quantity: float | None) -> float | None:
    """The first USD value that is a number; nan says that there is none, and then price x quantity is none either."""
    for name in _USD_NAMES:
        number = _number(read(name))
        if number is not None:
            return number if math.isfinite(number) else None
    return None if price is None or quantity is None else price * quantity


def _event_ms(read: Read) -> int:
    """First of `event_ms`, `timestamp_ms`, `timestamp` (a number: seconds, ms or us by its size), else now."""
    for name in _TIME_NAMES:
        value = read(name)
        if isinstance(value, datetime):
            return round(value.timestamp() * 1000)
        number = _finite(value)
        if number is None:
            continue
        if number < 1e11:
            return round(number * 1000)
        return round(number) if number < 1e14 else round(number / 1000)
    return int(time.time() * 1000)


def _side(read: Read) -> Side | None:
    """The closed position where the event names it; an enumeration's number alone names nothing."""
    for name in ("side_name", "side_str", "side"):
        text = _name(read(name))
        if text == "long":
            return "long"
        if text == "short":
            return "short"
    return None


def _name(value: Any) -> str:
    """A text, or the name of an enumeration's member, in lower case; empty for anything else."""
    text = value.name if isinstance(value, Enum) else value
    return text.lower() if isinstance(text, str) else ""
