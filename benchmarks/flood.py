"""Frames through TLS sockets on loopback as fast as they are taken, from a sender in another process.

The whole way on one core: bytes, decoding, identity, sizes, ledger, windows, default levels, and a tap before the queue
of callbacks that counts. With Redis off and on in turn, and beside it `json.loads` of the same frames.
"""

import asyncio
import json
import time
from collections import defaultdict
from statistics import median
from typing import Any

from benchmarks import sender as sending
from benchmarks.counting import Counter, Spent
from benchmarks.measure import Figure, Scale, figure, ratio
from benchmarks.wire import Sender, embedded, live_tracker
from liqtape.pipeline.onevent import OnLiquidation
from liqtape.sinks.redis.redissink import RedisSink

_EVENTS = 120_000
_ROUNDS = 4
_RATE = 100_000.0  # in event time: no event lies far ahead of the clock, and few far behind
_ROWS = 20
_REDIS = ", Redis on"
_MAIN = "binance, one event a frame"
_STREAMS = {
    _MAIN: ("binance", 1),
    "bybit, one event a frame": ("bybit", 1),
    "bybit, 20 events a frame": ("bybit", _ROWS),
}


async def _through_tracker(sender: Sender, venue: str, count: int, redis_url: str | None) -> Spent:
    sinks = [] if redis_url is None else [RedisSink(redis_url)]
    async with live_tracker(sender, venue, sinks) as tracker:
        counter = Counter(count)
        tracker.listen(OnLiquidation(counter))
        sender.ask("flood")
        spent = await counter.spent()
        sender.answer()
        ledger = tracker.ledger()
        if ledger.events_accepted != count or not ledger.balanced():
            raise RuntimeError(f"not every event arrived: {ledger.as_dict()}")
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
                    for with_redis, url in (("", None), (_REDIS, redis.url)):
                        spent = await _through_tracker(sender, venue, count, url)
                        if turn >= 0:
                            got[f"cpu {label}{with_redis}"].append(spent.cpu)
                            got[f"rate {label}{with_redis}"].append(1e9 / spent.wall)
                    if turn >= 0:
                        got[f"json {label}"].append(_json_loads(options, count))
    return got


def run(scale: Scale) -> list[Figure]:
    """Events per second and CPU per event, with Redis off and on."""
    got = asyncio.run(_rounds(scale))
    figures = []
    for label in _STREAMS:
        is_main = label == _MAIN
        alone = got[f"json {label}"]
        for redis, least, goal in (("", 250_000, "flood"), (_REDIS, 220_000, "flood with Redis")):
            cpu, rates = got[f"cpu {label}{redis}"], got[f"rate {label}{redis}"]
            target = least if is_main else None
            measured = f"{len(rates)} floods over 100 instruments, {median(cpu):,.0f} ns CPU an event"
            key = goal if is_main else ""
            figures.append(figure(f"{label}{redis}", rates, "events/s", measured, at_least=target, goal=key))
            measured = f"{median(cpu):,.0f} against {median(alone):,.0f} ns an event"
            limit, key = (2.0, goal) if is_main and not redis else (None, "")
            name = f"{label}{redis}, CPU against json.loads"
            figures.append(figure(name, ratio(cpu, alone), "x", measured, at_most=limit, goal=key))
        off, on = got[f"cpu {label}"], got[f"cpu {label}{_REDIS}"]
        measured = f"{median(on):,.0f} against {median(off):,.0f} ns CPU an event"
        figures.append(figure(f"{label}: CPU with Redis on against off", ratio(on, off), "x", measured))
    return figures
