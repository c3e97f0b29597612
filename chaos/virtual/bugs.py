"""Bugs to be put back, some of which liqtape once had: each a piece of its source and what might stand there instead.

The simulator is worth what it finds. So each bug is put back alone, and the seeds are counted until it is found.
"""

import importlib
import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from msgspec import Struct

__all__ = ["BUGS", "Bug", "put_back"]


class Bug(Struct, frozen=True):
    """In `place`, module:qualified name, `old` was `new`."""

    what: str
    place: str
    old: str
    new: str


BUGS = {
    "venue-ahead": Bug(
        "a venue's clock is known to be off, and its events are taken to stand where its stamps say",
        "liqtape.pipeline.admission:Intake.take",
        "event_ms -= shift_ms",
        "event_ms -= 0",
    ),
    "no-shift": Bug(
        "the shift of a venue whose clock is off is never applied",
        "liqtape.pipeline.clock:EventClock._shift",
        "reach.shift_ms = off_ms if is_off else 0",
        "reach.shift_ms = 0",
    ),
    "past-moved": Bug(
        "when a venue's clock is found to be off, what it told of its past is moved ahead of its receipt",
        "liqtape.pipeline.admission:Intake._replace",
        "is_new &= own_ms - shift_ms <= AHEAD_MS",
        "is_new |= True",
    ),
    "past-unmoved": Bug(
        "what a venue told of its past before its clock was known stays where its stamps put it",
        "liqtape.pipeline.clock:EventClock._shifted",
        "since_ms = 1 if is_first else reach.shifted_ms if is_passing else 0",
        "since_ms = reach.shifted_ms if is_passing else 0",
    ),
    "own-clock-steps": Bug(
        "our own time is the wall clock, and steps with it",
        "liqtape.ourtime:SteadyClock.ns",
        "self._start_ns + self._steady()",
        "time.time_ns()",
    ),
    "nothing-recalled": Bug(
        "after the wall clock was set back an hour, a restart takes back nothing of what was logged since",
        "liqtape.history.log.store:Store.mark_hour",
        '"WHERE coalesce(receive_ms, event_ms) < ?1 + ?2 ORDER BY seq DESC LIMIT 1), 0) "',
        '"WHERE ?2 ORDER BY seq DESC LIMIT 1), 0) "',
    ),
    "ledger": Bug(
        "an event that has waited for its time is in two places of the ledger",
        "liqtape.pipeline.admission:Intake._released",
        "ledger.events_pending -= 1",
        "pass",
    ),
    "duplicate-uncounted": Bug(
        "a repeat is dropped and not counted",
        "liqtape.pipeline.admission:Intake.take",
        "ledger.events_duplicate += 1",
        "pass",
    ),
    "counted-twice": Bug(
        "what a venue repeats after a reconnect counts again",
        "liqtape.identity:Identities.is_new",
        "return False",
        "return True",
    ),
    "gaps-overlap": Bug(
        "a gap is told without a look at those that are known",
        "liqtape.pipeline.gaps:Outages._free",
        "free: list[tuple[int, int | None]] = []",
        "return [(from_ms, until_ms)]",
    ),
    "through-silence": Bug(
        "a feed that fell silent counts as covered until that is noticed",
        "liqtape.feeds.connection:Connection._take_down_ms",
        "self.known_until_ms, None",
        "self.known_until_ms and self._wall_ms(), None",
    ),
    "on-its-way": Bug(
        "what was on its way when a connection was lost is not in the gap",
        "liqtape.pipeline.gaps:Outages.beginning",
        "self._max_publish_delay_ms.get(venue, 0)",
        "0",
    ),
    "never-stalled": Bug(
        "silence is never noticed",
        "liqtape.venues.session:Session._silent_from",
        "self.endpoint.silence_limit",
        "1e9",
    ),
    "refused-is-live": Bug(
        "a venue that refuses the liquidations is live with its trades",
        "liqtape.feeds.connection:Connection._look_for_life",
        "if self._is_confirmed and session.refused and not self.venue.listing_needed and (lacking := session.lacking):",
        "if (lacking := ()):",
    ),
    "no-gap-over-a-kill": Bug(
        "a killed run's feeds count as live until the next run",
        "liqtape.history.log.store:Store.begin_run",
        "end_last_run(self._connection)",
        "pass",
    ),
    "row-lost-at-a-fault": Bug(
        "what was taken from the buffer is gone when the disk fails",
        "liqtape.history.log.eventlog:EventLog._fail",
        'self.buffer.reason = "disk"',
        'self.buffer.reason, self._events = "disk", []',
    ),
    "position-alone": Bug(
        "PostgreSQL takes the position and its events in two transactions",
        "liqtape.sinks.postgres.writer:Writer._write",
        "await self._move(events[-1])\n",
        "await self._move(events[-1])\n    async with committed(connection):\n",
    ),
    "locks-for-ever": Bug(
        "a transaction whose client was lost without notice keeps its locks on the server",
        "liqtape.sinks.postgres.postgressink:PostgresSink._session",
        "await prepare(connection)",
        'await prepare(connection); await connection.execute("SET idle_in_transaction_session_timeout = 0")',
    ),
    "spell-not-forgotten": Bug(
        "what lasts on the server and was lost by the log, as in a power cut, lasts for ever",
        "liqtape.sinks.postgres.writer:Writer.gaps",
        "lasting = [row for row in rows if row[2] is None]",
        "continue",
    ),
    "rot-unnoticed": Bug(
        "a sealed file is read without a look at its checksum",
        "liqtape.history.archive.soundfiles:_compare",
        "if found == expected:",
        "if True:",
    ),
    "rotten-is-covered": Bug(
        "the time of a damaged file that is left out counts as covered",
        "liqtape.history.query.localsource:LocalSource.coverage",
        "self._damaged(from_ms, until_ms)",
        "()",
    ),
    "sealed-again": Bug(
        "a repeat of what is sealed is logged again",
        "liqtape.history.archive.archivedids:ArchivedIds.holds",
        "return any(",
        "return False and any(",
    ),
    "sent-is-forgotten": Bug(
        "an alarm that was sent stays in the queue as one that waits",
        "liqtape.alarms.delivery.dispatcher:Dispatcher._attempt",
        'settle, entry.seq, "sent", self._now()',
        "postpone, entry.seq, self._now() + 1_000, str()",
    ),
    "failed-is-sent": Bug(
        "an alarm whose channel answers 500 counts as sent",
        "liqtape.alarms.delivery.httpchannels:_HttpPoster.post",
        "if 200 <= status < 300:",
        "if 200 <= status < 300 or status == 500:",
    ),
    "writing-is-trouble": Bug(
        "a history that is written counts as something wrong, and is told as that",
        "liqtape.alarms.alarmservice:AlarmService._conditions",
        "if one.state not in _WELL:",
        'if one.state not in _WELL - {"writing"}:',
    ),
    "raised-anew": Bug(
        "a start forgets what was raised before it",
        "liqtape.alarms.alarmservice:AlarmService.start",
        "if kept is not None:",
        "if False:",
    ),
    "never-synced": Bug(
        "what the log has is never brought to the disk for good",
        "liqtape.history.log.eventlog:EventLog._write_what_is_due",
        "store.sync()",
        "pass",
    ),
    "waits-in-no-gap": Bug(
        "an event that waits for its time when we are killed lies in what counts as covered",
        "liqtape.pipeline.feedreports:FeedReports.gaps_ahead",
        "min(at_ms, waiting.get(venue, at_ms + 1) - 1)",
        "at_ms + 5_000",
    ),
}


@contextmanager
def put_back(name: str) -> Iterator[None]:
    """Put a bug back for the time of the block. Raises ValueError where its place is another by now."""
    if not name:
        yield
        return
    bug = BUGS[name]
    module_name, _, qualified = bug.place.partition(":")
    target: Any = importlib.import_module(module_name)
    *owners, attribute = qualified.split(".")
    for owner in owners:
        target = getattr(target, owner)
    function = inspect.getattr_static(target, attribute)
    source = textwrap.dedent(inspect.getsource(function))
    if source.count(bug.old) != 1:
        raise ValueError(f"{name}: {bug.place} has {source.count(bug.old)} times {bug.old!r}")
    scratch: dict[str, Any] = {}
    exec(compile(source.replace(bug.old, bug.new), bug.place, "exec"), function.__globals__, scratch)
    with mock.patch.object(target, attribute, scratch[attribute]):
        yield
