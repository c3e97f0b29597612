"""For how long the present rate has lasted: the posterior of the run length. Adams and MacKay 2007; metrics 6.

Counts of a step are Poisson with a rate that stays the same for a run and is drawn anew, from a Gamma distribution,
when a run ends. Each possible run keeps its events and exposure; those whose probability falls below 1e-4 are dropped,
so that a few dozen are kept.
"""

from math import exp, lgamma, log, log1p

from msgspec import Struct

__all__ = ["Run", "RunLengths"]

PRUNED = 1e-4


class Run(Struct, frozen=True, gc=False):
    """One possible present run: the steps it has lasted, its probability, its events, its exposure in steps."""

    steps: int
    probability: float
    events: int
    exposure: float


class RunLengths:
    """The posterior after each step; `hazard` is the chance that a run ends with a step, the prior Gamma(shape, rate).

    >>> lengths = RunLengths(hazard=1 / 50, shape=1.0, rate=1.0)
    >>> for count in (1, 0, 1, 2, 1, 9, 11, 10): lengths.step(count)
    >>> max(lengths.runs, key=lambda run: run.probability).steps
    3
    """

    __slots__ = ("_hazard", "_pruned", "_rate", "_shape", "runs")

    def __init__(self, hazard: float, shape: float, rate: float, pruned: float = PRUNED) -> None:
        self._hazard = hazard
        self._shape = shape
        self._rate = rate
        self._pruned = pruned
        self.runs: list[Run] = [Run(0, 1.0, 0, 0.0)]

    def step(self, count: int, exposure: float = 1.0) -> None:
        """Take in the events of a step; several silent steps may be one of their exposure."""
        self.runs = self.after(count, exposure)

    def after(self, count: int, exposure: float = 1.0) -> list[Run]:
        """Return the runs as they would be after such a step."""
        shape, rate = self._shape, self._rate
        grown: list[Run] = []
        total = 0.0
        common = -lgamma(count + 1)
        for run in self.runs:
            of_run = _log_chance(count, exposure, shape + run.events, rate + run.exposure)
            chance = run.probability * exp(common + of_run)
            total += chance
            grown.append(Run(run.steps + 1, chance, run.events + count, run.exposure + exposure))
        if total <= 0.0:  # beyond the smallest float whatever the run: a new one
            return [Run(0, 1.0, 0, 0.0)]
        ended = 1.0 - (1.0 - self._hazard) ** exposure
        scale = (1.0 - ended) / total
        kept = [Run(0, ended, 0, 0.0)]
        sure = ended
        for run in grown:
            probability = run.probability * scale
            if probability >= self._pruned:
                sure += probability
                kept.append(Run(run.steps, probability, run.events, run.exposure))
        if sure == 1.0:
            return kept
        return [Run(run.steps, run.probability / sure, run.events, run.exposure) for run in kept]

    def chance_above(self, rate: float, runs: list[Run] | None = None) -> float:
        """Return the probability that the present run's mean rate is at least `rate` events a step."""
        found = 0.0
        for run in self.runs if runs is None else runs:
            if run.steps and self._shape + run.events >= rate * (self._rate + run.exposure):
                found += run.probability
        return found

    def least_of_one_step(self, rate: float) -> int:
        """Return how many events one step alone needs for a mean of `rate`."""
        return max(1, int(-(-(rate * (self._rate + 1.0) - self._shape) // 1)))


def _log_chance(count: int, exposure: float, shape: float, rate: float) -> float:
    """Return ln P(count), without its 1 / count!, of a rate known as Gamma(shape, rate)."""
    total = -shape * log1p(exposure / rate)
    if count:
        total += lgamma(shape + count) - lgamma(shape) + count * log(exposure / (rate + exposure))
    return total
