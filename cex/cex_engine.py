"""The native event."""

from liqtape.compat.events import Exchange, LiquidationEvent, Side

__all__ = ["Exchange", "LiquidationEvent", "Side"]
