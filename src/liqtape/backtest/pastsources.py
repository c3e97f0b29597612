"""Where a backtest reads: recordings, histories and event files, all as one table of liquidations and their spans."""

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path

from msgspec import Struct

from liqtape.errors import ConfigurationError
from liqtape.eventfiles.coveragefile import load_coverage
from liqtape.eventfiles.eventtable import EventRow, EventTable
from liqtape.eventfiles.readers import load
from liqtape.history.log.layout import DATABASE
from liqtape.history.query.watchedtime import Spell, joined_spells
from liqtape.pipeline.listener import Listener
from liqtape.recording.playback import Playback
from liqtape.recording.segments import is_recording

__all__ = ["SourceRead", "Span", "read_source", "spans_joined"]

_EVER_MS = 1 << 62
_STEP_MS = 600_000
_COLUMNS = EventRow._fields[:-1]  # what a history has of a row
_values_of = attrgetter(*_COLUMNS)

Span = Spell
"""(begin, end) in ms."""


class SourceRead(Struct, frozen=True):
    """All liquidations of a source, and (begin, end) in ms of when at least one of its venues was watched."""

    table: EventTable
    spans: Sequence[Span]


def read_source(path: Path, coverage: Path | None) -> SourceRead:
    """Return what a path holds: a recording, the directory of a history, event files.

    Event files know nothing of their coverage: `coverage` does; without it all from first to last event was watched.
    """
    is_history = (path / DATABASE).exists()
    if coverage is not None and (is_history or is_recording(path)):
        what = "history" if is_history else "recording"
        raise ConfigurationError(f"--coverage {coverage}: a {what} says itself when its feeds were up")
    if is_history:
        return _of_history(path)
    if is_recording(path):
        return _of_recording(path)
    table = load(path)
    if coverage is not None:
        return SourceRead(table, spans_joined(load_coverage(coverage)))
    return SourceRead(table, _whole(table))


def spans_joined(spans: Iterable[Span]) -> list[Span]:
    """Return the spans in order, those that touch or overlap as one, and none that is empty."""
    return joined_spells(span for span in spans if span[0] < span[1])


def _whole(table: EventTable) -> list[Span]:
    return [(min(table.times_ms), max(table.times_ms))] if len(table) else []


def _of_history(path: Path) -> SourceRead:
    if find_spec("pyarrow") is None or find_spec("numpy") is None:
        from liqtape.history.query.rowsource import LogRows

        rows = LogRows(path)
        try:
            return _of_rows(rows.events(-_EVER_MS, _EVER_MS, None, None, _COLUMNS), rows.coverage(-_EVER_MS, _EVER_MS))
        finally:
            rows.close()
    import liqtape.history
    from liqtape.history.query.rowsource import ArrowRows

    with liqtape.history.open(path) as past:
        arrow = ArrowRows(past.source)
        return _of_rows(arrow.events(-_EVER_MS, _EVER_MS, None, None, _COLUMNS), arrow.coverage(-_EVER_MS, _EVER_MS))


def _of_rows(events: dict[str, list[object]], coverage: dict[str, list[int]]) -> SourceRead:
    table = EventTable()
    for row in zip(*(events[name] for name in _COLUMNS), strict=True):
        table.take(EventRow(*row))
    spans = spans_joined(zip(coverage["up_ms"], coverage["down_ms"], strict=True))
    return SourceRead(table, spans or _whole(table))


def _of_recording(path: Path) -> SourceRead:
    playback, table, watched = Playback(path), EventTable(), _Watched()
    pipeline = playback.open()
    pipeline.listeners.add(watched)
    until_ms = playback.began_ms
    is_over = False
    while not is_over:
        playback.advance(until_ms)
        for event in playback.take()[0]:
            table.take(EventRow(*_values_of(event)))
        is_over = playback.began_ms == 0  # nothing is due any more
        until_ms = max(until_ms + _STEP_MS, playback.began_ms)
    return SourceRead(table, watched.spans(max(table.times_ms, default=0)) or _whole(table))


class _Watched(Listener):
    """When a venue was covered, as the recorded run knew it."""

    __slots__ = ("_since", "_spells")

    def __init__(self) -> None:
        self._since: dict[str, int] = {}
        self._spells: dict[str, list[Span]] = {}

    def covered(self, venue: str, at_ms: int) -> None:
        self._since.setdefault(venue, at_ms)

    def uncovered(self, venue: str, at_ms: int) -> None:
        since_ms = self._since.pop(venue, None)
        if since_ms is not None:
            self._spells.setdefault(venue, []).append((since_ms, at_ms))

    def missed(self, venue: str, from_ms: int, until_ms: int) -> None:
        since_ms = self._since.get(venue)
        if since_ms is not None and from_ms >= since_ms:
            self._spells.setdefault(venue, []).append((since_ms, from_ms))
            self._since[venue] = until_ms

    def spans(self, last_ms: int) -> list[Span]:
        """Return the times in which some venue was covered; what is open ends with the last event."""
        for venue in list(self._since):
            self.uncovered(venue, last_ms)
        return spans_joined([spell for spells in self._spells.values() for spell in spells])
