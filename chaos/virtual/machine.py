"""The seams: what the product's modules take for the machine's clock, dice, threads, disk and network."""

import os
import random
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from unittest import mock

from chaos.virtual.disk import VirtualDisk
from chaos.virtual.strands import Strands
from chaos.virtual.world import START_NS, VirtualWorld

import liqtape.feeds.backfill
import liqtape.feeds.connection
import liqtape.feeds.listing
import liqtape.history.log.database
import liqtape.history.log.opening
import liqtape.history.log.store
import liqtape.ourtime
from liqtape.feeds.backoff import SystemClock
from liqtape.ourtime import SteadyClock

__all__ = ["Machine"]

_PRODUCT = ("liqtape.", "redis.", "chaos.virtual.bugs")
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

    def __init__(self, world: VirtualWorld, disk: VirtualDisk, open_socket: Any, fetch: Any) -> None:
        self.world = world
        self.disk = disk
        self.strands = Strands(world)
        self._open_socket, self._fetch = open_socket, fetch

    def boot(self) -> Strands:
        """Begin a process: its own time is what the clock on the wall says now, and steady from here on."""
        self.strands.end()
        self.strands = self.disk.strands = Strands(self.world)
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
            patch(liqtape.feeds.connection, "open_socket", self._open_socket)
            for asking in (liqtape.feeds.listing, liqtape.feeds.backfill):
                patch(asking, "fetch", self._fetch)
            # Sealing is the work of another process, which is not simulated.
            patch(liqtape.history.log.opening, "ArchiverProcess", lambda *_, **__: None)
            patch(liqtape.history.log.database, "sqlite3", _Sqlite(self.disk))
            patch(liqtape.history.log.store, "os", _Os(self.disk))
            yield


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
