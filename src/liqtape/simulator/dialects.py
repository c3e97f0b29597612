"""The venues this simulator speaks for. A further one is its dialect module, its listings and a line here."""

from liqtape.simulator import binance, bybit, hyperliquid, okx
from liqtape.simulator.wire import Dialect

__all__ = ["DIALECTS"]

DIALECTS: dict[str, Dialect] = {
    binance.name: binance,
    bybit.name: bybit,
    okx.name: okx,
    hyperliquid.name: hyperliquid,
}
