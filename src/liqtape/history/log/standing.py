"""What stands of feeds, gaps and states, so that a log which is begun anew can go on from there."""

from collections.abc import Iterable

from liqtape.events import NO_LIST
from liqtape.history.log.journal import FeedDownEntry, FeedUpEntry, GapEntry, JournalEntry, KnownUntilEntry, StateEntry

__all__ = ["Standing"]

_BEYOND_MS = 2_000  # between two times that a venue's progress is noted, and more


class Standing:
    """Follows the records that are written."""

    def __init__(self) -> None:
        self._live: set[str] = set()
        self._reached_ms: dict[str, int] = {}
        self._gaps: dict[tuple[str, int], GapEntry] = {}
        self._states: dict[str, StateEntry] = {}

    def take(self, records: Iterable[JournalEntry]) -> None:
        """Take note of what was written, in its order."""
        for record in records:
            if isinstance(record, KnownUntilEntry):
                self._reached_ms[record.venue] = record.at_ms
            elif isinstance(record, StateEntry):
                self._states[record.venue] = record
            elif isinstance(record, FeedUpEntry):
                self._live.add(record.venue)
                for key in [k for k, gap in self._gaps.items() if k[0] == record.venue and gap.reason != NO_LIST]:
                    del self._gaps[key]
            elif isinstance(record, FeedDownEntry):
                self._live.discard(record.venue)
            elif isinstance(record, GapEntry):
                self._gaps.pop((record.venue, record.from_ms), None)
                if record.until_ms is None:
                    self._gaps[record.venue, record.from_ms] = record

    def records(self, now_ms: int) -> list[JournalEntry]:
        """Give the records a log begins with that has nothing from before `now_ms`, by the clock of this machine.

        Feeds that live are covered from there on, or from beyond what their venue is known to have sent by then: that
        went into the log that is gone.
        """
        live = [FeedUpEntry(v, max(now_ms, self._reached_ms.get(v, 0) + _BEYOND_MS)) for v in sorted(self._live)]
        states = [StateEntry(now_ms, state.venue, state.state, state.detail) for state in self._states.values()]
        return [*live, *self._gaps.values(), *states]
