"""The claims of the founding document, measured with Redis on: added latency, throughput, memory, Redis operations.

Events go through a manager as a wrapped stream hands them over: read, counted, checked for alerts, into the engine that
is published to Redis, and to an async callback. One symbol, so every event meets the same full window.
"""

import asyncio
import gc
import json
import logging
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import redis

from benchmarks.measure import Figure, Scale, figure, percentile
from benchmarks.redis_write import metrics
from benchmarks.wire import embedded
from liqtape.compat.compact import CompactLiquidation, LiquidationBuffer
from liqtape.compat.manager import EnhancedWebSocketManager
from liqtape.compat.velocity import EventBuffer
from liqtape.sinks.redis.redissink import RedisSink
from liqtape.sinks.sink import Batch

_LATENCY_EVENTS = 10_000
_FLOOD_EVENTS = 30_000
_OPERATIONS = 2_000
_FLOOD_SECONDS = 60
_BURST = 50
_BUFFERED = 1_000
_KEY = "velocity:BTCUSDT:current"
_KIB = 1024


class _Handed:
    """A stream whose callback the benchmark calls."""

    def __init__(self, callback: Callable[[Any], Any]) -> None:
        self.callback = callback

    async def start(self) -> None:
        """Nothing: the benchmark calls."""


def _event(number: int) -> SimpleNamespace:
    side = "LONG" if number % 3 else "SHORT"
    return SimpleNamespace(symbol="BTCUSDT", side=side, price=80_000.5 + number % 100, quantity=0.162, exchange="bybit")


@asynccontextmanager
async def _manager(port: int) -> AsyncIterator[tuple[EnhancedWebSocketManager, list[Any]]]:
    """A running manager at this Redis, without venues, and what its callback got."""
    got: list[Any] = []

    async def callback(event: Any) -> None:
        got.append(event)

    nobody = {f"LIQTAPE_VENUES_{venue}_WS_URL": "ws://127.0.0.1:9" for venue in ("BINANCE", "BYBIT", "OKX")}
    with patch.dict(os.environ, nobody | {"LIQTAPE_PRICE_SPOT_URL": "ws://127.0.0.1:9"}):
        manager = EnhancedWebSocketManager(["BTCUSDT"], redis_host="127.0.0.1", redis_port=port)
        manager.user_callback = callback
        manager.add_cex_exchange("mine", stream=_Handed)
        running = asyncio.create_task(manager.start_all())
        while manager.get_stats().get("redis", {}).get("redis") != "ok":
            manager.cex_streams["mine"].callback(_event(0))
            await asyncio.sleep(0.01)
        yield manager, got
        await manager.stop_all()
        await running


async def _latency(port: int, events: int) -> list[float]:
    """Microseconds of each event, from the stream's call to its return: what the stream is delayed by."""
    taken = []
    async with _manager(port) as (manager, _):
        hand = manager.cex_streams["mine"].callback
        for number in range(events):
            event = _event(number)
            began = time.perf_counter_ns()
            await hand(event)
            taken.append((time.perf_counter_ns() - began) / 1e3)
            if number % _BURST == 0:
                await asyncio.sleep(0)
    return taken


async def _flood(port: int, events: int) -> float:
    """Events a second until the last is in Redis and the callback has all."""
    async with _manager(port) as (manager, got):
        hand = manager.cex_streams["mine"].callback
        first, done = manager.get_stats()["ledger"]["events_accepted"], len(got)
        batch = [_event(number) for number in range(events)]
        client = redis.asyncio.Redis(host="127.0.0.1", port=port, db=1)
        began = time.perf_counter()
        async with asyncio.timeout(_FLOOD_SECONDS):
            for number, event in enumerate(batch):
                await hand(event)
                if number % _BURST == 0:
                    await asyncio.sleep(0)
            while len(got) < done + events:  # noqa: ASYNC110 - a callback tells nobody
                await asyncio.sleep(0)
            while int(await client.hget(_KEY, "event_count_300s") or 0) < first + events:  # noqa: ASYNC110 - nor a server
                await asyncio.sleep(0)
        took = time.perf_counter() - began
        await client.aclose()
    return events / took


async def _writes(port: int, operations: int) -> list[float]:
    """Milliseconds of one row written and acknowledged, each number another one than before."""
    sink = RedisSink(f"redis://127.0.0.1:{port}/1")
    await sink.open()
    batches = [Batch(metrics=(metrics(0, version),)) for version in range(2)]
    taken = []
    for turn in range(operations):
        began = time.perf_counter_ns()
        await sink.publish(batches[turn % 2])
        taken.append((time.perf_counter_ns() - began) / 1e6)
    await sink.close()
    return taken


def _reads(port: int, operations: int) -> list[float]:
    """Milliseconds of the document's own way to read a row: HGETALL by the redis library."""
    taken = []
    with redis.Redis(host="127.0.0.1", port=port, db=1) as client:
        for _ in range(operations):
            began = time.perf_counter_ns()
            client.hgetall("velocity:COIN0USDT:current")
            taken.append((time.perf_counter_ns() - began) / 1e6)
    return taken


def _memory() -> dict[str, float]:
    """KiB of 1,000 events in the tracker's buffer and in the compact one, by allocation tracking."""
    liquidations = [CompactLiquidation(i, f"COIN{i % 50}USDT", 1 + i % 2, 1.5 + i, 0.162) for i in range(_BUFFERED)]
    for one in liquidations:
        one.pack()
    tracemalloc.start()
    used = {}
    before = tracemalloc.get_traced_memory()[0]
    buffer = EventBuffer()
    for i in range(_BUFFERED):
        buffer.append((1_790_000_000 + i / 7, i * 97.31))
    gc.collect()
    used["the tracker's buffer"] = (tracemalloc.get_traced_memory()[0] - before) / _KIB
    before = tracemalloc.get_traced_memory()[0]
    compact = LiquidationBuffer(_BUFFERED)
    for one in liquidations:
        compact.add(one)
    gc.collect()
    used["LiquidationBuffer"] = (tracemalloc.get_traced_memory()[0] - before) / _KIB
    return used


async def _rounds(scale: Scale) -> tuple[list[list[float]], list[float], list[list[float]], list[list[float]]]:
    latencies, floods, writes, reads = [], [], [], []
    async with embedded() as server:
        port = await server.start()
        for _ in range(min(3, scale.rounds)):
            latencies.append(await _latency(port, scale.size(_LATENCY_EVENTS)))
            await _emptied(port)
            floods.append(await _flood(port, scale.size(_FLOOD_EVENTS)))
            await _emptied(port)
            writes.append(await _writes(port, scale.size(_OPERATIONS)))
            reads.append(await asyncio.to_thread(_reads, port, scale.size(_OPERATIONS)))
    return latencies, floods, writes, reads


async def _emptied(port: int) -> None:
    client = redis.asyncio.Redis(host="127.0.0.1", port=port, db=1)
    await client.flushdb()
    await client.aclose()


def run(scale: Scale) -> list[Figure]:
    """Each claim of the founding document as a figure with that claim as its target."""
    for name in ("liqtape", "enhanced_websocket_manager"):  # alerts, and venues that are nobody
        logging.getLogger(name).setLevel(logging.ERROR)
    latencies, floods, writes, reads = asyncio.run(_rounds(scale))
    command = [sys.executable, "-m", "benchmarks.founding"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=120)
    figures = []
    for share in (0.5, 0.99):
        values = [percentile(one, share) for one in latencies]
        name = f"added to an event, p{share * 100:.0f}"
        figures.append(figure(name, values, "us", f"{len(values)} rounds of {len(latencies[0]):,}", at_most=1000))
    measured = f"{len(floods)} rounds of {scale.size(_FLOOD_EVENTS):,}, until read back from Redis"
    figures.append(figure("events through a manager", floods, "per s", measured, at_least=10_000))
    for name, size in json.loads(done.stdout).items():
        figures.append(figure(f"1,000 events in {name}", [size], "KiB", "tracemalloc, fresh process", at_most=18))
    for name, rounds in (("a row written and acknowledged", writes), ("a row read", reads)):
        for share in (0.5, 0.99):
            values = [percentile(one, share) for one in rounds]
            measured = f"{len(rounds)} rounds of {len(rounds[0]):,}, slowest {max(map(max, rounds)):.2f} ms"
            figures.append(figure(f"{name}, p{share * 100:.0f}", values, "ms", measured, at_most=0.5))
    return figures


if __name__ == "__main__":
    print(json.dumps(_memory()))
