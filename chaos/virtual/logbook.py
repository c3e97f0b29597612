"""The log against the book: each liquidation that reached us once, and no coverage of what did not."""

import sqlite3
from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

from chaos.virtual.book import Entry, Key
from chaos.virtual.sealedbook import Spans, damaged_spans, read_history

from liqtape.events import NO_LIST
from liqtape.venues import VENUES as LIVE

if TYPE_CHECKING:
    from chaos.virtual.execution import Execution
    from chaos.virtual.watcher import Watcher

__all__ = ["judge_log"]

_EVER = 1 << 62


def judge_log(watcher: "Watcher", execution: "Execution", connection: sqlite3.Connection) -> "Counter[Key]":
    """Tell the watcher what is wrong; return the liquidations that the log tells."""
    logged, covered = _told(watcher, execution, connection)
    rotten, unlisted = damaged_spans(execution), _gaps_without_list(connection)
    _judge_gaps(watcher, connection)
    entries: dict[Key, list[Entry]] = defaultdict(list)
    for entry in execution.book.entries.values():
        entries[entry.key].append(entry)
    for key, count in sorted(logged.items()):
        if key not in entries:
            watcher.wrong("invented", f"nobody printed {key}")
        elif count > len(entries[key]):
            watcher.wrong("twice", f"logged {count} times: {key}")
    for key, found in entries.items():
        absent = len(found) - logged.get(key, 0)
        if absent > 0 and not _holds(rotten, key[0], key[3]):
            _judge_absent(watcher, found[-1], covered, unlisted)
    for line in connection.execute("SELECT venue, event_ms, symbol FROM unsealed_events ORDER BY seq"):
        execution.world.note(f"row {line}")
    return logged


def _told(watcher: "Watcher", execution: "Execution", connection: sqlite3.Connection) -> tuple["Counter[Key]", Spans]:
    if execution.scheme.seals:
        return read_history(watcher, execution)
    rows = connection.execute("SELECT venue, symbol, side, event_ms FROM unsealed_events").fetchall()
    return Counter(rows), _coverage(connection)


def _judge_absent(watcher: "Watcher", entry: Entry, covered: Spans, unlisted: Spans) -> None:
    venue, stamp_ms = entry.row.venue, entry.row.event_ms
    is_lost = entry.delivered_ms is not None and not watcher.is_doubtful(entry)
    if is_lost:
        watcher.wrong("lost", f"it came at {entry.delivered_ms} and is not in the log: {entry.key}")
        return
    sent_ms = entry.published_ms + entry.skew_ms
    is_late = sent_ms - stamp_ms > LIVE[venue].max_publish_delay_ms
    if not _holds(covered, venue, stamp_ms) or (is_late and not _holds(covered, venue, sent_ms)):
        return
    if LIVE[venue].listing_needed and _holds(unlisted, venue, stamp_ms):
        return
    if watcher.is_ambiguous(entry):
        return
    kind = "unreported" if entry.delivered_ms is None else "unreported after a kill"
    watcher.wrong(kind, f"coverage is claimed over {entry.key}, sent at {entry.published_ms}")


def _holds(spans: Spans, venue: str, at_ms: int) -> bool:
    return any(from_ms <= at_ms <= until_ms for from_ms, until_ms in spans.get(venue, ()))


def _coverage(connection: sqlite3.Connection) -> Spans:
    spans: Spans = defaultdict(list)
    rows = connection.execute("SELECT venue, up_ms, coalesce(down_ms, ?) FROM coverage", (_EVER,))
    for venue, up_ms, down_ms in rows:
        if up_ms < down_ms:
            spans[venue].append((up_ms + 1, down_ms - 1))
    return spans


def _gaps_without_list(connection: sqlite3.Connection) -> Spans:
    spans: Spans = defaultdict(list)
    rows = connection.execute(
        "SELECT venue, from_ms, coalesce(until_ms, ?) FROM gaps WHERE reason = ?", (_EVER, NO_LIST)
    )
    for venue, from_ms, until_ms in rows:
        spans[venue].append((from_ms, until_ms))
    return spans


def _judge_gaps(watcher: "Watcher", connection: sqlite3.Connection) -> None:
    rows = connection.execute(
        "SELECT venue, from_ms, coalesce(until_ms, ?1), reason FROM gaps WHERE reason <> ?2 "
        "AND (until_ms IS NULL OR until_ms > from_ms) ORDER BY venue, from_ms",
        (_EVER, NO_LIST),
    ).fetchall()
    for (venue, _, until_ms, reason), (other, from_ms, _, second) in pairwise(rows):
        if venue == other and from_ms < until_ms:
            watcher.wrong("gaps overlap", f"{venue} at {from_ms}: {reason}, {second}")
