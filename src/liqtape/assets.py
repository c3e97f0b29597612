"""Assets: what a contract is on, what its price is in, and the name that follows. No venue, no list, no clock.

An instrument is an asset, not a spelling: `CATUSDT` is a stock at one venue and a coin at another. Whatever is no coin
bears its class after its name (`CATUSDT-EQUITY`), which no coin's name does.
"""

from msgspec import Struct

__all__ = [
    "ASSETS",
    "COIN",
    "DOLLARS",
    "OTHER",
    "QUOTES",
    "UNKNOWN",
    "Asset",
    "Pair",
    "currency_of",
    "has_lots",
    "is_coin",
    "marked",
    "split_multiplier",
    "split_quote",
]

Asset = str
"""A class of assets, one of `ASSETS`."""

UNKNOWN: Asset = ""
"""Neither the venue's list nor a table of ours says it; the contract is named like a coin's."""

COIN: Asset = "coin"
OTHER: Asset = "other"
"""No coin, and of none of the other classes, or of one that the list does not name."""

ASSETS: tuple[Asset, ...] = (UNKNOWN, COIN, "equity", "commodity", "fx", "index", "builder", OTHER)
"""`equity`: stocks and the funds traded like them. `index`: of several coins. `builder`: of a market that somebody else
deployed at the venue, whose prefix the name keeps; of what class it is, its list does not say."""

DOLLARS = frozenset("USD USDT USDC FDUSD USD1 USDE USDG BUSD TUSD USDH USDT0".split())
"""Currencies taken one to one for a US dollar."""

QUOTES = tuple(sorted((*DOLLARS, *"BTC ETH BNB EUR GBP TRY BRL JPY".split()), key=lambda name: (-len(name), name)))
"""Currencies a spelling without a separator may end in, longest first: BUSD is no B in USD."""

_PLAIN = frozenset({UNKNOWN, COIN})

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


_COINS_WITH_LOTS = frozenset(coin for coin, _ in _LOTS.values())


class Pair(Struct, frozen=True):
    """A spelling taken apart: `BTCUSDT_261225` is BTC in USDT, and `_261225`; `quote` is empty where none was found."""

    base: str
    quote: str
    rest: str = ""


def split_multiplier(base: str) -> tuple[str, int]:
    """(coin, factor) of a base name: one unit of a multiplier contract is `factor` coins.

    >>> split_multiplier("1000PEPE"), split_multiplier("SHIB1000"), split_multiplier("1INCH")
    (('PEPE', 1000), ('SHIB', 1000), ('1INCH', 1))
    """
    return _LOTS.get(base, (base, 1))


def has_lots(coin: str) -> bool:
    """Whether contracts on lots of a coin of this name are known.

    >>> has_lots("PEPE"), has_lots("BTC")
    (True, False)
    """
    return coin in _COINS_WITH_LOTS


def split_quote(symbol: str) -> Pair:
    """Base, quote and what follows from `_` on, by the currencies known.

    >>> split_quote("1000PEPEFDUSD"), split_quote("ETHBTC").quote, split_quote("BTCUSDT_261225").rest
    (Pair(base='1000PEPE', quote='FDUSD', rest=''), 'BTC', '_261225')
    """
    pair, line, date = symbol.partition("_")
    quote = next((name for name in QUOTES if pair.endswith(name) and len(pair) > len(name)), "")
    return Pair(pair.removesuffix(quote), quote, line + date)


def is_coin(asset: Asset) -> bool:
    """Whether the contract is named like a coin's: it is one, or nobody says that it is none.

    >>> is_coin(COIN), is_coin(UNKNOWN), is_coin("equity")
    (True, True, False)
    """
    return asset in _PLAIN


def marked(name: str, asset: Asset) -> str:
    """The instrument's name, with its class where it is no coin; a builder's market has its prefix already.

    >>> marked("CATUSDT", COIN), marked("CATUSDT", "equity"), marked("xyz:CATUSDC", "builder")
    ('CATUSDT', 'CATUSDT-EQUITY', 'xyz:CATUSDC')
    """
    return name if is_coin(asset) or asset == "builder" else f"{name}-{asset.upper()}"


def currency_of(quote: str, settle: str = "") -> str:
    """What price times quantity is an amount of: the quote, or what it is settled in where that is no dollar.

    >>> currency_of("USDT", "USDC"), currency_of("BTC", "BTC"), currency_of("USDT", "BNB"), currency_of("")
    ('USDT', 'BTC', 'BNB', '')
    """
    return settle if quote in DOLLARS and settle and settle not in DOLLARS else quote
