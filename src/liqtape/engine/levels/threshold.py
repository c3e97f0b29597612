"""The founding document's rule: an alert when velocity or acceleration reaches its threshold."""

from msgspec import Struct

from liqtape.events import Level

__all__ = ["Threshold"]


class Threshold(Struct, frozen=True):
    """Velocity in liquidations/s over 10 s, acceleration in liquidations/s^2.

    Of fewer than `least_in_20s` events an acceleration says nothing and is not looked at.

    >>> Threshold().level(6.5, 0.1, 65), Threshold().level(4.9, 1.9, 200), Threshold().level(0.9, 2.5, 9)
    ('ALERT', 'NONE', 'NONE')
    """

    velocity_10s: float = 5.0
    acceleration: float = 2.0
    least_in_20s: int = 10

    def is_out_of_reach(self, highest_velocity_10s: float, highest_acceleration: float) -> bool:
        """Return whether the level is NONE for anything up to these."""
        return highest_velocity_10s < self.velocity_10s and highest_acceleration < self.acceleration

    def level(self, velocity_10s: float, acceleration: float, in_20s: int) -> Level:
        """Return ALERT when either threshold is reached, else NONE."""
        is_rising = in_20s >= self.least_in_20s and acceleration >= self.acceleration
        return "ALERT" if velocity_10s >= self.velocity_10s or is_rising else "NONE"
