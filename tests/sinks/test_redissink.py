# ruff: noqa: ASYNC220 - a test may block, and polls what it does not own
import asyncio
import importlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
import redis
import trustme
from hypothesis import given
from hypothesis import strategies as st
from tests.cascades.samples import cascade
from tests.polling import wait_until

from liqtape.cascades.cascade import Cascade
from liqtape.embedded import server_binary
from liqtape.errors import ConfigurationError, EmbeddedUnavailable, SinkError, SinkUnavailable
from liqtape.events import Alert, Liquidation, PriceTick, VelocityMetrics, VenueHealth
from liqtape.sanitize import percent_encoded
from liqtape.sinks.redis import redissink as redis_module
from liqtape.sinks.redis.redissink import RedisSink
from liqtape.sinks.sink import Batch, Sink

BOUND_SECONDS = 10.0
sentinel_module: Any = importlib.import_module("redis.asyncio.sentinel")  # not annotated
PASSWORD = "s3cret/pa@ss"


class LocalServer:
    """A server program on a free port of its own, which the test may stop, kill and start again."""

    def __init__(self, program: Path, directory: Path) -> None:
        self.program = program
        self.directory = directory
        self.child: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self, *options: str) -> None:
        fixed = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.directory)]
        command = [str(self.program), *fixed, *options]
        self.child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.answers)

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as client:
                client.sendall(b"PING\r\n")
                return client.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def kill(self) -> None:
        assert self.child is not None
        self.child.kill()
        self.child.wait(BOUND_SECONDS)

    def client(self, db: int = 1, **options: Any) -> "redis.Redis":
        return redis.Redis(port=self.port, db=db, decode_responses=True, **options)


@pytest.fixture(params=["valkey", "redis-server"])
def server(
    request: pytest.FixtureRequest, tmp_path: Path, require_server: Callable[[str], Path]
) -> Iterator[LocalServer]:
    if request.param == "valkey":
        try:
            program = server_binary()
        except EmbeddedUnavailable as error:
            pytest.skip(str(error))
    else:
        program = require_server(request.param)
    made = LocalServer(program, tmp_path)
    made.start()
    yield made
    made.kill()


@pytest.fixture
async def sink(server: LocalServer) -> AsyncIterator[RedisSink]:
    made = RedisSink(server.url)
    await made.open()
    yield made
    await made.close()


def metrics(symbol: str = "BTCUSDT", **known: Any) -> VelocityMetrics:
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(VelocityMetrics):
        values[field.name] = 3 if field.type is int else False if field.type is bool else 1.5
    return VelocityMetrics(**(values | {"symbol": symbol, "level": "NONE"} | known))


def liquidation(number: int) -> Liquidation:
    ms = 1_790_000_000_000 + number
    return Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 80_000.0, "fill", None, None, ms, ms + 5, f"b:{number}")


def alert(level: Any = "ALERT", instrument: str = "BTCUSDT") -> Alert:
    return Alert(instrument, level, "NONE", 1_790_000_000_000, 6.5, 2.5, 90, 1e6, "velocity_10s >= 5")


def as_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


def test_satisfies_the_sink_protocol() -> None:
    sink: Sink = RedisSink("redis://127.0.0.1:1")

    assert sink.name == "redis"


async def test_every_metric_field_is_text_in_a_hash_of_600_seconds(server: LocalServer, sink: RedisSink) -> None:
    row = metrics(timestamp=1698000000.123, acceleration=-3e-05, total_value_usd=450000.0, saturated=True)

    await sink.publish(Batch(metrics=[row]))

    with server.client() as client:
        stored = client.hgetall("velocity:BTCUSDT:current")
        assert 590 < client.ttl("velocity:BTCUSDT:current") <= 600
    assert stored == {name: as_text(value) for name, value in msgspec.structs.asdict(row).items()}
    assert list(stored)[:3] == ["symbol", "timestamp", "event_count_10s"]
    assert stored["timestamp"] == "1698000000.123"
    assert stored["acceleration"] == "-3e-05"
    assert stored["saturated"] == "true"


async def test_field_that_becomes_null_is_deleted_and_comes_back(server: LocalServer, sink: RedisSink) -> None:
    with server.client() as client:
        for price, there in ((45000.5, True), (None, False), (45000.5, True)):
            await sink.publish(Batch(metrics=[metrics(btc_price=price, surprise=None)]))

            assert client.hexists("velocity:BTCUSDT:current", "btc_price") is there
            assert not client.hexists("velocity:BTCUSDT:current", "surprise")


async def test_what_would_change_nothing_is_not_sent(server: LocalServer, sink: RedisSink) -> None:
    with server.client() as client:
        client.config_resetstat()
        for count in range(20):
            await sink.publish(Batch(metrics=[metrics(event_count_10s=count, surprise=None)]))

        calls = {name: stats["calls"] for name, stats in client.info("commandstats").items()}
    assert calls["cmdstat_hset"] == 20
    assert calls["cmdstat_hdel"] == 1
    assert calls["cmdstat_expire"] <= 3  # one a second; a slow machine may need more than one


async def test_row_that_did_not_change_may_be_the_last_of_a_batch(server: LocalServer, sink: RedisSink) -> None:
    await sink.publish(Batch(metrics=[metrics("A"), metrics("B")]))

    await sink.publish(Batch(metrics=[metrics("A", event_count_10s=5), metrics("B")]))
    await sink.publish(Batch(metrics=[metrics("A", event_count_10s=5), metrics("B")]))  # neither

    with server.client() as client:
        assert client.hget("velocity:A:current", "event_count_10s") == "5"
        assert client.hget("velocity:B:current", "event_count_10s") == "3"


async def test_row_that_somebody_deleted_is_whole_with_the_next_write(server: LocalServer, sink: RedisSink) -> None:
    with server.client() as client:
        await sink.publish(Batch(metrics=[metrics()]))
        client.flushdb()

        await sink.publish(Batch(metrics=[metrics(event_count_10s=5)]))

        stored = client.hgetall("velocity:BTCUSDT:current")
        assert 590 < client.ttl("velocity:BTCUSDT:current") <= 600
    assert stored == {
        name: as_text(value) for name, value in msgspec.structs.asdict(metrics(event_count_10s=5)).items()
    }


async def test_btc_price_is_the_documented_json_of_60_seconds(server: LocalServer, sink: RedisSink) -> None:
    await sink.publish(Batch(price=PriceTick("binance", "BTCUSDT", 45000.5, 0.5, 1698000000123)))

    with server.client() as client:
        stored = client.get("btc:price:current")
        assert 50 < client.ttl("btc:price:current") <= 60
    assert stored == '{"price": 45000.5, "timestamp": 1698000000.123, "volume": 0.5, "source": "binance"}'


async def test_events_are_listed_newest_first_as_schema_1_json(server: LocalServer, sink: RedisSink) -> None:
    await sink.publish(Batch(events=[liquidation(1), liquidation(2)]))
    await sink.publish(Batch(events=[liquidation(3)]))

    with server.client() as client:
        stored = [json.loads(text) for text in client.lrange("cascade:events:buffer", 0, -1)]
    assert [event["id"] for event in stored] == ["b:3", "b:2", "b:1"]
    assert list(stored[0].items())[:3] == [("schema", 1), ("venue", "bybit"), ("instrument", "BTCUSDT")]
    assert stored[0] == {"schema": 1, **msgspec.structs.asdict(liquidation(3))}


async def test_list_keeps_the_newest_thousand(server: LocalServer, sink: RedisSink) -> None:
    await sink.publish(Batch(events=[liquidation(number) for number in range(600)]))
    await sink.publish(Batch(events=[liquidation(number) for number in range(600, 1200)]))

    with server.client() as client:
        assert client.llen("cascade:events:buffer") == 1000
        assert json.loads(str(client.lindex("cascade:events:buffer", 0)))["id"] == "b:1199"
        assert json.loads(str(client.lindex("cascade:events:buffer", -1)))["id"] == "b:200"


@pytest.mark.parametrize("count", [2, 1500])
async def test_resync_replaces_the_list(server: LocalServer, sink: RedisSink, count: int) -> None:
    await sink.publish(Batch(events=[liquidation(number) for number in range(3)]))

    await sink.publish(Batch(events=[liquidation(number) for number in range(1, 1 + count)], resync=True))

    with server.client() as client:
        stored = [json.loads(text)["id"] for text in client.lrange("cascade:events:buffer", 0, -1)]
    assert stored == [f"b:{number}" for number in range(count, max(0, count - 1000), -1)]


async def test_resync_without_events_empties_the_list(server: LocalServer, sink: RedisSink) -> None:
    await sink.publish(Batch(events=[liquidation(1)]))

    await sink.publish(Batch(resync=True))

    with server.client() as client:
        assert client.exists("cascade:events:buffer") == 0


async def test_only_the_newest_thousand_of_a_batch_are_sent(server: LocalServer, sink: RedisSink) -> None:
    events = [liquidation(number) for number in range(2500)]

    await sink.publish(Batch(events=events))

    with server.client() as client:
        assert json.loads(str(client.lindex("cascade:events:buffer", 0)))["id"] == "b:2499"
        assert json.loads(str(client.lindex("cascade:events:buffer", -1)))["id"] == "b:1500"
    assert sink._events(events, kept=1000)[0].startswith(b"*1002\r\n$5\r\nLPUSH\r\n")


async def test_level_change_sets_the_key_and_is_announced(server: LocalServer, sink: RedisSink) -> None:
    with server.client() as client, client.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe("liqtape:alerts")
        listener.get_message(timeout=BOUND_SECONDS)
        await sink.publish(Batch(alerts=[alert("WATCH"), alert("ALERT")]))
        messages = [listener.get_message(timeout=BOUND_SECONDS) for _ in range(2)]

        assert [json.loads(message["data"])["level"] for message in messages] == ["WATCH", "ALERT"]
        assert json.loads(messages[1]["data"]) == msgspec.structs.asdict(alert("ALERT"))
        assert client.get("cascade:BTCUSDT:level") == "ALERT"
        assert 590 < client.ttl("cascade:BTCUSDT:level") <= 600


async def test_cascades_are_announced_and_the_key_has_those_that_stand(server: LocalServer, sink: RedisSink) -> None:
    goes_on, over = cascade("ETHUSDT", is_over=False), cascade()
    with server.client() as client, client.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe("liqtape:cascades")
        listener.get_message(timeout=BOUND_SECONDS)
        await sink.publish(Batch(cascades=[goes_on, over], standing_cascades=[goes_on, over]))
        messages = [listener.get_message(timeout=BOUND_SECONDS) for _ in range(2)]
        await sink.publish(Batch(metrics=[metrics()]))  # nothing of them changed

        assert [msgspec.json.decode(message["data"], type=Cascade) for message in messages] == [goes_on, over]
        assert msgspec.json.decode(str(client.get("liqtape:cascades")), type=list[Cascade]) == [goes_on, over]
        assert 590 < client.ttl("liqtape:cascades") <= 600


async def test_a_refused_channel_of_cascades_stands_though_their_key_is_taken(server: LocalServer) -> None:
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "resetchannels")
        sink = RedisSink(f"redis://app:pw@127.0.0.1:{server.port}/1")
        await sink.open()
        refused = await sink.publish(Batch(cascades=[cascade()], standing_cascades=[cascade()]))
        still = await sink.publish(Batch(standing_cascades=[cascade()]))
        client.execute_command("ACL", "SETUSER", "app", "&liqtape:cascades")
        taken = await sink.publish(Batch(cascades=[cascade()]))
        await sink.close()

        assert refused is not None
        assert "refuses PUBLISH liqtape:cascades: NOPERM" in refused.text
        assert (refused.alerts_lost, still, taken) == (0, refused, None)
        assert client.get("liqtape:cascades")


async def test_level_of_a_row_is_newer_than_the_alerts_and_written_on_change_only(
    server: LocalServer, sink: RedisSink
) -> None:
    with server.client() as client:
        await sink.publish(Batch(metrics=[metrics(level="CRITICAL")], alerts=[alert("ALERT")]))
        assert client.get("cascade:BTCUSDT:level") == "CRITICAL"

        client.delete("cascade:BTCUSDT:level")
        await sink.publish(Batch(metrics=[metrics(level="CRITICAL")]))
        assert client.get("cascade:BTCUSDT:level") is None

        client.expire("cascade:BTCUSDT:level", 5)
        await sink.publish(Batch(levels={"BTCUSDT": "CRITICAL"}))  # asked for, and so renewed
        assert 590 < client.ttl("cascade:BTCUSDT:level") <= 600

        await sink.close()
        await sink.open()  # perhaps another server, perhaps an empty one
        await sink.publish(Batch(metrics=[metrics(level="CRITICAL")]))
        assert client.get("cascade:BTCUSDT:level") == "CRITICAL"


async def test_health_is_a_json_a_venue_for_30_seconds(server: LocalServer, sink: RedisSink) -> None:
    states = [VenueHealth("binance", "live", 1, 0.25, 2, 1.0), VenueHealth("okx", "stalled", 1, None, 0, None, "quiet")]

    await sink.publish(Batch(health=states))

    with server.client() as client:
        stored = client.hgetall("liqtape:health")
        assert 20 < client.ttl("liqtape:health") <= 30
    assert {venue: json.loads(text) for venue, text in stored.items()} == {
        state.venue: msgspec.structs.asdict(state) for state in states
    }


async def test_prefix_stands_before_every_key_and_channel(server: LocalServer) -> None:
    sink = RedisSink(server.url, prefix="mine:")
    await sink.open()
    price = PriceTick("binance", "BTCUSDT", 45000.5, 0.5, 1698000000123)
    health = VenueHealth("okx", "live", 1, 0.0, 0, 1.0)
    with server.client() as client, client.pubsub(ignore_subscribe_messages=True) as listener:
        listener.psubscribe("*")
        listener.get_message(timeout=BOUND_SECONDS)
        await sink.publish(
            Batch(metrics=[metrics()], events=[liquidation(1)], alerts=[alert()], price=price, health=[health])
        )
        await sink.close()

        assert listener.get_message(timeout=BOUND_SECONDS)["channel"] == "mine:liqtape:alerts"
        assert sorted(client.keys()) == [
            "mine:btc:price:current",
            "mine:cascade:BTCUSDT:level",
            "mine:cascade:events:buffer",
            "mine:liqtape:health",
            "mine:velocity:BTCUSDT:current",
        ]


async def test_empty_batch_sends_nothing(server: LocalServer, sink: RedisSink) -> None:
    with server.client() as client:
        before = client.info("stats")["total_commands_processed"]
        await sink.publish(Batch())
        after = client.info("stats")["total_commands_processed"]

    assert after == before + 1


SYMBOLS = {
    **{
        name: name
        for name in ("BTCUSDT_261225", "xyz:TSLA", "BTC-USDT-SWAP", "@107", "#7", "a.b", "ΩЖ1000", "牛来USDT")
    },
    **{name: name for name in ("BTC/USDT:USDT", "SPX 500", "FTSE&MIB", "BTC+ETH", "100%", "", "a*", "🐸", "x" * 600)},
    **{name: name for name in ('q"', "a,b", "back\\slash", 'all,"\\', "\u202e", "\xa0", "null", "e0.0000", "€,£")},
    "x:current\r\nFLUSHALL": "x:current%0D%0AFLUSHALL",
    "\x00": "%00",
    "tab\there": "tab%09here",
    "\x85next": "%C2%85next",
    "one\u2028two": "one%E2%80%A8two",
    "half\ud800": "half%ED%A0%80",
}


@pytest.mark.parametrize("symbol", SYMBOLS)
async def test_symbol_is_a_key_whatever_it_contains(server: LocalServer, sink: RedisSink, symbol: str) -> None:
    written = SYMBOLS[symbol]
    await sink.publish(Batch(metrics=[metrics(symbol), metrics("BTCUSDT")]))
    await sink.publish(Batch(metrics=[metrics(symbol, btc_source="binance", event_count_10s=7), metrics("BTCUSDT")]))
    await sink.publish(Batch(levels={symbol: "WATCH"}))

    with server.client() as client:
        expected = msgspec.structs.asdict(metrics(written, btc_source="binance", event_count_10s=7))
        assert client.hgetall(f"velocity:{written}:current") == {name: as_text(text) for name, text in expected.items()}
        assert client.get(f"cascade:{written}:level") == "WATCH"
        keys = {f"velocity:{name}:current" for name in ("BTCUSDT", written)}
        assert set(client.keys()) == keys | {f"cascade:{name}:level" for name in ("BTCUSDT", written)}
    assert sink.refused_keys_total == 0


@given(st.text())
def test_encoded_names_are_one_line_and_encoding_them_again_changes_nothing(name: str) -> None:
    encoded = percent_encoded(name)

    assert encoded.splitlines() in ([], [encoded])
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in encoded)
    assert percent_encoded(encoded) == encoded
    assert unquote(encoded, errors="surrogatepass") == unquote(name, errors="surrogatepass")


async def test_refused_command_is_named_and_the_rest_is_done(server: LocalServer, sink: RedisSink) -> None:
    with server.client() as client:
        client.set("velocity:BTCUSDT:current", "not a hash")

        refusal = "refused 1 of 5 commands, first HSET velocity:BTCUSDT:current: WRONGTYPE"
        with pytest.raises(SinkError, match=refusal) as caught:
            await sink.publish(Batch(metrics=[metrics()], events=[liquidation(1)]))
        assert not isinstance(caught.value, SinkUnavailable)

        assert client.llen("cascade:events:buffer") == 1
        standing = await sink.publish(Batch(metrics=[metrics("ETHUSDT")]))  # all of it was done, and yet
        assert standing is not None
        assert "refuses HSET velocity:BTCUSDT:current: WRONGTYPE" in standing.text
        assert (standing.cause, standing.alerts_lost) == ("WRONGTYPE", 0)
        client.delete("velocity:BTCUSDT:current")
        again = await sink.publish(Batch(metrics=[metrics(velocity_10s=7.5)]))  # same connection, still in step
        assert again is None
        assert client.hget("velocity:BTCUSDT:current", "velocity_10s") == "7.5"
        assert client.get("cascade:BTCUSDT:level") == "NONE"


async def test_refused_announcement_is_counted_and_all_else_is_done(server: LocalServer) -> None:
    """Redis 7 gives a user no channel unless told, nor does Valkey."""
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "resetchannels")
        sink = RedisSink(f"redis://app:pw@127.0.0.1:{server.port}/1")
        await sink.open()
        refused = await sink.publish(Batch(metrics=[metrics()], alerts=[alert("WATCH"), alert("ALERT")]))
        later = await sink.publish(Batch(metrics=[metrics(velocity_10s=7.5)]))
        client.execute_command("ACL", "SETUSER", "app", "&liqtape:alerts")
        still = await sink.publish(Batch(metrics=[metrics(velocity_10s=8.5)]))
        taken = await sink.publish(Batch(alerts=[alert("WATCH")]))
        await sink.close()

        assert [None if one is None else one.alerts_lost for one in (refused, later, still, taken)] == [2, 0, 0, None]
        assert refused is not None
        assert later is not None
        assert (refused.text, refused.cause) == (later.text, "NOPERM")
        assert "refuses PUBLISH liqtape:alerts: NOPERM" in refused.text
        assert "pw@" not in refused.text
        assert client.hget("velocity:BTCUSDT:current", "velocity_10s") == "8.5"


async def test_what_a_replica_announced_is_not_announced_again(server: LocalServer, sink: RedisSink) -> None:
    with server.client() as client:
        client.replicaof("127.0.0.1", "1")

        with pytest.raises(SinkUnavailable, match="READONLY") as caught:
            await sink.publish(Batch(metrics=[metrics()], alerts=[alert()]))
    assert caught.value.unannounced == []


async def test_full_server_says_so_and_is_used_again_when_it_has_room(server: LocalServer, sink: RedisSink) -> None:
    with server.client() as client:
        client.config_set("maxmemory", "1")
        with pytest.raises(SinkError, match="OOM"):
            await sink.publish(Batch(metrics=[metrics()]))

        client.config_set("maxmemory", "0")
        await sink.publish(Batch(metrics=[metrics()]))
        assert client.exists("velocity:BTCUSDT:current")


async def test_replica_is_left_so_that_the_next_open_may_find_the_master(server: LocalServer, sink: RedisSink) -> None:
    with server.client() as client:
        client.replicaof("127.0.0.1", "1")

        with pytest.raises(SinkUnavailable, match="READONLY"):
            await sink.publish(Batch(metrics=[metrics()]))
        with pytest.raises(SinkUnavailable, match="not open"):
            await sink.publish(Batch(metrics=[metrics()]))

        client.replicaof("NO", "ONE")
        await sink.open()
        await sink.publish(Batch(metrics=[metrics()]))
        assert client.exists("velocity:BTCUSDT:current")


async def test_server_killed_between_write_and_reply_then_restarted(server: LocalServer, sink: RedisSink) -> None:
    assert server.child is not None
    os.kill(server.child.pid, signal.SIGSTOP)  # takes the bytes, answers nothing
    task = asyncio.create_task(sink.publish(Batch(metrics=[metrics()])))
    await asyncio.sleep(0.05)
    assert not task.done()
    server.kill()

    with pytest.raises(SinkUnavailable, match="connection lost"):
        await task
    with pytest.raises(SinkUnavailable, match=f"127.0.0.1:{server.port}/1"):
        await sink.open()

    server.start()
    await sink.open()
    await sink.publish(Batch(metrics=[metrics()]))
    with server.client() as client:
        assert client.exists("velocity:BTCUSDT:current", "cascade:BTCUSDT:level") == 2


async def test_server_gone_before_the_write(server: LocalServer, sink: RedisSink) -> None:
    server.kill()

    with pytest.raises(SinkUnavailable):
        await sink.publish(Batch(metrics=[metrics()]))


async def test_server_that_does_not_reply_is_given_up(
    server: LocalServer, sink: RedisSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.child is not None
    monkeypatch.setattr(redis_module, "_REPLY_SECONDS", 0.1)
    os.kill(server.child.pid, signal.SIGSTOP)

    with pytest.raises(SinkUnavailable, match=r"no reply in 0\.1 s"):
        await sink.publish(Batch(metrics=[metrics()]))


async def test_cancelled_publish_closes_the_connection(server: LocalServer, sink: RedisSink) -> None:
    assert server.child is not None
    os.kill(server.child.pid, signal.SIGSTOP)
    task = asyncio.create_task(sink.publish(Batch(metrics=[metrics(velocity_10s=1.0)])))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    os.kill(server.child.pid, signal.SIGCONT)

    with pytest.raises(SinkUnavailable, match="not open"):
        await sink.publish(Batch(metrics=[metrics()]))
    await sink.open()
    await sink.publish(Batch(metrics=[metrics(velocity_10s=2.0)]))
    with server.client() as client:
        assert client.hget("velocity:BTCUSDT:current", "velocity_10s") == "2.0"


async def test_open_and_close_may_be_repeated(server: LocalServer, sink: RedisSink) -> None:
    with server.client() as client:
        before = client.info("stats")["total_connections_received"]
        await sink.open()
        await sink.open()
        assert client.info("stats")["total_connections_received"] == before
    await sink.close()
    await sink.close()


@pytest.mark.parametrize(
    ("login", "reason"), [("", "Authentication required"), (":wr0ng@", "invalid username-password|WRONGPASS")]
)
async def test_wrong_password_is_told_without_the_password(server: LocalServer, login: str, reason: str) -> None:
    server.kill()
    server.start("--requirepass", PASSWORD)
    sink = RedisSink(f"redis://{login}127.0.0.1:{server.port}")

    with pytest.raises(SinkUnavailable, match=reason) as caught:
        await sink.open()

    assert "wr0ng" not in f"{caught.value!r} {caught.value.__cause__!r} {sink!r}"


async def test_password_in_the_url_is_used_and_not_shown(server: LocalServer) -> None:
    server.kill()
    server.start("--requirepass", PASSWORD)
    sink = RedisSink(f"redis://default:s3cret%2Fpa%40ss@127.0.0.1:{server.port}/3")
    await sink.open()
    await sink.publish(Batch(metrics=[metrics()]))

    with server.client(db=3, password=PASSWORD) as client:
        assert client.exists("velocity:BTCUSDT:current")
        client.config_set("requirepass", "")
    assert repr(sink) == f"RedisSink(127.0.0.1:{server.port}/3)"
    await sink.close()


async def test_unix_socket(server: LocalServer, tmp_path: Path) -> None:
    server.kill()
    server.start("--unixsocket", str(tmp_path / "s"))
    sink = RedisSink(f"unix://{tmp_path}/s")
    await sink.open()
    await sink.publish(Batch(metrics=[metrics()]))
    await sink.close()

    with server.client(db=1) as client:
        assert client.exists("velocity:BTCUSDT:current")


@pytest.mark.parametrize(
    "url",
    ["redis://:s3cret/pass@host/1", "http://:s3cret@host", "redis://u:s3cret@host:port", "redis://:s3cret@host/one"],
)
def test_unusable_url_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="not usable") as caught:
        RedisSink(url)

    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None


def tls_options(directory: Path) -> list[str]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(str(directory / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(directory / "cert.pem"))
    files = {"--tls-ca-cert-file": "ca.pem", "--tls-cert-file": "cert.pem", "--tls-key-file": "key.pem"}
    return [word for option, file in files.items() for word in (option, str(directory / file))]


async def test_tls_with_a_verified_certificate(tmp_path: Path, require_server: Callable[[str], Path]) -> None:
    # Debian's server speaks TLS, the embedded one was built without it.
    server = LocalServer(require_server("redis-server"), tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server.start("--tls-port", str(port), "--tls-auth-clients", "no", *tls_options(tmp_path))
    try:
        trusting = RedisSink(f"rediss://127.0.0.1:{port}?ssl_ca_certs={tmp_path}/ca.pem")
        await trusting.open()
        await trusting.publish(Batch(metrics=[metrics()]))
        await trusting.close()
        with server.client() as client:
            assert client.exists("velocity:BTCUSDT:current")

        with pytest.raises(SinkUnavailable, match=r"(?i)certificate"):
            await RedisSink(f"rediss://127.0.0.1:{port}").open()
    finally:
        server.kill()


async def test_pool_of_sentinel_leads_to_the_master(server: LocalServer, tmp_path: Path) -> None:
    settings = tmp_path / "sentinel.conf"
    settings.write_text(f"sentinel monitor liq 127.0.0.1 {server.port} 1\n")  # sentinels rewrite their file
    watcher = LocalServer(server.program, tmp_path)
    child = subprocess.Popen(
        [str(server.program), str(settings), "--sentinel", "--port", str(watcher.port), "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
    )
    try:
        sentinel = sentinel_module.Sentinel([("127.0.0.1", watcher.port)])
        sink = RedisSink(sentinel_module.SentinelConnectionPool("liq", sentinel, db=1, protocol=2))
        async with asyncio.timeout(BOUND_SECONDS):
            while True:
                try:
                    await sink.open()
                    break
                except SinkUnavailable:
                    await asyncio.sleep(0.02)
        await sink.publish(Batch(metrics=[metrics()]))

        assert repr(sink) == f"RedisSink(127.0.0.1:{server.port}/1)"
        with server.client() as client:
            assert client.exists("velocity:BTCUSDT:current")
        await sink.close()
        for connected in sentinel.sentinels:
            await connected.aclose()
    finally:
        child.kill()
        child.wait(BOUND_SECONDS)
