"""PostgreSQL against the log and the book: what the log has is there, once, and nothing is claimed beside it."""

import sqlite3
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from chaos.virtual.book import Key
from chaos.virtual.servertables import ServerRow

if TYPE_CHECKING:
    from chaos.virtual.execution import Execution
    from chaos.virtual.watcher import Watcher

__all__ = ["judge_server"]


def judge_server(
    watcher: "Watcher", execution: "Execution", connection: sqlite3.Connection, logged: "Counter[Key]"
) -> None:
    """Tell the watcher what is wrong with what the server has in the end, when all has been calm for a while."""
    if not execution.scheme.has_postgres:
        return
    server = execution.postgres
    if server.unknown:
        watcher.wrong("postgres", f"unknown statements {sorted(server.unknown)}")
    if server.clients:
        watcher.wrong("left", f"{len(server.clients)} connections to PostgreSQL")
    rows: list[ServerRow] = list(server.tables.of("events").values())
    there = Counter((row.venue, row.symbol, row.side, row.event_ms) for row in rows)
    printed = Counter(entry.key for entry in execution.book.entries.values())
    for key in sorted(logged - there):
        watcher.wrong("postgres lacks", f"it is in the log, and not on the server: {key}")
    for key in sorted(there - printed):
        watcher.wrong("postgres twice", f"{there[key]} times on the server, printed {printed[key]} times: {key}")
    for number, venue in sorted((row.number, row.venue) for row in rows):
        execution.world.note(f"server row {number} {venue}")
    for table in ("gaps", "coverage"):
        _judge_spans(watcher, execution, connection, table)


def _judge_spans(watcher: "Watcher", execution: "Execution", connection: sqlite3.Connection, table: str) -> None:
    """Compare what the server says of observed or missed time with the log; of what is over it may know more."""
    (log_id,) = connection.execute("SELECT value FROM meta WHERE key = 'log_id'").fetchone()
    columns = {"gaps": "venue, from_ms, until_ms, reason, filled", "coverage": "venue, up_ms, down_ms"}[table]
    known: dict[tuple[str, int], tuple[object, ...]] = defaultdict(tuple)
    for venue, from_ms, *rest in connection.execute(f"SELECT {columns} FROM {table}"):
        known[venue, from_ms] = tuple(rest)
    there = {key[1:]: row[3:] for key, row in execution.postgres.tables.of(table).items() if key[0] == log_id}
    over = {at for at, row in there.items() if row[0] is not None}
    for at in sorted(known.keys() | (there.keys() - over)):
        if known.get(at) != there.get(at):
            watcher.wrong(f"postgres {table}", f"{at}: the log has {known.get(at)}, the server {there.get(at)}")
