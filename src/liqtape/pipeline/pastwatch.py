"""A past, event by event and second by second: its levels as alerts, and its cascades."""

from collections import deque
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from liqtape.cascades.bank import DetectorBank
from liqtape.cascades.cascade import Cascade
from liqtape.cascades.choice import DEFAULT_DETECTOR, CascadeSettings
from liqtape.engine.velocity import MARKET, VelocityEngine
from liqtape.events import Alert, Gap, Liquidation
from liqtape.pipeline.cascadewatch import CascadeWatch, follows_levels
from liqtape.pipeline.levelalerts import Levels
from liqtape.pipeline.rerun import FeedMark, Rerun

__all__ = ["PastWatch", "cascades_of"]

_SECOND_MS = 1_000
_MINUTE_MS = 60_000
_AFTER_MS = 2 * 3_600_000  # until an hour has passed after the last cascade


class PastWatch:
    """Gives events in the order of their time to an engine, and looks at levels each whole second after its events.

    `gaps` are those of the past, None where nobody said when feeds were up; each is told when it begins and when it
    ends, as live.
    """

    def __init__(
        self,
        engine: VelocityEngine,
        marks: Iterable[FeedMark] = (),
        gaps: Iterable[Gap] | None = None,
        settings: CascadeSettings | None = None,
    ) -> None:
        chosen = CascadeSettings() if settings is None else settings
        self.cascades = CascadeWatch(engine, None, chosen, knows_gaps=gaps is not None)
        names = [name for name in chosen.detectors if name != DEFAULT_DETECTOR or not follows_levels(engine, chosen)]
        self._bank = DetectorBank(chosen, names) if names else None
        self._engine = engine
        self._levels = Levels(engine)
        self._rerun = Rerun(engine, marks)
        self._changed: set[str] = set()
        known = [] if gaps is None else list(gaps)
        edges = [(gap.from_ms, replace(gap, until_ms=None, backfilled=False)) for gap in known]
        edges += [(gap.until_ms, gap) for gap in known if gap.until_ms is not None]
        self._gaps = deque(sorted(edges, key=lambda edge: (edge[0], edge[1].venue, edge[1].from_ms)))

    def add(self, event: Liquidation) -> None:
        """Take in an event."""
        self._rerun.add(event)
        self._changed.add(event.instrument)
        self.cascades.accepted([event], is_news=True)
        if self._bank is not None:
            for signal in self._bank.update(event):
                self.cascades.signal(signal)

    def look(self, second_ms: int) -> list[Alert]:
        """Let time pass to a whole second, after its events; return the levels that changed."""
        while self._gaps and self._gaps[0][0] <= second_ms:
            self.cascades.gap(self._gaps.popleft()[1])
        self._rerun.tick(second_ms)
        alerts: list[Alert] = []
        if self._changed or self._engine.is_raised() or self._levels.raised():
            for instrument in sorted({MARKET, *self._changed, *self._levels.raised()}):
                alert = self._levels.check(instrument, second_ms)
                if alert is not None:
                    alerts.append(alert)
                    self.cascades.alert(alert)
        self._changed.clear()
        if self._bank is not None:
            self._bank.calmed(second_ms)
        self.cascades.book.tick(second_ms)
        return alerts

    def is_quiet(self) -> bool:
        """Return whether time alone changes nothing but cascades, which end by the time of what comes next."""
        return not self._engine.is_raised() and not self._levels.raised()


def cascades_of(
    events: Sequence[Liquidation],
    engine: VelocityEngine,
    marks: Iterable[FeedMark] = (),
    gaps: Iterable[Gap] | None = None,
    settings: CascadeSettings | None = None,
) -> list[Cascade]:
    """Return the cascades of events that are in the order of their time, the earliest first; the last may go on.

    The grid of seconds is walked through only while something is raised.
    """
    watch = PastWatch(engine, marks, gaps, settings)
    found: dict[str, Cascade] = {}
    place = 0
    second_ms = minute_ms = events[0].event_ms // _SECOND_MS * _SECOND_MS if events else 0
    end_ms = events[-1].event_ms + _AFTER_MS if events else 0
    while second_ms < end_ms:
        following = [end_ms]
        if not watch.is_quiet():
            following.append(second_ms + _SECOND_MS)
        if second_ms < minute_ms:  # what a minute brought is counted at its end
            following.append(minute_ms)
        if place < len(events):
            following.append(_up_to(events[place].event_ms, _SECOND_MS))
        second_ms = min(following)
        while place < len(events) and events[place].event_ms <= second_ms:
            minute_ms = _up_to(events[place].event_ms, _MINUTE_MS)
            watch.add(events[place])
            place += 1
        watch.look(second_ms)
        found |= {cascade.id: cascade for cascade in watch.cascades.take_news()}
    return sorted(found.values(), key=lambda cascade: (cascade.begin_ms, cascade.id))


def _up_to(at_ms: int, step_ms: int) -> int:
    return -(-at_ms // step_ms) * step_ms
