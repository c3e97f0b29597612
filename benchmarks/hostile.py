"""The service under each flood a stranger can send: peak memory, and for how long its loop was kept.

Each flood comes from a process of its own over a real socket and meets a service in a fresh process, which prints what
it saw. The stall is the longest CPU time the loop spent without coming round; other processes do not count in it.
`python -m benchmarks.hostile` prints the table of docs/explanation/security.md.
"""

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.hostilefloods import ACCOUNT, BACKFILLS, FLOODS, REFUSALS, SOCKETS
from benchmarks.measure import FULL, Figure, Scale, figure
from liqtape.cli.run import spare_the_collector
from liqtape.settings import RedisSettings, Settings, VenueSettings
from liqtape.tracker import Tracker
from liqtape.venues import VENUES

_SECONDS = 12.0
_MOST_MIB = 300.0
_MOST_MS = 100.0
_BEAT_SECONDS = 0.005
_MOST_ASKED = 20.0  # of one address in 12 s, where no time is named: pauses grow from half a second


def _venue_of(flood: str) -> str:
    if flood in BACKFILLS:
        return "hyperliquid"
    return SOCKETS[flood].venue if flood in SOCKETS else "binance"


@contextmanager
def _peer(flood: str, asked: list[int]) -> Iterator[int]:
    """Run the flood beside, and note how often it was asked over HTTP."""
    command = [sys.executable, "-m", "benchmarks.hostilepeer", flood]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None
        try:
            yield int(peer.stdout.readline())
        finally:
            peer.stdin.close()
            asked.append(int(peer.stdout.readline() or -1))
            peer.kill()


class _Heart:
    """Beats in the loop; `longest` is the most CPU time of its thread between two beats."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.beats = 0

    async def beat(self) -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            now = time.thread_time()
            self.longest = max(self.longest, now - last)
            self.beats += 1
            last = now


async def _suffer(flood: str, port: int, seconds: float) -> dict[str, float]:
    """Run a service against the flood; what it saw."""
    venue = _venue_of(flood)
    accounts = (ACCOUNT,) if venue == "hyperliquid" else ()
    place = VenueSettings(ws_url=f"ws://127.0.0.1:{port}", rest_url=f"http://127.0.0.1:{port}", accounts=accounts)
    venues = {name: place if name == venue else VenueSettings(enabled=False) for name in VENUES}
    redis = RedisSettings(f"redis://127.0.0.1:{port}/1" if flood.startswith("Redis") else "off")
    heart = _Heart()
    tracker = Tracker(Settings(venues=venues, redis=redis))
    spare_the_collector()  # as the service does
    async with tracker:
        await asyncio.sleep(0.5)  # what it costs to open everything is another matter
        beating = asyncio.create_task(heart.beat())
        await asyncio.sleep(seconds)
        beating.cancel()
        ledger = tracker.ledger()
        if not ledger.balanced():
            raise RuntimeError(f"the ledger does not balance: {ledger.as_dict()}")
        if not heart.beats:
            heart.longest = seconds
        feed = tracker.feeds[0]
        return {
            "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "linux" else 1024) / 1024,
            "ms": 1_000 * heart.longest,
            "frames": ledger.frames_received,
            "accepted": ledger.events_accepted,
            "invalid": ledger.events_rejected_invalid,
            "lost": sum(feed.pool.failures.values()),
            "listed": len(tracker.instruments.listed(venue)),
            "pages": 0 if feed.backfill is None else feed.backfill.ledger.frames_received,
        }


def _suffered(flood: str, seconds: float) -> dict[str, float]:
    asked: list[int] = []
    with _peer(flood, asked) as port:
        command = [sys.executable, "-m", "benchmarks.hostile", flood, str(port), str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2_000:])
    said: dict[str, float] = json.loads(done.stdout)
    return {**said, "asked": asked[0]}


def run(scale: Scale) -> list[Figure]:
    """Peak memory and stall under each flood; how often an address is asked that refuses."""
    seconds = max(1.0, _SECONDS * scale.seconds / FULL.seconds)
    is_tiny = scale.seconds < 0.2
    figures = []
    for flood in FLOODS[:1] if is_tiny else FLOODS:
        got = _suffered(flood, seconds)
        seen = f"{got['frames']:,.0f} frames, {got['accepted']:,.0f} events taken, {got['invalid']:,.0f} invalid"
        seen += f", {got['lost']:.0f} connections ended, {got['listed']:,.0f} listed"
        figures.append(figure(f"{flood}: peak memory", [got["mib"]], "MiB", seen, at_most=_MOST_MIB))
        figures.append(figure(f"{flood}: stall", [got["ms"]], "ms", "CPU time of the loop's thread", at_most=_MOST_MS))
    for refusal in () if is_tiny else REFUSALS:
        got = _suffered(refusal, seconds)
        name = f"{refusal}: requests in {seconds:.0f} s"
        figures.append(figure(name, [got["asked"]], "", "handshakes and lists", at_most=_MOST_ASKED))
    return figures


def _table() -> None:
    print("| flood | peak memory | longest stall |\n|---|---:|---:|")
    for flood in FLOODS:
        got = _suffered(flood, _SECONDS)
        print(f"| {flood} | {got['mib']:.0f} MiB | {got['ms']:.0f} ms |", flush=True)
    print(f"\n| answer to everything | requests in {_SECONDS:.0f} s |\n|---|---:|")
    for refusal in REFUSALS:
        print(f"| {refusal} | {_suffered(refusal, _SECONDS)['asked']:.0f} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 3:
        print(json.dumps(asyncio.run(_suffer(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))))
    else:
        _table()
