"""The maximum-likelihood fit of a Hawkes process with fixed decays, by expectation and maximisation. Veen 2008.

With the decays fixed the likelihood has one maximum, and what kernels know of the past at each event needs to be
worked out only once. A step then asks of each event how likely it is that the background or a kernel brought it about,
and takes the shares for the new parameters: no step size, nothing can become negative, the likelihood never falls.

As a program it reads requests from its standard input, a JSON line each, and answers each with a line: so that a
service can fit without its loop waiting.
"""

import os
import sys
from math import sqrt

import msgspec
import numpy as np
from numpy.typing import NDArray

from liqtape.cascades.hawkesdetector import LARGEST_RATIO, UNFITTED_CHILDREN, HawkesPast
from liqtape.cascades.hawkesprocess import DECAYS, HawkesParameters, HawkesState, collapsed
from liqtape.training.fitrecords import LEAST_EVENTS, FitRequest, HawkesFit

__all__ = ["fit_past"]

_MOST_STEPS = 2_000
_ENOUGH = 1e-10  # relative gain of the likelihood
_KS_95 = 1.36

Floats = NDArray[np.float64]


class _Problem:
    """Events and what the kernels know of them, in columns."""

    def __init__(self, past: HawkesPast, decays: tuple[float, ...]) -> None:
        events = list(collapsed(past.times_ms, past.weights))
        state = HawkesState(decays)
        rows = []
        for event_ms, weight in events:
            rows.append(state.at(event_ms))
            state.add(event_ms, weight)
        self.count = len(events)
        self.seconds = (past.end_ms - past.begin_ms) / 1000
        self.weights: Floats = np.array([weight for _, weight in events], dtype=np.float64)
        self.times: Floats = np.array([event_ms - past.begin_ms for event_ms, _ in events], dtype=np.float64) / 1000
        self.decays: Floats = np.array(decays, dtype=np.float64)
        self.sums: Floats = np.array(rows, dtype=np.float64).reshape(self.count, len(decays))
        self.excited = self.sums * self.decays
        left = self.seconds - self.times
        self.exposures: Floats = -(self.weights[:, None] * np.expm1(-np.outer(left, self.decays))).sum(axis=0)

    def likelihood(self, mu: float, children: Floats, intensity: Floats) -> float:
        return float(np.log(intensity).sum() - mu * self.seconds - children @ self.exposures)

    def rescaled_distance(self, mu: float, children: Floats) -> float:
        """Return the Kolmogorov-Smirnov distance of the integrated intensities between events from exponential ones."""
        between = np.diff(self.times)
        after = self.sums[:-1] + self.weights[:-1, None]
        expected = mu * between - (after * np.expm1(-np.outer(between, self.decays))) @ children
        uniform = np.sort(-np.expm1(-expected))
        count = len(uniform)
        steps = np.arange(count + 1) / count
        return float(max((steps[1:] - uniform).max(), (uniform - steps[:-1]).max()))


def fit_past(past: HawkesPast, start: HawkesParameters | None = None) -> HawkesFit | None:
    """Return the fit of what was seen; None of fewer than 100 stamps or no time. Equal stamps are one event.

    A fit of a branching ratio of 0.99 or more is refused.
    """
    decays = DECAYS if start is None else start.decays
    problem = _Problem(past, decays)
    if problem.count < LEAST_EVENTS or problem.seconds <= 0.0:
        return None
    mean_weight = float(problem.weights.mean())
    if start is None:
        children: Floats = np.array(UNFITTED_CHILDREN) / mean_weight
        children[children <= 0.0] = 0.01
        mu = problem.count / problem.seconds * 0.2
    else:  # what is 0 would stay so
        children, mu = np.maximum(np.array(start.children), 1e-4), max(start.mu, 1e-9)
    before, steps = -np.inf, 0
    likelihood = before
    for steps in range(1, _MOST_STEPS + 1):  # noqa: B007 - how many it took is told
        intensity = mu + problem.excited @ children
        likelihood = problem.likelihood(mu, children, intensity)
        if likelihood - before <= _ENOUGH * abs(likelihood):
            break
        before = likelihood
        share = 1.0 / intensity
        mu *= float(share.sum()) / problem.seconds
        children = children * (share @ problem.excited) / problem.exposures
    parameters = HawkesParameters(mu, tuple(float(one) for one in children), decays)
    ratio = parameters.branching_ratio * mean_weight
    return HawkesFit(
        parameters,
        likelihood,
        problem.count,
        mean_weight,
        steps,
        problem.rescaled_distance(mu, children),
        _KS_95 / sqrt(problem.count - 1),
        f"branching ratio {ratio:.3f}, not below {LARGEST_RATIO}" if ratio >= LARGEST_RATIO else "",
    )


def main() -> None:
    """Answer each request; `null` where there is no fit."""
    os.nice(10)
    request = msgspec.json.Decoder(FitRequest)
    for line in sys.stdin.buffer:
        asked = request.decode(line)
        sys.stdout.buffer.write(msgspec.json.encode(fit_past(asked.past, asked.start)) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
