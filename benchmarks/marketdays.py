"""Many instruments at once, clustered by themselves and together, as columns: what the message budget is tried on.

Each instrument is a Hawkes process of its own (`stationary`). Now and then the market moves: a burst adds immigrants to
many instruments at once, heavy-tailed in number, each with children of its own. Shocks are put in at set times.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from benchmarks.stationary import DAY_MS, KERNELS, Floats, Ints, sizes

__all__ = ["MarketDays", "market_days"]

BURSTS_A_DAY = 6.0
BURST_ALPHA = 1.1
"""Pareto exponent of the number of immigrants of a burst, from `BURST_LEAST` up to `BURST_MOST`."""
BURST_LEAST, BURST_MOST = 5, 3_000
SHOCK_IMMIGRANTS = 4_000
SHOCK_SIZE = 4.0
"""Sizes of a shock are so many times the usual."""

_SPREAD_S = 45.0
_TOP_A_DAY = 820.0
_TAIL = 0.7


class MarketDays(Struct, frozen=True):
    """Liquidations in order of time: which instrument, when, how much."""

    instruments: int
    which: Ints
    at_ms: Ints
    usd: Floats
    shocks_ms: tuple[int, ...]

    def minute_sums(self) -> tuple[Floats, Ints, Floats, Ints]:
        """USD and count of the 60 s that end at each event: of its instrument, and of the market."""
        own_usd, own_count = np.empty(len(self.at_ms)), np.empty(len(self.at_ms), np.int64)
        order = np.argsort(self.which, kind="stable")
        first = self.which[order].searchsorted(np.arange(self.instruments + 1))
        for one in range(self.instruments):
            rows = order[first[one] : first[one + 1]]
            own_usd[rows], own_count[rows] = _sums(self.at_ms[rows], self.usd[rows])
        return own_usd, own_count, *_sums(self.at_ms, self.usd)


def _sums(at_ms: Ints, usd: Floats) -> tuple[Floats, Ints]:
    ends = np.arange(1, len(at_ms) + 1)
    tails = at_ms.searchsorted(at_ms - 60_000, "right")
    micro = np.concatenate(([0], np.rint(1e6 * usd).astype(np.int64).cumsum()))
    return (micro[ends] - micro[tails]) / 1e6, ends - tails


def _rates(instruments: int) -> Floats:
    return _TOP_A_DAY * np.arange(1, instruments + 1, dtype=np.float64) ** -_TAIL


def _descend(dice: np.random.Generator, which: Ints, at: Floats, mark: Ints) -> tuple[Ints, Floats, Ints]:
    """Return immigrants with all their children; `mark` is handed down."""
    generations = [(which, at, mark)]
    while len(which):
        parts = []
        for decay, mean in KERNELS:
            number = dice.poisson(mean, len(which))
            later = at.repeat(number) + dice.exponential(1 / decay, number.sum())
            parts.append((which.repeat(number), later, mark.repeat(number)))
        which, at, mark = (np.concatenate(column) for column in zip(*parts, strict=True))
        generations.append((which, at, mark))
    which, at, mark = (np.concatenate(column) for column in zip(*generations, strict=True))
    return which, at, mark


def market_days(seed: int, instruments: int, days: float, shocks_days: Sequence[float] = ()) -> MarketDays:
    """Draw a market; the same arguments give the same one.

    >>> drawn = market_days(1, 50, 2.0)
    >>> len(drawn.at_ms) == len(drawn.usd), bool((np.diff(drawn.at_ms) >= 0).all())
    (True, True)
    """
    dice = np.random.default_rng([seed, instruments])
    seconds = 86_400 * days
    rates = _rates(instruments)
    share = rates / rates.sum()
    branching = sum(mean for _, mean in KERNELS)
    own = dice.poisson(rates / 86_400 * (1 - branching) * seconds)
    which = [np.repeat(np.arange(instruments), own)]
    at = [dice.uniform(0, seconds, own.sum())]
    mark = [np.zeros(own.sum(), np.int64)]
    bursts = dice.uniform(0, seconds, dice.poisson(BURSTS_A_DAY * days))
    scale = instruments / 1_500  # a smaller market has smaller bursts
    for when in bursts:
        number = int(min(BURST_MOST, BURST_LEAST * (1 - dice.random()) ** (-1 / BURST_ALPHA)) * max(0.1, scale**0.5))
        which.append(dice.choice(instruments, number, p=share))
        at.append(when + dice.exponential(_SPREAD_S, number))
        mark.append(np.zeros(number, np.int64))
    for day in shocks_days:
        number = int(SHOCK_IMMIGRANTS * max(0.1, scale**0.5))
        which.append(dice.choice(instruments, number, p=share))
        at.append(86_400 * day + dice.exponential(_SPREAD_S, number))
        mark.append(np.ones(number, np.int64))
    found, when_s, marks = _descend(dice, *(np.concatenate(column) for column in (which, at, mark)))
    within = when_s < seconds
    found, at_ms, marks = found[within], (1_000 * when_s[within]).astype(np.int64), marks[within]
    order = np.argsort(at_ms, kind="stable")
    usd = sizes(dice, len(at_ms)) * np.where(marks[order] == 1, SHOCK_SIZE, 1.0)
    shocks_ms = tuple(round(DAY_MS * day) for day in shocks_days)
    return MarketDays(instruments, found[order], at_ms[order], usd, shocks_ms)
