"""What levels learned of each stream, kept in the log over restarts, without losing watched time to a kill.

    row written          killed                start
        |                  |                     |
        at_ms ------ watched, as `coverage` says  (not watched)
        D and bins        D and bins decay by it here, when they are read again

What a kill does lose is the peak of an episode that was open: one a stream at most.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from contextlib import closing
from pathlib import Path

import msgspec
from msgspec import Struct

from liqtape.engine.baseline.liveintervals import EVER_MS, LiveIntervals
from liqtape.engine.levels.episodes import DAY_MS, StreamState, combined, decayed
from liqtape.engine.levels.returnperiods import BREADTH_KEY, MARKET_KEY, ReturnPeriods, StreamKey
from liqtape.history.log.database import open_for_reading, transaction
from liqtape.history.log.journal import LevelStatesEntry

__all__ = ["KeptLevel", "LevelStateWriter", "Parts", "choose", "read_level_states"]

Parts = Mapping[str, Collection[str]]
"""What a stream is the sum of: venues, and of each the instruments that were asked for (none for all)."""

_SINCE_VERSION = 2


class KeptLevel(Struct, frozen=True):
    """The state of a stream as it was kept, and what the stream was the sum of."""

    state: StreamState
    parts: Parts


class LevelStateWriter:
    """Makes records of the states of a run that watches `target`."""

    def __init__(self, levels: ReturnPeriods | None, target: Parts) -> None:
        self._levels = levels
        self._target = {venue: sorted(instruments) for venue, instruments in target.items()}

    def record(self, states: Mapping[StreamKey, StreamState], at_ms: int) -> LevelStatesEntry | None:
        """Return the record of these states, None of none; a name that no venue can send is left out."""
        rows = []
        for key, state in states.items():
            parts, text = _encode(self._parts(key)), _encode(state)
            try:
                rows.append(msgspec.json.encode((key.venue or "", key.instrument or "", parts, text)))
            except UnicodeEncodeError:
                continue
        return LevelStatesEntry(at_ms, f"[{b','.join(rows).decode()}]") if rows else None

    def _parts(self, key: StreamKey) -> Parts:
        if key in {MARKET_KEY, BREADTH_KEY}:
            return self._target
        if key.instrument is None:
            venue = str(key.venue)
            return {venue: self._target.get(venue, [])}
        if key.venue is not None:
            return {key.venue: ()}
        venues = () if self._levels is None else self._levels.venues_of(key.instrument)
        return dict.fromkeys(sorted(venues), ())


def _encode(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return "{}"


def read_level_states(directory: Path) -> dict[StreamKey, KeptLevel]:
    """Read the states of the log in `directory`, with all watched time that was logged since; empty where none are.

    Raises as `open_for_reading`, and sqlite3.Error where the disk fails.
    """
    with closing(open_for_reading(directory)) as connection, transaction(connection, "DEFERRED"):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version < _SINCE_VERSION:
            return {}
        rows = connection.execute("SELECT venue, instrument, at_ms, parts, state FROM level_states").fetchall()
        since_ms = min((at_ms for _, _, at_ms, _, _ in rows), default=0)
        spells = connection.execute(
            "SELECT venue, up_ms, coalesce(down_ms, up_ms) FROM coverage WHERE down_ms > ?", (since_ms,)
        ).fetchall()
    watches: dict[frozenset[str], LiveIntervals] = {}
    kept: dict[StreamKey, KeptLevel] = {}
    for venue, instrument, at_ms, parts_text, text in rows:
        parts: Parts = json.loads(parts_text)
        venues = frozenset(parts)
        watch = watches.get(venues)
        if watch is None:
            live = ((up, down) for name, up, down in spells if name in venues)
            watch = watches[venues] = LiveIntervals(live)
        days = watch.live_ms(at_ms, EVER_MS) / DAY_MS
        state = decayed(msgspec.json.decode(text, type=StreamState), days)
        kept[StreamKey(venue or None, instrument or None)] = KeptLevel(state, parts)
    return kept


def choose(kept: Mapping[StreamKey, KeptLevel], target: Parts | None) -> dict[StreamKey, StreamState]:
    """Return what a run that watches `target` (None: whatever comes) begins with.

    A sum goes on from its own state if that was of nothing else and of all parts that have a state; otherwise (a venue
    was left out, or comes back) from those of its parts. The breadth has no parts.
    """
    if target is None:
        return {key: own.state for key, own in kept.items()}
    watched = {venue: sorted(instruments) for venue, instruments in target.items()}
    parts = {
        key: own.state
        for key, own in kept.items()
        if key.venue in watched
        and key.instrument is not None
        and (not watched[key.venue] or key.instrument in watched[key.venue])
    }
    states = dict(parts)
    anything: Parts = {venue: [] for venue in watched}
    by_instrument: dict[str, dict[str, StreamState]] = {}
    for key, state in parts.items():
        by_instrument.setdefault(str(key.instrument), {})[str(key.venue)] = state
    for instrument, of_venues in by_instrument.items():
        states[StreamKey(None, instrument)] = _sum(kept.get(StreamKey(None, instrument)), anything, of_venues)
    venues: dict[str, StreamState] = {}
    for venue, instruments in watched.items():
        own, of_instruments = kept.get(StreamKey(venue, None)), [s for key, s in parts.items() if key.venue == venue]
        if own is not None and _is_of(own, {venue: instruments}):
            venues[venue] = own.state
        elif of_instruments:
            venues[venue] = combined(of_instruments)
    states |= {StreamKey(venue, None): state for venue, state in venues.items()}
    if venues:
        states[MARKET_KEY] = _sum(kept.get(MARKET_KEY), watched, venues)
    breadth = kept.get(BREADTH_KEY)
    if breadth is not None and _is_of(breadth, watched):
        states[BREADTH_KEY] = breadth.state
    return states


def _sum(own: KeptLevel | None, watched: Parts, parts: Mapping[str, StreamState]) -> StreamState:
    if own is not None and _is_of(own, watched) and parts.keys() <= own.parts.keys():
        return own.state
    return combined(parts.values())


def _is_of(own: KeptLevel, watched: Parts) -> bool:
    """Return whether all of what the stream was the sum of is watched now, and no other part of it."""
    return all(venue in watched and _same(names, watched[venue]) for venue, names in own.parts.items())


def _same(some: Iterable[str], others: Iterable[str]) -> bool:
    return sorted(some) == sorted(others)
