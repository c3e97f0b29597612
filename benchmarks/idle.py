"""CPU share of the process while its venues are connected and quiet: trades come, liquidations do not.

The venues are the built-in simulator in another process, whose liquidations were stopped.
"""

import asyncio
import os
import subprocess
import sys
import time

from benchmarks.measure import Figure, Scale, cores, figure
from benchmarks.wire import live, others
from liqtape.settings import RedisSettings, Settings, VenueSettings
from liqtape.simulator import Simulator
from liqtape.simulator.dialects import DIALECTS
from liqtape.tracker import Tracker
from liqtape.venues import VENUES

_ROUNDS = 3
_SNAPSHOT_SECONDS = 0.3  # a venue may answer a subscription with what is past
_SECONDS_FACTOR = 2.5  # of the paced runs
_SIMULATED = tuple(name for name in DIALECTS if name in VENUES)


async def _share(port: int, redis_url: str, seconds: float, rounds: int) -> tuple[list[float], float]:
    """(percent of one core in each round, frames a second)."""
    venues = {
        name: VenueSettings(ws_url=f"ws://127.0.0.1:{port}/{name}", rest_url=f"http://127.0.0.1:{port}/{name}")
        for name in _SIMULATED
    }
    shares = []
    async with Tracker(Settings(venues=venues, redis=RedisSettings(url=redis_url))) as tracker:
        await live(tracker)
        await asyncio.sleep(_SNAPSHOT_SECONDS)
        before = tracker.ledger()
        for _ in range(rounds):
            cpu, wall = time.process_time(), time.perf_counter()
            await asyncio.sleep(seconds)
            shares.append(100 * (time.process_time() - cpu) / (time.perf_counter() - wall))
        after = tracker.ledger()
        if after.events_decoded != before.events_decoded:
            raise RuntimeError("the simulator was not quiet")
        frames = (after.frames_received - before.frames_received) / (seconds * rounds)
    return shares, frames


def run(scale: Scale) -> list[Figure]:
    """With Redis off and with the embedded server, whose own process is not counted."""
    command = [sys.executable, "-m", "benchmarks.idle"]
    seconds, rounds = scale.seconds * _SECONDS_FACTOR, min(scale.rounds, _ROUNDS)
    figures = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as simulator:
        if simulator.stdout is None:
            raise RuntimeError("the simulator has no output")
        if cores()[0]:
            os.sched_setaffinity(simulator.pid, others())
        port = int(simulator.stdout.readline())
        for label, url in (("Redis off", "off"), ("Redis embedded", "embedded")):
            shares, frames = asyncio.run(_share(port, url, seconds, rounds))
            measured = f"{len(_SIMULATED)} simulated venues, {frames:.0f} trades/s, {rounds} x {seconds:.1f} s"
            figures.append(
                figure(f"connected and quiet, {label}", shares, "% of a core", measured, at_most=1, goal="idle")
            )
    return figures


async def _simulate() -> None:
    """Serve quiet venues until standard input ends."""
    async with Simulator("calm") as simulator:
        await simulator.stop_generating()
        print(simulator.ws_url(_SIMULATED[0]).split(":")[2].partition("/")[0], flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_simulate())
