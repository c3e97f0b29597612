"""The runner over real sockets, against servers that are not ours."""

import asyncio
import json
import logging
import ssl
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.polling import until
from websockets.asyncio.server import ServerConnection

from liqtape.events import Event, PriceTick, RawLiquidation
from liqtape.feeds.backoff import Backoff, SystemClock
from liqtape.feeds.connection import Connection, Status
from liqtape.feeds.restraint import Restraints
from liqtape.simulator import Simulator
from liqtape.venues import binance, bybit
from liqtape.venues.base import Endpoint, Venue

Server = Callable[..., Awaitable[str]]

TRADE = '{"e":"aggTrade","s":"BTCUSDT","p":"80000.0","q":"0.5","T":1790000000000}'
ORDER = (
    '{"e":"forceOrder","E":1790000000001,"o":{"s":"ETHUSDT","S":"SELL","q":"2","p":"3000","ap":"3001","z":"2",'
    '"T":1790000000000}}'
)
TOPICS = ("!forceOrder@arr", "btcusdt@aggTrade")
QUICK = Backoff(first=0.01, cap=0.02)


class CountingClock(SystemClock):
    """The machine's time; counts how often the runner went to sleep."""

    def __init__(self) -> None:
        self.waits = 0

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        self.waits += 1
        await super().wait(event, seconds)


class Life:
    """A running connection and all it told."""

    def __init__(self, url: str, topics: tuple[str, ...], silence_limit: float, venue: Venue, **options: Any) -> None:
        self.events: list[Event] = []
        self.statuses: list[Status] = []
        self.clock = CountingClock()
        self.connection = Connection(
            venue,
            Endpoint(url, topics, silence_limit),
            on_events=options.pop("on_events", self.events.extend),
            on_state=lambda _, status: self.statuses.append(status),
            clock=self.clock,
            backoff=options.pop("backoff", QUICK),
            **options,
        )

    async def until(self, fulfilled: Callable[[], bool]) -> None:
        await until(fulfilled)

    def times(self, state: str) -> int:
        return sum(status.state == state for status in self.statuses)


@asynccontextmanager
async def running(
    url: str,
    *,
    topics: tuple[str, ...] = TOPICS,
    silence_limit: float = 30.0,
    venue: Venue = binance,
    **options: Any,
) -> AsyncIterator[Life]:
    """Runs a connection; it must stop in time, leave no task, and have balanced its frames."""
    life = Life(url, topics, silence_limit, venue, **options)
    task = asyncio.create_task(life.connection.run())
    try:
        yield life
    finally:
        async with asyncio.timeout(3):
            await life.connection.stop()
        await asyncio.wait_for(task, 1)
    assert life.statuses[-1].state == "stopped"
    frames = life.connection.ledger
    sorted_frames = frames.frames_liquidation + frames.frames_other_topic + frames.frames_control
    assert frames.frames_received == sorted_frames + frames.frames_undecodable


async def acknowledge(peer: ServerConnection) -> None:
    request = json.loads(await peer.recv())
    await peer.send(json.dumps({"result": None, "id": request["id"]}))


def greeting(*frames: str | bytes | list[bytes]) -> Callable[[ServerConnection], Awaitable[None]]:
    """Acknowledges, sends these frames and stays."""

    async def talk(peer: ServerConnection) -> None:
        await acknowledge(peer)
        for frame in frames:
            await peer.send(frame)
        await peer.wait_closed()

    return talk


async def test_a_feed_over_tls_is_live_and_stops_with_a_close_frame(
    venue_server: Server, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    codes: list[int | None] = []

    async def talk(peer: ServerConnection) -> None:
        await greeting(TRADE, ORDER)(peer)
        codes.append(peer.close_code)

    async with running(await venue_server(talk, ssl=server_tls), ssl_context=client_tls) as life:
        await life.until(lambda: len(life.events) == 3)

    assert [type(event) for event in life.events[1:]] == [PriceTick, RawLiquidation]
    assert [status.state for status in life.statuses] == ["connecting", "subscribing", "live", "stopped"]
    assert life.statuses[-1].down_ms is not None
    assert not life.connection.failures
    await life.until(lambda: codes == [1000])


async def test_binary_and_broken_frames_are_counted_and_the_feed_lives_on(venue_server: Server) -> None:
    url = await venue_server(greeting(TRADE, b"\x1f\x8b\x08\x00gzip", '{"e":"aggTr', TRADE))

    async with running(url) as life:
        await life.until(lambda: life.connection.ledger.frames_received == 5)

    assert life.connection.ledger.frames_undecodable == 2
    assert [sample.payload for sample in life.connection.session.samples] == [b"\x1f\x8b\x08\x00gzip", b'{"e":"aggTr']
    assert not life.connection.failures


async def test_a_message_too_big_costs_a_reconnect(venue_server: Server) -> None:
    url = await venue_server(greeting(TRADE, "x" * (16 << 20)))

    async with running(url) as life:
        await life.until(lambda: life.times("live") >= 3)

    assert set(life.connection.failures) == {"too_big"}
    assert life.connection.reconnects >= 2


async def test_every_close_code_is_counted_and_followed_by_a_reconnect(venue_server: Server) -> None:
    codes = iter([1000, 1001, 1012])

    async def talk(peer: ServerConnection) -> None:
        await acknowledge(peer)
        await peer.send(TRADE)
        code = next(codes, None)
        if code is None:
            await peer.wait_closed()
        else:
            await peer.close(code)

    async with running(await venue_server(talk)) as life:
        await life.until(lambda: life.times("live") >= 4)

    assert life.connection.failures == {"closed_1000": 1, "closed_1001": 1, "closed_1012": 1}
    assert life.connection.reconnects == 3


async def test_acknowledged_but_silent_is_a_stall_and_reconnects(venue_server: Server) -> None:
    async with running(await venue_server(greeting()), silence_limit=0.05) as life:
        await life.until(lambda: life.times("stalled") >= 3)

    assert life.times("live") == 0
    assert set(life.connection.failures) == {"stalled"}


async def test_an_unanswered_subscription_reconnects(venue_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liqtape.venues.session.ACK_LIMIT", 0.05)

    async def mute(peer: ServerConnection) -> None:
        await peer.wait_closed()

    async with running(await venue_server(mute)) as life:
        await life.until(lambda: life.connection.failures["subscription"] == 2)

    assert life.times("stalled") >= 2


async def test_a_refused_batch_is_halved_until_only_the_bad_topic_is_refused(venue_server: Server) -> None:
    bad = "allLiquidation.NOSUCHUSDT"
    asked: list[int] = []

    async def talk(peer: ServerConnection) -> None:
        async for frame in peer:
            request = json.loads(frame)
            asked.append(len(request["args"]))
            answer = {"success": bad not in request["args"], "op": "subscribe", "req_id": request["req_id"]}
            await peer.send(json.dumps(answer | {"ret_msg": f"Invalid topic: {bad}"}))
            if len(asked) == 7:
                await peer.send(
                    '{"topic":"publicTrade.BTCUSDT","data":'
                    '[{"T":1790000000000,"s":"BTCUSDT","S":"Buy","v":"1","p":"80000"}]}'
                )

    good = [f"allLiquidation.{coin}USDT" for coin in "ABCDEF"]
    topics = ("publicTrade.BTCUSDT", *good[:2], bad, *good[2:])
    async with running(await venue_server(talk), topics=topics, venue=bybit) as life:
        await life.until(lambda: life.times("live") >= 1)

    assert life.connection.session.refused == {bad: f"Invalid topic: {bad}"}
    assert sorted(asked, reverse=True) == [8, 4, 4, 2, 2, 1, 1]
    assert not life.connection.failures


async def test_an_error_in_the_callback_is_counted_logged_once_and_survived(
    venue_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)

    def on_events(events: list[Event]) -> None:
        if any(isinstance(event, PriceTick) for event in events):
            raise KeyError("ours")

    async with running(await venue_server(greeting(TRADE)), on_events=on_events) as life:
        await life.until(lambda: life.times("live") >= 3)

    assert set(life.connection.failures) == {"internal"}
    assert "KeyError" in life.statuses[3].reason
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is KeyError


async def test_what_a_failed_connection_attempt_met_is_counted(venue_server: Server) -> None:
    statuses = iter([403, 451, 503])

    def refuse(peer: ServerConnection, _: Any) -> Any:
        status = next(statuses, None)
        return None if status is None else peer.respond(status, "")

    url = await venue_server(greeting(TRADE), process_request=refuse)
    async with running(url) as life:
        await life.until(lambda: life.times("live") >= 1)

    assert life.connection.failures == {"http_403": 1, "http_451": 1, "http_503": 1}


async def test_a_handshake_that_never_comes_is_given_up(raw_server: Server) -> None:
    async def mute(reader: Reader, _: Writer) -> None:
        await reader.read()

    async with running(await raw_server(mute), connect_timeout=0.05) as life:
        await life.until(lambda: life.connection.failures["timeout"] >= 2)

    assert set(life.connection.failures) == {"timeout"}


async def test_stop_ends_a_handshake_under_way(raw_server: Server) -> None:
    asked, hung_up = asyncio.Event(), asyncio.Event()

    async def mute(reader: Reader, _: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        hung_up.set()

    async with running(await raw_server(mute), connect_timeout=60.0) as life:
        await life.until(asked.is_set)

    await life.until(hung_up.is_set)
    assert not life.connection.failures


async def test_stop_at_the_very_moment_a_handshake_is_given_up(raw_server: Server) -> None:
    async def mute(reader: Reader, _: Writer) -> None:
        await reader.read()

    async with running(await raw_server(mute), connect_timeout=0.05) as life:
        await life.until(lambda: life.connection._timeouts is not None)
        timeouts = life.connection._timeouts
        assert timeouts is not None
        while not timeouts.expired():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)


async def test_stop_ends_a_long_back_off(raw_server: Server) -> None:
    async def slam(_: Reader, __: Writer) -> None:
        return

    class Longest:
        def uniform(self, _: float, limit: float) -> float:
            return limit

    url = await raw_server(slam)
    async with running(url, backoff=Backoff(60.0, 60.0), rng=Longest()) as life:
        await life.until(lambda: life.times("waiting") >= 1)

    assert life.connection.reconnects == 0


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
async def test_stop_does_not_wait_for_a_peer_that_is_no_more(
    venue_server: Server, secure: bool, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    over = asyncio.Event()

    async def talk(peer: ServerConnection) -> None:
        await acknowledge(peer)
        await peer.send(TRADE)
        peer.transport.pause_reading()
        await over.wait()

    options: dict[str, Any] = {"ssl": server_tls} if secure else {}
    async with running(await venue_server(talk, **options), ssl_context=client_tls) as life:
        await life.until(lambda: life.times("live") >= 1)
        started = asyncio.get_running_loop().time()

    assert asyncio.get_running_loop().time() - started < 2.0
    over.set()


async def test_a_cancelled_run_closes_its_connection(venue_server: Server) -> None:
    codes: list[int | None] = []

    async def talk(peer: ServerConnection) -> None:
        await greeting(TRADE)(peer)
        codes.append(peer.close_code)

    life = Life(await venue_server(talk), TOPICS, 30.0, binance)
    task = asyncio.create_task(life.connection.run())
    await life.until(lambda: life.times("live") >= 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await life.until(lambda: codes == [1000])
    assert life.statuses[-1].state == "stopped"


async def test_data_and_idleness_wake_nobody(venue_server: Server) -> None:
    async def talk(peer: ServerConnection) -> None:
        await acknowledge(peer)
        for _ in range(300):
            await peer.send(TRADE)
        await peer.wait_closed()

    async with running(await venue_server(talk)) as life:
        await life.until(lambda: len(life.events) == 301)
        for _ in range(20):
            await asyncio.sleep(0.01)
        waits = life.clock.waits

    assert waits <= 3


async def test_reconnecting_leaves_no_task_and_no_descriptor(
    raw_server: Server, venue_server: Server, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def cut(peer: ServerConnection) -> None:
        await acknowledge(peer)
        peer.transport.abort()

    async def mute(reader: Reader, _: Writer) -> None:
        await reader.read()

    urls = [
        await venue_server(cut),
        await venue_server(cut, ssl=server_tls),
        await raw_server(mute),
        (await raw_server(mute)).replace("ws:", "wss:"),
        "ws://nowhere.invalid/",
    ]
    async with running(urls[0]) as life:  # what the loop opens once and keeps
        await life.until(lambda: life.connection.failures.total() >= 1)
    tasks, open_before = len(asyncio.all_tasks()), descriptors()

    for url in urls:
        async with running(url, ssl_context=client_tls, connect_timeout=0.03) as life:
            await life.until(lambda life=life: life.connection.failures.total() >= 10)  # type: ignore[misc]

    await life.until(lambda: len(asyncio.all_tasks()) <= tasks and descriptors() <= open_before)


@pytest.mark.parametrize("venue", [binance, bybit], ids=lambda venue: venue.name)
async def test_every_endpoint_is_live_at_the_simulated_venue(venue: Venue) -> None:
    for endpoint in venue.endpoints(["BTCUSDT", "BTCUSD"]):
        async with Simulator("calm", 1) as simulator:
            url = simulator.ws_url(venue.name) + endpoint.url.removeprefix(venue.ws_url)
            async with running(url, topics=endpoint.topics, venue=venue) as life:
                await life.until(lambda life=life: life.times("live") >= 1)  # type: ignore[misc]
                await simulator.abort_connections(venue.name)
                await life.until(lambda life=life: life.times("live") >= 2)  # type: ignore[misc]

            assert life.connection.failures == {"closed_1006": 1}


@pytest.mark.parametrize(
    ("answer", "least", "most"),
    [
        (b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 30\r\n\r\n", 20, 31),
        (b"HTTP/1.1 418 I'm a teapot\r\nretry-after: 7200\r\n\r\n", 7_190, 7_201),
        (b"HTTP/1.1 403 Forbidden\r\nRetry-After: 999999999\r\n\r\n", 86_390, 86_401),
    ],
    ids=["429", "418", "403, a day at most"],
)
async def test_an_address_that_asks_to_be_left_alone_is_by_all_connections_to_it(
    raw_server: Server, answer: bytes, least: float, most: float
) -> None:
    asked = [0]

    async def talk(reader: Reader, writer: Writer) -> None:
        asked[0] += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    restraints = Restraints()
    url = await raw_server(talk)
    async with running(url, restraints=restraints) as life:
        await life.until(lambda: "left alone" in life.connection.status.reason)
        async with running(url, restraints=restraints) as other:
            await other.until(lambda: "left alone" in other.connection.status.reason)
            for status in (life.connection.status, other.connection.status):
                assert status.state == "waiting"
                assert status.until_ms is not None
                assert least <= (status.until_ms - status.since_ms) / 1000 <= most
                assert "left alone until 20" in status.reason
                assert status.cause == f"http_{answer.split()[1].decode()}"  # by which others stand in for the price
    assert asked == [1]


def _order(number: int) -> bytes:
    return ORDER.replace('"ETHUSDT"', f'"S{number}"').encode().ljust(140)


def _whole(payload: bytes) -> bytes:
    return b"\x81\x7e" + len(payload).to_bytes(2) + payload


@pytest.mark.parametrize("is_live", [False, True], ids=["not live", "live"])
@pytest.mark.parametrize("is_lost", [False, True], ids=["stays", "is lost at once"])
async def test_what_a_read_brings_together_leaves_the_loop_to_others_and_keeps_its_order(
    venue_server: Server, *, is_lost: bool, is_live: bool
) -> None:
    """A read of 30,000 frames kept the loop for a second, the first of a connection for half a one."""
    count, turns = 30_000, [0]
    came: list[int] = []  # the turn in which each event came
    symbols: list[str] = []

    async def talk(peer: ServerConnection) -> None:
        if is_live:
            await acknowledge(peer)
            await peer.send(TRADE)
            await peer.send(TRADE)
        await asyncio.sleep(0.05)
        peer.transport.write(b"".join(_whole(_order(number)) for number in range(count)))
        if is_lost:
            peer.transport.close()
        await peer.wait_closed()

    def take(events: list[Event]) -> None:
        named = [event.symbol for event in events if isinstance(event, RawLiquidation)]
        symbols.extend(named)
        came.extend([turns[0]] * len(named))

    async def turn() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    async with running(await venue_server(talk), topics=TOPICS[:1], on_events=take) as life:
        await life.until(lambda: len(symbols) >= count)
        assert bool(life.times("live")) == is_live
    turning.cancel()

    assert symbols[:count] == [f"S{number}" for number in range(count)]
    assert max(came.count(one) for one in set(came)) <= 2_002


async def test_another_address_is_taken_while_one_is_left_alone(venue_server: Server, raw_server: Server) -> None:
    async def refuse(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3000\r\n\r\n")
        await writer.drain()

    first, second = await raw_server(refuse), await venue_server(greeting(TRADE, ORDER))
    addresses = [Endpoint(url, TOPICS, 30.0) for url in (first, second)]
    async with running(first, restraints=Restraints(), addresses=addresses) as life:
        await life.until(lambda: life.connection.status.state == "live")
    assert life.connection.failures == {"http_429": 1}
