"""What venues say twice is known again for a quarter of an hour at least, and what they say late raises no alert."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from enhanced_websocket_manager import EnhancedWebSocketManager
from msgspec.structs import replace

from liqtape.errors import DecodeError
from liqtape.events import Alert, RawLiquidation
from liqtape.identity import Identities, identity
from liqtape.pipeline.onevent import OnAlert
from liqtape.settings import AlertSettings, PriceSettings, RedisSettings, Settings
from liqtape.tracker import Tracker
from liqtape.venues import VENUES
from liqtape.venues.base import Venue

_FIXTURES = Path(__file__).parent / "fixtures"
_A_SECOND = 1_000  # events of one venue: more than any cascade on record


def _real(venue: Venue) -> Iterator[RawLiquidation]:
    for path in sorted((_FIXTURES / venue.name).glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            try:
                yield from (e for e in venue.decode(line, None) if isinstance(e, RawLiquidation))
            except DecodeError:
                continue


@pytest.mark.parametrize("venue", VENUES.values(), ids=VENUES)
def test_a_repeat_is_known_after_a_quarter_of_an_hour_of_cascade(venue: Venue) -> None:
    seen = Identities()
    events = list(_real(venue))[:50]
    start_ms = max(event.event_ms for event in events)
    events = [replace(event, event_ms=start_ms) for event in events]
    first = [seen.is_new(identity(event), event.event_ms) for event in events]
    for i in range(900 * _A_SECOND):
        seen.is_new(str(i), start_ms + 1 + i * 1_000 // _A_SECOND)

    assert any(first)
    assert not any(seen.is_new(identity(event), event.event_ms) for event in events)
    assert seen.forgotten_total == 0


def _cluster(venue: str, at_ms: int, *, replayed: bool) -> list[RawLiquidation]:
    symbol = {"okx": "BTC-USDT-SWAP", "hyperliquid": "BTC"}.get(venue, "BTCUSDT")
    return [
        RawLiquidation(
            venue, symbol, "long", 80_000.0, "fill", 1.0 + i, "base", at_ms - 10 * i, at_ms, replayed=replayed
        )
        for i in range(200)
    ]


@pytest.mark.parametrize("venue", VENUES)
async def test_a_replayed_cluster_raises_no_alert_and_the_same_as_news_does(venue: str) -> None:
    alerts: dict[bool, list[Alert]] = {}
    for replayed in (True, False):
        settings = Settings(
            venues={},
            redis=RedisSettings("off"),
            alerts=AlertSettings("threshold", 5.0, 2.0),
            price=PriceSettings("ws://127.0.0.1:9"),
        )
        tracker = Tracker(settings)
        alerts[replayed] = []
        tracker.listen(OnAlert(alerts[replayed].append))
        now_ms = time.time_ns() // 1_000_000
        tracker.ingest(list(_cluster(venue, now_ms, replayed=replayed)), tracker.new_ledger())
        tracker.pulse(now_ms)
        assert tracker.ledger().events_accepted == 200

    assert alerts[True] == []
    assert alerts[False]


@pytest.mark.parametrize("replayed", [True, False], ids=["replayed", "news"])
async def test_the_founding_alert_knows_replays_too(replayed: bool) -> None:
    manager = EnhancedWebSocketManager(symbols=["BTCUSDT"], redis_host="127.0.0.1", redis_port=9)
    await manager.initialize()
    try:
        tracker = manager.tracker
        assert tracker is not None
        now_ms = time.time_ns() // 1_000_000
        tracker.ingest(list(_cluster("bybit", now_ms, replayed=replayed)), tracker.new_ledger())
        await asyncio.sleep(0)
        assert manager.events_processed == 200
        assert (manager.velocity_alerts > 0) == (not replayed)
    finally:
        await manager.stop_all()
