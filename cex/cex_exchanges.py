"""Streams of the centralised venues."""

from liqtape.compat.streams import BinanceLiquidationStream, BybitLiquidationStream, OKXLiquidationStream

__all__ = ["BinanceLiquidationStream", "BybitLiquidationStream", "OKXLiquidationStream"]
