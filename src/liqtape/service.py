"""A tracker in the foreground: what `run` and `demo` show, and how they end."""

import asyncio
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.live import Live

from liqtape.events import Alert
from liqtape.tracker import Tracker
from liqtape.tui.table import alert_line, live_view, metric_line, venue_line

__all__ = ["StopSignals", "watch"]

_REFRESH_SECONDS = 0.25
_LINES_SECONDS = 5.0
_FIRST_LINES_SECONDS = 1.0
_LINES = 5


class StopSignals:
    """SIGINT and SIGTERM as an event: `received` is the signal's number, 0 while there was none."""

    def __init__(self) -> None:
        self.received = 0
        self._event = asyncio.Event()

    @contextmanager
    def installed(self) -> Iterator["StopSignals"]:
        """Catch the signals inside the block."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._note, number)
        try:
            yield self
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _note(self, number: int) -> None:
        self.received = number
        self._event.set()

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait for a signal, at most `seconds`; whether one came."""
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except TimeoutError:
            return False
        return True


async def watch(
    tracker: Tracker, stop: StopSignals, seconds: float | None, notes: Sequence[str] = (), out: TextIO | None = None
) -> None:
    """Show the tracker until a signal or for `seconds`: a live table on a terminal, plain lines in a pipe."""
    out = sys.stdout if out is None else out
    deadline = None if seconds is None else asyncio.get_running_loop().time() + seconds
    if out.isatty():
        await _table(tracker, stop, deadline, notes, Console(file=out))
    else:
        await _lines(tracker, stop, deadline, notes, out)


def _left(deadline: float | None, step: float) -> float:
    if deadline is None:
        return step
    return min(step, deadline - asyncio.get_running_loop().time())


async def _table(
    tracker: Tracker, stop: StopSignals, deadline: float | None, notes: Sequence[str], console: Console
) -> None:
    with Live(console=console, auto_refresh=False, screen=False) as live:
        while True:
            rows = tracker.snapshot(tracker.active())
            live.update(live_view(rows, tracker.health(), tracker.ledger(), notes), refresh=True)
            if await stop.wait(max(0.0, _left(deadline, _REFRESH_SECONDS))) or _left(deadline, 1.0) <= 0:
                return


async def _lines(
    tracker: Tracker, stop: StopSignals, deadline: float | None, notes: Sequence[str], out: TextIO
) -> None:
    for note in notes:
        print(note, file=out, flush=True)

    def say(alert: Alert) -> None:
        print("alert", alert_line(alert), file=out, flush=True)

    tracker.on_alert(say, "lines")
    pause = _FIRST_LINES_SECONDS
    while True:
        if await stop.wait(max(0.0, _left(deadline, pause))) or _left(deadline, 1.0) <= 0:
            return
        rows = sorted(tracker.snapshot(tracker.active()), key=lambda row: -row.usd_velocity_60s)
        lines = [venue_line(venue) for venue in tracker.health()] + [metric_line(row) for row in rows[:_LINES]]
        print("\n".join(lines), file=out, flush=True)
        pause = _LINES_SECONDS if rows else _FIRST_LINES_SECONDS
