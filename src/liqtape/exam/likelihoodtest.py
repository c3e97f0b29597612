"""The conditional likelihood test: given how many targets came, did they come where the forecast had put them?"""

from collections.abc import Sequence
from math import erfc, exp, fsum, log, sqrt

from msgspec import Struct

from liqtape.exam.probabilityscores import LEAST_PROBABILITY

__all__ = ["LikelihoodTest", "likelihood_test"]

_LEAST_SHARE = 0.025
_LEAST_TARGETS = 5
_NOTHING = 1e-9
_CONVERGED = 1e-10


class LikelihoodTest(Struct, frozen=True):
    """Where the likelihood of what came lies among that of as many targets drawn from the forecast itself.

    `z` is how many standard deviations it lies above their mean, `share_below` the share of them that is lower. None
    where fewer than five came, and where the forecast is the same everywhere.
    """

    z: float | None
    share_below: float | None

    @property
    def is_consistent(self) -> bool | None:
        """Whether what came is not among the least likely 2.5 % of what the forecast draws."""
        return None if self.share_below is None else self.share_below >= _LEAST_SHARE


def likelihood_test(probabilities: Sequence[float], outcomes: Sequence[bool]) -> LikelihoodTest:
    """Return the test of forecasts whose horizons do not overlap.

    Given their number, the likelihood of targets varies with the sum of ln odds of their places only. Its mean and
    variance are those of independent places whose odds were scaled so that this number is expected, less what the
    number explains; the distribution is taken for normal.
    """
    count = sum(outcomes)
    if not _LEAST_TARGETS <= count < len(outcomes):
        return LikelihoodTest(None, None)
    logs = [_log_odds(p) for p in probabilities]
    shift = _shift(logs, count)
    parts = [(value, 1 / (1 + exp(-value - shift))) for value in logs]
    mean = fsum(p * value for value, p in parts)
    of_number = fsum(p * (1 - p) for _, p in parts)
    together = fsum(p * (1 - p) * value for value, p in parts)
    square = fsum(p * (1 - p) * value * value for value, p in parts)
    variance = square - together * together / of_number
    if variance <= _NOTHING * max(1.0, square):
        return LikelihoodTest(None, None)
    z = (fsum(value for value, is_hit in zip(logs, outcomes, strict=True) if is_hit) - mean) / sqrt(variance)
    return LikelihoodTest(z, 0.5 * erfc(-z / sqrt(2)))


def _shift(logs: Sequence[float], count: int) -> float:
    """What is added to all ln odds, so that `count` is expected."""
    low, high, shift = -60.0, 60.0, 0.0
    while high - low > _CONVERGED:
        given = [1 / (1 + exp(-value - shift)) for value in logs]
        missing = count - fsum(given)
        low, high = (shift, high) if missing > 0 else (low, shift)
        step = missing / fsum(p * (1 - p) for p in given)  # Newton's, inside of what is known
        if abs(step) < _CONVERGED:
            break
        shift = shift + step if low < shift + step < high else 0.5 * (low + high)
    return shift


def _log_odds(probability: float) -> float:
    p = min(1 - LEAST_PROBABILITY, max(LEAST_PROBABILITY, probability))
    return log(p / (1 - p))
