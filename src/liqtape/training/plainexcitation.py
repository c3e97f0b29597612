"""The plain Hawkes model of a stream, fitted, and what it expects within the seconds of a target."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.linalg import expm

from liqtape.batch.ranks import Ints
from liqtape.cascades.hawkesprocess import DECAYS, HawkesParameters, HawkesState

__all__ = ["ExcitedTimes", "excited_times", "expected_counts", "fit_hawkes"]

_ROUNDS = 300
_MOST_BRANCHING = 0.99
_MOST_MOMENTS = 200_000  # that a fit looks at

Floats = NDArray[np.float64]


class ExcitedTimes(Struct, frozen=True):
    """The moments with events, how many each has, and how excited the stream was before each.

    Events of one millisecond are one moment: the model knows no gap of zero.
    """

    times_ms: Ints
    counts: Ints
    states: Floats

    def within(self, after_ms: int, until_ms: int) -> "ExcitedTimes":
        """Return the moments in `(after_ms, until_ms]`, the newest 200,000 of them."""
        first, last = np.searchsorted(self.times_ms, [after_ms, until_ms], "right").tolist()
        first = max(first, last - _MOST_MOMENTS)
        return ExcitedTimes(self.times_ms[first:last], self.counts[first:last], self.states[first:last])


def excited_times(times_ms: Ints) -> ExcitedTimes:
    """Return the moments of a stream whose times are in order."""
    moments, counts = np.unique(times_ms, return_counts=True)
    states, kept = HawkesState(), np.empty((len(moments), len(DECAYS)))
    for row, (at_ms, count) in enumerate(zip(moments.tolist(), counts.tolist(), strict=True)):
        kept[row] = states.at(at_ms)
        for _ in range(count):
            states.add(at_ms)
    return ExcitedTimes(moments, counts, kept)


def fit_hawkes(excited: ExcitedTimes, seconds: float) -> HawkesParameters:
    """Return the model of largest likelihood over so many watched seconds, by expectation and maximisation."""
    decays = np.array(DECAYS)
    events = float(excited.counts.sum())
    rate, offspring = 0.3 * events / seconds, np.full(len(DECAYS), 0.7 / len(DECAYS))
    for _ in range(_ROUNDS):
        weights = excited.counts / (rate + excited.states @ (offspring * decays))
        rate *= weights.sum() / seconds
        offspring = offspring * decays * (weights @ excited.states) / events
        offspring *= min(1.0, _MOST_BRANCHING / offspring.sum())
    return HawkesParameters(float(rate), tuple(offspring.tolist()))


def expected_counts(hawkes: HawkesParameters, seconds: float) -> tuple[float, tuple[float, ...]]:
    """Return what is expected within so many seconds: a number, and what each state R adds to it.

    The mean intensity of each decay follows y' = -b y + n b (rate + sum y), which is linear: its solution is a matrix
    exponential, and so is the integral of the intensity.
    """
    decays, offspring = np.array(DECAYS), np.array(hawkes.children)
    size = len(DECAYS)
    matrix = np.zeros((size + 2, size + 2))  # the intensities, a constant one, and the count
    matrix[:size, :size] = np.outer(offspring * decays, np.ones(size)) - np.diag(decays)
    matrix[:size, size] = offspring * decays * hawkes.mu
    matrix[size + 1, :size] = 1.0
    matrix[size + 1, size] = hawkes.mu
    grown: Sequence[float] = expm(matrix * seconds)[size + 1].tolist()
    shares = tuple(n * b * value for n, b, value in zip(hawkes.children, DECAYS, grown[:size], strict=True))
    return grown[size], shares
