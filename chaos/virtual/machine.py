"""The seams: what the product's modules take for the machine's clock, dice, threads, disk and network."""

import importlib
import os
import random
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from chaos.virtual.disk import VirtualDisk
from chaos.virtual.sealing import CLOSED_AFTER_MS, HOUR_MS, VirtualArchiver
from chaos.virtual.strands import Strands
from chaos.virtual.world import START_NS, VirtualWorld
from msgspec import Struct

import liqtape.alarms.delivery.httpchannels
import liqtape.feeds.backfill
import liqtape.feeds.connection
import liqtape.feeds.listing
import liqtape.history.archive.archiver
import liqtape.history.log.database
import liqtape.history.log.eventlog
import liqtape.history.log.opening
import liqtape.history.log.store
import liqtape.ourtime
import liqtape.sinks.postgres.postgressink
from liqtape.feeds.backoff import SystemClock
from liqtape.history.archive import soundfiles
from liqtape.ourtime import SteadyClock

__all__ = ["Machine", "Network"]

asyncpg: Any = importlib.import_module("asyncpg")  # not annotated

_PRODUCT = ("liqtape.", "redis.", "chaos.virtual.bugs")
_POSTGRES_IDLE_SECONDS, _POSTGRES_BESIDE_SECONDS = 1.0, 5.0
_KNOW_HOURS = (liqtape.history.archive.archiver, liqtape.history.log.eventlog, liqtape.history.log.store)
_BOOTED_NS = START_NS - 86_400_000_000_000


class _Clock:
    """`time`, by the world's."""

    def __init__(self, machine: "Machine") -> None:
        self._machine = machine
        self._world = machine.world

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def time_ns(self) -> int:
        return self._world.wall_ns

    def time(self) -> float:
        return self._world.wall_ns / 1e9

    def monotonic_ns(self) -> int:
        return self._world.now_ns - _BOOTED_NS

    def monotonic(self) -> float:
        return (self._world.now_ns - _BOOTED_NS) / 1e9

    perf_counter, perf_counter_ns = monotonic, monotonic_ns

    def clock_gettime_ns(self, _: int) -> int:
        return self._world.now_ns - _BOOTED_NS

    def sleep(self, seconds: float) -> None:
        self._machine.strands.sleep(seconds)


class _Dice:
    """`random`, by the world's die."""

    def __init__(self, world: VirtualWorld) -> None:
        self._dice = random.Random(world.dice.getrandbits(64))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dice, name)

    def Random(self, seed: object = None) -> random.Random:  # noqa: N802 - the module's name
        return random.Random(self._dice.getrandbits(64) if seed is None else seed)  # type: ignore[arg-type]


class _Threads:
    """`threading`, by the strands of the process that runs now."""

    def __init__(self, machine: "Machine") -> None:
        self._machine = machine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._machine.strands, name)


class _Sqlite:
    """`sqlite3`, on the world's disk."""

    def __init__(self, disk: VirtualDisk) -> None:
        self._disk = disk

    def __getattr__(self, name: str) -> Any:
        return getattr(sqlite3, name)

    def connect(self, *args: Any, **options: Any) -> sqlite3.Connection:
        return self._disk.connect(*args, **options)


class Network(Struct, frozen=True):
    """What stands in for it: connections to venues, their REST, connections to PostgreSQL, and HTTP of alarms."""

    open_socket: Any
    fetch: Any
    connect: Any
    http: Any


class _Os:
    """`os`, whose `fsync` the world's disk hears."""

    def __init__(self, disk: VirtualDisk) -> None:
        self._disk = disk

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def fsync(self, file: int) -> None:
        self._disk.sync(os.fstat(file).st_size)


class Machine:
    """Stands in for the machine while it is `installed`; `boot` begins a process on it."""

    def __init__(self, world: VirtualWorld, disk: VirtualDisk, network: Network, *, seals: bool) -> None:
        self.world = world
        self.disk = disk
        self.strands = Strands(world)
        self._network, self._seals = network, seals

    def boot(self) -> Strands:
        """Begin a process: its own time is what the clock on the wall says now, and steady from here on."""
        self.strands.end()
        self.strands = self.disk.strands = Strands(self.world)
        soundfiles._compared.clear()
        liqtape.ourtime._OURS = SteadyClock(lambda: self.world.now_ns - _BOOTED_NS, lambda: self.world.wall_ns)
        return self.strands

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Stand in for the machine until the block ends, wherever a module of the product names a part of it."""
        clock, dice, threads = _Clock(self), _Dice(self.world), _Threads(self)
        stands_in: list[tuple[object, object]] = [(time, clock), (random, dice), (threading, threads)]
        stands_in += [
            (getattr(time, name), getattr(clock, name))
            for name in ("monotonic", "perf_counter", "time", "time_ns", "monotonic_ns", "sleep")
        ]
        with _patches() as patch:
            patch(liqtape.ourtime, "_OURS", liqtape.ourtime._OURS)
            for name, module in sorted(sys.modules.items()):
                if name.startswith(_PRODUCT) and module is not None:
                    _sweep(module, stands_in, patch)
            patch(SystemClock, "now", staticmethod(clock.monotonic))
            patch(liqtape.feeds.connection, "open_socket", self._network.open_socket)
            for asking in (liqtape.feeds.listing, liqtape.feeds.backfill):
                patch(asking, "fetch", self._network.fetch)
            patch(liqtape.alarms.delivery.httpchannels, "aiohttp", self._network.http)
            patch(asyncpg, "connect", self._network.connect)
            # Looking for news four times a second would take as long as all the rest.
            patch(liqtape.sinks.postgres.postgressink, "_IDLE_SECONDS", _POSTGRES_IDLE_SECONDS)
            patch(liqtape.sinks.postgres.postgressink, "_BESIDE_SECONDS", _POSTGRES_BESIDE_SECONDS)
            patch(liqtape.history.log.opening, "ArchiverProcess", self._archiver)
            if self._seals:
                for module in _KNOW_HOURS:
                    patch(module, "_HOUR_MS", HOUR_MS)
                patch(liqtape.history.archive.archiver, "CLOSED_AFTER_MS", CLOSED_AFTER_MS)
            patch(liqtape.history.log.database, "sqlite3", _Sqlite(self.disk))
            patch(liqtape.history.log.store, "os", _Os(self.disk))
            yield

    def _archiver(self, directory: Path, *, retention_days: float, **_: Any) -> VirtualArchiver | None:
        """Return what seals: another process, which is a strand here; in most worlds there is none."""
        if not self._seals:
            return None
        return VirtualArchiver(self.world, lambda: self.strands, directory, retention_days)


def _sweep(module: ModuleType, stands_in: list[tuple[object, object]], patch: Callable[[Any, str, Any], None]) -> None:
    for name, value in list(vars(module).items()):
        for real, virtual in stands_in:
            if value is real:
                patch(module, name, virtual)


@contextmanager
def _patches() -> Iterator[Callable[[Any, str, Any], None]]:
    begun: list[Any] = []

    def patch(target: Any, name: str, value: Any) -> None:
        one = mock.patch.object(target, name, value)
        one.start()
        begun.append(one)

    try:
        yield patch
    finally:
        for one in reversed(begun):
            one.stop()
