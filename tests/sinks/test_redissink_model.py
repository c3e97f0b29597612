"""What a server holds after any batches, beside a plain model of it; and what is said of what it refused."""

import asyncio
import json
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hiredis
import msgspec
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.polling import wait_until

from liqtape.embedded import server_binary
from liqtape.errors import EmbeddedUnavailable, SinkError, SinkUnavailable
from liqtape.events import Alert, Level, Liquidation, VelocityMetrics, VenueHealth
from liqtape.sinks.redis.redissink import RedisSink
from liqtape.sinks.sink import Batch, Refusal

BOUND_SECONDS = 10.0
LEVELS: tuple[Level, ...] = ("NONE", "WATCH", "EXTREME")
NAMES = ["BTCUSDT", "BTC/USDT:USDT", 'odd, "\\ ' + "牛"]


@pytest.fixture(scope="module", params=["valkey", "redis-server"])
def port(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, require_server: Callable[[str], Path]
) -> Iterator[int]:
    if request.param == "valkey":
        try:
            program = server_binary()
        except EmbeddedUnavailable as error:
            pytest.skip(str(error))
    else:
        program = require_server(request.param)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        number: int = probe.getsockname()[1]
    command = [str(program), "--port", str(number), "--bind", "127.0.0.1", "--save", ""]
    child = subprocess.Popen(
        [*command, "--dir", str(tmp_path_factory.mktemp("server"))],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: _answers(number))
    yield number
    child.kill()
    child.wait(BOUND_SECONDS)


def _answers(port: int) -> bool:
    try:
        with redis.Redis(port=port) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


def metrics(symbol: str, **known: Any) -> VelocityMetrics:
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(VelocityMetrics):
        values[field.name] = 3 if field.type is int else False if field.type is bool else 1.5
    return VelocityMetrics(**(values | {"symbol": symbol, "level": "NONE"} | known))


def event(number: int) -> Liquidation:
    return Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 8.0, "fill", 1.0, 8.0, number, number, str(number))


def alert(instrument: str, level: Level) -> Alert:
    return Alert(instrument, level, "NONE", 1_790_000_000_000, 6.5, 2.5, 90, 1e6, "threshold")


def stored(row: VelocityMetrics) -> dict[str, str]:
    fields = msgspec.structs.asdict(row)
    texts = {name: str(value).lower() if isinstance(value, bool) else value for name, value in fields.items()}
    return {name: text if isinstance(text, str) else repr(text) for name, text in texts.items() if text is not None}


class Model:
    """What the server must hold; `sent` is what the present connection wrote of each row, and `said` of each level."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, str]] = {}
        self.sent: dict[str, dict[str, str]] = {}
        self.levels: dict[str, str] = {}
        self.said: dict[str, str] = {}
        self.events: list[str] = []

    def publish(self, batch: Batch) -> None:
        for row in batch.metrics:
            now, before = stored(row), self.sent.get(row.symbol)
            says_anything = before is None or any(before.get(name) != text for name, text in now.items())
            if says_anything or row.symbol in self.rows:  # what is taken away of a row that is gone brings none back
                self.rows[row.symbol] = now
            self.sent[row.symbol] = now
            if not row.event_count_300s:
                del self.sent[row.symbol]
        wanted = {one.instrument: one.level for one in batch.alerts} | dict(batch.levels)
        wanted |= {row.symbol: row.level for row in batch.metrics}
        for name, level in wanted.items():
            if name in batch.levels or self.said.get(name) != level:
                self.levels[name] = self.said[name] = level
        for row in batch.metrics:
            if not row.event_count_300s and row.level == "NONE":
                self.said.pop(row.symbol, None)
        before_these = [] if batch.resync else self.events
        self.events = [*(one.id for one in reversed(batch.events)), *before_these][:1000]

    def reopen(self) -> None:
        self.sent, self.said = {}, {}

    def delete(self, name: str) -> None:
        self.rows.pop(name, None)
        self.levels.pop(name, None)


def held(client: Any) -> tuple[dict[str, dict[str, str]], dict[str, str], list[str]]:
    rows, levels = {}, {}
    for key in client.scan_iter():
        if key.startswith("velocity:"):
            rows[key.removeprefix("velocity:").removesuffix(":current")] = client.hgetall(key)
        elif key.endswith(":level"):
            levels[key.removeprefix("cascade:").removesuffix(":level")] = client.get(key)
        if key != "cascade:events:buffer":
            assert 0 < client.ttl(key) <= 600, key
    return rows, levels, [json.loads(text)["id"] for text in client.lrange("cascade:events:buffer", 0, -1)]


some_name = st.sampled_from(NAMES)
some_level = st.sampled_from(LEVELS)
numbers = st.none() | st.sampled_from([0.0, 1.5, 1e-7, 2e16])
row = st.builds(
    metrics,
    some_name,
    velocity_10s=st.sampled_from([1.5, 2.5]),
    btc_price=numbers,
    surprise=numbers,
    btc_source=st.sampled_from([None, "binance"]),
    event_count_300s=st.integers(0, 1),
    level=some_level,
)
batch = st.builds(
    Batch,
    metrics=st.lists(row, max_size=3, unique_by=lambda one: one.symbol),
    events=st.lists(st.builds(event, st.integers(0, 99)), max_size=3),
    alerts=st.lists(st.builds(alert, some_name, some_level), max_size=2),
    resync=st.booleans(),
    levels=st.dictionaries(some_name, some_level, max_size=2),
)
steps = st.lists(batch | st.sampled_from(["reopen"]) | st.tuples(st.just("delete"), some_name), max_size=12)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_server_holds_what_the_model_holds(port: int, steps: list[Any]) -> None:
    async def run() -> None:
        model, sink = Model(), RedisSink(f"redis://127.0.0.1:{port}/1")
        with redis.Redis(port=port, db=1, decode_responses=True) as client:
            client.flushdb()
            await sink.open()
            for step in steps:
                if isinstance(step, Batch):
                    assert await sink.publish(step) is None
                    model.publish(step)
                elif step == "reopen":
                    await sink.close()
                    await sink.open()
                    model.reopen()
                else:
                    client.delete(f"velocity:{step[1]}:current", f"cascade:{step[1]}:level")
                    model.delete(step[1])
                assert held(client) == (model.rows, model.levels, model.events)
            await sink.close()

    asyncio.run(run())


class _Stub:
    """A connection whose server refuses what it is told to."""

    db = 1
    _reader = _writer = None

    def __init__(self) -> None:
        self.refuses: set[tuple[bytes, bytes]] = set()
        self.code = "NOPERM"
        self.spoken: list[tuple[bytes, bytes]] = []

    async def connect(self) -> None:
        """Nothing to do."""

    async def disconnect(self, *, nowait: bool) -> None:
        """Nothing to do."""

    async def ask(self, question: bytes, replies: int, _patience: float) -> list[Any]:
        reader = hiredis.Reader()
        reader.feed(question)
        answers: list[Any] = []
        while (words := reader.gets()) is not False:
            assert isinstance(words, list)
            self.spoken.append((words[0], words[1]))
            refused = hiredis.ReplyError(f"{self.code} not you") if (words[0], words[1]) in self.refuses else 1
            answers.append(refused if words[0] != b"HSET" or refused != 1 else 0)
        assert len(answers) == replies
        return answers


def _sink(monkeypatch: pytest.MonkeyPatch, stub: _Stub) -> RedisSink:
    sink = RedisSink("redis://127.0.0.1:1/1")
    monkeypatch.setattr(sink, "_connection", stub)
    monkeypatch.setattr(sink, "_reply_reader", stub)
    return sink


EVERYTHING = Batch(
    metrics=[metrics(name, surprise=None) for name in NAMES],
    events=[event(1)],
    alerts=[alert("BTCUSDT", "WATCH"), alert("BTCUSDT", "EXTREME")],
    health=[VenueHealth("okx", "live", 1, 0.0, 0, 1.0)],
    levels={"MARKET": "WATCH"},
)


def _spoken() -> list[tuple[bytes, bytes]]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        stub = _Stub()
        asyncio.run(_sink(monkeypatch, stub).publish(EVERYTHING))
    return sorted(set(stub.spoken))


SPOKEN = _spoken()


def test_every_command_there_is_may_be_refused_below() -> None:
    assert {verb for verb, _ in SPOKEN} == {b"HSET", b"HDEL", b"EXPIRE", b"SET", b"LPUSH", b"LTRIM", b"PUBLISH"}


@pytest.mark.parametrize("code", ["NOPERM", "OOM", "READONLY"])
@given(refusals=st.lists(st.sets(st.sampled_from(SPOKEN), max_size=3), max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_refused_stands_until_its_key_was_taken(code: str, refusals: Sequence[set[Any]]) -> None:
    async def run(monkeypatch: pytest.MonkeyPatch) -> None:
        stub = _Stub()
        stub.code = code
        sink = _sink(monkeypatch, stub)
        for refuses in [*refusals, set()]:
            answer = await _publish(monkeypatch, sink, stub, refuses, EVERYTHING)
            lost = 2 * any(verb == b"PUBLISH" for verb, _ in refuses)
            if not refuses:
                assert answer is None
            elif code == "READONLY" or any(verb != b"PUBLISH" for verb, _ in refuses):
                assert type(answer) is (SinkUnavailable if code == "READONLY" else SinkError)
                assert len(answer.unannounced or ()) == lost
            else:
                assert isinstance(answer, Refusal)
                assert answer.alerts_lost == lost
            other = await _publish(monkeypatch, sink, stub, set(), Batch(metrics=[metrics("ETHUSDT")]))
            if not refuses:
                assert other is None
            else:  # what was refused was not tried again
                assert isinstance(other, Refusal)
                assert (other.cause, other.alerts_lost) == (code, 0)

    with pytest.MonkeyPatch.context() as monkeypatch:
        asyncio.run(run(monkeypatch))


async def _publish(
    monkeypatch: pytest.MonkeyPatch, sink: RedisSink, stub: _Stub, refuses: set[Any], batch: Batch
) -> Refusal | SinkError | None:
    stub.refuses = refuses
    monkeypatch.setattr(sink, "_connection", stub)  # which a refusal may have closed
    monkeypatch.setattr(sink, "_reply_reader", stub)
    sink._forget_written()  # so that all is said again
    try:
        return await sink.publish(batch)
    except SinkError as error:
        return error
