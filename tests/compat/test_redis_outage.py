import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import redis.asyncio
from redis.exceptions import ConnectionError as NoRedis

from liqtape.compat.manager import EnhancedWebSocketManager
from liqtape.embedded import EmbeddedServer

Eventually = Callable[[Callable[[], bool]], Awaitable[None]]


class Handed:
    def __init__(self, callback: Callable[[Any], Any]) -> None:
        self.callback = callback

    async def start(self) -> None:
        """Nothing: the test calls."""


async def _count(port: int) -> str | None:
    client = redis.asyncio.Redis(host="127.0.0.1", port=port, db=1, decode_responses=True)
    try:
        count: Any = await client.hget("velocity:BTCUSDT:current", "event_count_300s")
    except NoRedis:
        return None
    finally:
        await client.aclose()
    return None if count is None else str(count)


async def _until(port: int, expected: str) -> None:
    async with asyncio.timeout(12):
        while await _count(port) != expected:  # noqa: ASYNC110 - a server tells nobody
            await asyncio.sleep(0.02)


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.message for record in caplog.records if record.levelno >= logging.WARNING and "redis" in record.message
    ]


async def test_redis_absent_then_there_then_gone_then_back(
    free_port: int, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    got: list[Any] = []
    manager = EnhancedWebSocketManager(["BTCUSDT"], redis_host="127.0.0.1", redis_port=free_port)
    manager.user_callback = got.append
    manager.add_cex_exchange("mine", stream=Handed)
    running = asyncio.create_task(manager.start_all())

    async def feed(count: int) -> None:
        for _ in range(count):
            manager.cex_streams["mine"].callback(SimpleNamespace(symbol="BTCUSDT", value_usd=1.0))
            await asyncio.sleep(0)

    await eventually(lambda: bool(_warnings(caplog)))
    await feed(100)  # absent
    await eventually(lambda: len(got) == 100)
    assert manager.get_stats()["redis"] == {"redis": "failing"}
    sink = manager.get_stats()["sinks"]["redis"]
    assert "Connect call failed" in sink.pop("detail")
    assert (sink["state"], sink["alerts_lost"], sink["failures"] > 0) == ("failing", 0, True)

    server = EmbeddedServer(port=free_port)
    await server.start()
    await _until(free_port, "100")
    assert len(_warnings(caplog)) == 1

    await server.stop()
    await feed(100)  # gone
    await eventually(lambda: len(got) == 200 and len(_warnings(caplog)) == 2)
    await asyncio.sleep(1.2)
    assert await _count(free_port) is None  # the manager starts no server
    assert len(_warnings(caplog)) == 2

    server = EmbeddedServer(port=free_port)
    await server.start()
    await _until(free_port, "200")
    assert manager.get_stats()["redis"] == {"redis": "ok"}
    await manager.stop_all()
    await running
    await server.stop()

    assert len(_warnings(caplog)) == 2
    assert (len(got), manager.events_processed) == (200, 200)


SYMBOLS = [
    "BTC/USDT:USDT",
    "BTC-USDT-PERP",
    "BTCUSDT",
    "XBT/USD",
    "SPX 500",
    "FTSE&MIB",
    "BTC+ETH",
    "币安人生USDT",
    'q",\\',
]


async def test_symbols_of_any_spelling_have_their_rows(free_port: int, eventually: Eventually) -> None:
    """A wrapped stream says BTC/USDT:USDT, and so does its key."""
    server = EmbeddedServer(port=free_port)
    await server.start()
    manager = EnhancedWebSocketManager(["BTCUSDT"], redis_host="127.0.0.1", redis_port=free_port)
    manager.add_cex_exchange("kraken", stream=Handed)
    running = asyncio.create_task(manager.start_all())
    await eventually(lambda: manager.tracker is not None and bool(manager.tracker.publishers))

    odd = {"two\r\nlines": "two%0D%0Alines", "\x1b[31m": "%1B[31m", "\u2028": "%E2%80%A8"}
    for symbol in [*SYMBOLS, *odd]:
        event = {"symbol": symbol, "side": "long", "price": 8e4, "quantity": 0.1, "timestamp": time.time() * 1000}
        manager.cex_streams["kraken"].callback(event)

    client = redis.asyncio.Redis(host="127.0.0.1", port=free_port, db=1, decode_responses=True)
    target = {f"velocity:{symbol}:current" for symbol in [*SYMBOLS, *odd.values()]}
    async with asyncio.timeout(12):
        while set(await client.keys("velocity:*")) != target:  # noqa: ASYNC110 - a server tells nobody
            await asyncio.sleep(0.02)
    assert [await client.hget(key, "event_count_300s") for key in sorted(target)] == ["1"] * len(target)
    texts = await client.lrange("cascade:events:buffer", 0, -1)
    assert {json.loads(text)["instrument"] for text in texts} == {*SYMBOLS, *odd.values()}
    assert manager.tracker is not None
    assert set(manager.tracker.active()) == {*SYMBOLS, *odd.values()}
    assert manager.velocity_tracker.calculate_velocity("two\r\nlines").event_count_300s == 1  # theirs is as they say it
    await client.aclose()
    await manager.stop_all()
    await running
    await server.stop()
