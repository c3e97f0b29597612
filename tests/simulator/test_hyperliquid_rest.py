import json
from typing import Any

import pytest

from liqtape.simulator import hyperliquid
from liqtape.simulator.generator import Generator
from liqtape.simulator.hyperliquid_fills import STRATEGIES
from liqtape.simulator.listings import MARKETS
from liqtape.simulator.scenario import scenario
from liqtape.simulator.wire import Answer, Arrival, RestRequest, ServerLimits, VenuePublisher

T0 = 1_795_000_000_000


def ask(publisher: VenuePublisher, **question: object) -> Answer:
    answer = publisher.rest(RestRequest("info", {}, "POST", json.dumps(question).encode()), T0)
    assert answer is not None
    return answer


def body(publisher: VenuePublisher, **question: object) -> Any:
    answer = ask(publisher, **question)
    assert answer.status == 200
    return json.loads(json.dumps(answer.body))


@pytest.fixture
def watched() -> tuple[VenuePublisher, list[Any], list[int]]:
    """A publisher after a cascade, the live fills that a watched user got, and the serials of the rows in them."""
    publisher = hyperliquid.publisher(1, ServerLimits())
    session = publisher.converse("ws", {}, 1)
    assert session is not None
    request = {"method": "subscribe", "subscription": {"type": "userFills", "user": STRATEGIES[0]}}
    session.received(json.dumps(request), T0)
    frames = []
    for true in Generator(scenario("cascade"), 1, MARKETS["hyperliquid"], "hyperliquid").until(8_000):
        publisher.add(Arrival(true, T0 + true.at_ms, T0 + true.at_ms))
        frames += publisher.due(T0 + true.at_ms)
    fills = [fill for frame in frames for fill in json.loads(frame.body)["data"]["fills"]]
    return publisher, fills, [row.serial for frame in frames for row in frame.rows]


def test_fills_by_time_are_those_that_were_sent_oldest_first(
    watched: tuple[VenuePublisher, list[Any], list[int]],
) -> None:
    publisher, fills, serials = watched

    answer = ask(publisher, type="userFillsByTime", user=STRATEGIES[0], startTime=T0)

    assert answer.body == fills
    assert [row.serial for row in answer.rows] == serials
    times = (fills[3]["time"], fills[-3]["time"])
    between = body(publisher, type="userFillsByTime", user=STRATEGIES[0], startTime=times[0], endTime=times[1])
    assert between == [fill for fill in fills if times[0] <= fill["time"] <= times[1]]


def test_user_fills_are_newest_first_and_reach_back(watched: tuple[VenuePublisher, list[Any], list[int]]) -> None:
    publisher, fills, serials = watched

    answer = ask(publisher, type="userFills", user=STRATEGIES[0])
    found: Any = answer.body

    assert found[: len(fills)] == fills[::-1]
    assert len(found) > len(fills)
    assert len(answer.rows) > len(serials)


def test_page_is_limited() -> None:
    publisher = hyperliquid.publisher(1, ServerLimits(hyperliquid_page=5))
    whole = hyperliquid.publisher(1, ServerLimits())

    by_time = {"type": "userFillsByTime", "user": STRATEGIES[0], "startTime": 0}
    assert body(publisher, **by_time) == body(whole, **by_time)[:5]
    assert body(publisher, type="userFills", user=STRATEGIES[0]) == body(whole, **by_time)[:-6:-1]


def test_victims_own_fills_can_be_asked_for(watched: tuple[VenuePublisher, list[Any], list[int]]) -> None:
    publisher, fills, _ = watched
    marked = [fill for fill in fills if "liquidation" in fill and fill["dir"] != "Auto-Deleveraging"]
    victim = marked[0]["liquidation"]["liquidatedUser"]

    own = body(publisher, type="userFills", user=victim.upper().replace("0X", "0x"))

    (leg,) = [fill for fill in own if fill["tid"] == marked[0]["tid"]]
    assert {leg["side"], marked[0]["side"]} == {"A", "B"}


def test_recent_trades_are_ten_newest_first() -> None:
    trades = body(hyperliquid.publisher(1, ServerLimits()), type="recentTrades", coin="BTC")

    assert len(trades) == 10
    assert [trade["time"] for trade in trades] == sorted((trade["time"] for trade in trades), reverse=True)
    assert list(trades[0]) == ["coin", "side", "px", "sz", "time", "hash", "tid", "users"]


@pytest.mark.parametrize(("dex", "coins"), [("", ["BTC", "kPEPE"]), ("xyz", ["xyz:SILVER", "xyz:CRWV"])])
def test_meta_lists_the_coins_of_one_exchange(dex: str, coins: list[str]) -> None:
    answer = body(hyperliquid.publisher(1, ServerLimits()), type="meta", dex=dex)

    listed = {entry["name"]: entry for entry in answer["universe"]}
    assert set(coins) <= listed.keys()
    assert all((":" in name) == bool(dex) for name in listed)
    assert listed[coins[0]]["szDecimals"] == (2 if dex else 5)


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"type":"liquidations"}', '{"type":"userFills"}', '{"type":"userFillsByTime","user":"0x1"}',
     '{"type":"recentTrades"}'],
)  # fmt: skip
def test_unknown_questions_are_unprocessable(text: str) -> None:
    answer = hyperliquid.publisher(1, ServerLimits()).rest(RestRequest("info", {}, "POST", text.encode()), T0)

    assert answer is not None
    assert (answer.status, answer.rows) == (422, ())


def test_other_requests_have_no_answer() -> None:
    publisher = hyperliquid.publisher(1, ServerLimits())

    assert publisher.rest(RestRequest("info", {}), T0) is None
    assert publisher.rest(RestRequest("exchange", {}, "POST", b'{"type":"meta"}'), T0) is None
