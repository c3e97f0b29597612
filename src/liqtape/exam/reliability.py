"""Reliability: of what was given so much probability, how much came?"""

from bisect import bisect_right
from collections.abc import Sequence
from math import fsum

from msgspec import Struct

from liqtape.exam.distributions import wilson_interval

__all__ = ["EDGES", "ReliabilityBin", "reliability"]

EDGES = (0.0, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Where bins begin and end; targets are rare, so they are narrow below."""


class ReliabilityBin(Struct, frozen=True):
    """The forecasts from `from_probability` to below `until_probability`: their mean, and the share that came.

    `low` to `high` is the 95 % interval of the share as if forecasts were independent; their horizons overlap, so it
    is too narrow.
    """

    from_probability: float
    until_probability: float
    count: int
    hits: int
    mean_probability: float
    share: float
    low: float
    high: float


def reliability(probabilities: Sequence[float], outcomes: Sequence[bool]) -> tuple[ReliabilityBin, ...]:
    """Return the bins that have a forecast."""
    held: list[list[float]] = [[] for _ in EDGES[1:]]
    hits = [0] * len(held)
    for p, is_hit in zip(probabilities, outcomes, strict=True):
        place = min(len(held) - 1, max(0, bisect_right(EDGES, p) - 1))
        held[place].append(p)
        hits[place] += is_hit
    return tuple(
        ReliabilityBin(
            EDGES[place],
            EDGES[place + 1],
            len(given),
            hits[place],
            fsum(given) / len(given),
            hits[place] / len(given),
            *wilson_interval(hits[place], len(given)),
        )
        for place, given in enumerate(held)
        if given
    )
