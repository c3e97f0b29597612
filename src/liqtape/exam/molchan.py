"""The Molchan diagram: what is missed when so large a share of the time is in alarm. Chance is the diagonal."""

from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

__all__ = ["MolchanPoint", "miss_rate_at", "molchan", "thinned"]

_STEP = 1.08
_LEAST_STEP = 1e-5


class MolchanPoint(Struct, frozen=True):
    """One threshold: the share of the moments in alarm, and the share of the targets outside of it."""

    in_alarm: float
    missed: float


def molchan(scores: Sequence[float], outcomes: Sequence[bool]) -> tuple[MolchanPoint, ...]:
    """Return the curve over all thresholds, from no alarm to all the time; equal scores are one threshold.

    Empty where nothing was to be found.

    >>> [(one.in_alarm, one.missed) for one in molchan([0.9, 0.1], [True, False])]
    [(0.0, 1.0), (0.5, 0.0), (1.0, 0.0)]
    """
    positives = sum(outcomes)
    if not positives:
        return ()
    ranked = sorted(zip(scores, outcomes, strict=True), key=lambda pair: -pair[0])
    points = [MolchanPoint(0.0, 1.0)]
    hits = place = 0
    while place < len(ranked):
        score = ranked[place][0]
        while place < len(ranked) and ranked[place][0] == score:
            hits += ranked[place][1]
            place += 1
        points.append(MolchanPoint(place / len(ranked), 1 - hits / positives))
    return tuple(points)


def miss_rate_at(curve: Sequence[MolchanPoint], in_alarm: float) -> float | None:
    """Return what is missed with that share of the time in alarm; between two thresholds a line is drawn."""
    for before, after in pairwise(curve):
        if before.in_alarm <= in_alarm <= after.in_alarm:
            width = after.in_alarm - before.in_alarm
            share = (in_alarm - before.in_alarm) / width if width else 1.0
            return before.missed + share * (after.missed - before.missed)
    return None


def thinned(curve: Sequence[MolchanPoint], most: int = 120) -> tuple[MolchanPoint, ...]:
    """Return about so many points of a curve, denser where little time is in alarm; first and last stay.

    >>> curve = [MolchanPoint(place / 1_000, 1 - place / 1_000) for place in range(1_001)]
    >>> len(thinned(curve)) < 130, thinned(curve)[0] == curve[0], thinned(curve)[-1] == curve[-1]
    (True, True, True)
    """
    if len(curve) <= most:
        return tuple(curve)
    kept = [curve[0]]
    for point in curve[1:-1]:
        if point.in_alarm >= kept[-1].in_alarm * _STEP and point.in_alarm - kept[-1].in_alarm >= _LEAST_STEP:
            kept.append(point)
    return (*kept, curve[-1])
