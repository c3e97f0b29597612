"""What the log keeps beside events, a frozen record each, and the statement that writes it."""

from collections.abc import Mapping

from msgspec import Struct

__all__ = [
    "AWAY",
    "BACKFILLED",
    "BEHIND",
    "WRITES",
    "AliveEntry",
    "CascadeEntry",
    "CascadesSinceEntry",
    "FeedDownEntry",
    "FeedMissedEntry",
    "FeedUpEntry",
    "GapEntry",
    "JournalEntry",
    "KnownUntilEntry",
    "LevelStatesEntry",
    "LogGapEntry",
    "PriceBarEntry",
    "StateEntry",
]


class JournalEntry(Struct, frozen=True, gc=False):
    """Base of all of them."""


class AliveEntry(JournalEntry, frozen=True, gc=False):
    """All events offered before are logged when this is: where a crash counts from."""

    at_ms: int


class FeedUpEntry(JournalEntry, frozen=True, gc=False):
    """A venue's feed is live from now on; what gap of the venue was open ends."""

    venue: str
    at_ms: int


class FeedDownEntry(JournalEntry, frozen=True, gc=False):
    """A venue's feed was last seen live at `at_ms`; told again where that turns out to have been earlier."""

    venue: str
    at_ms: int


class FeedMissedEntry(JournalEntry, frozen=True, gc=False):
    """It turned out that a venue's feed was not live in between, whatever was told before."""

    venue: str
    from_ms: int
    until_ms: int


class KnownUntilEntry(JournalEntry, frozen=True, gc=False):
    """What the venue sent before is logged when this is: where its gap begins if the process is killed."""

    venue: str
    at_ms: int


class GapEntry(JournalEntry, frozen=True, gc=False):
    """A gap as it is known now: written again when it ends, and when it was backfilled."""

    venue: str
    from_ms: int
    until_ms: int | None
    reason: str
    backfilled: bool = False


class LogGapEntry(JournalEntry, frozen=True, gc=False):
    """An interval in which so many accepted events could not be logged."""

    from_ms: int
    until_ms: int
    reason: str
    events: int


class StateEntry(JournalEntry, frozen=True, gc=False):
    """A venue is in another state than before."""

    at_ms: int
    venue: str
    state: str
    detail: str


class LevelStatesEntry(JournalEntry, frozen=True, gc=False):
    """What is kept of some streams' past at that time; `rows` is JSON, [[venue, instrument, parts, state], ...].

    All in one text, because each row of a statement of its own would wait for the interpreter.
    """

    at_ms: int
    rows: str


class CascadeEntry(JournalEntry, frozen=True, gc=False):
    """A cascade as it is known now, `record` all of it as JSON: written again when more is known."""

    id: str
    begin_ms: int
    last_ms: int
    end_ms: int | None
    record: str


class CascadesSinceEntry(JournalEntry, frozen=True, gc=False):
    """A run records its cascades; the first of all runs to do so says since when."""

    at_ms: int


class PriceBarEntry(JournalEntry, frozen=True, gc=False):
    """The trades of one second at one source; two bars of the same second and source are parts of one."""

    bar_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float | None
    trades: int
    source: str


AWAY = "not running"
"""The reason of a gap between two runs."""

BEHIND = """INSERT INTO coverage SELECT venue, ?3, down_ms FROM coverage
    WHERE venue = ?1 AND up_ms < ?3 AND (down_ms IS NULL OR down_ms > ?3) ORDER BY down_ms IS NULL DESC, down_ms DESC
    LIMIT 1 ON CONFLICT DO NOTHING"""
"""Before what was missed is cut out: the spell that went on behind it."""

BACKFILLED = """INSERT INTO coverage VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET down_ms = max(down_ms, excluded.down_ms)"""
"""Beside a gap that was wholly backfilled: it is as good as live (an open spell stays open, its end being null)."""

WRITES: Mapping[type[JournalEntry], str] = {
    AliveEntry: "UPDATE meta SET value = ? WHERE key = 'alive_ms'",
    FeedUpEntry: "INSERT INTO coverage (venue, up_ms) VALUES (?, ?) ON CONFLICT DO NOTHING",
    FeedMissedEntry: """UPDATE coverage SET down_ms = max(up_ms, ?2)
        WHERE venue = ?1 AND up_ms < ?3 AND (down_ms IS NULL OR down_ms > ?2)""",
    FeedDownEntry: """UPDATE coverage SET down_ms = max(up_ms, ?2)
        WHERE venue = ?1 AND (down_ms IS NULL OR down_ms > ?2)""",
    KnownUntilEntry: "INSERT INTO meta VALUES ('reached_ms ' || ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
    GapEntry: """INSERT INTO gaps VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
        SET until_ms = excluded.until_ms, reason = excluded.reason, filled = excluded.filled""",
    LogGapEntry: "INSERT INTO log_gaps VALUES (?, ?, ?, ?)",
    StateEntry: "INSERT INTO health VALUES (?, ?, ?, ?)",
    LevelStatesEntry: """INSERT INTO level_states
        SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), ?1, json_extract(value, '$[2]'),
        json_extract(value, '$[3]') FROM json_each(?2) WHERE true ON CONFLICT DO UPDATE
        SET at_ms = excluded.at_ms, parts = excluded.parts, state = excluded.state""",
    CascadeEntry: """INSERT INTO cascades VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
        SET last_ms = excluded.last_ms, end_ms = excluded.end_ms, record = excluded.record""",
    CascadesSinceEntry: "INSERT INTO meta VALUES ('cascades_since_ms', ?) ON CONFLICT DO NOTHING",
    PriceBarEntry: """INSERT INTO prices VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
        SET high = max(high, excluded.high), low = min(low, excluded.low), close = excluded.close,
        volume = volume + excluded.volume, trades = trades + excluded.trades""",
}
