"""Where BTC trades can be had, in order of preference."""

from collections.abc import Collection

from msgspec import Struct

__all__ = ["PRICE_SOURCES", "PriceSource", "price_sources"]


class PriceSource(Struct, frozen=True):
    """Where BTC trades can be had: `symbol` is the one whose trades are the price, `path` and `topic` subscribe it."""

    name: str
    venue: str
    symbol: str
    host: str
    path: str
    topic: str


PRICE_SOURCES: tuple[PriceSource, ...] = (
    PriceSource("binance", "binance", "BTCUSDT", "wss://fstream.binance.com", "/market/ws", "btcusdt@aggTrade"),
    # Serves data only, and also where the futures host refuses a region.
    PriceSource("binance-spot", "binance", "BTCUSDT", "wss://data-stream.binance.vision", "/ws", "btcusdt@aggTrade"),
    PriceSource("bybit", "bybit", "BTCUSDT", "wss://stream.bybit.com", "/v5/public/linear", "publicTrade.BTCUSDT"),
    PriceSource("okx", "okx", "BTC-USDT-SWAP", "wss://ws.okx.com", "/ws/v5/public", "trades:BTC-USDT-SWAP"),
)
"""In order of preference. Perpetuals and spot differ by some basis points: the source is always named."""


def price_sources(venues: Collection[str], *, always: bool) -> list[PriceSource]:
    """Return the sources of a run: those of its venues; all of them where no venue has one and the price is wanted."""
    none = always and not any(source.venue in venues for source in PRICE_SOURCES)
    return [source for source in PRICE_SOURCES if none or source.venue in venues]
