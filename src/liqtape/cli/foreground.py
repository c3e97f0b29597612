"""A tracker in the foreground: what `run` and `demo` show, and how they end."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TextIO

from msgspec import Struct

from liqtape.alarms.policy.phrases import wakes_words
from liqtape.engine.velocity import MARKET
from liqtape.events import Alert, VelocityMetrics
from liqtape.sanitize import sanitize
from liqtape.tracker import Tracker
from liqtape.tui.forecastline import forecast_line
from liqtape.tui.fullscreen import FullScreen, can_draw, write_soon
from liqtape.tui.heldtext import HeldText, held_stderr
from liqtape.tui.highlights import Highlights, is_worth_saying
from liqtape.tui.lines import alert_line, metric_line, venue_line
from liqtape.tui.livescreen import LiveView, last_words, live_screen

__all__ = ["StopSignals", "watch"]

_REFRESH_SECONDS = 0.25
_LINES_EVERY = 5  # seconds
_LINES = 5
_SAYING_SECONDS = 0.3
_LOGGED = 10  # lines, on the screen
_HOPELESS = 2  # attempts after the first


class StopSignals:
    """SIGINT and SIGTERM as an event: `received` is the signal's number, 0 while there was none.

    After the first they have their usual effect again, so that a second one ends the process at once. With `end_within`
    the process ends so many seconds after the first in any case: a thread that hangs in a dead disk would keep it.
    """

    def __init__(self, end_within: float | None = None) -> None:
        self.received = 0
        self.before_end: Callable[[], object] | None = None  # what a process that hangs does before it ends
        self._end_within = end_within
        self._ended = threading.Event()
        self._event = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None  # of whoever waits

    @contextmanager
    def installed(self) -> Iterator["StopSignals"]:
        """Catch the signals inside the block."""
        # Not the loop's own handlers: those come late, or never, where the loop itself is held up.
        before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            self._ended.set()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _frame: object) -> None:
        self.received = number
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        if self._end_within is not None:
            threading.Thread(target=self._end, args=(self._end_within,), name="end", daemon=True).start()
        if self._loop is None:
            self._event.set()
        else:
            self._loop.call_soon_threadsafe(self._event.set)

    def _end(self, seconds: float) -> None:
        if not self._ended.wait(seconds):
            # Not by this thread: a terminal that takes nothing would keep it.
            saying = threading.Thread(target=self._say_the_end, args=(seconds,), name="last words", daemon=True)
            saying.start()
            saying.join(_SAYING_SECONDS)
            os._exit(128 + self.received)

    def _say_the_end(self, seconds: float) -> None:
        if self.before_end is not None:
            self.before_end()
        said = f"liqtape: something hangs; ended {seconds:g} s after the signal all the same\n"
        os.write(2, said.encode())

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait for a signal, at most `seconds`; whether one came."""
        self._loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except TimeoutError:
            return False
        finally:
            self._loop = None
        return True


async def watch(
    tracker: Tracker,
    stop: StopSignals,
    seconds: float | None,
    notes: Sequence[str] = (),
    out: TextIO | None = None,
    title: str = "run",
) -> None:
    """Show the tracker until a signal or for `seconds`: a live table on a terminal, plain lines in a pipe."""
    out = sys.stdout if out is None else out
    notes = [*notes, tracker.learned, _redis_note(tracker), _history_note(tracker)]
    deadline = None if seconds is None else asyncio.get_running_loop().time() + seconds
    if can_draw(out):
        # They stay on the normal screen, where there may be no room for all of them on the other.
        _say(notes, out)
        await _table(tracker, stop, deadline, _Shown(title, notes, out))
    else:
        await _lines(tracker, stop, deadline, notes, out)


class _Shown(Struct, frozen=True):
    """What a screen shows beside the tracker, and where."""

    title: str
    notes: Sequence[str]
    out: TextIO


def _say(lines: Sequence[str], out: TextIO) -> None:
    if lines:
        print("\n".join(sanitize(line, 1_000) for line in lines), file=out, flush=True)


def _rows(tracker: Tracker) -> list[VelocityMetrics]:
    return [row for row in tracker.snapshot(tracker.active()) if row.event_count_300s]


def _redis_note(tracker: Tracker) -> str:
    """Where the keys can be read."""
    if tracker.redis_url is None:
        return "Redis: off"
    if tracker.embedded is None:
        return "Redis: the server named in the settings"
    port = tracker.redis_url.rpartition(":")[2].partition("/")[0]
    return f"Redis on port {port}: redis-cli -p {port} -n 1 HGETALL velocity:BTCUSDT:current"


def _history_note(tracker: Tracker) -> str:
    """Where events are kept."""
    if tracker.log is None:
        return "History: off"
    place = f"History: {tracker.log.directory}"
    return place if tracker.database is None else f"{place}, and from there the PostgreSQL server named in the settings"


def _trouble(tracker: Tracker) -> list[str]:
    """What cannot be written now; nothing while all is well."""
    log = None if tracker.log is None else tracker.log.health()
    server = None if tracker.database is None else tracker.database.health()
    said = [f"HISTORY NOT WRITTEN: {log.detail}"] if log is not None and log.state in {"failing", "stuck"} else []
    if server is not None and server.state == "failing":
        said.append(f"PostgreSQL not written: {server.detail}; events wait in the local log")
    said += [
        f"{publisher.sink.name} not written: {publisher.detail}"
        for publisher in tracker.publishers
        if publisher.state == "failing"
    ]
    return said


def _left(deadline: float | None, step: float) -> float:
    if deadline is None:
        return step
    return min(step, deadline - asyncio.get_running_loop().time())


async def _table(tracker: Tracker, stop: StopSignals, deadline: float | None, shown: _Shown) -> None:
    highlights = Highlights()
    tracker.on_alert(highlights.changed, "table")
    tracker.on_liquidation(highlights.liquidated, "table")
    began = time.monotonic()
    with held_stderr() as held, FullScreen(shown.out) as screen:
        stop.before_end = screen.leave
        try:
            while True:
                view = _view(tracker, highlights, held, shown, time.monotonic() - began)
                screen.draw(live_screen(view, *screen.size()))
                if await stop.wait(max(0.0, _left(deadline, _REFRESH_SECONDS))) or _left(deadline, 1.0) <= 0:
                    break
        finally:
            stop.before_end = None
    write_soon("".join(f"{sanitize(line, 1_000)}\n" for line in last_words(view)), shown.out)


def _view(tracker: Tracker, highlights: Highlights, held: HeldText, shown: _Shown, up_seconds: float) -> LiveView:
    return LiveView(
        shown.title,
        round(1000 * time.time()),
        up_seconds,
        tracker.market(),
        highlights.market_since_ms,
        _rows(tracker),
        tracker.health(),
        tracker.ledger(),
        highlights.changes(),
        highlights.largest(tracker.now_ms()),
        [*shown.notes, forecast_line(tracker.forecast())],
        [*_trouble(tracker), *_hint(tracker)],
        held.newest(_LOGGED),
        tracker.alarms.wakes_at_days(MARKET),
    )


async def _lines(
    tracker: Tracker, stop: StopSignals, deadline: float | None, notes: Sequence[str], out: TextIO
) -> None:
    """Print venues when their state changes, the busiest instruments every few seconds, alerts at once; each timed."""

    def say(lines: Sequence[str]) -> None:
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        _say([f"{now} {line}" for line in lines], out)

    def say_alert(alert: Alert) -> None:
        if is_worth_saying(alert):
            say([f"alert {alert_line(alert)}{_step_words(tracker, alert.instrument)}"])

    tracker.on_alert(say_alert, "lines")
    _say(notes, out)
    states: dict[str, str] = {}
    hinted: list[str] = []
    troubled: list[str] = []
    rounds = 0
    while True:
        if await stop.wait(max(0.0, _left(deadline, 1.0))) or _left(deadline, 1.0) <= 0:
            return
        health = tracker.health()
        say([venue_line(venue) for venue in health if states.get(venue.venue) != venue.state])
        states = {venue.venue: venue.state for venue in health}
        if troubled != (troubled := _trouble(tracker)):
            say(troubled or ["all is written again"])
        if not hinted and (hinted := _hint(tracker)):
            say(hinted)
        rows = sorted(_rows(tracker), key=lambda row: -row.usd_velocity_60s)
        if rows and rounds % _LINES_EVERY == 0:
            say([metric_line(row) for row in rows[:_LINES]])
        rounds += bool(rows)


def _step_words(tracker: Tracker, instrument: str) -> str:
    """How rare it would have to be to wake a person."""
    days = tracker.alarms.wakes_at_days(instrument)
    return "" if days is None else f"; {wakes_words(days)}"


def _hint(tracker: Tracker) -> list[str]:
    """What to try when no venue could be reached at all."""
    connections = [connection for feed in tracker.feeds for connection in feed.connections]
    if connections and all(c.reconnects >= _HOPELESS and c.last_data_age is None for c in connections):
        return ["no venue can be reached from here; `liqtape demo` shows the system without a network"]
    return []
