"""A liquidation in 18 bytes, and a buffer that really holds them so."""

import math
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, ClassVar, Self

from liqtape.compat.events import LiquidationEvent, Side

__all__ = ["CompactLiquidation", "LiquidationBuffer", "LiquidationSide"]

_SIZE = 18
_STAMP = struct.Struct("<IHBHIIB")  # ms low, ms high, exchange and side, symbol, two decimals low, both high
_MANTISSA_BITS = 30  # nine digits; the other 6 of a decimal's 36 bits are its exponent
_MANTISSA_MASK = 2**_MANTISSA_BITS - 1
_DIGITS = 9
_LEAST_EXPONENT = -40
_MOST_EXPONENT = _LEAST_EXPONENT + 62
_NAN = 2**36 - 1
_MOST_SYMBOLS = 2**16
_NO_EXCHANGE = 0x7F


class LiquidationSide(IntEnum):
    """The position that was closed, as the compact model numbers it."""

    LONG = 1
    SHORT = 2


class _Symbols:
    """Symbols by number: two bytes stand for one, for the life of the process."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        self._lock = threading.Lock()

    def number(self, name: str) -> int:
        number = self._numbers.get(name)
        return self._new(name) if number is None else number

    def _new(self, name: str) -> int:
        with self._lock:  # callbacks that are no coroutines run in threads
            number = self._numbers.get(name)
            if number is not None:
                return number
            if len(self._names) >= _MOST_SYMBOLS:
                raise ValueError(f"more than {_MOST_SYMBOLS} symbols: {name!r} finds no number")
            self._names.append(name)
            self._numbers[name] = len(self._names) - 1
            return len(self._names) - 1

    def name(self, number: int) -> str:
        return self._names[number]


def _decimal(value: float) -> int:
    """The number in 36 bits: exact for the nine digits venues print, rounded to them otherwise; nan stays nan.

    >>> [_number(_decimal(value)) for value in (97512.3, 0.00001234, 0.1234567894)]
    [97512.3, 1.234e-05, 0.123456789]
    """
    if math.isnan(value):
        return _NAN
    sign, digits, exponent = Decimal(f"{value:.{_DIGITS - 1}e}").normalize().as_tuple()
    if sign or not isinstance(exponent, int) or exponent > _MOST_EXPONENT or exponent < _LEAST_EXPONENT:
        raise ValueError(f"{value!r} does not fit the compact form")
    return exponent - _LEAST_EXPONENT << _MANTISSA_BITS | int("".join(map(str, digits)))


def _number(code: int) -> float:
    if code == _NAN:
        return math.nan
    mantissa, exponent = code & _MANTISSA_MASK, (code >> _MANTISSA_BITS) + _LEAST_EXPONENT
    # Integers on both sides: their quotient is rounded once, to the very number that was printed.
    return float(mantissa * 10**exponent) if exponent >= 0 else mantissa / 10**-exponent


class CompactLiquidation:
    """A liquidation that packs into 18 bytes and comes back: 48 bits of milliseconds, side and exchange, a number for
    the symbol, price and quantity as decimals of nine digits (nan where unknown).

    `side` is a number of `LiquidationSide`, or a member of any enumeration that names LONG and SHORT.

    >>> small = CompactLiquidation(1_698_000_000_123, "BTCUSDT", LiquidationSide.LONG, 97512.3, 0.162)
    >>> len(small.pack()), CompactLiquidation.unpack(small.pack()) == small
    (18, True)
    """

    __slots__ = ("exchange", "price", "quantity", "side", "symbol", "timestamp_ms")

    symbols: ClassVar[_Symbols] = _Symbols()

    def __init__(
        self, timestamp_ms: int, symbol: str, side: int, price: float, quantity: float, exchange: int | None = None
    ) -> None:
        self.timestamp_ms = timestamp_ms
        self.symbol = symbol
        # By name where it has one: other enumerations number their sides differently.
        self.side = LiquidationSide[side.name] if isinstance(side, Enum) else LiquidationSide(side)
        self.price = float(price)
        self.quantity = float(quantity)
        self.exchange = exchange

    @classmethod
    def from_event(cls, event: LiquidationEvent) -> Self:
        """A native event, made compact."""
        side = LiquidationSide.LONG if event.side == Side.LONG else LiquidationSide.SHORT
        exchange = int(event.exchange) if event.exchange >= 0 else None
        return cls(event.timestamp_ms, event.symbol, side, event.price, event.quantity, exchange)

    @classmethod
    def from_binance_data(cls, data: Mapping[str, Any]) -> Self:
        """A `forceOrder` message: SELL closes a long."""
        order = data["o"]
        side = LiquidationSide.LONG if order["S"] == "SELL" else LiquidationSide.SHORT
        return cls(int(order["T"]), order["s"], side, float(order["ap"]), float(order["z"]), 0)

    def pack(self) -> bytes:
        """18 bytes; raises ValueError for what does not fit."""
        exchange = _NO_EXCHANGE if self.exchange is None else self.exchange
        if not 0 <= self.timestamp_ms < 2**48 or not 0 <= exchange <= _NO_EXCHANGE:
            raise ValueError("the time or the exchange does not fit the compact form")
        price, quantity = _decimal(self.price), _decimal(self.quantity)
        return _STAMP.pack(
            self.timestamp_ms & 0xFFFFFFFF,
            self.timestamp_ms >> 32,
            exchange << 1 | (self.side == LiquidationSide.SHORT),
            self.symbols.number(self.symbol),
            price & 0xFFFFFFFF,
            quantity & 0xFFFFFFFF,
            price >> 32 << 4 | quantity >> 32,
        )

    @classmethod
    def unpack(cls, packed: bytes | bytearray | memoryview) -> Self:
        """What `pack` of this process gave."""
        low, high, flags, symbol, price, quantity, rest = _STAMP.unpack(packed)
        exchange = flags >> 1
        return cls(
            high << 32 | low,
            cls.symbols.name(symbol),
            LiquidationSide.SHORT if flags & 1 else LiquidationSide.LONG,
            _number(rest >> 4 << 32 | price),
            _number((rest & 15) << 32 | quantity),
            None if exchange == _NO_EXCHANGE else exchange,
        )

    @property
    def timestamp(self) -> datetime:
        """The venue's time of the event, in UTC."""
        return datetime.fromtimestamp(self.timestamp_ms / 1000, UTC)

    @property
    def actual_price(self) -> float:
        """The price; it needs no scale."""
        return self.price

    @property
    def actual_quantity(self) -> float:
        """The quantity in base coin; it needs no scale."""
        return self.quantity

    @property
    def actual_value_usd(self) -> float:
        """Price x quantity."""
        return self.price * self.quantity

    @property
    def value_usd(self) -> float:
        """Price x quantity."""
        return self.price * self.quantity

    @property
    def amount_usd(self) -> float:
        """Price x quantity."""
        return self.price * self.quantity

    @property
    def side_str(self) -> str:
        """`LONG` or `SHORT`."""
        return self.side.name

    @property
    def side_name(self) -> str:
        """`LONG` or `SHORT`."""
        return self.side.name

    def to_dict(self) -> dict[str, Any]:
        """The event as plain values."""
        return {
            "timestamp_ms": self.timestamp_ms,
            "symbol": self.symbol,
            "side": self.side_str,
            "price": self.price,
            "quantity": self.quantity,
            "value_usd": self.value_usd,
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CompactLiquidation):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> int:
        return hash((self.timestamp_ms, self.symbol, self.side, self.price, self.quantity, self.exchange))

    def __repr__(self) -> str:
        return (
            f"CompactLiquidation({self.timestamp_ms}, {self.symbol!r}, {self.side_str}, {self.price}, {self.quantity})"
        )


class LiquidationBuffer:
    """The newest `max_size` liquidations, 18 bytes each, in one block of memory.

    >>> buffer = LiquidationBuffer(2)
    >>> for i in range(3): buffer.add(CompactLiquidation(i, "BTCUSDT", 1, 1.0, 1.0))
    >>> [kept.timestamp_ms for kept in buffer]
    [1, 2]
    """

    __slots__ = ("_block", "_first", "_size", "max_size")

    def __init__(self, max_size: int = 1000) -> None:
        self.max_size = max_size
        self._block = bytearray(_SIZE * max_size)
        self._first = 0
        self._size = 0

    def add(self, liquidation: CompactLiquidation) -> None:
        """Keep it; when full the oldest goes."""
        place = (self._first + self._size) % self.max_size
        self._block[place * _SIZE : (place + 1) * _SIZE] = liquidation.pack()
        if self._size < self.max_size:
            self._size += 1
        else:
            self._first = (self._first + 1) % self.max_size

    def get_recent(self, seconds: float = 30) -> list[CompactLiquidation]:
        """Those of the last `seconds`, oldest first."""
        cutoff_ms = (time.time() - seconds) * 1000
        return [liquidation for liquidation in self if liquidation.timestamp_ms >= cutoff_ms]

    def get_cascade_data(self, seconds: float = 30) -> tuple[list[CompactLiquidation], float]:
        """Those of the last `seconds` and their USD."""
        recent = self.get_recent(seconds)
        return recent, sum(liquidation.value_usd for liquidation in recent)

    def clear_old(self, seconds: float = 300) -> None:
        """Forget what is older than `seconds`."""
        recent = self.get_recent(seconds)
        self._first = self._size = 0
        for liquidation in recent:
            self.add(liquidation)

    def memory_usage(self) -> int:
        """Bytes of the block."""
        return len(self._block)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[CompactLiquidation]:
        for i in range(self._size):
            place = (self._first + i) % self.max_size
            yield CompactLiquidation.unpack(memoryview(self._block)[place * _SIZE : (place + 1) * _SIZE])
