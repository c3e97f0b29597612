"""The cascades that runs recorded, and those that are computed from liquidations where none did."""

import math
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from msgspec import DecodeError, Struct, ValidationError, json

from liqtape.cascades.cascade import Cascade
from liqtape.engine.levels.episodes import DAY_MS
from liqtape.errors import ConfigurationError
from liqtape.events import Gap, Liquidation
from liqtape.history.log.database import open_for_reading
from liqtape.history.log.levelseed import TAUGHT_DAYS
from liqtape.history.query.rowsource import RowSource
from liqtape.pipeline.rerun import FeedMark, feed_marks

__all__ = [
    "CascadeFinder",
    "PastCascades",
    "cascade_columns",
    "computed_cascades",
    "past_cascades",
    "recorded_cascades",
]

CascadeFinder = Callable[[Sequence[Liquidation], Sequence[FeedMark], Sequence[Gap] | None], list[Cascade]]
"""Finds the cascades in liquidations that are in the order of their time, with the marks of feeds, and gaps."""

_CASCADES_VERSION = 3  # of the tables
_MOST_LEARNED = 100_000  # events before the span: 10 s on a slow core
_AFTER_MS = 2 * 3_600_000
_COLUMNS = ("venue", "instrument", "symbol", "side", "price", "price_kind", "quantity", "notional_usd", "event_ms")
_PLAIN = (
    "scope name side level detector begin_ms detected_ms peak_ms end_ms events usd peak_usd_60s times_usual move_of "
    "move_during move_hour_after share_observed is_cut part_of id why"
).split()


class PastCascades(Struct, frozen=True):
    """Recorded cascades, the earliest first; runs recorded theirs from `since_ms` on, None where none ever did."""

    cascades: Sequence[Cascade]
    since_ms: int | None


def recorded_cascades(directory: Path, from_ms: int, until_ms: int) -> PastCascades:
    """Return what runs recorded of cascades that reach into (from, until].

    Raises ConfigurationError where the log cannot be read.
    """
    try:
        with closing(open_for_reading(directory.expanduser())) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version < _CASCADES_VERSION:
                return PastCascades((), None)
            since = connection.execute("SELECT value FROM meta WHERE key = 'cascades_since_ms'").fetchone()
            rows = connection.execute(
                "SELECT record FROM cascades WHERE last_ms > ? AND begin_ms <= ? ORDER BY begin_ms, id",
                (from_ms, until_ms),
            ).fetchall()
    except sqlite3.Error as error:
        raise ConfigurationError(f"history: {directory} cannot be read: {error}") from error
    decoder = json.Decoder(Cascade)
    try:
        return PastCascades([decoder.decode(record) for (record,) in rows], None if since is None else since[0])
    except (DecodeError, ValidationError) as error:
        raise ConfigurationError(f"history: {directory}: a cascade there cannot be read: {error}") from error


def past_cascades(
    directory: Path | None, rows: RowSource, finder: CascadeFinder, from_ms: int, until_ms: int
) -> tuple[list[Cascade], int | None]:
    """Return the cascades of a span, and up to when they had to be computed: None where all of it was recorded.

    `directory` is that of the log, None for a server, which has liquidations only.
    """
    recorded = PastCascades((), None) if directory is None else recorded_cascades(directory, from_ms, until_ms)
    since_ms = until_ms if recorded.since_ms is None else min(recorded.since_ms, until_ms)
    if from_ms >= since_ms or not rows.events(from_ms, since_ms, None, None, ("event_ms",))["event_ms"]:
        return list(recorded.cascades), None
    known = [(one.name, one.begin_ms, one.last_ms) for one in recorded.cascades]
    computed = [
        one
        for one in computed_cascades(rows, finder, from_ms, since_ms)
        if not any(name == one.name and one.begin_ms <= last and begin <= one.last_ms for name, begin, last in known)
    ]
    return sorted([*computed, *recorded.cascades], key=lambda one: (one.begin_ms, one.id)), since_ms


def computed_cascades(rows: RowSource, finder: CascadeFinder, from_ms: int, until_ms: int) -> list[Cascade]:
    """Return the cascades that reach into (from, until], from liquidations, coverage and gaps.

    Levels learn from the 30 days before, 100,000 liquidations at most. What follows within two hours is looked at as
    well, so that cascades have their end and the hour after it.
    """
    learned_ms = from_ms - round(TAUGHT_DAYS * DAY_MS)
    columns = rows.events(learned_ms, until_ms + _AFTER_MS, None, None, _COLUMNS)
    times = columns["event_ms"]
    before = sum(at_ms <= from_ms for at_ms in times)
    first = max(0, before - _MOST_LEARNED)
    begin_ms = learned_ms if first == 0 else int(times[first]) - 1
    kept = zip(*(columns[name][first:] for name in _COLUMNS), strict=True)
    events = [Liquidation(*_priced(row)) for row in kept]
    spells = rows.coverage(begin_ms, until_ms + _AFTER_MS)
    marks = feed_marks(
        (venue, max(up_ms, begin_ms), down_ms)
        for venue, up_ms, down_ms in zip(spells["venue"], spells["up_ms"], spells["down_ms"], strict=True)
    )
    gaps = [Gap(*row) for row in zip(*rows.gaps(begin_ms, until_ms + _AFTER_MS).values(), strict=True)]
    found = finder(events, marks, gaps if marks else None)
    return [cascade for cascade in found if cascade.last_ms > from_ms and cascade.begin_ms <= until_ms]


def _priced(row: tuple[Any, ...]) -> tuple[Any, ...]:
    venue, instrument, symbol, side, price, *rest = row
    return venue, instrument, symbol, side, math.nan if price is None else price, *rest


def cascade_columns(cascades: Sequence[Cascade]) -> Mapping[str, list[Any]]:
    """Return cascades as plain columns: what has parts of its own is told by its first, its number or its length."""
    columns: dict[str, list[Any]] = {name: [getattr(one, name) for one in cascades] for name in _PLAIN}
    columns["peak_count_60s"] = [one.peak_count_60s for one in cascades]
    columns["largest_instrument"] = [one.instruments[0].name if one.instruments else None for one in cascades]
    columns["instruments_total"] = [one.instruments_total for one in cascades]
    columns["raised_total"] = [len(one.raised) for one in cascades]
    columns["largest_venue"] = [one.venues[0].name if one.venues else None for one in cascades]
    columns["venues_total"] = [len(one.venues) for one in cascades]
    leads = [one.lead for one in cascades]
    columns["leader"] = [None if lead is None else lead.venue for lead in leads]
    columns["lead_seconds"] = [None if lead is None else lead.lead_ms / 1000 for lead in leads]
    columns["lead_error_seconds"] = [None if lead is None else lead.error_ms / 1000 for lead in leads]
    columns["gaps_total"] = [None if one.gaps is None else len(one.gaps) for one in cascades]
    return columns
