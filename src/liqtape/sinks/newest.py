"""Batches that were made elsewhere, through the publisher of live runs: a slow sink gets the newest state."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from liqtape.errors import SinkUnavailable
from liqtape.events import VelocityMetrics
from liqtape.sinks.publisher import Publisher
from liqtape.sinks.sink import Batch, Sink

__all__ = ["publishing_newest"]


@asynccontextmanager
async def publishing_newest(sink: Sink) -> AsyncIterator[Callable[[Batch], None]]:
    """Yield a function that takes batches and never waits; at the end what is pending is written.

    Metrics the sink was too slow for are replaced by newer ones, of the events it gets the newest. Raises
    SinkUnavailable at the end when nothing at all could be written.
    """
    latest: dict[str, VelocityMetrics] = {}
    publisher = Publisher(sink, lambda names: [latest[name] for name in names if name in latest], lambda: [*latest])

    def publish(batch: Batch) -> None:
        latest.update((row.symbol, row) for row in batch.metrics)
        publisher.accepted(batch.events)
        publisher.changed([row.symbol for row in batch.metrics])
        for alert in batch.alerts:
            publisher.announce(alert)
        for cascade in batch.cascades:
            publisher.cascade(cascade)

    publishing = asyncio.create_task(publisher.run())
    try:
        yield publish
    finally:
        publisher.stop()
        await publishing
    if latest and not publisher.batches_total:
        raise SinkUnavailable(f"{sink.name}: nothing could be written")
