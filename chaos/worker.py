"""The service as a process of its own, `liqtape run` less its screen: told what to do by lines, killed without warning.

`python -m chaos.worker CONFIG` serves until standard input ends; answers are one JSON object a line.
"""

import asyncio
import gc
import logging
import ssl
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from liqtape.events import VelocityMetrics
from liqtape.feeds.backoff import Backoff, Timeouts
from liqtape.settings import HistorySettings, PriceSettings, RedisSettings, Settings, VenueSettings
from liqtape.tracker import Tracker

__all__ = ["Answer", "Config", "settings_of"]

_PATIENCE = 1_000
_OFFSETS_MS = (0, 1_000, 9_999, 30_000, 59_000, 240_000, 300_000)


class Config(Struct, frozen=True):
    """What a worker is started with; `ca` is the certificate its venues are signed by."""

    directory: str
    venues: Mapping[str, VenueSettings]
    redis: str
    history: str
    silence_limit: float
    ca: str | None = None


class Answer(Struct, frozen=True):
    """The worker's word on itself. `left` are open files and tasks after the end that were not there before."""

    states: Mapping[str, str] = {}
    ledger: Mapping[str, int] = {}
    unbalanced: tuple[str, ...] = ()
    crashes: Mapping[str, int] = {}
    connections: int = 0
    sockets: int = 0
    rows: Mapping[int, list[VelocityMetrics]] = {}
    last_seq: int = 0
    """The rows are made of what is in the log up to here."""
    left: tuple[str, ...] = ()


def settings_of(config: Config) -> Settings:
    """As a user's file would say it."""
    return Settings(
        venues=dict(config.venues),
        redis=RedisSettings(url=config.redis),
        price=PriceSettings(spot_url=config.venues["binance"].ws_url),
        history=HistorySettings(url=config.history),
    )


def _files() -> dict[str, int]:
    """Open files by what they are; sockets count together."""
    found: dict[str, int] = {}
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = str(link.readlink())
        except OSError:  # the listing's own
            continue
        kind = target.partition(":")[0] if target.startswith(("socket:", "pipe:", "anon_inode:")) else target
        found[kind] = found.get(kind, 0) + 1
    return found


def _tasks() -> set[str]:
    current = asyncio.current_task()
    return {task.get_name() for task in asyncio.all_tasks() if task is not current and not task.done()}


def _answer(tracker: Tracker, asked: str) -> Answer:
    ledger = tracker.ledger()
    unbalanced = [name for name, part in tracker.ledgers() if not part.balanced()]
    rows: dict[int, list[VelocityMetrics]] = {}
    last_seq = 0
    if asked == "report" and tracker.log is not None:
        last_seq = tracker.log.last_seq
        now = tracker.now_ms()
        everywhere = dict.fromkeys(tracker.venue_times(), 0)
        for offset in _OFFSETS_MS:
            at = dict.fromkeys(everywhere, now + offset)  # all venues at one time, so that it can be counted again
            found = (tracker.engine.metrics(name, now + offset, at=at) for name in tracker.engine.instruments())
            rows[now + offset] = [row for row in found if row is not None]
    return Answer(
        states={health.venue: health.state for health in tracker.health()},
        ledger=ledger.as_dict(),
        unbalanced=tuple(unbalanced if ledger.balanced() else [*unbalanced, "total"]),
        crashes=dict(tracker.crashes),
        connections=sum(len(feed.connections) for feed in tracker.feeds),
        sockets=_files().get("socket", 0),
        rows=rows,
        last_seq=last_seq,
    )


async def serve(config: Config) -> None:
    """Run until told to stop."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    tls = None if config.ca is None else ssl.create_default_context(cafile=config.ca)
    timeouts = Timeouts(connect=1.5, silence_limit=config.silence_limit, backoff=Backoff(0.2, 1.5))
    await asyncio.to_thread(int)  # the pool's first thread is no leak
    files, tasks = _files(), _tasks()
    tracker = Tracker(settings_of(config), data_dir=Path(config.directory), ssl_context=tls, timeouts=timeouts)
    async with tracker:
        _say(Answer())
        while line := await lines.readline():
            if line == b"stop\n":
                break
            if line.startswith(b"wall "):
                _step_wall_clock(int(line.split()[1]) * 1_000_000)
                continue
            for _ in range(_PATIENCE if line == b"report\n" else 0):
                if not tracker.ledger().events_log_pending:  # backfill may still bring some
                    break
                await asyncio.sleep(0.01)
            _say(_answer(tracker, line.decode().strip()))
    del tracker
    await asyncio.sleep(0.1)
    gc.collect()
    now = _files()
    left = [f"{count - files.get(name, 0)} {name}" for name, count in now.items() if count > files.get(name, 0)]
    _say(Answer(left=(*left, *(_tasks() - tasks))))


def _step_wall_clock(by_ns: int) -> None:
    """Let this process see a wall clock that was set to another time."""
    wall, wall_ns = time.time, time.time_ns
    time.time = lambda: wall() + by_ns / 1e9
    time.time_ns = lambda: wall_ns() + by_ns


def _say(answer: Answer) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    """Serve the configuration in the file named."""
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)d %(name)s %(message)s")
    asyncio.run(serve(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Config)))


if __name__ == "__main__":
    main()
