"""Instruments: from a venue's spelling and contract size to our name, base quantity and USD.

A venue states what one unit of its size is worth, and in which currency it trades; where it has not (yet), the event
stays unsized: `notional_usd` is None, and `quantity` too where the size of the contract is the one not known.

Which name a symbol bears follows from the venue's list and from the tables of ours, never from a price, with one guard
(`Separation`). Names of multiplier contracts only ever go one way, from the coin's name to the raw one: what was once
found to be two assets stays two.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from decimal import Context, Decimal
from fractions import Fraction

from msgspec import Struct
from msgspec.structs import replace

from liqtape.assets import DOLLARS, UNKNOWN, Asset, Pair, currency_of, has_lots, is_coin, marked, split_multiplier
from liqtape.events import Liquidation, RawLiquidation
from liqtape.money import CLEAR, MICRO, WHOLE, micro_usd
from liqtape.sanitize import percent_encoded

__all__ = [
    "LONGEST_SYMBOL",
    "MOST_LISTED",
    "MOST_NEW",
    "MOST_UNLISTED",
    "Contract",
    "Instruments",
    "Separation",
    "is_symbol",
    "linear",
    "split_multiplier",
    "whole",
]

LONGEST_SYMBOL = 64
"""Bytes of a symbol on the wire; the longest that any venue lists has 23."""

MOST_LISTED = 5_000
"""Symbols kept of one venue's list; the largest has 3,000."""

MOST_UNLISTED = 1_000
"""Symbols kept of one venue that its list does not name. A further one takes the place of one that was not used."""

MOST_NEW = 100
"""New symbols that are taken from one frame, or from frames that came together: each costs 0.1 ms of the loop."""

_FIRST_NEW = 300  # of a venue before that counts: a first frame may bring as many while the list is on its way

_FURTHEST = 2.0
"""Prices per coin of one asset do not differ by more, at about the same time."""

_COMPARED_MS = 3_600_000
"""Two prices further apart in event time are not compared: within days a coin may well halve."""

# Our own: what the calling thread's context rounds to is the user's business.
_DECIMALS = Context(prec=40)
_INFINITE = math.inf
_MICRO = float(MICRO)  # a float times an int takes twice as long


class Contract(Struct, frozen=True):
    """What a venue's symbol stands for.

    `unit_value` is what one contract is worth, as decimal text: base coins (linear) or USD (inverse); None while
    unknown. It matters only where the venue prints sizes in contracts.

    `quote` is the currency that price times quantity is an amount of (`currency_of`), empty where nobody says it.
    `coin` is the base without its factor, empty where it is not known or where the contract is inverse; `raw` the
    instrument with the factor left on, empty without factor. `is_pre_market`: the venue lists it, and may not bring it
    yet.
    """

    venue: str
    symbol: str
    instrument: str
    inverse: bool = False
    unit_value: str | None = None
    factor: int = 1
    quote: str = "USD"
    asset: Asset = UNKNOWN
    coin: str = ""
    raw: str = ""
    is_pre_market: bool = False


def linear(
    venue: str,
    symbol: str,
    pair: Pair,
    *,
    settle: str = "",
    asset: Asset = UNKNOWN,
    unit_value: str | None = None,
) -> Contract:
    """A contract worth its base, by what the venue calls base, quote, expiry, settlement and kind of asset.

    >>> linear("bybit", "1000PEPEUSDT", Pair("1000PEPE", "USDT")).instrument
    'PEPEUSDT'
    >>> linear("binance", "CATUSDT", Pair("CAT", "USDT"), asset="equity").instrument
    'CATUSDT-EQUITY'
    """
    coin, factor = split_multiplier(pair.base) if is_coin(asset) else (pair.base, 1)
    return Contract(
        venue,
        symbol,
        marked(f"{coin}{pair.quote}{pair.rest}", asset),
        unit_value=unit_value,
        factor=factor,
        quote=currency_of(pair.quote, settle),
        asset=asset,
        coin=coin,
        raw="" if factor == 1 else f"{pair.base}{pair.quote}{pair.rest}",
    )


def whole(contract: Contract) -> Contract:
    """A multiplier contract with its factor left on: an asset of which one unit is what the venue counts.

    >>> whole(linear("binance", "1000CATUSDT", Pair("1000CAT", "USDT"))).instrument
    '1000CATUSDT'
    """
    if contract.factor == 1:
        return contract
    return replace(contract, instrument=contract.raw or contract.symbol, factor=1, coin="", raw="")


class Separation(Struct, frozen=True):
    """A multiplier contract that bears its raw name now, since its price was not that of another symbol of its name.

    `price` and `other_price` are those per coin that were compared, the later of them at `at_ms`.
    """

    venue: str
    symbol: str
    name: str
    raw: str
    price: float
    other_venue: str
    other_symbol: str
    other_price: float
    at_ms: int

    def __str__(self) -> str:
        return (
            f"{self.venue} {self.symbol} is another asset than {self.other_venue} {self.other_symbol}: "
            f"{self.price:.6g} and {self.other_price:.6g} per coin; it is {self.raw} from now on, no more {self.name}"
        )


class _Known:
    """A contract and what sizing needs of it, worked out once: reading the decimal text took 5 us an event.

    `is_plain`: nothing is to be done but to multiply. `is_used`: events came after the first, lately. `peers`: the
    contracts of the same name, itself among them, where prices are to be compared; `coin_price` at `priced_ms` is the
    last one of this.
    """

    __slots__ = (
        "coin_price",
        "contract",
        "denominator",
        "factor",
        "instrument",
        "inverse",
        "is_dollar",
        "is_plain",
        "is_printable",
        "is_used",
        "micro",
        "numerator",
        "peers",
        "priced_ms",
        "value",
    )

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.instrument, self.inverse, self.factor = contract.instrument, contract.inverse, contract.factor
        self.is_dollar = contract.quote in DOLLARS
        self.is_printable = contract.symbol.isprintable()
        self.is_plain = self.is_dollar and contract.factor == 1 and self.is_printable
        self.is_used = False
        self.peers: list[_Known] | None = None
        self.coin_price, self.priced_ms = 0.0, 0
        size = Fraction(contract.unit_value or 0)  # 0 while unknown: then no quantity is above 0
        self.value = float(size)
        self.micro = self.value * _MICRO
        # Whole numbers; as floats, since a float times an int takes twice as long.
        self.numerator, self.denominator = float(size.numerator), float(size.denominator)


class Instruments:
    """The contracts of all venues: `parse_symbol` says what a symbol means before (or without) the venue's own list.

    `on_separated` is told of each multiplier contract that the guard gives back its raw name, once. What a venue lists
    has its place, `MOST_LISTED` of it; of other symbols the newest are kept that are used: strangers' names neither
    fill memory nor keep real ones out. `on_forgotten` is told the instruments of those that went.

    >>> table = Instruments(lambda venue, symbol: Contract(venue, symbol, symbol))
    >>> raw = RawLiquidation("bybit", "BTCUSDT", "long", 80_000.0, "bankruptcy", 0.5, "base", 1_790_000_000_000)
    >>> table.sized(raw, "x").notional_usd
    40000.0
    """

    def __init__(
        self,
        parse_symbol: Callable[[str, str], Contract],
        on_separated: Callable[[Separation], object] | None = None,
        on_forgotten: Callable[[Collection[str]], object] | None = None,
    ) -> None:
        self.forgotten: Counter[str] = Counter()  # how many symbols made way for others, by venue
        self._new_left: float = _INFINITE
        self._parse_symbol = parse_symbol
        self._on_separated = on_separated
        self._on_forgotten = on_forgotten
        self._known: dict[str, dict[str, _Known]] = {}  # by venue, by symbol
        self._listed: dict[str, set[str]] = {}
        self._unlisted: dict[str, dict[str, None]] = {}  # of what is known; looked through from its beginning
        self._named: dict[str, list[_Known]] = {}
        self._bare: dict[tuple[str, str], dict[str, int]] = {}  # by (venue, coin): contracts without a factor
        self._lots: dict[tuple[str, str], dict[str, int]] = {}  # those with one: factors by symbol
        self._raw: set[tuple[str, str]] = set()  # (venue, symbol) that keep their factor in their name

    def load(self, contracts: Iterable[Contract]) -> int:
        """Take over what a venue lists, as much as has its place; returns how many contracts that were."""
        taken = []
        for contract in contracts:
            listed = self._listed.setdefault(contract.venue, set())
            is_new = contract.symbol not in listed
            if (is_new and len(listed) >= MOST_LISTED) or not is_symbol(contract.symbol):
                continue
            listed.add(contract.symbol)
            self._unlisted.get(contract.venue, {}).pop(contract.symbol, None)
            symbols = self._known.setdefault(contract.venue, {})
            if contract.symbol not in symbols:
                symbols[contract.symbol] = _Known(contract)  # its place; named below, when all are known
            taken.append(_printable(contract))
        self._take(taken)
        return len(taken)

    def delist(self, venue: str, keep: Collection[str]) -> list[str]:
        """Forget that the venue lists others than these; returns which it did. What they stand for stays known."""
        gone = sorted(self._listed.get(venue, set()).difference(keep))
        self._listed.get(venue, set()).difference_update(gone)
        self._unlisted.setdefault(venue, {}).update(dict.fromkeys(gone))
        self._make_room(venue)
        return gone

    def listed(self, venue: str) -> list[str]:
        """Symbols the venue lists, sorted; empty before `load`."""
        return sorted(self._listed.get(venue, ()))

    def is_listed(self, venue: str, symbol: str) -> bool:
        """Whether the venue's list has the symbol."""
        return symbol in self._listed.get(venue, ())

    def contract(self, venue: str, symbol: str) -> Contract:
        """What the symbol stands for, from the venue's list or from its spelling."""
        return self._of(venue, symbol).contract

    def compare(self, venue: str, symbol: str, price: float, event_ms: int) -> None:
        """What `sized` does of itself: hold the price, as the venue prints it, against those of the same name."""
        known = self._of(venue, symbol)
        if known.peers is not None:
            self._is_separated(known, price / known.factor, event_ms)

    def recall(self, event: Liquidation) -> None:
        """Keep what an earlier run decided: an event of it that bears the raw name of its contract says so."""
        if not is_symbol(event.symbol):
            return
        contract = self._of(event.venue, event.symbol).contract
        if contract.factor != 1 and event.instrument == (contract.raw or contract.symbol):
            self._separate(event.venue, event.symbol)

    def limit_new(self) -> None:
        """Let events bring `MOST_NEW` symbols that were not known, until this is called again."""
        self._new_left = MOST_NEW

    def keep(self, venue: str, symbol: str) -> bool:
        """Know the symbol again, if it was forgotten while an event of it waited; False beyond `MOST_NEW`."""
        symbols = self._known.get(venue)
        if symbols is None or symbol in symbols:
            return True
        self._new_left -= 1
        is_allowed = self._new_left >= 0 or len(self._unlisted.get(venue, ())) < _FIRST_NEW
        if is_allowed:
            self._of(venue, symbol)
        return is_allowed

    def _of(self, venue: str, symbol: str) -> _Known:
        symbols = self._known.setdefault(venue, {})
        known = symbols.get(symbol)
        if known is not None:
            return known
        contract = _printable(self._parse_symbol(venue, symbol))
        if not is_symbol(symbol):
            return _Known(contract)
        symbols[symbol] = _Known(contract)
        self._unlisted.setdefault(venue, {})[symbol] = None
        self._take([contract])
        known = symbols[symbol]
        self._make_room(venue)
        return known

    def _make_room(self, venue: str) -> None:
        """Forget unlisted symbols when they are too many, those not used since they were looked at last.

            looked at -> | a (used) | b | c (used) | ... | newest |      b goes; a and c go to the end, as not used

        A list in order of use would have to be kept in order with each event; this is known as the clock.
        """
        unlisted = self._unlisted.get(venue, {})
        if len(unlisted) <= MOST_UNLISTED:
            return
        symbols = self._known[venue]
        gone: list[str] = []
        newest = next(reversed(unlisted))
        while len(unlisted) > MOST_UNLISTED - MOST_UNLISTED // 8:  # some at once, for it is a round to make
            symbol = next(iter(unlisted))
            del unlisted[symbol]
            if symbols[symbol].is_used or symbol == newest:
                symbols[symbol].is_used = False
                unlisted[symbol] = None
                newest = ""
            else:
                gone.append(symbol)
        self._forget(venue, gone)

    def _forget(self, venue: str, symbols: Collection[str]) -> None:
        forgotten: set[str] = set()
        for symbol in symbols:
            known = self._known[venue].pop(symbol)
            self._raw.discard((venue, symbol))
            for coin in {known.contract.coin, self._parse_symbol(venue, symbol).coin}:  # a separated one bears none
                for others in (self._lots, self._bare):
                    if symbols_of := others.get((venue, coin)):
                        symbols_of.pop(symbol, None)
                        if not symbols_of:
                            del others[venue, coin]
            named = self._named.get(known.instrument, [])
            if known in named:
                named.remove(known)
                _set_peers(named)
            if not named:
                self._named.pop(known.instrument, None)
                forgotten.add(known.instrument)
        self.forgotten[venue] += len(symbols)
        if forgotten and self._on_forgotten is not None:
            self._on_forgotten(forgotten)

    def _take(self, contracts: Iterable[Contract]) -> None:
        """Name contracts whose places are there: what they say of each other first, for all of them at once."""
        contracts = list(contracts)
        for contract in contracts:
            if not contract.coin:
                continue
            coin = contract.venue, contract.coin
            by_factor = self._bare if contract.factor == 1 else self._lots
            by_factor.setdefault(coin, {})[contract.symbol] = contract.factor
        for coin in {(contract.venue, contract.coin) for contract in contracts if contract.coin}:
            self._tell_apart(coin)
        for contract in contracts:
            self._name(contract)

    def _tell_apart(self, coin: tuple[str, str]) -> None:
        """Where a venue has the bare name as well, or two factors of it, these are different assets."""
        lots = self._lots.get(coin)
        if not lots:
            return
        least = 1 if coin in self._bare else min(lots.values())
        for symbol, factor in lots.items():
            if factor > least:
                self._separate(coin[0], symbol)

    def _separate(self, venue: str, symbol: str) -> None:
        known = self._known[venue].get(symbol)  # None where it was forgotten
        if known is not None and (venue, symbol) not in self._raw:
            self._raw.add((venue, symbol))
            self._name(known.contract)

    def _name(self, contract: Contract) -> None:
        """Let the symbol mean this contract from now on."""
        venue, symbol = contract.venue, contract.symbol
        if contract.factor != 1 and (venue, symbol) in self._raw:
            contract = whole(contract)
        before = self._known[venue][symbol]
        named = self._named.get(before.instrument, [])
        if before in named:
            if before.contract == contract:
                return
            named.remove(before)
            _set_peers(named)
            if not named:
                del self._named[before.instrument]
        known = self._known[venue][symbol] = _Known(contract)
        if before.instrument == known.instrument and before.factor == known.factor:
            known.coin_price, known.priced_ms = before.coin_price, before.priced_ms
        named = self._named.setdefault(known.instrument, [])
        named.append(known)
        _set_peers(named)

    def _is_separated(self, known: _Known, price: float, event_ms: int) -> bool:
        """Compare the price per coin with those of the same name; whether the contract bears another name now.

        Of two that differ the one with the (larger) factor goes back to its raw name; of two with the same factor
        neither, since that would tell them apart as little.
        """
        known.coin_price, known.priced_ms = price, event_ms
        for other in tuple(known.peers or ()):
            if other.factor == known.factor or not other.coin_price:
                continue
            if abs(event_ms - other.priced_ms) > _COMPARED_MS:
                continue
            if 1 / _FURTHEST <= price / other.coin_price <= _FURTHEST:
                continue
            first, second = (known, other) if known.factor > other.factor else (other, known)
            self._separate(first.contract.venue, first.contract.symbol)
            if self._on_separated is not None:
                self._on_separated(_separation(first, second, event_ms))
            if first is known:
                return True
        return False

    def sized(self, raw: RawLiquidation, identity: str) -> Liquidation:
        """The event in base coins and USD.

        USD is None where its price is in no dollar, both are None where it counts contracts of unknown size.

        Raises ArithmeticError or ValueError where price and size, against all venues' rules, give no finite number, and
        where the symbol is longer than `LONGEST_SYMBOL`, and of a new one beyond `MOST_NEW` since `limit_new`.
        """
        venue, symbol = raw.venue, raw.symbol
        try:
            known = self._known[venue][symbol]
        except KeyError:
            if not is_symbol(symbol):
                raise OverflowError(f"{venue}: no symbol of 1 to {LONGEST_SYMBOL} bytes") from None
            if self._new_left <= 0 and len(self._unlisted.get(venue, ())) >= _FIRST_NEW:
                raise OverflowError(f"{venue}: more than {MOST_NEW} new symbols at once") from None
            self._new_left -= 1
            known = self._of(venue, symbol)
        else:
            known.is_used = True
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
        if not (is_sure and known.is_plain and 0.0 < quantity < _INFINITE):
            liquidation = _sized_with_care(raw, known, identity)
            if known.peers is not None and self._is_separated(known, liquidation.price, raw.event_ms):
                return self.sized(raw, identity)
            return liquidation
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


def _set_peers(named: list[_Known]) -> None:
    """Those of one name watch each other's prices where a multiplier contract is among them, or may join them yet."""
    peers = named if any(known.factor != 1 or has_lots(known.contract.coin) for known in named) else None
    for known in named:
        known.peers = peers
        known.is_plain = known.is_dollar and known.factor == 1 and known.is_printable and peers is None


def is_symbol(text: str) -> bool:
    """Return whether a text may be a symbol: not empty, and no longer than 64 bytes.

    >>> is_symbol("BTCUSDT"), is_symbol(""), is_symbol("\u5e01" * 22)
    (True, False, False)
    """
    return 0 < len(text) <= LONGEST_SYMBOL and (
        text.isascii() or len(text.encode("utf-8", "surrogatepass")) <= LONGEST_SYMBOL
    )


def _printable(contract: Contract) -> Contract:
    """Return the contract under names that fit into a line."""
    if contract.instrument.isprintable() and contract.raw.isprintable():
        return contract
    instrument, raw = percent_encoded(contract.instrument), percent_encoded(contract.raw)
    return replace(contract, instrument=instrument, raw=raw)


def _separation(first: _Known, second: _Known, at_ms: int) -> Separation:
    contract, other = first.contract, second.contract
    return Separation(
        contract.venue,
        contract.symbol,
        contract.instrument,
        contract.raw or contract.symbol,
        first.coin_price,
        other.venue,
        other.symbol,
        second.coin_price,
        at_ms,
    )


def _sized_with_care(raw: RawLiquidation, known: _Known, identity: str) -> Liquidation:
    """Any event: in no dollar, of unknown contract size, in lots of coins, near a tie of rounding, of no sound size."""
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
    if not known.is_dollar:
        micro = None
    if quantity is not None and not 0 < quantity < math.inf:
        raise OverflowError(f"{raw.venue} {raw.symbol}: no finite quantity of {raw.size!r} at {raw.price!r}")
    return Liquidation(
        raw.venue,
        known.instrument,
        percent_encoded(raw.symbol),
        raw.side,
        price,
        raw.price_kind,
        quantity,
        None if micro is None else micro / MICRO,
        raw.event_ms,
        raw.receive_ms,
        percent_encoded(identity),
    )


def _of_contracts(known: _Known, price: float, size: float) -> tuple[float | None, int | None]:
    """(base quantity, micro-USD) of `size` contracts."""
    if not known.value:
        return None, None
    worth = size * known.numerator / known.denominator  # by integers: 7 x 0.01 stays 0.07
    if known.inverse:
        return worth / price, micro_usd(size, known.value)
    return worth, micro_usd(price, size, known.value)
