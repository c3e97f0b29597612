"""Streams of a known process, to be learned from."""

import numpy as np

from liqtape.training.trainingrows import DAY_MS, PastStream

T0 = 20_000 * DAY_MS


def clustered(seed: int, days: float, per_day: float = 350.0) -> PastStream:
    """Return a stream of immigrants each of which brings others within half a minute or so, now and then many."""
    rng = np.random.default_rng(seed)
    times = rng.uniform(0, days * 86_400, rng.poisson(per_day * days))
    born = times
    while len(born):
        born = np.repeat(born, rng.poisson(0.6, len(born)))
        born = born + rng.exponential(20.0, len(born))
        times = np.concatenate([times, born])
    at_ms = np.sort((1000 * times[times < days * 86_400]).astype(np.int64)) + T0
    micro = np.round(1e6 * np.exp(rng.normal(6.0, 2.0, len(at_ms)))).astype(np.int64)
    sides = rng.choice(np.array([-1, 1], np.int8), len(at_ms))
    return PastStream(at_ms, micro, sides, [(T0, T0 + int(days * DAY_MS))])
