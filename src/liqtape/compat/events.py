"""The native event of the founding document, and its enumerations."""

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

from liqtape.events import Liquidation

__all__ = ["Exchange", "LiquidationEvent", "Side", "native_event"]


class Exchange(IntEnum):
    """Where it happened."""

    BINANCE = 0
    BYBIT = 1
    OKX = 2
    HYPERLIQUID = 3


class Side(IntEnum):
    """The position that was closed."""

    LONG = 0
    SHORT = 1


@dataclass(slots=True)
class LiquidationEvent:
    """One liquidation as callbacks receive it; `value_usd` and `quantity` are nan when the contract size is unknown.

    >>> LiquidationEvent(1_698_000_000_123, Exchange.BINANCE, "BTCUSDT", Side.LONG, 30_000.0, 0.5, 15_000.0).side_name
    'LONG'
    """

    timestamp_ms: int
    exchange: int
    symbol: str
    side: int
    price: float
    quantity: float
    value_usd: float
    liquidation: Liquidation | None = field(default=None, repr=False, compare=False)
    taken_in_by: object = field(default=None, repr=False, compare=False)
    """The tracker that counts it already: it is passed on there, and not counted again."""
    replayed: bool = field(default=False, repr=False, compare=False)
    """The venue told of it as of something past: it is counted, and raises no alert."""

    @property
    def timestamp(self) -> datetime:
        """The venue's time of the event, in UTC."""
        return datetime.fromtimestamp(self.timestamp_ms / 1000, UTC)

    @property
    def exchange_name(self) -> str:
        """`binance`, `bybit`, ..."""
        return self.exchange.name.lower() if isinstance(self.exchange, Exchange) else _exchange_name(self.exchange)

    @property
    def side_name(self) -> str:
        """`LONG` or `SHORT`."""
        return "LONG" if self.side == Side.LONG else "SHORT"

    def to_dict(self) -> dict[str, Any]:
        """The event as plain values."""
        return {
            "timestamp": self.timestamp.isoformat(),
            "exchange": self.exchange_name,
            "symbol": self.symbol,
            "side": self.side_name,
            "price": self.price,
            "quantity": self.quantity,
            "value_usd": self.value_usd,
        }


def _exchange_name(number: int) -> str:
    try:
        return Exchange(number).name.lower()
    except ValueError:
        return str(number)


def native_event(liquidation: Liquidation, taken_in_by: object = None, *, replayed: bool = False) -> LiquidationEvent:
    """The liquidation as a native event; it carries the liquidation along, and who counts it already."""
    known = Exchange.__members__.get(liquidation.venue.upper())
    return LiquidationEvent(
        liquidation.event_ms,
        -1 if known is None else known,
        liquidation.instrument,
        Side.LONG if liquidation.side == "long" else Side.SHORT,
        liquidation.price,
        math.nan if liquidation.quantity is None else liquidation.quantity,
        math.nan if liquidation.notional_usd is None else liquidation.notional_usd,
        liquidation,
        taken_in_by,
        replayed,
    )
