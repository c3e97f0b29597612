"""The forms of acceleration the engine publishes, over W = 10 s, from what its venue windows keep; metrics definition
2.

| form | value | variance at rate r |
|---|---|---|
| `least_squares` | (12 / H^3) sum of (t_i - t + H/2), H = 20 s | 12 r / H^3 |
| `difference` | (N1 - N2) / W^2, the last window less the one before | 2 r / W^3 |
| `exponential` | (v1 - v2) / (tau2 - tau1), taus of 5 and 10 s | r / (2 tau1 tau2 (tau1 + tau2)) |
"""

from collections.abc import Iterable
from math import sqrt
from typing import Literal

from msgspec import Struct

from liqtape.engine.windows.acceleration import highest_slope, slope, slope_error
from liqtape.engine.windows.decayedwindows import TAU1_S, TAU2_S, DecayedVenueWindows, ThrottledDecayedVenueWindows
from liqtape.engine.windows.venuewindows import ThrottledVenueWindows, VenueWindows

__all__ = ["HORIZON_S", "Accelerated", "Form", "accelerated", "highest", "new_venue_windows"]

Form = Literal["least_squares", "difference", "exponential"]

HORIZON_S = 20
_WIDTH_S = 10
_LEAST_EXPECTED = 10
_VARIANCE: dict[Form, float] = {
    "least_squares": 12 / HORIZON_S**3,
    "difference": 2 / _WIDTH_S**3,
    "exponential": 1 / (2 * TAU1_S * TAU2_S * (TAU1_S + TAU2_S)),
}


class Accelerated(Struct, frozen=True, gc=False):
    """An acceleration in liquidations/s^2 with its standard error; `variance` is that of one liquidation/s."""

    value: float
    error: float
    variance: float

    def z(self, rate: float) -> float | None:
        """Return it in standard errors of independent events that come at `rate` per second, steadily.

        None where fewer than ten of them are expected in 20 s: there it means nothing.
        """
        return self.value / sqrt(self.variance * rate) if rate * HORIZON_S >= _LEAST_EXPECTED else None


def new_venue_windows(form: Form, *, is_throttled: bool) -> VenueWindows:
    """Return venue windows that keep what the form needs."""
    if form == "exponential":
        return ThrottledDecayedVenueWindows() if is_throttled else DecayedVenueWindows()
    return ThrottledVenueWindows() if is_throttled else VenueWindows()


def accelerated(
    form: Form, all_venue_windows: Iterable[VenueWindows], now_ms: int, count_10s: int, moment: tuple[int, int]
) -> Accelerated:
    """Return the acceleration of venue windows, each at its own time. `moment` is (number, sum of times in ms) of the
    events of the last 20 s, each as far before `now_ms` as it is before the time of its venue windows.
    """
    in_horizon, sum_ms = moment
    variance = _VARIANCE[form]
    if form == "least_squares":
        return Accelerated(slope(in_horizon, sum_ms, now_ms, HORIZON_S), slope_error(in_horizon, HORIZON_S), variance)
    if form == "difference":
        return Accelerated((2 * count_10s - in_horizon) / _WIDTH_S**2, sqrt(in_horizon) / _WIDTH_S**2, variance)
    fast = slow = 0.0
    for venue_windows in all_venue_windows:
        if isinstance(venue_windows, DecayedVenueWindows):
            of_windows = venue_windows.decayed.sums(venue_windows.columns, venue_windows.now_ms)
            fast, slow = fast + of_windows[0], slow + of_windows[1]
    v1, v2 = fast / TAU1_S, slow / TAU2_S
    return Accelerated((v1 - v2) / (TAU2_S - TAU1_S), sqrt(v2 * variance), variance)


def highest(form: Form, count: int) -> float:
    """Return the most the acceleration can be with `count` events in the last 20 s: all of them now."""
    if form == "least_squares":
        return highest_slope(count, HORIZON_S)
    if form == "difference":
        return count / _WIDTH_S**2
    return count * (1 / TAU1_S - 1 / TAU2_S) / (TAU2_S - TAU1_S)
