"""Frames through TLS sockets on loopback as fast as they are taken, from a sender in another process.

The whole way on one core: bytes, decoding, identity, sizes, ledger, windows, default levels, and a tap before the queue
of callbacks that counts. Beside it `json.loads` of the same frames, and receiving alone against `websockets`.
"""

import asyncio
import json
import time
from collections import defaultdict
from statistics import median
from typing import Any

from msgspec import Struct
from websockets.asyncio.client import connect

from benchmarks import sender as sending
from benchmarks.measure import Figure, Scale, figure, ratio
from benchmarks.wire import Sender, embedded, live_tracker, subscription
from liqtape.feeds.transport import open_socket
from liqtape.sinks.redis import RedisSink

_EVENTS = 40_000
_ROUNDS = 4
_PATIENCE = 60.0
_RATE = 100_000.0  # in event time: no event lies far ahead of the clock, and few far behind
_ROWS = 20
_MAIN = "binance, one event a frame"
_STREAMS = {
    _MAIN: ("binance", 1),
    "bybit, one event a frame": ("bybit", 1),
    "bybit, 20 events a frame": ("bybit", _ROWS),
}


class Spent(Struct, frozen=True):
    """One flood: CPU time of this process and time passed, in ns per event (or frame)."""

    cpu: float
    wall: float


class _Counter:
    """Counts to the end; the time begins with the first."""

    def __init__(self, until: int) -> None:
        self._until = self._left = until
        self._began = self._took = (0, 0)
        self._ended = asyncio.Event()

    def __call__(self, _: object) -> None:
        if self._left == self._until:
            self._began = time.process_time_ns(), time.perf_counter_ns()
        self._left -= 1
        if not self._left:
            self._took = time.process_time_ns() - self._began[0], time.perf_counter_ns() - self._began[1]
            self._ended.set()

    async def spent(self) -> Spent:
        async with asyncio.timeout(_PATIENCE):
            await self._ended.wait()
        return Spent(self._took[0] / self._until, self._took[1] / self._until)


async def _through_tracker(sender: Sender, venue: str, count: int, redis_url: str | None) -> Spent:
    sinks = [] if redis_url is None else [RedisSink(redis_url)]
    async with live_tracker(sender, venue, sinks) as tracker:
        counter = _Counter(count)
        tracker.taps.append(counter)
        sender.ask("flood")
        spent = await counter.spent()
        sender.answer()
        ledger = tracker.ledger()
        if ledger.events_accepted != count or not ledger.balanced():
            raise RuntimeError(f"not every event arrived: {ledger.as_dict()}")
    return spent


class _Receiver:
    """What the transport calls: a counter that can be replaced."""

    def __init__(self, counter: _Counter) -> None:
        self.counter = counter

    def __call__(self, payload: bytes) -> None:
        self.counter(payload)


async def _through_transport(sender: Sender, count: int) -> Spent:
    receiver = _Receiver(_Counter(2))
    lost = asyncio.Event()
    socket = await open_socket(sender.url("binance"), receiver, lost.set, ssl_context=sender.context)
    socket.send(subscription("binance"))
    await receiver.counter.spent()  # the answer and the trade
    receiver.counter = _Counter(count)
    sender.ask("flood")
    spent = await receiver.counter.spent()
    sender.answer()
    await socket.close()
    return spent


async def _through_websockets(sender: Sender, count: int) -> Spent:
    url = sender.url("binance")
    async with connect(url, ssl=sender.context, compression=None, ping_interval=None, proxy=None) as socket:
        await socket.send(subscription("binance").decode())
        await socket.recv()
        await socket.recv()
        counter = _Counter(count)
        sender.ask("flood")
        for _ in range(count):
            counter(await socket.recv())
        spent = await counter.spent()
        sender.answer()
    return spent


def _json_loads(options: dict[str, Any], count: int) -> float:
    """CPU ns per event of `json.loads` of the frames that were sent."""
    texts = [frame.decode() for frame in sending.made(**options)]
    began = time.process_time_ns()
    for text in texts:
        json.loads(text)
    return (time.process_time_ns() - began) / count


async def _rounds(scale: Scale) -> dict[str, list[float]]:
    """Values of each round, by what they are."""
    count = scale.size(_EVENTS) // _ROWS * _ROWS or _ROWS
    got: dict[str, list[float]] = defaultdict(list)
    async with embedded() as redis:
        with Sender() as sender:
            for turn in range(-1, min(scale.rounds, _ROUNDS)):  # the first warms up
                for label, (venue, rows) in _STREAMS.items():
                    options = sender.make(venue, count, rows, per_second=_RATE)
                    for with_redis, url in (("", None), (", Redis on", redis.url)):
                        spent = await _through_tracker(sender, venue, count, url)
                        if turn >= 0:
                            got[f"cpu {label}{with_redis}"].append(spent.cpu)
                            got[f"rate {label}{with_redis}"].append(1e9 / spent.wall)
                    if turn >= 0:
                        got[f"json {label}"].append(_json_loads(options, count))
                sender.make("binance", count, 1, per_second=_RATE)
                ours, theirs = await _through_transport(sender, count), await _through_websockets(sender, count)
                if turn >= 0:
                    got["transport"].append(ours.cpu)
                    got["websockets"].append(theirs.cpu)
    return got


def run(scale: Scale) -> list[Figure]:
    """Events per second and CPU per event, with Redis off and on, and receiving alone."""
    got = asyncio.run(_rounds(scale))
    figures = []
    for label in _STREAMS:
        alone = got[f"json {label}"]
        main = label == _MAIN
        for with_redis, rate in (("", 250_000), (", Redis on", 220_000)):
            cpu, rates = got[f"cpu {label}{with_redis}"], got[f"rate {label}{with_redis}"]
            measured = f"{len(rates)} floods over 100 instruments, {median(cpu):,.0f} ns CPU an event"
            figures.append(
                figure(f"{label}{with_redis}", rates, "events/s", measured, at_least=rate if main else None),
            )
            measured = f"{median(cpu):,.0f} against {median(alone):,.0f} ns an event"
            limit = 2.0 if main and not with_redis else None
            figures.append(
                figure(f"{label}{with_redis}, CPU against json.loads", ratio(cpu, alone), "x", measured, at_most=limit),
            )
    ours, theirs = got["transport"], got["websockets"]
    measured = f"{median(ours):,.0f} against {median(theirs):,.0f} ns CPU a frame, nothing decoded"
    figures.append(figure("receiving against websockets", ratio(theirs, ours), "x less", measured, at_least=5))
    return figures
