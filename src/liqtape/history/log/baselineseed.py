"""What a new process may learn of the past before its feeds are up: final counts, and when somebody watched."""

import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from liqtape.engine.baseline.binstatistics import SLOT_MS, WIDTHS
from liqtape.engine.baseline.liveintervals import LiveIntervals
from liqtape.engine.baseline.surprise import FINAL_MS
from liqtape.history.archive.soundfiles import SEALED_COLUMNS, SealedFile, SoundFiles
from liqtape.history.log.database import open_for_reading, transaction

__all__ = ["LEARN_HOURS", "BaselineSeed", "read_baseline_seed"]

LEARN_HOURS = 48.0
"""Eight half-lives of the baseline: what came before weighs less than half a percent."""

_MOST_COUNTS = 150_000  # 2 s to read and to feed, on a slow core
_SECONDS = 1.0
_BIN_MS = 1000 * WIDTHS[-1]
_HOUR_MS = 3_600_000

Spell = tuple[str, int, int]
Count = tuple[int, str, str, int]


class BaselineSeed(Struct, frozen=True):
    """All in [`from_ms`, `until_ms`): `feeds` are (venue, up, down), oldest first, `backfilled` the gaps backfilled
    since.

    `counts` are (begin in ms, venue, instrument, liquidations) of slots of ten seconds, in order of time.
    """

    from_ms: int
    until_ms: int
    feeds: Sequence[Spell]
    backfilled: Sequence[Spell]
    counts: Sequence[Count]

    @property
    def hours(self) -> float:
        """How long at least one venue was watched."""
        watch = LiveIntervals((begin, end) for _, begin, end in [*self.feeds, *self.backfilled])
        return watch.live_ms(self.from_ms, self.until_ms) / _HOUR_MS

    def only(self, target: Mapping[str, Collection[str]]) -> "BaselineSeed":
        """Keep what is of these instruments (none named: all) of these venues: what a run that sees no more may learn.

        Another venue's absence would be a gap, and its events missing ever after.
        """
        return replace(
            self,
            feeds=[spell for spell in self.feeds if spell[0] in target],
            backfilled=[spell for spell in self.backfilled if spell[0] in target],
            counts=[
                count
                for count in self.counts
                if count[1] in target and (not target[count[1]] or count[2] in target[count[1]])
            ],
        )


def read_baseline_seed(
    directory: Path, now_ms: int, *, most_counts: int = _MOST_COUNTS, seconds: float = _SECONDS
) -> BaselineSeed:
    """Read the last 48 h of the log in `directory`, or as much as fits into `most_counts` and `seconds`.

    Begins with a whole bin of every window, behind all that was not read: a slot whose events nobody read must not pass
    for a silent one. Raises as `open_for_reading`, and sqlite3.Error or OSError where the disk fails.
    """
    deadline = time.monotonic() + seconds
    until_ms = (now_ms - FINAL_MS) // SLOT_MS * SLOT_MS
    begin_ms = until_ms - round(LEARN_HOURS * _HOUR_MS)
    with closing(open_for_reading(directory)) as connection, transaction(connection, "DEFERRED"):
        spells = connection.execute(
            "SELECT venue, up_ms, coalesce(down_ms, up_ms) FROM coverage WHERE down_ms > ? ORDER BY up_ms", (begin_ms,)
        ).fetchall()
        gaps = connection.execute(
            "SELECT venue, from_ms, until_ms FROM gaps WHERE filled AND until_ms > ? ORDER BY from_ms", (begin_ms,)
        ).fetchall()
        newest, missed_ms = _unsealed(connection, (begin_ms, until_ms), most_counts)
        files = connection.execute(
            f"SELECT {SEALED_COLUMNS} FROM partitions WHERE kind = 'events' AND until_ms >= ? AND from_ms < ? "
            "ORDER BY until_ms DESC",
            (begin_ms, until_ms),
        ).fetchall()
        counts, sound = Counter(newest), SoundFiles(directory)
        for file in (SealedFile(*row) for row in files):
            if file.until_ms < missed_ms:
                break
            is_enough = len(counts) >= most_counts or time.monotonic() > deadline
            found = None if is_enough or sound.damaged([file]) else _sealed(directory / file.path)
            if found is None:
                missed_ms = file.until_ms + 1
                break
            counts.update(found)
    # Those that touch the beginning are whole: what was not read lies before it.
    from_ms = -(-max(begin_ms, missed_ms) // _BIN_MS) * _BIN_MS
    kept = sorted(key for key in counts if from_ms <= key[0] < until_ms)
    return BaselineSeed(
        from_ms, until_ms, _within(spells, from_ms), _within(gaps, from_ms), [(*key, counts[key]) for key in kept]
    )


def _within(spells: Sequence[Spell], from_ms: int) -> list[Spell]:
    return [(venue, max(begin, from_ms), end) for venue, begin, end in spells if end > from_ms]


def _unsealed(
    connection: sqlite3.Connection, span: tuple[int, int], limit: int
) -> tuple[dict[tuple[int, str, str], int], int]:
    """Count what is in no file yet, the newest slots of more than `limit`; return also where what was left out ends."""
    rows = connection.execute(
        f"SELECT event_ms / {SLOT_MS} * {SLOT_MS} AS slot, venue, instrument, count(*) FROM unsealed_events "
        "WHERE event_ms >= ? AND event_ms < ? AND seq > (SELECT coalesce(max(last_seq), 0) FROM hours "
        "WHERE hour_ms <= ?) GROUP BY slot, venue, instrument ORDER BY slot DESC LIMIT ?",
        (*span, span[0] - 2 * _HOUR_MS, limit),
    ).fetchall()
    left_ms = rows[-1][0] + SLOT_MS if len(rows) == limit else span[0]
    return {(at_ms, venue, instrument): count for at_ms, venue, instrument, count in rows}, left_ms


def _sealed(path: Path) -> Counter[tuple[int, str, str]] | None:
    """Count what is in a sealed file; None where it cannot be read: retention was quicker, or the extra is absent."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        return None
    names = ["event_ms", "venue", "instrument"]
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(names, use_threads=False)
    except (OSError, pa.ArrowException):
        return None
    times, venues, instruments = (table[name].to_pylist() for name in names)
    slots = [at_ms // SLOT_MS * SLOT_MS for at_ms in times]
    return Counter(zip(slots, venues, instruments, strict=True))
