"""What a PostgreSQL of the world knows: tables as dictionaries, and what each statement of the sink does to them."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from liqtape.sinks.postgres.daypartitions import DAY_MS
from liqtape.sinks.postgres.schema import LOCK
from liqtape.sinks.postgres.sql import sql

__all__ = ["STATEMENTS", "Refused", "ServerRow", "ServerTables", "Statement", "Transaction", "statement_of"]

_Key = tuple[str, Any]
_REMEMBERED_NS = 60_000_000_000


class Refused(Exception):
    """The server refuses a statement; the kind of error that it says."""


class ServerRow(Struct, frozen=True):
    """A liquidation in the server's table, and its number in the log."""

    venue: str
    symbol: str
    side: str
    event_ms: int
    number: int


class ServerTables:
    """What is committed, with what the last minute's commits replaced: a failover goes back to a state of then."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Any, Any]] = {}
        self._replaced: deque[tuple[int, list[tuple[_Key, Any]]]] = deque()

    def of(self, table: str) -> dict[Any, Any]:
        """Return the committed rows of a table, by their key."""
        return self.rows.setdefault(table, {})

    def commit(self, changes: dict[_Key, Any], now_ns: int) -> None:
        """Make the changes of a transaction; None is a row that is deleted."""
        replaced = [((table, key), self.of(table).get(key)) for table, key in changes]
        self._write(changes.items())
        self._replaced.append((now_ns, replaced))
        while self._replaced and self._replaced[0][0] < now_ns - _REMEMBERED_NS:
            self._replaced.popleft()

    def go_back(self, to_ns: int) -> None:
        """Forget what was committed since then."""
        while self._replaced and self._replaced[-1][0] > to_ns:
            self._write(self._replaced.pop()[1])

    def _write(self, changes: Any) -> None:
        for (table, key), value in changes:
            if value is None:
                self.of(table).pop(key, None)
            else:
                self.of(table)[key] = value


class Transaction:
    """What a session sees and has changed since BEGIN, or in one statement."""

    def __init__(self, tables: ServerTables) -> None:
        self.changes: dict[_Key, Any] = {}
        self.incoming: list[tuple[Any, ...]] = []
        self._tables = tables

    def get(self, table: str, key: Any) -> Any:
        """Return a row; None where there is none."""
        found = self.changes.get((table, key), self)
        return self._tables.of(table).get(key) if found is self else found

    def put(self, table: str, key: Any, value: Any) -> None:
        """Write a row."""
        self.changes[table, key] = value

    def keys(self, table: str) -> list[Any]:
        """Return the keys of all rows."""
        known = dict.fromkeys(self._tables.of(table))
        known |= dict.fromkeys(key for name, key in self.changes if name == table)
        return [key for key in known if self.get(table, key) is not None]


class Statement(Struct, frozen=True):
    """What a statement does, given its arguments; what it locks until the transaction ends, and whether it writes."""

    run: Callable[..., Any]
    locks: str = ""
    is_write: bool = True

    def lock(self, arguments: Sequence[Any]) -> str:
        """Return the name of the lock that it takes; empty where it takes none."""
        return f"{self.locks} {arguments[0]}" if self.locks == "position" else self.locks


def statement_of(text: str) -> Statement | None:
    """Return the statement of this text; None for one that the server does not know."""
    found = STATEMENTS.get(text)
    if found is None and text.startswith("-- Attached rather than"):
        name, from_ms = text.partition("CREATE TABLE ")[2].split(" ")[0], int(text.partition("FROM (")[2].split(")")[0])
        return Statement(lambda tx: tx.put("partitions", name, from_ms // DAY_MS))
    if found is None and text.startswith("DROP TABLE IF EXISTS liquidations_"):
        return Statement(lambda tx: tx.put("partitions", text.rpartition(" ")[2], None))
    return found


def _migrations_are_absent(tx: Transaction) -> bool:
    return tx.get("catalogue", "liqtape_migrations") is None


def _newest_migration(tx: Transaction) -> dict[str, Any] | None:
    versions = tx.keys("liqtape_migrations")
    return {"version": max(versions), "layout": tx.get("liqtape_migrations", max(versions))} if versions else None


def _begin_log(tx: Transaction, log_id: str) -> None:
    if tx.get("positions", log_id) is None:
        tx.put("positions", log_id, (0, "", 0, 0))


def _move(tx: Transaction, log_id: str, before: int, number: int, fingerprint: str) -> str:
    found = tx.get("positions", log_id)
    if found is None or found[0] != before:
        return "UPDATE 0"
    tx.put("positions", log_id, (number, fingerprint, *found[2:]))
    return "UPDATE 1"


def _set_position(place: int) -> Callable[[Transaction, str, int], str]:
    def run(tx: Transaction, log_id: str, value: int) -> str:
        found = tx.get("positions", log_id)
        if found is None:
            return "UPDATE 0"
        tx.put("positions", log_id, (*found[:place], value, *found[place + 1 :]))
        return "UPDATE 1"

    return run


def _write(tx: Transaction, _: int) -> int:
    days = {tx.get("partitions", name) for name in tx.keys("partitions")}
    new = 0
    for venue, _, symbol, side, *_numbers, event_ms, _receive_ms, known, seq in tx.incoming:
        if event_ms // DAY_MS not in days:
            raise Refused("CheckViolationError")
        key = (event_ms, venue, known or seq)
        if tx.get("events", key) is None:
            tx.put("events", key, ServerRow(venue, symbol, side, event_ms, seq))
            new += 1
    return new


def _upsert(table: str, key: slice) -> Callable[..., None]:
    def run(tx: Transaction, rows: Sequence[tuple[Any, ...]]) -> None:
        for row in rows:
            tx.put(table, row[key], row)

    return run


def _forget(table: str) -> Callable[..., None]:
    def run(tx: Transaction, log_id: str, venues: Sequence[str], since: Sequence[int]) -> None:
        lasting = {(log_id, *one) for one in zip(venues, since, strict=True)}
        for key in tx.keys(table):
            if key[0] == log_id and tx.get(table, key)[3] is None and key not in lasting:
                tx.put(table, key, None)

    return run


def _nothing(*_: Any) -> None:
    pass


_LOOKS: dict[str, Callable[..., Any]] = {
    "SELECT current_setting('server_version')": lambda _: "17.0",
    "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'": _nothing,
    "SELECT to_regclass('liqtape_migrations') IS NULL": _migrations_are_absent,
    "SELECT version, layout FROM liqtape_migrations ORDER BY version DESC LIMIT 1": _newest_migration,
    "SELECT name, works, detail FROM liqtape_capabilities ORDER BY tried_at, name": lambda _: [],
    "SELECT count(*) FROM liqtape_migrations WHERE version >= $1": lambda tx, version: sum(
        one >= version for one in tx.keys("liqtape_migrations")
    ),
    "SELECT seq, fingerprint, prices_ms FROM liqtape_positions WHERE log_id = $1": lambda tx, log_id: tx.get(
        "positions", log_id
    )[:3],
    "SELECT to_regclass($1) IS NULL": lambda tx, name: tx.get("partitions", name) is None,
    "SET LOCAL lock_timeout = '2s'": _nothing,
    sql("plain/partitions"): lambda tx: [{"relname": name} for name in tx.keys("partitions")],
    sql("common/incoming"): _nothing,  # of the session alone
}
_WRITES: dict[str, Callable[..., Any]] = {
    "CREATE TABLE IF NOT EXISTS liqtape_migrations (version int PRIMARY KEY, layout text NOT NULL, "
    "made_at timestamptz NOT NULL DEFAULT now())": lambda tx: tx.put("catalogue", "liqtape_migrations", 1),
    sql("common/001"): _nothing,
    sql("plain/001"): _nothing,
    "INSERT INTO liqtape_migrations VALUES ($1, $2)": lambda tx, version, layout: tx.put(
        "liqtape_migrations", version, layout
    ),
    "INSERT INTO liqtape_positions (log_id) VALUES ($1) ON CONFLICT DO NOTHING": _begin_log,
    # Nothing in an execution grows old enough for these.
    "DELETE FROM liquidations_before_2009 WHERE event_ms < $1": _nothing,
    "DELETE FROM liq_1m_kept WHERE minute_ms < $1": _nothing,
    "DELETE FROM prices WHERE bar_ms < $1": _nothing,
    "DELETE FROM gaps WHERE until_ms < $1": _nothing,
    "DELETE FROM coverage WHERE down_ms < $1": _nothing,
    "COPY": lambda tx, rows: tx.incoming.extend(rows),
    sql("common/write"): _write,
    sql("common/gaps"): _upsert("gaps", slice(0, 3)),
    sql("common/gaps_forgotten"): _forget("gaps"),
    sql("common/coverage_forgotten"): _forget("coverage"),
    sql("common/coverage"): _upsert("coverage", slice(0, 3)),
    sql("common/prices"): _upsert("prices", slice(0, 8, 7)),
}
STATEMENTS: dict[str, Statement] = {
    **{text: Statement(run, is_write=False) for text, run in _LOOKS.items()},
    **{text: Statement(run) for text, run in _WRITES.items()},
    f"SELECT pg_advisory_xact_lock({LOCK})": Statement(_nothing, "tables", is_write=False),
    sql("common/position"): Statement(_move, "position"),
    sql("common/alive"): Statement(_set_position(3), "position"),
    sql("common/prices_position"): Statement(_set_position(2), "position"),
}
