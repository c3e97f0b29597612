"""What a sink is: a place the newest state is written to, one batch at a time."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from liqtape.cascades.cascade import Cascade
from liqtape.events import Alert, Level, Liquidation, PriceTick, VelocityMetrics, VenueHealth

__all__ = ["Batch", "Refusal", "Sink"]


class Batch(Struct, frozen=True):
    """One flush: metrics of the instruments that changed (newest only), and everything else that is new.

    `events` are oldest first and already bounded; `events_dropped` counts what that bound has cost so far. After `open`
    or a failed write a batch bears `resync`: `events` are then all recent ones and replace what the sink holds.
    `levels` are to be written whatever was written before: those that changed, and now and then all above NONE.
    `cascades` are those of which there is something new; `standing_cascades` all that go on, and behind them the last
    that ended: None while nothing of them changed.
    """

    metrics: Sequence[VelocityMetrics] = ()
    events: Sequence[Liquidation] = ()
    alerts: Sequence[Alert] = ()
    price: PriceTick | None = None
    health: Sequence[VenueHealth] = ()
    events_dropped: int = 0
    resync: bool = False
    levels: Mapping[str, Level] = {}
    cascades: Sequence[Cascade] = ()
    standing_cascades: Sequence[Cascade] | None = None


class Refusal(Struct, frozen=True):
    """What the server refuses while all else of the batch is done: the text for people, `cause` as in `SinkError`.

    It stands until the server takes what it refused. `alerts_lost` of this batch were not announced.
    """

    text: str
    cause: str
    alerts_lost: int = 0


class Sink(Protocol):
    """A target of batches; `publish` is never called again before it returned.

    It raises `SinkError` when part of the batch was refused and the rest done: everything but the alerts comes again.
    After `SinkUnavailable` nothing is certain: `open` is called, and then everything comes again, of the alerts those
    that the error does not say were announced. What nothing comes again for, refused alerts and what an earlier batch
    was refused, is returned as long as it stands.
    """

    @property
    def name(self) -> str: ...

    async def open(self) -> None: ...

    async def publish(self, batch: Batch) -> Refusal | None: ...

    async def close(self) -> None: ...
