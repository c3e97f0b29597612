"""What was usual for a stream before: its rate and its sizes, from what is five minutes old at least.

A detector that took its baseline from the burst it looks at would raise its own bar.
"""

from collections import deque
from math import exp2, sqrt

from liqtape.engine.baseline.surprise import FINAL_MS, Baseline

__all__ = ["EarlierRate", "UsualSize"]

_MINUTE_MS = 60_000
_HALF_LIFE_MS = 86_400_000
_PRIOR_EVENTS = 30.0
_PRIOR_ROOT = sqrt(3_000.0)


class EarlierRate:
    """The usual rate of a stream in liquidations/s, at least `floor`: half-life 6 h, the prior that of the surprise.

    It changes once a minute, because that is when a bin of it becomes final.

    >>> rate = EarlierRate(0, floor=0.02)
    >>> for second in range(36_000): rate.add(1_000 * second)
    >>> round(rate.at(36_000_000), 2)
    0.92
    """

    __slots__ = ("_baseline", "_floor", "_minute", "_rate")

    def __init__(self, start_ms: int, floor: float = 0.0) -> None:
        self._baseline = Baseline(start_ms, _MINUTE_MS // 1000)
        self._floor = floor
        self._minute = -1
        self._rate = floor

    def add(self, event_ms: int) -> None:
        """Count an event."""
        self._baseline.add(event_ms)

    def unwatched(self, from_ms: int, until_ms: int) -> None:
        """Leave out a span in which nothing could be seen."""
        self._baseline.unwatched(from_ms, until_ms)

    def at(self, now_ms: int) -> float:
        """Return the rate as known at a time that never goes back by much."""
        minute = now_ms // _MINUTE_MS
        if minute != self._minute:
            self._minute = minute
            self._rate = max(self._floor, self._baseline.foreseen(now_ms).mean * 1000 / _MINUTE_MS)
        return self._rate


class UsualSize:
    """How much a liquidation counts by its size: sqrt(USD) over the mean of earlier ones, so that the mean weight is 1.

    The square root, because sizes have no mean to speak of: of a tail with exponent 0.9 the largest one ever seen is
    the mean. Half-life one day; the prior is 30 liquidations of 3,000 USD. One of unknown size counts 1.

    >>> usual = UsualSize()
    >>> usual.weight(3_000.0, 0), usual.weight(300_000.0, 1), usual.weight(None, 2)
    (1.0, 10.0, 1.0)
    """

    __slots__ = ("_at_ms", "_count", "_open", "_root")

    def __init__(self) -> None:
        self._count = self._root = 0.0
        self._at_ms = 0
        self._open: deque[tuple[int, float, float]] = deque()  # (minute, events, sum of roots) not final yet

    def weight(self, usd: float | None, now_ms: int) -> float:
        """Return what an event counts, and learn from it."""
        minute = now_ms // _MINUTE_MS
        while self._open and (self._open[0][0] + 1) * _MINUTE_MS <= now_ms - FINAL_MS:
            self._learn(*self._open.popleft())
        if usd is None:
            return 1.0
        root = sqrt(usd)
        mean = (_PRIOR_EVENTS * _PRIOR_ROOT + self._root) / (_PRIOR_EVENTS + self._count)
        if self._open and self._open[-1][0] == minute:
            _, count, total = self._open.pop()
            self._open.append((minute, count + 1.0, total + root))
        else:
            self._open.append((minute, 1.0, root))
        return root / mean

    def _learn(self, minute: int, count: float, root: float) -> None:
        decay = exp2(min(0, self._at_ms - minute * _MINUTE_MS) / _HALF_LIFE_MS)
        self._at_ms = max(self._at_ms, minute * _MINUTE_MS)
        self._count = self._count * decay + count
        self._root = self._root * decay + root
