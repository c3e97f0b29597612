"""Reading somebody else's event objects: symbol, time, USD, side; nothing is guessed that they do not say."""

import math
import time
from datetime import datetime
from typing import Any

from liqtape.compat.events import LiquidationEvent
from liqtape.events import Liquidation, Side

__all__ = ["liquidation_of"]

_USD_NAMES = ("notional_usd", "value_usd", "actual_value_usd", "usd_value")
_TIME_NAMES = ("event_ms", "timestamp_ms", "timestamp")


def liquidation_of(event: Any, venue: str) -> Liquidation:
    """The event as a liquidation of `venue`; a native event gives the one it carries.

    Raises ValueError for an event that names no symbol.
    """
    if isinstance(event, LiquidationEvent) and event.liquidation is not None:
        return event.liquidation
    symbol = getattr(event, "symbol", None)
    if not isinstance(symbol, str) or not symbol:
        raise ValueError(f"an event of type {type(event).__name__} names no symbol")
    price, quantity = _number(event, "price"), _number(event, "quantity")
    usd = _usd(event, price, quantity)
    return Liquidation(
        _venue(event, venue),
        symbol,
        symbol,
        _side(event),
        math.nan if price is None else price,
        "fill",
        quantity,
        usd,
        _event_ms(event),
    )


def _number(event: Any, name: str) -> float | None:
    value: Any = getattr(event, name, None)
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _usd(event: Any, price: float | None, quantity: float | None) -> float | None:
    for name in _USD_NAMES:
        if getattr(event, name, None) is not None:
            return _number(event, name)
    return None if price is None or quantity is None else price * quantity


def _event_ms(event: Any) -> int:
    """First of `event_ms`, `timestamp_ms`, `timestamp` (a number: seconds, ms or us by its size), else now."""
    for name in _TIME_NAMES:
        value = getattr(event, name, None)
        if isinstance(value, datetime):
            return round(value.timestamp() * 1000)
        number = None if value is None else _number(event, name)
        if number is None:
            continue
        if number < 1e11:
            return round(number * 1000)
        return round(number) if number < 1e14 else round(number / 1000)
    return time.time_ns() // 1_000_000


def _side(event: Any) -> Side | None:
    """The closed position where the event names it; an enumeration's number alone names nothing."""
    for name in ("side_name", "side_str", "side"):
        value = getattr(event, name, None)
        text = str(getattr(value, "name", value)).lower()
        if text == "long":
            return "long"
        if text == "short":
            return "short"
    return None


def _venue(event: Any, fallback: str) -> str:
    name = getattr(event, "exchange_name", None) or getattr(event, "exchange", None)
    return name.lower() if isinstance(name, str) and name else fallback
