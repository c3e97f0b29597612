"""Baselines from what is settled: every ten seconds the events that became 300 s old, a slot at once.

Naive: tell the baseline of each event when it comes. That is work for every event, and a burst would teach its own
baseline. Here nothing is done when an event comes; its lane keeps it until its slot is settled: two bisections.
"""

from collections.abc import Collection

from liqtape.engine.coverage import Feeds
from liqtape.engine.lane import RETAIN_MS
from liqtape.engine.past import SLOT_MS, Past
from liqtape.engine.scope import Scope
from liqtape.engine.series import Series, Slots, merged
from liqtape.engine.surprise import SETTLED_MS
from liqtape.engine.watch import EVER_MS

__all__ = ["KEEP_MS", "Learning"]

KEEP_MS = RETAIN_MS + SLOT_MS
"""What lanes must keep: a slot is settled when its youngest event is 300 s old, and its oldest 310."""


class Learning:
    """The baselines of all instruments, venues and the market. `due_ms`: when time reaches it, `settle`."""

    __slots__ = ("_feeds", "_retain_ms", "_scopes", "active", "due_ms", "settled_ms")

    def __init__(self, feeds: Feeds, retain_ms: int = RETAIN_MS) -> None:
        self._retain_ms = retain_ms
        self.due_ms = -EVER_MS
        self.settled_ms = -EVER_MS
        self._feeds = feeds
        self.active: dict[str, Series] = {}  # instruments with an event that is not settled
        self._scopes: dict[str | None, Scope] = {None: Scope(Past())}

    def scope(self, venue: str | None) -> Scope:
        """All instruments of a venue, or of all venues."""
        scope = self._scopes.get(venue)
        if scope is None:
            scope = self._scopes[venue] = Scope(Past())
        return scope

    def wake(self, instrument: str, series: Series) -> None:
        """An event came; from now on the instrument's slots are looked at."""
        series.is_idle = False
        self.active[instrument] = series

    def settle(self, now_ms: int, newest_ms: int) -> list[str]:
        """Hand over what became settled by `now_ms`; returns instruments without anything left.

        What may still be in a window counts, too: an evaluation may lie 2 s before the newest event.
        """
        until_ms = (now_ms - SETTLED_MS) // SLOT_MS * SLOT_MS
        of_venues: dict[str, list[Slots]] = {}
        for name, series in self.active.items():
            found = series.slots(self.settled_ms, until_ms)
            for venue, slots in found.items():
                of_venues.setdefault(venue, []).append(slots)
                past = series.pasts.get(venue)
                if past is None:
                    past = series.pasts[venue] = Past()
                self._teach(past, [slots], [venue], name)
            if found:
                self._teach(series.scope.past, list(found.values()), series.venues, name)
        for venue, parts in of_venues.items():
            self._teach(self.scope(venue).past, parts, [venue])
        if of_venues:
            every = [part for parts in of_venues.values() for part in parts]
            self._teach(self.scope(None).past, every, self._feeds.venues)
        self.settled_ms = max(self.settled_ms, until_ms)
        self.due_ms = until_ms + SLOT_MS + SETTLED_MS
        return self._idle(min(until_ms, newest_ms - self._retain_ms + 1))

    def teach(self, at_ms: int, venue: str, series: Series, count: int) -> None:
        """`count` events of the slot that begins at `at_ms`, which was settled by somebody else."""
        slot = at_ms // SLOT_MS
        self._teach(series.pasts.setdefault(venue, Past()), [{slot: count}], [venue])
        self._teach(series.scope.past, [{slot: count}], series.venues)
        self._teach(self.scope(venue).past, [{slot: count}], [venue])
        self._teach(self.scope(None).past, [{slot: count}], self._feeds.venues)
        self.settled_ms = max(self.settled_ms, (slot + 1) * SLOT_MS)

    def move(self, by_ms: int) -> None:
        """Time is later by so much than it was taken for. Baselines fade in hours: what they hold stays as it is."""
        if self.settled_ms != -EVER_MS:
            self.settled_ms = -(-(self.settled_ms + by_ms) // SLOT_MS) * SLOT_MS
        self.due_ms = -EVER_MS
        for scope in self._scopes.values():
            scope.past.move(by_ms)
            scope.generation = -1

    def cut(self, after_ms: int) -> None:
        """Nothing was settled later than that: it was told by a wrong clock."""
        self.settled_ms = min(self.settled_ms, after_ms // SLOT_MS * SLOT_MS)
        self.due_ms = -EVER_MS

    def _teach(self, past: Past, parts: list[Slots], venues: Collection[str], instrument: str | None = None) -> None:
        watch = self._feeds.watch(venues, instrument)
        for slot, count in merged(parts) if len(parts) > 1 else sorted(parts[0].items()):
            past.feed(slot, count, watch)

    def _idle(self, since_ms: int) -> list[str]:
        idle = [name for name, series in self.active.items() if not series.has_since(since_ms)]
        for name in idle:
            self.active.pop(name).is_idle = True
        return idle
