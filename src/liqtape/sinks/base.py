"""What a sink is: a place the newest state is written to, one batch at a time."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from liqtape.events import Alert, Liquidation, PriceTick, VelocityMetrics, VenueHealth

__all__ = ["Batch", "Sink"]


class Batch(Struct, frozen=True):
    """One flush: metrics of the instruments that changed (newest only), and everything else that is new.

    `events` are oldest first and already bounded; `events_dropped` counts what that bound has cost so far. After `open`
    or a failed write a batch bears `resync`: `events` are then all recent ones and replace what the sink holds.
    """

    metrics: Sequence[VelocityMetrics] = ()
    events: Sequence[Liquidation] = ()
    alerts: Sequence[Alert] = ()
    price: PriceTick | None = None
    health: Sequence[VenueHealth] = ()
    events_dropped: int = 0
    resync: bool = False


class Sink(Protocol):
    """A target of batches; `publish` is never called again before it returned.

    It raises `SinkError` when part of the batch was refused and the rest done: everything but the alerts comes again.
    After `SinkUnavailable` nothing is certain: `open` is called, and then everything comes again.
    """

    @property
    def name(self) -> str: ...

    async def open(self) -> None: ...

    async def publish(self, batch: Batch) -> None: ...

    async def close(self) -> None: ...
