"""Instruments: from a venue's spelling and contract size to our name, base quantity and USD.

A venue states what one unit of its size is worth; where it has not (yet), the event stays unsized: `quantity` and
`notional_usd` are None.
"""

import math
from collections.abc import Callable, Iterable
from decimal import Context, Decimal
from fractions import Fraction

from msgspec import Struct

from liqtape.events import Liquidation, RawLiquidation
from liqtape.money import CLEAR, MICRO, WHOLE, micro_usd

__all__ = ["MOST_SYMBOLS", "Contract", "Instruments", "split_multiplier"]

# Our own: what the calling thread's context rounds to is the user's business.
MOST_SYMBOLS = 5_000
"""Kept of one venue; the largest lists 3,000. Events of others are rejected: a venue's names must not fill memory."""

_DECIMALS = Context(prec=40)
_INFINITE = math.inf
_MICRO = float(MICRO)  # a float times an int takes twice as long

# Coins whose contracts count lots of several coins: an explicit list, because a coin's name may begin with digits
# (1INCH). Names: fee-group and instrument pages of the venues, as of 2026-11.
_LOTS: dict[str, tuple[str, int]] = {
    **{
        f"{factor}{coin}": (coin, factor)
        for factor, coins in (
            (
                1_000,
                "PEPE SHIB FLOKI BONK LUNC XEC SATS RATS CAT CHEEMS WHY X BTT TURBO NEIROCTO TOSHI MUMU TAG APU",
            ),
            (10_000, "LADYS COQ SATS WHY ELON QUBIC WEN STARL"),
            (1_000_000, "MOG BOB CHEEMS BABYDOGE PEIPEI"),
            (10_000_000, "AIDOGE"),
        )
        for coin in coins.split()
    },
    **{f"k{coin}": (coin, 1_000) for coin in "PEPE SHIB BONK FLOKI LUNC DOGS NEIRO".split()},
    "1MBABYDOGE": ("BABYDOGE", 1_000_000),
    "SHIB1000": ("SHIB", 1_000),
}


def split_multiplier(base: str) -> tuple[str, int]:
    """(coin, factor) of a base name: one unit of a multiplier contract is `factor` coins.

    >>> split_multiplier("1000PEPE"), split_multiplier("SHIB1000"), split_multiplier("1INCH")
    (('PEPE', 1000), ('SHIB', 1000), ('1INCH', 1))
    """
    return _LOTS.get(base, (base, 1))


class Contract(Struct, frozen=True):
    """What a venue's symbol stands for.

    `unit_value` is what one contract is worth, as decimal text: base coins (linear) or USD (inverse); None while
    unknown. It matters only where the venue prints sizes in contracts.
    """

    venue: str
    symbol: str
    instrument: str
    inverse: bool = False
    unit_value: str | None = None
    factor: int = 1


class _Known:
    """A contract and what sizing needs of it, worked out once: reading the decimal text took 5 us an event."""

    __slots__ = (
        "contract",
        "denominator",
        "factor",
        "instrument",
        "inverse",
        "is_single",
        "micro",
        "numerator",
        "value",
    )

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.instrument, self.inverse, self.factor = contract.instrument, contract.inverse, contract.factor
        self.is_single = contract.factor == 1
        size = Fraction(contract.unit_value or 0)  # 0 while unknown: then no quantity is above 0
        self.value = float(size)
        self.micro = self.value * _MICRO
        # Whole numbers; as floats, since a float times an int takes twice as long.
        self.numerator, self.denominator = float(size.numerator), float(size.denominator)


class Instruments:
    """The contracts of all venues: `spell` says what a symbol means before (or without) the venue's own list.

    >>> table = Instruments(lambda venue, symbol: Contract(venue, symbol, symbol))
    >>> raw = RawLiquidation("bybit", "BTCUSDT", "long", 80_000.0, "bankruptcy", 0.5, "base", 1_790_000_000_000)
    >>> table.sized(raw, "x").notional_usd
    40000.0
    """

    def __init__(self, spell: Callable[[str, str], Contract]) -> None:
        self._spell = spell
        self._known: dict[str, dict[str, _Known]] = {}  # by venue, by symbol
        self._listed: dict[str, set[str]] = {}

    def load(self, contracts: Iterable[Contract]) -> int:
        """Take over what a venue lists; returns how many contracts that were."""
        count = 0
        for contract in contracts:
            symbols = self._known.setdefault(contract.venue, {})
            if contract.symbol not in symbols and len(symbols) >= MOST_SYMBOLS:
                continue
            symbols[contract.symbol] = _Known(contract)
            self._listed.setdefault(contract.venue, set()).add(contract.symbol)
            count += 1
        return count

    def listed(self, venue: str) -> list[str]:
        """Symbols the venue lists, sorted; empty before `load`."""
        return sorted(self._listed.get(venue, ()))

    def contract(self, venue: str, symbol: str) -> Contract:
        """What the symbol stands for, from the venue's list or from its spelling."""
        return self._of(venue, symbol).contract

    def _of(self, venue: str, symbol: str) -> _Known:
        symbols = self._known.setdefault(venue, {})
        known = symbols.get(symbol)
        if known is None:
            known = _Known(self._spell(venue, symbol))
            if len(symbols) < MOST_SYMBOLS:
                symbols[symbol] = known
        return known

    def sized(self, raw: RawLiquidation, identity: str) -> Liquidation:
        """The event in base coins and USD; both None when it counts contracts of unknown size.

        Raises ArithmeticError or ValueError where price and size, against all venues' rules, give no finite number, and
        beyond `MOST_SYMBOLS` of a venue.
        """
        venue, symbol = raw.venue, raw.symbol
        try:
            known = self._known[venue][symbol]
        except KeyError:
            known = self._of(venue, symbol)
            if symbol not in self._known[venue]:
                raise OverflowError(f"{venue}: more than {MOST_SYMBOLS} symbols") from None
        price, size, unit = raw.price, raw.size, raw.unit
        if unit == "base":
            quantity, product = size, price * size * _MICRO
        elif unit == "usd":
            quantity, product = size / price, size * _MICRO
        elif known.inverse:
            quantity, product = size * known.numerator / known.denominator / price, size * known.micro
        else:
            quantity, product = size * known.numerator / known.denominator, price * size * known.micro
        # `micro_usd` at its place: without its call and loop, 250 ns of 800 less.
        nearest = product + WHOLE - WHOLE
        is_sure = -0.25 < product - nearest < 0.25 and product < CLEAR
        if not (is_sure and known.is_single and 0.0 < quantity < _INFINITE):
            return _sized_with_care(raw, known, identity)
        return Liquidation(
            venue,
            known.instrument,
            symbol,
            raw.side,
            price,
            raw.price_kind,
            quantity,
            nearest / _MICRO,
            raw.event_ms,
            raw.receive_ms,
            identity,
        )


def _sized_with_care(raw: RawLiquidation, known: _Known, identity: str) -> Liquidation:
    """Any event: of unknown contract size, in lots of coins, near a tie of rounding, without a sound size."""
    price, size = raw.price, raw.size
    quantity: float | None
    micro: int | None
    if raw.unit == "base":
        quantity, micro = size, micro_usd(price, size)
    elif raw.unit == "usd":
        quantity, micro = size / price, micro_usd(size)
    else:
        quantity, micro = _of_contracts(known, price, size)
    if known.factor != 1:
        # Decimals here, so that 0.0123456 / 1000 prints as a person would write it.
        factor = Decimal(known.factor)
        price = float(_DECIMALS.divide(Decimal(repr(price)), factor))
        quantity = None if quantity is None else float(_DECIMALS.multiply(Decimal(repr(quantity)), factor))
    if quantity is not None and not 0 < quantity < math.inf:
        raise OverflowError(f"{raw.venue} {raw.symbol}: no finite quantity of {raw.size!r} at {raw.price!r}")
    return Liquidation(
        raw.venue,
        known.instrument,
        raw.symbol,
        raw.side,
        price,
        raw.price_kind,
        quantity,
        None if micro is None else micro / MICRO,
        raw.event_ms,
        raw.receive_ms,
        identity,
    )


def _of_contracts(known: _Known, price: float, size: float) -> tuple[float | None, int | None]:
    """(base quantity, micro-USD) of `size` contracts."""
    if not known.value:
        return None, None
    worth = size * known.numerator / known.denominator  # by integers: 7 x 0.01 stays 0.07
    if known.inverse:
        return worth / price, micro_usd(size, known.value)
    return worth, micro_usd(price, size, known.value)
