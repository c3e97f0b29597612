"""Baselines from what is final: every ten seconds the events that became 300 s old, a slot at once.

Naive: tell the baseline of each event when it comes. That is work for every event, and a burst would feed its own
baseline. Here nothing is done when an event comes; its column keeps it until its slot is final: two bisections.
"""

from collections.abc import Collection

from liqtape.engine.baseline.binstatistics import SLOT_MS, BinStatistics
from liqtape.engine.baseline.currentbaseline import CurrentBaseline
from liqtape.engine.baseline.liveintervals import EVER_MS
from liqtape.engine.baseline.surprise import FINAL_MS
from liqtape.engine.windows.coverage import Feeds
from liqtape.engine.windows.eventcolumn import RETAIN_MS
from liqtape.engine.windows.instrumentwindows import InstrumentWindows, Slots, merged

__all__ = ["KEEP_MS", "BaselineUpdater"]

KEEP_MS = RETAIN_MS + SLOT_MS
"""What columns must keep: a slot is final when its youngest event is 300 s old, and its oldest 310."""


class BaselineUpdater:
    """The baselines of all instruments, venues and the market. `due_ms`: when time reaches it, `finalize`."""

    __slots__ = ("_baselines", "_feeds", "_retain_ms", "active", "due_ms", "final_ms")

    def __init__(self, feeds: Feeds, retain_ms: int = RETAIN_MS) -> None:
        self._retain_ms = retain_ms
        self.due_ms = -EVER_MS
        self.final_ms = -EVER_MS
        self._feeds = feeds
        self.active: dict[str, InstrumentWindows] = {}  # instruments with an event that is not final
        self._baselines: dict[str | None, CurrentBaseline] = {None: CurrentBaseline(BinStatistics())}

    def baseline(self, venue: str | None) -> CurrentBaseline:
        """Return the baseline of all instruments of a venue, or of all venues."""
        baseline = self._baselines.get(venue)
        if baseline is None:
            baseline = self._baselines[venue] = CurrentBaseline(BinStatistics())
        return baseline

    def wake(self, instrument: str, instrument_windows: InstrumentWindows) -> None:
        """Look at the instrument's slots from now on: an event of it came."""
        instrument_windows.is_idle = False
        self.active[instrument] = instrument_windows

    def finalize(self, now_ms: int, newest_ms: int) -> list[str]:
        """Hand over what became final by `now_ms`; returns instruments without anything left.

        What may still be in a window counts, too: an evaluation may lie 2 s before the newest event.
        """
        until_ms = (now_ms - FINAL_MS) // SLOT_MS * SLOT_MS
        of_venues: dict[str, list[Slots]] = {}
        for name, instrument_windows in self.active.items():
            found = instrument_windows.slots(self.final_ms, until_ms)
            for venue, slots in found.items():
                of_venues.setdefault(venue, []).append(slots)
                statistics = instrument_windows.statistics.get(venue)
                if statistics is None:
                    statistics = instrument_windows.statistics[venue] = BinStatistics()
                self._feed(statistics, [slots], [venue], name)
            if found:
                self._feed(
                    instrument_windows.baseline.statistics, list(found.values()), instrument_windows.venues, name
                )
        for venue, parts in of_venues.items():
            self._feed(self.baseline(venue).statistics, parts, [venue])
        if of_venues:
            every = [part for parts in of_venues.values() for part in parts]
            self._feed(self.baseline(None).statistics, every, self._feeds.venues)
        self.final_ms = max(self.final_ms, until_ms)
        self.due_ms = until_ms + SLOT_MS + FINAL_MS
        return self._idle(min(until_ms, newest_ms - self._retain_ms + 1))

    def seed(self, at_ms: int, venue: str, instrument_windows: InstrumentWindows, count: int) -> None:
        """Take in `count` events of the slot that begins at `at_ms` and was made final by somebody else."""
        slot = at_ms // SLOT_MS
        self._feed(instrument_windows.statistics.setdefault(venue, BinStatistics()), [{slot: count}], [venue])
        self._feed(instrument_windows.baseline.statistics, [{slot: count}], instrument_windows.venues)
        self._feed(self.baseline(venue).statistics, [{slot: count}], [venue])
        self._feed(self.baseline(None).statistics, [{slot: count}], self._feeds.venues)
        self.final_ms = max(self.final_ms, (slot + 1) * SLOT_MS)

    def move(self, by_ms: int) -> None:
        """Make time later by so much. Baselines decay over hours: what they hold stays as it is."""
        if self.final_ms != -EVER_MS:
            self.final_ms = -(-(self.final_ms + by_ms) // SLOT_MS) * SLOT_MS
        self.due_ms = -EVER_MS
        for baseline in self._baselines.values():
            baseline.statistics.move(by_ms)
            baseline.generation = -1

    def cut(self, after_ms: int) -> None:
        """Forget that anything later was made final: a wrong clock had told it."""
        self.final_ms = min(self.final_ms, after_ms // SLOT_MS * SLOT_MS)
        self.due_ms = -EVER_MS

    def _feed(
        self, statistics: BinStatistics, parts: list[Slots], venues: Collection[str], instrument: str | None = None
    ) -> None:
        live = self._feeds.live_intervals(venues, instrument)
        for slot, count in merged(parts) if len(parts) > 1 else sorted(parts[0].items()):
            statistics.feed(slot, count, live)

    def _idle(self, since_ms: int) -> list[str]:
        idle = [name for name, instrument_windows in self.active.items() if not instrument_windows.has_since(since_ms)]
        for name in idle:
            self.active.pop(name).is_idle = True
        return idle
