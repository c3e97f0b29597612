"""What a throttled venue hides: the rate corrected for "at most one print per symbol and second"."""

from math import log, sqrt

from msgspec import Struct

__all__ = ["SlotRate", "corrected_rate"]


class SlotRate(Struct, frozen=True, gc=False):
    """A corrected rate in events/s; `se` is None and `rate` a lower bound when every slot was taken."""

    rate: float
    se: float | None
    saturated: bool


def corrected_rate(slots: int, taken: int) -> SlotRate:
    """Return the Poisson rate behind `taken` of `slots` one-second slots: -ln(1 - k/W), se sqrt(p / ((1 - p) W)).

    All slots taken: saturated, ln(2 W) as a lower bound. Metrics definition section 1b.

    >>> corrected_rate(10, 5).rate, corrected_rate(10, 10).saturated
    (0.6931471805599453, True)
    """
    if taken >= slots:
        return SlotRate(log(2 * slots), None, saturated=True)
    share = taken / slots
    return SlotRate(-log(1 - share), sqrt(share / ((1 - share) * slots)), saturated=False)
