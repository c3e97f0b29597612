"""The estimators of acceleration against the formulas in fractions."""

from fractions import Fraction
from itertools import accumulate
from math import exp, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.engine.windows.acceleration import difference, exponential, jerk, least_squares, slope, slope_error

_T = 1_790_000_000_000
_TIMES = st.lists(st.integers(-100_000, 3_000).map(lambda ms: _T + ms), max_size=60).map(sorted)
_WIDTHS = st.sampled_from([1, 7, 10, 30])


def _number(times: list[int], after: int, until: int) -> int:
    return sum(after < t <= until for t in times)


@given(_TIMES, _WIDTHS)
def test_slope_is_the_float_nearest_to_the_formula(times: list[int], width: int) -> None:
    horizon = 2 * width
    inside = [t for t in times if _T - 1000 * horizon < t <= _T]
    exact = sum(
        (Fraction(12, horizon**3) * (Fraction(t - _T, 1000) + Fraction(horizon, 2)) for t in inside), Fraction()
    )

    assert least_squares(times, _T, width) == (float(exact), sqrt(12 * len(inside)) / horizon**2)
    assert slope(len(inside), sum(inside), _T, horizon) == float(exact)


@given(_TIMES, _WIDTHS)
def test_difference_and_jerk_compare_whole_windows(times: list[int], width: int) -> None:
    w = 1000 * width
    n1, n2, n3 = (_number(times, _T - (i + 1) * w, _T - i * w) for i in range(3))

    assert difference(times, _T, width) == (float(Fraction(n1 - n2, width**2)), sqrt(n1 + n2) / width**2)
    assert jerk(times, _T, width) == float(Fraction(n1 - 2 * n2 + n3, width**3))


@given(_TIMES, st.sampled_from([(5.0, 10.0), (15.0, 30.0)]))
def test_exponential_weighs_every_event_up_to_now(times: list[int], taus: tuple[float, float]) -> None:
    v1, v2 = (sum(exp((t - _T) / 1000 / tau) for t in times if t <= _T) / tau for tau in taus)

    assert exponential(times, _T, *taus) == pytest.approx((v1 - v2) / (taus[1] - taus[0]), rel=1e-9, abs=1e-12)


def test_exponential_after_ten_years_of_silence_is_zero() -> None:
    assert exponential([_T], _T + 10 * 365 * 86_400_000, 5.0, 10.0) == 0.0


@pytest.mark.parametrize("seconds", [0.05, 0.1, 0.5])
def test_a_steady_ramp_is_found_by_each(seconds: float) -> None:
    # n(t) = a t^2 / 2 events by time t: event i at sqrt(2 i / a)
    growth = 1 / seconds
    times = [int(_T + 1000 * sqrt(2 * i / growth)) for i in range(1, int(growth * 40**2 / 2))]

    assert difference(times, _T + 40_000, 10)[0] == pytest.approx(growth, rel=0.02)
    assert least_squares(times, _T + 40_000, 10)[0] == pytest.approx(growth, rel=0.02)


@pytest.mark.parametrize("n", [1, 50, 11_279])
def test_a_pulse_shows_at_once_as_6_n_over_the_square_of_the_horizon(n: int) -> None:
    assert least_squares([_T] * n, _T, 10)[0] == 6 * n / 20**2
    assert difference([_T] * n, _T, 10)[0] == n / 10**2


def test_an_even_stream_on_the_edge_is_not_flat() -> None:
    times = sorted(accumulate([-1_000] * 60, initial=_T))

    assert difference(times, _T, 10)[0] == 0.0
    assert least_squares(times, _T, 10)[0] == 0.015  # half-open windows: the newest has no counterpart at t - H


def test_nothing_is_zero_with_no_error() -> None:
    assert (slope(0, 0, _T, 20), slope_error(0, 20), jerk([], _T, 10)) == (0.0, 0.0, 0.0)
    assert exponential([], _T, 5.0, 10.0) == 0.0
