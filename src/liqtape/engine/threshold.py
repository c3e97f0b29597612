"""The founding document's rule: an alert when velocity or acceleration reaches its threshold."""

from msgspec import Struct

from liqtape.events import Level

__all__ = ["Threshold"]


class Threshold(Struct, frozen=True):
    """Velocity in liquidations/s over 10 s, acceleration in liquidations/s^2.

    >>> Threshold().level(6.5, 0.1), Threshold().level(4.9, 1.9)
    ('ALERT', 'NONE')
    """

    velocity_10s: float = 5.0
    acceleration: float = 2.0

    def is_out_of_reach(self, highest_velocity_10s: float, highest_acceleration: float) -> bool:
        """Whether the level is NONE for anything up to these."""
        return highest_velocity_10s < self.velocity_10s and highest_acceleration < self.acceleration

    def level(self, velocity_10s: float, acceleration: float) -> Level:
        """ALERT when either threshold is reached, else NONE."""
        return "ALERT" if velocity_10s >= self.velocity_10s or acceleration >= self.acceleration else "NONE"
