"""Event files through the engine, on a grid of whole seconds: no wall clock decides what comes out."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from math import inf

from liqtape.engine import VelocityEngine
from liqtape.engine.velocity import MARKET
from liqtape.eventfiles.eventtable import EventTable
from liqtape.events import Alert, Liquidation
from liqtape.pipeline.grid import GridStep, rows_due
from liqtape.pipeline.levelalerts import Levels
from liqtape.pipeline.rerun import Rerun, feed_marks

__all__ = ["GridStep", "paced", "steps"]


def steps(
    table: EventTable, every: int = 1, coverage: Sequence[tuple[int, int]] = (), engine: VelocityEngine | None = None
) -> Iterator[GridStep]:
    """The seconds of the grid at which there is something to tell.

    The grid is s, s + `every`, ...; s is the second the earliest event lies in (its `event_ms // 1000`). At a second g
    all events with `event_ms` <= 1000 g are in, so an event at exactly g belongs to g, and one within a second belongs
    to the next: rows begin at the first g that has an event behind it. An instrument has a row while an event is in its
    largest window, and one of zeros when the last has left. A silence costs nothing: the grid is not walked through it.

    Levels are looked at after each event, in order of event time, and each second, whatever `every` is; alerts say so.
    `coverage` has (begin, end) in ms of when all venues of the table were watched; without it that is from the first
    event on. Where it ends a level stays as it is, and the steps end with the last row. `engine` brings another level
    rule than the default.
    """
    engine = VelocityEngine() if engine is None else engine
    levels = Levels(engine)
    order = table.in_order()
    rerun = Rerun(engine, feed_marks((venue, *span) for venue in table.venues() for span in coverage))
    second = min(table.times_ms, default=0) // 1000
    shown: set[str] = set()
    at = looked = 0  # events in, and the second up to which levels were looked at
    blind_ms = max((until_ms for _, until_ms in coverage), default=inf)  # from here on no level comes down
    while at < len(order) or shown or (engine.is_raised() and 1000 * second <= blind_ms):
        if not shown and not engine.is_raised():  # nothing will change before the next event is in
            due = -(-table.times_ms[order[at]] // 1000)
            second += -(-max(0, due - second) // every) * every
            looked = max(looked, second - every)
        events: list[Liquidation] = []
        alerts: list[Alert] = []
        for look in range(looked + 1 if looked else second, second + 1):
            now_ms = 1000 * look
            changed: set[str] = {MARKET}
            while at < len(order) and table.times_ms[order[at]] <= now_ms:
                event = table.event(order[at])
                events.append(event)
                rerun.add(event)
                changed.add(event.instrument)
                at += 1
            rerun.tick(now_ms)
            for instrument in sorted(changed.union(levels.raised())):
                alert = levels.check(instrument, now_ms)
                if alert is not None:
                    alerts.append(alert)
        looked = second
        now_ms = 1000 * second
        rows = rows_due(engine, shown | {event.instrument for event in events}, shown, now_ms)
        if events or rows or alerts:
            yield GridStep(second, events, rows, alerts)
        second += every


async def paced(
    steps: Iterable[GridStep],
    speed: float | None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[GridStep]:
    """The steps at `speed` times the pace of their own seconds; None: as fast as they come."""
    started, first = clock(), None
    for step in steps:
        first = step.second if first is None else first
        wait = 0.0 if speed is None else (step.second - first) / speed - (clock() - started)
        await sleep(max(0.0, wait))
        yield step
