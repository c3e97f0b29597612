"""What users write against liqtape, held to its types by `make check`. Nothing here is run."""

from pathlib import Path
from typing import assert_type

import liqtape
from liqtape import Alert, Batch, Liquidation, Settings, Sink, Tracker, VelocityEngine, VelocityMetrics
from liqtape.cascades.cascade import Cascade
from liqtape.cascades.venuelead import VenueLead
from liqtape.errors import DecodeError, LiqtapeError
from liqtape.events import Event, Gap, PriceTick, Trouble, VenueHealth
from liqtape.ledger import Ledger
from liqtape.settings import HistorySettings, RedisSettings, VenueSettings
from liqtape.sinks.callback import CallbackQueue
from liqtape.sinks.sink import Refusal


def asks_an_engine(liquidation: Liquidation) -> None:
    engine = VelocityEngine()
    engine.feed_up("binance", 1_790_000_000_000)
    engine.feed_down("binance", 1_790_000_000_000)
    assert_type(engine.add(liquidation), bool)
    row = engine.metrics("BTCUSDT", 1_790_000_010_000)
    assert_type(row, VelocityMetrics | None)
    if row is not None:
        assert_type(row.velocity_10s, float)
        assert_type(row.event_count_300s, int)
        assert_type(row.coverage_60s, float | None)
        assert_type(row.partial, bool)
    assert_type(engine.metrics("BTCUSDT", 1_790_000_010_000, at={"binance": 1_790_000_009_000}), VelocityMetrics | None)


def reads_a_cascade(cascade: Cascade) -> None:
    assert_type(cascade.end_ms, int | None)
    assert_type(cascade.usd, float)
    assert_type(cascade.times_usual, float | None)
    assert_type(cascade.lead, VenueLead | None)
    assert_type(cascade.move_hour_after, float | None)


def reads_a_liquidation(liquidation: Liquidation) -> None:
    assert_type(liquidation.price, float)
    assert_type(liquidation.quantity, float | None)
    assert_type(liquidation.notional_usd, float | None)
    assert_type(liquidation.event_ms, int)
    assert_type(liquidation.id, str)
    is_long: bool = liquidation.side == "long"
    assert_type(is_long, bool)


def decodes_a_frame(payload: bytes) -> list[Event]:
    try:
        return liqtape.venues.VENUES["bybit"].decode(payload, 1_790_000_000_000)
    except DecodeError as error:
        assert_type(error, DecodeError)
        as_base: LiqtapeError = error
        raise as_base from error


def chooses_settings(path: Path) -> list[Settings]:
    return [
        Settings(),
        Settings.load(),
        Settings.load(path, environ={}, options={"redis": {"url": "off"}}),
        Settings(
            symbols=("BTCUSDT",),
            venues={"bybit": VenueSettings(redundancy=2)},
            redis=RedisSettings("redis://localhost:6379/1"),
            history=HistorySettings(str(path)),
        ),
    ]


async def follows_a_tracker() -> None:
    async with Tracker(Settings()) as tracker:
        async for liquidation in tracker.liquidations():
            assert_type(liquidation, Liquidation)
            break
        async for alert in tracker.alerts():
            assert_type(alert, Alert)
            break
        assert_type(await anext(tracker.alerts()), Alert)
        assert_type(tracker.snapshot(tracker.active()), list[VelocityMetrics])
        assert_type(tracker.market(), VelocityMetrics)
        assert_type(tracker.health(), list[VenueHealth])
        assert_type(tracker.gaps(), list[Gap])
        assert_type(tracker.cascades(), list[Cascade])
        assert_type(tracker.ledger(), Ledger)
        assert_type(tracker.redis_url, str | None)


def prints_a_liquidation(liquidation: Liquidation) -> None:
    assert_type(liquidation, Liquidation)


async def sends_an_alert(alert: Alert) -> None:
    assert_type(alert, Alert)


def is_called_back(tracker: Tracker) -> None:
    assert_type(tracker.on_liquidation(prints_a_liquidation), CallbackQueue[Liquidation])
    assert_type(tracker.on_alert(sends_an_alert), CallbackQueue[Alert])
    assert_type(tracker.on_cascade(reads_a_cascade), CallbackQueue[Cascade])
    tracker.on_gap(lambda gap: assert_type(gap, Gap))
    tracker.on_trouble(lambda trouble: assert_type(trouble, Trouble))


def brings_events_of_its_own(tracker: Tracker, events: list[Event], liquidation: Liquidation) -> None:
    ledger = tracker.new_ledger()
    tracker.ingest(events, ledger)
    tracker.admit(liquidation, ledger)
    assert_type(ledger.balanced(), bool)


class OwnSink:
    """A sink inherits nothing: the methods are what makes it one."""

    name = "own"

    async def open(self) -> None: ...

    async def publish(self, batch: Batch) -> Refusal | None:
        for row in batch.metrics:
            assert_type(row, VelocityMetrics)
        assert_type(batch.price, PriceTick | None)
        return None

    async def close(self) -> None: ...


def writes_into_a_sink_of_its_own() -> Tracker:
    sink: Sink = OwnSink()
    return Tracker(Settings(), sinks=[sink])
