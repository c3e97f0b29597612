"""How a tracker ends: all that have something to write do so at the same time, under one deadline; the rest is told.

A time limit for each would add up: with Redis, PostgreSQL and the disk hanging at once the last one would begin when
the service manager has lost its own.
"""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from typing import Any

from liqtape.forecastlog.issuewriter import IssueWriter
from liqtape.history.log.eventlog import EventLog
from liqtape.recording.recorder import Recorder
from liqtape.sinks.callback import CallbackQueue
from liqtape.sinks.postgres.postgressink import PostgresSink
from liqtape.sinks.publisher import Publisher

__all__ = ["Deadline", "end", "end_callbacks", "end_forecasts", "end_history", "end_publishers", "end_recorder"]

_CLOSE_SECONDS = 0.5  # of the rest, for hanging up on whoever did not answer


class Deadline:
    """A moment all share."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self, reserve: float = 0.0) -> float:
        """Seconds until then, less those in reserve; never below 0."""
        return max(0.0, self._at - reserve - time.monotonic())


async def end(seconds: float, *work: Awaitable[object]) -> None:
    """Await all at once; what has not ended by then is cancelled and left behind. Raises what one of them raised."""
    if not work:
        return
    tasks = [asyncio.ensure_future(one) for one in work]
    ended, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        task.cancel()
    for task in ended:
        if not task.cancelled():
            task.result()


async def end_publishers(
    publishers: Sequence[Publisher], tasks: Sequence[asyncio.Task[None]], deadline: Deadline
) -> list[str]:
    """Let them write what is pending; returns what they could not."""
    for publisher in publishers:
        publisher.stop()
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=deadline.left(_CLOSE_SECONDS))
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=deadline.left())
    return [f"{publisher.sink.name}: {rest}" for publisher in publishers if (rest := publisher.unwritten())]


async def end_callbacks(callbacks: Sequence[CallbackQueue[Any]], deadline: Deadline) -> list[str]:
    """Let their queues drain; returns what was dropped of them."""
    before = [queue.dropped_total for queue in callbacks]
    await end(deadline.left(), *(queue.stop(deadline.left(_CLOSE_SECONDS)) for queue in callbacks))
    return [
        f"callback {queue.name}: {dropped} calls"
        for queue, known in zip(callbacks, before, strict=True)
        if (dropped := queue.dropped_total - known)
    ]


async def end_recorder(recorder: Recorder, deadline: Deadline) -> list[str]:
    """Let it write what it holds; what it could not it tells by itself."""
    await end(deadline.left(), asyncio.to_thread(recorder.close, deadline.left(_CLOSE_SECONDS)))
    return []


async def end_forecasts(writer: IssueWriter | None, deadline: Deadline) -> list[str]:
    """Let the log of forecasts write what waits; returns what it could not."""
    if writer is None:
        return []
    await end(deadline.left(), writer.end())
    return [f"forecast log: {writer.lost} forecasts"] if writer.lost else []


async def end_history(
    log: EventLog, database: PostgresSink | None, storing: asyncio.Task[None] | None, deadline: Deadline
) -> list[str]:
    """Let the log write its buffer, and then the server what the log has; returns what they could not."""
    rest = []
    before = log.health().events_lost
    # In a thread, which a disk that hangs may keep as well.
    await end(deadline.left(), asyncio.to_thread(log.stop, deadline.left(_CLOSE_SECONDS)))
    if lost := log.health().events_lost + log.events_pending - before:
        rest.append(f"history: {lost} events, which are lost")
    if database is not None and storing is not None:
        await end(deadline.left(), database.stop(deadline.left(_CLOSE_SECONDS)))
        storing.cancel()
        await asyncio.wait([storing], timeout=deadline.left())
        if behind := database.health().events_behind:
            rest.append(f"postgres: {behind} events, which the next run writes")
    return rest
