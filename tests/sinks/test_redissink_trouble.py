# ruff: noqa: ASYNC221 - a test may block
"""A publisher and a real Redis in every kind of trouble: a line a cause, a state, recovery, then the newest state."""

import asyncio
import logging
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from liqtape.events import Liquidation, VelocityMetrics
from liqtape.sinks import publisher as publisher_module
from liqtape.sinks.publisher import Publisher
from liqtape.sinks.redis import redissink as redis_module
from liqtape.sinks.redis.redissink import RedisSink

BOUND_SECONDS = 15.0
KEY = "velocity:BTCUSDT:current"


class Server:
    """A redis-server that the test may end and start again."""

    def __init__(self, program: Path, directory: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self._command = [str(program), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._command += ["--dir", str(directory), "--repl-diskless-load", "disabled"]
        self.directory = directory
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        command = [*self._command, *options]
        self._child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + BOUND_SECONDS
        while not self._answers():
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.005)

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait(BOUND_SECONDS)

    def client(self, **options: Any) -> "redis.Redis":
        return redis.Redis(port=self.port, db=1, decode_responses=True, **options)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


@pytest.fixture
def server(tmp_path: Path, require_server: Callable[[str], Path]) -> Iterator[Server]:
    made = Server(require_server("redis-server"), tmp_path)
    made.start()
    yield made
    made.kill()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "_LAST_RETRY", 0.1)
    monkeypatch.setattr(publisher_module, "_REFUSED_RETRY", 0.1)
    monkeypatch.setattr(redis_module, "_REPLY_SECONDS", 0.5)


class Feed:
    """Events that come all the time, and what is to be seen of them at last."""

    def __init__(self, url: str) -> None:
        self.count = 0
        self.publisher = Publisher(RedisSink(url), self._rows, lambda: ["BTCUSDT"])

    def add(self) -> None:
        self.count += 1
        ms = 1_790_000_000_000 + self.count
        event = Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 8e4, "fill", None, None, ms, ms, f"b:{self.count}")
        self.publisher.accepted([event])

    def _rows(self, instruments: Any) -> list[VelocityMetrics]:
        values: dict[str, Any] = {}
        for field in msgspec.structs.fields(VelocityMetrics):
            values[field.name] = 3 if field.type is int else False if field.type is bool else 1.5
        values |= {"level": "NONE", "event_count_300s": self.count}
        return [VelocityMetrics(**(values | {"symbol": instrument})) for instrument in instruments]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(BOUND_SECONDS):
            while not condition():
                self.add()
                await asyncio.sleep(0.005)


@asynccontextmanager
async def running(url: str) -> AsyncIterator[Feed]:
    feed = Feed(url)
    task = asyncio.create_task(feed.publisher.run())
    try:
        yield feed
    finally:
        feed.publisher.stop()
        await asyncio.wait_for(task, BOUND_SECONDS)


class Trouble:
    """Begins, is named, ends."""

    told = ""

    def __init__(self, server: Server) -> None:
        self.server = server

    def begin(self) -> None:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError


class Full(Trouble):
    told = "OOM command not allowed"

    def begin(self) -> None:
        with self.server.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", "1")

    def end(self) -> None:
        with self.server.client() as client:
            client.config_set("maxmemory", "0")


class Replica(Trouble):
    told = "READONLY"

    def begin(self) -> None:
        with self.server.client() as client:
            client.replicaof("127.0.0.1", "1")

    def end(self) -> None:
        with self.server.client() as client:
            client.replicaof("NO", "ONE")


class Password(Trouble):
    told = "Authentication required"

    def begin(self) -> None:
        with self.server.client() as client:
            client.config_set("requirepass", "another")
        with self.server.client(password="another") as client:
            client.client_kill_filter(_type="normal", skipme=True)

    def end(self) -> None:
        with self.server.client(password="another") as client:
            client.config_set("requirepass", "")


class Restart(Trouble):
    told = "refused|lost|Connect call failed"

    def begin(self) -> None:
        self.server.kill()

    def end(self) -> None:
        self.server.start()


class Halt(Trouble):
    told = r"no reply in 0\.5 s"

    def begin(self) -> None:
        assert self.server._child is not None
        os.kill(self.server._child.pid, signal.SIGSTOP)

    def end(self) -> None:
        assert self.server._child is not None
        os.kill(self.server._child.pid, signal.SIGCONT)


@pytest.mark.parametrize("kind", [Full, Replica, Password, Restart, Halt], ids=lambda kind: kind.__name__.lower())
async def test_trouble_is_told_once_and_the_newest_state_follows(
    kind: type[Trouble], server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "liqtape")
    trouble = kind(server)
    async with running(f"redis://127.0.0.1:{server.port}/1") as feed:
        publisher = feed.publisher
        await feed.until(lambda: publisher.batches_total > 2)

        trouble.begin()
        await feed.until(lambda: publisher.state == "failing" and publisher.failures_total >= 4)
        assert publisher.detail
        trouble.end()
        await feed.until(lambda: publisher.state == "ok")
        assert publisher.detail == ""
        await asyncio.sleep(0.05)

    with server.client() as client:
        assert client.hget(KEY, "event_count_300s") == str(feed.count)
        ids = [msgspec.json.decode(text)["id"] for text in client.lrange("cascade:events:buffer", 0, -1)]
    assert ids == [f"b:{number}" for number in range(feed.count, max(0, feed.count - 1_000), -1)]
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1 + (kind is Password)  # there it also loses the connection
    assert any(re.search(trouble.told, text) for text in warnings)
    assert [text for text in caplog.messages if "back, caught up" in text] == ["redis: back, caught up"]


async def test_each_cause_is_a_line_of_its_own(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    full, restart = Full(server), Restart(server)
    async with running(f"redis://127.0.0.1:{server.port}/1") as feed:
        await feed.until(lambda: feed.publisher.state == "ok")
        full.begin()
        await feed.until(lambda: feed.publisher.failures_total >= 4)
        restart.begin()
        await feed.until(lambda: "failed" in feed.publisher.detail)
        restart.end()
        await feed.until(lambda: feed.publisher.state == "ok")

    causes = [text for text in caplog.messages if "retrying" in text]
    assert "OOM" in causes[0]
    assert re.search(Restart.told, causes[1])
    assert len(causes) == 2


async def test_a_disk_that_is_full_for_the_servers_file(
    tmp_path: Path, require_server: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    """The server refuses writes while it cannot append them, and takes them again by itself."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "liqtape-test", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    server = Server(require_server("redis-server"), place)
    try:
        server.start("--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0")
        async with running(f"redis://127.0.0.1:{server.port}/1") as feed:
            await feed.until(lambda: feed.publisher.batches_total > 2)
            ballast = place / "ballast"
            subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=4k"], check=False, capture_output=True)
            await feed.until(lambda: feed.publisher.state == "failing" and feed.publisher.failures_total >= 3)
            ballast.unlink()
            await feed.until(lambda: feed.publisher.state == "ok")
        with server.client() as client:
            assert client.hget(KEY, "event_count_300s") == str(feed.count)
    finally:
        server.kill()
        subprocess.run(["umount", "--lazy", str(place)], check=True)
    assert len([text for text in caplog.messages if "MISCONF" in text]) == 1
