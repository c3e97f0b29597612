"""The windows of a column, computed column by column from integers."""

from collections.abc import Sequence
from math import isqrt, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liqtape.batch import SIDES
from liqtape.batch.inputs import Column, Events, Moments
from liqtape.batch.ranks import Ints, ranks
from liqtape.events import Side
from liqtape.money import MICRO

__all__ = ["WindowColumns", "longest", "quotient"]

Floats = NDArray[np.float64]

_HORIZON_S = 20  # of the acceleration
_INT64 = 2**63
_EXACT_FLOAT = 2**53


def longest(seconds: Sequence[int]) -> int:
    """How far back rows with windows of these lengths look; raises ValueError where one is no length."""
    if any(length < 1 for length in seconds):
        raise ValueError(f"windows of {list(seconds)} s: a window has at least a second")
    return max(*seconds, _HORIZON_S)


class WindowColumns:
    """Windows and acceleration, a row for each evaluation time of `now_ms`; columns are computed when asked for.

    `seconds` of a window are what was asked for, or 20 (the horizon of the acceleration), else ValueError. With a
    `side`, what was on the other one or on none is left out.
    """

    def __init__(self, events: Events, moments: Moments | None, seconds: Sequence[int]) -> None:
        self.now_ms: Ints = events.times if moments is None else moments.times
        self._micro, self._sides = events.micro, events.sides
        self._keys = events.keys
        self._moments = events.keys if moments is None else moments.keys
        self._places = events.places if moments is None else moments.places
        self._lengths = sorted({*seconds, _HORIZON_S})
        offsets = [1000 * length for length in self._lengths]
        if moments is None:
            # After the i-th event there are i + 1, though more may follow in the same millisecond.
            self._head: Any = slice(1, None)
            self._seen: Ints = np.arange(1, len(events.keys) + 1, dtype=np.int64)
            tails = ranks(events.keys, events.keys, offsets)
        else:
            self._head, *tails = ranks(events.keys, moments.keys, [0, *offsets])
            self._seen = self._head.astype(np.int64)
        self._tails = dict(zip(self._lengths, tails, strict=True))
        self._sums: dict[tuple[str, Side | None], Column] = {}

    def count(self, seconds: int, side: Side | None = None) -> Ints:
        """Liquidations in the window."""
        return self._rows(self._count(seconds, side))

    def micro(self, seconds: int, side: Side | None = None) -> Column:
        """USD in the window in exact micro-USD: 64-bit integers, Python's own where these might not hold them."""
        return self._rows(self._micro_of(seconds, side))

    def usd(self, seconds: int, side: Side | None = None) -> Floats:
        """USD in the window."""
        return self._rows(quotient(self._micro_of(seconds, side), MICRO))

    def velocity(self, seconds: int) -> Floats:
        """Liquidations/s."""
        return self._rows(quotient(self._count(seconds), seconds))

    def velocity_se(self, seconds: int) -> Floats:
        """Standard error of `velocity` for independent events: sqrt(count) / W; no baseline is known here."""
        return self._rows(np.sqrt(self._count(seconds)) / seconds)

    def usd_velocity(self, seconds: int) -> Floats:
        """USD/s."""
        return self._rows(quotient(self._micro_of(seconds), MICRO * seconds))

    def usd_velocity_se(self, seconds: int) -> Floats:
        """Standard error of `usd_velocity`: sqrt(sum of squared USD) / W."""
        squares = self._difference(self._sum("squares", None), self._tail(seconds))
        divisor = MICRO * seconds
        try:
            errors = np.sqrt(squares.astype(np.float64)) / divisor
        except OverflowError:  # squares beyond all floats, of a stream that says anything
            errors = np.array([isqrt(n) / divisor if n >> 1000 else sqrt(n) / divisor for n in squares.tolist()])
        return self._rows(errors)

    def imbalance_count(self, seconds: int) -> Floats:
        """(long - short) / (long + short) by count; NaN when empty."""
        return self._rows(_imbalance(self._count(seconds, "long"), self._count(seconds, "short")))

    def imbalance_usd(self, seconds: int) -> Floats:
        """(long - short) / (long + short) by USD; NaN when there is no USD."""
        return self._rows(_imbalance(self._micro_of(seconds, "long"), self._micro_of(seconds, "short")))

    def acceleration(self) -> Floats:
        """Least-squares slope of the rate over 20 s, in liquidations/s^2."""
        count = self._count(_HORIZON_S)
        # Sums and products may wrap around; what remains, at most 20,000 ms for each event, comes out right.
        ages = self._difference(self._sum("keys", None), self._tails[_HORIZON_S]) - count * self._moments
        return self._rows(quotient(12 * (ages + count * (_HORIZON_S * 500)), 1000 * _HORIZON_S**3))

    def acceleration_se(self) -> Floats:
        """Standard error of `acceleration`: sqrt(12 count / H^4)."""
        return self._rows(np.sqrt(12 * self._count(_HORIZON_S)) / _HORIZON_S**2)

    def _tail(self, seconds: int) -> Column:
        if seconds not in self._tails:
            raise ValueError(f"there are windows of {self._lengths} s, not of {seconds}")
        return self._tails[seconds]

    def _count(self, seconds: int, side: Side | None = None) -> Column:
        tail = self._tail(seconds)
        if side is None:
            return self._seen - tail
        return self._difference(self._sum("count", side), tail)

    def _micro_of(self, seconds: int, side: Side | None = None) -> Column:
        return self._difference(self._sum("micro", side), self._tail(seconds))

    def _difference(self, sums: Column, tail: Column) -> Column:
        before = sums[tail]
        np.subtract(sums[self._head], before, out=before)  # new memory would cost more than the subtraction
        return before

    def _sum(self, what: str, side: Side | None) -> Column:
        """Sums of the first 0, 1, ... events. 64 bits may wrap around: a difference that fits is right all the same."""
        sums = self._sums.get((what, side))
        if sums is None:
            values: Column = self._keys
            if what == "count":
                values = (self._sides == SIDES.index(side)).view(np.int8)
            elif what == "micro":
                if not self._differences_fit():
                    self._micro = self._micro.astype(object)
                values = self._micro if side is None else np.where(self._sides == SIDES.index(side), self._micro, 0)
            elif what == "squares":
                values = self._micro.astype(object) ** 2  # beyond 64 bits from 3,000 USD on
            sums = np.zeros(len(values) + 1, object if values.dtype == object else np.int64)
            np.cumsum(values, out=sums[1:])
            self._sums[what, side] = sums
        return sums

    def _differences_fit(self) -> bool:
        """Whether no window's USD can be beyond 64 bits."""
        micro = self._micro
        if micro.dtype == object or not len(micro) or not len(self._seen):
            return True
        largest = max(int(micro.max()), -int(micro.min()))
        most = int((self._seen - self._tails[self._lengths[-1]]).max())
        return largest * most < _INT64 or float(np.abs(micro.astype(np.float64)).sum()) < 0.99 * _INT64

    def _rows(self, values: Column) -> Column:
        """In the order of the rows asked for."""
        return values if self._places is None else values[self._places]


def quotient(values: Column, divisor: int | Column) -> Floats:
    """The floats nearest to the quotients, as Python divides integers."""
    if values.dtype != object and not _is_beyond_floats(values):
        return np.asarray(values / divisor)
    return np.asarray((values.astype(object) / divisor).astype(np.float64))


def _is_beyond_floats(values: Column) -> bool:
    return bool(len(values)) and max(int(values.max()), -int(values.min())) > _EXACT_FLOAT


def _imbalance(long: Column, short: Column) -> Floats:
    shares = np.full(len(long), np.nan)
    whole = long + short
    some = np.flatnonzero(whole != 0)
    part, whole = (long - short)[some], whole[some]
    if whole.dtype != object and _is_beyond_floats(whole):
        part, whole = part.astype(object), whole.astype(object)
    shares[some] = quotient(part, whole)
    return shares
