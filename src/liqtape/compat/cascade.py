"""The founding document's cascade detector: the threshold rule on exact windows."""

from typing import Any

from liqtape.compat.velocity import VelocityTracker
from liqtape.compat.wrapped import liquidation_of

__all__ = ["CascadeDetector"]


class CascadeDetector:
    """Whether an event finds its symbol in a cascade: `velocity_10s` or `acceleration` at its threshold.

    >>> detector = CascadeDetector(velocity_threshold=2.0)
    >>> detector.velocity_threshold
    2.0
    """

    def __init__(self, velocity_threshold: float = 5.0, acceleration_threshold: float = 2.0) -> None:
        self.velocity_threshold = velocity_threshold
        self.acceleration_threshold = acceleration_threshold
        self.tracker = VelocityTracker()

    async def check_cascade(self, event: Any) -> bool:
        """Count the event and tell whether its symbol is in a cascade now."""
        liquidation = liquidation_of(event, "")
        usd = liquidation.notional_usd
        self.tracker.add_event(liquidation.instrument, 0.0 if usd is None else usd, liquidation.event_ms / 1000)
        metrics = self.tracker.calculate_velocity(liquidation.instrument)
        if metrics is None:
            return False
        return metrics.velocity_10s >= self.velocity_threshold or metrics.acceleration >= self.acceleration_threshold
