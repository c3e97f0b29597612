"""The compact model."""

from liqtape.compat.compact import CompactLiquidation, LiquidationBuffer, LiquidationSide

__all__ = ["CompactLiquidation", "LiquidationBuffer", "LiquidationSide"]
