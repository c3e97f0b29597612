"""`python -m chaos soak`: a cascade without end, at speed, through the whole service in a process of its own.

Every few seconds: memory of the process, and how long a liquidation takes from the venue's socket to the user's
callback. Memory may not grow, latency may not rise.
"""

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from liqtape.events import Liquidation
from liqtape.settings import HistorySettings, PriceSettings, RedisSettings, Settings, VenueSettings
from liqtape.simulator import Simulator
from liqtape.simulator.dialects import DIALECTS
from liqtape.tracker import Tracker

__all__ = ["Sample", "is_long", "judged", "slope", "soak"]

_SPEED = 20.0
_SAMPLE_SECONDS = 5.0
_WARM_UP = 0.4
"""The part of the run in which windows, identities and buffers still fill."""

_KEPT_LATENCIES = 50_000
_NOISE_MB = 6.0
_FILLED_SECONDS = 1_500.0  # identities are kept for 20 minutes; before that memory has to grow
_LATENCY_RISE = 1.5


class Sample(Struct, frozen=True):
    """One line of the worker: RSS in MB, latencies in ms since the last, events and log lost so far."""

    at: float
    rss_mb: float
    p50_ms: float
    p99_ms: float
    events: int
    waiting: int
    balanced: bool


def slope(samples: Sequence[Sample], field: str) -> float:
    """Least-squares growth of a field per hour."""
    if len(samples) < 3:
        return 0.0
    values = [float(getattr(sample, field)) for sample in samples]
    return statistics.linear_regression([sample.at for sample in samples], values).slope * 3600.0


def is_long(samples: Sequence[Sample]) -> bool:
    """Whether memory can be judged: everything that is kept for a time is full, and was for a while."""
    return sum(sample.at >= _FILLED_SECONDS for sample in samples) >= 6


def judged(samples: Sequence[Sample]) -> list[str]:
    """What is wrong: memory that grows by more than its own scatter, latency that rises, a ledger that does not fit."""
    steady = list(samples[int(len(samples) * _WARM_UP) :])
    if len(steady) < 6:
        return ["too short to judge"]
    found = []
    half = len(steady) // 2
    first, second = steady[:half], steady[half:]
    filled = [sample for sample in samples if sample.at >= _FILLED_SECONDS]
    if is_long(samples):
        middle = len(filled) // 2
        early, late = [s.rss_mb for s in filled[:middle]], [s.rss_mb for s in filled[middle:]]
        grown, noise = statistics.median(late) - statistics.median(early), max(_NOISE_MB, 2 * statistics.pstdev(early))
        if grown > noise:
            found.append(f"memory grew by {grown:.1f} MB, scatter is {noise:.1f} MB")
    before, after = (statistics.median(s.p99_ms for s in part) for part in (first, second))
    if after > _LATENCY_RISE * before + 1.0:
        found.append(f"p99 latency rose from {before:.2f} to {after:.2f} ms")
    if not all(sample.balanced for sample in samples):
        found.append("the ledger did not balance")
    return found


async def soak(seconds: float) -> int:
    """Run, print the table, and return the exit code."""
    with tempfile.TemporaryDirectory(prefix="liqtape-soak-") as directory:
        async with Simulator("cascade", seed=1, speed=_SPEED) as simulator:
            command = [sys.executable, "-m", "chaos.soak", simulator.ws_url("binance").rpartition("/")[0], directory]
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
            samples = await _listen(process, seconds)
            if process.stdin is not None:
                process.stdin.close()
            code = await asyncio.wait_for(process.wait(), 30.0)
    print(_table(samples))
    problems = judged(samples) if code == 0 else [f"the service ended with {code}"]
    memory = "memory within noise" if is_long(samples) else "memory not judged, what is kept for 20 minutes still fills"
    print("\n".join(problems) if problems else f"{memory}; latency flat, ledger balanced")
    return 1 if problems else 0


async def _listen(process: asyncio.subprocess.Process, seconds: float) -> list[Sample]:
    samples: list[Sample] = []
    deadline = time.monotonic() + seconds
    while process.stdout is not None and (left := deadline - time.monotonic()) > 0:
        with contextlib.suppress(TimeoutError):
            line = await asyncio.wait_for(process.stdout.readline(), left)
            if not line:
                break
            samples.append(msgspec.json.decode(line, type=Sample))
    return samples


def _table(samples: Sequence[Sample]) -> str:
    lines = [
        "| minute | events | events/s | RSS MB | p50 ms | p99 ms | waiting |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    step = max(1, len(samples) // 20)
    for before, sample in zip(samples[::step], samples[step::step], strict=False):
        rate = (sample.events - before.events) / max(sample.at - before.at, 1e-9)
        lines.append(
            f"| {sample.at / 60:.1f} | {sample.events:,} | {rate:,.0f} | {sample.rss_mb:.1f} | {sample.p50_ms:.2f} "
            f"| {sample.p99_ms:.2f} | {sample.waiting} |"
        )
    steady = samples[int(len(samples) * _WARM_UP) :]
    lines.append(f"slope after the warm-up: {slope(steady, 'rss_mb'):+.1f} MB/h, {slope(steady, 'p99_ms'):+.2f} ms/h")
    return "\n".join(lines)


async def serve(base: str, directory: Path) -> None:
    """The service, and a line about itself every few seconds until standard input ends."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    ended = loop.create_task(lines.read())
    rest = base.replace("ws", "http", 1)
    venues = {name: VenueSettings(ws_url=f"{base}/{name}", rest_url=f"{rest}/{name}") for name in DIALECTS}
    settings = Settings(
        venues=venues,
        redis=RedisSettings(url="embedded"),
        price=PriceSettings(spot_url=f"{base}/binance"),
        history=HistorySettings(url=str(directory / "history")),
    )
    latencies: list[float] = []

    def heard(liquidation: Liquidation) -> None:
        """From the moment of receipt, which is in whole milliseconds, to here."""
        if liquidation.receive_ms is not None and len(latencies) < _KEPT_LATENCIES:
            latencies.append(time.time() * 1000 - liquidation.receive_ms)

    began = time.monotonic()
    async with Tracker(settings, data_dir=directory) as tracker:
        tracker.on_liquidation(heard, "soak")
        while not ended.done():
            await asyncio.wait([ended], timeout=_SAMPLE_SECONDS)
            now, latencies[:] = sorted(latencies), []
            ledger = tracker.ledger()
            sample = Sample(
                at=time.monotonic() - began,
                rss_mb=_rss_mb(),
                p50_ms=now[len(now) // 2] if now else 0.0,
                p99_ms=now[len(now) * 99 // 100] if now else 0.0,
                events=ledger.events_accepted,
                waiting=ledger.events_log_pending,
                balanced=ledger.balanced(),
            )
            sys.stdout.buffer.write(msgspec.json.encode(sample) + b"\n")
            sys.stdout.buffer.flush()


def _rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2])))
