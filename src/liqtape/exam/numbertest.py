"""The N-test: did as many targets come as the forecast had to expect?"""

from collections.abc import Sequence
from math import fsum

from msgspec import Struct

from liqtape.exam.distributions import poisson_binomial, sum_distribution

__all__ = ["NumberTest", "number_test", "number_tests"]

_SIDE = 0.025


class NumberTest(Struct, frozen=True):
    """How many came of how many expected. `at_least` and `at_most` say how probable so many, or so few, were."""

    observed: int
    expected: float
    at_least: float
    at_most: float

    @property
    def is_consistent(self) -> bool:
        """Whether the number lies within the forecast's 2.5 to 97.5 % quantiles."""
        return self.at_least >= _SIDE and self.at_most >= _SIDE


def number_test(probabilities: Sequence[float], outcomes: Sequence[bool]) -> NumberTest:
    """Return the test of forecasts whose horizons do not overlap.

    >>> number_test([0.5, 0.5], [True, True])
    NumberTest(observed=2, expected=1.0, at_least=0.25, at_most=1.0)
    """
    return _test(poisson_binomial(probabilities), fsum(probabilities), sum(outcomes))


def number_tests(days: Sequence[tuple[Sequence[float], Sequence[bool]]]) -> tuple[tuple[NumberTest, ...], NumberTest]:
    """Return the test of each day, and of all days together."""
    found: list[NumberTest] = []
    whole = [1.0]
    for probabilities, outcomes in days:
        weights = poisson_binomial(probabilities)
        found.append(_test(weights, fsum(probabilities), sum(outcomes)))
        whole = sum_distribution(whole, weights)
    expected = fsum(one.expected for one in found)
    return tuple(found), _test(whole, expected, sum(one.observed for one in found))


def _test(weights: Sequence[float], expected: float, observed: int) -> NumberTest:
    at_least = fsum(weights[observed:])
    at_most = fsum(weights[: observed + 1])
    return NumberTest(observed, expected, min(1.0, at_least), min(1.0, at_most))
