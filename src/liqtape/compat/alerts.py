"""The founding document's alert rule: a threshold reached, once a crossing."""

import logging
import sys

from liqtape.compat.velocity import VelocityMetrics
from liqtape.events import WINDOWS
from liqtape.sanitize import sanitize

__all__ = ["ACCELERATION_ALERT_THRESHOLD", "ROOT", "VELOCITY_ALERT_THRESHOLD", "Crossings"]

ROOT = "enhanced_websocket_manager"
"""The founding document's module, and the name of its logger."""

VELOCITY_ALERT_THRESHOLD = 5
ACCELERATION_ALERT_THRESHOLD = 2.0

_log = logging.getLogger(ROOT)


class Crossings:
    """Which symbols are above a threshold; the thresholds are those of the root module at each look.

    >>> calm = VelocityMetrics("BTCUSDT", 0.0, *[9] * 4, *[0.9] * 4, 0.1, 0.0)
    >>> Crossings().crosses(calm)
    False
    """

    def __init__(self) -> None:
        self._above: dict[str, float] = {}  # and when they last were

    def crosses(self, metrics: VelocityMetrics) -> bool:
        """Whether a threshold is reached that was not; says so in the log. Below both it is armed again."""
        root = sys.modules.get(ROOT)
        velocity_limit = getattr(root, "VELOCITY_ALERT_THRESHOLD", VELOCITY_ALERT_THRESHOLD)
        acceleration_limit = getattr(root, "ACCELERATION_ALERT_THRESHOLD", ACCELERATION_ALERT_THRESHOLD)
        symbol, velocity, acceleration = metrics.symbol, metrics.velocity_10s, metrics.acceleration
        was_above = self._above.pop(symbol, None)
        if velocity < velocity_limit and acceleration < acceleration_limit:
            return False
        self._above[symbol] = metrics.timestamp
        # Looked at with each event only: after ten seconds without one it had fallen to zero in between.
        if was_above is not None and metrics.timestamp - was_above < WINDOWS[0]:
            return False
        _log.warning("⚡ VELOCITY ALERT: %s %.2f events/s (accel: %.1f)", sanitize(symbol), velocity, acceleration)
        return True
