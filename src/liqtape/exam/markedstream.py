"""The liquidations of one stream as columns, and what both label rules ask of them."""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from math import floor, fsum

__all__ = ["GAP_MS", "MarkedStream", "merged", "quantile"]

GAP_MS = 6 * 3_600_000
"""A silence for so long is taken for one of the recorder."""

_MINUTE_MS = 60_000

Stretch = tuple[int, int]
"""The places of the first and the last event."""


class MarkedStream:
    """Events in order of time; an unknown USD counts as none."""

    def __init__(self, times_ms: Sequence[int], usd: Sequence[float], is_long: Sequence[bool]) -> None:
        self.times_ms = times_ms
        self.usd = usd
        self.is_long = is_long
        self.sums = array("d", accumulate(usd, initial=0.0))

    def __len__(self) -> int:
        return len(self.times_ms)

    def within(self, begin: int, end: int) -> float:
        """Return the USD of the places from `begin` to before `end`."""
        return self.sums[end] - self.sums[begin]

    def tails(self, width_ms: int, from_place: int = 0, until_place: int | None = None) -> array[int]:
        """Return for each event the first place that is later than its time less `width_ms`."""
        times_ms = self.times_ms
        until = len(times_ms) if until_place is None else until_place
        found, tail = array("q"), from_place
        for place in range(from_place, until):
            edge_ms = times_ms[place] - width_ms
            while times_ms[tail] <= edge_ms:
                tail += 1
            found.append(tail)
        return found

    def segments(self) -> list[Stretch]:
        """Return the stretches without a gap, as the first place and the one after the last."""
        times_ms = self.times_ms
        cuts = [place for place in range(1, len(times_ms)) if times_ms[place] - times_ms[place - 1] > GAP_MS]
        edges = [0, *cuts, len(times_ms)]
        return list(pairwise(edges))

    def minute_usd(self) -> list[float]:
        """Return the USD of each clock minute that has an event."""
        found: list[float] = []
        begin = 0
        for place in range(1, len(self.times_ms) + 1):
            is_end = place == len(self.times_ms)
            if is_end or self.times_ms[place] // _MINUTE_MS != self.times_ms[begin] // _MINUTE_MS:
                found.append(fsum(self.usd[begin:place]))
                begin = place
        return found


def merged(stream: MarkedStream, stretches: Iterable[Stretch]) -> list[Stretch]:
    """Return the stretches in order, those that begin within 60 s of the end of another as one with it."""
    found: list[Stretch] = []
    for first, last in sorted(stretches):
        if found and stream.times_ms[first] - stream.times_ms[found[-1][1]] <= _MINUTE_MS:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found


def quantile(values: Sequence[float], share: float) -> float:
    """Return the quantile, on a line between two values where it lies between them.

    >>> quantile([1.0, 2.0, 4.0], 0.75)
    3.0
    """
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    place = min(floor(position), len(ordered) - 1)
    low, high = ordered[place], ordered[min(place + 1, len(ordered) - 1)]
    part = position - place
    return high - (high - low) * (1 - part) if part >= 0.5 else low + (high - low) * part
