"""Paced events over TLS on loopback: from the sender's stamp (another process) to where the event arrives.

One frame a segment, one event a frame, Bybit's format, 100 instruments. Places: the tap before the queues of callbacks,
an async and a sync user callback, and the return of the write that has the event and its instrument's metrics
acknowledged by Redis. Beside them a bare blocking TLS socket that only decodes, and a PING of redis-py.

A change is there once its event is in all windows, at the tap: from there to its acknowledgement is what Redis adds. A
PING is measured one after the other, and at the pace of the events, between which the processor goes to sleep.
"""

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from statistics import median

import redis.asyncio

from benchmarks.frames import PRICE_BASE
from benchmarks.measure import Figure, Scale, figure, percentile, ratio
from benchmarks.wire import BareSocket, Sender, embedded, live_tracker
from liqtape.events import Liquidation, RawLiquidation
from liqtape.pipeline.onevent import OnLiquidation
from liqtape.sinks.redis.redissink import RedisSink
from liqtape.sinks.sink import Batch
from liqtape.venues import VENUES

_VENUE = "bybit"
_RATES = (2_000, 10_000)
_ROUNDS = 3
_PINGS = 400
_SETTLE_SECONDS = 0.5
_BARE = "bare blocking socket that decodes"
_ACKNOWLEDGED = "acknowledged in Redis"
_CHANGE = "change to acknowledged in Redis"
_PING = "redis-py PING"
_PACED_PING = "redis-py PING at the same pace"

_RATIOS = (
    ("async callback", _BARE, 1.5, "callback"),
    (_CHANGE, _PING, 1.0, "acknowledged"),
    (_CHANGE, _PACED_PING, None, ""),
)

Samples = dict[str, list[float]]


class _Arrivals:
    """When each event arrived somewhere, by its serial number."""

    def __init__(self, count: int) -> None:
        self.at = [0] * count

    def __call__(self, event: Liquidation | RawLiquidation) -> None:
        self.at[int(event.price) - PRICE_BASE] = time.perf_counter_ns()

    async def wait(self, event: Liquidation) -> None:
        """As an async callback."""
        self(event)

    @property
    def missing(self) -> int:
        """Events that have not arrived."""
        return self.at.count(0)

    def latencies(self, stamps: list[int]) -> list[float]:
        """Microseconds since sending; the first tenth is the warm-up, what was dropped is left out and said so."""
        if self.missing:
            print(f"{self.missing} of {len(stamps)} events were dropped: too slow for this rate", file=sys.stderr)
        taken = [(at - sent) / 1e3 for at, sent in zip(self.at, stamps, strict=True) if at]
        return taken[len(taken) // 10 :]


class _Acknowledged(RedisSink):
    """The Redis sink, noting when the write of each event had been acknowledged."""

    def __init__(self, url: str, arrivals: _Arrivals) -> None:
        super().__init__(url)
        self._arrivals = arrivals

    async def publish(self, batch: Batch) -> None:
        await super().publish(batch)
        now = time.perf_counter_ns()
        if batch.events:
            # Also those too many for the list of recent events: their instruments are among the metrics.
            last = int(batch.events[-1].price) - PRICE_BASE
            while last >= 0 and not self._arrivals.at[last]:
                self._arrivals.at[last] = now
                last -= 1


async def _bare(sender: Sender, rate: int, count: int) -> Samples:
    socket = BareSocket(sender, _VENUE)
    decode = VENUES[_VENUE].decode
    arrivals = _Arrivals(count)
    sender.ask("pace", per_second=rate)
    left = count
    while left:
        for frame in socket.frames():
            for event in decode(frame, None):
                if isinstance(event, RawLiquidation):
                    arrivals(event)
            left -= 1
    stamps = sender.answer()["stamps"]
    socket.close()
    return {_BARE: arrivals.latencies(stamps)}


async def _tracked(sender: Sender, rate: int, count: int, *, is_async: bool) -> Samples:
    tap, callback = _Arrivals(count), _Arrivals(count)
    async with live_tracker(sender, _VENUE) as tracker:
        tracker.listen(OnLiquidation(tap))
        tracker.on_liquidation(callback.wait if is_async else callback)
        stamps = await _paced(sender, rate, tap, callback)
    kind = "async" if is_async else "sync"
    samples = {f"{kind} callback": callback.latencies(stamps)}
    if is_async:
        samples["tap"] = tap.latencies(stamps)
    return samples


async def _with_redis(sender: Sender, rate: int, count: int, url: str) -> Samples:
    tap, callback, acknowledged = _Arrivals(count), _Arrivals(count), _Arrivals(count)
    async with live_tracker(sender, _VENUE, [_Acknowledged(url, acknowledged)]) as tracker:
        tracker.listen(OnLiquidation(tap))
        tracker.on_liquidation(callback.wait)
        stamps = await _paced(sender, rate, tap, callback, acknowledged)
    found = {"tap, Redis on": tap, "async callback, Redis on": callback, _ACKNOWLEDGED: acknowledged}
    samples = {place: arrivals.latencies(stamps) for place, arrivals in found.items()}
    samples[_CHANGE] = acknowledged.latencies(tap.at)
    return samples


async def _paced(sender: Sender, rate: int, *places: _Arrivals) -> list[int]:
    """Let it send, and wait until everything is where it should be, or nothing more comes; when it sent what."""
    sender.ask("pace", per_second=rate)
    stamps: list[int] = (await asyncio.to_thread(sender.answer))["stamps"]
    before = -1
    while (missing := sum(place.missing for place in places)) not in {0, before}:
        before = missing
        await asyncio.sleep(_SETTLE_SECONDS)
    return stamps


async def _pings(url: str, count: int, per_second: float | None = None) -> list[float]:
    """Microseconds of each, one after the other or at a pace."""
    client = redis.asyncio.Redis.from_url(url)
    taken = []
    try:
        begin = time.perf_counter()
        for i in range(count):
            if per_second is not None:
                await asyncio.sleep(begin + i / per_second - time.perf_counter())
            began = time.perf_counter_ns()
            await client.ping()
            taken.append((time.perf_counter_ns() - began) / 1e3)
    finally:
        await client.aclose()
    return taken[len(taken) // 10 :]


async def _rounds(scale: Scale) -> dict[int, dict[str, list[list[float]]]]:
    """Latencies by rate and place, one list a round."""
    got: dict[int, dict[str, list[list[float]]]] = {rate: defaultdict(list) for rate in _RATES}
    async with embedded() as server:
        with Sender() as sender:
            works: list[Callable[[int, int], Coroutine[None, None, Samples]]] = [
                lambda rate, count: _bare(sender, rate, count),
                lambda rate, count: _tracked(sender, rate, count, is_async=True),
                lambda rate, count: _tracked(sender, rate, count, is_async=False),
                lambda rate, count: _with_redis(sender, rate, count, server.url),
            ]
            for _ in range(min(scale.rounds, _ROUNDS)):
                for rate in _RATES:
                    count = int(rate * scale.seconds)
                    for work in works:
                        sender.make(_VENUE, count, 1, per_second=rate)
                        for place, latencies in (await work(rate, count)).items():
                            got[rate][place].append(latencies)
                    got[rate][_PING].append(await _pings(server.url, scale.size(_PINGS)))
                    got[rate][_PACED_PING].append(await _pings(server.url, scale.size(_PINGS), rate))
    return got


def run(scale: Scale) -> list[Figure]:
    """p50 and p99 of each place at each rate, and the two ratios that have a target."""
    figures = []
    for rate, places in asyncio.run(_rounds(scale)).items():
        middles = {place: [percentile(one, 0.5) for one in rounds] for place, rounds in places.items()}
        for place, rounds in places.items():
            far = median(percentile(one, 0.99) for one in rounds)
            measured = f"p99 {far:,.0f} us; {len(rounds)} rounds of {len(rounds[0]):,}"
            figures.append(figure(f"{place}, p50 at {rate:,}/s", middles[place], "us", measured))
        for place, beside, limit, goal in _RATIOS:
            measured = f"p50 {median(middles[place]):,.0f} against {median(middles[beside]):,.0f} us"
            values = ratio(middles[place], middles[beside])
            name = f"{place} against {beside}, {rate:,}/s"
            most, key = (limit, goal) if rate == _RATES[0] else (None, "")
            figures.append(figure(name, values, "x", measured, at_most=most, goal=key))
    return figures
