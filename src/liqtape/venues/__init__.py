"""The venues, by name. Adding one: a file, its fixtures, and its line here."""

from liqtape.venues import binance, bybit, hyperliquid, okx
from liqtape.venues.base import Venue

__all__ = ["VENUES"]

VENUES: dict[str, Venue] = {
    binance.name: binance,
    bybit.name: bybit,
    okx.name: okx,
    hyperliquid.name: hyperliquid,
}
