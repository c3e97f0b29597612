"""The founding document's rule as a detector: velocity or acceleration at a fixed threshold."""

from liqtape.cascades.helddetector import HeldDetector
from liqtape.engine.levels.threshold import Threshold
from liqtape.engine.windows.acceleration import slope
from liqtape.engine.windows.forms import HORIZON_S
from liqtape.engine.windows.venuewindows import VenueWindows
from liqtape.events import WINDOWS, Liquidation, Side
from liqtape.money import MICRO, micro_of

__all__ = ["ThresholdDetector"]

_KEPT_MS = 300_000
_COUNT_10S, _USD_10S = 0, 4  # in `EventColumn.windows`


class ThresholdDetector(HeldDetector):
    """`score` is the larger of velocity and acceleration, each as a multiple of its threshold; it is raised at 1.

    By USD the velocity is `usd_velocity_10s`, USD/s over 10 s, and acceleration is not looked at.

    >>> detector = ThresholdDetector()
    >>> def of(at_ms: int) -> Liquidation:
    ...     return Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 80_000.0, "fill", None, 8.0, at_ms)
    >>> [detector.update(of(10_000 + 180 * i)) is not None for i in range(51)].index(True)
    49
    """

    name = "threshold"

    def __init__(
        self, rule: Threshold | None = None, usd_velocity_10s: float | None = None, side: Side | None = None
    ) -> None:
        super().__init__(1.0, by="rate" if usd_velocity_10s is None else "usd", side=side)
        self._rule = Threshold() if rule is None else rule
        self._usd_velocity = usd_velocity_10s
        self._windows = VenueWindows()

    def _score_with(self, event: Liquidation, now_ms: int) -> float | None:
        usd = event.notional_usd
        self._windows.add(event.side, event.event_ms, 0 if usd is None else micro_of(usd), now_ms - _KEPT_MS)
        return self._score_at(now_ms)

    def _score_at(self, now_ms: int) -> float | None:
        self._windows.advance(now_ms, now_ms - _KEPT_MS)
        count = micro = recent = sum_ms = 0
        for column in self._windows.columns:
            if column.settled_times:
                row = column.windows()
                count += row[_COUNT_10S]
                micro += row[_USD_10S]
                in_horizon, part_ms = column.recent(0)
                recent += in_horizon
                sum_ms += part_ms
        if self._usd_velocity is not None:
            return micro / (MICRO * WINDOWS[0]) / self._usd_velocity
        rule = self._rule
        score = count / WINDOWS[0] / rule.velocity_10s
        if recent >= rule.least_in_20s:
            score = max(score, slope(recent, sum_ms, now_ms, HORIZON_S) / rule.acceleration)
        return score
