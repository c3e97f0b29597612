"""A tracker in the foreground for programs: rows, alerts and states as NDJSON."""

from typing import Any, TextIO

import msgspec

from liqtape.cli.foreground import StopSignals
from liqtape.events import Alert, VelocityMetrics
from liqtape.tracker import Tracker

__all__ = ["tell"]

_encode = msgspec.json.Encoder().encode
_SECONDS = 1.0


async def tell(tracker: Tracker, stop: StopSignals, out: TextIO) -> None:
    """Write a line for each row that changed (once a second), each alert, and each new state of a venue.

    Every object has its `kind`: row, alert or state.
    """

    def say(kind: str, told: Any) -> None:
        out.write(_encode({"kind": kind, **msgspec.to_builtins(told)}).decode() + "\n")

    def say_alert(alert: Alert) -> None:
        say("alert", alert)
        out.flush()

    tracker.on_alert(say_alert, "NDJSON")
    states: dict[str, str] = {}
    rows: dict[str, tuple[int, ...]] = {}
    while not await stop.wait(_SECONDS):
        for venue in tracker.health():
            if states.get(venue.venue) != venue.state:
                say("state", venue)
                states[venue.venue] = venue.state
        for row in tracker.snapshot(tracker.active()):
            counts = _counts(row)
            if rows.get(row.symbol) != counts:
                say("row", row)
                rows[row.symbol] = counts
        out.flush()


def _counts(row: VelocityMetrics) -> tuple[int, ...]:
    """What changes when an event comes into a window, or leaves one."""
    return row.event_count_10s, row.event_count_30s, row.event_count_60s, row.event_count_300s
