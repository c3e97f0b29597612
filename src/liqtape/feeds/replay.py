"""Event files through the engine, on a grid of whole seconds: no wall clock decides what comes out."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from liqtape.engine import VelocityEngine
from liqtape.engine.cascade import Levels
from liqtape.events import Alert, Liquidation, VelocityMetrics
from liqtape.feeds.tape import Tape

__all__ = ["Step", "paced", "rows_due", "steps"]


class Step(Struct, frozen=True):
    """One second of the grid: the liquidations added for it and then the metrics at it, sorted by instrument."""

    second: int
    events: Sequence[Liquidation]
    rows: Sequence[VelocityMetrics]
    alerts: Sequence[Alert]


def steps(tape: Tape, every: int = 1) -> Iterator[Step]:
    """The seconds of the grid at which there is something to tell.

    The grid is s, s + `every`, ...; s is the second the earliest event lies in (its `event_ms // 1000`). At a second g
    all events with `event_ms` <= 1000 g are in, so an event at exactly g belongs to g, and one within a second belongs
    to the next: rows begin at the first g that has an event behind it. An instrument has a row while an event is in its
    largest window, and one of zeros when the last has left. A silence costs nothing: the grid is not walked through it.
    """
    engine = VelocityEngine()
    levels = Levels(engine)
    order = tape.by_second()
    second = min(tape.times_ms, default=0) // 1000
    shown: set[str] = set()
    at = 0
    while at < len(order) or shown or levels.raised():
        if not shown and not levels.raised():  # nothing will change before the next event is in
            due = -(-tape.times_ms[order[at]] // 1000)
            second += -(-max(0, due - second) // every) * every
        now_ms = 1000 * second
        events: list[Liquidation] = []
        while at < len(order) and tape.times_ms[order[at]] <= now_ms:
            events.append(tape.event(order[at]))
            engine.add(events[-1])
            at += 1
        engine.tick(now_ms)
        instruments = {event.instrument for event in events}
        alerts = [
            alert
            for instrument in sorted(instruments.union(levels.raised()))
            if (alert := levels.check(instrument, now_ms))
        ]
        rows = rows_due(engine, shown | instruments, shown, now_ms)
        if events or rows or alerts:
            yield Step(second, events, rows, alerts)
        second += every


def rows_due(
    engine: VelocityEngine,
    instruments: Iterable[str],
    shown: set[str],
    now_ms: int,
    at: Mapping[str, int] | None = None,
) -> list[VelocityMetrics]:
    """The rows due now, `at` as for the engine.

    `shown`, the instruments whose last row was not of zeros, is kept up to date.
    """
    rows = []
    for instrument in sorted(instruments):
        row = engine.metrics(instrument, now_ms, at=at)
        if row is None:
            continue
        if row.event_count_300s:
            shown.add(instrument)
        elif instrument in shown:
            shown.remove(instrument)
        else:
            continue  # came and left between two seconds of the grid
        rows.append(row)
    return rows


async def paced(
    steps: Iterable[Step],
    speed: float | None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[Step]:
    """The steps at `speed` times the pace of their own seconds; None: as fast as they come."""
    started, first = clock(), None
    for step in steps:
        first = step.second if first is None else first
        wait = 0.0 if speed is None else (step.second - first) / speed - (clock() - started)
        await sleep(max(0.0, wait))
        yield step
