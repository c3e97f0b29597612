"""The rate behind "at most one print per symbol and second"."""

from math import exp, log

import pytest

from liqtape.engine.windows.slotrate import SlotRate, corrected_rate
from liqtape.events import WINDOWS

pytestmark = pytest.mark.parametrize("slots", WINDOWS)


def test_inverts_the_share_of_taken_seconds(slots: int) -> None:
    for taken in range(slots):
        corrected = corrected_rate(slots, taken)
        assert 1 - exp(-corrected.rate) == pytest.approx(taken / slots, rel=1e-12, abs=1e-15)
        assert corrected.se is not None
        share = taken / slots
        assert corrected.se**2 == pytest.approx(share / ((1 - share) * slots), rel=1e-12)
        assert not corrected.saturated


def test_grows_with_what_is_taken_and_never_understates(slots: int) -> None:
    rates = [corrected_rate(slots, taken).rate for taken in range(slots)]

    assert rates == sorted(set(rates))
    assert all(rate >= taken / slots for taken, rate in enumerate(rates))


def test_is_zero_and_certain_when_nothing_was_printed(slots: int) -> None:
    assert corrected_rate(slots, 0) == SlotRate(0.0, 0.0, saturated=False)


@pytest.mark.parametrize("extra", [0, 1, 40])
def test_all_taken_is_a_lower_bound_without_error(slots: int, extra: int) -> None:
    # One more than there are seconds: a window off the clock's seconds cuts through two.
    assert corrected_rate(slots, slots + extra) == SlotRate(log(2 * slots), None, saturated=True)


def test_the_bound_lies_above_every_rate_that_is_not_saturated(slots: int) -> None:
    assert corrected_rate(slots, slots - 1).rate < corrected_rate(slots, slots).rate
