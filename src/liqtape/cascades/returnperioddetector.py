"""The default detector: the USD of 60 s reach what the stream itself brings once in six hours. Metrics 5b.

It is no second form of the level rule: `StreamLevel` decides, an `EventColumn` counts. A signal is the first raise of
an episode; the detector is raised until the episode is over.
"""

from math import inf

from liqtape.cascades.detector import DetectorStanding, Signal
from liqtape.engine.levels.returnperiods import STREAM_LEVELS
from liqtape.engine.levels.streamlevel import INSTRUMENT, QUIET_MS, LevelSteps, StreamLevel
from liqtape.engine.windows.eventcolumn import MINUTE_MS, EventColumn
from liqtape.events import Level, Liquidation, Side
from liqtape.money import CLEAR, MICRO, WHOLE, micro_of

__all__ = ["ReturnPeriodDetector"]

_KEPT_MS = 5 * MINUTE_MS  # so late may an event be
_MICRO = float(MICRO)
_BEFORE_MS = -(1 << 63)


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
        self._all = EventColumn()
        self._others: dict[Side | None, EventColumn] = {"short": EventColumn(), None: EventColumn()}  # of these, again
        self._now_ms = _BEFORE_MS
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

    def update(self, event: Liquidation) -> Signal | None:  # noqa: C901 - one function, as `VelocityEngine.look`
        """Take in an event and look.

        `micro_of`, `EventColumn.minute` and what most looks come to stand here at their places, as they do in the
        engine: in a cascade each call counts.
        """
        side, event_ms, usd = event.side, event.event_ms, event.notional_usd
        if self._side is not None and side != self._side:
            return None
        micro = 0
        if usd is not None:
            product = usd * _MICRO
            nearest = product + WHOLE - WHOLE
            is_sure = -0.25 < product - nearest < 0.25 and product < CLEAR
            micro = int(nearest) if is_sure else micro_of(usd)
        now_ms = self._now_ms
        if event_ms > now_ms:
            now_ms = self._now_ms = event_ms
        column = self._all
        column.add(event_ms, micro)
        times, first, limit = column.settled_times, column.minute_at, now_ms - MINUTE_MS
        if side != "long":
            self._others[side].add(event_ms, micro)
        if column.pending or (first and times[first - 1] > limit):  # late ones wait, or it was asked for later
            usd_60s = column.minute(now_ms)[0] / MICRO
        else:
            size = len(times)
            while first < size and times[first] <= limit:
                first += 1
            column.minute_at = first
            sums = column.settled_sums
            usd_60s = (sums[size] - sums[first]) / MICRO
        stream = self.stream
        if now_ms < stream.due_ms and usd_60s < stream.next_up and stream.peak:
            if usd_60s >= stream.keep:
                stream.due_ms = now_ms + QUIET_MS
                if usd_60s > stream.peak:
                    stream.peak, stream.keep = usd_60s, 0.5 * usd_60s
            if len(times) >= column.trim_at:
                self._trim(now_ms)
            return None
        return self._look(now_ms, usd_60s)

    def _trim(self, now_ms: int) -> None:
        for column in (self._all, *self._others.values()):
            column.trim(now_ms - _KEPT_MS)

    def _look(self, now_ms: int, usd: float) -> Signal | None:
        stream = self.stream
        if not self._was_told:
            self.up(now_ms)
        if len(self._all.settled_times) >= self._all.trim_at:
            self._trim(now_ms)
        if now_ms >= stream.due_ms:
            self._is_raised = False
        step = stream.look(now_ms, usd, self._all.minute(now_ms)[1])
        if step < self._step or self._is_raised:
            return None
        self._is_raised = True
        return Signal(self.name, now_ms, usd, stream.thresholds[self._step - 1], self._leading(now_ms))

    def _leading(self, now_ms: int) -> Side | None:
        short, unsided = (column.minute(now_ms)[0] for column in self._others.values())
        long = self._all.minute(now_ms)[0] - short - unsided
        return None if long == short else "long" if long > short else "short"

    def at(self, now_ms: int) -> DetectorStanding:
        """Return how it stands; asking changes nothing."""
        now_ms = max(now_ms, self._now_ms)
        threshold = self.stream.thresholds[self._step - 1]
        return DetectorStanding(
            self._is_raised and now_ms < self.stream.due_ms,
            self._all.minute(now_ms)[0] / MICRO,
            threshold if threshold < inf else None,
        )
