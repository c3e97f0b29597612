"""Acceleration of the liquidation rate, in liquidations/s^2. Formulas: metrics definition section 2.

All three estimators are exact in expectation for a linear ramp. The least-squares slope is the default: lowest variance
at its lag, and it needs only a count and a sum of times.
"""

from bisect import bisect_right
from collections.abc import Sequence
from math import exp, sqrt

__all__ = ["difference", "exponential", "highest_slope", "jerk", "least_squares", "slope", "slope_error"]


def slope(count: int, sum_ms: int, now_ms: int, horizon_s: int) -> float:
    """Return the least-squares slope over H = `horizon_s`: (12 / H^3) * sum of (t_i - t + H/2).

    `count` and `sum_ms` are the number of events in (now - H, now] and the sum of their times. Integers until the last
    division, hence correctly rounded.

    >>> slope(50, 50 * 1_000, 1_000, 20)
    0.75
    """
    return 12 * (sum_ms - count * now_ms + count * horizon_s * 500) / (1000 * horizon_s**3)


def highest_slope(count: int, horizon_s: int) -> float:
    """Return the most that `slope` can be for `count` events: all of them now, 6 count / H^2."""
    return 6 * count / horizon_s**2


def slope_error(count: int, horizon_s: int) -> float:
    """Return the standard error of `slope`: sqrt(12 count / H^4)."""
    return sqrt(12 * count) / horizon_s**2


def least_squares(times_ms: Sequence[int], now_ms: int, width_s: int) -> tuple[float, float]:
    """Return (slope, standard error) of sorted event times over H = 2 x `width_s`."""
    inside = times_ms[_until(times_ms, now_ms - 2000 * width_s) : _until(times_ms, now_ms)]
    return slope(len(inside), sum(inside), now_ms, 2 * width_s), slope_error(len(inside), 2 * width_s)


def difference(times_ms: Sequence[int], now_ms: int, width_s: int) -> tuple[float, float]:
    """Return ((N1 - N2) / W^2, standard error sqrt(N1 + N2) / W^2): last window against the one before."""
    n1, n2, _ = _last_three(times_ms, now_ms, width_s)
    return (n1 - n2) / width_s**2, sqrt(n1 + n2) / width_s**2


def jerk(times_ms: Sequence[int], now_ms: int, width_s: int) -> float:
    """Return (N1 - 2 N2 + N3) / W^3, liquidations/s^3: noise on most streams, hence not published."""
    n1, n2, n3 = _last_three(times_ms, now_ms, width_s)
    return (n1 - 2 * n2 + n3) / width_s**3


def exponential(times_ms: Sequence[int], now_ms: int, tau1_s: float, tau2_s: float) -> float:
    """Return (v1 - v2) / (tau2 - tau1) with v_k = sum of exp(-(t - t_i) / tau_k) / tau_k over all events so far."""
    ages = [(now_ms - t) / 1000 for t in times_ms[: _until(times_ms, now_ms)]]
    v1, v2 = (sum(exp(-age / tau) for age in ages) / tau for tau in (tau1_s, tau2_s))
    return (v1 - v2) / (tau2_s - tau1_s)


def _until(times_ms: Sequence[int], limit_ms: int) -> int:
    return bisect_right(times_ms, limit_ms)


def _last_three(times_ms: Sequence[int], now_ms: int, width_s: int) -> tuple[int, int, int]:
    edges = [_until(times_ms, now_ms - k * 1000 * width_s) for k in range(4)]
    return edges[0] - edges[1], edges[1] - edges[2], edges[2] - edges[3]
