"""Where the history lies: names of files, tables and columns. Writer and readers know nothing else of each other.

    DIR/log.sqlite                                              the newest hours, and the list of the files (WAL mode)
    DIR/events/date=2026-11-25/venue=bybit/000000000001-000000012345-5f0c21aa.parquet
    DIR/prices/date=2026-11-25/1790000000000-1790003599000-5f0c21aa.parquet
    DIR/gaps.parquet, DIR/coverage.parquet                      the whole tables, as of the last sealing
    DIR/lock, DIR/sealing.lock                                  held by the process that writes, that seals

Each event is in exactly one of two places, and SQLite says in which: in the files named in `partitions`, or in the view
`unsealed_events`. A reader takes both in one transaction and then opens the files; one that is gone by then was removed
by retention, and the reader starts again. A file that is not in `partitions` is no part of the history.
"""

import re
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "DATABASE",
    "EVENT_COLUMNS",
    "LOCK",
    "PRICE_COLUMNS",
    "SEALING_LOCK",
    "VERSION",
    "arrow_schema",
    "event_partition",
    "price_partition",
    "schema_sql",
    "snapshot_file",
    "span_of",
]

DATABASE = "log.sqlite"
LOCK = "lock"
SEALING_LOCK = "sealing.lock"
VERSION = 3
"""Of the tables, as `PRAGMA user_version`; a reader refuses a higher one."""

EVENT_COLUMNS = (
    "schema",
    "venue",
    "instrument",
    "symbol",
    "side",
    "price",
    "price_kind",
    "quantity",
    "notional_usd",
    "event_ms",
    "receive_ms",
    "id",
)
"""In this order in SQLite and Parquet, behind `seq`, which grows in the order the events were accepted, without ever
being used twice. `id` is empty where a wrapped stream gave none."""

PRICE_COLUMNS = ("bar_ms", "open", "high", "low", "close", "volume", "trades", "source")
"""BTC in USD(T), one second a bar, `bar_ms` its beginning; `volume` in the source's unit, null where it gives none."""

_LONGEST_FOLDER = 200
_NAME = re.compile(r"(\d+)-(\d+)-([0-9a-f]{8})\.parquet")

# `events` has no AUTOINCREMENT, which would cost a fifth of the single commits: its newest row is never deleted, so the
# next number is never one that was used. Index `identity` refuses repeats and finds times; with event_ms in front new
# keys go to its end, which makes it four times cheaper than with the venue in front.
_VERSION_1 = """
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    schema INTEGER NOT NULL,
    venue TEXT NOT NULL,
    instrument TEXT NOT NULL,
    symbol TEXT NOT NULL,
    side TEXT,
    price REAL,
    price_kind TEXT NOT NULL,
    quantity REAL,
    notional_usd REAL,
    event_ms INTEGER NOT NULL,
    receive_ms INTEGER,
    id TEXT NOT NULL
);
CREATE UNIQUE INDEX identity ON events (event_ms, venue, id) WHERE id <> '';
CREATE TABLE prices (
    bar_ms INTEGER NOT NULL,
    open REAL NOT NULL,
    high REAL NOT NULL,
    low REAL NOT NULL,
    close REAL NOT NULL,
    volume REAL,
    trades INTEGER NOT NULL,
    source TEXT NOT NULL,
    PRIMARY KEY (bar_ms, source)
) WITHOUT ROWID;
-- Where liquidations of a venue may be missing; until_ms is null while it lasts; filled: wholly back-filled afterwards.
CREATE TABLE gaps (
    venue TEXT NOT NULL,
    from_ms INTEGER NOT NULL,
    until_ms INTEGER,
    reason TEXT NOT NULL,
    filled INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (venue, from_ms)
) WITHOUT ROWID;
-- When a venue's feed was up; down_ms is null while it is.
CREATE TABLE coverage (
    venue TEXT NOT NULL,
    up_ms INTEGER NOT NULL,
    down_ms INTEGER,
    PRIMARY KEY (venue, up_ms)
) WITHOUT ROWID;
-- When accepted events could not be logged, and how many.
CREATE TABLE log_gaps (
    from_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    reason TEXT NOT NULL,
    events INTEGER NOT NULL
);
-- Changes of a venue's state, as seen once a second.
CREATE TABLE health (
    at_ms INTEGER NOT NULL,
    venue TEXT NOT NULL,
    state TEXT NOT NULL,
    detail TEXT NOT NULL
);
-- hour_ms: an hour by our clock that is over; last_seq: the last event logged in it.
CREATE TABLE hours (
    hour_ms INTEGER PRIMARY KEY,
    last_seq INTEGER NOT NULL
);
-- The sealed files: kind events or prices; path below DIR; first_seq and last_seq of the sealing, not of the file;
-- from_ms and until_ms are the first and last event_ms (bar_ms) in the file.
CREATE TABLE partitions (
    path TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    date TEXT NOT NULL,
    venue TEXT,
    first_seq INTEGER,
    last_seq INTEGER,
    from_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX partitions_by_time ON partitions (kind, until_ms);
-- log_id: which log this is; alive_ms: all events received before are logged; 'reached_ms VENUE': where a gap of the
-- venue begins if no more is written; sealed_seq, sealed_ms: events up to there and price bars before are in files.
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;
INSERT INTO meta VALUES ('log_id', lower(hex(randomblob(16)))), ('alive_ms', 0), ('sealed_seq', 0), ('sealed_ms', 0);
CREATE VIEW unsealed_events AS SELECT * FROM events WHERE seq > (SELECT value FROM meta WHERE key = 'sealed_seq');
CREATE VIEW unsealed_prices AS SELECT * FROM prices WHERE bar_ms >= (SELECT value FROM meta WHERE key = 'sealed_ms');
"""

# Of the streams that levels are given by, the newest state each: venue or instrument are empty where it is over all,
# instrument '*' is the breadth of the market. at_ms: watched time up to there is in it, that after it in `coverage`.
# parts: what the stream was the sum of, {venue: [instruments asked for, none for all]}. JSON keeps numbers exact.
_VERSION_2 = """
CREATE TABLE level_states (
    venue TEXT NOT NULL,
    instrument TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    parts TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (venue, instrument)
) WITHOUT ROWID;
"""

# The cascades of runs; record is all of each as it was last told, as JSON. Written as one opens, grows, ends, and an
# hour after; end_ms is null while it goes on. meta 'cascades_since_ms': from then on runs recorded theirs.
_VERSION_3 = """
CREATE TABLE cascades (
    id TEXT PRIMARY KEY,
    begin_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    end_ms INTEGER,
    record TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX cascades_by_time ON cascades (last_ms);
"""


def schema_sql(version: int) -> str:
    """Return the statements that lead from the version before to `version`."""
    return {1: _VERSION_1, 2: _VERSION_2, 3: _VERSION_3}[version]


def event_partition(log_id: str, date: str, venue: str, first_seq: int, last_seq: int) -> Path:
    """Return the file of one sealing's events of one UTC day of event time at one venue, below DIR."""
    folder = quote(venue, safe="")
    if len(folder) > _LONGEST_FOLDER:  # a venue of a wrapped stream has any name; file systems end at 255 bytes
        folder = f"{folder[:_LONGEST_FOLDER]}-{sha256(venue.encode()).hexdigest()[:16]}"
    return Path("events", f"date={date}", f"venue={folder}", f"{first_seq:012}-{last_seq:012}-{log_id[:8]}.parquet")


def price_partition(log_id: str, date: str, from_ms: int, until_ms: int) -> Path:
    """Return the file of the price bars of a part of one UTC day, below DIR."""
    return Path("prices", f"date={date}", f"{from_ms:013}-{until_ms:013}-{log_id[:8]}.parquet")


def span_of(path: Path) -> tuple[int, int, str] | None:
    """Return first and last number in a partition's name, and the beginning of the log's id; None for another file."""
    found = _NAME.fullmatch(path.name)
    return None if found is None else (int(found[1]), int(found[2]), found[3])


def snapshot_file(table: str) -> Path:
    """Return the whole of a small table as a file (`gaps`, `coverage`), below DIR."""
    return Path(f"{table}.parquet")


def arrow_schema(table: str) -> "pa.Schema":
    """Return the schema of the Parquet files of `events`, `prices`, `gaps` or `coverage`; needs `analysis`."""
    import pyarrow as pa

    text, whole, real = pa.string(), pa.int64(), pa.float64()
    columns = {
        "events": [
            ("seq", whole),
            ("schema", pa.int8()),
            ("venue", text),
            ("instrument", text),
            ("symbol", text),
            ("side", text),
            ("price", real),
            ("price_kind", text),
            ("quantity", real),
            ("notional_usd", real),
            ("event_ms", whole),
            ("receive_ms", whole),
            ("id", text),
        ],
        "prices": [
            ("bar_ms", whole),
            ("open", real),
            ("high", real),
            ("low", real),
            ("close", real),
            ("volume", real),
            ("trades", whole),
            ("source", text),
        ],
        "gaps": [("venue", text), ("from_ms", whole), ("until_ms", whole), ("reason", text), ("filled", pa.bool_())],
        "coverage": [("venue", text), ("up_ms", whole), ("down_ms", whole)],
    }
    return pa.schema(columns[table])
