"""One execution of one scheme: the world, the service in it from start to end, and what was found wrong."""

import asyncio
import gc
import logging
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from chaos.virtual.alarmend import VirtualAlarmEnd, VirtualHttp
from chaos.virtual.book import Book
from chaos.virtual.disk import Damage, VirtualDisk
from chaos.virtual.hazards import damaged, strike
from chaos.virtual.machine import Machine, Network
from chaos.virtual.postgres import VirtualPostgres
from chaos.virtual.redis import VirtualRedis
from chaos.virtual.scheme import Hazard, Scheme
from chaos.virtual.venues import VirtualVenue
from chaos.virtual.virtualloop import ProcessKilled, VirtualLoop
from chaos.virtual.watcher import Watcher
from chaos.virtual.world import VirtualWorld
from msgspec import Struct

from liqtape.alarmsettings import AlarmRule, ChannelSettings
from liqtape.engine.velocity import MARKET
from liqtape.errors import RestError
from liqtape.feeds.disconnects import Disconnected
from liqtape.settings import AlertSettings, HistorySettings, PriceSettings, RedisSettings, Settings, VenueSettings
from liqtape.tracker import Tracker

__all__ = ["Execution", "Outcome", "execute"]

_HANDSHAKE_SECONDS = 0.05
_LOOK_SECONDS = 8.0
_SERVERS = frozenset({"us", "redis", "postgres", "disk", "sealed", "channel"})
_BUSY = AlarmRule("busy", velocity=0.1, window=60, cooldown=30.0, instruments=(MARKET,), channels=("hook",))
_ALERTS = AlertSettings(
    channels={"hook": ChannelSettings("webhook", "https://hook.sim/alarms", messages_per_hour=100)}, rules=(_BUSY,)
)


class Outcome(Struct, frozen=True):
    """What an execution came to; `problems` should be empty."""

    scheme: Scheme
    digest: str
    problems: tuple[str, ...]
    printed: int
    """Liquidations that venues printed."""
    logged: int
    steps: int
    """Things that happened, in the world."""
    trace: tuple[str, ...] = ()


class Execution:
    """The parts of one world; hazards find them here."""

    def __init__(self, scheme: Scheme, directory: Path, *, keeps_trace: bool = False) -> None:
        self.scheme = scheme
        self.world = world = VirtualWorld(scheme.seed, keeps_trace=keeps_trace)
        self.book = Book()
        self.disk = VirtualDisk(world, directory)
        self.redis = VirtualRedis(world)
        self.postgres = VirtualPostgres(world, scheme.seed)
        self.alarm_end = VirtualAlarmEnd(world)
        network = Network(self._open_socket, self._fetch, self.postgres.connect, VirtualHttp(self.alarm_end))
        self.machine = Machine(world, self.disk, network, seals=scheme.seals)
        self.venues = {name: VirtualVenue(name, world, self.book, scheme.seed) for name in scheme.venues}
        self.watcher = Watcher(self)
        self._loop: VirtualLoop | None = None
        self._lasting: Counter[tuple[str, str]] = Counter()  # hazards that go on, by kind and against whom
        self._dead: list[object] = []  # what a killed process leaves; nobody in it may run again, not even to clean up
        self._down_seconds = 0.0
        self._damage: Damage = ""

    def run(self) -> Outcome:
        """Let it happen from beginning to end, and judge it."""
        with self.machine.installed(), _listening(self.watcher):
            for venue in self.venues.values():
                venue.begin()
            for hazard in self.scheme.hazards:
                self.world.after(hazard.at, lambda hazard=hazard: self._strike(hazard))  # type: ignore[misc]
            while not self._live():
                self._die()
            self.watcher.judge()
        return self._outcome(self.watcher.problems)

    def broken(self, error: Exception) -> Outcome:
        """Return what there is of an execution that ended in an error."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
        return self._outcome([*self.watcher.problems, f"{self.world.seconds:.3f} s: raised: {text}"])

    def _outcome(self, problems: Sequence[str]) -> Outcome:
        self._bury()
        return Outcome(
            self.scheme,
            self.world.digest,
            tuple(problems),
            len(self.book.entries),
            self.watcher.logged,
            self.world.steps,
            tuple(self.world.lines or ()),
        )

    def kill(self, down_seconds: float, damage: Damage) -> None:
        """End the process here and now."""
        if self._loop is not None:
            self._down_seconds, self._damage = down_seconds, damage
            self._loop.kill()

    def _strike(self, hazard: Hazard) -> None:
        if hazard.against in _SERVERS or hazard.against in self.venues:
            self.world.note(f"hazard {hazard}")
            end = strike(hazard, self)
            if hazard.seconds and hazard.against != "us":
                self._lasting[hazard.kind, hazard.against] += 1
                self.world.after(hazard.seconds, lambda: self._end(hazard, end))

    def _end(self, hazard: Hazard, end: Callable[[], None]) -> None:
        """End a hazard, unless another one of its kind goes on."""
        self._lasting[hazard.kind, hazard.against] -= 1
        if not self._lasting[hazard.kind, hazard.against]:
            end()

    def _live(self) -> bool:
        """Run the service until it ends; return False where it was killed."""
        strands = self.machine.boot()
        loop = self._loop = VirtualLoop(self.world, strands, self._dial)
        try:
            loop.run_until_complete(self._serve(loop))
        except ProcessKilled:
            self._dead += [loop, strands, asyncio.all_tasks(loop)]
            return False
        except Exception:
            self._dead += [loop, strands, asyncio.all_tasks(loop)]
            raise
        finally:
            if not loop.killed:
                loop.close()
            self._loop = None
        return True

    def _die(self) -> None:
        """Let the world go on without the process."""
        world = self.world
        world.note("killed")
        self.watcher.killed(self._damage)
        self.machine.strands.end()
        for venue in self.venues.values():
            for socket in list(venue.sockets):
                socket.end(Disconnected("closed_1006", "nobody there"))
        for transport in list(self.redis.connections):
            transport.end(None)
        for client in list(self.postgres.clients):
            client.die()
        self.disk.survive(self._damage)
        until_ns = world.now_ns + round(self._down_seconds * 1e9)
        world.advance(until_ns, lambda: False)

    def _bury(self) -> None:
        """Forget the killed processes; what their coroutines would still do is of no interest to anybody."""
        if not self._dead:
            return
        heard, logging.raiseExceptions = sys.unraisablehook, False
        disabled = logging.root.manager.disable
        sys.unraisablehook = lambda _: None
        logging.disable(logging.CRITICAL)
        try:
            self._dead.clear()
            gc.collect()
        finally:
            sys.unraisablehook, logging.raiseExceptions = heard, True
            logging.disable(disabled)

    async def _serve(self, loop: VirtualLoop) -> None:
        tracker = Tracker(self._settings(), data_dir=self.disk.directory)
        tracker.listen(self.watcher.listener(tracker))
        await tracker.start()
        while (left := self.scheme.seconds - self.world.seconds) > 0:
            await asyncio.sleep(min(left, _LOOK_SECONDS))
            self.watcher.look(tracker)
        self.watcher.finish(tracker)
        await tracker.stop()
        self.watcher.ended(tracker, loop)

    def _settings(self) -> Settings:
        venues = {
            name: VenueSettings(enabled=True, ws_url=f"wss://{name}.sim", rest_url=f"https://{name}.sim")
            for name in self.venues
        }
        venues |= {name: VenueSettings(enabled=False) for name in Settings().venues if name not in venues}
        return Settings(
            venues=venues,
            redis=RedisSettings(url="redis://redis.sim:6379/1" if self.scheme.has_redis else "off"),
            alerts=_ALERTS if self.scheme.has_channel else AlertSettings(),
            price=PriceSettings(spot_url="wss://spot.sim"),
            history=HistorySettings(
                url="postgresql://liqtape@postgres.sim/liqtape"
                if self.scheme.has_postgres
                else str(self.disk.directory / "history")
            ),
        )

    # What the product takes for the network.

    def _dial(self, protocol: asyncio.BaseProtocol, host: str, port: int) -> asyncio.Transport:
        if (host, port) != ("redis.sim", 6379) or self._loop is None:
            raise OSError(f"no such host: {host}")
        return self.redis.dial(protocol, self._loop)

    async def _open_socket(
        self, url: str, receive: Callable[[bytes], None], on_lost: Callable[[], None], _: object = None
    ) -> Any:
        venue = self._venue_of(url)
        if venue is None:
            raise Disconnected("dns", "name not resolved")
        await asyncio.sleep(_HANDSHAKE_SECONDS + venue.way_seconds())
        if venue.is_deaf:
            await asyncio.get_running_loop().create_future()  # for ever, as far as the venue is concerned
        assert self._loop is not None
        return venue.connect(url, self._loop, receive, on_lost)

    async def _fetch(self, url: str, body: bytes, *_: object) -> bytes:
        venue = self._venue_of(url)
        if venue is None:
            raise RestError(f"{url}: name not resolved")
        await asyncio.sleep(_HANDSHAKE_SECONDS + venue.way_seconds())
        if venue.is_deaf or venue.rest_fault == "hanging":
            await asyncio.get_running_loop().create_future()
        place = urlsplit(url)
        path, query = place.path.strip("/"), dict(parse_qsl(place.query, keep_blank_values=True))
        is_whole = not venue.rest_fault
        status, answer = venue.rest(path, query, "POST" if body else "GET", body, is_whole=is_whole)
        status, payload = damaged(venue.rest_fault, answer) if status == 200 else (status, b"")
        self.world.note(f"{venue.name} rest {path} {status} {len(payload)}")
        if status != 200:
            raise RestError(f"{url}: HTTP {status}")
        return payload

    def _venue_of(self, url: str) -> VirtualVenue | None:
        return self.venues.get((urlsplit(url).hostname or "").partition(".")[0])


class _Listening(logging.Handler):
    def __init__(self, watcher: Watcher) -> None:
        super().__init__(logging.ERROR)
        self._watcher = watcher

    def emit(self, record: logging.LogRecord) -> None:
        self._watcher.said(record)


class _listening:  # noqa: N801 - a block
    """Hear the errors that the product logs, and keep them from the screen."""

    def __init__(self, watcher: Watcher) -> None:
        self._logger = logging.getLogger("liqtape")
        self._handler = _Listening(watcher)

    def __enter__(self) -> None:
        self._before = self._logger.propagate, self._logger.level
        self._logger.addHandler(self._handler)
        self._logger.propagate = False
        self._logger.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self._handler)
        self._logger.propagate, level = self._before
        self._logger.setLevel(level)


def execute(scheme: Scheme, *, keeps_trace: bool = False) -> Outcome:
    """Execute a scheme on a disk that is gone afterwards."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="liqtape-virtual-", dir=memory if memory.is_dir() else None) as directory:
        is_collecting = gc.isenabled()
        gc.disable()  # it would take a fifth of the time, and what it finds has to be the same each time
        try:
            execution = Execution(scheme, Path(directory), keeps_trace=keeps_trace)
            try:
                return execution.run()
            except Exception as error:  # noqa: BLE001 - a seed is an outcome, whatever happens
                return execution.broken(error)
        finally:
            if is_collecting:
                gc.enable()
