"""From metrics to a level: the founding document's threshold rule."""

from liqtape.events import Level

__all__ = ["ACCELERATION_ALERT_THRESHOLD", "VELOCITY_ALERT_THRESHOLD", "plain_level"]

VELOCITY_ALERT_THRESHOLD = 5
"""Liquidations/s over 10 s."""

ACCELERATION_ALERT_THRESHOLD = 2.0
"""Liquidations/s^2."""


def plain_level(
    velocity_10s: float,
    acceleration: float,
    velocity_threshold: float = VELOCITY_ALERT_THRESHOLD,
    acceleration_threshold: float = ACCELERATION_ALERT_THRESHOLD,
) -> Level:
    """ALERT when either threshold is reached, else NONE.

    >>> plain_level(6.5, 0.1), plain_level(4.9, 1.9)
    ('ALERT', 'NONE')
    """
    return "ALERT" if velocity_10s >= velocity_threshold or acceleration >= acceleration_threshold else "NONE"
