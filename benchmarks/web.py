"""What page, API and stream cost the service: nobody reading, and 50 browsers at 1,000 liquidations/s.

A wrapped stream brings the liquidations, so that all CPU counted is the service's own; the readers are another process.
Runs with and without come in turn. `work in one go` is the CPU the loop spends before a task that asked for 1 ms has
its turn.
"""

import asyncio
import os
import subprocess
import sys
import time
from random import Random
from statistics import median

from msgspec import Struct

from benchmarks.measure import Figure, Scale, cores, figure, percentile, ratio
from benchmarks.wire import others
from liqtape.cli.serving import page_beside
from liqtape.events import Liquidation, Side
from liqtape.settings import HistorySettings, Settings, WebSettings
from liqtape.tracker import Tracker

_RATE = 1_000
_INSTRUMENTS = 100
_VENUES = ("binance", "bybit", "okx", "hyperliquid")
_READERS = 50
_STEP = 0.01
_ROUNDS = 3
_LONG = 6  # of the scale's seconds
_CHILD = """
import asyncio, sys
total = 0
async def read(host, port):
    global total
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET /api/v1/stream HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    while part := await reader.read(1 << 20):
        total += len(part)
async def main():
    host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    await asyncio.gather(*(read(host, port) for _ in range(count)), return_exceptions=True)
asyncio.run(main())
print(total)
"""


class _Run(Struct, frozen=True):
    """CPU in ns an event and in cores; the work in one go in ms, its 99th percentile; MB that were read."""

    cpu: float
    cores: float
    late: float
    read_mb: float


async def _run(listen: str, readers: int, seconds: float) -> _Run:
    tracker = Tracker(Settings(venues={}))
    async with page_beside(tracker, WebSettings(listen=listen), HistorySettings("off")) as notes, tracker:
        child = await _reading(notes[0].removeprefix("Page: http://"), readers)
        await _feed(tracker, min(1.0, seconds))  # warm
        began, cpu = time.perf_counter(), time.process_time_ns()
        late: list[float] = []
        watch = asyncio.create_task(_watch(late))
        count = await _feed(tracker, seconds)
        watch.cancel()
        spent, took = time.process_time_ns() - cpu, time.perf_counter() - began
    read = 0 if child is None else int((await child.communicate())[0]) / 1e6
    return _Run(spent / count, spent / 1e9 / took, percentile(late, 0.99), read)


async def _feed(tracker: Tracker, seconds: float) -> int:
    """Admit `_RATE` liquidations a second, as frames of ten; returns how many."""
    draw, ledger = Random(1), tracker.new_ledger()
    began, count = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < seconds:
        now_ms = time.time_ns() // 1_000_000
        while count < passed * _RATE:
            name = f"C{int(_INSTRUMENTS * draw.random() ** 2)}USDT"
            side: Side = "long" if draw.random() < 0.7 else "short"
            venue = _VENUES[count % len(_VENUES)]
            event = Liquidation(venue, name, name, side, 100.0, "fill", 1.0, 5_000.0, now_ms, now_ms, f"{count}")
            tracker.admit(event, ledger)
            count += 1
        await asyncio.sleep(_STEP)
    return count


async def _watch(late: list[float]) -> None:
    while True:
        asked = time.thread_time()
        await asyncio.sleep(0.001)
        late.append(1000 * (time.thread_time() - asked))


async def _reading(place: str, readers: int) -> asyncio.subprocess.Process | None:
    """Start `readers` of the stream in another process; it ends with the server and says how much it read."""
    if not readers:
        return None
    host, _, port = place.partition(":")
    command = [sys.executable, "-c", _CHILD, host, port, str(readers)]
    child = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    if cores()[1]:
        os.sched_setaffinity(child.pid, others())
    return child


def run(scale: Scale) -> list[Figure]:
    """Ratios of CPU, and cores, round by round."""
    seconds = scale.seconds * _LONG
    cases = {"off": ("off", 0), "served": ("127.0.0.1:0", 0), "read": ("127.0.0.1:0", _READERS)}
    got: dict[str, list[_Run]] = {name: [] for name in cases}
    for _ in range(min(scale.rounds, _ROUNDS)):
        for name, (listen, readers) in cases.items():
            got[name].append(asyncio.run(_run(listen, readers, seconds)))
    off, served, read = ([run.cpu for run in got[name]] for name in cases)
    more = [with_readers.cores - without.cores for with_readers, without in zip(got["read"], got["off"], strict=True)]
    read_mb = median(run.read_mb for run in got["read"])
    late = {name: median(run.late for run in runs) for name, runs in got.items()}
    at_rate = f"at {_RATE:,} events/s over {_INSTRUMENTS} instruments"
    return [
        figure(
            "CPU with page and API, nobody reading",
            ratio(served, off),
            "x",
            f"{median(served) / 1000:.1f} against {median(off) / 1000:.1f} us an event {at_rate}",
            at_most=1.03,
        ),
        figure(
            f"CPU of {_READERS} readers",
            more,
            "cores",
            f"{median(read) / 1000:.1f} against {median(off) / 1000:.1f} us an event {at_rate}; {read_mb:,.0f} MB read",
            at_most=0.5,
        ),
        figure(
            f"work in one go, {_READERS} readers, p99",
            [run.late for run in got["read"]],
            "ms",
            f"{late['off']:.2f} ms without page, {late['served']:.2f} ms with nobody reading",
        ),
    ]
