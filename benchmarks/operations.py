"""The operations whose instructions are counted: what to call, and what to call it on."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from benchmarks.decode import STEPS, steps
from benchmarks.frames import FRAMES
from benchmarks.stream import Stream
from liqtape.engine import VelocityEngine
from liqtape.events import VelocityMetrics
from liqtape.instruments import Instruments
from liqtape.ledger import Ledger
from liqtape.pipeline.admission import Intake
from liqtape.settings import RedisSettings, Settings, VenueSettings
from liqtape.tracker import Tracker
from liqtape.venues import VENUES
from liqtape.venues.base import Venue

__all__ = ["LOADS", "OPERATIONS", "Operation"]

LOADS = "json.loads"

_EVENT_MS = 1_790_000_000_000
_IN_WINDOW = 300

Work = Callable[[Sequence[Any]], object]
Operation = Callable[[int], tuple[Work, Sequence[Any]]]
"""From a number to what does it and as many things to do it to."""


def _frames(venue: str, count: int) -> list[bytes]:
    return [FRAMES[venue](i, _EVENT_MS + i) for i in range(count)]


def _loaded(venue: str, count: int) -> tuple[Work, Sequence[Any]]:
    def loads(texts: Sequence[str]) -> None:
        for text in texts:
            json.loads(text)

    return loads, [frame.decode() for frame in _frames(venue, count)]


def _decoded(venue: str, step: str, count: int) -> tuple[Work, Sequence[Any]]:
    return steps(VENUES[venue])[step], _frames(venue, count)


def _taken(venue: str, count: int) -> tuple[Work, Sequence[Any]]:
    """Decoded, compared with what came before, sized, counted, in the windows and in the ledger."""
    spoken: Venue = VENUES[venue]
    intake = Intake(VelocityEngine(), Instruments(lambda _, symbol: spoken.parse_symbol(symbol)))
    ledger = Ledger()

    def take(frames: Sequence[bytes]) -> None:
        for frame in frames:
            intake.take(spoken.decode(frame, _EVENT_MS), ledger, _EVENT_MS)

    return take, _frames(venue, count)


def _through_tracker(venue: str, count: int) -> tuple[Work, Sequence[Any]]:
    """The same, and on to the levels and to one who hears of each liquidation."""
    spoken: Venue = VENUES[venue]
    tracker = Tracker(Settings(venues={venue: VenueSettings()}, redis=RedisSettings("off")))
    ledger, heard = tracker.new_ledger(), tracker.liquidations()

    def ingest(frames: Sequence[bytes]) -> None:
        for frame in frames:
            tracker.ingest(spoken.decode(frame, _EVENT_MS), ledger)
        if heard.dropped_total or ledger.events_accepted < len(frames):
            raise RuntimeError(f"not every event went through: {ledger}")

    return ingest, _frames(venue, count)


def _engine(work: Callable[[Stream, list[Any]], None], count: int) -> tuple[Work, Sequence[Any]]:
    stream = Stream(_IN_WINDOW)
    return partial(work, stream), stream.next(count)


def _rows(count: int) -> tuple[Work, Sequence[Any]]:
    """Rows of one instrument, an event apart, as commands for Redis."""
    from liqtape.sinks.redis.hashes import Hashes

    stream, rows = Stream(_IN_WINDOW), []
    for event in stream.next(count):
        stream.engine.add(event)
        rows.append(stream.engine.metrics(event.instrument, event.event_ms))
    hashes = Hashes()

    def write(some: Sequence[VelocityMetrics]) -> None:
        for row in some:
            hashes.write(row, 0.0)

    return write, rows


OPERATIONS: dict[str, Operation] = {
    **{f"{venue}: {LOADS}": partial(_loaded, venue) for venue in FRAMES},
    **{f"{venue}: {step}": partial(_decoded, venue, step) for venue in FRAMES for step in STEPS},
    "bybit: a frame into the windows": partial(_taken, "bybit"),
    "bybit: a frame through the tracker": partial(_through_tracker, "bybit"),
    "engine: add": partial(_engine, Stream.add),
    "engine: add + windows": partial(_engine, Stream.add_and_totals),
    "engine: add + level": partial(_engine, Stream.add_and_level),
    "engine: add + metrics": partial(_engine, Stream.add_and_metrics),
    "Redis: a row after an event, packed": _rows,
}
