"""Rows of equal steps over past events, in integers and without any library: each event of a span in one row."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import sqrt

from msgspec import Struct

from liqtape.errors import ConfigurationError
from liqtape.events import Side
from liqtape.money import MICRO, micro_usd

__all__ = ["EventSums", "StepRow", "edges"]

_HORIZON_S = 20  # of the acceleration
_MOST_STEPS = 1_000_000


class StepRow(Struct, frozen=True):
    """What happened in (from_ms, until_ms]; rates are over that time, the acceleration over the 20 s before its end."""

    event_count: int
    velocity: float
    velocity_se: float
    total_value_usd: float
    usd_velocity: float
    usd_velocity_se: float
    long_count: int
    short_count: int
    long_usd: float
    short_usd: float
    imbalance_count: float | None
    imbalance_usd: float | None
    acceleration: float
    acceleration_se: float


def edges(from_ms: int, until_ms: int, every: int) -> list[int]:
    """Return where rows begin and end: the interval's ends, and between them the multiples of `every` seconds.

    >>> edges(90_500, 160_000, 30)
    [90500, 120000, 150000, 160000]
    """
    step = 1000 * every
    if (until_ms - from_ms) // step > _MOST_STEPS:
        raise ConfigurationError(
            f"more than {_MOST_STEPS:,} steps of {every} s: ask for longer ones, or a shorter span"
        )
    inner = range((from_ms // step + 1) * step, until_ms, step)
    return [from_ms, *inner, until_ms]


class EventSums:
    """Running sums over events in their order, from which any interval follows by two subtractions."""

    def __init__(self, times_ms: Sequence[int], usd: Sequence[float | None], sides: Sequence[Side | None]) -> None:
        self.times_ms = times_ms
        micro = [0 if value is None else micro_usd(value) for value in usd]
        self._moments = list(accumulate(times_ms, initial=0))
        self._squares = list(accumulate((value * value for value in micro), initial=0))
        self._micro: dict[Side | None, list[int]] = {None: list(accumulate(micro, initial=0))}
        self._counts: dict[Side, list[int]] = {}
        for side in ("long", "short"):
            of_side = [each == side for each in sides]
            self._counts[side] = list(accumulate(of_side, initial=0))
            of_micro = (value * is_of for value, is_of in zip(micro, of_side, strict=True))
            self._micro[side] = list(accumulate(of_micro, initial=0))

    def row(self, from_ms: int, until_ms: int) -> StepRow:
        """Return the row of (from_ms, until_ms]."""
        begin, end = self._place(from_ms), self._place(until_ms)
        seconds = (until_ms - from_ms) / 1000
        count = end - begin
        micro = {side: sums[end] - sums[begin] for side, sums in self._micro.items()}
        longs, shorts = (self._counts[side][end] - self._counts[side][begin] for side in ("long", "short"))
        squares = self._squares[end] - self._squares[begin]
        slope, slope_se = self.acceleration(until_ms)
        return StepRow(
            count,
            count / seconds,
            sqrt(count) / seconds,
            micro[None] / MICRO,
            micro[None] / MICRO / seconds,
            sqrt(squares) / MICRO / seconds,
            longs,
            shorts,
            micro["long"] / MICRO,
            micro["short"] / MICRO,
            _imbalance(longs, shorts),
            _imbalance(micro["long"], micro["short"]),
            slope,
            slope_se,
        )

    def count(self, from_ms: int, until_ms: int) -> int:
        """Return how many events lie in (from_ms, until_ms]."""
        return self._place(until_ms) - self._place(from_ms)

    def acceleration(self, at_ms: int) -> tuple[float, float]:
        """Return the least-squares slope of the rate over 20 s, in liquidations/s^2, and its standard error."""
        begin, end = self._place(at_ms - 1000 * _HORIZON_S), self._place(at_ms)
        count = end - begin
        ages = self._moments[end] - self._moments[begin] - count * at_ms
        slope = 12 * (ages + count * (_HORIZON_S * 500)) / (1000 * _HORIZON_S**3)
        return slope, sqrt(12 * count) / _HORIZON_S**2

    def highest(self, from_ms: int, until_ms: int, seconds: int) -> Iterator[tuple[int, int, int]]:
        """Yield (time, events, micro-USD) of the window that ends with each event of the interval."""
        tail = self._place(from_ms - 1000 * seconds)
        whole = self._micro[None]
        for head in range(self._place(from_ms), self._place(until_ms)):
            at_ms = self.times_ms[head]
            while self.times_ms[tail] <= at_ms - 1000 * seconds:
                tail += 1
            yield at_ms, head + 1 - tail, whole[head + 1] - whole[tail]

    def _place(self, at_ms: int) -> int:
        return bisect_right(self.times_ms, at_ms)


def _imbalance(longs: int, shorts: int) -> float | None:
    return (longs - shorts) / (longs + shorts) if longs + shorts else None
