"""The conditional likelihood test: given how many targets came, did they come where the forecast had put them?"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from math import fsum, log

from msgspec import Struct

from liqtape.exam.probabilityscores import LEAST_PROBABILITY

__all__ = ["LikelihoodTest", "likelihood_test"]

_LEAST_SHARE = 0.025
_MOST_MISSES = 10_000


class LikelihoodTest(Struct, frozen=True):
    """Where the likelihood of what came lies among that of what the forecast itself draws: a share of `drawn` below.

    None where nothing came, or the forecast cannot draw so many.
    """

    observed: float | None
    share_below: float | None
    drawn: int

    @property
    def is_consistent(self) -> bool | None:
        """Whether what came is not among the least likely 2.5 % of what the forecast draws."""
        return None if self.share_below is None else self.share_below >= _LEAST_SHARE


def likelihood_test(
    probabilities: Sequence[float], outcomes: Sequence[bool], uniform: Callable[[], float], times: int = 1_000
) -> LikelihoodTest:
    """Return the test of forecasts whose horizons do not overlap.

    Given their number, targets are drawn one after the other by the odds of the places that are left; `uniform` gives
    numbers of [0, 1).
    """
    odds = [_odds(p) for p in probabilities]
    logs = [log(one) for one in odds]
    count = sum(outcomes)
    if not count or count >= len(odds):
        return LikelihoodTest(None, None, 0)
    observed = fsum(value for value, is_hit in zip(logs, outcomes, strict=True) if is_hit)
    sums = list(accumulate(odds))
    below = 0
    for _ in range(times):
        drawn = _drawn(sums, count, uniform)
        if drawn is None:
            return LikelihoodTest(observed, None, 0)
        below += fsum(logs[place] for place in sorted(drawn)) <= observed
    return LikelihoodTest(observed, below / times, times)


def _drawn(sums: Sequence[float], count: int, uniform: Callable[[], float]) -> set[int] | None:
    found: set[int] = set()
    misses = 0
    while len(found) < count:
        place = min(len(sums) - 1, bisect_right(sums, uniform() * sums[-1]))
        misses += place in found
        if misses > _MOST_MISSES:
            return None
        found.add(place)
    return found


def _odds(probability: float) -> float:
    p = min(1 - LEAST_PROBABILITY, max(LEAST_PROBABILITY, probability))
    return p / (1 - p)
