"""The simulator over real sockets, with the websockets library as the independent peer."""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
import trustme
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from liqtape.simulator import ServerLimits, Simulator, run_until_stopped
from liqtape.simulator.hyperliquid_fills import MAKERS, STRATEGIES
from liqtape.simulator.listings import LISTINGS

BYBIT_TOPICS = [f"allLiquidation.{i.symbol}" for i in LISTINGS if i.venue == "bybit" and i.kind == "linear"]
FORCE_ORDERS = "/market/ws/!forceOrder@arr"


class Client:
    """Keeps everything a connection received."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.texts: list[str] = []
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for text in self.socket:
                assert isinstance(text, str)
                self.texts.append(text)
                self._news.set()
        except ConnectionClosedError:
            pass
        self._news.set()

    async def ended(self) -> None:
        await self._reading

    async def ask(self, request: object) -> None:
        await self.socket.send(json.dumps(request))

    async def first(self, marker: str, count: int = 1) -> list[Any]:
        """The first `count` messages with `marker` in them, waiting for them."""
        async with asyncio.timeout(15):
            while len(found := [text for text in self.texts if marker in text]) < count:
                assert not self._reading.done(), f"closed before {marker}"
                self._news.clear()
                await self._news.wait()
        return [json.loads(text) for text in found[:count]]


@asynccontextmanager
async def client(url: str, **options: Any) -> AsyncIterator[Client]:
    async with connect(url, **options) as socket:
        one = Client(socket)
        yield one
    await one.ended()


@asynccontextmanager
async def bybit(simulator: Simulator, *topics: str) -> AsyncIterator[Client]:
    async with client(simulator.ws_url("bybit") + "/v5/public/linear") as one:
        await one.ask({"op": "subscribe", "req_id": "1", "args": list(topics) or BYBIT_TOPICS})
        await one.first('"op":"subscribe"')
        yield one


OKX = "/ws/v5/public"
OKX_SWAPS = {"channel": "liquidation-orders", "instType": "SWAP"}
OKX_ALL = {"op": "subscribe", "args": [OKX_SWAPS, {"channel": "liquidation-orders", "instType": "FUTURES"}]}


def fills_of(user: str) -> dict[str, object]:
    return {"method": "subscribe", "subscription": {"type": "userFills", "user": user, "aggregateByTime": False}}


def orders(one: Client) -> list[Any]:
    found = [json.loads(text) for text in one.texts if '"forceOrder"' in text]
    return [message.get("data", message) for message in found]


def rows(one: Client) -> list[Any]:
    return [row for text in one.texts if '"allLiquidation' in text for row in json.loads(text)["data"]]


async def test_binance_subscription_is_acknowledged_then_served_with_trades() -> None:
    async with Simulator("cascade", speed=5) as simulator, client(simulator.ws_url("binance") + "/market/ws") as one:
        await one.ask({"method": "SUBSCRIBE", "params": ["!forceOrder@arr", "btcusdt@aggTrade"], "id": 1})
        await one.first('"forceOrder"')
        await one.first('"aggTrade"')

    assert json.loads(one.texts[0]) == {"result": None, "id": 1}


async def test_combined_stream_wraps_what_its_address_names() -> None:
    url = "/market/stream?streams=!forceOrder@arr/btcusdt@aggTrade"
    async with Simulator("cascade", speed=5) as simulator, client(simulator.ws_url("binance") + url) as one:
        (force_order,) = await one.first('"forceOrder"')
        (trade,) = await one.first('"aggTrade"')

    assert (force_order["stream"], trade["stream"]) == ("!forceOrder@arr", "btcusdt@aggTrade")


async def test_binance_never_prints_a_symbol_twice_in_a_second() -> None:
    async with (
        Simulator("cascade", speed=10) as simulator,
        client(simulator.ws_url("binance") + FORCE_ORDERS) as one,
    ):
        await one.first('"BTCUSDT"', 4)
        await simulator.stop_generating()
        await simulator.drop_connections()

    pushed: dict[str, list[int]] = {}
    for order in orders(one):
        pushed.setdefault(order["o"]["s"], []).append(order["o"]["T"])
    assert all(later - earlier >= 1_000 for times in pushed.values() for earlier, later in pairwise(times))


async def test_retired_binance_path_acknowledges_and_stays_silent_while_the_market_path_talks() -> None:
    async with (
        Simulator("cascade", speed=5) as simulator,
        client(simulator.ws_url("binance") + "/ws") as retired,
        client(simulator.ws_url("binance") + FORCE_ORDERS) as served,
    ):
        await retired.ask({"method": "SUBSCRIBE", "params": ["!forceOrder@arr", "btcusdt@aggTrade"], "id": 1})
        await served.first('"forceOrder"', 5)
        await retired.ask({"method": "LIST_SUBSCRIPTIONS", "id": 2})
        await retired.first('"id":2')

    assert [json.loads(text) for text in retired.texts] == [
        {"result": None, "id": 1},
        {"result": ["!forceOrder@arr", "btcusdt@aggTrade"], "id": 2},
    ]


async def test_bybit_sends_what_was_subscribed_in_batches() -> None:
    async with Simulator("cascade", speed=5) as simulator, bybit(simulator) as one:
        await one.first('"allLiquidation.BTCUSDT","type"', 4)
        await simulator.drop_connections()

    sizes = [len(json.loads(text)["data"]) for text in one.texts if '"allLiquidation.BTCUSDT"' in text]
    assert max(sizes) > 1
    assert {row["s"] for row in rows(one)} <= {topic.removeprefix("allLiquidation.") for topic in BYBIT_TOPICS}


async def test_refused_bybit_request_starts_nothing() -> None:
    async with (
        Simulator("cascade", speed=5) as simulator,
        client(simulator.ws_url("bybit") + "/v5/public/linear") as one,
    ):
        await one.ask({"op": "subscribe", "req_id": "1", "args": ["allLiquidation.BTCUSDT", "liquidation.BTCUSDT"]})
        (refusal,) = await one.first('"op":"subscribe"')

    assert refusal["success"] is False
    assert refusal["ret_msg"] == "Invalid topic: liquidation.BTCUSDT"
    assert simulator.ledger.distinct() == []


async def test_bybit_answers_ping_with_pong() -> None:
    async with Simulator() as simulator, client(simulator.ws_url("bybit") + "/v5/public/inverse") as one:
        await one.ask({"op": "ping"})
        (pong,) = await one.first('"op":"ping"')

    assert (pong["success"], pong["ret_msg"]) == (True, "pong")


async def test_block_arrives_whole_in_one_millisecond() -> None:
    async with Simulator("block", speed=20) as simulator, bybit(simulator) as one:
        await one.first('"allLiquidation.BTCUSDT","type"', 113)  # at most 100 rows a frame
        await simulator.stop_generating()
        await simulator.drop_connections()

    (moment, count), *_ = Counter(row["T"] for row in rows(one) if row["s"] == "BTCUSDT").most_common(1)
    assert count == 11_279
    assert len({record.serial for record in simulator.ledger.distinct() if record.event_ms == moment}) >= 11_279


async def test_ledger_is_what_the_clients_received() -> None:
    async with (
        Simulator("faults", speed=10, faults=("torn", "unknown_topic", "wrong_types", "nan", "late")) as simulator,
        client(simulator.ws_url("binance") + "/market/ws/btcusdt@aggTrade") as to_be_cut,
        client(simulator.ws_url("binance") + FORCE_ORDERS + "/btcusdt@aggTrade") as one,
        bybit(simulator) as to_be_cut_too,
        bybit(simulator) as two,
    ):
        async with asyncio.timeout(15):
            await asyncio.gather(to_be_cut.ended(), to_be_cut_too.ended())
        await simulator.stop_generating()
        await simulator.drop_connections()

    assert to_be_cut.socket.close_code == to_be_cut_too.socket.close_code == 1012
    clients = (to_be_cut, one, to_be_cut_too, two)
    tallies = simulator.ledger.connections
    assert [tally.frames for tally in tallies] == [len(each.texts) for each in clients]
    assert [tally.liquidations for tally in tallies[2:]] == [clean_rows(each) for each in clients[2:]]
    assert all(tally.copies > 0 and tally.garbage > 0 for tally in (tallies[1], tallies[3]))

    recorded = [record for record in simulator.ledger.records if record.connection == 2]
    received = [order["o"] for order in orders_without_garbage(one)]
    assert [(record.symbol, record.price, record.size, record.event_ms) for record in recorded] == [
        (order["s"], order["ap"], order["z"], order["T"]) for order in received
    ]
    assert [record.side for record in recorded] == ["long" if order["S"] == "SELL" else "short" for order in received]
    assert len(received) - tallies[1].copies == len(simulator.ledger.distinct("binance"))


def orders_without_garbage(one: Client) -> list[Any]:
    whole = [text for text in one.texts if text.endswith("}}") and '"forceOrder"' in text]
    return [message for text in whole if (message := json.loads(text))["o"].get("X") and "NaN" not in text]


def clean_rows(one: Client) -> int:
    texts = [text for text in one.texts if '"allLiquidation' in text and '"data":[{"T":"soon' not in text]
    return sum(len(json.loads(text)["data"]) for text in texts if "NaN" not in text and text.endswith("]}"))


async def test_two_connections_of_a_venue_get_the_same_liquidations() -> None:
    async with (
        Simulator("cascade", speed=5) as simulator,
        bybit(simulator) as one,
        bybit(simulator) as two,
    ):
        await two.first('"allLiquidation.BTCUSDT","type"', 3)
        await simulator.stop_generating()
        await simulator.drop_connections()

    assert rows(two)
    assert rows(one)[-len(rows(two)) :] == rows(two)


async def test_liquidations_end_with_the_held_back_ones_while_trades_go_on() -> None:
    async with (
        Simulator("cascade", speed=10) as simulator,
        bybit(simulator, *BYBIT_TOPICS, "publicTrade.BTCUSDT") as one,
    ):
        await one.first('"allLiquidation.BTCUSDT","type"')
        await simulator.stop_generating()
        sent = simulator.ledger.connections[0].liquidations
        trades = sum('"publicTrade' in text for text in one.texts)
        await one.first('"publicTrade', trades + 8)

        assert simulator.ledger.connections[0].liquidations == sent == len(rows(one))


async def test_silenced_venue_acknowledges_and_sends_nothing_until_it_resumes() -> None:
    async with (
        Simulator("cascade", speed=10) as simulator,
        client(simulator.ws_url("binance") + "/market/ws") as one,
        bybit(simulator) as other,
    ):
        simulator.silence("binance")
        await one.ask({"method": "SUBSCRIBE", "params": ["!forceOrder@arr", "btcusdt@aggTrade"], "id": 1})
        await one.first('"id":1')
        await other.first('"allLiquidation.BTCUSDT","type"', 3)
        assert len(one.texts) == 1

        simulator.resume("binance")
        await one.first('"forceOrder"')


@pytest.mark.parametrize("status", [403, 451])
async def test_refused_handshake_has_the_status_until_it_is_lifted(status: int) -> None:
    async with Simulator() as simulator:
        simulator.refuse("bybit", status)
        with pytest.raises(InvalidStatus) as refused:
            await connect(simulator.ws_url("bybit") + "/v5/public/linear")
        assert refused.value.response.status_code == status

        async with client(simulator.ws_url("binance") + "/market/ws"):
            simulator.refuse("bybit", None)
        async with bybit(simulator):
            pass


@pytest.mark.parametrize(
    "path", ["/binance/nowhere", "/bybit/v5/public/option", "/okx/ws/v5/private", "/hyperliquid/v1", "/kraken/ws"]
)
async def test_unknown_paths_are_not_found(path: str) -> None:
    async with Simulator() as simulator:
        with pytest.raises(InvalidStatus) as refused:
            await connect(simulator.ws_url("binance").removesuffix("/binance") + path)
        assert refused.value.response.status_code == 404


async def test_aborted_connection_ends_without_a_close_frame_and_is_marked() -> None:
    async with Simulator() as simulator, client(simulator.ws_url("binance") + FORCE_ORDERS) as one:
        await simulator.abort_connections("bybit")
        assert not simulator.ledger.connections[0].torn_off
        await simulator.abort_connections("binance")
        await one.ended()

        assert one.socket.close_code == 1006
        assert simulator.ledger.connections[0].torn_off


async def test_bybit_hangs_up_on_a_client_that_says_nothing() -> None:
    async with (
        Simulator(limits=ServerLimits(bybit_idle_seconds=0.3)) as simulator,
        client(simulator.ws_url("bybit") + "/v5/public/linear", ping_interval=None) as one,
    ):
        async with asyncio.timeout(10):
            await one.ended()

        assert one.socket.close_code == 1001


async def test_binance_pings_and_keeps_a_client_that_answers() -> None:
    limits = ServerLimits(binance_ping_seconds=0.05, binance_pong_seconds=0.3)
    async with (
        Simulator("cascade", limits=limits) as simulator,
        client(simulator.ws_url("binance") + "/market/ws/btcusdt@aggTrade") as one,
    ):
        await one.first('"aggTrade"', 8)


async def test_binance_hangs_up_on_a_client_that_never_answers_pings() -> None:
    limits = ServerLimits(binance_ping_seconds=0.05, binance_pong_seconds=0.2)
    async with Simulator(limits=limits) as simulator, aiohttp.ClientSession() as session:
        url = simulator.ws_url("binance") + "/market/ws"
        async with session.ws_connect(url, autoping=False) as socket, asyncio.timeout(10):
            kinds = [message.type async for message in socket]

        assert set(kinds) == {aiohttp.WSMsgType.PING}
        assert socket.close_code == 1001


async def test_okx_ledger_is_what_the_client_received() -> None:
    faults = ("torn", "unknown_topic", "wrong_types", "nan", "late", "very_late")
    async with Simulator("faults", speed=10, faults=faults) as simulator:
        async with client(simulator.ws_url("okx") + OKX) as to_be_cut:
            await to_be_cut.ask(OKX_ALL)
            async with asyncio.timeout(15):
                await to_be_cut.ended()
        async with client(simulator.ws_url("okx") + OKX) as one:
            await one.ask(OKX_ALL)
            await one.first('"instId":"', 6)
            await simulator.stop_generating()
            async with client(simulator.ws_url("okx") + OKX) as late:
                await late.ask({"op": "subscribe", "args": [OKX_SWAPS]})
                (again,) = await late.first('"details"')
                await simulator.drop_connections()

    first, second, third = simulator.ledger.connections
    clients = (to_be_cut, one, late)
    assert [first.frames, second.frames, third.frames] == [len(each.texts) for each in clients]
    for number, each in enumerate(clients, start=1):
        recorded = [record for record in simulator.ledger.records if record.connection == number]
        assert [(r.symbol, r.side, r.price, r.size, str(r.event_ms)) for r in recorded] == [
            (symbol, "long" if detail["side"] == "sell" else "short", detail["bkPx"], detail["sz"], detail["ts"])
            for symbol, detail in clean_details(each)
        ]
    assert first.garbage > 0
    assert again in [json.loads(text) for text in one.texts if text.endswith("]}")]
    assert third.liquidations > 0


def clean_details(one: Client) -> list[Any]:
    whole = [text for text in one.texts if '"details"' in text and text.endswith("]}")]
    clean = [json.loads(text) for text in whole if '"NaN"' not in text and '"both"' not in text]
    return [(entry["instId"], detail) for each in clean for entry in each["data"] for detail in entry["details"]]


async def test_okx_answers_text_ping_and_hangs_up_on_a_client_that_only_sends_ping_frames() -> None:
    async with (
        Simulator(limits=ServerLimits(okx_idle_seconds=0.6)) as simulator,
        client(simulator.ws_url("okx") + OKX, ping_interval=0.05) as one,
    ):
        await one.socket.send("ping")
        async with asyncio.timeout(10):
            await one.ended()

        assert one.texts == ["pong"]
        assert one.socket.close_code == 4004


async def test_okx_keeps_a_client_that_says_ping() -> None:
    limits = ServerLimits(okx_idle_seconds=0.7)
    async with Simulator("calm", limits=limits) as simulator, client(simulator.ws_url("okx") + OKX) as one:
        for _ in range(8):
            await one.socket.send("ping")
            await asyncio.sleep(0.15)

        assert one.texts == ["pong"] * 8


async def test_okx_gives_notice_before_it_closes_and_the_others_do_not() -> None:
    async with (
        Simulator() as simulator,
        client(simulator.ws_url("okx") + OKX) as one,
        bybit(simulator) as other,
    ):
        await simulator.notice("okx", seconds=0.01)
        await simulator.notice("bybit", seconds=0.01)
        await one.ended()

        assert json.loads(one.texts[-1])["code"] == "64008"
        assert one.socket.close_code == 1001
        assert other.socket.close_code is None


async def test_okx_back_fill_is_what_was_sent() -> None:
    async with Simulator("cascade", speed=10) as simulator, aiohttp.ClientSession() as session:
        async with client(simulator.ws_url("okx") + OKX) as one:
            await one.ask({"op": "subscribe", "args": [OKX_SWAPS]})
            await one.first('"instId":"BTC-USDT-SWAP"', 2)
            await simulator.stop_generating()
            await simulator.drop_connections()
        path = "/api/v5/public/liquidation-orders?instType=SWAP&uly=BTC-USDT&state=filled"
        async with session.get(simulator.rest_url("okx") + path) as response:
            answer = await response.json()

    entries = [entry for text in one.texts if '"details"' in text for entry in json.loads(text)["data"]]
    sent = [detail for entry in entries if entry["instId"] == "BTC-USDT-SWAP" for detail in entry["details"]]
    (told,) = answer["data"]
    assert told["details"] == sorted(sent, key=lambda detail: detail["ts"], reverse=True)[:100]
    assert simulator.ledger.rest["okx"].snapshots == len(told["details"])


async def test_hyperliquid_ledger_is_what_the_watcher_received() -> None:
    users = (*STRATEGIES, *MAKERS)
    async with (
        Simulator("cascade", speed=5, faults=("duplicate", "nan", "wrong_types")) as simulator,
        client(simulator.ws_url("hyperliquid") + "/ws") as one,
    ):
        for user in users:
            await one.ask(fills_of(user))
        await one.first('"userFills","data":{"user"', 150)
        await simulator.stop_generating()
        await simulator.drop_connections()

    texts = [text for text in one.texts if '"fills":[' in text and "NaN" not in text and '"soon"' not in text]
    received = [
        (message["data"]["user"], bool(message["data"].get("isSnapshot")), fill)
        for message in map(json.loads, texts)
        for fill in message["data"]["fills"]
        if "liquidation" in fill and fill["dir"] != "Auto-Deleveraging"
    ]
    records = list(simulator.ledger.records)
    assert [(r.symbol, r.side, r.price, r.size, r.event_ms, r.snapshot) for r in records] == [
        (
            fill["coin"],
            "long" if (fill["side"] == "A") == (user == fill["liquidation"]["liquidatedUser"]) else "short",
            fill["px"],
            fill["sz"],
            fill["time"],
            snapshot,
        )
        for user, snapshot, fill in received
    ]
    trades = {(fill["time"], fill["coin"], fill["tid"]) for _, _, fill in received}
    assert len(simulator.ledger.distinct("hyperliquid")) == len(trades)
    (tally,) = simulator.ledger.connections
    assert tally.copies == len(received) - len(trades) > 0
    assert tally.snapshots == sum(snapshot for _, snapshot, _ in received) > 0
    assert tally.frames == len(one.texts)


async def test_hyperliquid_hangs_up_on_a_client_it_had_nothing_to_say_to() -> None:
    async with (
        Simulator(limits=ServerLimits(hyperliquid_idle_seconds=0.7)) as simulator,
        client(simulator.ws_url("hyperliquid") + "/ws", ping_interval=0.05) as quiet,
        client(simulator.ws_url("hyperliquid") + "/ws") as pinging,
    ):
        async with asyncio.timeout(10):
            while quiet.socket.close_code is None:
                await pinging.ask({"method": "ping"})
                await asyncio.sleep(0.1)

        assert quiet.socket.close_code == 1000
        assert pinging.socket.close_code is None


async def test_hyperliquid_forgets_the_users_of_a_closed_connection() -> None:
    limits = ServerLimits(hyperliquid_users=1)
    async with Simulator(limits=limits) as simulator:
        async with client(simulator.ws_url("hyperliquid") + "/ws") as one:
            await one.ask(fills_of(STRATEGIES[0]))
            await one.ask(fills_of(STRATEGIES[1]))
            await one.first('"error"')
            await simulator.drop_connections()
        async with client(simulator.ws_url("hyperliquid") + "/ws") as two:
            await two.ask(fills_of(STRATEGIES[1]))
            await two.first('"isSnapshot":true')
            await simulator.drop_connections()

        assert not any('"error"' in text for text in two.texts)


async def test_hyperliquid_closes_the_gap_over_rest() -> None:
    async with Simulator("cascade", speed=5) as simulator, aiohttp.ClientSession() as session:
        async with client(simulator.ws_url("hyperliquid") + "/ws") as one:
            await one.ask(fills_of(STRATEGIES[0]))
            await one.first('"userFills","data":{"user"', 20)
            await simulator.stop_generating()
            await simulator.drop_connections()
        live = [json.loads(text) for text in one.texts if '"userFills","data":{"user"' in text]
        sent = [fill for message in live for fill in message["data"]["fills"]]
        question = {"type": "userFillsByTime", "user": STRATEGIES[0], "startTime": min(f["time"] for f in sent)}
        async with session.post(simulator.rest_url("hyperliquid") + "/info", json=question) as response:
            told = await response.json()
        async with session.post(simulator.rest_url("hyperliquid") + "/info", json={"type": "nothing"}) as response:
            assert response.status == 422

    assert {fill["tid"] for fill in sent} <= {fill["tid"] for fill in told}
    assert simulator.ledger.rest["hyperliquid"].liquidations > 0


async def test_rest_is_served_beside_the_sockets() -> None:
    async with Simulator() as simulator, aiohttp.ClientSession() as session:
        paths = {
            "binance": ("/fapi/v1/exchangeInfo", "/dapi/v1/exchangeInfo"),
            "bybit": ("/v5/market/instruments-info?category=linear",),
            "okx": ("/api/v5/public/instruments?instType=SWAP", "/api/v5/public/instruments?instType=FUTURES"),
        }
        for venue, addresses in paths.items():
            for address in addresses:
                async with session.get(simulator.rest_url(venue) + address) as response:
                    assert response.status == 200
                    assert await response.json()
        async with session.get(simulator.rest_url("bybit") + "/v5/market/time") as response:
            assert response.status == 404


async def test_everything_works_over_tls() -> None:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async with Simulator("cascade", speed=5, ssl_context=server) as simulator:
        assert simulator.ws_url("binance").startswith("wss://127.0.0.1:")
        async with client(simulator.ws_url("binance") + FORCE_ORDERS, ssl=trusting) as one:
            await one.first('"forceOrder"')
            await simulator.abort_connections()
            await one.ended()


async def test_stop_says_goodbye_and_leaves_no_task() -> None:
    before = asyncio.all_tasks()
    simulator = Simulator("cascade")
    await simulator.start()
    async with bybit(simulator) as one, client(simulator.ws_url("binance") + FORCE_ORDERS) as two:
        async with asyncio.timeout(2):
            await simulator.stop()
        await one.ended()
        await two.ended()
        assert one.socket.close_code == two.socket.close_code == 1001
    await simulator.stop()

    assert asyncio.all_tasks() == before


async def test_port_is_free_after_stop_and_can_be_named() -> None:
    async with Simulator() as first:
        port = int(first.rest_url("binance").split(":")[2].split("/")[0])
        with pytest.raises(OSError, match="in use"):
            await Simulator(port=port).start()
    async with Simulator(port=port) as second:
        assert first.ws_url("bybit") == second.ws_url("bybit")


async def test_run_until_stopped_serves_until_it_is_cancelled() -> None:
    simulator = Simulator()
    serving = asyncio.create_task(run_until_stopped(simulator))
    for _ in range(500):
        if ":0/" not in simulator.ws_url("bybit"):
            break
        await asyncio.sleep(0.01)
    async with bybit(simulator) as one:
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        with pytest.raises(ConnectionClosed):
            await one.socket.send("{}")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"scenario": "storm"}, "unknown scenario 'storm'"),
        ({"faults": ("earthquake",)}, "unknown fault earthquake"),
        ({"speed": 0}, "speed must be above 0"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Simulator(**options)


def test_unknown_venue_has_no_address() -> None:
    with pytest.raises(ValueError, match="simulated are binance, bybit"):
        Simulator().ws_url("kraken")


@pytest.mark.parametrize(
    ("venue", "path", "topic", "request_of"),
    [
        (
            "okx",
            "ws/v5/public",
            "liquidation-orders:SWAP",
            lambda _: {"op": "subscribe", "args": [{"channel": "liquidation-orders", "instType": "SWAP"}]},
        ),
        ("bybit", "v5/public/linear", "allLiquidation.BTCUSDT", lambda topic: {"op": "subscribe", "args": [topic]}),
    ],
    ids=["okx", "bybit"],
)
async def test_a_topic_is_refused_as_often_as_was_said_and_the_connection_lives(
    venue: str, path: str, topic: str, request_of: Any
) -> None:
    async with (
        Simulator(faults=["refused_topic"]) as simulator,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{simulator.ws_url(venue)}/{path}") as socket,
    ):
        answers = []
        for _ in range(2):
            await socket.send_json(request_of(topic))
            answers.append(await socket.receive_json())
    refused, given = answers
    assert (refused.get("event"), refused.get("success")) in {("error", None), (None, False)}
    assert (given.get("event"), given.get("success")) in {("subscribe", None), (None, True)}


async def test_who_asks_for_a_refused_topic_among_others_finds_out_by_halves() -> None:
    async with Simulator() as simulator, aiohttp.ClientSession() as session:
        simulator.refuse_topic("bybit", "allLiquidation.BTCUSDT")
        async with session.ws_connect(f"{simulator.ws_url('bybit')}/v5/public/linear") as socket:
            answers = []
            for args in (["BTCUSDT", "ETHUSDT"], ["BTCUSDT", "ETHUSDT"], ["BTCUSDT"], ["BTCUSDT", "ETHUSDT"]):
                await socket.send_json({"op": "subscribe", "args": [f"allLiquidation.{symbol}" for symbol in args]})
                answers.append((await socket.receive_json())["success"])
    assert answers == [False, False, False, True]


async def test_okx_tells_underlying_and_family_apart() -> None:
    async with Simulator() as simulator, aiohttp.ClientSession() as session:
        url = f"{simulator.rest_url('okx')}/api/v5/public"
        async with session.get(f"{url}/instruments?instType=FUTURES&uly=BTC-USD") as answer:
            rows = (await answer.json())["data"]
        assert {(row["instFamily"], row["uly"]) for row in rows} == {("BTC-USD", "BTC-USD"), ("BTC-USD_UM", "BTC-USD")}
        codes = {}
        for what in ("uly=BTC-USD", "instFamily=BTC-USD_UM", "uly=BTC-USD_UM", "instFamily=NO-SUCH"):
            async with session.get(f"{url}/liquidation-orders?instType=FUTURES&{what}") as answer:
                codes[what] = (await answer.json())["code"]
        assert list(codes.values()) == ["0", "0", "51000", "51000"]


async def test_bybit_lists_perpetuals_before_their_market_to_who_asks_for_them() -> None:
    async with Simulator() as simulator, aiohttp.ClientSession() as session:
        listed = {}
        for status in ("", "&status=PreLaunch"):
            url = f"{simulator.rest_url('bybit')}/v5/market/instruments-info?category=linear&limit=1000{status}"
            async with session.get(url) as answer:
                rows = (await answer.json())["result"]["list"]
            listed[status] = {row["status"]: row["symbol"] for row in rows}
        assert listed[""].keys() == {"Trading"}
        assert listed["&status=PreLaunch"] == {"PreLaunch": "NEWCOINUSDT"}
