"""The default detector: the USD of 60 s reach what the stream itself brings once in six hours. Metrics 5b.

It is no second form of the level rule: `StreamLevel` decides, `VenueWindows` count. A signal is the first raise of an
episode; the detector is raised until the episode is over.
"""

from math import inf

from liqtape.cascades.detector import DetectorStanding, Signal
from liqtape.engine.levels.returnperiods import STREAM_LEVELS
from liqtape.engine.levels.streamlevel import INSTRUMENT, LevelSteps, StreamLevel
from liqtape.engine.windows.eventcolumn import MINUTE_MS
from liqtape.engine.windows.venuewindows import VenueWindows
from liqtape.events import Level, Liquidation, Side
from liqtape.money import MICRO, micro_of

__all__ = ["ReturnPeriodDetector"]

_KEPT_MS = 5 * MINUTE_MS  # of the windows: so late may an event be


class ReturnPeriodDetector:
    """Raised by the first look of an episode that reaches `level`; `score` and `threshold` are USD within 60 s.

    >>> detector = ReturnPeriodDetector()
    >>> detector.up(0)
    >>> def of(usd: float, at_ms: int) -> Liquidation:
    ...     return Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 80_000.0, "fill", None, usd, at_ms)
    >>> detector.update(of(5e6, 5_000)), detector.update(of(60e6, 6_000))
    (None, Signal(detector='return_periods', at_ms=6000, score=65000000.0, threshold=50000000.0, side='long'))
    """

    name = "return_periods"

    def __init__(self, steps: LevelSteps = INSTRUMENT, level: Level = "WATCH", side: Side | None = None) -> None:
        self.stream = StreamLevel(steps)
        self._step = STREAM_LEVELS.index(level)
        self._side = side
        self._windows = VenueWindows()
        self._now_ms: int | None = None
        self._is_raised = False
        self._was_told = False

    def up(self, at_ms: int) -> None:
        """Note that the stream is watched from then on."""
        self._was_told = True
        self.stream.up(at_ms)

    def down(self, at_ms: int) -> None:
        """Note that nobody watches the stream from then on: an open episode is over."""
        self._was_told = True
        self.stream.down(at_ms)
        self._is_raised = False

    def update(self, event: Liquidation) -> Signal | None:
        """Take in an event and look."""
        side, event_ms, usd = event.side, event.event_ms, event.notional_usd
        if self._side is not None and side != self._side:
            return None
        now_ms = event_ms if self._now_ms is None else max(event_ms, self._now_ms)
        self._now_ms = now_ms
        if not self._was_told:
            self.up(now_ms)
        stream = self.stream
        self._windows.add(side, event_ms, 0 if usd is None else micro_of(usd), now_ms - _KEPT_MS)
        if now_ms >= stream.due_ms:
            self._is_raised = False
        micro, count = self._windows.minute(now_ms)
        usd_60s = micro / MICRO
        step = stream.look(now_ms, usd_60s, count)
        if step < self._step or self._is_raised:
            return None
        self._is_raised = True
        return Signal(self.name, now_ms, usd_60s, stream.thresholds[self._step - 1], self._leading(now_ms))

    def _leading(self, now_ms: int) -> Side | None:
        long, short = self._windows.long.minute(now_ms)[0], self._windows.short.minute(now_ms)[0]
        return None if long == short else "long" if long > short else "short"

    def at(self, now_ms: int) -> DetectorStanding:
        """Return how it stands; asking changes nothing."""
        now_ms = now_ms if self._now_ms is None else max(now_ms, self._now_ms)
        threshold = self.stream.thresholds[self._step - 1]
        return DetectorStanding(
            self._is_raised and now_ms < self.stream.due_ms,
            self._windows.minute(now_ms)[0] / MICRO,
            threshold if threshold < inf else None,
        )
