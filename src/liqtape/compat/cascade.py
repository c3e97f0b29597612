"""The founding document's cascade detector: whether an event finds its symbol in a cascade, and which one that is."""

from typing import Any, Literal, get_args

from liqtape.cascades.cascade import Cascade
from liqtape.cascades.runningcascade import Rise
from liqtape.compat.velocity import VelocityTracker
from liqtape.compat.wrapped import liquidation_of
from liqtape.engine.levels.returnperiods import StreamKey
from liqtape.engine.velocity import VelocityEngine
from liqtape.events import Liquidation
from liqtape.pipeline.cascadewatch import CascadeWatch, why_threshold
from liqtape.pipeline.levelalerts import Levels

__all__ = ["CascadeDetector"]

_Detector = Literal["threshold", "return_periods"]
_SECOND_MS = 1_000


class CascadeDetector:
    """Whether an event finds its symbol in a cascade; `cascade()` is the cascade itself.

    By default (`threshold`) that is while `velocity_10s` or `acceleration` is at its threshold, the document's rule.
    With `detector="return_periods"` it is while the USD of 60 s are as rare as `WATCH` asks for, which is the default
    of liqtape itself. It is not the default here: it compares a symbol with its own past, so that a new detector has
    nothing to say for the first hours, where the document's example, which starts with none, expects an answer at once.

    Time is that of the events. It is for one program's own events; `Tracker.cascades()` has those of the service.

    >>> detector = CascadeDetector(velocity_threshold=2.0)
    >>> detector.velocity_threshold, detector.cascade()
    (2.0, None)
    """

    def __init__(
        self,
        velocity_threshold: float = 5.0,
        acceleration_threshold: float = 2.0,
        *,
        detector: _Detector = "threshold",
    ) -> None:
        if detector not in get_args(_Detector):
            raise ValueError(f"detector={detector!r}: choose one of {', '.join(get_args(_Detector))}")
        self.velocity_threshold = velocity_threshold
        self.acceleration_threshold = acceleration_threshold
        self.tracker = VelocityTracker()
        self._by_threshold = detector == "threshold"
        self._engine = VelocityEngine()
        self._levels = Levels(self._engine)
        self._watch = CascadeWatch(self._engine, knows_gaps=False)
        self._above: set[str] = set()
        self._symbol = ""
        self._now_ms = self._second = 0

    async def check_cascade(self, event: Any) -> bool:
        """Count the event and tell whether its symbol is in a cascade now."""
        liquidation = liquidation_of(event, "")
        self._symbol = liquidation.instrument
        self._now_ms = max(self._now_ms, liquidation.event_ms)
        self._watch.accepted([liquidation], is_news=True)
        is_in_one = self._is_at_threshold(liquidation) if self._by_threshold else self._is_rare(liquidation)
        if self._now_ms // _SECOND_MS > self._second:
            self._second = self._now_ms // _SECOND_MS
            self._watch.book.tick(self._now_ms)
            self._watch.take_news()  # nobody is told
        return is_in_one

    def cascade(self, symbol: str | None = None) -> Cascade | None:
        """Return the cascade of a symbol that goes on, by default of the last event's; None where none does.

        It goes on until nothing that belongs to it has come for five minutes.
        """
        return self._watch.book.of(self._symbol if symbol is None else symbol)

    def _is_at_threshold(self, liquidation: Liquidation) -> bool:
        name, usd = liquidation.instrument, liquidation.notional_usd
        self.tracker.add_event(name, 0.0 if usd is None else usd, liquidation.event_ms / 1000)
        row = self.tracker.calculate_velocity(name)
        if row is None:
            return False
        if row.velocity_10s < self.velocity_threshold and row.acceleration < self.acceleration_threshold:
            self._above.discard(name)
            return False
        if name not in self._above:
            self._above.add(name)
            why = why_threshold(name, row.velocity_10s, row.acceleration)
            rise = Rise(StreamKey(None, name), "threshold", self._now_ms, why, "ALERT", by_count=True)
            self._watch.book.rise(rise)
        return True

    def _is_rare(self, liquidation: Liquidation) -> bool:
        engine, name = self._engine, liquidation.instrument
        second = self._second
        while second < self._now_ms // _SECOND_MS:  # levels come down second by second
            second = second + 1 if engine.is_raised() else self._now_ms // _SECOND_MS
            engine.tick(second * _SECOND_MS)
            self._check(second * _SECOND_MS)
        engine.add(liquidation)
        engine.look([(liquidation.venue, name)], self._now_ms)
        self._check(self._now_ms)
        return self._levels.current(name) != "NONE"

    def _check(self, now_ms: int) -> None:
        for changed in self._engine.take_changed():
            alert = self._levels.check(changed, now_ms)
            if alert is not None:
                self._watch.alert(alert)
