"""The burst rule of labels: an automaton of two rates on the gaps between events (Kleinberg 2002).

It looks at the whole file, what comes later included: fit for a label, never for a feature.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import fsum, log

from liqtape.exam.markedstream import MarkedStream, merged

__all__ = ["burst_stretches"]

_TIMES = 8.0  # the rate of a burst, in base rates
_LEAST_EVENTS = 50


def burst_stretches(stream: MarkedStream, least_usd: float, least_count: int) -> list[tuple[int, int]]:
    """Return the bursts with so many events and USD, as places of their first and last event."""
    found: list[tuple[int, int]] = []
    for begin, end in stream.segments():
        if end - begin >= _LEAST_EVENTS:
            found += [(begin + first, begin + last) for first, last in _bursts(stream.times_ms[begin:end])]
    return [
        (first, last)
        for first, last in merged(stream, found)
        if last + 1 - first >= least_count and fsum(stream.usd[first : last + 1]) >= least_usd
    ]


def _bursts(times_ms: Sequence[int]) -> list[tuple[int, int]]:
    """The stretches of events whose gaps the likeliest path has in the state of bursts."""
    states = _likeliest([max(1.0, b - a) for a, b in pairwise(times_ms)])
    found: list[tuple[int, int]] = []
    begin: int | None = None
    for place, is_burst in enumerate([*states, 0]):
        if is_burst and begin is None:
            begin = place
        elif not is_burst and begin is not None:
            found.append((begin, place))
            begin = None
    return found


def _likeliest(gaps: Sequence[float]) -> bytearray:
    """For each gap whether it is of a burst (Viterbi); going up costs ln of their number, coming down nothing."""
    rate = len(gaps) / fsum(gaps)
    up = log(len(gaps))
    calm_cost, burst_cost = -log(rate), -log(_TIMES * rate)
    calm, burst = 0.0, up
    back = bytearray(len(gaps))  # bit 0: the state before, if calm now; bit 1: if in a burst now
    for place, gap in enumerate(gaps):
        into_calm = calm > burst
        into_burst = burst <= calm + up
        back[place] = into_calm | into_burst << 1
        calm, burst = (
            (burst if into_calm else calm) + (calm_cost + rate * gap),
            (burst if into_burst else calm + up) + (burst_cost + _TIMES * rate * gap),
        )
    states = bytearray(len(gaps))
    state = int(calm > burst)
    for place in range(len(gaps) - 1, -1, -1):
        states[place] = state
        state = back[place] >> state & 1
    return states
