"""Totals of streams over past events, and their rows of equal steps, without any library."""

from collections.abc import Collection, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import asdict

from liqtape.errors import ConfigurationError
from liqtape.history.query.rowsource import Columns, RowSource
from liqtape.history.query.steps import EventSums, StepRow
from liqtape.history.query.watchedtime import WatchedTime
from liqtape.money import MICRO
from liqtape.venues import VENUES
from liqtape.venues.base import is_partial

__all__ = ["PastStreams", "Peak", "highest_of_steps", "series", "totals"]

Apart = Literal["instrument", "venue"]

_WINDOW_COLUMNS = ("event_ms", "venue", "instrument", "side", "notional_usd")
_BACK_MS = 20_000  # of the acceleration
_EVER_MS = 1 << 62
_MOST_ROWS = 2_000_000
_PARTIAL = frozenset(name for name, venue in VENUES.items() if is_partial(venue))


class _Stream:
    """The events of one stream, and the venues it depends on."""

    def __init__(self, name: str | None, columns: Columns, depends: Collection[str]) -> None:
        self.name, self.venues = name, frozenset(depends)
        self.times_ms: list[int] = columns["event_ms"]
        self.usd: list[float | None] = columns["notional_usd"]
        self.sums = EventSums(self.times_ms, self.usd, columns["side"])
        self.is_partial = not _PARTIAL.isdisjoint(self.venues)


class PastStreams:
    """The events of an interval, as one stream or apart, with what its first windows reach back to."""

    def __init__(
        self,
        source: RowSource,
        span: tuple[int, int],
        selection: tuple[str | None, str | None],
        by: Apart | None,
        reach_s: int = 0,
    ) -> None:
        self.selection, self.by = selection, by
        instrument, venue = selection
        begin_ms = span[0] - max(1000 * reach_s, _BACK_MS)
        events = source.events(begin_ms, span[1], instrument, venue, _WINDOW_COLUMNS)
        spells = source.coverage(-_EVER_MS, _EVER_MS)
        self.watched = WatchedTime(
            (name, up_ms, _EVER_MS if down_ms is None else down_ms)
            for name, up_ms, down_ms in zip(*(spells[key] for key in ("venue", "up_ms", "down_ms")), strict=True)
        )
        seen = set(events["venue"])
        if by is not None:
            self.streams = [_Stream(name, part, set(part["venue"])) for name, part in _parted(events, by)]
        elif venue is not None:
            self.streams = [_Stream(None, events, {venue})]
        elif instrument is not None and seen:
            self.streams = [_Stream(None, events, seen)]
        else:
            self.streams = [_Stream(None, events, {*seen, *self.watched.concerned(begin_ms, span[1])})]

    def named(self, stream: _Stream) -> dict[str, str | None]:
        """What a row says of whom it is about; None for all."""
        names = dict(zip(("instrument", "venue"), self.selection, strict=True))
        return names if self.by is None else names | {self.by: stream.name}


def series(past: PastStreams, steps: Sequence[int], window: int | None) -> Columns:
    """Return a row for each step between two edges, over the step itself or over a `window` of seconds at its end.

    What nobody watched is None. Streams that are apart have rows only where they have events.
    """
    suffix = "" if window is None else f"_{window}s"
    if len(steps) * len(past.streams) > _MOST_ROWS:
        raise ConfigurationError(
            f"{len(steps) - 1:,} steps of {len(past.streams):,} streams are more than {_MOST_ROWS:,} rows: ask for "
            "longer steps, or a shorter span"
        )
    rows: list[dict[str, Any]] = []
    for begin_ms, until_ms in pairwise(steps):
        for stream in past.streams:
            from_ms = begin_ms if window is None else until_ms - 1000 * window
            row = stream.sums.row(from_ms, until_ms)
            if past.by is None or stream.sums.count(begin_ms, until_ms):
                head = {"from_ms": begin_ms, "at_ms": until_ms, **past.named(stream)}
                rows.append(head | _shown(past, stream, row, (from_ms, until_ms), suffix))
    names = ("from_ms", "at_ms", "instrument", "venue", *_names(suffix))
    return {name: [row[name] for row in rows] for name in names}


def _names(suffix: str) -> list[str]:
    plain = {"acceleration", "acceleration_se"}
    fields = [field if field in plain else f"{field}{suffix}" for field in StepRow.__struct_fields__]
    return [*fields, f"coverage{suffix}", "partial"]


def _shown(past: PastStreams, stream: _Stream, row: StepRow, span: tuple[int, int], suffix: str) -> dict[str, Any]:
    """The row, whose numbers are None where nobody watched."""
    share = past.watched.share(stream.venues, *span)
    is_dark = not row.event_count and past.watched.nobody(stream.venues, *span)
    values = [None if is_dark else value for value in asdict(row).values()]
    partial = stream.is_partial or (share is not None and share < 1)
    return dict(zip(_names(suffix), (*values, share, partial), strict=True))


class Peak(Struct, frozen=True):
    """The most liquidations in a window that ended within (from_ms, until_ms]; None where nobody watched."""

    from_ms: int
    until_ms: int
    count: int | None


def highest_of_steps(past: PastStreams, steps: Sequence[int], window: int) -> list[Peak]:
    """Return the fullest window of the first stream in each step; the one it begins with counts as well."""
    stream = past.streams[0]
    peaks: list[Peak] = []
    for begin_ms, until_ms in pairwise(steps):
        first = stream.sums.count(begin_ms - 1000 * window, begin_ms)
        count = max((count for _, count, _ in stream.sums.highest(begin_ms, until_ms, window)), default=0)
        is_dark = not count and past.watched.nobody(stream.venues, begin_ms, until_ms)
        peaks.append(Peak(begin_ms, until_ms, None if is_dark else max(first, count)))
    return peaks


def totals(past: PastStreams, span: tuple[int, int], window: int) -> Columns:
    """Return a row for each stream with an event: totals, its largest event, its highest rates after any event."""
    rows = [_total(past, stream, span, window) for stream in past.streams]
    names = rows[0] if rows else _total(past, _Stream(None, {key: [] for key in _WINDOW_COLUMNS}, ()), span, window)
    found = [row for row in rows if row["event_count"]]
    if past.by is not None:
        found.sort(key=itemgetter(past.by))
        found.sort(key=itemgetter("total_value_usd"), reverse=True)
    return {name: [row[name] for row in found] for name in names}


def _total(past: PastStreams, stream: _Stream, span: tuple[int, int], window: int) -> dict[str, Any]:
    row = stream.sums.row(*span)
    inside = [value for at_ms, value in zip(stream.times_ms, stream.usd, strict=True) if span[0] < at_ms <= span[1]]
    peaks = list(stream.sums.highest(*span, window))
    count, first_ms = max(((count, -at_ms) for at_ms, count, _ in peaks), default=(0, 0))
    share = past.watched.share(stream.venues, *span)
    return {
        **past.named(stream),
        "event_count": row.event_count,
        "unsized": inside.count(None),
        "total_value_usd": row.total_value_usd,
        "long_count": row.long_count,
        "long_usd": row.long_usd,
        "short_count": row.short_count,
        "short_usd": row.short_usd,
        "largest_usd": max((value for value in inside if value is not None), default=None),
        f"highest_velocity_{window}s": count / window,
        "highest_velocity_ms": -first_ms,
        f"highest_usd_velocity_{window}s": max((micro for _, _, micro in peaks), default=0) / MICRO / window,
        "highest_acceleration": max((stream.sums.acceleration(at_ms)[0] for at_ms, _, _ in peaks), default=0.0),
        "coverage": share,
        "partial": stream.is_partial or (share is not None and share < 1),
    }


def _parted(events: Columns, by: Apart) -> list[tuple[str, Columns]]:
    """The events of each stream, by its name."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(events[by]):
        places.setdefault(name, []).append(place)
    return [
        (name, {key: [column[place] for place in places[name]] for key, column in events.items()})
        for name in sorted(places)
    ]
