"""The event log: commits of one event, of groups, what it costs the ingest path, and the whole path with it on.

Files lie in the temporary directory; `synchronous` is NORMAL. Single commits and groups go straight to the store, as
the log's writer thread does it; the rest goes through the log.
"""

import asyncio
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import astuple

from benchmarks.counting import Counter
from benchmarks.measure import Figure, Scale, figure, percentile, ratio
from benchmarks.wire import Sender, embedded, live_tracker
from liqtape.events import Liquidation
from liqtape.history.log.eventlog import EventLog
from liqtape.history.log.logfeed import LogFeed
from liqtape.history.log.store import Store
from liqtape.pipeline.onevent import OnLiquidation
from liqtape.sinks.redis.redissink import RedisSink

_SINGLE = 20_000
_GROUPED = 200_000
_GROUP = 1_000
_PACED = 2_000  # events/s
_FLOOD = 40_000
_BEGIN_MS = 1_790_000_000_000


def run(scale: Scale) -> list[Figure]:
    """All of them, in turn within a round."""
    single, grouped = _made(scale.size(_SINGLE)), _made(scale.size(_GROUPED))
    rates: dict[str, list[float]] = {}
    offers: list[float] = []
    for turn in range(-1, scale.rounds):
        measured = {
            "single": _store_rate(single, 1),
            "group": _store_rate(grouped, _GROUP),
            "no index": _store_rate(grouped, _GROUP, "DROP INDEX identity", _without_identity),
            "rows": _executemany_rate(grouped),
            "log": _log_rate(grouped, offers, is_busy=False),
            "busy": _log_rate(grouped, offers, is_busy=True),
        }
        if turn >= 0:
            for name, rate in measured.items():
                rates.setdefault(name, []).append(rate)
    lags = _lags(scale)
    floods = asyncio.run(_floods(scale))
    group = f"{len(grouped):,} events, {_GROUP:,} a transaction"
    return [
        figure("commits of one event", rates["single"], "events/s", f"{len(single):,} transactions", at_least=30_000),
        figure("group commit", rates["group"], "events/s", group, at_least=200_000),
        figure("what refusing repeats costs", ratio(rates["no index"], rates["group"]), "x", "without the index"),
        figure("against a statement for each row", ratio(rates["group"], rates["rows"]), "x faster", "executemany"),
        figure("through the log, until on disk", rates["log"], "events/s", "one event an offer", at_least=200_000),
        figure(
            "the same beside a thread that never rests", rates["busy"], "events/s", "each step waits 5 ms for its turn"
        ),
        figure("offer of one event", offers, "ns", "CPU of the ingest path"),
        figure("from offer to disk, p50", [percentile(lags, 0.5)], "ms", f"{_PACED:,} events/s", at_most=10),
        figure("from offer to disk, p99", [percentile(lags, 0.99)], "ms", f"{_PACED:,} events/s"),
        figure(
            "the whole path over TLS with Redis and the log",
            floods["log"],
            "events/s",
            "binance, one event a frame; socket to windows to disk, on one core",
            at_least=100_000,
        ),
        figure("what the log takes of the whole path", ratio(floods["plain"], floods["log"]), "x", "rates, Redis on"),
    ]


def _made(count: int) -> list[Liquidation]:
    return [
        Liquidation(
            ("binance", "bybit")[i % 2],
            f"C{i % 200}USDT",
            f"C{i % 200}USDT",
            "long" if i % 3 else "short",
            80_000.5 + i,
            "fill",
            0.5,
            40_000.123456,
            _BEGIN_MS + i // 5,
            _BEGIN_MS + i // 5 + 40,
            f"C{i % 200}USDT:long:{_BEGIN_MS + i // 5}:{i * 0.37!r}:{80_000.5 + i}",
        )
        for i in range(count)
    ]


@contextmanager
def _directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="liqtape-bench-") as directory:
        yield Path(directory)


def _without_identity(statement: str) -> str:
    return statement.partition(" ON CONFLICT")[0]


def _store_rate(
    events: list[Liquidation], group: int, prepare: str = "", rewrite: Callable[[str], str] | None = None
) -> float:
    from liqtape.history.log import store as module

    inserts = dict(module._INSERTS)
    if rewrite is not None:
        module._INSERTS.update({rows: rewrite(statement) for rows, statement in inserts.items()})
    with _directory() as directory:
        store = Store(directory)
        store._connection.execute(prepare)
        began = time.perf_counter()
        for start in range(0, len(events), group):
            store.write(events[start : start + group])
        took = time.perf_counter() - began
        store.close()
    module._INSERTS.update(inserts)
    return len(events) / took


def _executemany_rate(events: list[Liquidation]) -> float:
    from liqtape.history.log.store import _INSERTS

    with _directory() as directory:
        Store(directory).close()
        connection = sqlite3.connect(directory / "log.sqlite", isolation_level=None)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 8000")
        began = time.perf_counter()
        for start in range(0, len(events), _GROUP):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_INSERTS[1], map(astuple, events[start : start + _GROUP]))
            connection.execute("COMMIT")
        took = time.perf_counter() - began
        connection.close()
    return len(events) / took


def _log_rate(events: list[Liquidation], offers: list[float], *, is_busy: bool) -> float:
    """Until all is on disk; `is_busy` with another thread that computes without end."""
    rest = threading.Event()
    other = threading.Thread(target=_compute, args=(rest,))
    with _directory() as directory:
        log = EventLog(directory / "history")
        log.start()
        if is_busy:
            other.start()
        began, cpu = time.perf_counter(), time.thread_time_ns()
        offer = log.offer
        for event in events:
            offer([event])
        if not is_busy:
            offers.append((time.thread_time_ns() - cpu) / len(events))
        while log.events_pending:
            time.sleep(0.001)
        took = time.perf_counter() - began
        rest.set()
        if is_busy:
            other.join()
        log.stop()
        if log.events_logged != len(events):
            raise RuntimeError(f"not every event was logged: {log.health()}")
    return len(events) / took


def _compute(rest: threading.Event) -> None:
    while not rest.is_set():
        sum(range(100))


def _lags(scale: Scale) -> list[float]:
    """Milliseconds from an offer until its event is on disk, events coming evenly."""
    events = _made(max(50, round(_PACED * scale.seconds)))
    offered: list[float] = []
    lags: list[float] = []
    with _directory() as directory:
        log = EventLog(directory / "history")
        log.start()
        for i, event in enumerate(events):
            log.offer([event])
            offered.append(time.perf_counter())
            while time.perf_counter() < offered[0] + (i + 1) / _PACED:
                time.sleep(0.0001)
                now = time.perf_counter()
                lags.extend(1_000 * (now - at) for at in offered[len(lags) : log.events_logged])
        log.stop()
    return lags


async def _floods(scale: Scale) -> dict[str, list[float]]:
    count = scale.size(_FLOOD)
    rates: dict[str, list[float]] = {"plain": [], "log": []}
    async with embedded() as redis:
        with Sender() as sender:
            for turn in range(-1, min(scale.rounds, 4)):
                sender.make("binance", count, 1, per_second=100_000.0)
                for name, got in rates.items():
                    rate = await _flood(sender, count, redis.url, with_log=name == "log")
                    if turn >= 0:
                        got.append(rate)
    return rates


async def _flood(sender: Sender, count: int, redis_url: str, *, with_log: bool) -> float:
    with _directory() as directory:
        async with live_tracker(sender, "binance", [RedisSink(redis_url)]) as tracker:
            log = EventLog(directory / "history")
            if with_log:
                log.start()
                tracker.listen(LogFeed(log, None, {}))
            counter = Counter(count)
            tracker.listen(OnLiquidation(counter))
            sender.ask("flood")
            spent = await counter.spent()
            began = time.perf_counter_ns()
            while log.events_pending:  # noqa: ASYNC110 - the log tells nobody
                await asyncio.sleep(0.001)
            rest = time.perf_counter_ns() - began
            sender.answer()
            ledger = tracker.ledger()
            if ledger.events_accepted != count or not ledger.balanced():
                raise RuntimeError(f"not every event arrived: {ledger.as_dict()}")
            await asyncio.to_thread(log.stop)
    return 1e9 * count / (spent.wall * count + rest)
