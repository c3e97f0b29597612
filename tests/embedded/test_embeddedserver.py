# ruff: noqa: ASYNC220, ASYNC221, ASYNC240 - a test may block, and polls what it does not own
import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis
from tests.polling import until

from liqtape.embedded import EmbeddedServer, embeddedserver
from liqtape.embedded.directory import TEMP_PREFIX
from liqtape.errors import EmbeddedUnavailable

pytestmark = pytest.mark.usefixtures("binary")

BOUND_SECONDS = 10.0


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{pid}/stat")  # dead, but not yet reaped by whoever inherited it
    try:
        return status.read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return status.parent.parent.exists()  # on a system without /proc `kill` alone decides


def pid_of(running: EmbeddedServer) -> int:
    assert running.pid is not None
    return running.pid


def guard_of(running: EmbeddedServer) -> int:
    assert running._child is not None
    return running._child._guard.pid


@asynccontextmanager
async def started(made: EmbeddedServer) -> AsyncIterator[EmbeddedServer]:
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def test_url_names_database_1_of_a_server_that_answers(server: EmbeddedServer) -> None:
    port = await server.start()  # a second start is the same server

    assert server.url == f"redis://127.0.0.1:{port}/1"
    assert server.running
    with redis.Redis.from_url(server.url) as client:
        assert client.set("key", "value")
        assert client.get("key") == b"value"


async def test_listens_on_loopback_only_and_saves_nothing(server: EmbeddedServer) -> None:
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        settings = client.config_get("bind", "save", "appendonly", "maxmemory-policy")

    assert settings == {"bind": "127.0.0.1", "save": "", "appendonly": "no", "maxmemory-policy": "noeviction"}


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="redis-cli is not installed")
async def test_redis_cli_reads_what_was_written(server: EmbeddedServer) -> None:
    port = await server.start()
    with redis.Redis.from_url(server.url) as client:
        client.hset("velocity:BTCUSDT:current", "velocity_10s", "1.5")

    command = ["redis-cli", "-n", "1", "-p", str(port), "HGETALL", "velocity:BTCUSDT:current"]
    assert subprocess.check_output(command, text=True).split() == ["velocity_10s", "1.5"]


async def test_usual_port_is_preferred_when_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        usual = probe.getsockname()[1]
    monkeypatch.setattr(embeddedserver, "_USUAL_PORT", usual)

    async with started(EmbeddedServer()) as made:
        assert made.url == f"redis://127.0.0.1:{usual}/1"


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
async def test_usual_port_of_somebody_else_is_left_alone(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    with socket.create_server((address, 0)) as stranger:
        monkeypatch.setattr(embeddedserver, "_USUAL_PORT", stranger.getsockname()[1])

        async with started(EmbeddedServer()) as made:
            port = await made.start()
            assert port != stranger.getsockname()[1]
            with redis.Redis(port=port) as client:
                assert client.ping()


async def test_named_port_that_is_taken_is_refused(temp_root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        with pytest.raises(EmbeddedUnavailable, match=f"port {port} is taken"):
            await EmbeddedServer(port=port).start()

    assert list(temp_root.iterdir()) == []


async def test_port_lost_between_look_and_bind_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = stranger.getsockname()[1]
        monkeypatch.setattr(embeddedserver, "_USUAL_PORT", taken)
        looks = [True]  # the first look still finds it free
        really_free = embeddedserver._is_free
        monkeypatch.setattr(embeddedserver, "_is_free", lambda port: looks.pop() if looks else really_free(port))

        async with started(EmbeddedServer()) as made:
            assert await made.start() != taken


@pytest.mark.parametrize("victim", [pid_of, guard_of], ids=["server", "guard"])
async def test_death_is_noticed_and_mended_on_the_same_port(
    server: EmbeddedServer, victim: Callable[[EmbeddedServer], int]
) -> None:
    url, first = server.url, pid_of(server)

    os.kill(victim(server), signal.SIGKILL)
    await until(lambda: server.restarts == 1)

    assert server.running
    assert server.url == url
    assert server.pid != first
    assert is_gone(first)
    with redis.Redis.from_url(url) as client:
        assert client.ping()


async def test_stop_leaves_nothing_and_may_be_repeated(temp_root: Path) -> None:
    made = EmbeddedServer()
    await made.start()
    pid, guard = pid_of(made), guard_of(made)
    assert len(list(temp_root.glob(TEMP_PREFIX + "*"))) == 1

    await made.stop()
    await made.stop()

    assert not made.running
    assert is_gone(pid)
    assert is_gone(guard)
    assert list(temp_root.iterdir()) == []


async def test_stopped_server_starts_again() -> None:
    made = EmbeddedServer()
    await made.start()
    await made.stop()

    async with started(made):
        assert made.running


async def test_persistent_data_survive_stop_and_sigkill(tmp_path: Path) -> None:
    async with started(EmbeddedServer(data_dir=tmp_path / "kept", persist=True)) as made:
        with redis.Redis.from_url(made.url) as client:
            client.set("key", "value")
            assert client.waitaof(1, 0, 5000)[0] == 1
        os.kill(pid_of(made), signal.SIGKILL)
        await until(lambda: made.restarts == 1)

    async with started(EmbeddedServer(data_dir=tmp_path / "kept", persist=True)) as made:
        with redis.Redis.from_url(made.url) as client:
            assert client.get("key") == b"value"


def test_persistence_without_a_directory_is_refused() -> None:
    with pytest.raises(ValueError, match="data_dir"):
        EmbeddedServer(persist=True)


async def test_directory_in_use_is_refused_and_a_stale_pid_file_is_not(tmp_path: Path) -> None:
    (tmp_path / "liqtape.pid").write_text("1\n")  # init lives, but it does not hold the lock

    async with started(EmbeddedServer(data_dir=tmp_path)):
        with pytest.raises(EmbeddedUnavailable, match=f"in use by pid {os.getpid()}"):
            await EmbeddedServer(data_dir=tmp_path).start()

    assert tmp_path.exists()


async def test_leftover_of_a_dead_predecessor_is_removed_and_a_living_one_kept(
    server: EmbeddedServer, temp_root: Path
) -> None:
    living = set(temp_root.glob(TEMP_PREFIX + "*"))
    leftover = temp_root / f"{TEMP_PREFIX}dead"
    leftover.mkdir()
    (leftover / "liqtape.pid").write_text(f"{os.getpid()}\n")

    async with started(EmbeddedServer()):
        assert not leftover.exists()
        assert len(living) == 1
        assert living < set(temp_root.glob(TEMP_PREFIX + "*"))
    assert server.running


async def test_server_that_ends_at_once_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, temp_root: Path
) -> None:
    broken = tmp_path / "valkey-server"
    broken.write_text("#!/bin/sh\necho no such luck >&2\nexit 3\n")
    broken.chmod(0o700)
    monkeypatch.setattr(embeddedserver, "server_binary", lambda: broken)

    with pytest.raises(EmbeddedUnavailable, match="ended at once: no such luck"):
        await EmbeddedServer().start()

    assert list(temp_root.iterdir()) == []


def test_end_of_the_starting_thread_is_not_the_end_of_the_server() -> None:
    made = EmbeddedServer()
    thread = threading.Thread(target=lambda: asyncio.run(made.start()))
    thread.start()
    thread.join()
    try:
        with redis.Redis.from_url(made.url) as client:
            assert client.ping()
    finally:
        asyncio.run(made.stop())


PARENT = """
import asyncio, os, sys, time
from liqtape.embedded import EmbeddedServer

async def main():
    server = EmbeddedServer()
    await server.start()
    if "fork" in sys.argv and os.fork() == 0:
        os.close(1)
        time.sleep(30)  # a fork without exec keeps the guard's pipe open
        os._exit(0)
    print(server.pid, server._child._guard.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("number", "arguments"),
    [(signal.SIGTERM, []), (signal.SIGKILL, []), (signal.SIGINT, []), (signal.SIGKILL, ["fork"])],
    ids=["SIGTERM", "SIGKILL", "SIGINT", "SIGKILL with a surviving fork"],
)
async def test_nothing_survives_the_parent(number: signal.Signals, arguments: list[str], temp_root: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert parent.stdout is not None
    with parent.stdout:
        pid, guard = map(int, parent.stdout.readline().split())
    assert not is_gone(pid)
    assert len(list(temp_root.iterdir())) == 1

    parent.send_signal(number)
    await asyncio.to_thread(parent.wait, BOUND_SECONDS)
    try:
        await until(lambda: is_gone(pid) and is_gone(guard) and not list(temp_root.iterdir()))
    finally:
        if "fork" in arguments:
            os.killpg(parent.pid, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's own")
async def test_server_dies_when_its_guard_is_killed_and_nobody_supervises(server: EmbeddedServer) -> None:
    pid = pid_of(server)
    assert server._watch is not None
    server._watch.cancel()
    await asyncio.wait([server._watch])

    os.kill(guard_of(server), signal.SIGKILL)

    await until(lambda: is_gone(pid))


async def test_cancelled_start_leaves_nothing(temp_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_port: int, _pid: int) -> bool:
        return False

    monkeypatch.setattr(embeddedserver, "_answers", never)
    began = time.monotonic()
    task = asyncio.create_task(EmbeddedServer().start())
    await until(lambda: any(temp_root.glob("*/server.log")))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert time.monotonic() - began < BOUND_SECONDS
    assert list(temp_root.iterdir()) == []
