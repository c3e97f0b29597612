"""What the simulated venues list: symbols as the venues spell them, grids, contract sizes, plausible prices."""

from functools import lru_cache
from typing import Literal

from msgspec import Struct

__all__ = ["LISTINGS", "MARKETS", "PRE_MARKET", "Kind", "Listing", "decimals", "listing", "on_grid", "trimmed"]

Kind = Literal["linear", "coinm", "inverse"]

DELIVERY_261225 = 1_798_185_600_000  # 25 December 2026, 08:00 UTC: the quarterly delivery of all venues


class Listing(Struct, frozen=True):
    """One contract of one venue; `tick` and `step` are written with the decimals the venue prints."""

    venue: str
    symbol: str
    coin: str
    """What moves the price: 1000PEPEUSDT and PEPE share one walk."""
    price: float
    tick: str
    step: str
    share: float = 1.0
    """Weight of this contract in the arrival of liquidations."""
    base: str = ""
    quote: str = "USDT"
    settle: str = "USDT"
    kind: Kind = "linear"
    contract_usd: int = 0
    """USD value of one contract, COIN-M only."""
    ct_val: str = ""
    """Value of one contract in the venue's own words, OKX only: base coin, or USD of an inverse contract."""
    delivery_ms: int = 0
    """0 for perpetuals."""

    @property
    def base_coin(self) -> str:
        return self.base or self.coin

    def price_text(self, value: float) -> str:
        return on_grid(value, self.tick)

    def fill_text(self, value: float) -> str:
        """An average of fills: printed with the decimals of the tick, but not on its grid."""
        places = decimals(self.tick)
        return on_grid(value, f"{10**-places:.{places}f}")

    def size_text(self, usd: float, price: float) -> str:
        """The size that is worth `usd`, in the unit this contract counts in, never below one step."""
        if self.kind == "coinm":
            return on_grid(usd / self.contract_usd, self.step)
        if self.ct_val:
            usd /= float(self.ct_val)
        return on_grid(usd if self.kind == "inverse" else usd / price, self.step)


@lru_cache(maxsize=256)
def decimals(grid: str) -> int:
    """How many decimals a grid is printed with.

    >>> decimals("0.10"), decimals("1")
    (2, 0)
    """
    return len(grid.partition(".")[2])


@lru_cache(maxsize=256)
def _units(grid: str) -> int:
    return int(grid.replace(".", ""))


def on_grid(value: float, grid: str) -> str:
    """The nearest multiple of `grid`, at least one, as the decimal string a venue would print.

    >>> on_grid(83930.66, "0.10"), on_grid(0.0004, "0.001"), on_grid(6666.2, "1")
    ('83930.70', '0.001', '6666')
    """
    places = decimals(grid)
    units = _units(grid)
    whole = max(1, round(value * 10**places / units)) * units
    if places == 0:
        return str(whole)
    return f"{whole // 10**places}.{whole % 10**places:0{places}d}"


def trimmed(text: str, at_least: int = 0) -> str:
    """A decimal string without the zeros at its end, but with `at_least` so many decimals.

    >>> trimmed("31.270"), trimmed("64311.0"), trimmed("80639", 1), trimmed("100")
    ('31.27', '64311', '80639.0', '100')
    """
    whole, _, places = text.partition(".")
    places = places.rstrip("0").ljust(at_least, "0")
    return f"{whole}.{places}" if places else whole


_BINANCE = (
    Listing("binance", "BTCUSDT", "BTC", 84_000, "0.10", "0.001", 4.0),
    Listing("binance", "ETHUSDT", "ETH", 2_850, "0.01", "0.001", 3.0),
    Listing("binance", "SOLUSDT", "SOL", 131, "0.0100", "0.01", 2.0),
    Listing("binance", "XRPUSDT", "XRP", 1.49, "0.0001", "0.1"),
    Listing("binance", "DOGEUSDT", "DOGE", 0.1283, "0.000010", "1"),
    Listing("binance", "ADAUSDT", "ADA", 0.2512, "0.00010", "1"),
    Listing("binance", "AVAXUSDT", "AVAX", 12.61, "0.0010", "1"),
    Listing("binance", "LINKUSDT", "LINK", 11.94, "0.001", "0.01"),
    Listing("binance", "SUIUSDT", "SUI", 1.41, "0.000100", "0.1"),
    Listing("binance", "1000PEPEUSDT", "PEPE", 0.0052431, "0.0000001", "1", base="1000PEPE"),
    Listing("binance", "1000SHIBUSDT", "SHIB", 0.006812, "0.000001", "1", 0.5, base="1000SHIB"),
    Listing("binance", "牛来USDT", "牛来", 0.02131, "0.00001", "1", 0.5),
    Listing("binance", "BTCUSDC", "BTC", 83_990, "0.1", "0.001", 0.5, quote="USDC", settle="USDC"),
    Listing("binance", "BTCUSDT_261225", "BTC", 84_400, "0.1", "0.001", 0.3, delivery_ms=DELIVERY_261225),
    Listing("binance", "BTCUSD_PERP", "BTC", 83_980, "0.1", "1", quote="USD", settle="BTC", kind="coinm",
            contract_usd=100),
    Listing("binance", "ETHUSD_PERP", "ETH", 2_849, "0.01", "1", 0.5, quote="USD", settle="ETH", kind="coinm",
            contract_usd=10),
)  # fmt: skip

_BYBIT = (
    Listing("bybit", "BTCUSDT", "BTC", 84_000, "0.10", "0.001", 4.0),
    Listing("bybit", "ETHUSDT", "ETH", 2_850, "0.01", "0.01", 3.0),
    Listing("bybit", "SOLUSDT", "SOL", 131, "0.010", "0.1", 2.0),
    Listing("bybit", "XRPUSDT", "XRP", 1.49, "0.0001", "0.1"),
    Listing("bybit", "DOGEUSDT", "DOGE", 0.1283, "0.00001", "1"),
    Listing("bybit", "ADAUSDT", "ADA", 0.2512, "0.0001", "1"),
    Listing("bybit", "AVAXUSDT", "AVAX", 12.61, "0.001", "0.1"),
    Listing("bybit", "LINKUSDT", "LINK", 11.94, "0.001", "0.1"),
    Listing("bybit", "SUIUSDT", "SUI", 1.41, "0.00010", "10"),
    Listing("bybit", "1000PEPEUSDT", "PEPE", 0.0052431, "0.0000010", "100", base="1000PEPE"),
    Listing("bybit", "SHIB1000USDT", "SHIB", 0.006812, "0.000001", "10", 0.5, base="SHIB1000"),
    Listing("bybit", "BTCPERP", "BTC", 83_990, "0.10", "0.001", 0.5, quote="USDC", settle="USDC"),
    Listing("bybit", "BTCUSDT-25DEC26", "BTC", 84_400, "0.10", "0.001", 0.3, delivery_ms=DELIVERY_261225),
    Listing("bybit", "BTCUSD", "BTC", 83_980, "0.10", "1", quote="USD", settle="BTC", kind="inverse"),
    Listing("bybit", "ETHUSD", "ETH", 2_849, "0.01", "1", 0.5, quote="USD", settle="ETH", kind="inverse"),
    Listing("bybit", "BTCUSDZ26", "BTC", 84_390, "0.50", "1", 0.3, quote="USD", settle="BTC", kind="inverse",
            delivery_ms=DELIVERY_261225),
)  # fmt: skip

_OKX = (
    Listing("okx", "BTC-USDT-SWAP", "BTC", 84_000, "0.1", "0.01", 4.0, ct_val="0.01"),
    Listing("okx", "ETH-USDT-SWAP", "ETH", 2_850, "0.01", "0.01", 3.0, ct_val="0.1"),
    Listing("okx", "SOL-USDT-SWAP", "SOL", 131, "0.01", "0.01", 2.0, ct_val="1"),
    Listing("okx", "XRP-USDT-SWAP", "XRP", 1.49, "0.0001", "0.01", ct_val="100"),
    Listing("okx", "DOGE-USDT-SWAP", "DOGE", 0.1283, "0.00001", "0.01", ct_val="1000"),
    Listing("okx", "ADA-USDT-SWAP", "ADA", 0.2512, "0.0001", "0.1", ct_val="100"),
    Listing("okx", "AVAX-USDT-SWAP", "AVAX", 12.61, "0.001", "0.1", ct_val="1"),
    Listing("okx", "LINK-USDT-SWAP", "LINK", 11.94, "0.001", "0.1", ct_val="1"),
    Listing("okx", "SUI-USDT-SWAP", "SUI", 1.41, "0.0001", "1", ct_val="1"),
    Listing("okx", "CELO-USDT-SWAP", "CELO", 0.0958, "0.00001", "1", ct_val="1"),
    Listing("okx", "MINA-USDT-SWAP", "MINA", 0.0986, "0.00001", "1", ct_val="1"),
    Listing("okx", "CNPY-USDT-SWAP", "CNPY", 0.4162, "0.0001", "1", 0.5, ct_val="10"),
    Listing("okx", "PEPE-USDT-SWAP", "PEPE", 0.0000052431, "0.000000001", "0.1", ct_val="10000000"),
    Listing("okx", "BTC-USDC-SWAP", "BTC", 83_990, "0.1", "1", 0.5, quote="USDC", settle="USDC", ct_val="0.0001"),
    Listing("okx", "BTC-USD-SWAP", "BTC", 83_980, "0.1", "1", quote="USD", settle="BTC", kind="inverse", ct_val="100"),
    Listing("okx", "ETH-USD-SWAP", "ETH", 2_849, "0.01", "1", 0.5, quote="USD", settle="ETH", kind="inverse",
            ct_val="10"),
    Listing("okx", "BTC-USDT-261225", "BTC", 84_400, "0.1", "0.01", 0.5, ct_val="0.01", delivery_ms=DELIVERY_261225),
    Listing("okx", "BTC-USD-261225", "BTC", 84_390, "0.1", "1", 0.5, quote="USD", settle="BTC", kind="inverse",
            ct_val="100", delivery_ms=DELIVERY_261225),
    Listing("okx", "BTC-USD_UM-261225", "BTC", 84_390, "0.1", "1", 0.5, quote="USD", settle="USD", ct_val="0.01",
            delivery_ms=DELIVERY_261225),
)  # fmt: skip

_HYPERLIQUID = tuple(
    Listing("hyperliquid", symbol, coin, price, tick, step, share, base=symbol, quote="USD", settle="USDC")
    for symbol, coin, price, tick, step, share in (
        ("BTC", "BTC", 84_000, "1", "0.00001", 4.0),
        ("ETH", "ETH", 2_850, "0.1", "0.0001", 3.0),
        ("SOL", "SOL", 131, "0.01", "0.01", 2.0),
        ("XRP", "XRP", 1.49, "0.0001", "1", 1.0),
        ("DOGE", "DOGE", 0.1283, "0.00001", "1", 1.0),
        ("SUI", "SUI", 1.41, "0.0001", "0.1", 1.0),
        ("HYPE", "HYPE", 34.2, "0.001", "0.01", 2.0),
        ("USUAL", "USUAL", 0.01152, "0.00001", "0.1", 0.5),
        ("kPEPE", "PEPE", 0.0052431, "0.000001", "1", 1.0),
        ("kSHIB", "SHIB", 0.006812, "0.000001", "1", 0.5),
        ("xyz:SILVER", "SILVER", 80.6, "0.001", "0.01", 1.0),
        ("xyz:CRWV", "CRWV", 116.86, "0.01", "0.01", 0.5),
    )
)

MARKETS: dict[str, tuple[Listing, ...]] = {"": _BINANCE + _BYBIT, "okx": _OKX, "hyperliquid": _HYPERLIQUID}
"""Listings whose liquidations excite one another. Each market has dice of its own: one more changes no other."""

LISTINGS: tuple[Listing, ...] = tuple(item for listed in MARKETS.values() for item in listed)


PRE_MARKET: tuple[Listing, ...] = (Listing("bybit", "NEWCOINUSDT", "NEWCOIN", 1.2, "0.0001", "1"),)
"""Perpetuals before their market: they are listed for who asks for them and can be subscribed; nothing happens yet."""


def listing(venue: str, symbol: str) -> Listing:
    """The listing of a symbol; `KeyError` for one the simulated venue does not have."""
    return _BY_NAME[venue, symbol]


_BY_NAME = {(item.venue, item.symbol): item for item in LISTINGS}
