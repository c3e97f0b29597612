"""What levels learn from a history that kept no states: the same looks as live, at its events of up to 30 days."""

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from liqtape.engine import VelocityEngine
from liqtape.engine.levels.episodes import DAY_MS, StreamState
from liqtape.engine.levels.returnperiods import MARKET_KEY, StreamKey
from liqtape.events import Liquidation, Side
from liqtape.history.archive.soundfiles import SEALED_COLUMNS, SealedFile, SoundFiles
from liqtape.history.log.database import open_for_reading, transaction
from liqtape.history.log.levelstates import Parts
from liqtape.pipeline.rerun import Rerun, feed_marks

__all__ = ["TAUGHT_DAYS", "LevelSeed", "learn_levels"]

TAUGHT_DAYS = 30.0
"""What came before weighs less than a quarter, and a start has to end."""

_MOST_EVENTS = 100_000  # 10 s on a slow core; the newest of more
_SECONDS = 15.0
_BATCH_MS = 6 * 3_600_000
_MINUTE_MS = 60_000
_Row = tuple[int, str, str, Side | None, float | None]


class LevelSeed(Struct, frozen=True):
    """The states that the events from `from_ms` on gave; `days` is the market's watched time, decayed."""

    states: Mapping[StreamKey, StreamState]
    from_ms: int
    until_ms: int
    events: int

    @property
    def days(self) -> float:
        """Return the decayed watched days of the market."""
        market = self.states.get(MARKET_KEY)
        return 0.0 if market is None else market.days


def learn_levels(
    directory: Path,
    now_ms: int,
    engine: VelocityEngine,
    target: Parts | None = None,
    *,
    most_events: int = _MOST_EVENTS,
    seconds: float = _SECONDS,
) -> LevelSeed:
    """Look at the log's newest events before `now_ms`, in event-time order, with its coverage as feed up and down.

    Only at what a run that watches `target` (None: whatever comes) would have seen. `engine`, which has to be new and
    to give levels by return period, is used up. After `seconds` what was learned by then counts. Files are read with
    the extra `analysis`; without it events begin behind them. Raises as `open_for_reading`, and sqlite3.Error or
    OSError where the disk fails.
    """
    deadline = time.monotonic() + seconds
    archive = _Archive(directory)
    with closing(open_for_reading(directory)) as connection:
        begin_ms = _begin_ms(connection, now_ms - round(TAUGHT_DAYS * DAY_MS), most_events)
        spells = connection.execute(
            "SELECT venue, max(up_ms, ?1), coalesce(down_ms, up_ms) FROM coverage WHERE down_ms > ?1 AND up_ms < ?2",
            (begin_ms, now_ms),
        ).fetchall()
        rerun = Rerun(engine, feed_marks(spell for spell in spells if target is None or spell[0] in target))
        events = until_ms = 0
        minute_ms = begin_ms // _MINUTE_MS * _MINUTE_MS
        for from_ms in range(begin_ms, now_ms, _BATCH_MS):
            until_ms = min(from_ms + _BATCH_MS, now_ms)
            for event in _events(connection, archive, from_ms, until_ms):
                if target is not None and not _is_target(event, target):
                    continue
                while minute_ms + _MINUTE_MS < event.event_ms and minute_ms < rerun.newest_ms:
                    minute_ms += _MINUTE_MS  # what a mean minute brings is counted by the minute
                    rerun.tick(minute_ms)
                minute_ms = max(minute_ms, (event.event_ms - 1) // _MINUTE_MS * _MINUTE_MS)
                rerun.add(event)
                events += 1
            if time.monotonic() > deadline:
                break
        rerun.tick(until_ms if spells else max(rerun.newest_ms, minute_ms))
    levels = engine.levels
    states = {} if levels is None else levels.end(max(rerun.newest_ms, 0))
    return LevelSeed(states, begin_ms, until_ms, events)


def _is_target(event: Liquidation, target: Parts) -> bool:
    return event.venue in target and (not target[event.venue] or event.instrument in target[event.venue])


def _begin_ms(connection: sqlite3.Connection, begin_ms: int, most_events: int) -> int:
    """Return where the newest events, so many of them at most, begin; not before `begin_ms`."""
    (left,) = connection.execute("SELECT count(*) FROM unsealed_events").fetchone()
    left = most_events - left
    if left < 0:
        (at_ms,) = connection.execute(
            "SELECT event_ms FROM unsealed_events ORDER BY event_ms DESC LIMIT 1 OFFSET ?", (most_events - 1,)
        ).fetchone()
        return max(begin_ms, int(at_ms) - 1)
    files = connection.execute(
        "SELECT rows, until_ms FROM partitions WHERE kind = 'events' AND until_ms > ? ORDER BY until_ms DESC",
        (begin_ms,),
    ).fetchall()
    can_read = _can_read_files()
    for rows, until_ms in files:
        left -= rows
        if left < 0 or not can_read:
            return max(begin_ms, int(until_ms))
    first = connection.execute(
        "SELECT min(first_ms) FROM (SELECT min(from_ms) AS first_ms FROM partitions WHERE kind = 'events' "
        "UNION ALL SELECT min(event_ms) FROM unsealed_events UNION ALL SELECT min(up_ms) FROM coverage)"
    ).fetchone()[0]
    return begin_ms if first is None else max(begin_ms, int(first) - 1)


def _can_read_files() -> bool:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        return False
    return True


def _events(connection: sqlite3.Connection, archive: "_Archive", from_ms: int, until_ms: int) -> Iterator[Liquidation]:
    """Yield the events with a time in (from, until], in order; a file that retention removed meanwhile is left out."""
    with transaction(connection, "DEFERRED"):
        rows: list[_Row] = connection.execute(
            "SELECT event_ms, venue, instrument, side, notional_usd FROM unsealed_events "
            "WHERE event_ms > ? AND event_ms <= ? ORDER BY seq",
            (from_ms, until_ms),
        ).fetchall()
        files = connection.execute(
            f"SELECT {SEALED_COLUMNS} FROM partitions "
            "WHERE kind = 'events' AND until_ms > ? AND from_ms <= ? ORDER BY first_seq",
            (from_ms, until_ms),
        ).fetchall()
    sealed: list[_Row] = []
    if files and _can_read_files():
        for row in files:
            sealed += archive.read(SealedFile(*row), from_ms, until_ms)
    for at_ms, venue, instrument, side, usd in sorted([*sealed, *rows], key=lambda row: row[0]):
        yield Liquidation(venue, instrument, instrument, side, 0.0, "fill", None, usd, at_ms)


class _Archive:
    """The sealed files, without what is damaged or gone."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._sound = SoundFiles(directory)

    def read(self, file: SealedFile, from_ms: int, until_ms: int) -> Sequence[_Row]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = ["event_ms", "venue", "instrument", "side", "notional_usd"]
        chosen = [("event_ms", ">", from_ms), ("event_ms", "<=", until_ms)]
        try:
            if self._sound.complaint(file):
                return ()
            path = self._directory / file.path
            table = pq.read_table(path, columns=names, filters=chosen, partitioning=None, use_threads=False)
        except (OSError, pa.ArrowException):
            return ()
        return list(zip(*(table[name].to_pylist() for name in names), strict=True))
