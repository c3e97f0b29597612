# ruff: noqa: ASYNC221, ASYNC240 - a test may block
"""Everybody on the machine reads what is documented; only the program that started the server writes."""

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis
from tests.polling import until

from liqtape.embedded import EmbeddedServer
from liqtape.errors import SinkUnavailable
from liqtape.events import Alert, Liquidation, PriceTick, VenueHealth
from liqtape.sinks.redis.commandcheck import check_redis
from liqtape.sinks.redis.redissink import RedisSink
from liqtape.sinks.sink import Batch

pytestmark = pytest.mark.usefixtures("binary")

README = Path(__file__).parents[2] / "README.md"
EVERYTHING = Batch(
    [],
    [Liquidation("binance", "BTCUSDT", "BTCUSDT", "long", 1.0, "fill", 1.0, 1.0, 0)],
    [Alert("BTCUSDT", "WATCH", "NONE", 0, 0.0, 0.0, 0, 0.0, "")],
    PriceTick("binance", "BTCUSDT", 1.0, 1.0, 0),
    [VenueHealth("binance", "live", 0, 0.0, 0, 1.0)],
    resync=True,
)


@pytest.fixture
async def guarded(temp_root: Path) -> AsyncIterator[EmbeddedServer]:
    made = EmbeddedServer(is_guarded=True)
    await made.start()
    yield made
    await made.stop()
    assert list(temp_root.iterdir()) == []


async def test_the_sink_may_do_all_it_does_and_readers_read_it(guarded: EmbeddedServer) -> None:
    sink = RedisSink(guarded.writer_url)
    with redis.Redis.from_url(guarded.url, decode_responses=True) as reader, reader.pubsub() as listening:
        listening.subscribe("liqtape:alerts")
        await sink.open()
        assert await sink.publish(EVERYTHING) is None
        await sink.close()
        told: list[str] = []

        def heard() -> bool:
            message = listening.get_message(timeout=0.01)
            if message is not None:
                told.append(message["type"])
            return "message" in told

        await until(heard)
        assert reader.lrange("cascade:events:buffer", 0, 5)
        assert reader.get("cascade:BTCUSDT:level") == "WATCH"
        assert '"price": 1.0' in str(reader.get("btc:price:current"))
        assert reader.hgetall("liqtape:health")
        assert reader.ttl("btc:price:current") > 0
        assert set(reader.scan_iter("cascade:*")) == {"cascade:events:buffer", "cascade:BTCUSDT:level"}
    assert (await check_redis(guarded.writer_url, "")).failed_stage == ""


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="redis-cli is not installed")
async def test_the_documented_commands_run_unchanged(guarded: EmbeddedServer) -> None:
    sink = RedisSink(guarded.writer_url)
    await sink.open()
    await sink.publish(EVERYTHING)
    await sink.close()
    port = str(await guarded.start())
    lines = [line for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("redis-cli -n 1 -p")]
    lines += ["redis-cli -p PORT ping", "redis-cli -p PORT INFO server", "redis-cli -n 1 -p PORT PING"]
    assert len(lines) >= 5
    for line in lines:
        said = subprocess.check_output([word.replace("PORT", port) for word in shlex.split(line.partition("#")[0])])
        assert b"NOPERM" not in said
        assert b"NOAUTH" not in said


@pytest.mark.parametrize(
    "command",
    [
        *("SET velocity:X:current 1", "HSET velocity:BTCUSDT:current a b", "DEL velocity:BTCUSDT:current", "FLUSHALL"),
        *("CONFIG GET *", "CONFIG SET bind 0.0.0.0", "CONFIG SET requirepass x", "CONFIG REWRITE"),
        *("EVAL return 0", "SCRIPT FLUSH", "FUNCTION LIST", "REPLICAOF 127.0.0.1 1", "SLAVEOF NO ONE", "FAILOVER"),
        *("ACL LIST", "ACL SETUSER x on nopass +@all", "DEBUG SLEEP 0", "MODULE LIST", "SHUTDOWN NOSAVE", "MONITOR"),
        *("PUBLISH liqtape:alerts x", "CLIENT KILL TYPE normal", "CLIENT NO-EVICT on", "SAVE", "BGREWRITEAOF", "MULTI"),
        *("GET other", "HGETALL other", "SUBSCRIBE other", "EXPIRE velocity:BTCUSDT:current 1", "COPY a b", "SORT a"),
    ],
)
async def test_nothing_else_is_for_readers(guarded: EmbeddedServer, command: str) -> None:
    with (
        redis.Redis.from_url(guarded.url) as reader,
        pytest.raises(redis.ResponseError, match=r"permission|not allowed"),
    ):
        reader.execute_command(*command.split())
    assert guarded.running


async def test_it_stays_on_loopback(guarded: EmbeddedServer) -> None:
    with redis.Redis.from_url(guarded.writer_url, decode_responses=True) as writer:
        assert writer.config_get("bind")["bind"] == "127.0.0.1"
        for command in ("DEBUG SLEEP 0", "MODULE LOAD /tmp/x.so"):
            with pytest.raises(redis.ResponseError, match="not allowed"):
                writer.execute_command(*command.split())


async def test_the_password_is_in_no_argument_and_no_file(guarded: EmbeddedServer, temp_root: Path) -> None:
    password = guarded.writer_url.partition(":")[2].partition(":")[2].partition("@")[0]
    assert len(password) == 64
    listed = subprocess.check_output(["ps", "axww", "-o", "args"], text=True)
    assert password not in listed
    for path in temp_root.rglob("*"):
        if path.is_file():
            assert password not in path.read_text(errors="replace")
    (directory,) = temp_root.iterdir()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "server.conf").stat().st_mode & 0o777 == 0o600
    assert password not in repr(RedisSink(guarded.writer_url))


async def test_who_takes_the_port_over_is_neither_written_to_nor_told_the_password(guarded: EmbeddedServer) -> None:
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while said := await reader.read(65_536):
            heard.append(said)
            writer.write(b"+OK\r\n" * said.count(b"*"))

    sink = RedisSink(guarded.writer_url)
    await sink.open()
    port, pid = await guarded.start(), guarded.pid
    assert pid is not None
    assert guarded._watch is not None
    guarded._watch.cancel()  # so that the stranger is first for certain
    await asyncio.wait([guarded._watch])
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not guarded.running)
    stranger = await asyncio.start_server(talk, "127.0.0.1", port)
    for _ in range(3):
        with pytest.raises(SinkUnavailable):
            await sink.publish(EVERYTHING)
        with contextlib.suppress(SinkUnavailable):
            await sink.open()
    await sink.close()
    stranger.close()

    assert heard == []


async def test_it_is_back_under_the_same_address(guarded: EmbeddedServer) -> None:
    url, pid = guarded.writer_url, guarded.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await until(lambda: guarded.restarts == 1)
    sink = RedisSink(url)
    await sink.open()
    assert await sink.publish(EVERYTHING) is None
    await sink.close()


async def test_a_prefix_and_a_directory_of_any_name(temp_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = temp_root / ('a "b" %2F ü ' + "x" * 90)
    odd.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    made = EmbeddedServer(is_guarded=True, prefix="my [x]* ")
    await made.start()
    try:
        sink = RedisSink(made.writer_url, prefix="my [x]* ")
        await sink.open()
        assert await sink.publish(EVERYTHING) is None
        await sink.close()
        with redis.Redis.from_url(made.url) as reader:
            assert reader.get("my [x]* cascade:BTCUSDT:level") == b"WATCH"
            with pytest.raises(redis.ResponseError):
                reader.get("cascade:BTCUSDT:level")
    finally:
        await made.stop()
    assert list(odd.iterdir()) == []
