"""Rates, imbalances and standard errors of one window."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.engine import Window
from liqtape.events import WINDOWS
from liqtape.money import MICRO

_COUNTS = st.tuples(*[st.integers(0, 10**6)] * 3)
_MICROS = st.tuples(*[st.one_of(st.just(0), st.integers(0, 10**25))] * 3)


@given(st.sampled_from(WINDOWS), _COUNTS, _MICROS)
def test_quotients_are_the_floats_nearest_to_the_exact_ones(
    seconds: int, counts: tuple[int, int, int], micros: tuple[int, int, int]
) -> None:
    (long, short, unsided), (long_micro, short_micro, unsided_micro) = counts, micros
    window = Window(seconds, long, short, long_micro, short_micro, 0, None, unsided, unsided_micro)
    micro = long_micro + short_micro + unsided_micro

    assert window.count == long + short + unsided
    assert window.micro == micro
    assert window.usd == float(Fraction(micro, MICRO))
    assert window.velocity == float(Fraction(long + short + unsided, seconds))
    assert window.usd_velocity == float(Fraction(micro, MICRO * seconds))
    assert window.imbalance_count == (float(Fraction(long - short, long + short)) if long + short else None)
    sided = long_micro + short_micro
    assert window.imbalance_usd == (float(Fraction(long_micro - short_micro, sided)) if sided else None)


def test_imbalance_leaves_out_what_has_no_side() -> None:
    window = Window(10, 3, 1, 3 * MICRO, MICRO, 0, None, unsided_count=100, unsided_micro=100 * MICRO)

    assert (window.imbalance_count, window.imbalance_usd) == (0.5, 0.5)
    assert (window.count, window.usd) == (104, 104.0)


def test_imbalance_is_not_defined_without_sides() -> None:
    window = Window(10, 0, 0, 0, 0, 0, None, unsided_count=2, unsided_micro=MICRO)

    assert (window.imbalance_count, window.imbalance_usd) == (None, None)


def test_imbalance_of_unsized_events_counts_but_has_no_usd() -> None:
    window = Window(10, 2, 0, 0, 0, 0, None)

    assert (window.imbalance_count, window.imbalance_usd) == (1.0, None)


def test_standard_errors() -> None:
    window = Window(60, 9, 7, 0, 0, (3 * MICRO) ** 2 + (4 * MICRO) ** 2, None)

    assert (window.se_velocity, window.se_usd_velocity) == (4 / 60, 5 / 60)


@pytest.mark.parametrize(
    ("live_ms", "coverage", "rate"),
    [(None, None, None), (0, 0.0, None), (7_000, 0.7, 3 / 7), (10_000, 1.0, 0.3)],
    ids=["no feed known", "never live", "partly", "wholly"],
)
def test_coverage_and_rate_per_exposure(live_ms: int | None, coverage: float | None, rate: float | None) -> None:
    window = Window(10, 2, 1, 0, 0, 0, live_ms)

    assert (window.coverage, window.rate_per_exposure) == (coverage, rate)
    assert window.velocity == 0.3  # over the whole window, whatever was covered
