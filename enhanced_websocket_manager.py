"""The founding document's module. The alert thresholds are read from here at each evaluation."""

from liqtape.compat.manager import ACCELERATION_ALERT_THRESHOLD, VELOCITY_ALERT_THRESHOLD, EnhancedWebSocketManager
from liqtape.compat.price import BTCPriceFeed, BTCPriceUpdate
from liqtape.compat.velocity import VelocityMetrics, VelocityTracker

__all__ = [
    "ACCELERATION_ALERT_THRESHOLD",
    "VELOCITY_ALERT_THRESHOLD",
    "BTCPriceFeed",
    "BTCPriceUpdate",
    "EnhancedWebSocketManager",
    "VelocityMetrics",
    "VelocityTracker",
]
