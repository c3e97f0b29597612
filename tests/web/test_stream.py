"""The stream: one encoder for all, going on after a break, snapshots for those who fell behind."""

import asyncio
import http.client
import json
import typing
from collections.abc import Generator, Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

import msgspec
import pytest

from liqtape.cascades.cascade import Cascade
from liqtape.engine import VelocityEngine
from liqtape.events import Alert, Gap, Liquidation, VelocityMetrics, VenueHealth
from liqtape.forecast.forecaster import Forecast
from liqtape.ledger import Ledger
from liqtape.web.answers import Mode
from liqtape.web.board import Board
from liqtape.web.broadcast import Broadcast
from liqtape.web.shown import News
from liqtape.web.streammessages import Snapshot, Update
from liqtape.web.streamreader import StreamReader
from liqtape.web.webserver import WebServer, bound_socket


class Message:
    def __init__(self, text: str) -> None:
        lines = dict(line.split(": ", 1) for line in text.split("\n"))
        self.id, self.event, self.data = lines["id"], lines["event"], json.loads(lines["data"])


def messages(url: str, last_id: str | None = None) -> Generator[Message, None, None]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    connection.request("GET", "/api/v1/stream", headers={} if last_id is None else {"Last-Event-ID": last_id})
    response = connection.getresponse()
    assert response.getheader("content-type") == "text/event-stream; charset=utf-8"
    lines: list[str] = []
    try:
        while line := response.readline().decode():
            if line == "\n":
                yield Message("\n".join(lines))
                lines = []
            else:
                lines.append(line.rstrip("\n"))
    finally:
        connection.close()


def identities(found: Iterable[Message]) -> list[str]:
    return [event["id"] for message in found for event in message.data.get("events", ())]


def test_snapshot_first_then_updates(running: Any) -> None:
    stream = messages(running.url)
    first, *later = [next(stream) for _ in range(8)]
    stream.close()

    assert first.event == "snapshot"
    assert first.data["missed"] == 0
    assert {message.event for message in later} == {"update"}
    msgspec.convert(first.data, Snapshot)
    for message in later:
        msgspec.convert(message.data, Update)
    moments = [message.data["as_of_ms"] for message in (first, *later)]
    assert moments == sorted(moments)


def test_all_readers_get_the_same(running: Any) -> None:
    streams = [messages(running.url) for _ in range(3)]
    found = [[next(stream)] for stream in streams]
    for one, stream in zip(found, streams, strict=True):
        one.extend(next(stream) for _ in range(8))
    for stream in streams:
        stream.close()

    by_id = [{message.id: message.data for message in one if message.event == "update"} for one in found]
    common = set.intersection(*map(set, by_id))
    assert common
    assert all(by_id[0][name] == by_id[1][name] == by_id[2][name] for name in common)


def test_stream_goes_on_behind_the_last_id(running: Any) -> None:
    whole = messages(running.url)
    seen = [next(whole) for _ in range(3)]
    missed = [next(whole) for _ in range(4)]

    again = messages(running.url, seen[-1].id)
    found = [next(again) for _ in range(4)]
    whole.close()
    again.close()

    assert [message.id for message in found] == [message.id for message in missed]
    assert identities(found) == identities(missed)


@pytest.mark.parametrize("last_id", ["nonsense", "0-1-2", "-", "0-99999999999999999999999-1", "\xff"])
def test_id_of_another_run_gets_a_snapshot_that_cannot_know_what_was_missed(running: Any, last_id: str) -> None:
    stream = messages(running.url, last_id)
    first = next(stream)
    stream.close()

    assert first.event == "snapshot"
    assert first.data["missed"] is None


def test_stream_tells_everything_once_in_the_order_of_arrival(running: Any) -> None:
    stream = messages(running.url)
    first = next(stream)
    # A machine that was busy for a second has more than a message tells: up to there all are told.
    later = list(takewhile(lambda message: not message.data.get("events_left_out"), (next(stream) for _ in range(12))))
    stream.close()

    found = identities([first, *later])
    arrived = running.call(lambda: [event.id for event in running.server.board.recent])
    begin = arrived.index(found[0])
    assert arrived[begin : begin + len(found)] == found
    assert len(found) > 100


class StillSource:
    """A source that says what a test told it to."""

    mode: Mode = "live"
    replay: None = None
    began_ms = 1_000_000
    generation = 0

    def messages(self) -> None:
        return None

    def forecast(self) -> Sequence[Forecast]:
        return ()

    def failing(self) -> Sequence[str]:
        return ()

    def __init__(self) -> None:
        self.engine = VelocityEngine()
        self.at_ms = 1_000_000
        self.news: list[Liquidation] = []
        self.dropped = 0

    def liquidate(self, count: int, instrument: str = "BTCUSDT") -> None:
        for number in range(count):
            self.at_ms += 1
            event = Liquidation(
                "bybit",
                instrument,
                instrument,
                "long",
                100.0,
                "fill",
                1.0,
                100.0 + number,
                self.at_ms,
                self.at_ms,
                f"{instrument}-{self.at_ms}",
            )
            self.engine.add(event)
            self.news.append(event)

    def now_ms(self) -> int:
        return self.at_ms

    def snapshot(self, instruments: Iterable[str]) -> list[VelocityMetrics]:
        rows = (self.engine.metrics(name, self.at_ms) for name in instruments)
        return [row for row in rows if row is not None]

    def market(self, venue: str | None = None) -> VelocityMetrics:
        return self.engine.market(self.at_ms, venue)

    def active(self) -> list[str]:
        return [name for name in self.engine.instruments() if not self.engine.is_empty(name, self.at_ms)]

    def health(self) -> list[VenueHealth]:
        return []

    def gaps(self) -> list[Gap]:
        return []

    def cascades(self) -> list[Cascade]:
        return []

    def cascades_total(self) -> int:
        return 0

    def ledger(self) -> Ledger:
        return Ledger()

    def ledgers(self) -> list[tuple[str, Ledger]]:
        return []

    def correlation(self, most: int | None = None) -> list[Any]:  # noqa: ARG002
        return []

    def take_news(self) -> News:
        events, self.news = self.news, []
        dropped, self.dropped = self.dropped, 0
        alerts: list[Alert] = []
        return News(events, alerts, missed=dropped)

    def hides(self) -> Mapping[str, str]:
        return {}


@pytest.fixture
async def told() -> Any:
    """A broadcast at speed, over a source the test feeds."""
    source = StillSource()
    broadcast = Broadcast(Board(source), every_seconds=0.01)
    task = asyncio.create_task(broadcast.run())
    yield source, broadcast
    task.cancel()


async def _heard(broadcast: Broadcast, reader: StreamReader) -> list[Message]:
    await asyncio.wait_for(reader.wait(), 30)
    data = await broadcast.snapshot(reader) if reader.is_behind else reader.take()
    return [Message(text) for text in data.decode().split("\n\n") if text]


async def _until_events(broadcast: Broadcast, reader: StreamReader, count: int) -> list[Message]:
    found: list[Message] = []
    while len(identities(found)) < count:
        found += await _heard(broadcast, reader)
    return found


async def test_every_liquidation_is_told_once(told: Any) -> None:
    source, broadcast = told
    reader = broadcast.join(None)
    await _heard(broadcast, reader)
    for _ in range(5):
        source.liquidate(20)
        await asyncio.sleep(0)

    found = identities(await _until_events(broadcast, reader, 100))

    assert found == [f"BTCUSDT-{1_000_001 + k}" for k in range(100)]


async def test_slow_reader_loses_its_backlog_and_hears_how_much(told: Any) -> None:
    source, broadcast = told
    quick, slow = broadcast.join(None), broadcast.join(None)
    await _heard(broadcast, quick)
    await _heard(broadcast, slow)
    total = 0
    while not slow.is_behind:  # it takes nothing
        source.liquidate(100)
        total += 100
        await _until_events(broadcast, quick, 100)

    (snapshot,) = await _heard(broadcast, slow)

    assert snapshot.event == "snapshot"
    assert len(snapshot.data["events"]) == 500
    assert snapshot.data["missed"] == total - 500
    assert snapshot.data["rows"][0]["event_count_300s"] == total
    source.liquidate(1)
    (after,) = await _until_events(broadcast, slow, 1)
    assert identities([after]) == [f"BTCUSDT-{source.at_ms}"]


async def test_flood_is_cut_to_the_largest_and_says_so(told: Any) -> None:
    source, broadcast = told
    reader = broadcast.join(None)
    await _heard(broadcast, reader)
    source.liquidate(2_000)

    found = await _until_events(broadcast, reader, 500)

    (update,) = [message for message in found if message.data.get("events")]
    assert update.data["events_left_out"] == 1_500
    assert min(event["notional_usd"] for event in update.data["events"]) == 100.0 + 1_500


async def test_row_of_zeros_is_the_last(told: Any) -> None:
    source, broadcast = told
    reader = broadcast.join(None)
    await _heard(broadcast, reader)
    source.liquidate(3, "ETHUSDT")
    await _until_events(broadcast, reader, 3)
    source.at_ms += 400_000

    rows: list[Any] = []
    while not rows or rows[-1]["event_count_300s"]:
        rows += [row for message in await _heard(broadcast, reader) for row in message.data.get("rows", ())]

    assert rows[-1]["symbol"] == "ETHUSDT"
    assert rows[-1]["usd_60s"] == 0


async def test_jump_of_the_source_sends_a_snapshot_to_all(told: Any) -> None:
    source, broadcast = told
    reader = broadcast.join(None)
    await _heard(broadcast, reader)
    source.liquidate(50)
    await _until_events(broadcast, reader, 50)
    source.generation = 1
    source.began_ms = source.at_ms
    found: list[Message] = []
    while not found or found[-1].event != "snapshot":
        found += await _heard(broadcast, reader)

    snapshot = found[-1]
    assert snapshot.event == "snapshot"
    assert snapshot.data["events"] == []
    assert snapshot.data["missed"] == 0


async def test_ring_is_bounded(told: Any) -> None:
    source, broadcast = told
    reader = broadcast.join(None)
    (first,) = await _heard(broadcast, reader)
    for _ in range(300):
        source.liquidate(1)
        await _until_events(broadcast, reader, 1)

    late = broadcast.join(first.id)

    assert late.is_behind
    (snapshot,) = await _heard(broadcast, late)
    assert snapshot.data["missed"] == 0  # all of them are in it
    assert len(snapshot.data["events"]) == 300


async def test_error_nobody_foresaw_is_told_and_the_stream_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    source = StillSource()
    server = WebServer(source)
    async with server.listening(bound_socket("127.0.0.1", 0)):
        reader = server.broadcast.join(None)
        await _heard(server.broadcast, reader)
        source.news = typing.cast("list[Liquidation]", [None])
        async with asyncio.timeout(30):
            while "restarting" not in caplog.text:
                await _heard(server.broadcast, reader) if reader.is_behind else await asyncio.sleep(0.01)
        source.liquidate(3)

        assert len(identities(await _until_events(server.broadcast, reader, 3))) == 3
