"""What could not be logged: how many, why and when, kept in memory until the log itself can take it."""

import threading
from collections import Counter

from liqtape.history.log.journal import LogGapEntry

__all__ = ["REASONS", "Losses"]

REASONS = ("full", "disk", "closed", "duplicate", "invalid")
"""Why an accepted event is not in the log: the buffer was full; so, while the disk failed; the log was closed; it is
there already; it is no row."""

_QUIET_MS = 1_000
_LONGEST_MS = 10_000


class Losses:
    """Counts by reason, and the intervals of losses; any thread may add and take.

    >>> losses = Losses(); losses.add("full", 3, 1_000); losses.add("full", 2, 1_400)
    >>> losses.take(1_900), losses.take(3_000), losses.counts["full"]
    ([], [LogGap(from_ms=1000, until_ms=1400, reason='full', events=5)], 5)
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(REASONS, 0))
        self._lock = threading.Lock()
        self._open: dict[str, LogGapEntry] = {}

    def add(self, reason: str, events: int, at_ms: int) -> None:
        """Count events that were lost at that moment."""
        with self._lock:
            self.counts[reason] += events
            self._join(LogGapEntry(at_ms, at_ms, reason, events))

    def _join(self, gap: LogGapEntry) -> None:
        known = self._open.get(gap.reason)
        if known is not None:
            from_ms, until_ms = min(known.from_ms, gap.from_ms), max(known.until_ms, gap.until_ms)
            gap = LogGapEntry(from_ms, until_ms, gap.reason, known.events + gap.events)
        self._open[gap.reason] = gap

    def take(self, now_ms: int) -> list[LogGapEntry]:
        """Take the intervals that are over, and of the others what was lost in more than ten seconds."""
        with self._lock:
            over = [
                gap
                for gap in self._open.values()
                if now_ms - gap.until_ms >= _QUIET_MS or now_ms - gap.from_ms >= _LONGEST_MS
            ]
            for gap in over:
                del self._open[gap.reason]
        return over

    def give_back(self, gaps: list[LogGapEntry]) -> None:
        """Put back what was taken and could not be written."""
        with self._lock:
            for gap in gaps:
                self._join(gap)

    def is_empty(self) -> bool:
        """Return whether every interval was taken."""
        return not self._open
