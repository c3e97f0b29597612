"""Streams whose habits never change, many at once: Hawkes processes by cluster construction, metrics definition 10.

Whatever a level rule calls unusual in them is chance. Immigrants arrive as a Poisson process, each liquidation draws
children after exponential delays, generation by generation in whole columns; sizes are drawn independently.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from liqtape.simulator.generator import SIZE, TAILS

__all__ = ["DAY_MS", "KERNELS", "Minutes", "Streams", "hawkes", "sizes", "streams"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DAY_MS = 86_400_000

KERNELS = ((1.0, 0.15), (0.1, 0.55), (0.01, 0.10))
"""`(decay per s, children per liquidation)`: together the 0.8 that was measured on BTC and ETH."""

_WARM_UP_S = 3_600.0
_MINUTE_MS = 60_000


class Streams(Struct, frozen=True):
    """Liquidations of several streams, one after the other, each in order of time from 0 on."""

    at_ms: Ints
    micro_usd: Ints
    first: Ints
    """Where each stream begins, and where the last one ends."""

    @property
    def count(self) -> int:
        return len(self.first) - 1

    def times(self, stream: int) -> Ints:
        return self.at_ms[self.first[stream] : self.first[stream + 1]]

    def counts(self, stream: int, seconds: int) -> Ints:
        """Events of the `seconds` that end at each event; of one millisecond, each sees those before it."""
        times = self.times(stream)
        return np.arange(1, len(times) + 1) - times.searchsorted(times - 1_000 * seconds, "right")

    def minutes(self, stream: int) -> "Minutes":
        """What the level rule looks at after each event."""
        counts = self.counts(stream, 60)
        total = np.concatenate(([0], self.micro_usd[self.first[stream] : self.first[stream + 1]].cumsum()))
        ends = np.arange(1, len(counts) + 1)
        usd = (total[ends] - total[ends - counts]) / 1e6
        return zip(self.times(stream).tolist(), usd.tolist(), counts.tolist(), strict=True)


Minutes = Iterator[tuple[int, float, int]]
"""Time, USD and count of the 60 s up to then."""


def hawkes(dice: np.random.Generator, per_day: float, count: int, days: float) -> tuple[Ints, Ints]:
    """Draw `count` independent streams of that mean rate, stationary from their start: (stream, time in ms), in order.

    >>> which, at_ms = hawkes(np.random.default_rng(1), 84.0, 100, 7.0)
    >>> round(len(at_ms) / 700, 1)
    84.9
    """
    until = _WARM_UP_S + 86_400 * days
    branching = sum(mean for _, mean in KERNELS)
    immigrants = dice.poisson(per_day / 86_400 * (1 - branching) * until, count)
    which = np.repeat(np.arange(count), immigrants)
    at = dice.uniform(0, until, len(which))
    generations = [(which, at)]
    while len(which):
        children: list[tuple[Any, Any]] = []
        for decay, mean in KERNELS:
            number = dice.poisson(mean, len(which))
            children.append((which.repeat(number), at.repeat(number) + dice.exponential(1 / decay, number.sum())))
        which, at = (np.concatenate(column) for column in zip(*children, strict=True))
        within = at < until
        which, at = which[within], at[within]
        generations.append((which, at))
    which, at = (np.concatenate(column) for column in zip(*generations, strict=True))
    begun = at >= _WARM_UP_S
    which, at_ms = which[begun], ((at[begun] - _WARM_UP_S) * 1_000).astype(np.int64)
    order = np.lexsort((at_ms, which))
    return which[order], at_ms[order]


def sizes(dice: np.random.Generator, count: int) -> Floats:
    """Draw sizes in USD with the simulator's distribution, `size_quantile` of its `SIZE` and `TAILS`."""
    body = np.exp(dice.normal(*SIZE, count))
    rest = 1 - dice.random(count)  # of those beyond the first tail's start; never 0
    (start, alpha), (bend, steep) = TAILS
    beyond = (bend / start) ** -alpha
    tail = np.where(rest > beyond, start * rest ** (-1 / alpha), bend * (rest / beyond) ** (-1 / steep))
    return np.where(body > start, tail, body)


def streams(seed: int, per_day: float, count: int, days: float) -> Streams:
    """Draw streams with sizes; the same arguments give the same ones."""
    dice = np.random.default_rng([seed, round(10 * per_day)])
    which, at_ms = hawkes(dice, per_day, count, days)
    micro_usd = np.rint(1e6 * sizes(dice, len(at_ms))).astype(np.int64)
    return Streams(at_ms, micro_usd, which.searchsorted(np.arange(count + 1)))
