"""Past events through an engine: in event-time order, a look after each, feed marks where they belong.

Event files, the history and what a start learns of it go this way, so that all of them give the levels of one rule.
"""

from collections import deque
from collections.abc import Iterable

from liqtape.engine.velocity import VelocityEngine
from liqtape.events import Liquidation

__all__ = ["FeedMark", "Rerun", "feed_marks"]

FeedMark = tuple[int, bool, str]
"""(at ms, whether up, venue)."""


def feed_marks(spells: Iterable[tuple[str, int, int]]) -> list[FeedMark]:
    """Return the marks of (venue, up, down) in order; spells of a venue that touch or overlap are one.

    At one moment the ups come first, so that where one venue takes over from another somebody watches throughout.

    >>> feed_marks([("okx", 500, 900), ("okx", 0, 500), ("bybit", 900, 950)])
    [(0, True, 'okx'), (900, True, 'bybit'), (900, False, 'okx'), (950, False, 'bybit')]
    """
    ends: dict[str, int] = {}
    marks: list[FeedMark] = []
    for venue, up_ms, down_ms in sorted(spells, key=lambda spell: spell[1:]):
        if down_ms <= up_ms:
            continue
        end_ms = ends.get(venue)
        if end_ms is None or up_ms > end_ms:
            if end_ms is not None:
                marks.append((end_ms, False, venue))
            marks.append((up_ms, True, venue))
        ends[venue] = down_ms if end_ms is None else max(end_ms, down_ms)
    marks += [(end_ms, False, venue) for venue, end_ms in ends.items()]
    return sorted(marks, key=lambda mark: (mark[0], not mark[1], mark[2]))


class Rerun:
    """Gives events, in the order of their time, and `marks` to an engine, whose levels are those of that past.

    An event at the very moment its feed was last seen live was seen. `newest_ms` is of the last event or mark.
    """

    def __init__(self, engine: VelocityEngine, marks: Iterable[FeedMark] = ()) -> None:
        self.engine = engine
        self.newest_ms = 0
        self._marks = deque(marks)
        for venue in sorted({venue for _, _, venue in self._marks}):
            engine.feed_down(venue, self._marks[0][0])  # until its first mark nobody watches it

    def add(self, event: Liquidation) -> None:
        """Add an event and look at its streams at its time; not earlier than that of the event before."""
        at_ms = event.event_ms
        self._tell(at_ms, is_over=False)
        self.newest_ms = max(self.newest_ms, at_ms)
        self.engine.add(event)
        self.engine.look([(event.venue, event.instrument)], at_ms)

    def tick(self, now_ms: int) -> None:
        """Let time pass up to a whole second, after its events."""
        self._tell(now_ms, is_over=True)
        self.engine.tick(now_ms)

    def next_mark_ms(self) -> int | None:
        """Return when the next feed mark is due, None behind the last."""
        return self._marks[0][0] if self._marks else None

    def _tell(self, until_ms: int, *, is_over: bool) -> None:
        """Tell the marks up to a moment; unless it is over, those who go down then do so behind its events."""
        marks, engine = self._marks, self.engine
        while marks:
            at_ms, is_up, venue = marks[0]
            if at_ms > until_ms or (at_ms == until_ms and not (is_up or is_over)):
                break
            marks.popleft()
            self.newest_ms = max(self.newest_ms, at_ms)
            if is_up:
                engine.feed_up(venue, at_ms)
            else:
                engine.feed_down(venue, at_ms)
