"""Fano surprise as a detector: how unusual the count of 60 s is against the stream's own past. Metrics 5a."""

from liqtape.cascades.helddetector import HeldDetector
from liqtape.engine.baseline.surprise import Baseline, Expected, least_count, surprise_fano
from liqtape.engine.windows.eventcolumn import MINUTE_MS
from liqtape.engine.windows.venuewindows import VenueWindows
from liqtape.events import Liquidation, Side

__all__ = ["SurpriseDetector"]

_KEPT_MS = 300_000
_WINDOW_S = 60


class SurpriseDetector(HeldDetector):
    """`score` is S of the count in 60 s. It looks at counts alone: what one liquidation is worth does not matter.

    Mean and Fano factor change once a minute, so that after most events one integer is compared with another.

    >>> detector = SurpriseDetector(threshold=4.0)
    >>> def of(at_ms: int) -> Liquidation:
    ...     return Liquidation("bybit", "BTCUSDT", "BTCUSDT", "short", 80_000.0, "fill", None, 8.0, at_ms)
    >>> signals = [detector.update(of(3_600_000 + 100 * i)) for i in range(20)]
    >>> [(i, round(signal.score, 2), signal.side) for i, signal in enumerate(signals) if signal]
    [(8, 4.21, 'short')]
    """

    name = "surprise"

    def __init__(self, threshold: float = 4.0, side: Side | None = None) -> None:
        super().__init__(threshold, side=side)
        self._windows = VenueWindows()
        self._baseline: Baseline | None = None
        self._minute = -1
        self._expected = Expected(0.0, 1.0)
        self._least = 0

    def _begin(self, at_ms: int) -> None:
        self._baseline = Baseline(at_ms, _WINDOW_S)

    def _resume(self, down_ms: int, up_ms: int) -> None:
        if self._baseline is not None:
            self._baseline.unwatched(down_ms, up_ms)

    def _score_with(self, event: Liquidation, now_ms: int) -> float | None:
        if self._baseline is not None:
            self._baseline.add(event.event_ms)
        self._windows.add(event.side, event.event_ms, 0, now_ms - _KEPT_MS)
        expected = self._expect(now_ms)
        count = self._windows.minute(now_ms)[1]
        return surprise_fano(count, expected.mean, expected.fano) if count >= self._least else None

    def _score_at(self, now_ms: int) -> float | None:
        expected = self._expect(now_ms)
        return surprise_fano(self._windows.minute(now_ms)[1], expected.mean, expected.fano)

    def _expect(self, now_ms: int) -> Expected:
        minute = now_ms // MINUTE_MS
        if minute != self._minute and self._baseline is not None:
            self._minute = minute
            self._expected = self._baseline.foreseen(now_ms)
            self._least = least_count(self.threshold, self._expected.mean, self._expected.fano, self._least)
        return self._expected
