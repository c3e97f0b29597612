"""The metrics counted again from the ledger, slowly and by other means than the engine: loops over exact numbers."""

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from typing import Protocol

from msgspec import Struct

from liqtape.simulator.dialects import DIALECTS

__all__ = ["WINDOWS", "Count", "Recount", "instrument_of", "micro_usd_of", "recount"]

WINDOWS = (10, 30, 60, 300)
ACCELERATION_SECONDS = 20


class SentLiquidation(Protocol):
    """What is counted: one liquidation with the strings of the wire."""

    @property
    def venue(self) -> str: ...
    @property
    def symbol(self) -> str: ...
    @property
    def side(self) -> str: ...
    @property
    def price(self) -> str: ...
    @property
    def size(self) -> str: ...
    @property
    def event_ms(self) -> int: ...


class Count(Struct, frozen=True):
    """One window of one instrument; USD in whole millionths."""

    count: int = 0
    long_count: int = 0
    short_count: int = 0
    micro_usd: int = 0
    long_micro_usd: int = 0
    short_micro_usd: int = 0


class Recount(Struct, frozen=True):
    """One instrument at one moment."""

    windows: dict[int, Count]
    acceleration: Fraction
    """Least-squares slope in events/s^2 over 20 s."""


def instrument_of(venue: str, symbol: str) -> str:
    """Return our name of a venue's symbol, as its dialect says.

    >>> instrument_of("bybit", "BTCUSDT-25DEC26"), instrument_of("binance", "BTCUSD_PERP")
    ('BTCUSDT_261225', 'BTCUSD')
    >>> instrument_of("okx", "BTC-USD-251226"), instrument_of("hyperliquid", "kPEPE")
    ('BTCUSD_251226', 'PEPEUSDC')
    """
    return DIALECTS[venue].instrument_of(symbol)


def micro_usd_of(venue: str, symbol: str, price: str, size: str) -> int:
    """The USD value in millionths, rounded once, half to even.

    >>> micro_usd_of("binance", "BTCUSD_PERP", "80000.0", "10"), micro_usd_of("bybit", "BTCUSD", "64318.80", "2485")
    (1000000000, 2485000000)
    """
    with localcontext() as context:
        context.prec = 60  # products here have fewer digits, so the only rounding is the last one
        usd = DIALECTS[venue].usd_of(symbol, Decimal(price), Decimal(size))
        return int((usd * 1_000_000).to_integral_value(ROUND_HALF_EVEN))


class _Sized(Struct, frozen=True):
    event_ms: int
    side: str
    micro_usd: int


def recount(records: Iterable[SentLiquidation], now_ms: int) -> dict[str, Recount]:
    """Every instrument that has a record, counted over `(now - W, now]`; give each liquidation once."""
    by_instrument: dict[str, list[_Sized]] = {}
    for record in records:
        usd = micro_usd_of(record.venue, record.symbol, record.price, record.size)
        sized = _Sized(record.event_ms, record.side, usd)
        by_instrument.setdefault(instrument_of(record.venue, record.symbol), []).append(sized)
    return {
        name: Recount(
            windows={seconds: _window(found, now_ms, seconds) for seconds in WINDOWS},
            acceleration=_acceleration(found, now_ms),
        )
        for name, found in by_instrument.items()
    }


def _window(records: list[_Sized], now_ms: int, seconds: int) -> Count:
    longs = shorts = long_usd = short_usd = 0
    for record in records:
        if not now_ms - seconds * 1000 < record.event_ms <= now_ms:
            continue
        if record.side == "long":
            longs += 1
            long_usd += record.micro_usd
        else:
            shorts += 1
            short_usd += record.micro_usd
    return Count(longs + shorts, longs, shorts, long_usd + short_usd, long_usd, short_usd)


def _acceleration(records: list[_Sized], now_ms: int) -> Fraction:
    half_ms = ACCELERATION_SECONDS * 1000 // 2
    sum_ms = 0
    for record in records:
        if now_ms - 2 * half_ms < record.event_ms <= now_ms:
            sum_ms += record.event_ms - now_ms + half_ms
    return Fraction(12, ACCELERATION_SECONDS**3) * Fraction(sum_ms, 1000)
