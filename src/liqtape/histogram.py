"""Counts of durations in fixed buckets, cheap enough for the path of the events."""

from bisect import bisect_left
from collections.abc import Sequence

__all__ = ["Histogram"]


class Histogram:
    """Counts of seconds in classic buckets; plain integers.

    >>> histogram = Histogram((0.001, 0.1))
    >>> histogram.observe(0.0005); histogram.observe(5.0)
    >>> histogram.counts, histogram.sum
    ([1, 0, 1], 5.0005)
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds
