"""Page's cumulative sum for a Poisson rate that jumps to ten times what is usual. Page 1954; metrics 6."""

from math import log

from liqtape.cascades.earlier import EarlierRate, UsualSize
from liqtape.cascades.helddetector import HeldDetector, Measure
from liqtape.events import Liquidation, Side

__all__ = ["CusumDetector", "cusum"]

_FLOOR_PER_S = 0.02
_TIMES = 10.0
_THRESHOLDS: dict[Measure, float] = {"rate": 110.0, "usd": 150.0}
"""At most one false alarm a day on streams whose habits never change (docs/explanation/cascades.md)."""


def cusum(total: float, counted: float, seconds: float, rate0: float, rate1: float) -> float:
    """Return the sum after `counted` liquidations in `seconds` more.

    It rises where they speak for `rate1` against `rate0`, and is never below 0.

    >>> round(cusum(0.0, 4, 1, 1.0, 4.0), 6)
    2.545177
    """
    return max(0.0, total + counted * log(rate1 / rate0) - (rate1 - rate0) * seconds)


class CusumDetector(HeldDetector):
    """`score` is the sum, in nats: raised at `threshold`. The usual rate is taken for 0.02/s where it is less.

    By USD a liquidation counts as its size tells (`UsualSize`), at the same usual rate. A gap begins the sum again.

    >>> detector = CusumDetector(threshold=20.0)
    >>> def of(at_ms: int) -> Liquidation:
    ...     return Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 80_000.0, "fill", None, 8.0, at_ms)
    >>> [detector.update(of(1_000 * i)) is not None for i in range(12)].index(True)
    9
    """

    name = "cusum"

    def __init__(self, threshold: float | None = None, *, by: Measure = "rate", side: Side | None = None) -> None:
        super().__init__(_THRESHOLDS[by] if threshold is None else threshold, by=by, side=side)
        self._rate: EarlierRate | None = None
        self._sizes = UsualSize() if by == "usd" else None
        self._total = 0.0
        self._at_ms = 0

    def _begin(self, at_ms: int) -> None:
        self._rate = EarlierRate(at_ms, _FLOOR_PER_S)
        self._at_ms = at_ms

    def _resume(self, down_ms: int, up_ms: int) -> None:
        self._total, self._at_ms = 0.0, up_ms
        if self._rate is not None:
            self._rate.unwatched(down_ms, up_ms)

    def _score_with(self, event: Liquidation, now_ms: int) -> float | None:
        if self._rate is not None:
            self._rate.add(event.event_ms)
        counted = 1.0 if self._sizes is None else self._sizes.weight(event.notional_usd, now_ms)
        self._total = self._after(counted, now_ms)
        self._at_ms = max(self._at_ms, now_ms)
        return self._total

    def _score_at(self, now_ms: int) -> float | None:
        return self._after(0.0, now_ms)

    def _after(self, counted: float, now_ms: int) -> float:
        usual = _FLOOR_PER_S if self._rate is None else self._rate.at(now_ms)
        return cusum(self._total, counted, max(0, now_ms - self._at_ms) / 1000, usual, _TIMES * usual)
