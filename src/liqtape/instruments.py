"""Instruments: from a venue's spelling and contract size to our name, base quantity and USD.

A venue states what one unit of its size is worth; where it has not (yet), the event stays unsized: `quantity` and
`notional_usd` are None and nothing is guessed.
"""

import math
from collections.abc import Callable, Iterable
from decimal import Context, Decimal
from fractions import Fraction

from msgspec import Struct

from liqtape.events import Liquidation, RawLiquidation
from liqtape.money import MICRO, micro_usd

__all__ = ["Contract", "Instruments", "split_multiplier"]

# Our own: what the calling thread's context rounds to is the user's business.
_DECIMALS = Context(prec=40)

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


class Instruments:
    """The contracts of all venues: `spell` says what a symbol means before (or without) the venue's own list.

    >>> table = Instruments(lambda venue, symbol: Contract(venue, symbol, symbol))
    >>> raw = RawLiquidation("bybit", "BTCUSDT", "long", 80_000.0, "bankruptcy", 0.5, "base", 1_790_000_000_000)
    >>> table.sized(raw, "x").notional_usd
    40000.0
    """

    def __init__(self, spell: Callable[[str, str], Contract]) -> None:
        self._spell = spell
        self._contracts: dict[tuple[str, str], Contract] = {}
        self._listed: dict[str, set[str]] = {}

    def load(self, contracts: Iterable[Contract]) -> int:
        """Take over what a venue lists; returns how many contracts that were."""
        count = 0
        for contract in contracts:
            self._contracts[contract.venue, contract.symbol] = contract
            self._listed.setdefault(contract.venue, set()).add(contract.symbol)
            count += 1
        return count

    def listed(self, venue: str) -> list[str]:
        """Symbols the venue lists, sorted; empty before `load`."""
        return sorted(self._listed.get(venue, ()))

    def contract(self, venue: str, symbol: str) -> Contract:
        """What the symbol stands for, from the venue's list or from its spelling."""
        contract = self._contracts.get((venue, symbol))
        if contract is None:
            contract = self._contracts[venue, symbol] = self._spell(venue, symbol)
        return contract

    def sized(self, raw: RawLiquidation, identity: str) -> Liquidation:
        """The event in base coins and USD; both None when it counts contracts of unknown size.

        Raises ArithmeticError or ValueError where price and size, against all venues' rules, give no finite number.
        """
        contract = self.contract(raw.venue, raw.symbol)
        price, size = raw.price, raw.size
        quantity: float | None
        micro: int | None
        if raw.unit == "base":
            quantity, micro = size, micro_usd(price, size)
        elif raw.unit == "usd":
            quantity, micro = size / price, micro_usd(size)
        else:
            quantity, micro = _of_contracts(contract, price, size)
        if contract.factor != 1:
            # Decimals here, so that 0.0123456 / 1000 prints as a person would write it.
            factor = Decimal(contract.factor)
            price = float(_DECIMALS.divide(Decimal(repr(price)), factor))
            quantity = None if quantity is None else float(_DECIMALS.multiply(Decimal(repr(quantity)), factor))
        if quantity is not None and not 0 < quantity < math.inf:
            raise OverflowError(f"{raw.venue} {raw.symbol}: no finite quantity of {raw.size!r} at {raw.price!r}")
        return Liquidation(
            raw.venue,
            contract.instrument,
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


def _of_contracts(contract: Contract, price: float, size: float) -> tuple[float | None, int | None]:
    """(base quantity, micro-USD) of `size` contracts."""
    if contract.unit_value is None:
        return None, None
    value = Fraction(contract.unit_value)
    worth = size * value.numerator / value.denominator  # by integers: 7 x 0.01 stays 0.07
    if contract.inverse:
        return worth / price, micro_usd(size, float(value))
    return worth, micro_usd(price, size, float(value))
