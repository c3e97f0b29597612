import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import pytest
import redis.asyncio

from liqtape.compat.events import LiquidationEvent
from liqtape.compat.manager import EnhancedWebSocketManager
from liqtape.compat.price import BTCPriceFeed, BTCPriceUpdate
from liqtape.compat.streams import STREAMS, BinanceLiquidationStream, HyperliquidLiquidationProvider, Stream
from liqtape.simulator import Simulator

Eventually = Callable[[Callable[[], bool]], Awaitable[None]]
Point = Callable[[Simulator | None], dict[str, str]]
_FAST = 3.0  # the shock begins after two seconds of the scenario


async def test_each_native_stream_works_alone(addresses: Point, eventually: Eventually) -> None:
    got: dict[str, list[LiquidationEvent]] = {venue: [] for venue in STREAMS}
    async with Simulator("cascade", speed=_FAST) as simulator:
        addresses(simulator)
        streams = [kind(callback=got[venue].append) for venue, kind in STREAMS.items()]
        for stream in streams:
            await stream.start()  # awaited directly it returns, and the stream runs on
        await eventually(lambda: all(got.values()))
        await asyncio.gather(*(stream.stop() for stream in streams))

    for venue, events in got.items():
        assert {event.exchange_name for event in events} == {venue}
        assert {event.side_name for event in events} <= {"LONG", "SHORT"}
    assert not any(stream.running for stream in streams)


@pytest.mark.parametrize("is_cancelled", [True, False], ids=["cancelled", "stopped"])
async def test_as_a_task_it_lasts_until_the_end(addresses: Point, eventually: Eventually, is_cancelled: bool) -> None:
    got: list[LiquidationEvent] = []

    async def callback(event: LiquidationEvent) -> None:
        got.append(event)

    async with Simulator("cascade", speed=_FAST) as simulator:
        addresses(simulator)
        stream = BinanceLiquidationStream(callback)
        task = asyncio.create_task(stream.start())
        await eventually(lambda: len(got) > 3)
        assert not task.done()
        if is_cancelled:
            task.cancel()
        else:
            await stream.stop()
        await asyncio.gather(task, return_exceptions=True)

    assert not stream.running


async def test_provider_gives_an_async_iterator(addresses: Point) -> None:
    async with Simulator("cascade", speed=_FAST) as simulator, asyncio.timeout(15):
        addresses(simulator)
        provider = HyperliquidLiquidationProvider(["BTC", "ETH"])
        events = provider.start_monitoring()
        got = [await anext(events) for _ in range(2)]
        await provider.stop_monitoring()
        async for _ in events:
            pass

    assert {event.symbol for event in got} <= {"BTCUSDC", "ETHUSDC"}


async def test_url_can_be_assigned(eventually: Eventually) -> None:
    got: list[Any] = []
    async with Simulator("cascade", speed=_FAST) as simulator:
        stream = BinanceLiquidationStream(got.append)
        assert stream.url == "ws://127.0.0.1:9/market/ws"
        stream.url = simulator.ws_url("binance") + "/market/ws"
        await stream.start()
        await eventually(lambda: bool(got))
        await stream.stop()

    assert {event.exchange_name for event in got} == {"binance"}


async def test_old_stream_and_manager_run_side_by_side(
    addresses: Point, eventually: Eventually, redis_port: int
) -> None:
    old: list[LiquidationEvent] = []
    new: list[LiquidationEvent] = []
    async with Simulator("cascade", speed=_FAST) as simulator:
        addresses(simulator)
        stream = BinanceLiquidationStream(old.append)
        await stream.start()
        manager = EnhancedWebSocketManager(["BTCUSDT"], redis_port=redis_port)
        manager.user_callback = new.append
        manager.add_cex_exchange("binance")
        manager.add_cex_exchange("bybit")
        running = asyncio.create_task(manager.start_all())
        await eventually(lambda: len(new) > 20 and len(old) > 20)
        await eventually(lambda: manager.btc_price_feed.last_price is not None)
        await simulator.stop_generating()
        await asyncio.sleep(0.3)
        metrics = manager.velocity_tracker.calculate_velocity("BTCUSDT")
        assert manager.tracker is not None
        rows = manager.tracker.snapshot(["BTCUSDT"])
        stats = manager.get_stats()
        await manager.stop_all()
        await asyncio.gather(running, stream.stop())

    sent = [record for record in simulator.ledger.distinct() if record.symbol == "BTCUSDT"]
    mine = [record for record in sent if record.venue in {"binance", "bybit"}]
    assert {event.symbol for event in new} == {"BTCUSDT"}
    assert len(new) == len(mine) == metrics.event_count_300s == rows[0].event_count_300s
    assert metrics.total_value_usd == rows[0].total_value_usd
    assert len({event.symbol for event in old}) > 1
    assert stats["health"] == {"binance": "live", "bybit": "live"}
    assert stats["redis"] == {"redis": "ok"}
    assert metrics.btc_price == stats["btc_price_feed"]["last_price"]


async def test_a_native_stream_given_as_an_object_keeps_its_callback(addresses: Point, eventually: Eventually) -> None:
    old: list[Any] = []
    new: list[Any] = []
    async with Simulator("cascade", speed=_FAST) as simulator:
        addresses(simulator)
        manager = EnhancedWebSocketManager(["BTCUSDT"], redis_port=9)
        manager.user_callback = new.append
        manager.add_cex_exchange("binance", stream=BinanceLiquidationStream(old.append))
        running = asyncio.create_task(manager.start_all())
        await eventually(lambda: len(new) > 3 and len(old) > 3)
        ledger = manager.get_stats()["ledger"]
        await manager.stop_all()
        await running

    assert [id(event) for event in new[:3]] == [id(event) for event in old[:3]]
    assert ledger["events_accepted"] > 0


async def test_a_venue_added_after_the_start_is_served(addresses: Point, eventually: Eventually) -> None:
    got: list[LiquidationEvent] = []
    async with Simulator("cascade", speed=_FAST) as simulator:
        addresses(simulator)
        manager = EnhancedWebSocketManager(["BTCUSDT"], redis_port=9)
        manager.user_callback = got.append
        await manager.initialize()
        manager.add_cex_exchange("bybit")
        running = asyncio.create_task(manager.start_all())
        await asyncio.sleep(0.1)
        manager.add_dex_hyperliquid(["BTC"])
        await eventually(lambda: {event.exchange_name for event in got} == {"bybit", "hyperliquid"})
        snapshot = manager.tracker.snapshot(["BTCUSDT", "BTCUSDC"]) if manager.tracker else []
        await manager.stop_all()
        await running

    assert {row.symbol for row in snapshot} == {"BTCUSDT", "BTCUSDC"}
    assert {event.symbol for event in got} == {"BTCUSDT", "BTCUSDC"}


async def test_price_feed_works_alone(addresses: Point, eventually: Eventually) -> None:
    got: list[BTCPriceUpdate] = []
    async with Simulator("calm") as simulator:
        addresses(simulator)
        feed = BTCPriceFeed(got.append)
        running = asyncio.create_task(feed.start())
        await eventually(lambda: len(got) > 2)
        stats = feed.get_stats()
        await feed.stop()
        await running

    assert (stats["running"], stats["source"], feed.running) == (True, "binance", False)
    assert feed.last_update is not None
    assert got[0].price > 1_000


@pytest.mark.parametrize("is_callback_first", [True, False])
async def test_price_feed_takes_a_callback_and_a_redis_client_in_either_order(
    addresses: Point, eventually: Eventually, redis_port: int, is_callback_first: bool
) -> None:
    got: list[BTCPriceUpdate] = []
    client: Any = redis.asyncio.Redis(port=redis_port, db=1)
    given = (got.append, client) if is_callback_first else (client, got.append)
    async with Simulator("calm") as simulator:
        addresses(simulator)
        feed = BTCPriceFeed(*given)
        running = asyncio.create_task(feed.start())
        await eventually(lambda: feed.stored is not None)
        await feed.stop()
        await running
    kept = json.loads(await client.get("btc:price:current"))
    left = await client.ttl("btc:price:current")
    await client.aclose()

    assert feed.stored is not None
    assert kept == asdict(feed.stored)
    assert feed.stored in got
    assert 0 < left <= 60


def test_price_feed_refuses_what_is_neither() -> None:
    with pytest.raises(TypeError, match="not str"):
        BTCPriceFeed("BTCUSDT")


def test_streams_are_named_as_in_the_document() -> None:
    assert issubclass(BinanceLiquidationStream, Stream)
    assert [kind.__name__ for kind in STREAMS.values()] == [
        "BinanceLiquidationStream",
        "BybitLiquidationStream",
        "OKXLiquidationStream",
        "HyperliquidLiquidationProvider",
    ]
