"""The Hyperliquid stream."""

from liqtape.compat.streams import HyperliquidLiquidationProvider

__all__ = ["HyperliquidLiquidationProvider"]
