# ruff: noqa: ASYNC110, ASYNC240 - a test may block, and polls what it does not own
"""How `liqtape run` ends and begins again, as a process: by SIGTERM whatever hangs, and by SIGKILL."""

import asyncio
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest
import redis

from liqtape.embedded import server_binary
from liqtape.errors import EmbeddedUnavailable
from liqtape.simulator import Simulator

if TYPE_CHECKING:
    from tests.conftest import PostgresServer

BOUND_SECONDS = 30.0  # on a busy machine
END_SECONDS = 5.0
VENUES = ("binance", "bybit")

# `liqtape run`, in which the disk hangs from the moment on in which the named file is there: a thread in a system call
# that does not return is for Python the same as one that waits for ever.
PROGRAM = textwrap.dedent("""
    import sys, threading
    from pathlib import Path
    from liqtape.cli.app import main
    from liqtape.history.log.logreader import LogReader
    from liqtape.history.log.store import Store

    hanging = Path(sys.argv[1])

    def hang_when_told(kind, name):
        usual = getattr(kind, name)

        def method(*arguments):
            if hanging.exists():
                threading.Event().wait()
            return usual(*arguments)

        setattr(kind, name, method)

    for kind, name in ((Store, "write"), (LogReader, "after"), (LogReader, "alive_ms"), (LogReader, "close")):
        hang_when_told(kind, name)
    sys.exit(main(sys.argv[2:]))
""")


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator("cascade", 5, 3.0) as made:
        yield made


@pytest.fixture
def black_hole() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/1"


def settings(simulator: Simulator, directory: Path) -> Path:
    lines = ['[price]\nspot_url = "ws://127.0.0.1:9"', "[venues.okx]\nenabled = false"]
    lines += ["[venues.hyperliquid]\nenabled = false"]
    for name in VENUES:
        addresses = f'ws_url = "{simulator.ws_url(name)}"\nrest_url = "{simulator.rest_url(name)}"'
        lines.append(f"[venues.{name}]\n{addresses}")
    file = directory / "liqtape.toml"
    file.write_text("\n".join(lines))
    return file


class Run:
    """A child and what it says."""

    def __init__(self, file: Path, *options: str) -> None:
        directory = file.parent
        self.hanging = directory / "hanging"
        self.said = directory / f"said-{time.monotonic_ns()}"
        with self._out() as out, self._err() as err:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(self.hanging), "run", "--config", str(file), *options],
                stdout=out,
                stderr=err,
                env={**os.environ, "XDG_DATA_HOME": str(directory), "TMPDIR": str(directory)},
            )

    def _out(self) -> IO[str]:
        return self.said.with_suffix(".out").open("w")

    def _err(self) -> IO[str]:
        return self.said.with_suffix(".err").open("w")

    def out(self) -> str:
        return self.said.with_suffix(".out").read_text()

    def err(self) -> str:
        return self.said.with_suffix(".err").read_text()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(BOUND_SECONDS):
            while not condition():
                assert self.process.poll() is None, self.err()
                await asyncio.sleep(0.01)

    async def until_live(self) -> None:
        await self.until(lambda: all(f"{name} live" in self.out() for name in VENUES) and " v10=" in self.out())

    async def ended(self, seconds: float) -> int:
        return await asyncio.to_thread(self.process.wait, seconds)


@pytest.fixture
def start(simulator: Simulator, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """`start("--redis", "off")`: a child that ends with the test."""
    runs: list[Run] = []
    file = settings(simulator, tmp_path)

    def begin(*options: str) -> Run:
        runs.append(Run(file, *options))
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait(BOUND_SECONDS)


@contextmanager
def stopped(server: "PostgresServer") -> Iterator[None]:
    """Every process of the server halted, as behind a network that swallows everything."""
    children = server.children()
    try:
        _signal(children, signal.SIGSTOP)
        yield
    finally:
        _signal(children, signal.SIGCONT)


def _signal(processes: list[int], number: int) -> None:
    for pid in processes:
        with suppress(ProcessLookupError):  # a worker of the server may have ended by itself
            os.kill(pid, number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
async def test_a_signal_ends_it_with_everything_written(start: Callable[..., Run], number: int, tmp_path: Path) -> None:
    run = start("--redis", "off")
    await run.until_live()

    run.process.send_signal(number)

    assert await run.ended(END_SECONDS) == 128 + number
    assert run.err() == ""
    assert run.out().splitlines()[0].endswith(f"Settings: {tmp_path / 'liqtape.toml'}")
    database = sqlite3.connect(tmp_path / "liqtape" / "history" / "log.sqlite")
    assert database.execute("SELECT count(*) > 0 FROM events").fetchone() == (1,)
    assert database.execute("SELECT count(*) FROM coverage WHERE down_ms IS NULL").fetchone() == (0,)
    database.close()
    made = [path for path in (tmp_path / "liqtape").rglob("*") if path.stat().st_mode & 0o077]
    assert made == []  # nobody else may read or write what it made


@pytest.mark.parametrize(
    "hanging",
    [("postgres",), ("redis", "disk"), ("redis", "postgres", "disk")],
    ids="+".join,
)
async def test_sigterm_ends_it_in_time_whatever_hangs(
    start: Callable[..., Run], black_hole: str, postgres_server: "PostgresServer", hanging: tuple[str, ...]
) -> None:
    database = postgres_server.new_database()
    run = start(
        *("--redis", black_hole if "redis" in hanging else "off"),
        *("--history", postgres_server.url(database)),
    )
    await run.until_live()
    await run.until(lambda: postgres_server.sql("SELECT to_regclass('liquidations')", database))
    await run.until(lambda: postgres_server.sql("SELECT count(*) FROM liquidations", database) != "0")

    if "disk" in hanging:
        run.hanging.touch()
        await asyncio.sleep(0.2)  # some events more, which wait for the disk
    if "postgres" in hanging:
        with stopped(postgres_server):
            await asyncio.sleep(0.6)  # some events more, which wait for the server
            run.process.send_signal(signal.SIGTERM)
            code = await run.ended(END_SECONDS)
    else:
        run.process.send_signal(signal.SIGTERM)
        code = await run.ended(END_SECONDS)

    assert code == 128 + signal.SIGTERM
    [told] = [line for line in run.err().splitlines() if "not all was written" in line]
    assert ("redis: " in told) == ("redis" in hanging)
    assert bool(re.search(r"history: \d+ events, which are lost", told)) == ("disk" in hanging)
    if hanging == ("postgres",):
        assert re.search(r"postgres: \d+ events, which the next run writes", told)
    assert "Traceback" not in run.err()


async def test_a_disk_that_hangs_is_said_within_seconds(start: Callable[..., Run]) -> None:
    run = start("--redis", "off")
    await run.until_live()

    run.hanging.touch()

    await run.until(lambda: "HISTORY NOT WRITTEN: the disk has not answered for" in run.out())


async def test_a_second_signal_ends_it_at_once(start: Callable[..., Run], black_hole: str) -> None:
    run = start("--redis", black_hole)
    await run.until_live()

    run.process.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.3)
    assert run.process.poll() is None  # it waits for the server
    run.process.send_signal(signal.SIGTERM)

    assert await run.ended(1.0) == -signal.SIGTERM  # which a shell calls 143


def logged(directory: Path) -> list[tuple[str, int, str]]:
    database = sqlite3.connect(directory / "liqtape" / "history" / "log.sqlite")
    try:
        return database.execute("SELECT instrument, event_ms, venue || id FROM events").fetchall()
    except sqlite3.OperationalError:  # not made yet
        return []
    finally:
        database.close()


def redis_of(run: Run) -> "redis.Redis":
    found = re.search(r"Redis on port (\d+)", run.out())
    assert found is not None
    return redis.Redis(port=int(found[1]), db=1, decode_responses=True)


async def test_after_sigkill_the_next_run_goes_on_and_nothing_is_left_behind(
    start: Callable[..., Run], simulator: Simulator, tmp_path: Path
) -> None:
    try:
        server_binary()
    except EmbeddedUnavailable as error:
        pytest.skip(str(error))
    first = start()
    await first.until_live()
    await first.until(lambda: len(logged(tmp_path)) > 20)
    with redis_of(first) as client:
        server = client.info("server")["process_id"]

    first.process.kill()
    assert await first.ended(1.0) == -signal.SIGKILL
    killed_ms = time.time_ns() // 1_000_000
    async with asyncio.timeout(BOUND_SECONDS):
        while Path(f"/proc/{server}").exists() or list(tmp_path.glob("liqtape-valkey-*")):
            await asyncio.sleep(0.01)
    await simulator.stop_generating()
    kept = logged(tmp_path)

    second = start()
    await second.until(lambda: "Redis on port" in second.out())
    with redis_of(second) as client:
        busiest = max({name for name, _, _ in kept}, key=lambda one: sum(name == one for name, _, _ in kept))
        key = f"velocity:{busiest}:current"
        await second.until(lambda: client.exists(key))
        row = client.hgetall(key)
    now = logged(tmp_path)
    second.process.send_signal(signal.SIGTERM)
    assert await second.ended(END_SECONDS) == 128 + signal.SIGTERM

    at_ms = round(1000 * float(row["timestamp"]))
    inside = [event for event in now if event[0] == busiest and at_ms - 300_000 < event[1] <= at_ms]
    assert int(row["event_count_300s"]) == len(inside) > 1
    assert len(now) == len({identity for _, _, identity in now}) >= len(kept)
    database = sqlite3.connect(tmp_path / "liqtape" / "history" / "log.sqlite")
    gaps = database.execute("SELECT venue, from_ms, until_ms FROM gaps WHERE reason = 'not running'").fetchall()
    database.close()
    # It lasts where the venue, whose market has ended, sends nothing any more; else another one began with our end.
    told = [venue for venue, from_ms, until_ms in gaps if from_ms <= killed_ms <= (until_ms or killed_ms)]
    assert sorted(told) == sorted(VENUES)
    assert all(from_ms <= killed_ms or until_ms is None for _, from_ms, until_ms in gaps)
    assert "Traceback" not in second.err()
