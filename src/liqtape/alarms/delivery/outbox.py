"""The queue on disk: messages by channel, what became of them, and the state of the policy that made them.

Messages and state are written in one transaction. Whatever is killed when, either the policy remembers what it said and
the message waits here, or neither does, and the policy says it again.
"""

import logging
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from liqtape.alarms.policy.messages import AddressedMessage, AlarmMessage
from liqtape.errors import ConfigurationError
from liqtape.sqlitedamage import damage, is_damage, set_aside

__all__ = ["KEPT_DEAD", "DeadLetter", "Outbox", "KeptQueue", "OutboxEntry", "read_queue"]

KEPT_DEAD = 10_000
"""So many dead letters of a channel are kept, the newest."""

_VERSION = 1
_SENT_KEPT_MS = 7 * 86_400_000
_BUSY_SECONDS = 5.0
_SCHEMA = """
CREATE TABLE message (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    channel TEXT NOT NULL,
    key TEXT NOT NULL,
    body BLOB NOT NULL,
    made_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'waiting',
    changed_ms INTEGER NOT NULL,
    error TEXT NOT NULL DEFAULT '',
    UNIQUE (channel, key)
);
CREATE INDEX message_waiting ON message (channel, seq) WHERE state = 'waiting';
CREATE TABLE policy (id INTEGER PRIMARY KEY CHECK (id = 1), state BLOB NOT NULL, at_ms INTEGER NOT NULL);
"""

_log = logging.getLogger(__name__)


class OutboxEntry(Struct, frozen=True):
    """A message that waits; `due_ms` is when to try it (again)."""

    seq: int
    message: AlarmMessage
    made_ms: int
    due_ms: int
    attempts: int


class DeadLetter(Struct, frozen=True):
    """A message that its channel refused, or that waited too long."""

    channel: str
    key: str
    title: str
    made_ms: int
    attempts: int
    error: str


class KeptQueue(Struct, frozen=True):
    """A queue as another process sees it: the state of the policy, and messages that wait or are dead, by channel."""

    state: bytes | None
    waiting: dict[str, int]
    dead: dict[str, int]


class Outbox:
    """The queue in a file, or in memory where none is named. Every call is one transaction; one thread at a time.

    A file that is damaged is set aside, named in the log, and a new one begins. Raises ConfigurationError where the
    file is of a newer version, sqlite3.Error where the disk fails.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._decoder = msgspec.json.Decoder(AlarmMessage)
        place = ":memory:" if path is None else str(path)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = _opened(place)
        except sqlite3.DatabaseError as error:
            if path is None or not is_damage(error):
                raise
            _keep_aside(path, error)
            self._connection = _opened(place)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def add(self, messages: Sequence[AddressedMessage], state: bytes | None, now_ms: int) -> None:
        """Put messages in, once each however often they are made, with the state of the policy behind them."""
        rows = [
            (one.channel, one.message.key, msgspec.json.encode(one.message), now_ms, now_ms, now_ms) for one in messages
        ]
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "INSERT OR IGNORE INTO message (channel, key, body, made_ms, due_ms, changed_ms) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )
            if state is not None:
                self._connection.execute("INSERT OR REPLACE INTO policy VALUES (1, ?, ?)", (state, now_ms))

    def state(self) -> bytes | None:
        """Return the state of the policy as it was last put in."""
        row = self._connection.execute("SELECT state FROM policy").fetchone()
        return None if row is None else bytes(row[0])

    def first(self, channel: str) -> OutboxEntry | None:
        """Return the oldest message that waits for the channel."""
        row = self._connection.execute(
            "SELECT seq, body, made_ms, due_ms, attempts FROM message "
            "WHERE channel = ? AND state = 'waiting' ORDER BY seq LIMIT 1",
            (channel,),
        ).fetchone()
        return None if row is None else OutboxEntry(row[0], self._decoder.decode(row[1]), *row[2:])

    def settle(self, seq: int, state: str, now_ms: int, error: str = "") -> None:
        """Note that a message was `sent`, or is `dead`."""
        self._connection.execute(
            "UPDATE message SET state = ?, changed_ms = ?, attempts = attempts + 1, error = ? WHERE seq = ?",
            (state, now_ms, error, seq),
        )

    def postpone(self, seq: int, due_ms: int, error: str) -> None:
        """Note that a message could not be sent, and when to try again."""
        self._connection.execute(
            "UPDATE message SET due_ms = ?, attempts = attempts + 1, error = ? WHERE seq = ?", (due_ms, error, seq)
        )

    def waiting(self) -> dict[str, int]:
        """Return how many messages wait, by channel."""
        rows = self._connection.execute(
            "SELECT channel, count(*) FROM message WHERE state = 'waiting' GROUP BY channel ORDER BY channel"
        )
        return dict(rows.fetchall())

    def sent(self, channel: str) -> list[AlarmMessage]:
        """Return what was sent to the channel and is still kept, oldest first."""
        rows = self._connection.execute(
            "SELECT body FROM message WHERE channel = ? AND state = 'sent' ORDER BY seq", (channel,)
        )
        return [self._decoder.decode(body) for (body,) in rows]

    def dead(self, limit: int = 100) -> list[DeadLetter]:
        """Return dead letters, the newest first."""
        rows = self._connection.execute(
            "SELECT channel, key, body, made_ms, attempts, error FROM message "
            "WHERE state = 'dead' ORDER BY seq DESC LIMIT ?",
            (limit,),
        )
        return [
            DeadLetter(channel, key, self._decoder.decode(body).title, made_ms, attempts, error)
            for channel, key, body, made_ms, attempts, error in rows
        ]

    def prune(self, now_ms: int) -> None:
        """Remove what was sent long ago, and the oldest of too many dead letters."""
        self._connection.execute(
            "DELETE FROM message WHERE state = 'sent' AND changed_ms < ?", (now_ms - _SENT_KEPT_MS,)
        )
        self._connection.execute(
            "DELETE FROM message WHERE state = 'dead' AND seq NOT IN "
            "(SELECT seq FROM message WHERE state = 'dead' ORDER BY seq DESC LIMIT ?)",
            (KEPT_DEAD,),
        )


def _opened(place: str) -> sqlite3.Connection:
    connection = sqlite3.connect(place, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = FULL")  # a message that was promised is on the disk
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found > _VERSION:
            raise ConfigurationError(f"alarms: {place} was written by a newer liqtape; update this one")
        if not found:
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
        (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if said != "ok":
            raise damage(said)
    except BaseException:
        connection.close()
        raise
    return connection


def _keep_aside(path: Path, error: sqlite3.DatabaseError) -> None:
    """Keep a damaged queue under another name: what is not known to be whole is not sent."""
    aside = path.with_name(f"{path.stem}.damaged-{time.time_ns() // 1_000_000}{path.suffix}")
    set_aside(path, aside)
    _log.error(
        "alarms: %s is damaged (%s): it is kept as %s; messages that waited there are not sent", path, error, aside
    )


def read_queue(path: Path) -> KeptQueue | None:
    """Return what a queue holds, which somebody else may be writing; None where there is none."""
    if not path.exists():
        return None
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)
    try:
        row = connection.execute("SELECT state FROM policy").fetchone()
        counts = connection.execute("SELECT channel, state, count(*) FROM message GROUP BY channel, state").fetchall()
    finally:
        connection.close()
    by_state: dict[str, dict[str, int]] = {"waiting": {}, "dead": {}, "sent": {}}
    for channel, state, count in counts:
        by_state.setdefault(state, {})[channel] = count
    return KeptQueue(None if row is None else bytes(row[0]), by_state["waiting"], by_state["dead"])
