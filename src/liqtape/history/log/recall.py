"""What a new process reads back of the last: so that windows go on where they were, and nothing is news twice."""

import math
import sqlite3
from collections.abc import Sequence

from msgspec import Struct

from liqtape.events import NO_LIST, Gap, Liquidation
from liqtape.history.log.database import transaction
from liqtape.history.log.journal import AWAY
from liqtape.history.log.layout import EVENT_COLUMNS
from liqtape.pipeline.seeding import WINDOW_MS

__all__ = ["SELECTED", "WINDOW_MS", "RecalledRun", "end_last_run", "liquidation_of_row", "recall"]

IDENTITIES_MS = 1_200_000
"""How far back repeats are known: venues repeat at subscribe, and are backfilled after an outage."""

_MOST_EVENTS = 1_000_000  # as many as a venue's identities are kept
_HOUR_MS = 3_600_000
SELECTED = ", ".join(EVENT_COLUMNS[1:])


class RecalledRun(Struct, frozen=True):
    """`events` by event time, from where repeats are to be known on, the newest million of them at most.

    `feeds` are (venue, up, down), oldest first. `gaps` last until each venue is live again. `alive_ms` is when the last
    run still lived, 0 where there was none.
    """

    events: Sequence[Liquidation]
    feeds: Sequence[tuple[str, int, int]]
    gaps: Sequence[Gap]
    alive_ms: int


def liquidation_of_row(row: Sequence[object]) -> Liquidation:
    """Return the event of a row in the order of the columns behind `schema`; no number as price is null there."""
    venue, instrument, symbol, side, price, *rest = row
    return Liquidation(venue, instrument, symbol, side, math.nan if price is None else price, *rest)  # type: ignore[arg-type]


def end_last_run(connection: sqlite3.Connection) -> None:
    """Close what a run that ended left open: its feeds were up as far as was logged, then every venue has a gap.

                      last run                       killed     nobody runs       this run
        coverage      up_ms ================ down_ms    x
        gap (away)                           |-------------------------------------- ... until the venue is up
        gap (no list)        |------- alive_ms

    `down_ms` is how far the venue's own events were known (`reached_ms <venue>`), else the run's last sign of life
    (`alive_ms`). A venue that had a gap when the run ended keeps that one.
    """
    with transaction(connection):
        connection.execute(
            "UPDATE coverage SET down_ms = max(up_ms, "
            "(SELECT value FROM meta WHERE key IN ('alive_ms', 'reached_ms ' || venue) ORDER BY key DESC LIMIT 1)) "
            "WHERE down_ms IS NULL"
        )
        connection.execute(  # it is no outage, and must not stand for the one that begins here
            "UPDATE gaps SET until_ms = max(from_ms, (SELECT value FROM meta WHERE key = 'alive_ms')) "
            "WHERE until_ms IS NULL AND reason = ?",
            (NO_LIST,),
        )
        connection.execute(
            "INSERT INTO gaps SELECT venue, max(down_ms), NULL, ?, 0 FROM coverage "
            "WHERE venue NOT IN (SELECT venue FROM gaps WHERE until_ms IS NULL) GROUP BY venue ON CONFLICT DO NOTHING",
            (AWAY,),
        )
        connection.execute(  # a kill ended them, so they end where they were last seen, and say so
            "UPDATE cascades SET end_ms = last_ms, "
            "record = json_set(record, '$.end_ms', last_ms, '$.is_cut', json('true')) WHERE end_ms IS NULL"
        )


def recall(connection: sqlite3.Connection, now_ms: int) -> RecalledRun:
    """Read back what matters at `now_ms`; the log must not be written to before."""
    (alive_ms,) = connection.execute("SELECT value FROM meta WHERE key = 'alive_ms'").fetchone()
    # Until the venues' clocks are known ours may be ahead: then the end of the last run is nearer than it seems.
    horizon_ms = (min(now_ms, alive_ms) if alive_ms else now_ms) - IDENTITIES_MS
    # What happened within the horizon was logged behind the last hour that ended before it.
    (seq,) = connection.execute(
        "SELECT coalesce(max(last_seq), 0) FROM hours WHERE hour_ms <= ?", (horizon_ms - 2 * _HOUR_MS,)
    ).fetchone()
    rows = connection.execute(
        # By the receipt as well: a venue's clock may be an hour slow.
        f"SELECT {SELECTED} FROM (SELECT * FROM unsealed_events WHERE seq > ? "
        f"AND max(event_ms, coalesce(receive_ms, 0)) > ? ORDER BY seq DESC LIMIT {_MOST_EVENTS}) "
        "ORDER BY event_ms, seq",
        (seq, horizon_ms),
    )
    feeds = connection.execute(
        "SELECT venue, up_ms, down_ms FROM coverage WHERE down_ms > ? ORDER BY up_ms", (now_ms - WINDOW_MS,)
    )
    gaps = connection.execute("SELECT venue, from_ms, until_ms, reason FROM gaps WHERE until_ms IS NULL")
    return RecalledRun(
        [liquidation_of_row(row) for row in rows], feeds.fetchall(), [Gap(*row) for row in gaps], alive_ms
    )
