import asyncio
import logging
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
